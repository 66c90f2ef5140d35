/**
 * Connections as members see them (R28, R34): their own, and those that others made of their own record.
 *
 * Owns: what a list and a page of one connection say, read in a few queries whatever has been shared over the years. History
 * is told by rows too (history.ts). Does not own: words, or changing anything (changes.ts).
 */
import type { Kysely } from 'kysely'
import { linkable } from '../config/urls.ts'
import type { Database } from '../storage/database.ts'
import type { ConnectionRow, Tables } from '../storage/tables.ts'
import { type Consent, isOffline } from './consents.ts'
import { delegationInForce, lastEnd, type Relation } from './delegates.ts'
import { type EndReason, parseContext } from './grants.ts'
import { type HistoryEntry, readHistory } from './history.ts'
import { type Extent, unionOf } from './narrowing.ts'

export interface ConnectionSummary {
  id: string
  app: { id: string; name: string; website: string | null; privacyPolicyUrl: string | null }
  developer: string
  patient: { id: string; name: string; coverageLabel: string | null }
  approvedBy: { memberId: string; name: string }
  /** Why the record was open to whoever approved. */
  relation: Relation
  /** The member who looks approved it: they may narrow and extend it. Others may only end it. */
  own: boolean
  /** What all live grants share together; empty for one that is over. */
  scope: string
  sensitivities: readonly string[]
  /** Ids of the APIs that it opens. */
  apis: string[]
  /** Milliseconds, as all times here. */
  since: number
  /** When the app last got new tokens; null: never. */
  lastUsedAt: number | null
  /** The latest end of a live grant; null for one that is over. */
  endsAt: number | null
  /** The app may go on while the member is away: such a connection can be extended. */
  offline: boolean
  /** The latest end to which it can be extended: that of the authority on which it rests; infinite for an own record. */
  authorityEndsAt: number
  /** Null for one that is live. `at` is null where nothing but the end of an authority tells. */
  ended: { at: number | null; reason: EndReason } | null
}

export interface ConnectionDetail extends ConnectionSummary {
  history: HistoryEntry[]
  /** The decisions of it, the newest first. */
  consents: Consent[]
}

export interface Overview {
  /** All that a member may see: live ones first, each the newest first. */
  overview(issuer: string, memberId: string): Promise<ConnectionSummary[]>
  /** One of them; undefined where it is not theirs to see. */
  detail(issuer: string, memberId: string, connectionId: string): Promise<ConnectionDetail | undefined>
}

export function createOverview({ database, now }: { database: Database; now: () => number }): Overview {
  const { db } = database

  async function summaries(issuer: string, memberId: string, connectionId?: string): Promise<ConnectionSummary[]> {
    const at = now()
    const found = await readConnections(db, { issuer, memberId, connectionId })
    const around = await readAround(db, issuer, found)
    const open = found.filter((row) => row.ended_at === null).map(({ id }) => id)
    const grants = await readOpenGrants(db, open, at)
    const lastEnds = await readLastEnds(
      db,
      open.filter((id) => !grants.has(id)),
    )
    return found.flatMap((row) => {
      const [member, patient, app] = [
        around.members.get(row.member_id),
        around.patients.get(row.patient_id),
        around.apps.get(row.app_id),
      ]
      if (!member || !patient || !app) return []
      const owns = around.owns(row)
      const delegations = around.delegations(row)
      const all = grants.get(row.id) ?? []
      // As `authority` in grants.ts has it.
      const carrying = ({ createdAt }: { createdAt: number }) =>
        delegations.filter((each) => each.starts_at <= createdAt && delegationInForce(each, at))
      const live = member.status === 'active' ? all.filter((grant) => owns || carrying(grant).length > 0) : []
      const extent = unionOf(live)
      return {
        id: row.id,
        app: {
          id: app.id,
          name: app.name,
          website: linkable(app.website),
          privacyPolicyUrl: linkable(app.privacy_policy_url),
        },
        developer: app.developer,
        patient: { id: patient.id, name: patient.name, coverageLabel: patient.coverage_label },
        approvedBy: { memberId: member.id, name: member.name },
        relation: owns ? 'self' : (delegations[0]?.basis ?? 'self'),
        own: row.member_id === memberId,
        scope: extent.scope,
        sensitivities: extent.sensitivities,
        apis: [...new Set(live.map(({ api }) => api))],
        since: row.created_at,
        lastUsedAt: row.last_used_at,
        endsAt: live.length > 0 ? extent.endsAt : null,
        offline: live.some(({ offline }) => offline),
        authorityEndsAt: owns
          ? Number.POSITIVE_INFINITY
          : lastEnd(live.filter(({ offline }) => offline).flatMap(carrying)),
        ended: live.length > 0 ? null : endOf(row, { lost: all.length > 0, lastEnd: lastEnds.get(row.id) ?? null }),
      }
    })
  }

  return {
    async overview(issuer, memberId) {
      const all = await summaries(issuer, memberId)
      return [...all.filter(({ ended }) => !ended), ...all.filter(({ ended }) => ended)]
    },

    async detail(issuer, memberId, connectionId) {
      // A form may say anything; no id has NUL, and no store takes it.
      if (connectionId.includes('\0')) return undefined
      const [summary] = await summaries(issuer, memberId, connectionId)
      if (!summary) return undefined
      return { ...summary, ...(await readHistory(db, issuer, summary)) }
    },
  }
}

