/**
 * Authentication with a key of the client's own: `private_key_jwt` (SMART "Client Authentication: Asymmetric", RFC 7523 §3, FAPI 2.0 §5.3.2.1).
 *
 * Owns: what an assertion must be, by its client's profile, and the one key that it must be signed with.
 * Does not own: the signature and that it counts once (the engine, adapter.ts), or where keys come from (client-keys.ts).
 * What costs nothing comes first: an assertion that is wrong in itself makes us fetch no keys.
 */
import { decodeJwt, decodeProtectedHeader, type JWTHeaderParameters, type JWTPayload } from 'jose'
import { type Jwk, publicKeyFault } from '../config/public-keys.ts'
import type { Environment } from '../config/settings.ts'
import { FetchRefused } from '../web/guarded-fetch.ts'
import type { ClientKeys } from './client-keys.ts'
import type { ClientRecord } from './clients.ts'
import { type EngineContext, errors } from './engine.ts'
import { type ProfileName, profiles } from './profiles.ts'
import { stateOf } from './request-state.ts'

/** Every algorithm that some profile accepts. */
export const assertionAlgorithms: readonly string[] = [
  ...new Set(Object.values(profiles).flatMap((profile) => profile.assertionAlgorithms)),
]

/** SMART: "no more than five minutes in the future". */
const longestSeconds = 300
/** By how much clocks may differ; the engine's own tolerance. */
const leewaySeconds = 15
const longestId = 256
const mostJudged = 1000

/** `invalid_client`, with what its developer must know. All of it is in the assertion itself, or public. */
export class AssertionRefused extends errors.InvalidClientAuth {
  constructor(description: string) {
    super({ detail: description })
    this.error_description = description
  }
}

export interface Assertion {
  header: JWTHeaderParameters
  claims: JWTPayload
}

/** Whom it is judged for, and when. */
export interface Judging {
  clientId: string
  profile: ProfileName
  jwksUri: string | null
  issuer: string
  /** The addresses of the token endpoint, and others where clients authenticate, as they are configured. */
  endpoints: ReadonlySet<string>
  /** Seconds since the epoch. */
  now: number
}

const isTime = (value: unknown): value is number => typeof value === 'number' && Number.isFinite(value)
const isId = (value: unknown): boolean => typeof value === 'string' && value !== '' && value.length <= longestId

/** The rules in their order: who breaks one is told so. */
const rules: readonly [(assertion: Assertion, judging: Judging) => boolean, (judging: Judging) => string][] = [
  [
    ({ header: { alg } }, { profile }) => profiles[profile].assertionAlgorithms.includes(String(alg)),
    ({ profile }) => `it must be signed by ${profiles[profile].assertionAlgorithms.join(' or ')}`,
  ],
  [
    ({ header: { typ } }) => typ === undefined || /^(?:application\/)?(?:jwt|client-authentication\+jwt)$/i.test(typ),
    () => 'typ must be JWT or client-authentication+jwt, or left out',
  ],
  [
    ({ header }) => ['jwk', 'x5u', 'x5c', 'crit'].every((name) => !Object.hasOwn(header, name)),
    () => 'jwk, x5u, x5c and crit are not accepted in its header',
  ],
  [({ header: { kid } }) => isId(kid), () => 'its header must have the kid of the key'],
  [
    ({ header: { jku } }, { jwksUri }) => jku === undefined || jku === jwksUri,
    () => 'jku must be the registered jwks_uri, or left out',
  ],
  [
    ({ claims: { iss, sub } }, { clientId }) => iss === clientId && sub === clientId,
    () => 'iss and sub must be the client_id',
  ],
  [
    ({ claims: { aud } }, { profile, issuer, endpoints }) => {
      if (profiles[profile].assertionAudience === 'issuer') return aud === issuer
      const named: unknown[] = Array.isArray(aud) ? aud : [aud]
      return named.length > 0 && named.every((each) => each === issuer || endpoints.has(String(each)))
    },
    ({ profile, issuer }) =>
      profiles[profile].assertionAudience === 'issuer'
        ? `aud must be ${issuer}, as a single string`
        : `aud must be the token endpoint's address as discovery names it, or ${issuer}, and nothing else`,
  ],
  [({ claims: { exp } }) => isTime(exp), () => 'exp is missing'],
  [
    ({ claims: { exp = 0 } }, { now }) => exp > now - leewaySeconds,
    () => 'it has expired: make a new one for each request',
  ],
  [
    ({ claims: { exp = 0 } }, { now }) => exp <= now + longestSeconds + leewaySeconds,
    () => 'exp must be no more than five minutes ahead',
  ],
  [
    ({ claims: { iat, nbf } }, { now }) =>
      [iat, nbf].every((time) => time === undefined || (isTime(time) && time <= now + leewaySeconds)),
    () => 'iat and nbf must not be in the future',
  ],
  [
    ({ claims: { jti } }) => isId(jti),
    () => `jti must be a text of 1 to ${longestId} characters, new in each assertion`,
  ],
]

