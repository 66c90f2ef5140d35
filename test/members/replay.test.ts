/** What a replay of the log of endings ends again, and what it leaves alone (R46). */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { replay } from '../../src/members/replay.ts'
import { type Ending, lineOf, type NewEnding, parseLine } from '../../src/recovery/endings.ts'
import { createSqlShortLived } from '../../src/storage/short-lived-sql.ts'
import { createWorld, DAY, ISSUER, type World } from './world.ts'

let world: World
let maria: string
let record: string
beforeEach(async () => {
  world = await createWorld()
  maria = (await world.member('maria')).id
  record = await world.patient('maria')
  await world.owns(maria, record)
})
afterEach(() => world.close())

const later = (millis: number) => {
  world.clock.now += millis
  return world.clock.now
}
const replayed = (...endings: NewEnding[]) =>
  replay(
    (async function* () {
      for (const ending of endings) yield parseLine(lineOf(ending)) as Ending
    })(),
    {
      ...{ database: world.database, endings: world.connections, narrowGrant: world.narrowGrant, now: world.now },
      revokeKey: async () => false,
      shortLived: (issuer) => createSqlShortLived({ database: world.database, issuer, now: world.now }),
    },
  )
const end = { issuer: ISSUER, reason: 'revoked_by_member', actor: 'member:m' }
const isLive = async (grantId: string) => (await world.grantRow(grantId)).ended_at === null

describe('what was shared after an ending', () => {
  it('is left alone by it, and so is its connection, although the older grant in it ends', async () => {
    const before = await world.share(maria, record)
    const at = later(1000)
    later(DAY)
    const after = await world.share(maria, record)
    expect(after.connectionId).toBe(before.connectionId)
    const log: NewEnding[] = [
      { ...end, kind: 'grant', at, grantId: before.grantId },
      { ...end, kind: 'connection', at, connectionId: before.connectionId },
    ]
    expect(await replayed(...log)).toEqual({ read: 2, ended: 1, unreadable: 0 })
    expect([await isLive(before.grantId), await isLive(after.grantId)]).toEqual([false, true])
    expect(await world.connectionRow(before.connectionId)).toMatchObject({ ended_at: null })
    expect(await replayed(...log)).toMatchObject({ ended: 0 })
  })

  it('does not keep what was shared before it alive: a connection of which only the end is known', async () => {
    const { grantId, connectionId } = await world.share(maria, record)
    const at = later(1000)
    later(DAY)
    expect(await replayed({ ...end, kind: 'connection', at, connectionId })).toMatchObject({ ended: 1 })
    expect(await world.grantRow(grantId)).toMatchObject({ ended_at: at })
    expect(await world.connectionRow(connectionId)).toMatchObject({ ended_at: at })
  })

  it('a delegation that began anew goes on, with what rests on it', async () => {
    const lucy = await world.patient('lucy')
    const at = later(1000)
    const starts = later(DAY)
    const delegationId = await world.actsFor(maria, lucy, { starts_at: starts })
    const { grantId } = await world.share(maria, lucy)
    const { issuer, actor } = end
    const log: NewEnding = { issuer, actor, kind: 'delegation', at, delegationId }
    expect(await replayed(log)).toMatchObject({ ended: 0 })
    const row = await world.db.selectFrom('delegations').selectAll().executeTakeFirstOrThrow()
    expect(row).toMatchObject({ starts_at: starts, ends_at: null })
    expect(await isLive(grantId)).toBe(true)
    expect(await replayed({ ...log, at: later(1000) })).toMatchObject({ ended: 1 })
    expect(await isLive(grantId)).toBe(false)
  })
})

