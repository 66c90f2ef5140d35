import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { EndReason } from '../../src/members/grants.ts'
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

const end = (grantId: string, reason: EndReason = 'revoked_by_member') => ({
  issuer: ISSUER,
  grantId,
  reason,
  actor: `member:${maria}`,
  requestId: 'request-2',
})
const tokens = async () =>
  (await world.db.selectFrom('refresh_tokens').select('token_hash').execute()).map((t) => t.token_hash)
const trailTypes = async () =>
  (await world.trail()).map((entry) => entry.type).filter((type) => type !== 'consent.shared')

describe('ending a grant (R10, R11)', () => {
  it('ends it, its refresh tokens and its connection, and says so', async () => {
    const { grantId, connectionId } = await world.share(maria, hers)
    await world.refreshToken(grantId, 'hash-1')
    await world.refreshToken(grantId, 'hash-2')
    await world.refreshToken('another-grant', 'hash-3')
    expect(await world.connections.endGrant(null, end(grantId))).toBe(true)
    expect(await world.grantRow(grantId)).toMatchObject({ ended_at: world.clock.now, end_reason: 'revoked_by_member' })
    expect(await world.connectionRow(connectionId)).toMatchObject({
      ended_at: world.clock.now,
      end_reason: 'revoked_by_member',
    })
    expect(await tokens()).toEqual(['hash-3'])
    expect((await world.trail()).slice(1)).toMatchObject([
      { type: 'connection.ended', app_id: world.app().id, details: { connectionId } },
      {
        type: 'grant.ended',
        actor: `member:${maria}`,
        member_id: maria,
        patient_id: hers,
        app_id: world.app().id,
        grant_id: grantId,
        request_id: 'request-2',
        details: { reason: 'revoked_by_member', clientId: 'binder', connectionId },
      },
    ])
  })

  it('twice is once: the first reason and time stay', async () => {
    const { grantId } = await world.share(maria, hers)
    const at = world.clock.now
    expect(await world.connections.endGrant(null, end(grantId, 'token_reused'))).toBe(true)
    world.clock.now += DAY
    expect(await world.connections.endGrant(null, end(grantId, 'revoked_by_app'))).toBe(false)
    expect(await world.grantRow(grantId)).toMatchObject({ ended_at: at, end_reason: 'token_reused' })
    expect(await trailTypes()).toEqual(['connection.ended', 'grant.ended'])
  })

  it('by 50 callers at once: one of them ended it', async () => {
    const { grantId } = await world.share(maria, hers)
    const ended = await Promise.all(Array.from({ length: 50 }, () => world.connections.endGrant(null, end(grantId))))
    expect(ended.filter(Boolean)).toHaveLength(1)
    expect(await trailTypes()).toEqual(['connection.ended', 'grant.ended'])
  })

  it('leaves the connection while another live grant is in it (R29: another device goes on)', async () => {
    const phone = await world.share(maria, hers)
    const laptop = await world.share(maria, hers)
    await world.connections.endGrant(null, end(phone.grantId))
    expect((await world.connectionRow(phone.connectionId)).ended_at).toBeNull()
    expect(await world.connections.grantStatus(ISSUER, laptop.grantId, world.now())).toBe('live')
    await world.connections.endGrant(null, end(laptop.grantId, 'revoked_by_app'))
    expect(await world.connectionRow(phone.connectionId)).toMatchObject({ end_reason: 'revoked_by_app' })
  })

  it('does not keep the connection for a grant that has expired', async () => {
    const short = await world.share(maria, hers, { endsAt: world.clock.now + 1000 })
    const long = await world.share(maria, hers)
    world.clock.now += 1000
    await world.connections.endGrant(null, end(long.grantId))
    expect((await world.connectionRow(short.connectionId)).ended_at).toBe(world.clock.now)
  })

  it('works for a grant without a connection', async () => {
    const grantId = await world.grant(maria)
    await world.refreshToken(grantId, 'hash-1')
    expect(await world.connections.endGrant(null, end(grantId, 'expired'))).toBe(true)
    expect(await world.connections.endGrant(null, end(grantId, 'expired'))).toBe(false)
    expect(await tokens()).toEqual([])
    expect(await world.trail()).toMatchObject([{ type: 'grant.ended', app_id: null, patient_id: null }])
  })

  it('is false for an unknown grant and one of another issuer, which goes on', async () => {
    const { grantId } = await world.share(maria, hers)
    await world.refreshToken(grantId, 'hash-1')
    expect(await world.connections.endGrant(null, end('no-such-grant'))).toBe(false)
    expect(await world.connections.endGrant(null, { ...end(grantId), issuer: OTHER_ISSUER })).toBe(false)
    expect(await world.connections.grantStatus(ISSUER, grantId, world.now())).toBe('live')
    expect(await tokens()).toEqual(['hash-1'])
  })

  it("takes part in the caller's transaction", async () => {
    const { grantId } = await world.share(maria, hers)
    const failing = world.database.transaction(async (trx) => {
      expect(await world.connections.endGrant(trx, end(grantId))).toBe(true)
      throw new Error('the caller changed its mind')
    })
    await expect(failing).rejects.toThrow('changed its mind')
    expect((await world.grantRow(grantId)).ended_at).toBeNull()
    expect(await trailTypes()).toEqual([])
  })

  it('a store that fails ends nothing, and a later try does (R43)', async () => {
    const { grantId } = await world.share(maria, hers)
    world.store.fail((step) => step.kind === 'query' && step.sql.includes('refresh_tokens'))
    await expect(world.connections.endGrant(null, end(grantId))).rejects.toMatchObject({ status: 503 })
    world.store.fail(false)
    expect(await world.connections.grantStatus(ISSUER, grantId, world.now())).toBe('live')
    expect(await world.connections.endGrant(null, end(grantId))).toBe(true)
  })
})

