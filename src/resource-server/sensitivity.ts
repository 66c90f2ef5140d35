import type { FhirResource } from './resource.ts'

/** A security label (`meta.security`) that makes a resource sensitive. */
export interface SensitiveLabel {
  system: string
  code: string
}

const actCode = 'http://terminology.hl7.org/CodeSystem/v3-ActCode'
const confidentiality = 'http://terminology.hl7.org/CodeSystem/v3-Confidentiality'

const policies = `ETH ETHUD OPIOIDUD SUD PSY PSYTHPN MH BH COGN EMOTDIS SEX STD HIV PREGNANT GDIS SCA SDV DV VIO MST`

/** Restricted and very restricted, and HL7's information sensitivity policies that US health plans meet. */
export const sensitiveLabels: readonly SensitiveLabel[] = [
  ...['R', 'V'].map((code) => ({ system: confidentiality, code })),
  ...policies.split(' ').map((code) => ({ system: actCode, code })),
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
  const codes = securityOf(resource).flatMap(({ system, code }) => {
    const label = sensitive.find((one) => one.code === code && (system === undefined || one.system === system))
    return label ? [label.code] : []
  })
  return [...new Set(codes)]
}

function securityOf(resource: FhirResource): { system?: unknown; code?: unknown }[] {
  const meta: unknown = 'meta' in resource ? resource.meta : undefined
  const security: unknown = typeof meta === 'object' && meta !== null && 'security' in meta ? meta.security : undefined
  return Array.isArray(security) ? security.filter((label) => typeof label === 'object' && label !== null) : []
}
