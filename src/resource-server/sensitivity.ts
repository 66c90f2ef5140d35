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

/** Restricted and very restricted, and HL7's information sensitivity policies that US health plans meet. */
export const sensitiveLabels: readonly SensitiveLabel[] = [
  ...['R', 'V'].map((code) => ({ system: confidentiality, code })),
  ...Object.values(knownCategories).flat(),
]

/** True if a resource carries a sensitive label, whether or not a token may read it. */
export function isSensitive(resource: FhirResource, sensitive: readonly SensitiveLabel[] = sensitiveLabels): boolean {
  return sensitiveCodes(resource, sensitive).length > 0
}

/** The codes that a token must carry, all of them, to read this resource. A label without a system counts by its code. */
export function sensitiveCodes(
  resource: FhirResource,
  sensitive: readonly SensitiveLabel[] = sensitiveLabels,
): string[] {
  const codes = labelsOf(resource).flatMap(({ system, code }) => {
    const named = typeof system === 'string' && system !== '' ? (olderNames.get(system) ?? system) : undefined
    const label = sensitive.find((one) => one.code === code && (named === undefined || one.system === named))
    return label ? [label.code] : []
  })
  return [...new Set(codes)]
}

interface Label {
  system?: unknown
  code?: unknown
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null
const listOf = (value: unknown): unknown[] => (Array.isArray(value) ? value : value === undefined ? [] : [value])

/**
 * Wherever a label stands: `meta.security`; what a DocumentReference says of its document (`securityLabel`) and a Composition
 * of itself (`confidentiality`); and the same of contained resources, which go out with the one around them.
 */
function labelsOf(resource: unknown): Label[] {
  if (!isObject(resource)) return []
  const { meta, securityLabel, confidentiality: ofComposition, contained } = resource
  const codings = listOf(securityLabel).flatMap((concept) => (isObject(concept) ? listOf(concept.coding) : []))
  return [
    ...[...listOf(isObject(meta) ? meta.security : undefined), ...codings].filter(isObject),
    ...listOf(ofComposition).map((code) => ({ system: confidentiality, code })),
    ...listOf(contained).flatMap(labelsOf),
  ]
}