describe('ending a connection', () => {
  const endConnection = (connectionId: string, issuer = ISSUER) => {
    const { grantId: _, ...rest } = end('')
    return world.connections.endConnection(null, { ...rest, issuer, connectionId })
  }

  it('ends every grant in it and no other', async () => {
    const a = await world.share(maria, hers)
    const b = await world.share(maria, hers)
    const other = await world.share(maria, hers, { app: await world.anotherApp('Viewer') })
    expect((await endConnection(a.connectionId)).toSorted()).toEqual([a.grantId, b.grantId].toSorted())
    expect(await endConnection(a.connectionId)).toEqual([])
    expect(await world.connections.grantStatus(ISSUER, other.grantId, world.now())).toBe('live')
    expect(await trailTypes()).toEqual(['grant.ended', 'connection.ended', 'grant.ended'])
  })

  it('ends nothing from another issuer, or for an unknown one', async () => {
    const a = await world.share(maria, hers)
    expect(await endConnection(a.connectionId, OTHER_ISSUER)).toEqual([])
    expect(await endConnection('no-such-connection')).toEqual([])
    expect(await world.connectionRow(a.connectionId)).toMatchObject({ ended_at: null })
  })
})

describe('ending a delegation (R34)', () => {
  let lucy: string
  let delegationId: string
  beforeEach(async () => {
    lucy = await world.patient('lucy')
    delegationId = await world.actsFor(maria, lucy)
  })
  const endDelegation = (id: string, issuer = ISSUER) =>
    world.connections.endDelegation(null, { issuer, delegationId: id, actor: 'system', requestId: null })

  it('ends every grant that rests on it, at once, and none of the own record', async () => {
    const a = await world.share(maria, lucy)
    const b = await world.share(maria, lucy, { app: await world.anotherApp('Viewer') })
    const own = await world.share(maria, hers)
    expect((await endDelegation(delegationId))?.toSorted()).toEqual([a.grantId, b.grantId].toSorted())
    expect(await world.grantRow(a.grantId)).toMatchObject({ end_reason: 'authority_ended' })
    expect(await world.connections.grantStatus(ISSUER, own.grantId, world.now())).toBe('live')
    expect(await world.directory.choice(ISSUER, maria, lucy)).toBeUndefined()
  })

  it("leaves another delegate's grants for the same patient", async () => {
    const david = await world.member('david')
    await world.actsFor(david.id, lucy)
    const his = await world.share(david.id, lucy)
    await endDelegation(delegationId)
    expect(await world.connections.grantStatus(ISSUER, his.grantId, world.now())).toBe('live')
  })

  it('leaves grants that another delegation in force carries', async () => {
    await world.actsFor(maria, lucy, { basis: 'guardian' })
    const { grantId } = await world.share(maria, lucy)
    expect(await endDelegation(delegationId)).toEqual([])
    expect(await world.connections.grantStatus(ISSUER, grantId, world.now())).toBe('live')
  })

  it('twice, unknown, not begun, of another issuer: undefined', async () => {
    expect(await endDelegation(delegationId, OTHER_ISSUER)).toBeUndefined()
    expect(await endDelegation('no-such-delegation')).toBeUndefined()
    expect(await endDelegation(await world.actsFor(maria, hers, { starts_at: world.clock.now + DAY }))).toBeUndefined()
    expect(await endDelegation(delegationId)).toEqual([])
    expect(await endDelegation(delegationId)).toBeUndefined()
  })

  it('endGrantsOfDelegation clears up after one that ran out by itself', async () => {
    await world.db
      .updateTable('delegations')
      .set({ ends_at: world.clock.now + DAY })
      .execute()
    const { grantId } = await world.share(maria, lucy)
    const sharing = {
      issuer: ISSUER,
      memberId: maria,
      patientId: lucy,
      reason: 'authority_ended' as const,
      actor: 'system',
      requestId: null,
    }
    expect(await world.connections.endGrantsOfDelegation(null, sharing)).toEqual([])
    world.clock.now += DAY
    expect(await world.connections.endGrantsOfDelegation(null, sharing)).toEqual([grantId])
    expect(await world.connections.endGrantsOfDelegation(null, sharing)).toEqual([])
  })
})
