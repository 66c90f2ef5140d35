/**
 * What a FHIR server needs to honour Latchkey's access tokens: is the token good, and may it do this?
 *
 * Owns: verification of access tokens by the issuer's public keys, and decisions about FHIR requests and resources.
 * Does not own: tokens' making, introspection, or any FHIR data; it never imports the server.
 * Hands to: any FHIR server, as `latchkey/resource-server`; Latchkey's own sandbox uses nothing else.
 */
export type { PlainScope, ResourceScope, Scope } from '../smart/scope.ts'
export { type Allowed, type DecideOptions, type Decision, decide, type Refused } from './access.ts'
export { AccessError, operationOutcome, type RefusalReason } from './access-error.ts'
export { type Batch, decideBatch, parseBatch } from './batch.ts'
export type { ProvenRequest, ReplayStore } from './proof.ts'
export { type FhirRequest, type Interaction, type Parameter, parseRequest, type RequestInput } from './request.ts'
export { type FhirResource, mayRead, type Reader, type ReadOptions, type ReadReason } from './resource.ts'
export type { FeedState, RevocationOptions } from './revocations.ts'
export { isSensitive, type SensitiveLabel, type SensitivityOptions, sensitiveLabels } from './sensitivity.ts'
export type { VerifiedToken } from './token.ts'
export { type Algorithm, createVerifier, type Verifier, type VerifierOptions } from './verify.ts'
