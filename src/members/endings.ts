/**
 * Every way in which what was shared comes to an end.
 *
 * Several may end at once, and be shared anew meanwhile. So that nobody waits in a circle, rows are locked in one order:
 * delegation, grants by id, connection. What ends stands in the log of endings before it is committed (R46).
 */
import type { Transaction } from 'kysely'
import type { Audit } from '../audit/audit.ts'
import type { NewEnding } from '../recovery/endings.ts'
import type { EndingsLog } from '../recovery/endings-log.ts'
import type { Database } from '../storage/database.ts'
import type { Tables } from '../storage/tables.ts'
import { delegationInForce } from './delegates.ts'
import { type EndReason, parseContext, readStanding } from './grants.ts'

/** No clock is set back by so much, in milliseconds. */
const LONG_AGO = 7 * 86_400_000

interface Ending {
  issuer: string
  reason: EndReason
  /** `member:{id}`, `client:{client_id}`, `staff:{id}` or `system`. */
  actor: string
  requestId: string | null
  /**
   * When it ended, in milliseconds, where that is replayed from the log of endings (R46); by default now. What a connection
   * or a delegation carries ends with it only if it was shared before.
   */
  replayedFrom?: number
}

interface EndOfGrant extends Ending {
  grantId: string
}

interface EndOfConnection extends Ending {
  connectionId: string
}

interface EndOfSharing extends Ending {
  memberId: string
  patientId: string
}

interface EndOfClient extends Ending {
  clientId: string
}

interface EndOfDelegation extends Omit<Ending, 'reason'> {
  delegationId: string
}

interface EndOfSession {
  issuer: string
  /** `sub` of the member who was signed in. */
  subject: string
  /** The session's `uid`. */
  session: string
  requestId: string | null
}

export interface Endings {
  /**
   * Ends a grant, once: its refresh tokens go, the first reason stays, and the connection ends with its last live grant.
   * True when this call ended it; false when it had ended before or does not exist at this issuer.
   */
  endGrant(trx: Transaction<Tables> | null, end: EndOfGrant): Promise<boolean>
  /** Ends a connection and every grant in it. Returns the ids of the grants that this call ended. */
  endConnection(trx: Transaction<Tables> | null, end: EndOfConnection): Promise<string[]>
  /** Ends what a member shared of one patient, but for grants that another authority of theirs carries. Returns the ids of those ended. */
  endGrantsOfDelegation(trx: Transaction<Tables> | null, end: EndOfSharing): Promise<string[]>
  /** Ends what a member shared for as long as they are signed in (SMART `online_access`). Returns the ids of the grants. */
  endGrantsOfSession(trx: Transaction<Tables> | null, end: EndOfSession): Promise<string[]>
  /** Ends everything that was shared with a client. Returns the ids of the grants that this call ended. */
  endGrantsOfClient(trx: Transaction<Tables> | null, end: EndOfClient): Promise<string[]>
  /** Ends a delegation now, and with it what rests on it (R34). Undefined: none in force by that id at this issuer. */
  endDelegation(trx: Transaction<Tables> | null, end: EndOfDelegation): Promise<string[] | undefined>
}

