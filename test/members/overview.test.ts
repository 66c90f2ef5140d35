/** Connections as members see them (R28, R34). */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createWorld, DAY, ISSUER, OTHER_ISSUER, type World } from './world.ts'

let world: World
let maria: string
let hers: string
const wide = 'openid offline_access patient/Coverage.rs patient/Observation.rs'

beforeEach(async () => {
  world = await createWorld()
  maria = (await world.member('maria', { name: 'Maria Alvarez' })).id
  hers = await world.patient('maria')
  await world.owns(maria, hers)
})
afterEach(() => world.close())

const list = (memberId = maria) => world.connections.overview(ISSUER, memberId)
const detail = (id: string, memberId = maria) => world.connections.detail(ISSUER, memberId, id)
const kinds = async (id: string) => (await detail(id))?.history.map((entry) => entry.kind)
const later = (days = 1) => {
  world.clock.now += days * DAY
}
const change = (connectionId: string, memberId = maria) => ({
  ...{ issuer: ISSUER, plan: 'prairie', memberId, connectionId, shown: null, requestId: null },
})

describe('the list', () => {
  it('says what is shared, with whom, by whom, since when and until when', async () => {
    const since = world.clock.now
    const first = await world.share(maria, hers, { grantedScope: wide, sensitivities: ['hiv'] })
    later()
    await world.share(maria, hers, {
      grantedScope: 'openid patient/Coverage.rs patient/Claim.rs',
      endsAt: since + 2 * DAY,
    })
    await world.database.transaction((trx) => world.connections.touch(trx, first.connectionId))
    expect(await list()).toEqual([
      {
        id: first.connectionId,
        app: { id: world.app().id, name: 'Binder', website: null, privacyPolicyUrl: null },
        developer: 'Binder',
        patient: { id: hers, name: 'maria', coverageLabel: null },
        approvedBy: { memberId: maria, name: 'Maria Alvarez' },
        relation: 'self',
        own: true,
        scope: 'openid offline_access patient/Coverage.rs patient/Claim.rs',
        sensitivities: [],
        apis: ['fhir'],
        since,
        lastUsedAt: world.clock.now,
        endsAt: since + 2 * DAY,
        authorityEndsAt: Infinity,
        offline: true,
        ended: null,
      },
    ])
  })

  it('has live ones first, and says of the others why and when they ended', async () => {
    const lucy = await world.patient('lucy')
    const delegationId = await world.actsFor(maria, lucy)
    const forLucy = await world.share(maria, lucy)
    const expired = await world.share(maria, hers, { app: await world.anotherApp('Ledger'), endsAt: world.now() + DAY })
    const ended = await world.share(maria, hers, { app: await world.anotherApp('Scale') })
    await world.connections.end(change(ended.connectionId))
    const live = await world.share(maria, hers)
    const endedAt = world.clock.now
    later(2)
    await world.db.updateTable('delegations').set({ ends_at: world.now() }).where('id', '=', delegationId).execute()
    const found = new Map((await list()).map((each) => [each.id, each]))
    expect([...found.keys()][0]).toBe(live.connectionId)
    expect(found.get(live.connectionId)?.ended).toBeNull()
    expect(found.get(ended.connectionId)?.ended).toEqual({ at: endedAt, reason: 'revoked_by_member' })
    expect(found.get(expired.connectionId)?.ended).toEqual({ at: endedAt + DAY, reason: 'expired' })
    expect(found.get(forLucy.connectionId)).toMatchObject({
      ended: { at: null, reason: 'authority_ended' },
      relation: 'parent',
      scope: '',
      endsAt: null,
    })
  })

  it('has what a delegate made of one’s own record, with the delegate’s name, and not the other way round (R34)', async () => {
    const rosa = (await world.member('rosa', { name: 'Rosa Diaz' })).id
    await world.actsFor(rosa, hers, { basis: 'power-of-attorney' })
    const byRosa = await world.share(rosa, hers)
    const byMaria = await world.share(maria, hers)
    expect(await list()).toMatchObject([
      { id: byMaria.connectionId, own: true },
      {
        id: byRosa.connectionId,
        own: false,
        approvedBy: { memberId: rosa, name: 'Rosa Diaz' },
        relation: 'power-of-attorney',
      },
    ])
    expect((await list(rosa)).map(({ id }) => id)).toEqual([byRosa.connectionId])
    expect(await detail(byMaria.connectionId, rosa)).toBeUndefined()
    expect((await detail(byRosa.connectionId))?.own).toBe(false)
  })

  it('has nothing of other members, of other issuers, or of people who share nothing', async () => {
    const { connectionId } = await world.share(maria, hers)
    const tomas = (await world.member('tomas')).id
    expect(await list(tomas)).toEqual([])
    expect(await world.connections.overview(OTHER_ISSUER, maria)).toEqual([])
    for (const id of [connectionId, 'none', 'x\0y']) expect(await detail(id, tomas)).toBeUndefined()
    expect(await world.connections.detail(OTHER_ISSUER, maria, connectionId)).toBeUndefined()
    await world.owns(tomas, hers, OTHER_ISSUER)
    expect(await list(tomas)).toEqual([])
  })

  it('is as few queries for many connections as for one', async () => {
    const queries = async () => {
      let count = 0
      world.store.fail((step) => {
        if (step.kind === 'query') count += 1
        return false
      })
      await list()
      world.store.fail(false)
      return count
    }
    await world.share(maria, hers)
    const one = await queries()
    for (let i = 0; i < 20; i++) await world.share(maria, hers, { app: await world.anotherApp(`App ${i}`) })
    expect(await queries()).toBe(one)
    expect(one).toBeLessThanOrEqual(8)
  })
})

