/** What members change of a connection on their own pages (R8, R28, R34). */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createWorld, DAY, ISSUER, OTHER_ISSUER, type World } from './world.ts'

let world: World
let maria: string
let hers: string
let connectionId: string
let grantId: string
const wide = 'openid offline_access patient/Coverage.rs patient/Observation.rs'

beforeEach(async () => {
  world = await createWorld()
  maria = (await world.member('maria')).id
  hers = await world.patient('maria')
  await world.owns(maria, hers)
  const shared = await world.share(maria, hers, {
    grantedScope: wide,
    sensitivities: ['hiv'],
    endsAt: world.clock.now + 90 * DAY,
  })
  connectionId = shared.connectionId
  grantId = shared.grantId
})
afterEach(() => world.close())

const shown = { textHash: 'hash', textVersion: 'version', language: 'es' }
const change = (more: { memberId?: string; issuer?: string; connectionId?: string } = {}) => ({
  ...{ issuer: ISSUER, plan: 'prairie', memberId: maria, connectionId, shown, requestId: 'request-3', ...more },
})
const narrow = (
  scope: string,
  more: { sensitivities?: string[]; endsAt?: number } & Parameters<typeof change>[0] = {},
) => world.connections.narrow({ ...change(more), scope, sensitivities: ['hiv'], ...more })
const extend = (days: number, more: Parameters<typeof change>[0] = {}) =>
  world.connections.extend({ ...change(more), endsAt: world.clock.now + days * DAY })
const changes = () => world.db.selectFrom('connection_changes').selectAll().orderBy('changed_at').execute()
const grant = () => world.grantRow(grantId)
const lastEntry = async () => (await world.trail()).at(-1)
const token = (hash: string) =>
  world.db.selectFrom('refresh_tokens').selectAll().where('token_hash', '=', hash).executeTakeFirstOrThrow()
const delegate = async (name = 'rosa') => {
  const { id } = await world.member(name)
  await world.actsFor(id, hers)
  return { id, shared: await world.share(id, hers, { grantedScope: wide }) }
}

describe('narrowing', () => {
  it('leaves what the member left ticked, in every grant, and is written down', async () => {
    const other = await world.share(maria, hers, { grantedScope: wide, sensitivities: ['hiv'] })
    const left = await narrow('patient/Coverage.rs', { sensitivities: [] })
    const scope = 'openid offline_access patient/Coverage.rs'
    expect(left).toEqual({ scope, sensitivities: [], endsAt: world.clock.now + 365 * DAY })
    for (const id of [grantId, other.grantId]) {
      expect(await world.grantRow(id)).toMatchObject({ scope, revision: 1, narrowed_at: world.clock.now })
      expect(await world.connections.grantContext(ISSUER, id)).toMatchObject({ sensitivities: [], revision: 1 })
    }
    expect(await changes()).toMatchObject([
      {
        ...{ issuer: ISSUER, connection_id: connectionId, member_id: maria, kind: 'narrowed' },
        ...{ text_hash: 'hash', text_version: 'version', language: 'es', changed_at: world.clock.now },
      },
    ])
    expect(JSON.parse((await changes())[0]?.details ?? '')).toEqual({ v: 1, ...left })
    expect(await lastEntry()).toMatchObject({
      type: 'connection.narrowed',
      actor: `member:${maria}`,
      patient_id: hers,
      app_id: world.app().id,
      request_id: 'request-3',
      details: { connectionId, scope },
    })
  })

  it('can bring the end nearer, and no further', async () => {
    const nearer = world.clock.now + 10 * DAY
    expect(await narrow(wide, { endsAt: nearer })).toMatchObject({ endsAt: nearer })
    expect(await narrow(wide, { endsAt: nearer + DAY })).toMatchObject({ endsAt: nearer })
    expect((await grant()).expires_at).toBe(nearer)
  })

  it('to as much as there is, or more, changes and says nothing', async () => {
    const before = [await grant(), await changes(), (await world.trail()).length]
    expect(await narrow('patient/*.cruds', { sensitivities: ['hiv', 'genetics'] })).toMatchObject({
      scope: wide,
      sensitivities: ['hiv'],
    })
    expect([await grant(), await changes(), (await world.trail()).length]).toEqual(before)
  })

  it('to nothing ends the connection', async () => {
    expect(await narrow('patient/Claim.rs')).toBeUndefined()
    expect(await grant()).toMatchObject({ end_reason: 'revoked_by_member' })
    expect(await world.connectionRow(connectionId)).toMatchObject({ end_reason: 'revoked_by_member' })
    expect(await changes()).toMatchObject([{ kind: 'ended' }])
  })

  it('answers that nothing is shared any more where it was ended meanwhile', async () => {
    await world.connections.end(change())
    const before = await grant()
    expect(await narrow('patient/Coverage.rs')).toBeUndefined()
    expect(await grant()).toEqual(before)
  })
})