describe('what was narrowed', () => {
  const wide = 'openid offline_access patient/*.rs'
  const left = 'openid offline_access patient/Coverage.rs'
  const share = () => world.share(maria, record, { grantedScope: wide, sensitivities: ['hiv', 'genetics'] })
  const line = (grantId: string, more: object = {}): NewEnding => ({
    ...{ kind: 'narrowing', at: world.now(), issuer: ISSUER, grantId, actor: 'member:m', revision: 1 },
    ...{ scope: left, sensitivities: ['hiv'], endsAt: world.now() + 30 * DAY, ...more },
  })

  it('is narrowed again, once, however often and in whatever order the lines are read', async () => {
    const { grantId } = await share()
    const first = line(grantId, { scope: `${left} patient/Claim.rs`, sensitivities: ['hiv', 'genetics'] })
    const second = line(grantId, { revision: 2, endsAt: world.now() + 10 * DAY })
    later(DAY)
    expect(await replayed(second, first)).toEqual({ read: 2, ended: 1, unreadable: 0 })
    const narrowed = await world.grantRow(grantId)
    expect(narrowed).toMatchObject({
      scope: left,
      revision: 2,
      expires_at: second.kind === 'narrowing' && second.endsAt,
    })
    // Who follows the feed hears of it now.
    expect(narrowed.narrowed_at).toBe(world.now())
    expect(await world.connections.grantContext(ISSUER, grantId)).toMatchObject({ sensitivities: ['hiv'] })
    expect((await world.trail()).at(-1)).toMatchObject({
      type: 'grant.narrowed',
      actor: 'member:m',
      details: { replayedFrom: new Date(second.at).toISOString() },
    })
    later(DAY)
    expect(await replayed(first, second)).toMatchObject({ ended: 0 })
    expect(await world.grantRow(grantId)).toEqual(narrowed)
  })

  it('has the revision that it had, so that tokens of before are not taken for those of after', async () => {
    const { grantId } = await share()
    expect(await replayed(line(grantId, { revision: 3 }))).toMatchObject({ ended: 1 })
    expect((await world.grantRow(grantId)).revision).toBe(3)
  })

  it('keeps the later end to which the member extended it since', async () => {
    const { grantId, connectionId } = await share()
    const log = line(grantId, { scope: wide, sensitivities: ['hiv', 'genetics'], revision: 0 })
    expect(await replayed(log)).toMatchObject({ ended: 1 })
    later(1000)
    const endsAt = world.now() + 300 * DAY
    await world.connections.extend({
      ...{ issuer: ISSUER, plan: 'prairie', memberId: maria, connectionId, shown: null, requestId: null },
      endsAt,
    })
    expect(await replayed(log)).toMatchObject({ ended: 0 })
    expect((await world.grantRow(grantId)).expires_at).toBe(endsAt)
  })

  it('is never widened by a line, whatever it says, and what has ended stays as it is', async () => {
    const { grantId } = await world.share(maria, record)
    const before = await world.grantRow(grantId)
    const wider = line(grantId, { scope: 'patient/*.cruds', sensitivities: ['hiv'], endsAt: 9e15, revision: 0 })
    expect(await replayed(wider, line('unknown'), line(grantId, { issuer: 'summit/sandbox' }))).toMatchObject({
      ended: 0,
    })
    expect(await world.grantRow(grantId)).toEqual(before)
    await world.connections.endGrant(null, { ...end, reason: 'revoked_by_app', requestId: null, grantId })
    const ended = await world.grantRow(grantId)
    expect(await replayed(line(grantId))).toMatchObject({ ended: 0 })
    expect(await world.grantRow(grantId)).toEqual(ended)
  })
})

describe('a line that nobody of ours can have written', () => {
  it.each([
    ['that frees a member', { kind: 'member', memberId: 'm', status: 'active', at: 1 }],
    ['that frees an app', { kind: 'credential', credentialId: 'c', status: 'active', at: 1 }],
  ])('%s is none that we know', (_, line) => {
    expect(parseLine(JSON.stringify({ v: 1, issuer: ISSUER, ...line }))).toBeNull()
  })

  it('of the future is not followed, and counted', async () => {
    const { grantId } = await world.share(maria, record)
    const line: NewEnding = { ...end, kind: 'grant', at: world.now() + 2 * 3_600_000, grantId }
    expect(await replayed(line)).toEqual({ read: 1, ended: 0, unreadable: 1 })
    expect(await isLive(grantId)).toBe(true)
    later(3_600_000)
    expect(await replayed(line)).toMatchObject({ ended: 1 })
  })
})
