/**
 * What happened to a connection, told by the rows themselves, never by the audit trail.
 *
 * Owns: which rows tell what. Does not own: words (connection-pages.ts), or what a connection is now (overview.ts).
 */
import type { Kysely } from 'kysely'
import type { Tables } from '../storage/tables.ts'
import { type Consent, consentOf } from './consents.ts'
import type { EndReason } from './grants.ts'
import { type Extent, parseExtent } from './narrowing.ts'
import type { ConnectionSummary } from './overview.ts'

/** What happened to a connection, the newest first. */
export type HistoryEntry = { at: number } & (
  | { kind: 'shared' | 'denied'; consent: Consent }
  | ({ kind: 'narrowed' | 'extended'; by: { memberId: string; name: string } } & Extent)
  | { kind: 'used' }
  /** One of several grants: another device's goes on. */
  | { kind: 'grant-ended'; reason: EndReason }
  /** `by`: the member who ended it, where it is known. */
  | { kind: 'ended'; reason: EndReason; by: { memberId: string; name: string } | null }
)

/** So much of a history is told; who launches an app every day decides every day. */
const LONGEST_HISTORY = 200

/** An end of one grant that ended with its connection is told once. */
const SAME_MOMENT = 5_000

/** The history and the decisions of a connection, the newest first. */
export async function readHistory(
  db: Kysely<Tables>,
  issuer: string,
  of: ConnectionSummary,
): Promise<{ history: HistoryEntry[]; consents: Consent[] }> {
  const consents = await readConsents(db, issuer, of)
  const history = [
    ...consents.map((consent) => ({ at: consent.decidedAt, kind: consent.decision, consent })),
    ...(await readChanges(db, of)),
  ]
  if (of.lastUsedAt !== null) history.push({ at: of.lastUsedAt, kind: 'used' })
  return { history: history.sort((a, b) => b.at - a.at).slice(0, LONGEST_HISTORY), consents }
}

/** The decisions of a connection. Those of an earlier release do not name it, and no other one was open at their time. */
async function readConsents(db: Kysely<Tables>, issuer: string, of: ConnectionSummary): Promise<Consent[]> {
  const rows = await db
    .selectFrom('consents')
    .selectAll()
    .where('issuer', '=', issuer)
    .where('member_id', '=', of.approvedBy.memberId)
    .where('patient_id', '=', of.patient.id)
    .where('app_id', '=', of.app.id)
    .where('decided_at', '>=', of.since)
    .where('decided_at', '<=', of.ended?.at ?? Number.MAX_SAFE_INTEGER)
    .where((eb) => eb.or([eb('connection_id', '=', of.id), eb('connection_id', 'is', null)]))
    .orderBy('decided_at', 'desc')
    .orderBy('id', 'desc')
    .limit(LONGEST_HISTORY)
    .execute()
  return rows.map(consentOf)
}

/** What happened to a connection beside decisions on a consent page. */
async function readChanges(db: Kysely<Tables>, of: ConnectionSummary): Promise<HistoryEntry[]> {
  const changes = await db
    .selectFrom('connection_changes as x')
    .innerJoin('members as m', 'm.id', 'x.member_id')
    .select(['x.kind', 'x.details', 'x.changed_at', 'x.member_id', 'm.name'])
    .where('x.connection_id', '=', of.id)
    .orderBy('x.changed_at', 'desc')
    .limit(LONGEST_HISTORY)
    .execute()
  const entries: HistoryEntry[] = []
  for (const row of changes) {
    const by = { memberId: row.member_id, name: row.name }
    if (row.kind !== 'ended') entries.push({ at: row.changed_at, kind: row.kind, by, ...parseExtent(row.details) })
  }
  const grants = await db
    .selectFrom('grants')
    .select(['ended_at', 'end_reason'])
    .where('connection_id', '=', of.id)
    .where('ended_at', 'is not', null)
    .orderBy('ended_at', 'desc')
    .limit(LONGEST_HISTORY)
    .execute()
  for (const { ended_at, end_reason } of grants) {
    const at = ended_at ?? 0
    const reason = (end_reason ?? 'expired') as EndReason
    const withConnection = of.ended?.reason === reason && Math.abs(at - (of.ended.at ?? 0)) < SAME_MOMENT
    if (!withConnection) entries.push({ at, kind: 'grant-ended', reason })
  }
  if (of.ended?.at != null) {
    const last = changes.find((row) => row.kind === 'ended')
    const by = last ? { memberId: last.member_id, name: last.name } : null
    entries.push({ at: of.ended.at, kind: 'ended', reason: of.ended.reason, by })
  }
  return entries
}