/** Why nothing is live in a connection: it was ended, its authority was, or the calendar came to its end. */
function endOf(
  row: Pick<ConnectionRow, 'ended_at' | 'end_reason'>,
  known: { lost: boolean; lastEnd: number | null },
): { at: number | null; reason: EndReason } {
  if (row.ended_at !== null) return { at: row.ended_at, reason: (row.end_reason ?? 'expired') as EndReason }
  if (known.lost) return { at: null, reason: 'authority_ended' }
  return { at: known.lastEnd, reason: 'expired' }
}

async function readConnections(
  db: Kysely<Tables>,
  { issuer, memberId, connectionId }: { issuer: string; memberId: string; connectionId: string | undefined },
) {
  const owned = await db
    .selectFrom('own_records')
    .select('patient_id')
    .where('issuer', '=', issuer)
    .where('member_id', '=', memberId)
    .execute()
  const records = owned.map((row) => row.patient_id)
  let query = db
    .selectFrom('connections')
    .selectAll()
    .where('issuer', '=', issuer)
    // What launches vouched for was nobody's consent. What somebody shared as a member is theirs to see, whoever they are now.
    .where(({ not, or, exists, selectFrom }) => {
      const grants = selectFrom('grants as v').select('v.id').whereRef('v.connection_id', '=', 'connections.id')
      const consented = grants.where((eb) => eb.or([eb('v.vouched', 'is', null), eb('v.vouched', '=', 0)]))
      return or([exists(consented), not(exists(grants.where('v.vouched', '=', 1)))])
    })
    .where((eb) =>
      records.length > 0
        ? eb.or([eb('member_id', '=', memberId), eb('patient_id', 'in', records)])
        : eb('member_id', '=', memberId),
    )
  if (connectionId !== undefined) query = query.where('id', '=', connectionId)
  return query.orderBy('created_at', 'desc').orderBy('id', 'desc').execute()
}

/**
 * Who and what connections are about, and by what right. Each by its ids: of a join over the whole house the planner
 * may think that a scan is cheaper.
 */
async function readAround(db: Kysely<Tables>, issuer: string, connections: readonly ConnectionRow[]) {
  const idsOf = (column: 'member_id' | 'patient_id' | 'app_id') => [
    ...new Set(connections.map((row) => row[column])),
    '',
  ]
  const byId = <T extends { id: string }>(rows: T[]) => new Map(rows.map((row) => [row.id, row]))
  const members = await db
    .selectFrom('members')
    .select(['id', 'name', 'status'])
    .where('id', 'in', idsOf('member_id'))
    .execute()
  const patients = await db
    .selectFrom('patients')
    .select(['id', 'name', 'coverage_label'])
    .where('id', 'in', idsOf('patient_id'))
    .execute()
  const apps = await db
    .selectFrom('apps as a')
    .innerJoin('organizations as o', 'o.id', 'a.organization_id')
    .select(['a.id', 'a.name', 'a.website', 'a.privacy_policy_url', 'o.name as developer'])
    .where('a.id', 'in', idsOf('app_id'))
    .execute()
  const own = await db
    .selectFrom('own_records')
    .select(['member_id', 'patient_id'])
    .where('issuer', '=', issuer)
    .where('member_id', 'in', idsOf('member_id'))
    .execute()
  const delegated = await db
    .selectFrom('delegations')
    .select(['member_id', 'patient_id', 'basis', 'starts_at', 'ends_at'])
    .where('issuer', '=', issuer)
    .where('member_id', 'in', idsOf('member_id'))
    .orderBy('starts_at', 'desc')
    .execute()
  const same = (a: Pair) => (b: Pair) => a.member_id === b.member_id && a.patient_id === b.patient_id
  return {
    members: byId(members),
    patients: byId(patients),
    apps: byId(apps),
    owns: (connection: Pair) => own.some(same(connection)),
    /** The latest one first. */
    delegations: (connection: Pair) => delegated.filter(same(connection)),
  }
}

type Pair = Pick<ConnectionRow, 'member_id' | 'patient_id'>

/** The grants that have not ended, by connection. */
async function readOpenGrants(db: Kysely<Tables>, connections: readonly string[], now: number) {
  const grants = new Map<string, (Extent & { api: string; offline: boolean; createdAt: number })[]>()
  if (connections.length === 0) return grants
  const rows = await db
    .selectFrom('grants')
    .select(['connection_id', 'scope', 'context', 'expires_at', 'created_at'])
    .where('connection_id', 'in', connections)
    .where('ended_at', 'is', null)
    .where('expires_at', '>', now)
    .orderBy('created_at')
    .orderBy('id')
    .execute()
  for (const row of rows) {
    if (row.connection_id === null || row.context === null) continue
    const { api, sensitivities = [] } = parseContext(row.context)
    const { scope, expires_at: endsAt, created_at: createdAt } = row
    const offline = isOffline(scope)
    const others = grants.get(row.connection_id) ?? []
    grants.set(row.connection_id, [...others, { scope, sensitivities, endsAt, api, offline, createdAt }])
  }
  return grants
}

async function readLastEnds(db: Kysely<Tables>, connections: readonly string[]): Promise<Map<string, number>> {
  if (connections.length === 0) return new Map()
  const rows = await db
    .selectFrom('grants')
    .select((eb) => ['connection_id', eb.fn.max('expires_at').as('end')])
    .where('connection_id', 'in', connections)
    .where('ended_at', 'is', null)
    .groupBy('connection_id')
    .execute()
  return new Map(rows.map(({ connection_id: id, end }) => [id ?? '', Number(end)]))
}
