/**
 * Is this access token good? (RFC 9068 section 4, RFC 8725.) And is it sent by whom it was made for? (RFC 9449.)
 *
 * Owns: the checks of a token, in one visible order, how it is presented, and what a good token says.
 * Does not own: the proof that goes with a token (proof.ts), what it may be used for (access.ts), the issuer's keys (keys.ts), or what was revoked (revocations.ts):
 * without the option `revocations` a token that was revoked is seen as good until it expires.
 */
import { compactVerify, errors, type JWTHeaderParameters } from 'jose'
import { AccessError, type Refusal, type RefusalReason, type Scheme } from './access-error.ts'
import { readCompactJws } from './compact-jws.ts'
import { createIssuerKeys } from './keys.ts'
import { checkProof, createMemoryReplays, type ProvenRequest, proofAlgorithms, type ReplayStore } from './proof.ts'
import { createRevocations, type FeedState, type RevocationOptions } from './revocations.ts'
import { readClaims, type VerifiedToken } from './token.ts'

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
  /** Follows the issuer's revocation feed: tokens of a connection that ended are refused within a second. Default: not. */
  revocations?: RevocationOptions | undefined
  /**
   * Tokens that are bound to a key (DPoP, RFC 9449). `accepted`: both those and bearer tokens; `required`: no others. Without it
   * they are accepted where `authenticate` is told of the request. A bound token is never accepted as a bearer token.
   */
  dpop?: 'accepted' | 'required' | undefined
  /** Where proofs are remembered, so that each counts once. Default: in this process, which does for one process only. */
  replays?: ReplayStore | undefined
}

