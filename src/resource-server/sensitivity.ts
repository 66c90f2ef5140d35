import { actCode, knownCategories, type SensitiveLabel } from '../smart/sensitivity.ts'
import type { FhirResource } from './resource.ts'

export type { SensitiveLabel } from '../smart/sensitivity.ts'

const confidentiality = 'http://terminology.hl7.org/CodeSystem/v3-Confidentiality'

/** Older names of the two systems, which converted records still carry (FHIR STU3, and the OIDs of C-CDA). */
const olderNames = new Map<unknown, string>([
  ['http://hl7.org/fhir/v3/ActCode', actCode],
  ['urn:oid:2.16.840.1.113883.5.4', actCode],
  ['http://hl7.org/fhir/v3/Confidentiality', confidentiality],
  ['urn:oid:2.16.840.1.113883.5.25', confidentiality],
])

/** How confidential a record is, which says nothing of why: restricted and very restricted. */
const degrees: readonly SensitiveLabel[] = ['R', 'V'].map((code) => ({ system: confidentiality, code }))

/** Restricted and very restricted, and HL7's information sensitivity policies that US health plans meet. */
export const sensitiveLabels: readonly SensitiveLabel[] = [...degrees, ...Object.values(knownCategories).flat()]

/** Which labels count as sensitive, and to which of the plan's categories they belong. */
export interface SensitivityOptions {
  /** The labels that withhold a record. Default: `sensitiveLabels`. Those of `sensitiveCategories` count besides. */
  sensitive?: readonly SensitiveLabel[]
  /**
   * The categories that members can release, as the plan has them configured, by the codes that tokens have in `sensitivities`.
   * Default: `substance-use`, `mental-health`, `sexual-health`, `hiv`, `genetics` and `violence`, each with HL7's labels.
   */
  sensitiveCategories?: Readonly<Record<string, readonly SensitiveLabel[]>>
}

/** True if a resource carries a sensitive label, whether or not a token may read it. */
export function isSensitive(resource: FhirResource, sensitive: readonly SensitiveLabel[] = sensitiveLabels): boolean {
  return labelsOf(resource).some((labels) => labels.some((label) => sensitive.some((one) => isSame(label, one))))
}

/**
 * May a resource leave where these categories were released? Each of its sensitive labels must belong to at least one of them; how
 * confidential it is adds nothing where another label says why, and withholds where it stands alone. A sensitive label that
 * belongs to no category always withholds.
 */
export function isReleased(resource: FhirResource, released: readonly string[], options: SensitivityOptions): boolean {
  const { sensitive = sensitiveLabels, sensitiveCategories } = options
  const categories = Object.entries(sensitiveCategories ?? knownCategories)
  const counted = [...sensitive, ...Object.values(sensitiveCategories ?? {}).flat()]
  const isOpen = (label: Label) =>
    categories.some(([code, labels]) => released.includes(code) && labels.some((one) => isSame(label, one)))
  return labelsOf(resource).every((labels) => {
    const kinds = labels.filter((label) => counted.some((one) => isSame(label, one)))
    const reasons = kinds.filter(({ system, code }) => !degrees.some((one) => isSame({ system, code }, one)))
    return (reasons.length > 0 ? reasons : kinds).every(isOpen)
  })
}

interface Label {
  /** As it is called today; undefined where a label does not say. */
  system: string | undefined
  code: unknown
}

/** A label without a system counts by its code. */
const isSame = (label: Label, { system, code }: SensitiveLabel): boolean =>
  label.code === code && (label.system === undefined || label.system === (olderNames.get(system) ?? system))

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null
const listOf = (value: unknown): unknown[] => (Array.isArray(value) ? value : value === undefined ? [] : [value])

function labelIn({ system, code }: Record<string, unknown>): Label {
  const named = typeof system === 'string' && system !== '' ? (olderNames.get(system) ?? system) : undefined
  return { system: named, code }
}

/**
 * Wherever a label stands: `meta.security`; what a DocumentReference says of its document (`securityLabel`) and a Composition
 * of itself (`confidentiality`). One list for the resource, and one for each that it contains, which goes out with it.
 */
function labelsOf(resource: unknown): Label[][] {
  if (!isObject(resource)) return []
  const { meta, securityLabel, confidentiality: ofComposition, contained } = resource
  const codings = listOf(securityLabel).flatMap((concept) => (isObject(concept) ? listOf(concept.coding) : []))
  const own = [
    ...[...listOf(isObject(meta) ? meta.security : undefined), ...codings].filter(isObject),
    ...listOf(ofComposition).map((code) => ({ system: confidentiality, code })),
  ]
  return [own.map(labelIn), ...listOf(contained).flatMap(labelsOf)]
}
