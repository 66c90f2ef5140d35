/** Redis on several servers: a master that Sentinels replace, and a Cluster. */
import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Unavailable } from '../../src/errors.ts'
import { openRedis, type Redis } from '../../src/storage/redis.ts'
import type { ShortLived } from '../../src/storage/short-lived.ts'
import { createRedisShortLived } from '../../src/storage/short-lived-redis.ts'
import { redisServer } from '../support/machine.ts'
import { type RedisGroup, type SentinelGroup, startCluster, startSentinel } from '../support/redis.ts'
import { quiet } from '../support/stores.ts'

const later = () => Date.now() + 60_000

/** The first answer that is no Unavailable; anything else is thrown. */
const answered = async <T>(operation: () => Promise<T>): Promise<T> => {
  for (;;) {
    try {
      return await operation()
    } catch (error) {
      if (!(error instanceof Unavailable)) throw error
      await pause(50)
    }
  }
}

/** The contract in brief, over keys enough to meet every server; redis.test.ts has it in full. */
const keepsTheContract = async (store: ShortLived): Promise<void> => {
  const keys = Array.from({ length: 60 }, (_, i) => `k${i}`)
  await Promise.all(
    keys.map((key) => store.set('session', key, { key }, later(), { uid: `u${key}`, grant: 'g', member: `m${key}` })),
  )
  for (const key of keys) expect(await store.findByUid('session', `u${key}`)).toEqual({ key, value: { key } })
  const uses = await Promise.all(keys.flatMap((key) => Array.from({ length: 10 }, () => store.use('session', key))))
  expect(uses.filter((answer) => answer === 'first')).toHaveLength(keys.length)
  expect(uses.filter((answer) => answer === 'again')).toHaveLength(keys.length * 9)
  const adds = await Promise.all(keys.flatMap((key) => [1, 2, 3].map((n) => store.addIfAbsent('jti', key, n, later()))))
  expect(adds.filter(Boolean)).toHaveLength(keys.length)
  const counts = await Promise.all(keys.flatMap((key) => [1, 2].map(() => store.increment('failures', key, 60_000))))
  expect(counts.map(({ count }) => count).sort()).toEqual([...keys.map(() => 1), ...keys.map(() => 2)])
  await store.deleteByMember('session', 'mk7')
  expect(await store.get('session', 'k7')).toBeUndefined()
  expect((await store.get('session', 'k8'))?.usedAt).not.toBeNull()
  await store.deleteByGrant('g')
  for (const key of keys) expect(await store.get('session', key)).toBeUndefined()
}

describe.skipIf(!redisServer)('Redis behind Sentinels', { timeout: 60_000 }, () => {
  let group: SentinelGroup
  let redis: Redis
  let store: ShortLived
  beforeAll(async () => {
    group = await startSentinel()
    redis = await openRedis({ settings: group.settings, log: quiet })
    store = createRedisShortLived({ redis, issuer: 'prairie/sandbox', now: Date.now })
  })
  afterAll(async () => {
    await redis?.close()
    await group?.stop()
  })

  it('keeps the contract', () => keepsTheContract(store))

  it('leaves a master that was made a replica (READONLY)', async () => {
    const { master, replica } = await group.roles()
    await store.set('code', 'moving', 1, later())
    while ((await group.command('sentinel', 'failover', 'latchkey')) !== 'OK') await pause(200)
    while (!(await replica.command('role')).startsWith('master')) {
      await store.set('code', 'other', 1, later()).catch(() => {})
    }
    // The Sentinels say so too, within ten seconds.
    await master.command('replicaof', '127.0.0.1', String(replica.port))
    const moved = performance.now()
    expect(await answered(() => store.use('code', 'moving'))).toBe('first')
    expect(await store.use('code', 'moving')).toBe('again')
    expect(performance.now() - moved).toBeLessThan(10_000)
  })

  it('goes on at the new master when the old one is gone, without a restart (R43)', async () => {
    const { master, replica } = await group.roles()
    let running = true
    let [slowest, firsts] = [0, 0]
    const writer = async (name: number) => {
      for (let i = 0; running; i++) {
        const start = performance.now()
        try {
          await store.set('code', `${name}-${i}`, 1, later())
          if ((await store.use('code', `${name}-${i}`)) === 'first') firsts++
        } catch (error) {
          if (!(error instanceof Unavailable)) throw error
        }
        slowest = Math.max(slowest, performance.now() - start)
      }
    }
    const writers = Promise.all([1, 2, 3, 4, 5].map(writer))
    await pause(200)
    master.signal('SIGKILL')
    const cut = performance.now()
    await pause(50)
    await answered(() => redis.check())
    expect(performance.now() - cut).toBeLessThan(20_000)
    const before = firsts
    await pause(200)
    running = false
    await writers
    expect(firsts).toBeGreaterThan(before)
    expect(slowest).toBeLessThan(5000)
    expect((await replica.command('role')).startsWith('master')).toBe(true)
  })
})

describe.skipIf(!redisServer)('a Redis Cluster', { timeout: 30_000 }, () => {
  let group: RedisGroup
  let redis: Redis
  let store: ShortLived
  beforeAll(async () => {
    group = await startCluster()
    redis = await openRedis({ settings: group.settings, log: quiet })
    store = createRedisShortLived({ redis, issuer: 'prairie/sandbox', now: Date.now })
  })
  afterAll(async () => {
    await redis?.close()
    await group?.stop()
  })

  it('keeps the contract, and spreads an issuer’s keys over every server', async () => {
    const keys = Array.from({ length: 60 }, (_, i) => `spread${i}`)
    for (const key of keys) await store.set('code', key, 1, later())
    for (const server of group.servers) expect(Number(await server.command('dbsize'))).toBeGreaterThan(5)
    await keepsTheContract(store)
  })

  it('is not ready while one server is gone, serves what the others have, and recovers (R43)', async () => {
    const keys = Array.from({ length: 30 }, (_, i) => `gone${i}`)
    for (const key of keys) await store.set('code', key, 1, later())
    const [lost] = group.servers
    lost?.signal('SIGKILL')
    const start = performance.now()
    await expect(redis.check()).rejects.toThrow(Unavailable)
    const answers = await Promise.allSettled(keys.map((key) => store.use('code', key)))
    expect(performance.now() - start).toBeLessThan(5000)
    const served = answers.filter((each) => each.status === 'fulfilled')
    expect(served.length).toBeGreaterThan(10)
    expect(served.length).toBeLessThan(keys.length)
    for (const each of answers) if (each.status === 'rejected') expect(each.reason).toBeInstanceOf(Unavailable)
    await lost?.start()
    await answered(() => redis.check())
    for (const [i, key] of keys.entries()) {
      expect(await answered(() => store.use('code', key))).toBe(answers[i]?.status === 'fulfilled' ? 'again' : 'first')
    }
  })
})
