/** When keys change (R41 to R43): by age, by command, at once when compromised. On real stores, with a clock of the test's own. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { InputFaults } from '../../src/errors.ts'
import { addKeyRotation, createKeyRotation, type KeyRotation } from '../../src/oidc/key-rotation.ts'
import { ensureKeys, type KeyDeps, readKeys } from '../../src/oidc/keys.ts'
import { createSealer } from '../../src/secrets.ts'
import { type Database, openDatabase } from '../../src/storage/database.ts'
import { createJobs } from '../../src/storage/jobs.ts'
import { createWorld, DAY, ISSUER, OTHER_ISSUER, type World } from '../members/world.ts'
import { openBackend, patient } from '../support/backend.ts'
import { type Backend, quiet } from '../support/stores.ts'

let backend: Backend
let world: World
let other: Database
let nodes: [KeyRotation, KeyRotation]
let deps: KeyDeps
const begin = { rotateDays: 90, begin: true }
const byAge = { rotateDays: 90, begin: false }

beforeEach(async () => {
  backend = await openBackend()
  world = await createWorld(backend.url)
  other = await openDatabase({ url: backend.url, log: quiet, pool: patient })
  const sealer = createSealer([{ id: 'one', secret: 'secret of one' }])
  deps = { database: world.database, sealer, audit: world.audit, now: world.now }
  nodes = [createKeyRotation(deps), createKeyRotation({ ...deps, database: other })]
  await ensureKeys(ISSUER, deps)
  await ensureKeys(OTHER_ISSUER, deps)
})
afterEach(async () => {
  await other.close()
  await world.close()
  await backend.dispose()
})

const days = (count: number) => {
  world.clock.now += count * DAY
}
const keys = async (algorithm = 'ES256', issuer = ISSUER) =>
  (await readKeys(world.db, issuer)).keys.filter((row) => row.algorithm === algorithm)
const states = async (algorithm = 'ES256', issuer = ISSUER) =>
  (await keys(algorithm, issuer)).map((row) => row.state).sort()
const kidOf = async (state: string, algorithm = 'ES256') =>
  (await keys(algorithm)).find((row) => row.state === state)?.kid ?? ''
const secrets = async (purpose: string) =>
  (await readKeys(world.db, ISSUER)).secrets.filter((row) => row.purpose === purpose).map(({ id }) => id)
const version = async () =>
  (await world.db.selectFrom('key_changes').select('version').executeTakeFirst())?.version ?? 0
const events = async (type: string) =>
  (await world.db.selectFrom('audit').selectAll().where('type', '=', type).orderBy('sequence').execute()).map(
    ({ issuer, details }) => ({ issuer, ...JSON.parse(details) }),
  )

describe('signing keys', () => {
  it('are published for a day before they sign, and for a day after; one signs at any time', async () => {
    const first = await kidOf('current')
    await nodes[0].turn(ISSUER, begin)
    const second = await kidOf('next')
    expect(await states()).toEqual(['current', 'next'])
    expect(await states('RS256')).toEqual(['current', 'next'])
    expect(await kidOf('current')).toBe(first)

    world.clock.now += DAY - 1
    expect(await nodes[1].turn(ISSUER, byAge)).toContainEqual(
      expect.objectContaining({ id: second, step: 'waiting', at: world.clock.now + 1 }),
    )
    expect(await kidOf('current')).toBe(first)
    world.clock.now += 1
    expect(await nodes[1].turn(ISSUER, byAge)).toContainEqual(
      expect.objectContaining({ id: second, step: 'in-force', replaces: first, at: world.clock.now + DAY }),
    )
    expect(await kidOf('current')).toBe(second)
    expect(await kidOf('retired')).toBe(first)

    world.clock.now += DAY - 1
    await nodes[0].turn(ISSUER, byAge)
    expect(await kidOf('retired')).toBe(first)
    world.clock.now += 1
    await nodes[0].turn(ISSUER, byAge)
    expect(await states()).toEqual(['current'])
    expect(await states('ES256', OTHER_ISSUER)).toEqual(['current'])
  })

  it('are replaced when they are as old as the configuration says', async () => {
    const first = await kidOf('current')
    days(88.9)
    await nodes[0].turn(ISSUER, byAge)
    expect(await states()).toEqual(['current'])
    days(0.1)
    await nodes[0].turn(ISSUER, byAge)
    expect(await states()).toEqual(['current', 'next'])
    days(1)
    await nodes[0].turn(ISSUER, byAge)
    expect(await kidOf('retired')).toBe(first)
  })

  it('stay for ever where only the command replaces them', async () => {
    days(2000)
    expect(await nodes[0].turn(ISSUER, { rotateDays: null, begin: false })).toEqual([])
    await nodes[0].turn(ISSUER, { rotateDays: null, begin: true })
    days(1)
    await nodes[0].turn(ISSUER, { rotateDays: null, begin: false })
    expect(await states()).toEqual(['current', 'retired'])
  })

  it('are replaced by the job, on whichever server gets to it; nobody has to do anything', async () => {
    const work = [world.database, other].map((database, i) => {
      const jobs = createJobs({ database, log: quiet, now: world.now, holder: `node-${i}` })
      addKeyRotation({ rotation: nodes[i as 0], jobs, issuers: [ISSUER, OTHER_ISSUER], rotateDays: 90 })
      return jobs
    })
    const first = await kidOf('current')
    const run = () => Promise.all(work.map((jobs) => jobs.runDue()))
    await run()
    expect(await states()).toEqual(['current'])
    for (let day = 0; day < 92; day++) {
      days(1)
      await run()
    }
    expect(await states()).toEqual(['current'])
    expect(await states('RS256', OTHER_ISSUER)).toEqual(['current'])
    expect(await kidOf('current')).not.toBe(first)
    expect(await events('key.rotated')).toHaveLength(4)
    for (const jobs of work) await jobs.stop()
  })

  it('are made once, whoever asks how often, and come into force once', async () => {
    await Promise.all([0, 1, 0, 1].map((i) => nodes[i as 0].turn(ISSUER, begin)))
    expect(await states()).toEqual(['current', 'next'])
    expect(await states('RS256')).toEqual(['current', 'next'])
    expect(await secrets('next cookies')).toHaveLength(1)
    days(1)
    await Promise.all([0, 1, 0, 1].map((i) => nodes[i as 0].turn(ISSUER, byAge)))
    expect(await states()).toEqual(['current', 'retired'])
    expect(await events('key.rotated')).toHaveLength(2)
  })

  it('every step is audited and told to the servers; a turn without a step is neither (R35)', async () => {
    const before = await version()
    const old = await kidOf('current')
    await nodes[0].turn(ISSUER, begin)
    expect(await version()).toBe(before + 1)
    const kid = await kidOf('next')
    days(1)
    await nodes[0].turn(ISSUER, byAge)
    days(1)
    await nodes[0].turn(ISSUER, byAge)
    expect(await version()).toBe(before + 3)
    await nodes[0].turn(ISSUER, byAge)
    expect(await version()).toBe(before + 3)
    expect(await events('key.created')).toContainEqual(expect.objectContaining({ issuer: ISSUER, kid, state: 'next' }))
    expect(await events('key.rotated')).toContainEqual(expect.objectContaining({ kid, retired: old }))
    expect(await events('key.removed')).toContainEqual(expect.objectContaining({ kid: old, algorithm: 'ES256' }))
  })
})

describe('a compromised key', () => {
  it('goes at once, and a new one signs in its place', async () => {
    const kid = await kidOf('current')
    const { was, signs, issuer } = await nodes[0].revoke(kid)
    expect({ was, issuer }).toEqual({ was: 'current', issuer: ISSUER })
    expect(await keys()).toMatchObject([{ kid: signs, state: 'current' }])
    expect(await states('RS256')).toEqual(['current'])
    expect(await events('key.revoked')).toEqual([
      expect.objectContaining({ issuer: ISSUER, kid, state: 'current', reason: 'compromised' }),
    ])
  })

  it('is replaced by the next one, which verifiers know already', async () => {
    await nodes[0].turn(ISSUER, begin)
    const next = await kidOf('next')
    expect((await nodes[0].revoke(await kidOf('current'))).signs).toBe(next)
    expect(await keys()).toMatchObject([{ kid: next, state: 'current' }])
  })

  it.each(['next', 'retired'])('that is %s goes at once, and the current one signs on', async (state) => {
    await nodes[0].turn(ISSUER, begin)
    if (state === 'retired') days(1)
    if (state === 'retired') await nodes[0].turn(ISSUER, byAge)
    const current = await kidOf('current')
    const before = await version()
    expect(await nodes[0].revoke(await kidOf(state))).toMatchObject({ was: state, signs: null })
    expect(await keys()).toMatchObject([{ kid: current, state: 'current' }])
    expect(await version()).toBe(before + 1)
  })

  it('is revoked once, and an unknown one is refused', async () => {
    const kid = await kidOf('current')
    const both = await Promise.allSettled([nodes[0].revoke(kid), nodes[1].revoke(kid)])
    expect(both.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
    expect(await states()).toEqual(['current'])
    await expect(nodes[0].revoke(kid)).rejects.toThrow(InputFaults)
  })
})

describe('secrets of cookies, forms and refresh tokens', () => {
  it.each([
    ['cookies', 1],
    ['forms', 1],
    // As long as copies of the store are kept: one that lacks it would make every newer token a stranger (R46).
    ['refresh-tokens', 30],
  ])('of %s: known to all servers for %i days before it makes any', async (p, known) => {
    const [first] = await secrets(p)
    await nodes[0].turn(ISSUER, begin)
    const [next] = await secrets(`next ${p}`)
    days(known - 0.1)
    await nodes[0].turn(ISSUER, byAge)
    expect(await secrets(p)).toContain(first)
    expect(await secrets(`next ${p}`)).toEqual([next])
    days(0.1)
    await nodes[0].turn(ISSUER, byAge)
    expect(await secrets(p)).toEqual([next, first])
    expect(await secrets(`next ${p}`)).toEqual([])
  })

  it.each(['cookies', 'forms'])('of %s: checks until the longest sign-in that it signed is over', async (p) => {
    await nodes[0].turn(ISSUER, begin)
    days(5)
    // However late the turn comes, the time counts from when the new one is used.
    await nodes[0].turn(ISSUER, byAge)
    days(1.9)
    await nodes[0].turn(ISSUER, byAge)
    expect(await secrets(p)).toHaveLength(2)
    days(0.1)
    await nodes[0].turn(ISSUER, byAge)
    expect(await secrets(p)).toHaveLength(1)
  })

  it('of refresh tokens: is made so early that the next one is in force when the old one has its age', async () => {
    const [first] = await secrets('refresh-tokens')
    days(59.9)
    await nodes[0].turn(ISSUER, byAge)
    expect(await secrets('next refresh-tokens')).toEqual([])
    days(0.1)
    await nodes[0].turn(ISSUER, byAge)
    const [next] = await secrets('next refresh-tokens')
    days(30)
    await nodes[0].turn(ISSUER, byAge)
    expect(await secrets('refresh-tokens')).toEqual([next, first])
  })

  it('of refresh tokens: checks what was shared at a server that had not heard yet of the new one', async () => {
    const [old = ''] = await secrets('refresh-tokens')
    await nodes[0].turn(ISSUER, begin)
    days(30)
    await nodes[0].turn(ISSUER, byAge)
    world.clock.now += 300
    const { id } = await world.member('maria')
    const grant = await world.grant(id, { expires_at: world.clock.now + 300 * DAY })
    for (const later of [600_000, DAY]) {
      world.clock.now += later
      await nodes[0].turn(ISSUER, byAge)
      expect(await secrets('refresh-tokens')).toContain(old)
    }
    await world.db.updateTable('grants').set({ expires_at: world.clock.now }).where('id', '=', grant).execute()
    await nodes[0].turn(ISSUER, byAge)
    expect(await secrets('refresh-tokens')).not.toContain(old)
  })

  it('of refresh tokens: checks for a day at least, also where nothing was shared before', async () => {
    const [old = ''] = await secrets('refresh-tokens')
    await nodes[0].turn(ISSUER, begin)
    days(30)
    await nodes[0].turn(ISSUER, byAge)
    days(0.9)
    await nodes[0].turn(ISSUER, byAge)
    expect(await secrets('refresh-tokens')).toContain(old)
    days(0.1)
    await nodes[0].turn(ISSUER, byAge)
    expect(await secrets('refresh-tokens')).not.toContain(old)
  })

  it('of refresh tokens: checks as long as a grant of its time may live, ended or not (R8, R9)', async () => {
    const { id } = await world.member('maria')
    await nodes[0].turn(ISSUER, begin)
    const old = await world.grant(id, { expires_at: world.clock.now + 300 * DAY, ended_at: world.clock.now })
    days(30)
    await nodes[0].turn(ISSUER, byAge)
    days(1)
    world.clock.now += 1
    await world.grant(id, { expires_at: world.clock.now + 900 * DAY })
    days(268)
    await nodes[0].turn(ISSUER, { rotateDays: null, begin: false })
    expect(await secrets('refresh-tokens')).toHaveLength(2)
    await world.db.updateTable('grants').set({ expires_at: world.clock.now }).where('id', '=', old).execute()
    await nodes[0].turn(ISSUER, { rotateDays: null, begin: false })
    expect(await secrets('refresh-tokens')).toHaveLength(1)
    expect(await events('secret.removed')).toContainEqual(expect.objectContaining({ purpose: 'refresh-tokens' }))
  })
})
