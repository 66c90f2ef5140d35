/** Redis dies, stops or fails over under load. Two nodes, PostgreSQL for what lasts. */
import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Deployment, startDeployment } from '../support/deployment.ts'
import { initdb, redisServer } from '../support/machine.ts'
import { durable, type OwnPostgres, startPostgres } from '../support/postgres.ts'
import { type RedisProcess, type SentinelGroup, startRedis, startSentinel } from '../support/redis.ts'
import { expectNoBreach, expectReadiness, limit, rounds, startWork } from './stage.ts'

describe.skipIf(!initdb || !redisServer)('Redis', () => {
  let postgres: OwnPostgres
  beforeAll(async () => {
    postgres = await startPostgres({ settings: durable })
  })
  afterAll(() => postgres?.stop())

  describe('as a single server', () => {
    let redis: RedisProcess
    let deployment: Deployment
    beforeAll(async () => {
      redis = await startRedis()
      const { url } = await postgres.database()
      deployment = await startDeployment({ database: url, redis: { nodes: [`127.0.0.1:${redis.port}`] } })
    })
    afterAll(async () => {
      await deployment?.close()
      await redis?.stop()
    })

    it.each(['always', 'everysec'])(
      'is killed under load, synchronizing %s, and starts again: nobody loses anything, nobody is blamed (R43)',
      { timeout: limit(20) },
      async (fsync) => {
        const load = await startWork(deployment)
        for (let round = 0; round < rounds(1); round++) {
          await redis.command('config', 'set', 'appendfsync', fsync)
          await load.more(20)
          redis.signal('SIGKILL')
          await expectReadiness(deployment.nodes, false)
          await redis.start()
          await expectReadiness(deployment.nodes, true)
          await load.more(20)
        }
        await expectNoBreach(load)
      },
    )

    it('stops for five seconds under load: nothing hangs, nobody is blamed (R43)', { timeout: limit(25) }, async () => {
      const load = await startWork(deployment)
      for (let round = 0; round < rounds(1); round++) {
        await load.more(20)
        redis.signal('SIGSTOP')
        await Promise.all([expectReadiness(deployment.nodes, false), pause(5000)])
        redis.signal('SIGCONT')
        await expectReadiness(deployment.nodes, true)
        await load.more(20)
      }
      await expectNoBreach(load)
    })
  })

  describe('behind Sentinels', () => {
    let group: SentinelGroup
    let deployment: Deployment
    beforeAll(async () => {
      group = await startSentinel()
      const { url } = await postgres.database()
      const { kind, sentinel } = group.settings
      const nodes = group.settings.nodes.map(({ host, port }) => `${host}:${port}`)
      deployment = await startDeployment({ database: url, redis: { kind, nodes, sentinel } })
    })
    afterAll(async () => {
      await deployment?.close()
      await group?.stop()
    })

    it('fails over under load: no grant is lost or revived, no node is started again', {
      timeout: limit(40),
    }, async () => {
      const before = deployment.nodes.map((node) => node.pid())
      // A code may be honoured again, and a second use go unseen: docs/operating.md.
      const load = await startWork(deployment, { replayCodes: false })
      for (let round = 0; round < rounds(1); round++) {
        const { master } = await group.roles()
        await load.more(20)
        master.signal('SIGKILL')
        // It takes three seconds or so, and may be over before anybody has asked for readiness.
        await pause(4000)
        await expectReadiness(deployment.nodes, true)
        await load.more(20)
        await master.start()
      }
      await expectNoBreach(load, { codesForgotten: true })
      expect(deployment.nodes.map((node) => node.pid())).toEqual(before)
    })
  })
})
