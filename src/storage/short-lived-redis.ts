/**
 * The short-lived contract on Redis. Each operation is one script on one key, so it is atomic, also in a Cluster; an index
 * is a key of its own, written before the record, and may name records that are gone or no longer carry that index.
 *
 * Time is the caller's: a record's expiry is kept with it and compared with `now`. The key lives SLACK_MS longer, so that
 * Redis removes it without being asked, and nodes whose clocks differ a little agree until then.
 *
 * What is sent again after a lost answer knows its own success by a nonce. Counters have none: a count whose answer was
 * lost may count twice, never not at all. A deletion and a write may cross when an answer is lost; what must not come back
 * (a revoked grant) is durable and elsewhere.
 */
import { Unavailable } from '../errors.ts'
import { randomToken } from '../secrets.ts'
import type { Redis } from './redis.ts'
import { createDoubts } from './redis-doubts.ts'
import { keyHash, keysOf } from './redis-keys.ts'
import { ADD, COUNT, DELETE_IF, INDEX, SET, USE } from './redis-scripts.ts'
import type { Count, Index, ShortLived } from './short-lived.ts'

const SLACK_MS = 30_000

interface Held<T> {
  value: T
  usedAt: number | null
  /** Hash of the uid it was set with. */
  uid: string | null
}

/** One per issuer. `issuer` is its id, `{plan}/{environment}`. */
export function createRedisShortLived(options: {
  redis: Redis
  issuer: string
  now: () => number
  nonce?: () => string
}): ShortLived {
  const { redis, issuer, now, nonce = () => randomToken(12) } = options
  const keys = keysOf(issuer)
  const doubts = createDoubts({ redis })

  const ttlUntil = (expiresAt: number): number => Math.max(0, Math.ceil(expiresAt - now())) + SLACK_MS

  async function read<T>(at: string): Promise<Held<T> | undefined> {
    await doubts.settle(at)
    const [value, expiresAt, usedAt, uid] = await redis.run((commands) => commands.hmget(at, 'v', 'e', 'u', 'i'))
    if (!value || Number(expiresAt) <= now()) return undefined
    return { value: JSON.parse(value), usedAt: usedAt ? Number(usedAt) : null, uid: uid ?? null }
  }

  /** The index comes first: without it a record could not be deleted; without the record it does no harm. */
  async function writeIndex(kind: string, key: string, expiresAt: number, { uid, grant, member }: Index) {
    const ttl = ttlUntil(expiresAt)
    const entry = [keys.place(kind, key), expiresAt, now() - SLACK_MS, ttl]
    const writes: Promise<unknown>[] = []
    if (uid !== undefined) {
      const text = JSON.stringify(key)
      writes.push(redis.run((commands) => commands.set(keys.uid(kind, uid), text, 'PX', ttl)))
    }
    if (grant !== undefined) writes.push(redis.script(INDEX, keys.grant(grant), entry))
    if (member !== undefined) writes.push(redis.script(INDEX, keys.member(kind, member), entry))
    await Promise.all(writes)
  }

  async function deleteIndexed(index: string, field: 'g' | 'm', hash: string): Promise<void> {
    const places = await redis.run((commands) => commands.zrange(index, '0', '-1'))
    // Entries stay until they expire: removing one could cross with a record that is being written just now.
    await Promise.all(places.map((place) => redis.script(DELETE_IF, keys.recordAt(place), [field, hash])))
  }

  return {
    async get<T>(kind: string, key: string) {
      const held = await read<T>(keys.record(kind, key))
      return held && { value: held.value, usedAt: held.usedAt }
    },

    async set(kind, key, value, expiresAt, index = {}) {
      const text = textOf(value)
      finite(expiresAt)
      await writeIndex(kind, key, expiresAt, index)
      const fields = Object.entries({ i: index.uid, g: index.grant, m: index.member }).flatMap(([field, indexed]) =>
        indexed === undefined ? [] : [field, keyHash(indexed)],
      )
      const at = keys.record(kind, key)
      await redis.script(SET, at, [nonce(), text, expiresAt, ttlUntil(expiresAt), ...fields])
    },

    async delete(kind, key) {
      await redis.run((commands) => commands.del(keys.record(kind, key)))
    },

    use(kind, key, by = nonce()) {
      const at = keys.record(kind, key)
      return doubts.guard(at, by, async (own) => {
        const answer = await redis.script(USE, at, [own, now()])
        if (answer === 'first' || answer === 'again' || answer === 'missing') return answer
        throw new Unavailable('a use was taken back before it was done')
      })
    },

    takeBack: (kind, key, by) => doubts.takeBack(keys.record(kind, key), by),

    async addIfAbsent(kind, key, value, expiresAt) {
      const text = textOf(value)
      finite(expiresAt)
      const at = keys.record(kind, key)
      return doubts.guard(at, nonce(), async (own) => {
        const added = await redis.script(ADD, at, [own, text, expiresAt, ttlUntil(expiresAt), now()])
        if (added === 1 || added === 0) return added === 1
        throw new Unavailable('an addition was taken back before it was done')
      })
    },

    async increment(kind, key, windowMs) {
      finite(windowMs)
      const at = now()
      const answer = await redis.script(COUNT, keys.counter(kind, key), [at, at + windowMs, windowMs + SLACK_MS])
      const [count, expiresAt] = answer as [number, string]
      return { count, expiresAt: Number(expiresAt) }
    },

    async count(kind, key): Promise<Count | undefined> {
      const [count, expiresAt] = await redis.run((commands) => commands.hmget(keys.counter(kind, key), 'c', 'e'))
      if (!count || Number(expiresAt) <= now()) return undefined
      return { count: Number(count), expiresAt: Number(expiresAt) }
    },

    async reset(kind, key) {
      await redis.run((commands) => commands.del(keys.counter(kind, key)))
    },

    async findByUid<T>(kind: string, uid: string) {
      const text = await redis.run((commands) => commands.get(keys.uid(kind, uid)))
      if (text === null) return undefined
      const key: string = JSON.parse(text)
      const held = await read<T>(keys.record(kind, key))
      return held?.uid === keyHash(uid) ? { key, value: held.value } : undefined
    },

    deleteByGrant: (grant) => deleteIndexed(keys.grant(grant), 'g', keyHash(grant)),

    deleteByMember: (kind, member) => deleteIndexed(keys.member(kind, member), 'm', keyHash(member)),
  }
}

function textOf(value: unknown): string {
  if (value === undefined) throw new TypeError('undefined cannot be stored; give what JSON can say')
  return JSON.stringify(value)
}

function finite(time: number): void {
  if (!Number.isSafeInteger(time)) throw new TypeError('a time is a whole number of milliseconds')
}
