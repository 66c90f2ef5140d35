/**
 * Atomic operations whose answer never came. The caller was told `Unavailable`, so they must not count: what was presented
 * works afterwards (R43). Whether Redis did them, or will when it goes on after a pause, cannot be known; so they are taken
 * back, by nonce, which undoes them if they were done and forbids them if they were not.
 *
 * Owns: which operations are in doubt on this node, and taking them back, at the latest when their record is next asked
 * for. Does not own: the operations (short-lived-redis.ts).
 */
import { mayHaveRun, type Redis } from './redis.ts'
import { VOID } from './redis-scripts.ts'

const RETRY_MS = 250
/** Codes and replay ids live shorter, so after this nothing is left to be taken back. */
const GIVE_UP_MS = 600_000
/** How long Redis remembers: longer than a command can lie in the buffers of a connection that has been given up. */
const NOTE_MS = 600_000
/** More than this at once is a long outage under load; the oldest are dropped. */
const MOST = 10_000

export interface Doubts {
  /** Runs an atomic operation on `key` under this nonce; takes it back if its outcome stays unknown. */
  guard<T>(key: string, nonce: string, operation: (nonce: string) => Promise<T>): Promise<T>
  /** Takes back the operation of this nonce, whether it was done or not. */
  takeBack(key: string, nonce: string): Promise<void>
  /** Takes back what is in doubt about `key`. */
  settle(key: string): Promise<void>
}

export const createDoubts = (options: { redis: Redis; clock?: () => number }): Doubts => {
  const { redis, clock = () => performance.now() } = options
  const open = new Map<string, { nonces: Set<string>; until: number }>()
  let timer: NodeJS.Timeout | undefined

  const settle = async (key: string): Promise<void> => {
    const doubt = open.get(key)
    if (!doubt) return
    const nonces = [...doubt.nonces]
    await redis.script(VOID, key, [NOTE_MS, ...nonces])
    for (const each of nonces) doubt.nonces.delete(each)
    if (doubt.nonces.size === 0 && open.get(key) === doubt) open.delete(key)
  }

  const settleAll = async (): Promise<void> => {
    for (const [key, { until }] of [...open]) {
      if (clock() > until) open.delete(key)
      else await settle(key)
    }
  }

  const later = (): void => {
    if (timer || open.size === 0 || redis.closed()) return
    timer = setTimeout(async () => {
      // A fault means that Redis is still away: the next round tries again.
      await settleAll().catch(() => {})
      timer = undefined
      later()
    }, RETRY_MS).unref()
  }

  const add = (key: string, doubtful: string): void => {
    const doubt = open.get(key) ?? { nonces: new Set(), until: 0 }
    doubt.nonces.add(doubtful)
    doubt.until = clock() + GIVE_UP_MS
    open.delete(key)
    open.set(key, doubt)
    for (const oldest of open.keys()) {
      if (open.size <= MOST) break
      open.delete(oldest)
    }
    later()
  }

  return {
    settle,
    takeBack: async (key, nonce) => {
      await redis.script(VOID, key, [NOTE_MS, nonce])
    },
    async guard(key, own, operation) {
      await settle(key)
      try {
        return await operation(own)
      } catch (error) {
        if (mayHaveRun(error)) add(key, own)
        throw error
      }
    },
  }
}
