import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createRefreshTokens } from '../../src/oidc/refresh-tokens.ts'
import { newId } from '../../src/secrets.ts'
import { type Database, openDatabase } from '../../src/storage/database.ts'
import { createWorld, ISSUER, type World } from '../members/world.ts'
import { openBackend, patient } from '../support/backend.ts'
import { inProcesses } from '../support/processes.ts'
import { type Backend, quiet } from '../support/stores.ts'

describe('a family of refresh tokens under concurrency (R8)', () => {
  let backend: Backend
  let world: World
  let other: Database
  let nodes: { database: Database; tokens: ReturnType<typeof createRefreshTokens> }[]

  beforeEach(async () => {
    backend = await openBackend()
    world = await createWorld(backend.url)
    other = await openDatabase({ url: backend.url, log: quiet, pool: patient })
    nodes = [world.database, other].map((database) => ({
      database,
      tokens: createRefreshTokens({ database, issuer: ISSUER, now: world.now }),
    }))
  })
  afterEach(async () => {
    await other.close()
    await world.close()
    await backend.dispose()
  })

  const node = (i: number) => nodes[i % nodes.length] as (typeof nodes)[number]
  const family = async () => world.grant((await world.member(newId())).id)
  /** As the engine's adapter stores one. */
  const add = (i: number, grantId: string, token: string, generation: number) =>
    node(i).database.transaction(async (trx) => {
      await trx.selectFrom('grants').select('id').where('id', '=', grantId).forUpdate().execute()
      return node(i).tokens.add(trx, token, { family: grantId, generation }, '{}', world.clock.now + 1e9)
    })

  /** As the engine's adapter takes one, and stores what is handed out for it. */
  const rotate = (i: number, grantId: string, token: string, generation: number, next?: string) =>
    node(i).database.transaction(async (trx) => {
      const { tokens } = node(i)
      await tokens.hold(trx, grantId)
      const verdict = await tokens.present(trx, token, { family: grantId, generation })
      if (next !== undefined && (verdict === 'first' || verdict === 'again'))
        await tokens.add(trx, next, { family: grantId, generation: generation + 1 }, '{}', world.clock.now + 1e9)
      return verdict
    })
  const rows = (grantId: string) =>
    world.database.db.selectFrom('refresh_tokens').selectAll().where('grant_id', '=', grantId).execute()

  it('honours a token three times, whoever is asked: once as the first [RFC 9700 7]', async () => {
    const grantId = await family()
    await add(0, grantId, 'token', 0)
    const verdicts = await Promise.all(Array.from({ length: 100 }, (_, i) => rotate(i, grantId, 'token', 0)))
    const count = (verdict: string) => verdicts.filter((each) => each === verdict).length
    expect([count('first'), count('again'), count('refuse'), count('reuse')]).toEqual([1, 2, 97, 0])
  })

  it('honours a token three times also where two processes are asked', async () => {
    world.clock.now = Date.now()
    const grantId = await family()
    await add(0, grantId, 'shared', 0)
    const asked = { key: 'shared', family: grantId, issuer: ISSUER, times: 50 }
    const verdicts = (await inProcesses<string[]>(2, 'present', backend.url, asked)).flat()
    const count = (verdict: string) => verdicts.filter((each) => each === verdict).length
    expect([count('first'), count('again'), count('refuse'), count('reuse')]).toEqual([1, 2, 97, 0])
  })

  it('lets one of several siblings be the first, and kills the others', async () => {
    for (let round = 0; round < 10; round++) {
      const grantId = await family()
      await add(0, grantId, `parent ${round}`, 0)
      const siblings = ['a', 'b', 'c'].map((name) => `${name} ${round}`)
      for (const sibling of siblings) await rotate(0, grantId, `parent ${round}`, 0, sibling)
      const verdicts = await Promise.all(siblings.map((sibling, i) => rotate(i, grantId, sibling, 1)))
      expect(verdicts.sort()).toEqual(['first', 'refuse', 'refuse'])
    }
  })

  it('hands out no sibling beside one that was used meanwhile', async () => {
    for (let round = 0; round < 20; round++) {
      const grantId = await family()
      await add(0, grantId, `parent ${round}`, 0)
      await rotate(0, grantId, `parent ${round}`, 0, `one ${round}`)
      const [one, again] = await Promise.all([
        rotate(0, grantId, `one ${round}`, 1, `child ${round}`),
        rotate(1, grantId, `parent ${round}`, 0, `two ${round}`),
      ])
      expect(one).toBe('first')
      // Handed out before, it was killed; or it was not handed out.
      const two = await node(0).tokens.find(`two ${round}`)
      expect(again).toBe(two ? 'again' : 'refuse')
      expect(two ? two.row.killed_at : null).toBe(two ? world.clock.now : null)
    }
  })

  it('buries tombstones past their grace, also those of a client that refreshes without pause', async () => {
    const grantId = await family()
    await add(0, grantId, 't0', 0)
    for (let i = 0; i < 200; i++) {
      world.clock.now += 1000
      expect(await rotate(0, grantId, `t${i}`, i, `t${i + 1}`)).toBe('first')
    }
    expect((await rows(grantId)).length).toBeLessThanOrEqual(30 + 32 + 2)
    world.clock.now += 3_600_000
    await rotate(0, grantId, 't200', 200, 't201')
    world.clock.now += 3_600_000
    await rotate(0, grantId, 't201', 201, 't202')
    expect((await rows(grantId)).map(({ generation }) => generation).sort()).toEqual([201, 202])
  })
})
