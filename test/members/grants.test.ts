import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { standingOf } from '../../src/members/grants.ts'
import { createWorld, DAY, ISSUER, OTHER_ISSUER, type World } from './world.ts'

let world: World
let maria: string
let hers: string
beforeEach(async () => {
  world = await createWorld()
  maria = (await world.member('maria')).id
  hers = await world.patient('maria')
  await world.owns(maria, hers)
})
afterEach(() => world.close())

const status = (grantId: string, issuer = ISSUER) => world.connections.grantStatus(issuer, grantId, world.now())

describe('standingOf', () => {
  const live = { connection_id: 'c', expires_at: 100, ended_at: null, end_reason: null, authority: 1 }
  it.each([
    ['a decided grant with authority', live, 99, 'live'],
    ['at its end', live, 100, { ended: 'expired' }],
    ['ended by its reason', { ...live, ended_at: 50, end_reason: 'token_reused' }, 60, { ended: 'token_reused' }],
    [
      'ended, then expired: the reason stays',
      { ...live, ended_at: 50, end_reason: 'replaced' },
      200,
      { ended: 'replaced' },
    ],
    ['without authority', { ...live, authority: 0 }, 60, { ended: 'authority_ended' }],
    ['expired and without authority', { ...live, authority: 0 }, 200, { ended: 'expired' }],
    ['undecided', { ...live, connection_id: null, authority: 0 }, 60, { ended: 'undecided' }],
  ])('%s', (_what, row, now, standing) => {
    expect(standingOf(row, now)).toEqual(standing)
  })
})

describe('the standing of a grant', () => {
  it('is live while the member owns the record, and not once it is taken away (R33, R34)', async () => {
    const { grantId } = await world.share(maria, hers)
    expect(await status(grantId)).toBe('live')
    await world.db.deleteFrom('own_records').execute()
    expect(await status(grantId)).toEqual({ ended: 'authority_ended' })
  })

  it('is not live while the member is locked, and is again afterwards', async () => {
    const { grantId } = await world.share(maria, hers)
    await world.db.updateTable('members').set({ status: 'locked' }).where('id', '=', maria).execute()
    expect(await status(grantId)).toEqual({ ended: 'authority_ended' })
    await world.db.updateTable('members').set({ status: 'active' }).where('id', '=', maria).execute()
    expect(await status(grantId)).toBe('live')
  })

  it('is live while the delegation is in force, to the millisecond (R34)', async () => {
    const lucy = await world.patient('lucy')
    await world.actsFor(maria, lucy, { ends_at: world.clock.now + DAY })
    const { grantId } = await world.share(maria, lucy)
    world.clock.now += DAY - 1
    expect(await status(grantId)).toBe('live')
    world.clock.now += 1
    expect(await status(grantId)).toEqual({ ended: 'authority_ended' })
  })

  it('is not revived by a later delegation: what was shared under the old one stays ended (R34)', async () => {
    const lucy = await world.patient('lucy')
    await world.actsFor(maria, lucy, { ends_at: world.clock.now + DAY })
    const { grantId } = await world.share(maria, lucy)
    world.clock.now += 2 * DAY
    await world.actsFor(maria, lucy, { starts_at: world.clock.now })
    expect(await status(grantId)).toEqual({ ended: 'authority_ended' })
    expect(await status((await world.share(maria, lucy)).grantId)).toBe('live')
  })

  it("is not carried by anybody else's authority, nor by the member's for another patient", async () => {
    const lucy = await world.patient('lucy')
    const delegationId = await world.actsFor(maria, lucy)
    const { grantId } = await world.share(maria, lucy)
    const david = await world.member('david')
    await world.actsFor(david.id, lucy)
    await world.owns((await world.member('lucy')).id, lucy)
    await world.db.deleteFrom('delegations').where('id', '=', delegationId).execute()
    expect(await status(grantId)).toEqual({ ended: 'authority_ended' })
  })

  it('is not carried by a row of another issuer', async () => {
    const { grantId } = await world.share(maria, hers)
    await world.db.updateTable('own_records').set({ issuer: OTHER_ISSUER }).execute()
    expect(await status(grantId)).toEqual({ ended: 'authority_ended' })
  })

  it('is undecided before the member has answered, and unknown for what is not there or elsewhere', async () => {
    expect(await status(await world.grant(maria))).toEqual({ ended: 'undecided' })
    expect(await status('no-such-grant')).toEqual({ ended: 'not_found' })
    const { grantId } = await world.share(maria, hers)
    expect(await status(grantId, OTHER_ISSUER)).toEqual({ ended: 'not_found' })
  })

  it('ends with the date that the member saw', async () => {
    const { grantId } = await world.share(maria, hers, { endsAt: world.clock.now + 90 * DAY })
    world.clock.now += 90 * DAY - 1
    expect(await status(grantId)).toBe('live')
    world.clock.now += 1
    expect(await status(grantId)).toEqual({ ended: 'expired' })
  })

  it('is one query', async () => {
    const { grantId } = await world.share(maria, hers)
    let queries = 0
    world.store.fail((step) => {
      if (step.kind === 'query') queries += 1
      return false
    })
    await status(grantId)
    expect(queries).toBe(1)
  })

  it('is 503 and no ended grant when the store fails (R43)', async () => {
    const { grantId } = await world.share(maria, hers)
    world.store.fail(true)
    await expect(status(grantId)).rejects.toMatchObject({ status: 503 })
    await expect(world.connections.grantContext(ISSUER, grantId)).rejects.toMatchObject({ status: 503 })
    world.store.fail(false)
    expect(await status(grantId)).toBe('live')
  })
})

