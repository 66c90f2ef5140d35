/** The demonstration's members, their records, and whom they act for. */
import type { DemonstrationMember, DemonstrationPatient } from '../config/settings.ts'
import { type Desk, demonstrationId, differs, leftOver } from './demonstration-desk.ts'
import { startOfDay } from './durations.ts'

/**
 * Makes the members as the file says, and takes those that it no longer names out of use.
 * @param hashes the password hash of each member, by username
 */
export async function putMembers(
  desk: Desk,
  members: readonly DemonstrationMember[],
  hashes: ReadonlyMap<string, string>,
): Promise<void> {
  const named = { members: new Set<string>(), own: new Set<string>(), delegations: new Set<string>() }
  const patients = new Map<string, string>()
  /** A patient whom two members name is written once: the first name counts. */
  const patientId = async (patient: DemonstrationPatient) => {
    const id = patients.get(patient.fhirId) ?? (await putPatient(desk, patient))
    patients.set(patient.fhirId, id)
    return id
  }
  for (const member of members) {
    const id = await putMember(desk, member, hashes.get(member.username) ?? null)
    named.members.add(id)
    for (const patient of member.patients) named.own.add(await putOwnRecord(desk, id, await patientId(patient)))
    for (const delegation of member.delegations) {
      named.delegations.add(await putDelegation(desk, id, await patientId(delegation), delegation))
    }
  }
  await retire(desk, named)
}

async function putMember({ trx, environment, at, change }: Desk, member: DemonstrationMember, hash: string | null) {
  const row = {
    name: member.name,
    email: member.email,
    locale: member.language,
    password_hash: hash,
    fhir_user: member.fhirUser,
    status: 'active' as const,
  }
  const stored = await trx
    .selectFrom('members')
    .selectAll()
    .where('issuer', '=', environment.id)
    .where('username', '=', member.username)
    .executeTakeFirst()
  const id = stored?.id ?? demonstrationId('member', environment.id, member.username)
  if (!stored) {
    // `sub` is one per person and plan, so both environments of a plan give the same.
    const subject = demonstrationId('subject', environment.plan.id, member.username)
    const rest = { id, issuer: environment.id, username: member.username, subject, created_at: at, updated_at: at }
    await change(trx.insertInto('members').values({ ...row, ...rest }))
  } else if (differs(stored, row)) {
    await change(
      trx
        .updateTable('members')
        .set({ ...row, updated_at: at })
        .where('id', '=', id),
    )
  }
  return id
}

async function putPatient({ trx, environment, at, change }: Desk, patient: DemonstrationPatient): Promise<string> {
  const row = { name: patient.name, birth_date: patient.birthDate, coverage_label: patient.coverageLabel }
  const key = { issuer: environment.id, fhir_id: patient.fhirId }
  const stored = await trx
    .selectFrom('patients')
    .selectAll()
    .where((eb) => eb.and(key))
    .executeTakeFirst()
  const id = stored?.id ?? demonstrationId('patient', environment.id, patient.fhirId)
  if (!stored) {
    await change(trx.insertInto('patients').values({ ...row, ...key, id, created_at: at }))
  } else if (differs(stored, row)) {
    await change(trx.updateTable('patients').set(row).where('id', '=', id))
  }
  return id
}

async function putOwnRecord({ trx, environment, at, change }: Desk, memberId: string, patientId: string) {
  const key = { member_id: memberId, patient_id: patientId }
  const stored = await trx
    .selectFrom('own_records')
    .select('id')
    .where((eb) => eb.and(key))
    .executeTakeFirst()
  const id = stored?.id ?? demonstrationId('own-record', memberId, patientId)
  if (!stored)
    await change(trx.insertInto('own_records').values({ ...key, id, issuer: environment.id, created_at: at }))
  return id
}

async function putDelegation(
  { trx, environment, at, change }: Desk,
  memberId: string,
  patientId: string,
  wanted: DemonstrationMember['delegations'][number],
): Promise<string> {
  const id = demonstrationId('delegation', memberId, patientId)
  const row = {
    basis: wanted.basis,
    related_person: wanted.relatedPerson,
    ends_at: wanted.endsAt === null ? null : startOfDay(wanted.endsAt, environment.plan.timeZone),
  }
  const stored = await trx.selectFrom('delegations').selectAll().where('id', '=', id).executeTakeFirst()
  if (!stored) {
    const key = { id, issuer: environment.id, member_id: memberId, patient_id: patientId }
    await change(trx.insertInto('delegations').values({ ...row, ...key, mask: null, starts_at: at, created_at: at }))
  } else if (differs(stored, row)) {
    // One that had ended begins anew, so that what was shared under the old one stays ended (R34).
    const ended = stored.ends_at !== null && stored.ends_at <= at
    await change(
      trx
        .updateTable('delegations')
        .set(ended ? { ...row, starts_at: at } : row)
        .where('id', '=', id),
    )
  }
  return id
}

/** Members are locked and delegations ended, not deleted: what was decided by them stays on record. */
async function retire(
  desk: Desk,
  named: Record<'members' | 'own' | 'delegations', ReadonlySet<string>>,
): Promise<void> {
  const { trx, at, changeIf } = desk
  for (const id of await leftOver(desk, 'own_records', named.own)) {
    await changeIf(trx.deleteFrom('own_records').where('id', '=', id))
  }
  for (const id of await leftOver(desk, 'delegations', named.delegations)) {
    await changeIf(
      trx
        .updateTable('delegations')
        .set({ ends_at: at })
        .where('id', '=', id)
        .where((eb) => eb.or([eb('ends_at', 'is', null), eb('ends_at', '>', at)])),
    )
  }
  for (const id of await leftOver(desk, 'members', named.members)) {
    await changeIf(
      trx
        .updateTable('members')
        .set({ status: 'locked', password_hash: null, updated_at: at })
        .where('id', '=', id)
        .where((eb) => eb.or([eb('status', '=', 'active'), eb('password_hash', 'is not', null)])),
    )
  }
}