describe('the history of one', () => {
  it('is told from its rows, the newest first', async () => {
    const { connectionId } = await world.share(maria, hers, { grantedScope: wide })
    later()
    await world.connections.recordDenied(world.decision(maria, await world.choice(maria, hers)))
    later()
    await world.connections.narrow({ ...change(connectionId), scope: 'patient/Coverage.rs', sensitivities: [] })
    later()
    await world.connections.extend({ ...change(connectionId), endsAt: world.now() + 700 * DAY })
    later()
    await world.database.transaction((trx) => world.connections.touch(trx, connectionId))
    expect(await kinds(connectionId)).toEqual(['used', 'extended', 'narrowed', 'denied', 'shared'])
    const history = (await detail(connectionId))?.history ?? []
    expect(history[2]).toMatchObject({
      scope: 'openid offline_access patient/Coverage.rs',
      by: { memberId: maria, name: 'Maria Alvarez' },
    })
  })

  it('says who ended it', async () => {
    const rosa = (await world.member('rosa', { name: 'Rosa Diaz' })).id
    await world.actsFor(rosa, hers)
    const { connectionId } = await world.share(rosa, hers)
    later()
    await world.connections.end(change(connectionId))
    expect((await detail(connectionId, rosa))?.history).toMatchObject([
      { kind: 'ended', reason: 'revoked_by_member', by: { memberId: maria } },
      { kind: 'shared' },
    ])
  })

  it('says that one of several devices was replaced or stopped, and that it came to its end', async () => {
    const { connectionId } = await world.share(maria, hers, { grantedScope: 'openid patient/Observation.rs' })
    later()
    await world.share(maria, hers, { grantedScope: 'openid patient/Coverage.rs', endsAt: world.now() + DAY })
    later(3)
    const all = await detail(connectionId)
    expect(all?.history).toMatchObject([
      { kind: 'ended', reason: 'expired', at: world.now() - 2 * DAY, by: null },
      { at: world.now() - 3 * DAY },
      { at: world.now() - 3 * DAY },
      { kind: 'shared', at: world.now() - 4 * DAY },
    ])
    expect(all?.history.filter((entry) => entry.kind === 'grant-ended')).toMatchObject([{ reason: 'replaced' }])
  })

  it('is its own: an earlier connection with the same app has another', async () => {
    const first = await world.share(maria, hers)
    later()
    await world.connections.end(change(first.connectionId))
    later()
    const second = await world.share(maria, hers)
    expect(await kinds(first.connectionId)).toEqual(['ended', 'shared'])
    expect(await kinds(second.connectionId)).toEqual(['shared'])
  })

  it('has the decisions as they were, for receipts; those of an earlier release too', async () => {
    const { connectionId, grantId, consentId } = await world.share(maria, hers, {
      sensitivities: ['hiv'],
      duration: 'P3M',
    })
    const [consent] = (await detail(connectionId))?.consents ?? []
    expect(consent).toMatchObject({
      ...{ id: consentId, decision: 'shared', grantId, sensitivities: ['hiv'], duration: 'P3M', language: 'es' },
      ...{ textHash: 'hash-of-the-page', textVersion: 'version-of-the-text', decidedAt: world.clock.now },
      record: { v: 1, plan: 'Prairie Health Plan', member: 'Maria Alvarez', relation: 'self', warning: null },
    })
    expect(consent?.record).not.toHaveProperty('duration')
    await world.db
      .updateTable('consents')
      .set({ connection_id: null, record: null, sensitivities: null, text_version: null })
      .execute()
    expect((await detail(connectionId))?.consents).toMatchObject([
      { id: consentId, record: null, sensitivities: [], duration: null, textVersion: null },
    ])
  })

  it('of a newer release is 503, never half a receipt', async () => {
    const { connectionId } = await world.share(maria, hers)
    await world.db.updateTable('consents').set({ record: '{"v":2}' }).execute()
    await expect(detail(connectionId)).rejects.toMatchObject({ status: 503 })
  })
})

