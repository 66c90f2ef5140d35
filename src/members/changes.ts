/**
 * What members change of a connection on their own pages: less of it, longer, or no more (R8, R28, R34).
 *
 * Owns: who may change what, extending, and the row that history is told from. Does not own: what narrowing does to a grant
 * (narrowing.ts), how things end (endings.ts), or the dates that a page offers (durations.ts).
 */
import type { Transaction } from 'kysely'
import type { Audit } from '../audit/audit.ts'
import { LatchkeyError } from '../errors.ts'
import type { Database } from '../storage/database.ts'
import type { ConnectionChangeRow, Tables } from '../storage/tables.ts'
import { isOffline } from './consents.ts'
import { readChoices } from './directory.ts'
import type { Endings } from './endings.ts'
import { parseContext, readAuthorityEnd, readStanding } from './grants.ts'
import { type Extent, extentText, type NarrowGrant, unionOf } from './narrowing.ts'

/** What the page said on which the member decided. */
export interface ShownPage {
  /** SHA-256 of its text. */
  textHash: string
  textVersion: string
  language: string
}

interface Change {
  issuer: string
  plan: string
  memberId: string
  connectionId: string
  shown: ShownPage | null
  requestId: string | null
}

export interface Changes {
  /**
   * Leaves no more than `scope`, `sensitivities` and, where it is given, `endsAt` (milliseconds) of every live grant; a grant of
   * which no data is left ends. Answers what is shared now; undefined: nothing any more. Throws `not_found` (404) where the
   * connection is not one that this member made.
   */
  narrow(
    change: Change & { scope: string; sensitivities: readonly string[]; endsAt?: number },
  ): Promise<Extent | undefined>
  /**
   * Lets what is shared with offline access go on until `endsAt`, or until the authority ends on which it rests: the app's tokens go
   * on, and it does nothing (R8). Never shortens. Answers what is shared now; undefined where nothing can go on. Throws
   * `not_found` (404) as above, and `authority_ended` (403).
   */
  extend(change: Change & { endsAt: number }): Promise<Extent | undefined>
  /**
   * Ends a connection that this member made, or that somebody made of this member's own record (R34). Answers the ids of the
   * grants that ended with it, none where it had ended before. Throws `not_found` (404) where it is neither.
   */
  end(change: Change): Promise<string[]>
}

