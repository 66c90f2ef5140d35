/** PostgreSQL dies or stops under load. Two nodes; Redis holds what is short-lived, or PostgreSQL alone holds everything. */
import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Deployment, startDeployment } from '../support/deployment.ts'
import { initdb, redisServer } from '../support/machine.ts'
import { durable, type OwnPostgres, startPostgres } from '../support/postgres.ts'
import { type RedisProcess, startRedis } from '../support/redis.ts'
import { expectNoBreach, expectReadiness, limit, rounds, startWork } from './stage.ts'

describe.skipIf(!initdb || !redisServer).each(['with Redis', 'alone'])('PostgreSQL %s', (stores) => {
  let postgres: OwnPostgres
  let redis: RedisProcess | undefined
  let deployment: Deployment
  beforeAll(async () => {
    postgres = await startPostgres({ settings: durable })
    redis = stores === 'alone' ? undefined : await startRedis()
    const { url } = await postgres.database()
    deployment = await startDeployment({
      database: url,
      redis: redis ? { nodes: [`127.0.0.1:${redis.port}`] } : null,
    })
  })
  afterAll(async () => {
    await deployment?.close()
    await redis?.stop()
    await postgres?.stop()
  })
  const pids = () => deployment.nodes.map((node) => node.pid())

  it('is killed under load and starts again: nobody loses anything, nobody is blamed (R43)', {
    timeout: limit(15),
  }, async () => {
    const before = pids()
    const load = await startWork(deployment)
    for (let round = 0; round < rounds(1); round++) {
      await load.more(20)
      postgres.signal('SIGKILL')
      await expectReadiness(deployment.nodes, false)
      await postgres.start()
      await expectReadiness(deployment.nodes, true)
      await load.more(20)
    }
    await expectNoBreach(load)
    expect(pids(), 'no node was started again').toEqual(before)
  })

  it('stops for five seconds under load: nothing hangs, nobody is blamed (R43)', { timeout: limit(20) }, async () => {
    const before = pids()
    const load = await startWork(deployment)
    for (let round = 0; round < rounds(1); round++) {
      await load.more(20)
      postgres.signal('SIGSTOP')
      await Promise.all([expectReadiness(deployment.nodes, false), pause(5000)])
      postgres.signal('SIGCONT')
      await expectReadiness(deployment.nodes, true)
      await load.more(20)
    }
    await expectNoBreach(load)
    expect(pids(), 'no node was started again').toEqual(before)
  })
})
