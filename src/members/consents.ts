/**
 * The record of each decision (R35): what was shown, what the member decided, and what a receipt needs to say of it.
 *
 * Owns: the rows of `consents`, and the snapshot in them. Does not own: what comes of a decision (connections.ts), or the
 * words of a receipt.
 */
import type { Kysely, Transaction } from 'kysely'
import { Unavailable } from '../errors.ts'
import type { ConsentRow, Tables } from '../storage/tables.ts'
import type { Relation } from './delegates.ts'
import type { PatientChoice, VouchedChoice } from './directory.ts'
import { narrowedScope, parseExtent } from './narrowing.ts'

/** What a receipt needs, as it was when the member decided. */
export interface ConsentRecord<Why = Relation> {
  v: 1
  plan: string
  app: string
  developer: string
  website: string | null
  member: string
  patient: string
  relation: Why
  language: string
  /** The warning that was shown before; null: none. */
  warning: 'declined' | 'unanswered' | null
  /** The developer's answers that were shown. */
  attestationId: string | null
}

/** What a member decided, and what they had been shown. */
export interface Decision {
  issuer: string
  plan: string
  memberId: string
  choice: PatientChoice | VouchedChoice
  app: { id: string; clientId: string; name: string }
  requestedScope: string
  /** SHA-256 of the text that the page showed. */
  textHash: string
  /** Which release and words the text was made of. */
  textVersion: string
  language: string
  record: ConsentRecord<Decision['choice']['relation']>
  requestId: string | null
}

/** The part of a decision to share that its record keeps. */
export interface SharedPart {
  grantId: string
  grantedScope: string
  /** The sensitive categories that were released, by code (R25). */
  sensitivities: string[]
  /** `once`, a duration such as `P3M`, or `date`. */
  duration: string
  /** Milliseconds. */
  endsAt: number
}

/** May the app go on with it while the member is away? Else it was shared once. */
export const isOffline = (scope: string): boolean => scope.split(' ').includes('offline_access')

/** The stored form of a record, in `consents.record`. It is read for members' pages, which have none of a practitioner. */
type StoredRecord = ConsentRecord & { duration: string | null }

/** Writes a decision down; `shared` is null for one not to share. */
export async function insertConsent(
  trx: Transaction<Tables>,
  decision: Decision,
  shared: (SharedPart & { connectionId: string }) | null,
  { id, at }: { id: string; at: number },
): Promise<void> {
  const record: Decision['record'] & Pick<StoredRecord, 'duration'> = {
    ...decision.record,
    duration: shared?.duration ?? null,
  }
  await trx
    .insertInto('consents')
    .values({
      id,
      issuer: decision.issuer,
      member_id: decision.memberId,
      patient_id: decision.choice.patientId,
      app_id: decision.app.id,
      grant_id: shared?.grantId ?? null,
      connection_id: shared?.connectionId ?? null,
      decision: shared ? 'shared' : 'denied',
      requested_scope: decision.requestedScope,
      granted_scope: shared?.grantedScope ?? null,
      sensitivities: shared ? JSON.stringify(shared.sensitivities) : null,
      text_hash: decision.textHash,
      text_version: decision.textVersion,
      language: decision.language,
      record: JSON.stringify(record),
      ends_at: shared?.endsAt ?? null,
      decided_at: at,
    })
    .execute()
}

/** A decision as it was written down. */
export interface Consent {
  id: string
  decision: 'shared' | 'denied'
  decidedAt: number
  requestedScope: string
  /** Empty where nothing was shared. */
  grantedScope: string
  sensitivities: string[]
  endsAt: number | null
  /** Null where nothing was shared, and for decisions of before 0.3. */
  duration: string | null
  grantId: string | null
  textHash: string
  textVersion: string | null
  language: string
  /** Null for decisions of before 0.3. */
  record: ConsentRecord | null
}

export function consentOf(row: ConsentRow): Consent {
  const { duration = null, ...record } = row.record === null ? {} : parseRecord(row.record)
  return {
    id: row.id,
    decision: row.decision,
    decidedAt: row.decided_at,
    requestedScope: row.requested_scope,
    grantedScope: row.granted_scope ?? '',
    sensitivities: row.sensitivities === null ? [] : (JSON.parse(row.sensitivities) as string[]),
    endsAt: row.ends_at,
    duration,
    grantId: row.grant_id,
    textHash: row.text_hash,
    textVersion: row.text_version,
    language: row.language,
    record: 'v' in record ? record : null,
  }
}

function parseRecord(text: string): StoredRecord {
  const stored = JSON.parse(text) as StoredRecord
  if (stored.v !== 1) throw new Unavailable(`a consent's record has version ${String(stored.v)}; this server reads 1`)
  return stored
}

/** What a member decided last about one app and one patient. */
export interface LastDecision {
  decision: 'shared' | 'denied'
  grantedScope: string
  sensitivities: string[]
  /** Milliseconds; null where nothing was shared. */
  endsAt: number | null
  decidedAt: number
  duration: string | null
}

/** The last decision, less what the member took away on their own pages since. One query or two. */
export async function readLastDecision(
  db: Kysely<Tables>,
  asked: { issuer: string; memberId: string; patientId: string; appId: string },
): Promise<LastDecision | undefined> {
  const row = await db
    .selectFrom('consents')
    .selectAll()
    .where('issuer', '=', asked.issuer)
    .where('member_id', '=', asked.memberId)
    .where('patient_id', '=', asked.patientId)
    .where('app_id', '=', asked.appId)
    .orderBy('decided_at', 'desc')
    .orderBy('id', 'desc')
    .limit(1)
    .executeTakeFirst()
  if (!row) return undefined
  const { decision, grantedScope, sensitivities, endsAt, decidedAt, duration } = consentOf(row)
  const last = { decision, grantedScope, sensitivities, endsAt, decidedAt, duration }
  if (row.connection_id === null) return last
  const narrowed = await db
    .selectFrom('connection_changes')
    .select('details')
    .where('connection_id', '=', row.connection_id)
    .where('kind', '=', 'narrowed')
    .where('changed_at', '>=', decidedAt)
    .orderBy('changed_at', 'desc')
    .limit(1)
    .executeTakeFirst()
  if (!narrowed) return last
  const left = parseExtent(narrowed.details)
  return {
    ...last,
    grantedScope: narrowedScope(grantedScope, left.scope),
    sensitivities: sensitivities.filter((code) => left.sensitivities.includes(code)),
  }
}