export function createChanges(deps: {
  database: Database
  audit: Audit
  endings: Pick<Endings, 'endConnection'>
  narrowGrant: NarrowGrant
  /** How long a refresh token lives unused, in milliseconds. */
  tokenMillis: number
  now: () => number
  newId: () => string
}): Changes {
  const { database, audit, endings, narrowGrant, tokenMillis, now, newId } = deps

  async function ofMember(trx: Transaction<Tables>, { issuer, memberId, connectionId }: Change) {
    const connection = await trx
      .selectFrom('connections')
      .select(['id', 'member_id', 'patient_id', 'app_id'])
      .where('id', '=', connectionId)
      .where('issuer', '=', issuer)
      .where((eb) =>
        eb.or([
          eb('member_id', '=', memberId),
          eb.exists(
            eb
              .selectFrom('own_records')
              .select('own_records.id')
              .where('own_records.issuer', '=', issuer)
              .where('own_records.member_id', '=', memberId)
              .whereRef('own_records.patient_id', '=', 'connections.patient_id'),
          ),
        ]),
      )
      .executeTakeFirst()
    if (!connection) throw new LatchkeyError('not_found', 404, { detail: `connection ${connectionId} of ${memberId}` })
    return connection
  }

  /** The connection that this member made, with its live grants, which nobody ends or changes meanwhile. */
  async function hold(trx: Transaction<Tables>, change: Change) {
    const connection = await ofMember(trx, change)
    // Somebody else's consent is theirs: whose record it is may end it, and no more.
    if (connection.member_id !== change.memberId)
      throw new LatchkeyError('not_found', 404, { detail: `connection ${change.connectionId} is another member's` })
    const grants = await liveGrants(trx, change).forUpdate().execute()
    await trx.selectFrom('connections').select('id').where('id', '=', connection.id).forUpdate().execute()
    return { connection, grants }
  }

  const liveGrants = (trx: Transaction<Tables>, { issuer, connectionId }: Change) =>
    trx
      .selectFrom('grants')
      .select(['id', 'scope', 'context', 'expires_at'])
      .where('connection_id', '=', connectionId)
      .where('issuer', '=', issuer)
      .where('ended_at', 'is', null)
      .where('expires_at', '>', now())
      .orderBy('id')

  async function extentOf(trx: Transaction<Tables>, change: Change): Promise<Extent | undefined> {
    const grants = await liveGrants(trx, change).execute()
    if (grants.length === 0) return undefined
    return unionOf(
      grants.map(({ scope, context, expires_at: endsAt }) => {
        const { sensitivities = [] } = context === null ? {} : parseContext(context)
        return { scope, sensitivities, endsAt }
      }),
    )
  }

  async function note(
    trx: Transaction<Tables>,
    change: Change,
    kind: ConnectionChangeRow['kind'],
    left: Extent,
  ): Promise<void> {
    await trx
      .insertInto('connection_changes')
      .values({
        id: newId(),
        issuer: change.issuer,
        connection_id: change.connectionId,
        member_id: change.memberId,
        kind,
        details: extentText(left),
        text_hash: change.shown?.textHash ?? null,
        text_version: change.shown?.textVersion ?? null,
        language: change.shown?.language ?? null,
        changed_at: now(),
      })
      .execute()
  }

  const nothing = (): Extent => ({ scope: '', sensitivities: [], endsAt: now() })

  function auditOf(change: Change, connection: { patient_id: string; app_id: string }, left: Extent) {
    return {
      plan: change.plan,
      issuer: change.issuer,
      actor: `member:${change.memberId}`,
      memberId: change.memberId,
      patientId: connection.patient_id,
      appId: connection.app_id,
      requestId: change.requestId ?? undefined,
      details: {
        connectionId: change.connectionId,
        scope: left.scope,
        sensitivities: [...left.sensitivities],
        endsAt: left.endsAt,
        textHash: change.shown?.textHash ?? null,
        language: change.shown?.language ?? null,
      },
    }
  }

  return {
    narrow: (change) =>
      database.transaction(async (trx) => {
        const { connection, grants } = await hold(trx, change)
        const { issuer, requestId, scope, sensitivities, endsAt = Number.POSITIVE_INFINITY } = change
        const narrowing = { issuer, requestId, allowed: { scope, sensitivities, endsAt } }
        const actor = `member:${change.memberId}`
        let narrowed = false
        for (const { id: grantId } of grants)
          if (await narrowGrant(trx, { ...narrowing, grantId, reason: 'revoked_by_member', actor })) narrowed = true
        const left = await extentOf(trx, change)
        if (!narrowed) return left
        await note(trx, change, left ? 'narrowed' : 'ended', left ?? nothing())
        if (left) await audit.record(trx, { type: 'connection.narrowed', ...auditOf(change, connection, left) })
        return left
      }),

    extend: (change) =>
      database.transaction(async (trx) => {
        const { issuer, memberId } = change
        const { patient_id: patientId } = await ofMember(trx, change)
        const [choice] = await readChoices(trx, { issuer, memberId, patientId, now: now() })
        if (!choice) throw new LatchkeyError('authority_ended', 403, { detail: `member ${memberId}, ${patientId}` })
        const { connection, grants } = await hold(trx, change)
        let found = false
        let extended = false
        for (const { id: grantId, scope, expires_at: end } of grants) {
          if (!isOffline(scope)) continue
          // One that rests on a delegation that has ended is not revived by a later one (R34).
          if ((await readStanding(trx, { issuer, grantId, now: now() })) !== 'live') continue
          found = true
          const endsAt = Math.min(change.endsAt, await readAuthorityEnd(trx, { issuer, grantId, now: now() }))
          if (end >= endsAt) continue
          await trx.updateTable('grants').set({ expires_at: endsAt }).where('id', '=', grantId).execute()
          await extendTokens(trx, { issuer, grantId, endsAt })
          extended = true
        }
        const left = found ? await extentOf(trx, change) : undefined
        if (!left || !extended) return left
        await note(trx, change, 'extended', left)
        await audit.record(trx, { type: 'connection.extended', ...auditOf(change, connection, left) })
        return left
      }),

    end: (change) =>
      database.transaction(async (trx) => {
        const { issuer, connectionId, memberId, requestId } = change
        await ofMember(trx, change)
        const ended = await endings.endConnection(trx, {
          issuer,
          connectionId,
          requestId,
          reason: 'revoked_by_member',
          actor: `member:${memberId}`,
        })
        if (ended.length > 0) await note(trx, change, 'ended', nothing())
        return ended
      }),
  }

  /** A refresh token that still lives goes on as if its grant had always ended then: unused too long, it ends all the same. */
  async function extendTokens(
    trx: Transaction<Tables>,
    { issuer, grantId, endsAt }: { issuer: string; grantId: string; endsAt: number },
  ): Promise<void> {
    await trx
      .updateTable('refresh_tokens')
      .set(({ eb, val }) => ({
        expires_at: eb
          .case()
          .when(eb('created_at', '<', endsAt - tokenMillis))
          .then(eb('created_at', '+', tokenMillis))
          .else(val(endsAt))
          .end(),
      }))
      .where('issuer', '=', issuer)
      .where('grant_id', '=', grantId)
      .where('expires_at', '>', now())
      .execute()
  }
}
