/** The short-lived contract on the durable store, where no Redis is set. Each operation is one statement, so it is atomic. */
import { sql } from 'kysely'
import { randomToken, sha256 } from '../secrets.ts'
import type { Database } from './database.ts'
import { type Named, prepared } from './prepared.ts'
import type { Index, ShortLived } from './short-lived.ts'
import type { ShortLivedRow } from './tables.ts'

type Place = { issuer: string; kind: string; key: string }

const findRecord = prepared((db, value: Named<Place & { now: number }>) =>
  db
    .selectFrom('short_lived')
    .select(['value', 'used_at'])
    .where('issuer', '=', value('issuer'))
    .where('kind', '=', value('kind'))
    .where('key', '=', value('key'))
    .where('expires_at', '>', value('now')),
)

const writeRecord = prepared((db, value: Named<Omit<ShortLivedRow, 'used_at' | 'used_by'>>) => {
  const row = {
    issuer: value('issuer'),
    kind: value('kind'),
    key: value('key'),
    value: value('value'),
    expires_at: value('expires_at'),
    used_at: null,
    used_by: null,
    uid: value('uid'),
    grant_id: value('grant_id'),
    member_id: value('member_id'),
  }
  return db
    .insertInto('short_lived')
    .values(row)
    .onConflict((conflict) => conflict.columns(['issuer', 'kind', 'key']).doUpdateSet(row))
})

const deleteRecord = prepared((db, value: Named<Place>) =>
  db
    .deleteFrom('short_lived')
    .where('issuer', '=', value('issuer'))
    .where('kind', '=', value('kind'))
    .where('key', '=', value('key')),
)

const useRecord = prepared((db, value: Named<Place & { now: number; by: string }>) =>
  db
    .updateTable('short_lived')
    .set({ used_at: value('now'), used_by: value('by') })
    .where('issuer', '=', value('issuer'))
    .where('kind', '=', value('kind'))
    .where('key', '=', value('key'))
    .where('expires_at', '>', value('now'))
    .where('used_at', 'is', null)
    .where((eb) => eb.or([eb('used_by', 'is', null), eb('used_by', '!=', value('by'))]))
    .returning('key'),
)

const findByIndex = prepared((db, value: Named<{ issuer: string; kind: string; uid: string; now: number }>) =>
  db
    .selectFrom('short_lived')
    .select(['key', 'value'])
    .where('issuer', '=', value('issuer'))
    .where('kind', '=', value('kind'))
    .where('expires_at', '>', value('now'))
    .where('uid', '=', value('uid'))
    .orderBy('expires_at', 'desc')
    .limit(1),
)

