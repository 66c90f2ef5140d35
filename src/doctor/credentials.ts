/**
 * How a client says who it is: by nothing but its name, by a secret, or by an assertion (private_key_jwt).
 *
 * Owns: assertions, right ones and wrong ones. Does not own: what they are presented for.
 */
import { importJWK, type JWK, type JWTHeaderParameters, SignJWT } from 'jose'
import { LatchkeyError } from '../errors.ts'
import { randomToken } from '../secrets.ts'

export interface ClientCredentials {
  clientId: string
  secret?: string | undefined
  /** A private JWK with kid and alg. */
  key?: JWK | undefined
}

/** What goes into a request. */
export interface Presented {
  headers: Record<string, string>
  fields: Record<string, string>
}

/** What an assertion says; everything that is left out is as it should be. */
export interface AssertionWishes {
  audience: string
  jti?: string
  lifeSeconds?: number
  issuer?: string
  key?: JWK
  header?: Partial<JWTHeaderParameters>
}

const keyTypes: Record<string, string> = { 'P-256': 'ES256', 'P-384': 'ES384', Ed25519: 'EdDSA' }

/** The algorithm of a key: what it says, or what SMART requires of its kind. */
export const algorithmOf = ({ alg, kty, crv }: JWK): string =>
  alg ?? (kty === 'RSA' ? 'RS384' : (keyTypes[crv ?? ''] ?? 'ES384'))

/** Signs an assertion (RFC 7523; SMART "Client Authentication: Asymmetric"). */
export const makeAssertion = async (
  { clientId, key: own }: ClientCredentials,
  { audience, jti = randomToken(16), lifeSeconds = 240, issuer = clientId, key = own, header = {} }: AssertionWishes,
  now: number,
): Promise<string> => {
  if (!key) throw new LatchkeyError('no_key', 400, { message: 'an assertion needs a key' })
  const alg = algorithmOf(key)
  const seconds = Math.floor(now / 1000)
  return new SignJWT({ jti })
    .setProtectedHeader({ alg, typ: 'JWT', ...(key.kid ? { kid: key.kid } : {}), ...header })
    .setIssuer(issuer)
    .setSubject(clientId)
    .setAudience(audience)
    .setIssuedAt(seconds)
    .setExpirationTime(seconds + lifeSeconds)
    .sign(await importJWK(key, alg))
}

export const ASSERTION_TYPE = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'

export const asFields = (assertion: string): Record<string, string> => ({
  client_assertion_type: ASSERTION_TYPE,
  client_assertion: assertion,
})

/** RFC 6749 §2.3.1: each part is encoded as in a form before they are joined. */
export const basic = (clientId: string, secret: string): Record<string, string> => {
  const encoded = [clientId, secret].map((part) => new URLSearchParams({ x: part }).toString().slice(2)).join(':')
  return { authorization: `Basic ${Buffer.from(encoded).toString('base64')}` }
}

/** As the client would do it. */
export const present = async (credentials: ClientCredentials, audience: string, now: number): Promise<Presented> => {
  const { clientId, secret, key } = credentials
  if (key) return { headers: {}, fields: asFields(await makeAssertion(credentials, { audience }, now)) }
  if (secret !== undefined) return { headers: basic(clientId, secret), fields: {} }
  return { headers: {}, fields: { client_id: clientId } }
}
