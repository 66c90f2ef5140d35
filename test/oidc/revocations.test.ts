/** What the revocation feed has in it, and how soon (R11): read from the grants, whoever changed them and wherever. */
import { setTimeout as pause } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { createRevocations, type Heard, type Revocations } from '../../src/oidc/revocations.ts'
import { createWorld, DAY, ISSUER, OTHER_ISSUER, type World } from '../members/world.ts'
import { openBackend } from '../support/backend.ts'
import { type Backend, quiet } from '../support/stores.ts'

const MINUTE = 60_000

let backend: Backend
let world: World
let memberId: string
let patientId: string
let elapsed = 0
const unwatch: (() => void)[] = []

beforeEach(async () => {
  backend = await openBackend()
  world = await createWorld(backend.url)
  memberId = (await world.member('maria')).id
  patientId = await world.patient('maria')
  await world.owns(memberId, patientId)
  elapsed = 0
})
afterEach(async () => {
  for (const stop of unwatch.splice(0)) stop()
  await pause(300)
  await world.close()
  await backend.dispose()
})

const create = (issuer = ISSUER) =>
  createRevocations({ database: world.database, issuer, log: quiet, now: world.now, elapsed: () => elapsed })
const share = async () => (await world.share(memberId, patientId)).grantId
const end = (grantId: string, more: object = {}) =>
  world.connections.endGrant(null, {
    ...{ issuer: ISSUER, grantId, reason: 'revoked_by_member' as const, actor: 'system', requestId: null },
    ...more,
  })
const change = (grantId: string, values: object) =>
  world.db.updateTable('grants').set(values).where('id', '=', grantId).execute()
const listed = async (of = create()) => (await of.list()).map(({ revocation }) => revocation)

/** Everything that was heard since. */
const watch = async (of: Revocations): Promise<Heard[]> => {
  const heard: Heard[] = []
  const take = () => {
    heard.push(...of.next(heard.at(-1)?.order ?? 0, 1000))
  }
  unwatch.push(await of.watch(take))
  take()
  return heard
}
const ids = (heard: Heard[]) => heard.map(({ revocation }) => revocation.grant_id)
const hears = (heard: Heard[], ...expected: string[]) =>
  vi.waitFor(() => expect(ids(heard)).toEqual(expected), { timeout: 5_000, interval: 5 })

describe('what is listed', () => {
  it('a grant that has ended, with why and when, until no token of it can live', async () => {
    const grantId = await share()
    await end(grantId)
    const at = Math.floor(world.now() / 1000)
    expect(await create().list()).toEqual([
      {
        api: 'fhir',
        // An hour is the longest life of an access token (R8), and clocks differ.
        revocation: { grant_id: grantId, revision: null, reason: 'revoked_by_member', at, until: at + 3600 + 60 },
      },
    ])
    world.clock.now += 60 * MINUTE
    expect(await listed()).toHaveLength(1)
    world.clock.now += 2 * MINUTE
    expect(await listed()).toEqual([])
  })

  it('a grant that was narrowed, with the revision from which on its tokens are good', async () => {
    const grantId = await share()
    await change(grantId, { revision: 2, narrowed_at: world.now() })
    expect(await listed()).toMatchObject([{ grant_id: grantId, revision: 2, reason: 'narrowed' }])
    await end(grantId)
    expect(await listed()).toMatchObject([{ grant_id: grantId, revision: null, reason: 'revoked_by_member' }])
  })

  it('each way in which things end: by delegation, by connection, by the app', async () => {
    const { grantId, connectionId } = await world.share(memberId, patientId)
    await world.connections.endConnection(null, {
      ...{ issuer: ISSUER, connectionId, reason: 'revoked_by_app', actor: 'client:binder', requestId: null },
    })
    const lucy = await world.patient('lucy')
    const delegationId = await world.actsFor(memberId, lucy)
    const shared = await world.share(memberId, lucy)
    await world.connections.endDelegation(null, { issuer: ISSUER, delegationId, actor: 'system', requestId: null })
    const reasons = (await listed()).map(({ grant_id, reason }) => [grant_id, reason])
    expect(reasons.sort()).toEqual(
      [
        [grantId, 'revoked_by_app'],
        [shared.grantId, 'authority_ended'],
      ].sort(),
    )
  })

  it('nothing that lives, nothing that was never decided, and nothing of another issuer', async () => {
    await share()
    const undecided = await world.grant(memberId)
    await end(undecided)
    const elsewhere = await world.grant(memberId, { issuer: OTHER_ISSUER, ended_at: world.now(), context: '{"v":1}' })
    expect(await listed()).toEqual([])
    expect((await listed(create(OTHER_ISSUER))).map(({ grant_id }) => grant_id)).toEqual([elsewhere])
  })

  it('an end that comes from the log of endings counts from when it came: tokens were given out until then (R46)', async () => {
    const grantId = await share()
    const asked = world.now()
    world.clock.now += DAY
    await end(grantId, { replayedFrom: asked })
    expect(await world.grantRow(grantId)).toMatchObject({ ended_at: asked })
    expect(await listed()).toMatchObject([
      { grant_id: grantId, revision: null, until: Math.floor(world.now() / 1000) + 3660 },
    ])
  })
})

