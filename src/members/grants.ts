/**
 * Reading a grant: what its tokens say, and whether they may still say it.
 */
import type { ExpressionBuilder, Kysely } from 'kysely'
import { Unavailable } from '../errors.ts'
import type { LaunchContext } from '../smart/launch-context.ts'
import { type Named, prepared } from '../storage/prepared.ts'
import type { GrantRow, Tables } from '../storage/tables.ts'
import { delegationInForce, lastEnd } from './delegates.ts'

/** No access token lives longer, whatever the setting was when it was made (R8). */
export const longestAccessMillis = 3_600_000

/** R9's sub-codes: why a grant is over. */
export type EndReason =
  | 'revoked_by_member'
  | 'authority_ended'
  | 'app_suspended'
  | 'token_reused'
  | 'code_reused'
  | 'replaced'
  | 'revoked_by_app'
  | 'session_ended'
  | 'expired'

/** `undecided`: the engine made it and the member has not answered; no token may be issued. */
export type GrantStanding = 'live' | { ended: EndReason | 'undecided' | 'not_found' }

/** What a grant's tokens say. Since the member decided it can only become less, and a token never changes its patient (R33). */
export interface GrantContext {
  row: GrantRow
  patientFhirId: string
  /** The person who signed in, as a FHIR reference (R32). */
  fhirUser: string
  memberSubject: string
  /** The id of the API that the tokens open. */
  api: string
  /** The sensitive categories that were released, by code (R25). */
  sensitivities: string[]
  /** Where the app was launched; empty for an app that a member opened by themselves. */
  launch: LaunchContext
  /** How often the grant was narrowed; tokens of an earlier revision say too much. */
  revision: number
  standing: GrantStanding
}

/** The stored form of a context, in `grants.context`. */
export interface StoredContext {
  v: 1
  patient: string
  fhirUser: string
  api: string
  /** Left out where none was released. */
  sensitivities?: string[]
  /** Left out where the app was not launched. */
  launch?: LaunchContext
  /** The `uid` of the session that it ends with, where the app may only be online (SMART `online_access`). */
  session?: string
}

type StandingColumns = Pick<GrantRow, 'connection_id' | 'expires_at' | 'end_reason' | 'ended_at'> & {
  authority: number
}

/** The order is the answer's: what was decided first is told first, and the member's own act before the calendar's. */
export function standingOf(row: StandingColumns, now: number): GrantStanding {
  if (row.ended_at !== null) return { ended: (row.end_reason ?? 'expired') as EndReason }
  if (row.connection_id === null) return { ended: 'undecided' }
  if (row.expires_at <= now) return { ended: 'expired' }
  if (row.authority === 0) return { ended: 'authority_ended' }
  return 'live'
}

/**
 * 1 where the member of the grant is not locked, and still owns the record or acts for the patient under a delegation in force that began
 * before the grant: a later delegation does not revive what was shared under one that ended (R34). Or where they are a practitioner
 * whom a launch vouched for.
 */
function authority(eb: ExpressionBuilder<{ g: GrantRow } & Tables, 'g'>, now: number) {
  const owns = eb
    .selectFrom('own_records as o')
    .select('o.id')
    .whereRef('o.issuer', '=', 'g.issuer')
    .whereRef('o.member_id', '=', 'g.member_id')
    .whereRef('o.patient_id', '=', 'g.patient_id')
  const acts = eb
    .selectFrom('delegations as d')
    .select('d.id')
    .whereRef('d.issuer', '=', 'g.issuer')
    .whereRef('d.member_id', '=', 'g.member_id')
    .whereRef('d.patient_id', '=', 'g.patient_id')
    .whereRef('d.starts_at', '<=', 'g.created_at')
    .where('d.starts_at', '<=', now)
    .where((either) => either.or([either('d.ends_at', 'is', null), either('d.ends_at', '>', now)]))
  const active = eb
    .selectFrom('members as a')
    .select('a.id')
    .whereRef('a.id', '=', 'g.member_id')
    .whereRef('a.issuer', '=', 'g.issuer')
    .where('a.status', '=', 'active')
  const vouchedFor = eb.and([eb('g.vouched', '=', 1), eb.exists(active.where('a.fhir_user', 'like', 'Practitioner%'))])
  // Nothing else carries what a launch vouched for: it was no consent of a member.
  const isMembers = eb.or([eb('g.vouched', 'is', null), eb('g.vouched', '=', 0)])
  return eb
    .case()
    .when(eb.or([vouchedFor, eb.and([isMembers, eb.exists(active), eb.or([eb.exists(owns), eb.exists(acts)])])]))
    .then(1)
    .else(0)
    .end()
}

