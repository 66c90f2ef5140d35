/**
 * The store of refresh tokens: families, generations, tombstones.
 *
 * Owns: the rows of `refresh_tokens`, and judging a presentation while nobody else can.
 * Does not own: the rule itself (rotation.ts), or what ends with a family (members/connections).
 */
import type { Kysely, Transaction } from 'kysely'
import { sha256 } from '../secrets.ts'
import type { Database } from '../storage/database.ts'
import { type Named, prepared } from '../storage/prepared.ts'
import type { GrantRow, RefreshTokenRow, Tables } from '../storage/tables.ts'
import { graceMillis, judge, type Standing, type TokenName, type Verdict } from './rotation.ts'

type Trx = Transaction<Tables>
type Handle = Database['db'] | Trx

/** What judging needs of a token. */
type Kin = Pick<RefreshTokenRow, 'token_hash' | 'generation' | 'used_at' | 'uses' | 'killed_at'>

/** Also a client that refreshes without pause has its tombstones buried, every so many generations. */
const buryAtLeastEvery = 32

/** A stored token with its standing. */
export interface StoredToken {
  row: RefreshTokenRow
  standing: Standing
  /** The scope of its grant as it is now, and how often that was narrowed; a token is worth no more. */
  grant: Pick<GrantRow, 'scope' | 'revision'>
}

type Place = { issuer: string; grant: string }

const findToken = prepared((db, value: Named<{ hash: string; issuer: string }>) =>
  db
    .selectFrom('refresh_tokens as t')
    .innerJoin('grants as g', (join) => join.onRef('g.id', '=', 't.grant_id').onRef('g.issuer', '=', 't.issuer'))
    .select([
      't.token_hash',
      't.issuer',
      't.grant_id',
      't.generation',
      't.payload',
      't.expires_at',
      't.created_at',
      't.used_at',
      't.uses',
      't.killed_at',
      'g.scope',
      'g.revision',
    ])
    .where('t.token_hash', '=', value('hash'))
    .where('t.issuer', '=', value('issuer')),
)

/** What decides upon a token: itself, its parents, siblings and children. */
const findKin = prepared((db, value: Named<Place & { from: number; to: number }>) =>
  db
    .selectFrom('refresh_tokens')
    .select(['token_hash', 'generation', 'used_at', 'uses', 'killed_at'])
    .where('issuer', '=', value('issuer'))
    .where('grant_id', '=', value('grant'))
    .where('generation', '>=', value('from'))
    .where('generation', '<=', value('to')),
)

const holdGrant = prepared((db, value: Named<Place>) =>
  db
    .selectFrom('grants')
    .select(['scope', 'revision', 'expires_at', 'connection_id', 'ended_at', 'end_reason'])
    .where('id', '=', value('grant'))
    .where('issuer', '=', value('issuer'))
    .forUpdate(),
)

const noteUse = prepared((db, value: Named<{ hash: string; usedAt: number; uses: number }>) =>
  db
    .updateTable('refresh_tokens')
    .set({ used_at: value('usedAt'), uses: value('uses') })
    .where('token_hash', '=', value('hash')),
)

const buryBefore = prepared((db, value: Named<Place & { generation: number; cold: number }>) =>
  db
    .deleteFrom('refresh_tokens')
    .where('issuer', '=', value('issuer'))
    .where('grant_id', '=', value('grant'))
    .where('generation', '<', value('generation'))
    .where((eb) => eb.or([eb('used_at', '<', value('cold')), eb('killed_at', '<', value('cold'))])),
)

const storeToken = prepared((db, value: Named<NewToken>) =>
  db.insertInto('refresh_tokens').values({
    token_hash: value('hash'),
    issuer: value('issuer'),
    grant_id: value('grant'),
    generation: value('generation'),
    payload: value('payload'),
    expires_at: value('expiresAt'),
    created_at: value('at'),
    used_at: null,
    uses: 0,
    killed_at: null,
  }),
)

type NewToken = Place & { hash: string; generation: number; payload: string; expiresAt: number; at: number }

