import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { Unavailable } from '../../src/errors.ts'
import { createWorld, DAY, ISSUER, OTHER_ISSUER, type World } from './world.ts'

let world: World
beforeEach(async () => {
  world = await createWorld()
})
afterEach(() => world.close())

const names = async (memberId: string, issuer = ISSUER) =>
  (await world.directory.patientChoices(issuer, memberId)).map((choice) => choice.name)

describe('finding members', () => {
  it('finds by id and by subject at the issuer, and at no other', async () => {
    const maria = await world.member('maria')
    expect(await world.directory.findMember(ISSUER, maria.id)).toEqual(maria)
    expect(await world.directory.findBySubject(ISSUER, maria.subject)).toEqual(maria)
    expect(await world.directory.findMember(OTHER_ISSUER, maria.id)).toBeUndefined()
    expect(await world.directory.findBySubject(OTHER_ISSUER, maria.subject)).toBeUndefined()
    expect(await world.directory.findMember(ISSUER, maria.subject)).toBeUndefined()
    expect(await world.directory.findBySubject(ISSUER, '')).toBeUndefined()
  })

  it('a store that fails is no unknown member (R43)', async () => {
    const maria = await world.member('maria')
    world.store.fail(true)
    await expect(world.directory.findMember(ISSUER, maria.id)).rejects.toThrow(Unavailable)
    await expect(world.directory.patientChoices(ISSUER, maria.id)).rejects.toThrow(Unavailable)
    world.store.fail(false)
    expect(await world.directory.findMember(ISSUER, maria.id)).toEqual(maria)
  })
})

describe('the choice of patients (R32, R33)', () => {
  it('has own records first, then those acted for, each by name', async () => {
    const david = await world.member('david')
    await world.actsFor(david.id, await world.patient('lucy', { name: 'Lucy' }))
    await world.actsFor(david.id, await world.patient('elena', { name: 'Elena' }), { basis: 'power-of-attorney' })
    await world.owns(david.id, await world.patient('david-ma', { name: 'David', coverage_label: 'Medicare' }))
    await world.owns(david.id, await world.patient('david', { name: 'David', coverage_label: 'Choice PPO' }))
    const choices = await world.directory.patientChoices(ISSUER, david.id)
    expect(choices.map(({ fhirId, relation }) => [fhirId, relation])).toEqual([
      ['david', 'self'],
      ['david-ma', 'self'],
      ['elena', 'power-of-attorney'],
      ['lucy', 'parent'],
    ])
  })

  it('says everything that a picker and a token need', async () => {
    const david = await world.member('david')
    const own = await world.patient('david', { coverage_label: 'Choice PPO' })
    const lucy = await world.patient('lucy')
    await world.owns(david.id, own)
    const ends_at = world.clock.now + DAY
    const delegationId = await world.actsFor(david.id, lucy, { ends_at, mask: '["patient/Condition.rs"]' })
    expect(await world.directory.patientChoices(ISSUER, david.id)).toEqual([
      {
        patientId: own,
        fhirId: 'david',
        name: 'david',
        birthDate: '1984-03-12',
        coverageLabel: 'Choice PPO',
        relation: 'self',
        fhirUser: 'Patient/david',
        delegationId: null,
        endsAt: null,
        mask: null,
      },
      {
        patientId: lucy,
        fhirId: 'lucy',
        name: 'lucy',
        birthDate: '1984-03-12',
        coverageLabel: null,
        relation: 'parent',
        fhirUser: 'RelatedPerson/david-lucy',
        delegationId,
        endsAt: ends_at,
        mask: ['patient/Condition.rs'],
      },
    ])
  })

  it('is empty for a member without coverage, an unknown one and a locked one', async () => {
    const noor = await world.member('noor')
    const locked = await world.member('locked', { status: 'locked' })
    await world.owns(locked.id, await world.patient('locked'))
    await world.actsFor(locked.id, await world.patient('child'))
    expect(await names(noor.id)).toEqual([])
    expect(await names(locked.id)).toEqual([])
    expect(await names('nobody')).toEqual([])
  })

  it('leaves out delegations that are over or have not begun (R34)', async () => {
    const david = await world.member('david')
    const { now } = world.clock
    await world.actsFor(david.id, await world.patient('over'), { ends_at: now })
    await world.actsFor(david.id, await world.patient('long-over'), { ends_at: now - 30 * DAY })
    await world.actsFor(david.id, await world.patient('tomorrow'), { starts_at: now + DAY })
    await world.actsFor(david.id, await world.patient('from-now'), { starts_at: now })
    await world.actsFor(david.id, await world.patient('until-soon'), { ends_at: now + 1 })
    expect(await names(david.id)).toEqual(['from-now', 'until-soon'])
    world.clock.now += DAY
    expect(await names(david.id)).toEqual(['from-now', 'tomorrow'])
  })

  it('never crosses issuers, even where a row is wrong', async () => {
    const maria = await world.member('maria')
    await world.owns(maria.id, await world.patient('maria'))
    const foreign = await world.patient('foreign', { issuer: OTHER_ISSUER })
    await world.owns(maria.id, foreign)
    await world.owns(maria.id, await world.patient('foreign-2', { issuer: OTHER_ISSUER }), OTHER_ISSUER)
    await world.actsFor(maria.id, await world.patient('foreign-3', { issuer: OTHER_ISSUER }))
    expect(await names(maria.id)).toEqual(['maria'])
    expect(await names(maria.id, OTHER_ISSUER)).toEqual([])
    expect(await world.directory.choice(ISSUER, maria.id, foreign)).toBeUndefined()
    expect(await world.directory.choice(OTHER_ISSUER, maria.id, foreign)).toBeUndefined()
  })

  it('offers an own record once, as own, though a delegation names it too', async () => {
    const maria = await world.member('maria')
    const patient = await world.patient('maria')
    await world.owns(maria.id, patient)
    await world.actsFor(maria.id, patient)
    expect((await world.directory.patientChoices(ISSUER, maria.id)).map((choice) => choice.relation)).toEqual(['self'])
  })

  it('offers a patient once for two delegations, by the longer one', async () => {
    const david = await world.member('david')
    const lucy = await world.patient('lucy')
    await world.actsFor(david.id, lucy, { ends_at: world.clock.now + DAY })
    const longer = await world.actsFor(david.id, lucy, { basis: 'guardian' })
    await world.actsFor(david.id, lucy, { ends_at: world.clock.now + 2 * DAY })
    const choices = await world.directory.patientChoices(ISSUER, david.id)
    expect(choices).toMatchObject([{ delegationId: longer, relation: 'guardian', endsAt: null }])
  })
})

describe('the choice, asked again when the member decides (R34)', () => {
  it('is there while it holds, and gone once it ends', async () => {
    const david = await world.member('david')
    const lucy = await world.patient('lucy')
    await world.actsFor(david.id, lucy, { ends_at: world.clock.now + DAY })
    expect(await world.directory.choice(ISSUER, david.id, lucy)).toMatchObject({ fhirId: 'lucy' })
    world.clock.now += DAY
    expect(await world.directory.choice(ISSUER, david.id, lucy)).toBeUndefined()
  })

  it("refuses another member's patient, a FHIR id in place of the row's, and nonsense", async () => {
    const maria = await world.member('maria')
    await world.owns(maria.id, await world.patient('maria'))
    const david = await world.member('david')
    const his = await world.patient('david')
    await world.owns(david.id, his)
    for (const patientId of [his, 'maria', '', "' or 1=1 --"]) {
      expect(await world.directory.choice(ISSUER, maria.id, patientId)).toBeUndefined()
    }
  })
})