const asymmetric = ['ES256', 'ES384', 'ES512', 'RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'EdDSA'] as const

export type Algorithm = (typeof asymmetric)[number]

export interface Verifier {
  /**
   * Verifies one bearer token. Throws AccessError: 401, or 503 if the issuer's keys cannot be had. A token that is bound to a
   * key is refused, because nothing here shows who sent it: `authenticate` takes it.
   */
  verify(token: string): Promise<VerifiedToken>
  /**
   * Verifies the `Authorization` header of a request. Throws AccessError, also for a missing or malformed header. Tell it of the
   * request (header `DPoP`, method, public URL), and it takes tokens that are bound to a key, each with its proof.
   */
  authenticate(authorizationHeader: string | undefined, request?: ProvenRequest): Promise<VerifiedToken>
  /**
   * Begins to follow the revocation feed, which the first verification does otherwise; settles when all is known that has
   * ended, and never fails. At once without the option `revocations`.
   */
  follow(): Promise<void>
  /** How it stands with the revocation feed; `off` without the option. For a health check. */
  feedState(): FeedState
  /** Follows the feed no more. A process that does not call it stays alive as long as the feed. */
  close(): void
}

/** Ours are below 4,000 characters with every scope there is. */
const longestToken = 16_384
const presented = /^(?:bearer|dpop) +([A-Za-z0-9\-._~+/]+=*)$/i
const algs = proofAlgorithms.join(' ')

/** A verifier for the tokens of one issuer. Make one at start and keep it: it holds the issuer's keys. */
export function createVerifier(options: VerifierOptions): Verifier {
  const audiences = typeof options.audience === 'string' ? [options.audience] : [...options.audience]
  const algorithms: readonly string[] = options.algorithms ?? ['ES256', 'RS256']
  const types = new Set((options.typ ?? ['at+jwt']).map(normalizeType))
  const clockTolerance = options.clockTolerance ?? 10
  const now = options.now ?? Date.now
  const realm = options.realm ?? audiences[0]
  if (options.issuer === '' || audiences.length === 0 || audiences.includes('')) {
    throw new TypeError('createVerifier: issuer and audience are required')
  }
  const unusable = algorithms.filter((name) => !(asymmetric as readonly string[]).includes(name))
  if (unusable.length > 0 || algorithms.length === 0) {
    throw new TypeError(`createVerifier: algorithms must be some of ${asymmetric.join(', ')}`)
  }
  const keys = createIssuerKeys({
    issuer: options.issuer,
    jwksUri: options.jwksUri,
    fetch: options.fetch ?? fetch,
    now,
    cacheSeconds: options.jwksCacheSeconds ?? 600,
    cooldownSeconds: options.jwksCooldownSeconds ?? 30,
  })

  const replays = options.replays ?? createMemoryReplays(now)
  const revocations =
    options.revocations &&
    createRevocations({
      ...options.revocations,
      issuer: options.issuer,
      fetch: options.fetch ?? fetch,
      now,
      clockTolerance,
    })

  const refuse = (reason: RefusalReason, description: string, more: Partial<Refusal> = {}) =>
    new AccessError({ status: 401, reason, description, realm, algs, ...more })

  async function verify(token: string): Promise<VerifiedToken> {
    const verified = await check(token)
    checkBearer(verified)
    return verified
  }

  /** The order of checks: what costs nothing first, and no fetch for a token that cannot be good anyway. */
  async function check(token: string): Promise<VerifiedToken> {
    const { header, claims } = readShape(token)
    checkType(header)
    checkAlgorithm(header)
    checkIssuer(claims)
    await checkSignature(token, header)
    checkAudience(claims)
    checkTimes(claims)
    const verified = readClaims(claims, (description) => refuse('malformed_claims', description))
    await checkRevocation(verified)
    return verified
  }

  function readShape(token: string): { header: JWTHeaderParameters; claims: Record<string, unknown> } {
    const read = readCompactJws(token, longestToken)
    if (!read)
      throw refuse('malformed_token', 'The access token is not a signed JWT. Send it exactly as it was issued.')
    return { header: read.header as unknown as JWTHeaderParameters, claims: read.claims }
  }

  /** RFC 8725 section 3.11: an ID token or an assertion is no access token. */
  function checkType(header: JWTHeaderParameters): void {
    if (typeof header.typ === 'string' && types.has(normalizeType(header.typ))) return
    throw refuse('wrong_type', 'This is not an access token. Send the access_token, not the id_token.')
  }

  function checkAlgorithm(header: JWTHeaderParameters): void {
    if (typeof header.alg === 'string' && algorithms.includes(header.alg)) return
    throw refuse('wrong_algorithm', `This API accepts tokens signed with ${algorithms.join(' or ')}.`)
  }

  function checkIssuer(claims: Record<string, unknown>): void {
    if (claims.iss === options.issuer) return
    throw refuse('wrong_issuer', `This API accepts tokens of the issuer ${options.issuer}.`)
  }

  async function checkSignature(token: string, header: JWTHeaderParameters): Promise<void> {
    try {
      const key = await keys.find(header)
      if (!key)
        throw refuse(
          'unknown_key',
          'The access token is signed with a key that the issuer does not have. Get a new one.',
        )
      await compactVerify(token, key, { algorithms: [...algorithms] })
    } catch (error) {
      if (error instanceof AccessError) throw error
      if (error instanceof errors.JWSSignatureVerificationFailed) {
        throw refuse('bad_signature', 'The signature of the access token is wrong. Send it exactly as it was issued.')
      }
      // Everything else is about the keys, and says nothing about the token: a fault is never 401 (R43).
      throw new AccessError({
        status: 503,
        reason: 'keys_unavailable',
        description: 'Access tokens cannot be verified at the moment. The token may be good: keep it and try again.',
        retryAfter: 5,
        cause: error,
      })
    }
  }

  function checkAudience(claims: Record<string, unknown>): void {
    const named: unknown[] = Array.isArray(claims.aud) ? claims.aud : [claims.aud]
    if (audiences.some((audience) => named.includes(audience))) return
    throw refuse('wrong_audience', `The access token is for another API. Authorize with aud=${audiences[0]}.`)
  }

  function checkTimes(claims: Record<string, unknown>): void {
    const { exp, nbf, iat } = claims
    const clock = now() / 1000
    if (typeof exp !== 'number' || ![nbf, iat].every((time) => time === undefined || typeof time === 'number')) {
      throw refuse('malformed_claims', 'The times of the access token are not numbers.')
    }
    if (clock >= exp + clockTolerance) {
      throw refuse('expired', 'The access token has expired. Use the refresh token, or authorize again.')
    }
    if ([nbf, iat].some((time) => typeof time === 'number' && time > clock + clockTolerance)) {
      throw refuse('not_yet_valid', 'The access token is not valid yet. Check the clocks.')
    }
  }

  /** A service's token is of no grant, so the feed says nothing of it: it is good for as long as it lives, 5 minutes. */
  async function checkRevocation({ grantId, service, claims }: VerifiedToken): Promise<void> {
    if (!revocations || service) return
    // A grant that was narrowed goes on, and its newer tokens say less.
    const revision = claims.grant_revision ?? 0
    if (grantId === undefined || !Number.isSafeInteger(revision)) {
      throw refuse('malformed_claims', 'The access token does not say which grant it is of.')
    }
    const standing = await revocations.judge(grantId, Number(revision))
    if (standing === 'revoked') {
      throw refuse('revoked', 'The access token was revoked. Use the refresh token, or authorize again.')
    }
    if (standing === 'unknown') {
      throw new AccessError({
        status: 503,
        reason: 'revocations_unavailable',
        description: 'Access tokens cannot be verified at the moment. The token may be good: keep it and try again.',
        retryAfter: 5,
      })
    }
  }

  /** RFC 9449 section 7.2: a token that is bound to a key is not taken without its proof, whoever sends it. */
  function checkBearer({ keyThumbprint }: VerifiedToken): void {
    if (keyThumbprint === undefined && options.dpop !== 'required') return
    const description =
      keyThumbprint === undefined
        ? 'This API takes only tokens that are bound to a key. Get one with a DPoP proof.'
        : 'The access token is bound to a key. Send it as Authorization: DPoP ..., with a proof.'
    throw refuse('wrong_scheme', description, { schemes: ['DPoP'] })
  }

  async function verifyBound(token: string, request: ProvenRequest): Promise<VerifiedToken> {
    const verified = await check(token).catch((error: unknown) => {
      if (!(error instanceof AccessError) || error.status !== 401) throw error
      throw refuse(error.reason, error.description, { schemes: ['DPoP'], cause: error.cause })
    })
    if (verified.keyThumbprint === undefined) {
      const schemes: Scheme[] = [options.dpop === 'required' ? 'DPoP' : 'Bearer']
      throw refuse('wrong_scheme', 'The access token is bound to no key, so it is no DPoP token.', { schemes })
    }
    const proof = await checkProof(request, token, verified.keyThumbprint, now())
    if (proof.fault !== undefined) throw refuse('invalid_proof', proof.fault, { schemes: ['DPoP'] })
    if (!(await isNew(proof.key, proof.remember))) {
      throw refuse('proof_replayed', 'This proof was used already. Make one for each request.', { schemes: ['DPoP'] })
    }
    return verified
  }

  async function isNew(key: string, seconds: number): Promise<boolean> {
    try {
      return await replays.remember(key, seconds)
    } catch (cause) {
      const description = 'Proofs cannot be checked at the moment. The token may be good: keep it and try again.'
      throw new AccessError({ status: 503, reason: 'proofs_unavailable', description, retryAfter: 5, cause })
    }
  }

  async function authenticate(header: string | undefined, request?: ProvenRequest): Promise<VerifiedToken> {
    const text = header?.trim() ?? ''
    const bound = options.dpop !== undefined || request !== undefined
    const schemes: Scheme[] = [
      ...(options.dpop === 'required' ? [] : ['Bearer' as const]),
      ...(bound ? ['DPoP' as const] : []),
    ]
    const scheme = /^(bearer|dpop)(?:\s|$)/i.exec(text)?.[1]?.toLowerCase()
    if (scheme === undefined || (scheme === 'dpop' && !bound)) {
      const ways = schemes.map((name) => `${name} ...`).join(', or ')
      throw refuse('missing_token', `Send the access token in the header: Authorization: ${ways}`, { schemes })
    }
    const token = presented.exec(text)?.[1]
    if (token === undefined) {
      const name = scheme === 'dpop' ? 'DPoP' : 'Bearer'
      const description = `The Authorization header must be the word ${name}, a space, and one access token.`
      throw refuse('malformed_authorization', description, { status: 400, schemes: [name] })
    }
    if (scheme === 'bearer') return verify(token)
    if (!request) throw new TypeError('authenticate: tell it of the request, so that its proof can be checked')
    return verifyBound(token, request)
  }

  return {
    verify,
    authenticate,
    follow: async () => revocations?.follow(),
    feedState: () => revocations?.state() ?? 'off',
    close: () => revocations?.close(),
  }
}

/** RFC 7515 section 4.1.9: `application/` may be left out; media types have no case. */
function normalizeType(typ: string): string {
  return typ.toLowerCase().replace(/^application\//, '')
}