describe('extending (R8)', () => {
  it('moves the end of the grant and of the tokens that the app has: it does nothing', async () => {
    await world.refreshToken(grantId, 'live')
    const end = world.clock.now + 300 * DAY
    expect(await extend(300)).toMatchObject({ scope: wide, endsAt: end })
    expect(await grant()).toMatchObject({ expires_at: end, revision: 0, narrowed_at: null })
    expect((await token('live')).expires_at).toBe(world.clock.now + 180 * DAY)
    expect(await changes()).toMatchObject([{ kind: 'extended', member_id: maria }])
    expect(await lastEntry()).toMatchObject({ type: 'connection.extended', details: { connectionId, endsAt: end } })
  })

  it('lets no token live longer unused than any other, and revives none', async () => {
    await world.refreshToken(grantId, 'old')
    await world.refreshToken(grantId, 'over')
    const { now } = world.clock
    await world.db
      .updateTable('refresh_tokens')
      .set({ expires_at: now - 1 })
      .where('token_hash', '=', 'over')
      .execute()
    world.clock.now += DAY / 2
    await extend(150)
    expect((await token('old')).expires_at).toBe(now + 150.5 * DAY)
    expect((await token('over')).expires_at).toBe(now - 1)
    await extend(300)
    expect((await token('old')).expires_at).toBe(now + 180 * DAY)
  })

  it('never shortens', async () => {
    const before = await grant()
    expect(await extend(10)).toMatchObject({ endsAt: before.expires_at })
    expect(await grant()).toEqual(before)
    expect(await changes()).toEqual([])
  })

  it('never goes past the authority’s end, and is refused without one (R34)', async () => {
    const rosa = (await world.member('rosa')).id
    const ends = world.clock.now + 100 * DAY
    const delegationId = await world.actsFor(rosa, hers, { ends_at: ends })
    const shared = await world.share(rosa, hers, { grantedScope: wide, endsAt: world.clock.now + 90 * DAY })
    const hersToo = { memberId: rosa, connectionId: shared.connectionId }
    expect(await extend(300, hersToo)).toMatchObject({ endsAt: ends })
    await world.db.updateTable('delegations').set({ ends_at: world.clock.now }).where('id', '=', delegationId).execute()
    await expect(extend(300, hersToo)).rejects.toMatchObject({ code: 'authority_ended', status: 403 })
    await world.actsFor(rosa, hers, { starts_at: world.clock.now + 1 })
    world.clock.now += DAY
    expect(await extend(300, hersToo), 'a later delegation revives nothing').toBeUndefined()
    expect((await world.grantRow(shared.grantId)).expires_at).toBe(ends)
  })

  it('goes no further than the authority on which each grant rests: a later delegation carries none before it (R34)', async () => {
    const rosa = (await world.member('rosa')).id
    const { now } = world.clock
    const first = now + 100 * DAY
    await world.actsFor(rosa, hers, { ends_at: first })
    const older = await world.share(rosa, hers, { grantedScope: wide, endsAt: now + 90 * DAY })
    world.clock.now += DAY
    const hersToo = { memberId: rosa, connectionId: older.connectionId }
    await world.actsFor(rosa, hers, { starts_at: now + DAY, ends_at: now + 200 * DAY })
    const detail = () => world.connections.detail(ISSUER, rosa, older.connectionId)
    expect((await detail())?.authorityEndsAt, 'what the page offers').toBe(first)
    expect(await extend(300, hersToo)).toMatchObject({ endsAt: first })
    const newer = await world.share(rosa, hers, { grantedScope: wide, endsAt: now + 110 * DAY })
    expect((await detail())?.authorityEndsAt).toBe(now + 200 * DAY)
    expect(await extend(300, hersToo)).toMatchObject({ endsAt: now + 200 * DAY })
    expect((await world.grantRow(older.grantId)).expires_at).toBe(first)
    expect((await world.grantRow(newer.grantId)).expires_at).toBe(now + 200 * DAY)
  })

  it('of an own record has no end but the one chosen, whoever else acts for it', async () => {
    await world.actsFor(maria, hers, { ends_at: world.clock.now + 100 * DAY })
    expect((await world.connections.detail(ISSUER, maria, connectionId))?.authorityEndsAt).toBe(Infinity)
    expect(await extend(300)).toMatchObject({ endsAt: world.clock.now + 300 * DAY })
  })

  it.each([
    ['without offline access: there is nothing that could go on', 'openid patient/Coverage.rs', 0],
    ['whose end has come', wide, 91],
  ])('does nothing to one %s', async (_, scope, days) => {
    await world.db.updateTable('grants').set({ scope }).execute()
    world.clock.now += days * DAY
    const before = await grant()
    expect(await extend(300)).toBeUndefined()
    expect(await grant()).toEqual(before)
  })
})

