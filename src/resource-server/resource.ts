/**
 * May this token see this resource? Asked for every resource on its way out, whatever the search was.
 *
 * Owns: the decision about one resource: scope, patient, category, sensitivity, in this order.
 * Does not own: the request (access.ts).
 */
import type { ResourceScope } from '../smart/scope.ts'
import { belongsTo, isInfrastructure } from './compartment.ts'
import { isUnderstood, meets } from './granular.ts'
import { isReleased, type SensitivityOptions } from './sensitivity.ts'
import type { VerifiedToken } from './token.ts'

/** Any FHIR resource as parsed JSON, whole: before `_elements` or `_summary` take anything away. */
export interface FhirResource {
  resourceType: string
  id?: string
}

export interface ReadOptions extends SensitivityOptions {
  /** The FHIR base, so that absolute references to the patient are understood. */
  baseUrl?: string
}

export type ReadReason =
  | 'allowed'
  | 'scope_missing'
  | 'no_patient'
  | 'other_patient'
  | 'unknown_patient'
  | 'category_not_granted'
  | 'sensitive'

/** What a decision needs of a token's contents. */
export type Reader = Pick<VerifiedToken, 'scopes' | 'patient' | 'sensitivities'> &
  Partial<Pick<VerifiedToken, 'service' | 'keyThumbprint'>>

/** May the token read this resource, by itself or among the results of a search? */
export function mayRead(
  token: Reader,
  resource: FhirResource,
  options: ReadOptions = {},
): { allowed: boolean; reason: ReadReason } {
  const reason = judge(token, resource, 'rs', options)
  return { allowed: reason === 'allowed', reason }
}

/** The same for any interactions: at least one of the letters of `cruds` must be granted for this very resource. */
export function judge(token: Reader, resource: FhirResource, letters: string, options: ReadOptions): ReadReason {
  const scopes = scopesFor(token, resource.resourceType, letters)
  if (scopes.length === 0) return 'scope_missing'
  if (lacksPatient(token, resource.resourceType, scopes)) return 'no_patient'
  const belonging = token.service ? 'own' : belongsTo(resource, token.patient, options.baseUrl)
  if (belonging === 'other') return 'other_patient'
  if (belonging === 'unknown') return 'unknown_patient'
  if (!scopes.some((scope) => meets(resource, scope))) return 'category_not_granted'
  return isReleased(resource, token.sensitivities, options) ? 'allowed' : 'sensitive'
}

/**
 * The scopes that count for a type: of a service `system/` only; of a person `patient/` and `user/`, both for the one patient
 * of the token, and `system/` never. Those with restrictions that are understood; and for what belongs to no patient,
 * reading only, unless a service writes it.
 */
export function scopesFor(token: Reader, resourceType: string, letters: string): ResourceScope[] {
  const ofNobody = isInfrastructure(resourceType)
  const counted = ofNobody && !token.service ? letters.replace(/[cud]/g, '') : letters
  const scopes = token.scopes.filter(
    (scope): scope is ResourceScope =>
      scope.kind === 'resource' &&
      (scope.context === 'system') === (token.service === true) &&
      (scope.resource === '*' || scope.resource === resourceType) &&
      [...counted].some((letter) => scope.interactions.includes(letter)) &&
      isUnderstood(scope),
  )
  const ofUser = scopes.filter(({ context }) => context === 'user')
  return !token.service && token.patient === undefined && ofNobody && ofUser.length > 0 ? ofUser : scopes
}

/** A person's token without a patient opens what belongs to nobody, by `user/` scopes, and nothing else. */
export function lacksPatient(token: Reader, resourceType: string, scopes: readonly ResourceScope[]): boolean {
  if (token.service || token.patient !== undefined) return false
  return !isInfrastructure(resourceType) || scopes.some(({ context }) => context !== 'user')
}
