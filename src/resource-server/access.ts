import { AccessError } from './access-error.ts'
import type { FhirRequest } from './request.ts'
import type { FhirResource, ReadOptions } from './resource.ts'
import type { VerifiedToken } from './verify.ts'

export interface DecideOptions extends ReadOptions {
  realm?: string
}

export type Decision = Allowed | Refused

export interface Allowed {
  allowed: true
  /** Restrict the data to this patient (FHIR id); undefined where the type has no patient (Organization, metadata). */
  patient: string | undefined
  /** Alternatives, each a list of search parameters, that the data are restricted to; undefined: the whole type. */
  restrictions: [name: string, value: string][][] | undefined
  /** Run every resource of the answer through this: included ones and those of `$everything` too. */
  filter(resource: FhirResource): boolean
}

export interface Refused {
  allowed: false
  error: AccessError
}

export function decide(_token: VerifiedToken, _request: FhirRequest, _options?: DecideOptions): Decision {
  return {
    allowed: false,
    error: new AccessError({ status: 400, reason: 'unsupported_request', description: 'signature only' }),
  }
}
