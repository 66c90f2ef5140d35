/**
 * Rules for the public keys with which clients authenticate (SMART "Client Authentication: Asymmetric", RFC 7517). Pure.
 *
 * Owns: which keys are good ones, wherever they come from. Does not own: fetching them, or what they may sign (oidc).
 */
import { createPublicKey, type JsonWebKey } from 'node:crypto'

export type Jwk = Record<string, unknown>

const privateMembers = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k', 'priv']
const fewestRsaBits = 2048
/** A larger one makes each check cost more, for whoever wants that. */
const mostRsaBits = 8192
const curves: Record<string, readonly string[]> = { EC: ['P-256', 'P-384'], OKP: ['Ed25519'] }

/** What is wrong with a key, or null. */
export function publicKeyFault(jwk: Jwk): string | null {
  const { kty, kid, use, key_ops: operations } = jwk
  const secret = privateMembers.filter((name) => Object.hasOwn(jwk, name))
  if (secret.length > 0)
    return `must be a public key, without ${secret.join(', ')}: whoever has read it can sign with it`
  if (typeof kid !== 'string' || kid === '' || kid.length > 200) return 'must have a kid, of at most 200 characters'
  if (use !== undefined && use !== 'sig') return 'must be for signatures: use is sig, or left out'
  if (operations !== undefined && !(Array.isArray(operations) && operations.includes('verify')))
    return 'must be for signatures: key_ops has verify, or is left out'
  if (kty !== 'RSA' && !curves[String(kty)]?.includes(String(jwk.crv)))
    return 'must be an RSA key, or one on P-256, P-384 or Ed25519'
  try {
    const { asymmetricKeyDetails: details } = createPublicKey({ key: jwk as JsonWebKey, format: 'jwk' })
    const bits = details?.modulusLength ?? fewestRsaBits
    if (bits < fewestRsaBits) return `must have ${fewestRsaBits} bits or more`
    if (bits > mostRsaBits) return `must have ${mostRsaBits} bits or fewer`
  } catch {
    return 'is no key: its numbers do not belong together'
  }
  return null
}

/** Every fault of a registered set: of each key, and a kid that two keys of one kind have. */
export function keySetFaults({ keys }: { keys: readonly Jwk[] }): { path: string; message: string }[] {
  return keys.flatMap((jwk, index) => {
    const fault = publicKeyFault(jwk)
    if (fault) return [{ path: `keys.${index}`, message: fault }]
    const twin = keys.findIndex((other) => other.kid === jwk.kid && other.kty === jwk.kty)
    return twin < index ? [{ path: `keys.${index}.kid`, message: 'is that of another key of the same kty' }] : []
  })
}

/** What is wrong with the address of a key set, or null: https, or plain http on this machine for an issuer that is there too. */
export function keySetUrlFault(text: string, { loopback }: { loopback: boolean }): string | null {
  const url = URL.parse(text)
  if (!url || (url.protocol !== 'https:' && !(loopback && url.protocol === 'http:'))) return 'must be an https address'
  if (url.username || url.password) return 'must not have a user name or password'
  return text.includes('#') ? 'must not have a fragment' : null
}
