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

  it('honours a token three times, whoever is asked: once as the first', async () => {
    await add(0, await family(), 'token', 0)
    const verdicts = await Promise.all(Array.from({ length: 100 }, (_, i) => node(i).tokens.present('token')))
    const count = (verdict: string) => verdicts.filter((each) => each === verdict).length
    expect([count('first'), count('again'), count('refuse'), count('reuse')]).toEqual([1, 2, 97, 0])
  })

  it('honours a token three times also where two processes are asked', async () => {
    world.clock.now = Date.now()
    await add(0, await family(), 'shared', 0)
    const asked = { key: 'shared', issuer: ISSUER, times: 50 }
    const verdicts = (await inProcesses<string[]>(2, 'present', backend.url, asked)).flat()
    const count = (verdict: string) => verdicts.filter((each) => each === verdict).length
    expect([count('first'), count('again'), count('refuse'), count('reuse')]).toEqual([1, 2, 97, 0])
  })

  it('lets one of several siblings be the first, and kills the others', async () => {
    for (let round = 0; round < 10; round++) {
      const grantId = await family()
      await add(0, grantId, `parent ${round}`, 0)
      await node(0).tokens.present(`parent ${round}`)
      const siblings = ['a', 'b', 'c'].map((name) => `${name} ${round}`)
      for (const sibling of siblings) await add(0, grantId, sibling, 1)
      const verdicts = await Promise.all(siblings.map((sibling, i) => node(i).tokens.present(sibling)))
      expect(verdicts.sort()).toEqual(['first', 'refuse', 'refuse'])
    }
  })

  it('stores no sibling beside one that was used meanwhile', async () => {
    for (let round = 0; round < 20; round++) {
      const grantId = await family()
      await add(0, grantId, `one ${round}`, 1)
      const [verdict, added] = await Promise.all([
        node(0).tokens.present(`one ${round}`),
        add(1, grantId, `two ${round}`, 1),
      ])
      expect(verdict).toBe('first')
      // Added before, it was killed; or it was not added.
      const two = await node(0).tokens.find(`two ${round}`)
      expect(added ? two?.row.killed_at : null).toBe(added ? world.clock.now : null)
    }
  })
})