interface Asked {
  issuer: string
  grantId: string
  now: number
}

const findStanding = prepared((db, value: Named<Asked>) =>
  db
    .selectFrom('grants as g')
    .select(['g.connection_id', 'g.expires_at', 'g.ended_at', 'g.end_reason'])
    .select((eb) => authority(eb, value('now')).as('authority'))
    .where('g.id', '=', value('grantId'))
    .where('g.issuer', '=', value('issuer')),
)

const findContext = prepared((db, value: Named<Asked>) =>
  db
    .selectFrom('grants as g')
    .innerJoin('members as m', (join) => join.onRef('m.id', '=', 'g.member_id').onRef('m.issuer', '=', 'g.issuer'))
    .select([
      'g.id',
      'g.issuer',
      'g.client_id',
      'g.connection_id',
      'g.member_id',
      'g.patient_id',
      'g.scope',
      'g.context',
      'g.payload',
      'g.expires_at',
      'g.created_at',
      'g.ended_at',
      'g.end_reason',
      'g.revision',
      'g.narrowed_at',
      'g.vouched',
    ])
    .select('m.subject as subject')
    .select((eb) => authority(eb, value('now')).as('authority'))
    .where('g.id', '=', value('grantId'))
    .where('g.issuer', '=', value('issuer')),
)

/** May tokens of this grant be issued and honoured at `now`? One query, on the hot path of refresh and introspection. */
export async function readStanding(db: Kysely<Tables>, asked: Asked): Promise<GrantStanding> {
  const [row] = await findStanding(db, asked)
  return row ? standingOf(row, asked.now) : { ended: 'not_found' }
}

/**
 * The latest end that a grant can be given: that of the last delegation which carries it, as `authority` has it; infinite for
 * an own record, and 0 where nothing carries it.
 */
export async function readAuthorityEnd(db: Kysely<Tables>, { issuer, grantId, now }: Asked): Promise<number> {
  const own = await db
    .selectFrom('grants as g')
    .innerJoin('own_records as o', (join) =>
      join.onRef('o.member_id', '=', 'g.member_id').onRef('o.patient_id', '=', 'g.patient_id'),
    )
    .select('o.id')
    .where('g.id', '=', grantId)
    .where('g.issuer', '=', issuer)
    .where('o.issuer', '=', issuer)
    .executeTakeFirst()
  if (own) return Number.POSITIVE_INFINITY
  const delegations = await db
    .selectFrom('grants as g')
    .innerJoin('delegations as d', (join) =>
      join
        .onRef('d.member_id', '=', 'g.member_id')
        .onRef('d.patient_id', '=', 'g.patient_id')
        .onRef('d.starts_at', '<=', 'g.created_at'),
    )
    .select(['d.starts_at', 'd.ends_at'])
    .where('g.id', '=', grantId)
    .where('g.issuer', '=', issuer)
    .where('d.issuer', '=', issuer)
    .execute()
  return lastEnd(delegations.filter((row) => delegationInForce(row, now)))
}

/** The context of a decided grant, ended or not. */
export async function readContext(db: Kysely<Tables>, asked: Asked): Promise<GrantContext | undefined> {
  const [found] = await findContext(db, asked)
  if (!found || found.context === null) return undefined
  const { subject, authority: held, ...row } = found
  const context = parseContext(found.context)
  return {
    row,
    patientFhirId: context.patient,
    fhirUser: context.fhirUser,
    memberSubject: subject,
    api: context.api,
    sensitivities: context.sensitivities ?? [],
    launch: context.launch ?? {},
    revision: row.revision,
    standing: standingOf({ ...row, authority: held }, asked.now),
  }
}

/** @throws Unavailable for one that a newer server wrote */
export function parseContext(text: string): StoredContext {
  const stored = JSON.parse(text) as StoredContext
  // A newer server may have written it: better no token than one that leaves out what the newer one meant.
  if (stored.v !== 1) throw new Unavailable(`a grant's context has version ${String(stored.v)}; this server reads 1`)
  return stored
}