/** What is wrong with an assertion whatever its signature, or undefined. */
export const assertionFault = (assertion: Assertion, judging: Judging): string | undefined =>
  rules.find(([holds]) => !holds(assertion, judging))?.[1](judging)

const read = (assertion: string): Assertion | undefined => {
  try {
    return { header: decodeProtectedHeader(assertion) as JWTHeaderParameters, claims: decodeJwt(assertion) }
  } catch {
    return undefined
  }
}

const keyTypes: Record<string, string> = { RS: 'RSA', PS: 'RSA', ES: 'EC', Ed: 'OKP' }
/** No other member of a key is of any use to the engine. */
const keyMembers = ['kty', 'kid', 'alg', 'use', 'key_ops', 'n', 'e', 'crv', 'x', 'y']

export const createClientAssertions = (deps: { environment: Environment; keys: ClientKeys; now: () => number }) => {
  const { environment, keys, now } = deps
  const { issuer } = environment
  const endpoints = new Set(
    [environment.endpoints.token, environment.endpoints.pushedAuthorization]
      .flatMap(({ path, aliases }) => [path, ...aliases])
      .map((path) => new URL(path, issuer).href),
  )

  /** Keys that were looked at, and what is wrong with them: reading one costs a tenth or more of what using it does. */
  const judged = new Map<string, string | null>()
  const faultOf = (key: Jwk): string | null => {
    const text = JSON.stringify(key)
    const known = judged.get(text)
    if (known !== undefined) return known
    if (judged.size >= mostJudged) judged.clear()
    const fault = publicKeyFault(key)
    judged.set(text, fault)
    return fault
  }

  const candidates = async (client: ClientRecord, fits: (jwk: Jwk) => boolean): Promise<Jwk[]> => {
    if (!client.jwksUri) return client.jwks?.keys.filter(fits) ?? []
    try {
      return await keys(client.jwksUri, fits)
    } catch (error) {
      // The client's own host, so nothing that we could mend: it is told, and SMART calls it `invalid_client`.
      if (error instanceof FetchRefused)
        throw new AssertionRefused(`no keys from the registered jwks_uri: ${error.message}`)
      throw error
    }
  }

  /** Exactly one key with the kid and the kty (SMART, "Signature Verification"). */
  const keyOf = async ({ header: { alg = '', kid } }: Assertion, client: ClientRecord): Promise<Jwk> => {
    const kty = keyTypes[alg.slice(0, 2)]
    const [key, ...more] = await candidates(client, (jwk) => jwk.kid === kid && jwk.kty === kty)
    if (!key) throw new AssertionRefused('client_assertion: no registered key has its kid and fits its alg')
    if (more.length > 0) throw new AssertionRefused('client_assertion: several registered keys have its kid')
    const fault = faultOf(key)
    if (fault) throw new AssertionRefused(`client_assertion: its key ${fault}`)
    return Object.fromEntries(keyMembers.filter((name) => Object.hasOwn(key, name)).map((name) => [name, key[name]]))
  }

  return {
    /** What `aud` may be. The engine would believe the Host header. */
    audiences: new Set([issuer, ...endpoints]),

    /**
     * The key with which this request's assertion must be signed, where it has one of this client. Asked before the engine
     * looks at it. Throws `AssertionRefused`.
     */
    async keyFor(ctx: EngineContext | undefined, client: ClientRecord): Promise<Jwk | undefined> {
      const presented = ctx?.oidc?.params?.client_assertion
      if (client.authMethod !== 'private_key_jwt' || typeof presented !== 'string') return undefined
      const assertion = read(presented)
      if (!assertion || assertion.claims.sub !== client.clientId) return undefined
      const { clientId, profile, jwksUri } = client
      const judging = { clientId, profile, jwksUri, issuer, endpoints, now: Math.floor(now() / 1000) }
      const fault = assertionFault(assertion, judging)
      if (fault) throw new AssertionRefused(`client_assertion: ${fault}`)
      const key = await keyOf(assertion, client)
      stateOf(ctx?.req).assertion = presented
      return key
    },

    /** The engine's hook, once the signature is right: nothing passes that has not gone through the rules above. */
    confirm(ctx: EngineContext): void {
      if (stateOf(ctx.req).assertion !== ctx.oidc.params?.client_assertion)
        throw new errors.InvalidClientAuth({ detail: 'an assertion that was not judged' })
    },
  }
}

export type ClientAssertions = ReturnType<typeof createClientAssertions>
