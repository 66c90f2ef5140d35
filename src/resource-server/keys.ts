/**
 * The issuer's public keys: fetched, kept for a while, and fetched again when a token names an unknown one.
 *
 * Owns: the cache, the cooldown, and the difference between "no such key" and "the keys cannot be had".
 * Does not own: tokens. A header's own key or key address (jku, jwk, x5u) is never looked at.
 */
import { type CryptoKey, createLocalJWKSet, errors, type JSONWebKeySet, type JWTHeaderParameters } from 'jose'
import { discover, fetchJson } from './documents.ts'

export interface IssuerKeysOptions {
  issuer: string
  jwksUri: string | undefined
  fetch: typeof fetch
  now: () => number
  cacheSeconds: number
  cooldownSeconds: number
}

/** The keys cannot be had at the moment; says nothing about any token. */
class KeysUnavailable extends Error {
  override readonly name = 'KeysUnavailable'
}

export interface IssuerKeys {
  /** Undefined if the issuer has no such key. Throws KeysUnavailable. */
  find(header: JWTHeaderParameters): Promise<CryptoKey | undefined>
}

/** While the issuer cannot be reached it is asked again this often, not at every request. */
const retrySeconds = 5

interface KeySet {
  find: ReturnType<typeof createLocalJWKSet>
  kids: ReadonlySet<string>
  fetchedAt: number
}

export function createIssuerKeys(options: IssuerKeysOptions): IssuerKeys {
  const { fetch, now } = options
  let current: KeySet | undefined
  let pending: Promise<KeySet> | undefined
  let failedAt = Number.NEGATIVE_INFINITY
  let failure: unknown

  const age = (since: number) => (now() - since) / 1000

  async function load(): Promise<KeySet> {
    const uri = options.jwksUri ?? (await discoverJwksUri(options.issuer, fetch))
    const jwks = asKeySet(await fetchJson(uri, fetch))
    const kids = new Set(jwks.keys.flatMap((key) => (typeof key.kid === 'string' ? [key.kid] : [])))
    return { find: createLocalJWKSet(jwks), kids, fetchedAt: now() }
  }

  /** One fetch at a time, however many requests wait for it. */
  async function refresh(): Promise<KeySet> {
    if (age(failedAt) < retrySeconds) throw new KeysUnavailable('the issuer could not be reached', { cause: failure })
    pending ??= load().finally(() => {
      pending = undefined
    })
    try {
      current = await pending
      return current
    } catch (error) {
      failedAt = now()
      failure = error
      throw new KeysUnavailable('the issuer could not be reached', { cause: error })
    }
  }

  async function keySetFor(kid: string): Promise<KeySet> {
    if (!current) return refresh()
    const known = current.kids.has(kid)
    if (known && age(current.fetchedAt) < options.cacheSeconds) return current
    if (!known && age(current.fetchedAt) < options.cooldownSeconds) return current
    const last = current
    return refresh().catch((error: unknown) => {
      // An issuer that is away for a moment does not stop an API whose keys are known: one more cache period is allowed.
      if (known && age(last.fetchedAt) < 2 * options.cacheSeconds) return last
      throw error
    })
  }

  return {
    async find(header) {
      const keySet = await keySetFor(header.kid ?? '')
      if (!keySet.kids.has(header.kid ?? '')) return undefined
      return keySet.find(header).catch((error: unknown) => {
        // Of the right kid, but of another kind or use than `alg` needs: no key either.
        if (error instanceof errors.JWKSNoMatchingKey) return undefined
        throw new KeysUnavailable('the issuer has published a key that cannot be used', { cause: error })
      })
    },
  }
}

async function discoverJwksUri(issuer: string, fetcher: typeof fetch): Promise<string> {
  const document = await discover(issuer, fetcher)
  if (typeof document.jwks_uri !== 'string') throw new Error('the discovery document has no jwks_uri')
  return document.jwks_uri
}

function asKeySet(document: Record<string, unknown>): JSONWebKeySet {
  if (!Array.isArray(document.keys)) throw new Error('the key set has no keys')
  return { keys: document.keys }
}
