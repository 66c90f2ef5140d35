/** The short-lived contract on the durable store, where no Redis is set. Each operation is one statement, so it is atomic. */
import { sql } from 'kysely'
import { randomToken, sha256 } from '../secrets.ts'
import type { Database } from './database.ts'
import type { Index, ShortLived } from './short-lived.ts'

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

  const living = (kind: string) =>
    db.selectFrom('short_lived').where('issuer', '=', issuer).where('kind', '=', kind).where('expires_at', '>', now())

  return {
    async get<T>(kind: string, key: string) {
      const found = await living(kind).where('key', '=', storedKey(key)).select(['value', 'used_at']).executeTakeFirst()
      return found && { value: contents<T>(found.value).value, usedAt: found.used_at }
    },

    async set(kind, key, value, expiresAt, index) {
      const fresh = row(kind, key, value, expiresAt, index)
      await db
        .insertInto('short_lived')
        .values(fresh)
        .onConflict((conflict) => conflict.columns(['issuer', 'kind', 'key']).doUpdateSet(fresh))
        .execute()
    },

    async delete(kind, key) {
      await db
        .deleteFrom('short_lived')
        .where('issuer', '=', issuer)
        .where('kind', '=', kind)
        .where('key', '=', storedKey(key))
        .execute()
    },

    async use(kind, key, by = randomToken(12)) {
      const { numUpdatedRows } = await db
        .updateTable('short_lived')
        .set({ used_at: now(), used_by: by })
        .where('issuer', '=', issuer)
        .where('kind', '=', kind)
        .where('key', '=', storedKey(key))
        .where('expires_at', '>', now())
        .where('used_at', 'is', null)
        .where((eb) => eb.or([eb('used_by', 'is', null), eb('used_by', '!=', by)]))
        .executeTakeFirstOrThrow()
      if (numUpdatedRows > 0n) return 'first'
      const left = await living(kind).where('key', '=', storedKey(key)).select('key').executeTakeFirst()
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
      const found = await living(kind)
        .where('uid', '=', storedKey(uid))
        .select(['key', 'value'])
        .orderBy('expires_at', 'desc')
        .executeTakeFirst()
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
