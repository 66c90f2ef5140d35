/** Public keys that an app hands in (RFC 7517; SMART "Registering a client using asymmetric authentication"). Pure. */
import { publicKeyFault } from '../config/public-keys.ts'
import type { Fault } from '../errors.ts'

const mostKeys = 20

/** Which algorithms a key of each type and curve can verify. */
const algorithmsOf = ({ kty, crv }: Record<string, unknown>): readonly string[] => {
  if (kty === 'RSA') return ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512']
  if (kty === 'EC' && crv === 'P-256') return ['ES256']
  if (kty === 'EC' && crv === 'P-384') return ['ES384']
  if (kty === 'OKP' && crv === 'Ed25519') return ['EdDSA', 'Ed25519']
  return []
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** Beside what every key must be: an `alg` of its own type. */
function keyFault(key: Record<string, unknown>): string | null {
  const fault = publicKeyFault(key)
  if (fault) return fault
  const possible = algorithmsOf(key)
  return key.alg === undefined || possible.some((name) => name === key.alg) ? null : 'has an alg of another type of key'
}

/** Can one of the keys sign in a way that is accepted? */
const fits = (key: Record<string, unknown>, accepted: readonly string[]): boolean =>
  algorithmsOf(key).some((name) => accepted.includes(name) && (key.alg === undefined || key.alg === name))

/** What is wrong with a key set, each fault at its key. `accepted`: how the app may sign (RFC 7518 names). */
export function keySetFaults(jwks: unknown, accepted: readonly string[], path = 'jwks'): Fault[] {
  const keys = isRecord(jwks) ? jwks.keys : undefined
  if (!Array.isArray(keys) || keys.length === 0 || keys.length > mostKeys || !keys.every(isRecord))
    return [{ path, message: `must be a JWK Set, {"keys": [...]}, of 1 to ${mostKeys} public keys` }]
  const faults = keys.flatMap((key, index): Fault[] => {
    const at = `${path}.keys.${index}`
    const message = keyFault(key)
    if (message) return [{ path: at, message }]
    const twin = keys.findIndex((other) => other.kid === key.kid && other.kty === key.kty) < index
    return twin ? [{ path: at, message: 'has the kid of another key' }] : []
  })
  if (faults.length === 0 && !keys.some((key) => fits(key, accepted)))
    faults.push({ path, message: `must have a key that can sign ${accepted.join(', ')}` })
  return faults
}

/** The members of public keys alone: nothing else of what was sent is kept. */
export function publicKeySet(jwks: { keys: Record<string, unknown>[] }): { keys: Record<string, unknown>[] } {
  const kept = ['kty', 'kid', 'use', 'alg', 'key_ops', 'n', 'e', 'crv', 'x', 'y']
  return {
    keys: jwks.keys.map((key) =>
      Object.fromEntries(kept.filter((name) => name in key).map((name) => [name, key[name]])),
    ),
  }
}
