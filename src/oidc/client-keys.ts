/**
 * The keys that clients publish at an address of their own (`jwks_uri`).
 *
 * Owns: how long a set is kept, never longer than its host says (SMART "Client Authentication: Asymmetric"), and how often a host is asked.
 * Does not own: fetching (web/guarded-fetch.ts), or which keys are good ones (config/public-keys.ts).
 * The engine has a cache too, which keeps a set for a minute whatever its host says, and a newer key waits for that minute.
 */
import type { Jwk } from '../config/public-keys.ts'
import { type FetchedJson, FetchRefused, type GuardedFetch } from '../web/guarded-fetch.ts'

const longestMillis = 3_600_000
/** Where the host says nothing. */
const usualMillis = 300_000
/** Anybody can name a key that is not there, or a client whose host is away: nobody makes us ask more often than so. */
const restMillis = 10_000
const mostKeys = 50
const mostSets = 1000

interface Kept {
  keys: Jwk[]
  until: number
  askedAt: number
}

/** How long an answer may be kept (RFC 9111), in milliseconds. */
export const keptMillis = (headers: Headers): number => {
  const control = headers.get('cache-control')?.toLowerCase()
  if (control === undefined) return usualMillis
  if (/\b(?:no-store|no-cache)\b/.test(control)) return 0
  const [, seconds] = /(?:^|[\s,])max-age="?(\d{1,10})\b/.exec(control) ?? []
  if (seconds === undefined) return usualMillis
  const age = /^\d{1,10}$/.test(headers.get('age') ?? '') ? Number(headers.get('age')) : 0
  return Math.min(longestMillis, Math.max(0, (Number(seconds) - age) * 1000))
}

const keysOf = ({ body }: FetchedJson): Jwk[] => {
  const keys = typeof body === 'object' && body !== null && 'keys' in body ? body.keys : undefined
  const isKey = (key: unknown): key is Jwk => typeof key === 'object' && key !== null && !Array.isArray(key)
  if (!Array.isArray(keys) || keys.length > mostKeys || !keys.every(isKey))
    throw new FetchRefused(`the answer is no JSON Web Key Set of at most ${mostKeys} keys`)
  return keys
}

export const createClientKeys = (deps: { fetchJson: GuardedFetch['fetchJson']; now: () => number }) => {
  const { fetchJson, now } = deps
  const sets = new Map<string, Kept>()
  const failures = new Map<string, { error: unknown; at: number }>()
  const running = new Map<string, Promise<Kept>>()

  const forgetOldest = (map: Map<string, unknown>): void => {
    const [oldest] = map.keys()
    if (map.size > mostSets && oldest !== undefined) map.delete(oldest)
  }

  const ask = async (uri: string): Promise<Kept> => {
    // The time of an answer counts from when it was asked for: it may be as old as that.
    const askedAt = now()
    try {
      const answer = await fetchJson(uri, { accept: 'application/json' })
      const kept = { keys: keysOf(answer), until: askedAt + keptMillis(answer.headers), askedAt }
      failures.delete(uri)
      sets.delete(uri)
      sets.set(uri, kept)
      forgetOldest(sets)
      return kept
    } catch (error) {
      failures.set(uri, { error, at: now() })
      forgetOldest(failures)
      throw error
    }
  }

  /** Requests that come at once share one question. */
  const askOnce = (uri: string): Promise<Kept> => {
    const shared = running.get(uri)
    if (shared) return shared
    const asked = ask(uri).finally(() => running.delete(uri))
    running.set(uri, asked)
    return asked
  }

  /**
   * The keys of a client that fit. Where none of those that are kept does, the host is asked: it may have a newer one. A set
   * whose time is over is never used, also while its host is away. Throws `FetchRefused` where there is none to be had.
   */
  return async (uri: string, fits: (jwk: Jwk) => boolean): Promise<Jwk[]> => {
    const kept = sets.get(uri)
    if (kept && kept.until > now()) {
      const found = kept.keys.filter(fits)
      if (found.length > 0 || now() - kept.askedAt < restMillis) return found
    }
    const failure = failures.get(uri)
    if (failure && now() - failure.at < restMillis) throw failure.error
    return (await askOnce(uri)).keys.filter(fits)
  }
}

export type ClientKeys = ReturnType<typeof createClientKeys>
