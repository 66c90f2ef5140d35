/**
 * Software statements (RFC 7591 section 2.3): what somebody whom the operator trusts says of an app, signed.
 *
 * Owns: whose are believed, signature and times, whom one is for, that each registers one app.
 * Does not own: what its claims mean (client-metadata.ts), or when it counts for another statement (registration.ts).
 */
import {
  createLocalJWKSet,
  createRemoteJWKSet,
  customFetch,
  decodeJwt,
  errors,
  type FetchImplementation,
  type JSONWebKeySet,
  type JWTPayload,
  type JWTVerifyGetKey,
  jwtVerify,
} from 'jose'
import type { StatementIssuer } from '../config/settings.ts'
import { LatchkeyError, Unavailable } from '../errors.ts'
import { sha256 } from '../secrets.ts'
import type { ShortLived } from '../storage/short-lived.ts'

export interface Statement {
  text: string
  issuer: string
  /** What it says of the app. */
  claims: Record<string, unknown>
  /** Takes it up; false where it was before. */
  use(): Promise<boolean>
  /** Undoes `use`, where nothing came of it. */
  giveBack(): Promise<void>
}

const longest = 16_384
/** For clocks that differ, in seconds. */
const tolerance = 30
const cacheMillis = 600_000
/** A JWT of another kind by the same issuer is none, whatever is in it (RFC 8725 section 3.11). */
const types: readonly unknown[] = [undefined, 'jwt', 'software-statement+jwt']
/** Of the statement itself. */
const ownClaims = new Set(['iss', 'sub', 'aud', 'exp', 'nbf', 'iat', 'jti'])

const invalid = (description: string, cause?: unknown): LatchkeyError =>
  new LatchkeyError('invalid_software_statement', 400, { message: description, cause })

/** Words that may be told, of what is wrong with a statement. */
const reasonOf = (error: unknown): string => {
  if (error instanceof errors.JWTExpired) return 'the software statement has expired'
  if (error instanceof errors.JWTClaimValidationFailed) return `its claim ${error.claim} is not as it must be`
  if (error instanceof errors.JOSEAlgNotAllowed) return 'it is signed in a way that is not accepted of its issuer'
  if (error instanceof errors.JWSSignatureVerificationFailed || error instanceof errors.JWKSNoMatchingKey)
    return 'no key of its issuer verifies its signature'
  return 'it is no signed JWT'
}

const keysOf = ({ jwks, jwksUri }: StatementIssuer, fetch: FetchImplementation): JWTVerifyGetKey =>
  jwksUri === null
    ? createLocalJWKSet((jwks ?? { keys: [] }) as JSONWebKeySet)
    : createRemoteJWKSet(new URL(jwksUri), { [customFetch]: fetch, cacheMaxAge: cacheMillis })

/** Keys that cannot be had now are no fault of the statement (R43). */
const isOurs = (error: unknown): boolean =>
  !(error instanceof errors.JOSEError) ||
  error instanceof errors.JWKSTimeout ||
  error instanceof errors.JWKSInvalid ||
  error.code === 'ERR_JOSE_GENERIC'

export const createSoftwareStatements = (deps: {
  issuers: readonly StatementIssuer[]
  /** What a statement may name as its audience. */
  audiences: readonly string[]
  /** Reaches the public internet only. */
  fetch: FetchImplementation
  shortLived: ShortLived
  now: () => number
}) => {
  const { audiences, shortLived, now } = deps
  const trusted = new Map(deps.issuers.map((each) => [each.issuer, { ...each, keys: keysOf(each, deps.fetch) }]))

  type Trusted = StatementIssuer & { keys: JWTVerifyGetKey }

  const verified = async (text: string, { keys, algorithms, issuer }: Trusted) => {
    try {
      return await jwtVerify(text, keys, {
        issuer,
        algorithms,
        requiredClaims: ['exp', 'jti'],
        clockTolerance: tolerance,
        currentDate: new Date(now()),
      })
    } catch (error) {
      if (isOurs(error)) throw new Unavailable(`the keys of ${issuer} could not be had`, { cause: error })
      throw invalid(reasonOf(error), error)
    }
  }

  const checkAudience = ({ aud }: JWTPayload): void => {
    if (aud === undefined) return
    if (![aud].flat().some((each) => audiences.includes(each))) throw invalid('it is for another server: see its aud')
  }

  return {
    /**
     * The statement that a text is. Throws `invalid_software_statement` for what is not sound, `unapproved_software_statement`
     * for one of an issuer that is not trusted here.
     */
    async read(text: unknown): Promise<Statement> {
      if (typeof text !== 'string' || text.length > longest) throw invalid('it is no signed JWT')
      let iss: string | undefined
      try {
        iss = decodeJwt(text).iss
      } catch (cause) {
        throw invalid('it is no signed JWT', cause)
      }
      const source = trusted.get(iss ?? '')
      if (!source)
        throw new LatchkeyError('unapproved_software_statement', 400, {
          message: 'software statements of its issuer are not accepted here',
        })
      const { payload, protectedHeader } = await verified(text, source)
      if (!types.includes(protectedHeader.typ?.toLowerCase()))
        throw invalid('its typ is not that of a software statement')
      checkAudience(payload)
      const { jti, exp = 0, iat } = payload
      if (typeof jti !== 'string' || jti === '') throw invalid('its claim jti is not as it must be')
      if (iat !== undefined && iat > now() / 1000 + tolerance) throw invalid('it was made in the future')
      const key = sha256(JSON.stringify([source.issuer, jti]))
      return {
        text,
        issuer: source.issuer,
        claims: Object.fromEntries(Object.entries(payload).filter(([name]) => !ownClaims.has(name))),
        use: () => shortLived.addIfAbsent('software-statement', key, 1, (exp + tolerance) * 1000),
        giveBack: () => shortLived.delete('software-statement', key),
      }
    },
  }
}

export type SoftwareStatements = ReturnType<typeof createSoftwareStatements>