export const createRefreshTokens = (deps: { database: Database; issuer: string; now: () => number }) => {
  const { database, issuer, now } = deps

  const kinOf = (db: Handle, grant: string, generation: number): Promise<Kin[]> =>
    findKin(db, { issuer, grant, from: generation - 1, to: generation + 1 })

  const standingOf = (row: Kin, kin: readonly Kin[]): Standing => {
    const firstUse = (generation: number): number | null =>
      kin.reduce<number | null>(
        (first, each) =>
          each.generation === generation && each.used_at !== null ? Math.min(first ?? Infinity, each.used_at) : first,
        null,
      )
    return {
      usedAt: row.used_at,
      uses: row.uses,
      killedAt: row.killed_at,
      parentUsedAt: firstUse(row.generation - 1),
      childUsed: firstUse(row.generation + 1) !== null,
    }
  }

  /** A token as it stands now; changes nothing. */
  const find = async (token: string): Promise<StoredToken | undefined> => {
    const [found] = await findToken(database.db, { hash: sha256(token), issuer })
    if (!found) return undefined
    const { scope, revision, ...row } = found
    // An unused token needs no kin to be judged: the common case is one query.
    const settled = row.used_at === null && row.killed_at === null
    const kin = settled ? [] : await kinOf(database.db, row.grant_id, row.generation)
    return { row, standing: standingOf(row, kin), grant: { scope, revision } }
  }

  /** The newest generation that a family has, or undefined where none is stored. */
  const newest = async (grantId: string, db: Kysely<Tables> = database.db): Promise<RefreshTokenRow | undefined> =>
    db
      .selectFrom('refresh_tokens')
      .selectAll()
      .where('issuer', '=', issuer)
      .where('grant_id', '=', grantId)
      .orderBy('generation', 'desc')
      .limit(1)
      .executeTakeFirst()

  /**
   * Until the end of the transaction nobody else judges, adds or ends tokens of this family: the grant stands for it.
   * Answers the grant as it is from now on.
   */
  const hold = async (trx: Trx, grant: string) => (await holdGrant(trx, { issuer, grant }))[0]

  /**
   * Judges a presentation and takes note of it; the caller holds the family, so of many at once only one is first. What
   * is presented as `again` has no child that was used, so what is added next to its children is not born dead.
   */
  const present = async (trx: Trx, token: string, { family: grantId, generation }: TokenName): Promise<Verdict> => {
    const hash = sha256(token)
    const kin = await kinOf(trx, grantId, generation)
    const row = kin.find((each) => each.token_hash === hash)
    if (!row) return 'refuse'
    const standing = standingOf(row, kin)
    const verdict = judge(standing, now())
    if (verdict !== 'first' && verdict !== 'again') return verdict
    await noteUse(trx, { hash, usedAt: row.used_at ?? now(), uses: row.uses + 1 })
    if (verdict === 'again') return verdict
    if (kin.some((each) => each !== row && each.generation === generation)) await kill(trx, grantId, row)
    const parentIsCold = standing.parentUsedAt !== null && standing.parentUsedAt < now() - graceMillis
    // Tombstones past their grace are no longer needed: their names say that they are spent.
    if (parentIsCold || generation % buryAtLeastEvery === 0)
      await buryBefore(trx, { issuer, grant: grantId, generation, cold: now() - graceMillis })
    return verdict
  }

  /** The first use of a sibling kills the others. */
  const kill = async (trx: Trx, grantId: string, used: Kin): Promise<void> => {
    await trx
      .updateTable('refresh_tokens')
      .set({ killed_at: now() })
      .where('issuer', '=', issuer)
      .where('grant_id', '=', grantId)
      .where('generation', '=', used.generation)
      .where('token_hash', '!=', used.token_hash)
      .where('used_at', 'is', null)
      .execute()
  }

  /**
   * Undoes the presentation that brought `next`, if it was done: its answer never left the house, so nobody holds what it
   * brought. While the family is held no transaction can still be on its way to doing it.
   */
  const takeBack = (token: string, { family: grant, next }: { family: string; next: string }): Promise<void> =>
    database.transaction(async (trx) => {
      await hold(trx, grant)
      const gone = await trx
        .deleteFrom('refresh_tokens')
        .where('token_hash', '=', sha256(next))
        .where('issuer', '=', issuer)
        .where('used_at', 'is', null)
        .executeTakeFirst()
      if (gone.numDeletedRows === 0n) return
      await trx
        .updateTable('refresh_tokens')
        .set(({ eb, ref }) => ({
          uses: eb('uses', '-', 1),
          used_at: eb.case().when('uses', '>', 1).then(ref('used_at')).else(null).end(),
        }))
        .where('token_hash', '=', sha256(token))
        .where('issuer', '=', issuer)
        .execute()
    })

  /** Stores a new token; the caller holds the family. */
  const add = async (trx: Trx, token: string, name: TokenName, payload: string, expiresAt: number): Promise<void> => {
    await storeToken(trx, {
      hash: sha256(token),
      issuer,
      grant: name.family,
      generation: name.generation,
      payload,
      expiresAt,
      at: now(),
    })
  }

  const removeFamily = async (grantId: string): Promise<void> => {
    await database.db
      .deleteFrom('refresh_tokens')
      .where('issuer', '=', issuer)
      .where('grant_id', '=', grantId)
      .execute()
  }

  /** How the rule judges a token as it stands; changes nothing. */
  const verdictOn = (stored: StoredToken): Verdict => judge(stored.standing, now())

  return { find, judge: verdictOn, newest, hold, present, takeBack, add, removeFamily }
}

export type RefreshTokens = ReturnType<typeof createRefreshTokens>
