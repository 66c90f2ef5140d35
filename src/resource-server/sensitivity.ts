import { actCode, knownCategories, type SensitiveLabel } from '../smart/sensitivity.ts'
import type { FhirResource } from './resource.ts'

export type { SensitiveLabel } from '../smart/sensitivity.ts'

const confidentiality = 'http://terminology.hl7.org/CodeSystem/v3-Confidentiality'

/** What is left of a system's name without how it is spelt: in capitals, as `https:`, with a slash, a version or `urn:oid:`. */
const bareName = (system: string): string =>
  (system.split('|')[0] ?? '')
    .trim()
    .toLowerCase()
    .replace(/^(https?:\/\/|urn:oid:)/, '')
    .replace(/(?<!\/)\/+$/, '')

/** Older names of the two systems, which converted records still carry (FHIR STU3, and the OIDs of C-CDA). */
const olderNames = new Map([
  ['hl7.org/fhir/v3/actcode', bareName(actCode)],
  ['2.16.840.1.113883.5.4', bareName(actCode)],
  ['hl7.org/fhir/v3/confidentiality', bareName(confidentiality)],
  ['2.16.840.1.113883.5.25', bareName(confidentiality)],
])

/** The one name by which systems are compared. */
const nameOf = (system: string): string => olderNames.get(bareName(system)) ?? bareName(system)

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
  /** As it stands there; undefined where a label does not say. */
  system: string | undefined
  code: string
}

/**
 * Whoever labels a record means it to be withheld, however they spell it: capitals and spaces make no other label, and one
 * without a system counts by its code.
 */
const isSame = (label: Label, { system, code }: SensitiveLabel): boolean =>
  label.code.trim().toUpperCase() === code.trim().toUpperCase() &&
  (label.system === undefined || nameOf(label.system) === nameOf(system))

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null
const listOf = (value: unknown): unknown[] => (Array.isArray(value) ? value : value === undefined ? [] : [value])

/** The labels in a Coding, a CodeableConcept, a bare code (of `system`), or lists of them: whatever a server writes there. */
function labelsIn(value: unknown, system?: string): Label[] {
  return listOf(value).flatMap((one): Label[] => {
    if (typeof one === 'string') return [{ system, code: one }]
    if (!isObject(one)) return []
    const named = typeof one.system === 'string' && bareName(one.system) !== '' ? one.system : undefined
    return [...labelsIn(one.coding), ...(typeof one.code === 'string' ? [{ system: named, code: one.code }] : [])]
  })
}

/**
 * Wherever a label stands: `meta.security`; what a DocumentReference says of its document (`securityLabel`) and a Composition
 * of itself (`confidentiality`). One list for the resource, and one for each that it contains, which goes out with it.
 */
function labelsOf(resource: unknown): Label[][] {
  if (!isObject(resource)) return []
  const { meta, securityLabel, confidentiality: ofComposition, contained } = resource
  const security = listOf(meta).flatMap((one) => (isObject(one) ? listOf(one.security) : []))
  const own = [...labelsIn(security), ...labelsIn(securityLabel), ...labelsIn(ofComposition, confidentiality)]
  return [own, ...listOf(contained).flatMap(labelsOf)]
}