describe('ending (R28, R34)', () => {
  it('ends all of it at once, and is written down; twice is once', async () => {
    const other = await world.share(maria, hers, { grantedScope: wide })
    expect((await world.connections.end(change())).sort()).toEqual([grantId, other.grantId].sort())
    expect(await grant()).toMatchObject({ ended_at: world.clock.now, end_reason: 'revoked_by_member' })
    expect(await changes()).toMatchObject([{ kind: 'ended', member_id: maria, connection_id: connectionId }])
    expect(await world.connections.end(change())).toEqual([])
    expect(await changes()).toHaveLength(1)
  })

  it('is open to whoever’s own record a delegate shared, and says who did it', async () => {
    const { id, shared } = await delegate()
    expect(await world.connections.end(change({ connectionId: shared.connectionId }))).toEqual([shared.grantId])
    expect(await changes()).toMatchObject([{ kind: 'ended', member_id: maria }])
    const entry = (await world.trail()).find(({ type }) => type === 'grant.ended')
    expect(entry).toMatchObject({ actor: `member:${maria}`, member_id: id, patient_id: hers })
  })
})

describe('another member’s connection is as one that does not exist', () => {
  const unknown = { code: 'not_found', status: 404 }

  it.each([
    ['narrowed', (more: object) => narrow('patient/Coverage.rs', more)],
    ['extended', (more: object) => extend(300, more)],
    ['ended', (more: object) => world.connections.end(change(more))],
  ])('and is not %s', async (_, attempt) => {
    const before = await grant()
    // A delegate may share the record; what its owner shared is not theirs to see.
    const { id: rosa } = await delegate()
    const strangers = [rosa, (await world.member('tomas')).id, 'nobody']
    for (const memberId of strangers) await expect(attempt({ memberId })).rejects.toMatchObject(unknown)
    await expect(attempt({ connectionId: 'none' })).rejects.toMatchObject(unknown)
    await expect(attempt({ issuer: OTHER_ISSUER })).rejects.toMatchObject(unknown)
    expect(await grant()).toEqual(before)
  })

  it.each([
    ['narrowed', (more: object) => narrow('patient/Coverage.rs', more)],
    ['extended', (more: object) => extend(300, more)],
  ])('a delegate’s is not %s by the record’s owner', async (_, attempt) => {
    const { shared } = await delegate()
    const before = await world.grantRow(shared.grantId)
    await expect(attempt({ connectionId: shared.connectionId })).rejects.toMatchObject(unknown)
    expect(await world.grantRow(shared.grantId)).toEqual(before)
  })

  it('an own record at another issuer opens nothing here', async () => {
    const tomas = (await world.member('tomas')).id
    await world.owns(tomas, hers, OTHER_ISSUER)
    await expect(world.connections.end(change({ memberId: tomas }))).rejects.toMatchObject(unknown)
    expect((await grant()).ended_at).toBeNull()
  })
})
