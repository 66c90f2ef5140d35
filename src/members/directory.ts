/**
 * Who a member is and whose records they may share.
 *
 * Owns: reading members, and the choice of patients: own records and delegations in force at this moment (R32-R34).
 * Does not own: passwords (accounts), what was shared (connections.ts), where demonstration people come from (demonstration.ts).
 * Hands to: interactions (the picker), connections (the choice that was made), oidc (subjects).
 */
import type { Kysely } from 'kysely'
import type { Database } from '../storage/database.ts'
import type { MemberRow, PatientRow, Tables } from '../storage/tables.ts'
import { delegationInForce, fhirUserOf, maskOf, type Relation, stronger } from './delegates.ts'

/** One record that a member may share now, or that a launch brought a practitioner to. */
export interface PatientChoice<Why = Relation> {
  /** Our row's id: what forms carry. Never told to an app. */
  patientId: string
  /** The bare FHIR id: what tokens call `patient`. */
  fhirId: string
  name: string
  /** `YYYY-MM-DD`, or null. */
  birthDate: string | null
  /** What tells two own records of one person apart (R33). */
  coverageLabel: string | null
  relation: Why
  /** `Patient/{id}` or `RelatedPerson/{id}`: the signed-in person, not the patient (R32). A practitioner's own for one. */
  fhirUser: string
  /** Null for an own record. */
  delegationId: string | null
  /** When the authority ends, in milliseconds; null: it has no end. */
  endsAt: number | null
  /** Scopes that this delegate can never share; null: no such limit. */
  mask: string[] | null
}

/** A record to which a launch brought a practitioner, who has no records and acts for nobody. */
export type VouchedChoice = PatientChoice<'practitioner'>

export interface Directory {
  findMember(issuer: string, id: string): Promise<MemberRow | undefined>
  /** By the `sub` of tokens. */
  findBySubject(issuer: string, subject: string): Promise<MemberRow | undefined>
  /** By the name with which they sign in, as it is stored. */
  findByUsername(issuer: string, username: string): Promise<MemberRow | undefined>
  /** By the bare FHIR id. */
  findPatient(issuer: string, fhirId: string): Promise<PatientRow | undefined>
  /** Own records first, then those the member acts for now, each sorted by name. Empty for a locked or unknown member. */
  patientChoices(issuer: string, memberId: string): Promise<PatientChoice[]>
  /** One of those, read anew: to be asked when the member decides, whatever the page offered. */
  choice(issuer: string, memberId: string, patientId: string): Promise<PatientChoice | undefined>
  /** The patient of a launch, for a practitioner: whoever asks knows that a launch vouches for them. Undefined for a member. */
  vouchedChoice(issuer: string, memberId: string, patientId: string): Promise<VouchedChoice | undefined>
}

export function createDirectory({ database, now }: { database: Database; now: () => number }): Directory {
  const { db } = database
  return {
    findMember: (issuer, id) =>
      db.selectFrom('members').selectAll().where('issuer', '=', issuer).where('id', '=', id).executeTakeFirst(),

    findBySubject: (issuer, subject) =>
      db
        .selectFrom('members')
        .selectAll()
        .where('issuer', '=', issuer)
        .where('subject', '=', subject)
        .executeTakeFirst(),

    findByUsername: (issuer, username) =>
      db
        .selectFrom('members')
        .selectAll()
        .where('issuer', '=', issuer)
        .where('username', '=', username)
        .executeTakeFirst(),

    findPatient: (issuer, fhirId) =>
      db
        .selectFrom('patients')
        .selectAll()
        .where('issuer', '=', issuer)
        .where('fhir_id', '=', fhirId)
        .executeTakeFirst(),

    vouchedChoice: (issuer, memberId, patientId) => readVouchedChoice(db, { issuer, memberId, patientId }),

    patientChoices: (issuer, memberId) => readChoices(db, { issuer, memberId, now: now() }),

    async choice(issuer, memberId, patientId) {
      // A form may say anything; no id has NUL, and no store takes it.
      if (patientId.includes('\0')) return undefined
      const [found] = await readChoices(db, { issuer, memberId, patientId, now: now() })
      return found
    },
  }
}