describe('what is heard', () => {
  it('begins with what counts already, and goes on within half a second', async () => {
    const [before, after] = [await share(), await share()]
    await end(before)
    const heard = await watch(create())
    expect(ids(heard)).toEqual([before])
    const from = performance.now()
    await end(after)
    await hears(heard, before, after)
    expect(performance.now() - from).toBeLessThan(500)
  })

  it('from another node on the same store just as well', async () => {
    const heard = await watch(create())
    const other = await createWorld(backend.url)
    const grantId = await share()
    await other.connections.endGrant(null, {
      ...{ issuer: ISSUER, grantId, reason: 'revoked_by_member', actor: 'system', requestId: null },
    })
    await hears(heard, grantId)
    await other.close()
  })

  it('of a commit that came 15 seconds after the time that it says', async () => {
    const heard = await watch(create())
    const grantId = await share()
    world.clock.now += 15_000
    await pause(400)
    await change(grantId, { ended_at: world.now() - 15_000, end_reason: 'replaced' })
    await hears(heard, grantId)
  })

  it('of one that came later than anybody should, within a minute', async () => {
    const heard = await watch(create())
    const grantId = await share()
    await change(grantId, { ended_at: world.now() - 5 * MINUTE, end_reason: 'replaced' })
    await pause(400)
    expect(heard).toEqual([])
    elapsed += MINUTE + 1
    await hears(heard, grantId)
  })

  it('each narrowing, and the end, once', async () => {
    const heard = await watch(create())
    const grantId = await share()
    for (const revision of [1, 2]) {
      await change(grantId, { revision, narrowed_at: world.now() })
      await hears(heard, ...Array(revision).fill(grantId))
    }
    await end(grantId)
    await hears(heard, grantId, grantId, grantId)
    expect(heard.map(({ revocation }) => revocation.revision)).toEqual([1, 2, null])
    elapsed += MINUTE + 1
    await pause(600)
    expect(heard).toHaveLength(3)
  })

  it('of whatever ended while the store was away, and nobody is told that all is well meanwhile', async () => {
    const revocations = create()
    const heard = await watch(revocations)
    expect(revocations.fresh()).toBe(true)
    const grantId = await share()
    world.store.fail(true)
    elapsed += 6_000
    await pause(600)
    expect(revocations.fresh()).toBe(false)
    world.store.fail(false)
    // Longer ago than any reading looks back, but for the first after a failure.
    await change(grantId, { ended_at: world.now() - MINUTE, end_reason: 'replaced' })
    await hears(heard, grantId)
    expect(revocations.fresh()).toBe(true)
  })

  it('with a store that is away from the beginning it is a fault of ours, and well again with the store (R43)', async () => {
    const revocations = create()
    world.store.fail(true)
    await expect(revocations.watch(() => {})).rejects.toMatchObject({ status: 503 })
    await expect(revocations.list()).rejects.toMatchObject({ status: 503 })
    world.store.fail(false)
    const grantId = await share()
    await end(grantId)
    expect(ids(await watch(revocations))).toEqual([grantId])
  })

  it('the store is asked while somebody listens, and not at other times', async () => {
    const revocations = create()
    let asked = 0
    world.store.fail((step) => {
      if (step.kind === 'query' && /narrowed_at/.test(step.sql)) asked++
      return false
    })
    await pause(600)
    expect(asked).toBe(0)
    await watch(revocations)
    await pause(1000)
    expect(asked).toBeGreaterThan(2)
    expect(asked).toBeLessThan(7)
    unwatch.pop()?.()
    await pause(300)
    const before = asked
    await pause(600)
    expect(asked).toBe(before)
    // Whoever comes later has missed nothing.
    const grantId = await share()
    await end(grantId)
    expect(ids(await watch(revocations))).toEqual([grantId])
  })

  it('what counts no more is kept no longer', async () => {
    const revocations = create()
    await end(await share())
    await watch(revocations)
    expect(revocations.next(0, 10)).toHaveLength(1)
    world.clock.now += 62 * MINUTE
    elapsed += MINUTE + 1
    await vi.waitFor(() => expect(revocations.next(0, 10)).toEqual([]), { timeout: 5000 })
  })
})
