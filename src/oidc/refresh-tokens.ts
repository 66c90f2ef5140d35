/**
 * The store of refresh tokens: families, generations, tombstones.
 *
 * Owns: the rows of `refresh_tokens` and the one transaction in which a presentation is judged.
 * Does not own: the rule itself (rotation.ts), or what ends with a family (members/connections).
 */
import type { Transaction } from 'kysely'
import { sha256 } from '../secrets.ts'
import type { Database } from '../storage/database.ts'
import type { RefreshTokenRow, Tables } from '../storage/tables.ts'
import { graceMillis, judge, type Standing, type TokenName, type Verdict } from './rotation.ts'

type Trx = Transaction<Tables>
type Handle = Database['db'] | Trx

/** A stored token with its standing. */
export interface StoredToken {
  row: RefreshTokenRow
  standing: Standing
}

export const createRefreshTokens = (deps: { database: Database; issuer: string; now: () => number }) => {
  const { database, issuer, now } = deps

  const relatives = (db: Handle, row: { grant_id: string }, generation: number) =>
    db
      .selectFrom('refresh_tokens')
      .select(({ fn }) => fn.min<number | null>('used_at').as('usedAt'))
      .where('issuer', '=', issuer)
      .where('grant_id', '=', row.grant_id)
      .where('generation', '=', generation)
      .executeTakeFirst()

  const load = async (db: Handle, token: string): Promise<StoredToken | undefined> => {
    const row = await db
      .selectFrom('refresh_tokens')
      .selectAll()
      .where('token_hash', '=', sha256(token))
      .where('issuer', '=', issuer)
      .executeTakeFirst()
    if (!row) return undefined
    // An unused token needs no relatives to be judged: the common case is one query.
    const settled = row.used_at === null && row.killed_at === null
    const parent = settled ? undefined : await relatives(db, row, row.generation - 1)
    const child = settled ? undefined : await relatives(db, row, row.generation + 1)
    const standing: Standing = {
      usedAt: row.used_at,
      uses: row.uses,
      killedAt: row.killed_at,
      parentUsedAt: parent?.usedAt ?? null,
      childUsed: (child?.usedAt ?? null) !== null,
    }
    return { row, standing }
  }

  /** Until the end of the transaction nobody else judges, adds or ends tokens of this family: the grant stands for it. */
  const holdFamily = async (trx: Trx, token: string): Promise<void> => {
    await trx
      .selectFrom('grants')
      .select('id')
      .where('id', '=', (eb) =>
        eb.selectFrom('refresh_tokens').select('grant_id').where('token_hash', '=', sha256(token)),
      )
      .forUpdate()
      .execute()
  }

  /** A token as it stands now; changes nothing. */
  const find = (token: string): Promise<StoredToken | undefined> => load(database.db, token)

  /** The newest generation that a family has, or undefined where none is stored. */
  const newest = async (family: string): Promise<RefreshTokenRow | undefined> =>
    database.db
      .selectFrom('refresh_tokens')
      .selectAll()
      .where('issuer', '=', issuer)
      .where('grant_id', '=', family)
      .orderBy('generation', 'desc')
      .limit(1)
      .executeTakeFirst()

  /** Judges a presentation and takes note of it, atomically: of many at once, only one is first. */
  const present = (token: string): Promise<Verdict> =>
    database.transaction(async (trx) => {
      await holdFamily(trx, token)
      const stored = await load(trx, token)
      if (!stored) return 'refuse'
      const { row } = stored
      const verdict = judge(stored.standing, now())
      if (verdict !== 'first' && verdict !== 'again') return verdict
      await trx
        .updateTable('refresh_tokens')
        .set({ used_at: row.used_at ?? now(), uses: row.uses + 1 })
        .where('token_hash', '=', row.token_hash)
        .execute()
      if (verdict === 'first') await bury(trx, row)
      return verdict
    })

  /** Undoes one presentation: its answer never left the house, so nobody holds what it brought. */
  const takeBack = async (token: string): Promise<void> => {
    await database.db
      .updateTable('refresh_tokens')
      .set(({ eb, ref }) => ({
        uses: eb('uses', '-', 1),
        used_at: eb.case().when('uses', '>', 1).then(ref('used_at')).else(null).end(),
      }))
      .where('token_hash', '=', sha256(token))
      .where('issuer', '=', issuer)
      .where('uses', '>', 0)
      .execute()
  }

  /** The first use of a sibling kills the others, and tombstones past their grace are no longer needed. */
  const bury = async (trx: Trx, row: RefreshTokenRow): Promise<void> => {
    const family = trx.updateTable('refresh_tokens').where('issuer', '=', issuer).where('grant_id', '=', row.grant_id)
    await family
      .set({ killed_at: now() })
      .where('generation', '=', row.generation)
      .where('token_hash', '!=', row.token_hash)
      .where('used_at', 'is', null)
      .execute()
    await trx
      .deleteFrom('refresh_tokens')
      .where('issuer', '=', issuer)
      .where('grant_id', '=', row.grant_id)
      .where('generation', '<', row.generation)
      .where((eb) => eb.or([eb('used_at', '<', now() - graceMillis), eb('killed_at', '<', now() - graceMillis)]))
      .execute()
  }

  /**
   * Stores a new token; false where a sibling of it was used meanwhile, so that this one would be born dead. The caller
   * has read the grant `forUpdate`, or a sibling could be used at this moment.
   */
  const add = async (
    trx: Trx,
    token: string,
    name: TokenName,
    payload: string,
    expiresAt: number,
  ): Promise<boolean> => {
    const sibling = await relatives(trx, { grant_id: name.family }, name.generation)
    if ((sibling?.usedAt ?? null) !== null) return false
    await trx
      .insertInto('refresh_tokens')
      .values({
        token_hash: sha256(token),
        issuer,
        grant_id: name.family,
        generation: name.generation,
        payload,
        expires_at: expiresAt,
        created_at: now(),
        used_at: null,
        uses: 0,
        killed_at: null,
      })
      .execute()
    return true
  }

  const removeFamily = async (family: string): Promise<void> => {
    await database.db.deleteFrom('refresh_tokens').where('issuer', '=', issuer).where('grant_id', '=', family).execute()
  }

  /** How the rule judges a token as it stands; changes nothing. */
  const verdictOn = (stored: StoredToken): Verdict => judge(stored.standing, now())

  return { find, judge: verdictOn, newest, present, takeBack, add, removeFamily }
}

export type RefreshTokens = ReturnType<typeof createRefreshTokens>
