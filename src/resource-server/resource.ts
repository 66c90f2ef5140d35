import type { VerifiedToken } from './verify.ts'

/** Any FHIR resource as parsed JSON. */
export interface FhirResource {
  resourceType: string
  id?: string
}

/** A security label that makes a resource sensitive. */
export interface SensitiveLabel {
  system: string
  code: string
}

export interface ReadOptions {
  /** The FHIR base, so that absolute references to own patients are understood. */
  baseUrl?: string
  /** Default: `sensitiveLabels`. */
  sensitive?: readonly SensitiveLabel[]
}

export type ReadReason =
  | 'allowed'
  | 'scope_missing'
  | 'category_not_granted'
  | 'no_patient'
  | 'other_patient'
  | 'sensitive'

export function mayRead(
  _token: VerifiedToken,
  _resource: FhirResource,
  _options?: ReadOptions,
): { allowed: boolean; reason: ReadReason } {
  return { allowed: false, reason: 'scope_missing' }
}

export function isSensitive(_resource: FhirResource, _sensitive?: readonly SensitiveLabel[]): boolean {
  return true
}
