/** Practitioners: a record is open to them by a launch, and by nothing else. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { VouchedChoice } from '../../src/members/directory.ts'
import { createWorld, DAY, ISSUER, OTHER_ISSUER } from './world.ts'

const world = await createWorld()
let doctor: string
let maria: string
let record: string

beforeAll(async () => {
  doctor = (await world.member('doctor', { fhir_user: 'Practitioner/1' })).id
  maria = (await world.member('maria')).id
  record = await world.patient('maria')
  await world.owns(maria, record)
})
afterAll(() => world.database.close())

const vouched = async (patientId = record): Promise<VouchedChoice> => {
  const choice = await world.directory.vouchedChoice(ISSUER, doctor, patientId)
  if (!choice) throw new Error('no choice')
  return choice
}
const share = (choice: VouchedChoice, memberId = doctor) =>
  world.share(memberId, record, { choice, offline: false, duration: 'once', context: { api: 'fhir', launch: {} } })
const standing = (grantId: string) => world.connections.grantStatus(ISSUER, grantId, world.clock.now)

describe('the choice of a launch', () => {
  it('is the patient, and the practitioner as who is signed in (R32)', async () => {
    expect(await vouched()).toMatchObject({
      patientId: record,
      fhirId: 'maria',
      fhirUser: 'Practitioner/1',
      relation: 'practitioner',
      delegationId: null,
      endsAt: null,
    })
  })

  it('is none for a member, for a locked practitioner, for a patient or a person of another issuer, for nobody', async () => {
    const locked = await world.member('locked', { fhir_user: 'Practitioner/2', status: 'locked' })
    const elsewhere = await world.patient('elsewhere', { issuer: OTHER_ISSUER })
    const foreign = await world.member('foreign', { fhir_user: 'Practitioner/3', issuer: OTHER_ISSUER })
    for (const [memberId, patientId] of [
      [maria, record],
      [locked.id, record],
      [doctor, elsewhere],
      [foreign.id, record],
      ['nobody', record],
      [doctor, 'nobody'],
    ] as const)
      expect(await world.directory.vouchedChoice(ISSUER, memberId, patientId)).toBeUndefined()
  })

  it('makes no record theirs: the picker has none for them', async () => {
    expect(await world.directory.patientChoices(ISSUER, doctor)).toEqual([])
    expect(await world.directory.choice(ISSUER, doctor, record)).toBeUndefined()
  })
})

describe('a grant that a launch vouched for', () => {
  it('is live while the practitioner is active, and says where the app was launched', async () => {
    const { grantId } = await world.share(doctor, record, {
      choice: await vouched(),
      offline: false,
      context: { api: 'fhir', launch: { encounter: 'e1' } },
    })
    expect(await standing(grantId)).toBe('live')
    expect((await world.grantRow(grantId)).vouched).toBe(1)
    expect(await world.connections.grantContext(ISSUER, grantId)).toMatchObject({
      patientFhirId: 'maria',
      fhirUser: 'Practitioner/1',
      launch: { encounter: 'e1' },
    })
    await world.db.updateTable('members').set({ status: 'locked' }).where('id', '=', doctor).execute()
    expect(await standing(grantId)).toEqual({ ended: 'authority_ended' })
    await world.db.updateTable('members').set({ status: 'active' }).where('id', '=', doctor).execute()
  })

  it('is not live for somebody who is no practitioner any more, and never for a member', async () => {
    const { grantId } = await share(await vouched())
    const set = (fhir_user: string | null) =>
      world.db.updateTable('members').set({ fhir_user }).where('id', '=', doctor).execute()
    await set(null)
    expect(await standing(grantId)).toEqual({ ended: 'authority_ended' })
    await set('Practitioner/1')
    const stranger = await world.member('stranger')
    const { grantId: own } = await share(await vouched()).then(async ({ grantId: id }) => {
      await world.db.updateTable('grants').set({ member_id: stranger.id }).where('id', '=', id).execute()
      return { grantId: id }
    })
    expect(await standing(own)).toEqual({ ended: 'authority_ended' })
  })

  it('is not made where the choice does not hold at that moment', async () => {
    const choice = await vouched()
    await expect(share({ ...choice, fhirUser: 'Practitioner/99' })).rejects.toThrow('authority_ended')
    await expect(share({ ...choice, fhirId: 'lucy' })).rejects.toThrow('authority_ended')
    await expect(share(choice, maria)).rejects.toThrow('authority_ended')
    await world.db.updateTable('members').set({ status: 'locked' }).where('id', '=', doctor).execute()
    await expect(share(choice)).rejects.toThrow('authority_ended')
    await world.db.updateTable('members').set({ status: 'active' }).where('id', '=', doctor).execute()
  })

  it('is on nobody’s page of what is shared: not the patient’s, not the practitioner’s (R28, R34)', async () => {
    const { connectionId } = await share(await vouched())
    const { connectionId: own } = await world.share(maria, record)
    expect((await world.connections.overview(ISSUER, maria)).map(({ id }) => id)).toEqual([own])
    expect(await world.connections.detail(ISSUER, maria, connectionId)).toBeUndefined()
    expect(await world.connections.overview(ISSUER, doctor)).toEqual([])
    expect(await world.connections.detail(ISSUER, doctor, connectionId)).toBeUndefined()
  })

  it('what somebody shared as a member stays theirs to see and to end when they become a practitioner, and the other way round', async () => {
    const nurse = (await world.member('nurse')).id
    const theirs = await world.patient('nurse')
    await world.owns(nurse, theirs)
    const set = (fhir_user: string | null) =>
      world.db.updateTable('members').set({ fhir_user }).where('id', '=', nurse).execute()
    const { connectionId } = await world.share(nurse, theirs)
    await set('Practitioner/9')
    const choice = await world.directory.vouchedChoice(ISSUER, nurse, record)
    if (!choice) throw new Error('no choice')
    const launched = await world.share(nurse, record, { choice, offline: false, duration: 'once' })
    for (const fhirUser of ['Practitioner/9', null]) {
      await set(fhirUser)
      expect((await world.connections.overview(ISSUER, nurse)).map(({ id }) => id)).toEqual([connectionId])
      expect(await world.connections.detail(ISSUER, maria, launched.connectionId)).toBeUndefined()
    }
  })

  it('is carried by nothing else, such as a record of their own', async () => {
    const { grantId } = await share(await vouched())
    await world.owns(doctor, record)
    expect(await standing(grantId)).toBe('live')
    await world.db.updateTable('members').set({ fhir_user: null }).where('id', '=', doctor).execute()
    expect(await standing(grantId)).toEqual({ ended: 'authority_ended' })
    await world.db.updateTable('members').set({ fhir_user: 'Practitioner/1' }).where('id', '=', doctor).execute()
    await world.db.deleteFrom('own_records').where('member_id', '=', doctor).execute()
  })

  it('a grant of a practitioner that nothing vouched for opens nothing', async () => {
    const { connectionId } = await share(await vouched())
    const bare = await world.grant(doctor, {
      connection_id: connectionId,
      patient_id: record,
      context: JSON.stringify({ v: 1, patient: 'maria', fhirUser: 'Practitioner/1', api: 'fhir' }),
      expires_at: world.clock.now + DAY,
    })
    expect(await standing(bare)).toEqual({ ended: 'authority_ended' })
  })
})