describe('the last decision', () => {
  const last = (more: object = {}) =>
    world.connections.lastDecision(ISSUER, { memberId: maria, patientId: hers, appId: world.app().id, ...more })

  it('is the newest one for this member, app and patient', async () => {
    expect(await last()).toBeUndefined()
    await world.share(maria, hers)
    later()
    await world.share(maria, hers, { grantedScope: wide, sensitivities: ['hiv'], duration: 'P3M' })
    expect(await last()).toEqual({
      decision: 'shared',
      grantedScope: wide,
      sensitivities: ['hiv'],
      endsAt: world.clock.now + 365 * DAY,
      decidedAt: world.clock.now,
      duration: 'P3M',
    })
    later()
    await world.connections.recordDenied(world.decision(maria, await world.choice(maria, hers)))
    expect(await last()).toMatchObject({ decision: 'denied', grantedScope: '', sensitivities: [], endsAt: null })
  })

  it('is nobody else’s, of no other app, patient or issuer', async () => {
    await world.share(maria, hers)
    const others = [{ memberId: 'other' }, { patientId: 'other' }, { appId: 'other' }]
    for (const other of others) expect(await last(other)).toBeUndefined()
    const about = { memberId: maria, patientId: hers, appId: world.app().id }
    expect(await world.connections.lastDecision(OTHER_ISSUER, about)).toBeUndefined()
  })

  it('has not what the member took away on their own pages since', async () => {
    const { connectionId } = await world.share(maria, hers, { grantedScope: wide, sensitivities: ['hiv'] })
    later()
    await world.connections.narrow({ ...change(connectionId), scope: 'patient/Coverage.rs', sensitivities: [] })
    expect(await last()).toMatchObject({ grantedScope: 'openid offline_access patient/Coverage.rs', sensitivities: [] })
    later()
    await world.share(maria, hers, { grantedScope: wide })
    expect(await last()).toMatchObject({ grantedScope: wide })
  })
})