describe('the context of a grant', () => {
  it('has what tokens say', async () => {
    const { grantId } = await world.share(maria, hers)
    const member = await world.directory.findMember(ISSUER, maria)
    expect(await world.connections.grantContext(ISSUER, grantId)).toEqual({
      row: await world.grantRow(grantId),
      patientFhirId: 'maria',
      fhirUser: 'Patient/maria',
      memberSubject: member?.subject,
      api: 'fhir',
      sensitivities: [],
      launch: {},
      revision: 0,
      standing: 'live',
    })
  })

  it('says that a grant has ended, and why', async () => {
    const { grantId } = await world.share(maria, hers)
    const end = { issuer: ISSUER, grantId, reason: 'app_suspended' as const, actor: 'staff:1', requestId: null }
    await world.connections.endGrant(null, end)
    expect(await world.connections.grantContext(ISSUER, grantId)).toMatchObject({
      standing: { ended: 'app_suspended' },
      row: { ended_at: world.clock.now },
    })
  })

  it('does not change with the record that it was made for: a token never changes its patient (R33)', async () => {
    const { grantId } = await world.share(maria, hers)
    await world.db.updateTable('patients').set({ fhir_id: 'merged-into' }).execute()
    expect(await world.connections.grantContext(ISSUER, grantId)).toMatchObject({ patientFhirId: 'maria' })
  })

  it('is undefined for an unknown grant, an undecided one and one of another issuer', async () => {
    const { grantId } = await world.share(maria, hers)
    expect(await world.connections.grantContext(ISSUER, 'no-such-grant')).toBeUndefined()
    expect(await world.connections.grantContext(OTHER_ISSUER, grantId)).toBeUndefined()
    expect(await world.connections.grantContext(ISSUER, await world.grant(maria))).toBeUndefined()
  })

  it('of a newer version is 503, never a token that leaves something out', async () => {
    const { grantId } = await world.share(maria, hers)
    await world.db.updateTable('grants').set({ context: '{"v":2,"patients":["maria"]}' }).execute()
    await expect(world.connections.grantContext(ISSUER, grantId)).rejects.toMatchObject({ status: 503 })
  })
})
