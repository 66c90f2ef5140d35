/**
 * What a FHIR server needs to honour Latchkey's access tokens: is the token good, and may it do this?
 *
 * Owns: verification of access tokens by the issuer's public keys, and decisions about FHIR requests and resources.
 * Does not own: tokens' making, introspection, or any FHIR data; it never imports the server.
 * Hands to: any FHIR server, as `latchkey/resource-server`; Latchkey's own sandbox uses nothing else.
 */
export {
  type Allowed,
  type DecideOptions,
  type Decision,
  decide,
  type Refused,
} from './access.ts'
export { AccessError, operationOutcome, type RefusalReason } from './access-error.ts'
export { type FhirRequest, type Interaction, parseRequest, type RequestInput } from './request.ts'
export {
  type FhirResource,
  isSensitive,
  mayRead,
  type ReadOptions,
  type ReadReason,
  type SensitiveLabel,
} from './resource.ts'
export { type Algorithm, createVerifier, type VerifiedToken, type Verifier, type VerifierOptions } from './verify.ts'