/** One per issuer. `issuer` is its id, `{plan}/{environment}`. */
export function createSqlShortLived(options: { database: Database; issuer: string; now: () => number }): ShortLived {
  const { issuer, now } = options
  const { db } = options.database

  const row = (kind: string, key: string, value: unknown, expiresAt: number, index: Index = {}) => ({
    issuer,
    kind,
    key: storedKey(key),
    value: envelope(key, value),
    expires_at: expiresAt,
    used_at: null,
    used_by: null,
    uid: index.uid === undefined ? null : storedKey(index.uid),
    grant_id: index.grant === undefined ? null : storedKey(index.grant),
    member_id: index.member === undefined ? null : storedKey(index.member),
  })

  const place = (kind: string, key: string): Place => ({ issuer, kind, key: storedKey(key) })

  return {
    async get<T>(kind: string, key: string) {
      const [found] = await findRecord(db, { ...place(kind, key), now: now() })
      return found && { value: contents<T>(found.value).value, usedAt: found.used_at }
    },

    async set(kind, key, value, expiresAt, index) {
      await writeRecord(db, row(kind, key, value, expiresAt, index))
    },

    async delete(kind, key) {
      await deleteRecord(db, place(kind, key))
    },

    async use(kind, key, by = randomToken(12)) {
      const at = { ...place(kind, key), now: now() }
      const [used] = await useRecord(db, { ...at, by })
      if (used) return 'first'
      const [left] = await findRecord(db, at)
      return left ? 'again' : 'missing'
    },

    async takeBack(kind, key, by) {
      await db
        .updateTable('short_lived')
        .set({ used_at: null, used_by: by })
        .where('issuer', '=', issuer)
        .where('kind', '=', kind)
        .where('key', '=', storedKey(key))
        .where((eb) => eb.or([eb('used_at', 'is', null), eb('used_by', '=', by)]))
        .execute()
    },

    async addIfAbsent(kind, key, value, expiresAt) {
      const fresh = row(kind, key, value, expiresAt)
      const added = await db
        .insertInto('short_lived')
        .values(fresh)
        .onConflict((conflict) =>
          conflict.columns(['issuer', 'kind', 'key']).doUpdateSet(fresh).where('short_lived.expires_at', '<=', now()),
        )
        .returning('key')
        .executeTakeFirst()
      return added !== undefined
    },

    async increment(kind, key, windowMs) {
      const at = now()
      const closed = sql<boolean>`counters.expires_at <= ${at}`
      const counter = await db
        .insertInto('counters')
        .values({ issuer, kind, key: storedKey(key), count: 1, expires_at: at + windowMs })
        .onConflict((conflict) =>
          conflict.columns(['issuer', 'kind', 'key']).doUpdateSet({
            count: sql<number>`case when ${closed} then 1 else counters.count + 1 end`,
            expires_at: sql<number>`case when ${closed} then excluded.expires_at else counters.expires_at end`,
          }),
        )
        .returning(['count', 'expires_at'])
        .executeTakeFirstOrThrow()
      return { count: counter.count, expiresAt: counter.expires_at }
    },

    async count(kind, key) {
      const found = await db
        .selectFrom('counters')
        .where('issuer', '=', issuer)
        .where('kind', '=', kind)
        .where('key', '=', storedKey(key))
        .where('expires_at', '>', now())
        .select(['count', 'expires_at'])
        .executeTakeFirst()
      return found && { count: found.count, expiresAt: found.expires_at }
    },

    async reset(kind, key) {
      await db
        .deleteFrom('counters')
        .where('issuer', '=', issuer)
        .where('kind', '=', kind)
        .where('key', '=', storedKey(key))
        .execute()
    },

    async findByUid<T>(kind: string, uid: string) {
      const [found] = await findByIndex(db, { issuer, kind, uid: storedKey(uid), now: now() })
      return found && { key: found.key, ...contents<T>(found.value) }
    },

    async deleteByGrant(grant) {
      await db.deleteFrom('short_lived').where('issuer', '=', issuer).where('grant_id', '=', storedKey(grant)).execute()
    },

    async deleteByMember(kind, member) {
      await db
        .deleteFrom('short_lived')
        .where('issuer', '=', issuer)
        .where('kind', '=', kind)
        .where('member_id', '=', storedKey(member))
        .execute()
    },
  }
}

const PLAIN_KEY = /^(?!sha256:)[\x20-\x7e]{1,200}$/

/** Keys come from outside: NUL, half a surrogate and a megabyte too. What a text column or its index might bend is hashed. */
function storedKey(key: string): string {
  return PLAIN_KEY.test(key) ? key : `sha256:${sha256(JSON.stringify(key))}`
}

/** JSON text of `{v, value}`, and of the key where only its hash is stored. */
function envelope(key: string, value: unknown): string {
  if (value === undefined) throw new TypeError('undefined cannot be stored; give what JSON can say')
  return JSON.stringify({ v: 1, value, ...(storedKey(key) === key ? {} : { key }) })
}

function contents<T>(text: string): { value: T; key?: string } {
  const { value, key } = JSON.parse(text) as { value: T; key?: string }
  return key === undefined ? { value } : { value, key }
}
