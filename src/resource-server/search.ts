/**
 * The parameters of a search, judged before it runs: none may reach beyond the token's patient and scopes.
 *
 * Owns: which parameters are refused, and why. Resources are judged once more on their way out (resource.ts).
 */
import { resourceTypes } from '../smart/resource-types.ts'
import type { RefusalReason } from './access-error.ts'
import { patientIn } from './compartment.ts'
import { isFhirId, type Parameter } from './request.ts'

export interface SearchLimits {
  /** The only one who may be searched for; undefined: nobody. */
  patient: string | undefined
  /** A service's search, which may name any patient. */
  anyPatient: boolean
  baseUrl: string | undefined
  /** Is any of this type readable with the token? */
  readable(resourceType: string): boolean
}

export interface ParameterFault {
  reason: RefusalReason
  description: string
  /** The type whose scope is missing. */
  resource?: string
}

/** Parameters that name a patient. */
const patientParameters = new Set(['patient', 'subject', 'beneficiary', 'individual'])
/** Parameters that search by a language or a query of their own, so that what they reach cannot be judged here. */
const opaqueParameters = new Set(['_filter', '_query', '_list', '_has'])
const includes = new Set(['_include', '_revinclude'])

export function faultOfParameter(
  resource: string,
  [name, value]: Parameter,
  limits: SearchLimits,
): ParameterFault | undefined {
  const [base = '', modifier] = name.split(':')
  if (opaqueParameters.has(base)) return unsupported(`${base} is not supported: what it reaches cannot be judged.`)
  if (includes.has(base)) return faultOfInclude(base, value, limits)
  if (name.includes('.')) return unsupported('Chained parameters are not supported. Search in two steps.')
  if (limits.anyPatient) return undefined
  if (patientParameters.has(base)) return faultOfPatient(base, modifier, value, limits)
  if (resource === 'Patient' && base === '_id') {
    return value.split(',').every((id) => id === limits.patient) ? undefined : otherPatient
  }
  return undefined
}

const otherPatient: ParameterFault = {
  reason: 'other_patient',
  description: 'The token is for one patient, and the search names another. Authorize again for another patient.',
}

function unsupported(description: string): ParameterFault {
  return { reason: 'unsupported_parameter', description }
}

/** `patient=maria`, `patient=Patient/maria`, `subject:Patient=maria`: every alternative must be the token's patient. */
function faultOfPatient(
  name: string,
  modifier: string | undefined,
  value: string,
  limits: SearchLimits,
): ParameterFault | undefined {
  if (modifier !== undefined && modifier !== 'Patient') {
    return unsupported(`${name} can be used with the patient's id only, without another modifier.`)
  }
  const ids = value.split(',').map((one) => (isFhirId(one) ? one : patientIn(one, limits.baseUrl)))
  return ids.every((id) => id === limits.patient) ? undefined : otherPatient
}

/** `Source:parameter[:Target]`. What comes back must be of types that the token may read. */
function faultOfInclude(name: string, value: string, limits: SearchLimits): ParameterFault | undefined {
  const [source = '', parameter, target, ...rest] = value.split(':')
  const named = target === undefined ? [source] : [source, target]
  if (parameter === undefined || rest.length > 0 || !named.every((type) => resourceTypes.has(type))) {
    return unsupported(`Write ${name} as Type:parameter or Type:parameter:Target.`)
  }
  const missing = named.find((type) => !limits.readable(type))
  if (missing === undefined) return undefined
  return { reason: 'scope_missing', description: `The token does not allow ${name} of ${missing}.`, resource: missing }
}