/** The choices as one reader sees them: inside a transaction `db` is the transaction. */
export async function readChoices(
  db: Kysely<Tables>,
  asked: { issuer: string; memberId: string; patientId?: string; now: number },
): Promise<PatientChoice[]> {
  // The issuer is compared on every table of the join: a row that strayed to another issuer opens nothing.
  let owned = db
    .selectFrom('own_records as o')
    .innerJoin('members as m', (join) => join.onRef('m.id', '=', 'o.member_id').onRef('m.issuer', '=', 'o.issuer'))
    .innerJoin('patients as p', (join) => join.onRef('p.id', '=', 'o.patient_id').onRef('p.issuer', '=', 'o.issuer'))
    .select(['p.id', 'p.fhir_id', 'p.name', 'p.birth_date', 'p.coverage_label'])
    .where('o.issuer', '=', asked.issuer)
    .where('o.member_id', '=', asked.memberId)
    .where('m.status', '=', 'active')
  let delegated = db
    .selectFrom('delegations as d')
    .innerJoin('members as m', (join) => join.onRef('m.id', '=', 'd.member_id').onRef('m.issuer', '=', 'd.issuer'))
    .innerJoin('patients as p', (join) => join.onRef('p.id', '=', 'd.patient_id').onRef('p.issuer', '=', 'd.issuer'))
    .select(['p.id', 'p.fhir_id', 'p.name', 'p.birth_date', 'p.coverage_label'])
    .select(['d.id as delegation_id', 'd.basis', 'd.related_person', 'd.mask', 'd.starts_at', 'd.ends_at'])
    .where('d.issuer', '=', asked.issuer)
    .where('d.member_id', '=', asked.memberId)
    .where('m.status', '=', 'active')
  if (asked.patientId !== undefined) {
    owned = owned.where('p.id', '=', asked.patientId)
    delegated = delegated.where('p.id', '=', asked.patientId)
  }
  const own = await owned.execute()
  const inForce = (await delegated.execute()).filter((row) => delegationInForce(row, asked.now))

  const choices = new Map<string, PatientChoice>()
  for (const row of own.sort(byName)) {
    choices.set(row.id, {
      ...personOf(row),
      relation: 'self',
      fhirUser: fhirUserOf({ relation: 'self', fhirId: row.fhir_id }),
      delegationId: null,
      endsAt: null,
      mask: null,
    })
  }
  const best = new Map<string, (typeof inForce)[number]>()
  for (const row of inForce) {
    const other = best.get(row.id)
    best.set(row.id, other ? stronger(other, row) : row)
  }
  for (const row of [...best.values()].sort(byName)) {
    // An own record is shared as one's own, whoever else may have been named for it.
    if (choices.has(row.id)) continue
    choices.set(row.id, {
      ...personOf(row),
      relation: row.basis,
      fhirUser: fhirUserOf({ relation: row.basis, relatedPerson: row.related_person }),
      delegationId: row.delegation_id,
      endsAt: row.ends_at,
      mask: row.mask === null ? null : maskOf(row.mask),
    })
  }
  return [...choices.values()]
}

/** The patient of a launch as an active practitioner's choice; inside a transaction `db` is the transaction. */
export async function readVouchedChoice(
  db: Kysely<Tables>,
  asked: { issuer: string; memberId: string; patientId: string },
): Promise<VouchedChoice | undefined> {
  const row = await db
    .selectFrom('members as m')
    .innerJoin('patients as p', 'p.issuer', 'm.issuer')
    .select(['m.fhir_user', 'p.id', 'p.fhir_id', 'p.name', 'p.birth_date', 'p.coverage_label'])
    .where('m.issuer', '=', asked.issuer)
    .where('m.id', '=', asked.memberId)
    .where('m.status', '=', 'active')
    .where('p.id', '=', asked.patientId)
    .executeTakeFirst()
  if (!row || row.fhir_user === null) return undefined
  const vouched = {
    relation: 'practitioner',
    fhirUser: row.fhir_user,
    delegationId: null,
    endsAt: null,
    mask: null,
  } as const
  return { ...personOf(row), ...vouched }
}

interface PersonColumns {
  id: string
  fhir_id: string
  name: string
  birth_date: string | null
  coverage_label: string | null
}

function personOf(row: PersonColumns) {
  return {
    patientId: row.id,
    fhirId: row.fhir_id,
    name: row.name,
    birthDate: row.birth_date,
    coverageLabel: row.coverage_label,
  }
}

/** By name, then by coverage, so that two records of one person keep their order. */
function byName(a: PersonColumns, b: PersonColumns): number {
  return (
    a.name.localeCompare(b.name) ||
    (a.coverage_label ?? '').localeCompare(b.coverage_label ?? '') ||
    (a.id < b.id ? -1 : 1)
  )
}
