/** Why a request was refused. Stable: programs and documentation rely on these words. */
export type RefusalReason =
  // 401: the token is missing or no good; a new one may help.
  | 'missing_token'
  | 'malformed_token'
  | 'wrong_type'
  | 'wrong_algorithm'
  | 'wrong_issuer'
  | 'unknown_key'
  | 'bad_signature'
  | 'wrong_audience'
  | 'expired'
  | 'not_yet_valid'
  | 'malformed_claims'
  | 'revoked'
  // 401: the token is bound to a key, or should be, and it is not shown that the sender holds it (DPoP).
  | 'wrong_scheme'
  | 'invalid_proof'
  | 'proof_replayed'
  // 403: the token is good and does not allow this.
  | 'no_patient'
  | 'other_patient'
  | 'scope_missing'
  | 'category_not_granted'
  // 400: the request cannot be decided, whoever asks.
  | 'malformed_authorization'
  | 'malformed_request'
  | 'unsupported_request'
  | 'unsupported_operation'
  | 'unsupported_parameter'
  // 503: the issuer's keys, its revocation feed, or the store of proofs cannot be had at the moment; the token may be perfectly good (never 401).
  | 'keys_unavailable'
  | 'revocations_unavailable'
  | 'proofs_unavailable'

/** How an access token is presented (RFC 6750, RFC 9449). */
export type Scheme = 'Bearer' | 'DPoP'

export interface Refusal {
  status: 400 | 401 | 403 | 503
  reason: RefusalReason
  /** What the app's developer can do about it. Never contains any of the token. */
  description: string
  /** Protection space of the challenge: the API. */
  realm?: string
  /** Scopes that would do, space-separated, for `insufficient_scope`. */
  scope?: string
  /** How a token would have to be presented: a challenge for each. Default `['Bearer']`. */
  schemes?: readonly Scheme[]
  /** How a proof may be signed, space-separated: part of the challenge for DPoP. */
  algs?: string
  /** Seconds after which another try makes sense. */
  retryAfter?: number
  cause?: unknown
}

/** RFC 6750 section 3.1, by status; RFC 9449 section 7.1 for proofs. A missing token gets a bare challenge, and a fault of ours none at all. */
const errorCodes: Record<Refusal['status'], string | undefined> = {
  400: 'invalid_request',
  401: 'invalid_token',
  403: 'insufficient_scope',
  503: undefined,
}

/** A refusal, ready to be answered: `response.status`, `error.headers`, and `operationOutcome(error)` as the body. */
export class AccessError extends Error {
  override readonly name = 'AccessError'
  readonly status: Refusal['status']
  readonly reason: RefusalReason
  readonly description: string
  /** The challenge of RFC 6750 or RFC 9449; empty for a fault (503), which is never the token's. */
  readonly wwwAuthenticate: string
  /** `WWW-Authenticate` and `Retry-After`, where they apply. */
  readonly headers: Record<string, string>

  constructor(refusal: Refusal) {
    super(`${refusal.reason}: ${refusal.description}`, { cause: refusal.cause })
    this.status = refusal.status
    this.reason = refusal.reason
    this.description = refusal.description
    this.wwwAuthenticate = challenge(refusal)
    this.headers = {
      ...(this.wwwAuthenticate === '' ? {} : { 'WWW-Authenticate': this.wwwAuthenticate }),
      ...(refusal.retryAfter === undefined ? {} : { 'Retry-After': String(refusal.retryAfter) }),
    }
  }
}

/** The FHIR body of a refusal (media type `application/fhir+json`). */
export function operationOutcome(error: AccessError) {
  const code = { 400: 'not-supported', 401: 'login', 403: 'forbidden', 503: 'transient' }[error.status]
  return {
    resourceType: 'OperationOutcome',
    issue: [{ severity: 'error', code, details: { coding: [{ code: error.reason }] }, diagnostics: error.description }],
  }
}

function challenge(refusal: Refusal): string {
  if (refusal.status === 503) return ''
  const error = errorCodeOf(refusal)
  const parameters: [string, string | undefined][] = [
    ['realm', refusal.realm],
    ['error', error],
    ['error_description', error && refusal.description],
    ['scope', refusal.scope],
  ]
  const challenges = (refusal.schemes ?? ['Bearer']).map((scheme) => {
    const told: typeof parameters = scheme === 'DPoP' ? [...parameters, ['algs', refusal.algs]] : parameters
    const said = told.flatMap(([name, value]) => (value === undefined ? [] : [`${name}="${quotable(value)}"`]))
    return `${scheme} ${said.join(', ')}`.trimEnd()
  })
  return challenges.join(', ')
}

function errorCodeOf({ reason, status }: Refusal): string | undefined {
  if (reason === 'missing_token') return undefined
  return reason === 'invalid_proof' || reason === 'proof_replayed' ? 'invalid_dpop_proof' : errorCodes[status]
}

/** RFC 6750 section 3 allows %x20-21 / %x23-5B / %x5D-7E in these values. */
function quotable(text: string): string {
  return text.replace(/["\\]/g, "'").replace(/[^\x20-\x7e]/g, '?')
}
