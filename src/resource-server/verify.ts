import type { Scope } from '../smart/scope.ts'
import { AccessError } from './access-error.ts'

export interface VerifierOptions {
  /** The issuer, byte for byte as in `iss`. */
  issuer: string
  /** This API, byte for byte as in `aud`: its FHIR base. Several if tokens of several APIs are accepted here. */
  audience: string | readonly string[]
  /** The issuer's keys. Default: `jwks_uri` of its `.well-known/openid-configuration`. */
  jwksUri?: string
  /** Default `['ES256', 'RS256']`. `none` and HS* are never accepted. */
  algorithms?: readonly Algorithm[]
  /** Accepted `typ` headers. Default `['at+jwt']`; an API with the token profile `JWT` says `['JWT']`. */
  typ?: readonly string[]
  /** Seconds that clocks may differ. Default 10. */
  clockTolerance?: number
  /** Protection space named in challenges. Default: the first audience. */
  realm?: string
  fetch?: typeof fetch
  /** Milliseconds since the epoch. */
  now?: () => number
  /** Seconds that fetched keys are used without asking again. Default 600. */
  jwksCacheSeconds?: number
  /** Least seconds between two fetches because of an unknown key. Default 30. */
  jwksCooldownSeconds?: number
}

export type Algorithm =
  | 'ES256'
  | 'ES384'
  | 'ES512'
  | 'RS256'
  | 'RS384'
  | 'RS512'
  | 'PS256'
  | 'PS384'
  | 'PS512'
  | 'EdDSA'

/** What a verified access token says. */
export interface VerifiedToken {
  issuer: string
  /** The member who signed in; not the patient. */
  subject: string
  clientId: string
  /** As granted, space-separated, whatever form the claim had. */
  scope: string
  scopes: Scope[]
  /** FHIR id of the one patient whose record the token opens. */
  patient?: string
  /** Relative reference of the person who signed in, for instance `RelatedPerson/17`. */
  fhirUser?: string
  /** The authorization behind the token: for logs and the revocation feed. No credential. */
  grantId?: string
  /** Seconds since the epoch. */
  expiresAt: number
  /** Codes of sensitive labels that the member released. None in this release. */
  sensitivities: string[]
  claims: Record<string, unknown>
}

export interface Verifier {
  /** Verifies one token. Throws AccessError: 401, or 503 if the issuer's keys cannot be had. */
  verify(token: string): Promise<VerifiedToken>
  /** Verifies the `Authorization` header of a request. Throws AccessError, also for a missing or malformed header. */
  authenticate(authorizationHeader: string | undefined): Promise<VerifiedToken>
}

export function createVerifier(_options: VerifierOptions): Verifier {
  throw new AccessError({ status: 503, reason: 'keys_unavailable', description: 'signature only' })
}