export function createEndings(deps: {
  database: Database
  audit: Audit
  /** Left out where no log is kept. */
  endingsLog?: EndingsLog | undefined
  now: () => number
}): Endings {
  const { database, audit, endingsLog, now } = deps
  const within = <T>(trx: Transaction<Tables> | null, work: (trx: Transaction<Tables>) => Promise<T>): Promise<T> =>
    trx === null ? database.transaction(work) : work(trx)

  /** What is replayed stands in a log already. */
  function note(trx: Transaction<Tables>, end: Pick<Ending, 'replayedFrom'>, ending: NewEnding): void {
    if (end.replayedFrom === undefined) endingsLog?.note(trx, ending)
  }

  const replayed = ({ replayedFrom }: Pick<Ending, 'replayedFrom'>): Record<string, string> =>
    replayedFrom === undefined ? {} : { replayedFrom: new Date(replayedFrom).toISOString() }

  async function endGrant(trx: Transaction<Tables>, end: EndOfGrant): Promise<boolean> {
    const { issuer, grantId, reason, actor } = end
    const at = end.replayedFrom ?? now()
    // The condition and the change are one statement: of any number of callers exactly one ends the grant.
    const ended = await trx
      .updateTable('grants')
      .set({
        ended_at: at,
        end_reason: reason,
        // Until then this store went on giving out tokens, which the revocation feed must name for as long as they live.
        ...(end.replayedFrom === undefined ? {} : { narrowed_at: now() }),
      })
      .where('id', '=', grantId)
      .where('issuer', '=', issuer)
      .where('ended_at', 'is', null)
      .returning(['client_id', 'connection_id', 'member_id', 'patient_id'])
      .executeTakeFirst()
    if (!ended) return false
    note(trx, end, { kind: 'grant', at, issuer, grantId, reason, actor })
    await trx
      .deleteFrom('refresh_tokens')
      .where('issuer', '=', end.issuer)
      .where('grant_id', '=', end.grantId)
      .execute()
    const connection = ended.connection_id === null ? undefined : await closeConnection(trx, ended.connection_id, end)
    await audit.record(trx, {
      type: 'grant.ended',
      issuer,
      actor,
      memberId: ended.member_id,
      patientId: ended.patient_id ?? undefined,
      appId: connection?.app_id,
      grantId,
      requestId: end.requestId ?? undefined,
      details: { reason, clientId: ended.client_id, connectionId: ended.connection_id, ...replayed(end) },
    })
    return true
  }

  /** Ends the connection if no live grant is left in it. Answers whose it is. */
  async function closeConnection(trx: Transaction<Tables>, connectionId: string, end: Ending) {
    const { issuer, reason, actor } = end
    const at = end.replayedFrom ?? now()
    // Whoever is just now adding a grant to it holds it: what is asked next then sees that grant.
    const connection = await trx
      .selectFrom('connections')
      .select(['member_id', 'patient_id', 'app_id'])
      .where('id', '=', connectionId)
      .where('issuer', '=', end.issuer)
      .forUpdate()
      .executeTakeFirst()
    const closed = await trx
      .updateTable('connections')
      .set({ ended_at: at, end_reason: end.reason })
      .where('id', '=', connectionId)
      .where('issuer', '=', end.issuer)
      .where('ended_at', 'is', null)
      .where((eb) =>
        eb.not(
          eb.exists(
            eb
              .selectFrom('grants')
              .select('grants.id')
              .where('grants.connection_id', '=', connectionId)
              .where('grants.ended_at', 'is', null)
              .where('grants.expires_at', '>', now()),
          ),
        ),
      )
      .executeTakeFirst()
    if (connection && closed.numUpdatedRows > 0n) {
      note(trx, end, { kind: 'connection', at, issuer, connectionId, reason, actor })
      await audit.record(trx, {
        type: 'connection.ended',
        issuer: end.issuer,
        actor: end.actor,
        memberId: connection.member_id,
        patientId: connection.patient_id,
        appId: connection.app_id,
        requestId: end.requestId ?? undefined,
        details: { reason, connectionId, ...replayed(end) },
      })
    }
    return connection
  }

  async function endConnection(trx: Transaction<Tables>, end: EndOfConnection): Promise<string[]> {
    const { connectionId, ...rest } = end
    const ended: string[] = []
    for (const grant of await openGrants(trx, end).where('connection_id', '=', connectionId).execute()) {
      if (await endGrant(trx, { ...rest, grantId: grant.id })) ended.push(grant.id)
    }
    // One without an open grant was not reached by the loop.
    await closeConnection(trx, connectionId, end)
    return ended
  }

  function openGrants(trx: Transaction<Tables>, { issuer, replayedFrom }: Pick<Ending, 'issuer' | 'replayedFrom'>) {
    return (
      trx
        .selectFrom('grants')
        .select('id')
        .where('issuer', '=', issuer)
        .where('ended_at', 'is', null)
        .where('created_at', '<=', replayedFrom ?? Number.MAX_SAFE_INTEGER)
        // What the calendar ended long ago needs no other end; who launches an app every day leaves hundreds behind.
        .where('expires_at', '>', now() - LONG_AGO)
        .orderBy('id')
        .forUpdate()
    )
  }

  async function endGrantsOfDelegation(trx: Transaction<Tables>, end: EndOfSharing): Promise<string[]> {
    const { memberId, patientId, ...rest } = end
    const ended: string[] = []
    const open = await openGrants(trx, end)
      .where('member_id', '=', memberId)
      .where('patient_id', '=', patientId)
      .execute()
    for (const { id: grantId } of open) {
      const standing = await readStanding(trx, { issuer: end.issuer, grantId, now: now() })
      if (standing === 'live' || standing.ended !== 'authority_ended') continue
      if (await endGrant(trx, { ...rest, grantId })) ended.push(grantId)
    }
    return ended
  }

  async function endGrantsOfSession(trx: Transaction<Tables>, end: EndOfSession): Promise<string[]> {
    const { issuer, subject, session, requestId } = end
    const member = await trx
      .selectFrom('members')
      .select('id')
      .where('issuer', '=', issuer)
      .where('subject', '=', subject)
      .executeTakeFirst()
    if (!member) return []
    const held = await openGrants(trx, { issuer })
      .select('context')
      .where('member_id', '=', member.id)
      .where('context', 'like', '%"session":%')
      .execute()
    const ended: string[] = []
    for (const { id: grantId, context } of held) {
      if (context === null || parseContext(context).session !== session) continue
      const ending = { issuer, grantId, reason: 'session_ended', actor: `member:${member.id}`, requestId } as const
      if (await endGrant(trx, ending)) ended.push(grantId)
    }
    return ended
  }

  async function endGrantsOfClient(trx: Transaction<Tables>, end: EndOfClient): Promise<string[]> {
    const { clientId, ...rest } = end
    const ended: string[] = []
    for (const { id: grantId } of await openGrants(trx, end).where('client_id', '=', clientId).execute())
      if (await endGrant(trx, { ...rest, grantId })) ended.push(grantId)
    return ended
  }

  async function endDelegation(trx: Transaction<Tables>, end: EndOfDelegation): Promise<string[] | undefined> {
    const { delegationId, ...rest } = end
    const at = end.replayedFrom ?? now()
    const row = await trx
      .selectFrom('delegations')
      .selectAll()
      .where('id', '=', delegationId)
      .where('issuer', '=', end.issuer)
      .forUpdate()
      .executeTakeFirst()
    // One that is replayed may have begun anew since.
    if (!row || !delegationInForce(row, now()) || row.starts_at > at) return undefined
    await trx.updateTable('delegations').set({ ends_at: at }).where('id', '=', delegationId).execute()
    note(trx, end, { kind: 'delegation', at, issuer: end.issuer, delegationId, actor: end.actor })
    return endGrantsOfDelegation(trx, {
      ...rest,
      reason: 'authority_ended',
      memberId: row.member_id,
      patientId: row.patient_id,
    })
  }

  return {
    endGrant: (trx, end) => within(trx, (inner) => endGrant(inner, end)),
    endConnection: (trx, end) => within(trx, (inner) => endConnection(inner, end)),
    endGrantsOfDelegation: (trx, end) => within(trx, (inner) => endGrantsOfDelegation(inner, end)),
    endGrantsOfSession: (trx, end) => within(trx, (inner) => endGrantsOfSession(inner, end)),
    endGrantsOfClient: (trx, end) => within(trx, (inner) => endGrantsOfClient(inner, end)),
    endDelegation: (trx, end) => within(trx, (inner) => endDelegation(inner, end)),
  }
}
