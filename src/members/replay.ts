/**
 * Ends again what a log of endings says has ended, in a store that does not know it (R46). Whatever has ended stays as it
 * is, with its first reason; so a log can be replayed any number of times, and several in any order. What was shared after
 * an ending is not touched by it: a member may have shared anew before the log was replayed. A grant that was narrowed is
 * narrowed again, but for its end where the member extended it later.
 */
import type { Transaction } from 'kysely'
import { type Ending, MARGIN_MS, REVOKED_TOKENS } from '../recovery/endings.ts'
import type { Database } from '../storage/database.ts'
import type { ShortLived } from '../storage/short-lived.ts'
import type { Tables } from '../storage/tables.ts'
import type { Endings } from './endings.ts'
import type { EndReason } from './grants.ts'
import type { NarrowGrant } from './narrowing.ts'

/** What a replay found. */
export interface Replayed {
  /** Lines. */
  read: number
  /** What the store held to be alive or wider, and has ended or narrowed now. */
  ended: number
  /** Lines that say nothing we know, or of the future. */
  unreadable: number
}

export interface ReplayDeps {
  database: Database
  endings: Endings
  narrowGrant: NarrowGrant
  shortLived: (issuer: string) => ShortLived
  /** Revokes a signing key that was revoked at `at`; false where it is gone already. */
  revokeKey: (kid: string, at: number) => Promise<boolean>
  now: () => number
}

type Of<K extends Ending['kind']> = Extract<Ending, { kind: K }>

/** Endings per query: most have ended in the store too, so one query settles all of them. */
const BATCH = 500

export async function replay(entries: AsyncIterable<Ending | null>, deps: ReplayDeps): Promise<Replayed> {
  const found: Replayed = { read: 0, ended: 0, unreadable: 0 }
  let batch: Ending[] = []
  const settle = async () => {
    found.ended += await replayBatch(batch, deps)
    batch = []
  }
  for await (const entry of entries) {
    found.read += 1
    if (entry && entry.at <= deps.now() + MARGIN_MS) batch.push(entry)
    else found.unreadable += 1
    if (batch.length === BATCH) await settle()
  }
  await settle()
  return found
}

async function replayBatch(batch: readonly Ending[], deps: ReplayDeps): Promise<number> {
  const { database, endings, shortLived, now } = deps
  const { db } = database
  const of = <K extends Ending['kind']>(kind: K) => batch.filter((entry): entry is Of<K> => entry.kind === kind)
  const told = ({ issuer, at }: Pick<Ending, 'issuer' | 'at'>) => ({ issuer, requestId: null, replayedFrom: at })
  let ended = 0
  const count = (did: boolean) => {
    if (did) ended += 1
  }

  const grants = of('grant')
  const live = await living(
    db
      .selectFrom('grants')
      .select('id')
      .where('ended_at', 'is', null)
      .where('id', 'in', ids(grants.map((entry) => entry.grantId))),
  )
  const lacking = grants.filter(({ grantId }) => live.has(grantId)).sort((a, b) => (a.grantId < b.grantId ? -1 : 1))
  // Together, since each commit waits for the disk.
  const did = await database.transaction(async (trx) => {
    await holdGrants(trx, [...live])
    const each: boolean[] = []
    for (const { grantId, actor, reason, ...entry } of lacking)
      each.push(await endings.endGrant(trx, { ...told(entry), grantId, actor, reason: reason as EndReason }))
    return each
  })
  did.forEach(count)

  ended += await replayNarrowings(of('narrowing'), deps)

  const connections = of('connection')
  const openOf = (list: string[]) =>
    living(db.selectFrom('connections').select('id').where('ended_at', 'is', null).where('id', 'in', ids(list)))
  const open = await openOf(connections.map((entry) => entry.connectionId))
  for (const entry of connections.filter(({ connectionId }) => open.has(connectionId))) {
    const { connectionId, actor } = entry
    await endings.endConnection(null, { ...told(entry), connectionId, actor, reason: entry.reason as EndReason })
  }
  // One in which something was shared later stays open.
  ended += open.size - (await openOf([...open])).size

  for (const entry of of('delegation')) {
    const { delegationId, actor } = entry
    count((await endings.endDelegation(null, { ...told(entry), delegationId, actor })) !== undefined)
  }

  for (const { issuer, jti, expiresAt } of of('access-token'))
    if (expiresAt > now()) await shortLived(issuer).set(REVOKED_TOKENS, jti, true, expiresAt)

  for (const { kid, at } of of('signing-key')) count(await deps.revokeKey(kid, at))
  return ended
}

async function replayNarrowings(entries: readonly Of<'narrowing'>[], deps: ReplayDeps): Promise<number> {
  const { database, narrowGrant } = deps
  const live = await living(
    database.db
      .selectFrom('grants')
      .select('id')
      .where('ended_at', 'is', null)
      .where('id', 'in', ids(entries.map((entry) => entry.grantId))),
  )
  const known = entries.filter(({ grantId }) => live.has(grantId)).sort((a, b) => (a.grantId < b.grantId ? -1 : 1))
  return database.transaction(async (trx) => {
    // Counted in here: a transaction may be run again.
    let narrowed = 0
    await holdGrants(trx, [...live])
    for (const { grantId, issuer, actor, at, revision, scope, sensitivities, ...left } of known) {
      const extended = await trx
        .selectFrom('connection_changes as x')
        .innerJoin('grants as g', 'g.connection_id', 'x.connection_id')
        .select('x.id')
        .where('g.id', '=', grantId)
        .where('x.kind', '=', 'extended')
        .where('x.changed_at', '>=', at)
        .limit(1)
        .executeTakeFirst()
      const allowed = { scope, sensitivities, endsAt: extended ? Number.POSITIVE_INFINITY : left.endsAt }
      const again = { issuer, grantId, allowed, reason: 'replaced' as const, actor, requestId: null }
      if (await narrowGrant(trx, { ...again, replayed: { at, revision } })) narrowed += 1
    }
    return narrowed
  })
}

/** All of them before the first connection is: who holds one of the others waits for that connection (endings.ts). */
async function holdGrants(trx: Transaction<Tables>, list: string[]): Promise<void> {
  await trx.selectFrom('grants').select('id').where('id', 'in', ids(list)).orderBy('id').forUpdate().execute()
}

/** A list of none is no SQL. */
const ids = (list: string[]): string[] => (list.length > 0 ? list : [''])

async function living(query: { execute(): Promise<{ id: string }[]> }): Promise<Set<string>> {
  return new Set((await query.execute()).map(({ id }) => id))
}
