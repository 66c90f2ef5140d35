/** What happens when Redis, or the way to it, fails: done for real. */
import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { Unavailable } from '../../src/errors.ts'
import { openRedis, type Redis } from '../../src/storage/redis.ts'
import type { ShortLived } from '../../src/storage/short-lived.ts'
import { createRedisShortLived } from '../../src/storage/short-lived-redis.ts'
import { redisServer } from '../support/machine.ts'
import { type RedisProcess, startRedis } from '../support/redis.ts'
import { redisSettings } from '../support/redis-settings.ts'
import { quiet } from '../support/stores.ts'
import { startProxy, type TcpProxy } from '../support/tcp-proxy.ts'

describe.skipIf(!redisServer)('Redis that fails (R43)', { timeout: 30_000 }, () => {
  let server: RedisProcess
  let proxy: TcpProxy
  let redis: Redis
  let store: ShortLived
  let elsewhere: Redis
  /** The same records, as another node sees them on a network that is well. */
  let other: ShortLived
  let issuers = 0
  const later = () => Date.now() + 60_000

  beforeAll(async () => {
    server = await startRedis()
    proxy = await startProxy(server.port)
  })
  afterAll(async () => {
    await proxy.close()
    await server.stop()
  })
  beforeEach(async () => {
    proxy.set('through')
    const issuer = `prairie/faults-${issuers++}`
    redis = await openRedis({
      settings: redisSettings({ nodes: [{ host: '127.0.0.1', port: proxy.port }] }),
      log: quiet,
    })
    elsewhere = await openRedis({ settings: server.settings, log: quiet })
    store = createRedisShortLived({ redis, issuer, now: Date.now })
    other = createRedisShortLived({ redis: elsewhere, issuer, now: Date.now })
    // The server knows the scripts, so that what is swallowed below is the answer of one, not that it is unknown.
    await other.use('code', 'known')
    await other.addIfAbsent('code', 'known', 1, later())
  })
  afterEach(async () => {
    await redis.close()
    await elsewhere.close()
  })

  /** A connection that gives up soon, for tests that are not about how soon. */
  const hasty = async () => {
    await redis.close()
    redis = await openRedis({
      settings: redisSettings({ nodes: [{ host: '127.0.0.1', port: proxy.port }] }),
      log: quiet,
      limits: { operationMs: 500 },
    })
    store = createRedisShortLived({ redis, issuer: `prairie/faults-${issuers - 1}`, now: Date.now })
  }
  /** How long until the operation is refused as Unavailable, and nothing else. */
  const refusedAfter = async (operation: () => Promise<unknown>): Promise<number> => {
    const start = performance.now()
    await expect(operation()).rejects.toThrow(Unavailable)
    return performance.now() - start
  }
  /** The first answer that is no Unavailable. */
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

  describe('an answer that is lost', () => {
    it('is asked for again: a use recognises its own success', async () => {
      await store.set('code', 'k', 1, later())
      const before = proxy.swallowed()
      proxy.swallow(/eval/i)
      expect(await store.use('code', 'k')).toBe('first')
      expect(proxy.swallowed()).toBe(before + 1)
      expect(await store.use('code', 'k')).toBe('again')
    })

    it('is asked for again: an addition recognises its own success', async () => {
      const before = proxy.swallowed()
      proxy.swallow(/eval/i)
      expect(await store.addIfAbsent('jti', 'k', 1, later())).toBe(true)
      expect(proxy.swallowed()).toBe(before + 1)
      expect(await store.addIfAbsent('jti', 'k', 1, later())).toBe(false)
    })

    it('does not make a write undo what came after it', async () => {
      proxy.swallow(/eval/i)
      const writing = store.set('code', 'k', 1, later())
      expect(
        await answered(async () => (await other.get('code', 'k')) ?? Promise.reject(new Unavailable(''))),
      ).toBeTruthy()
      expect(await other.use('code', 'k')).toBe('first')
      await writing
      expect(await store.use('code', 'k')).toBe('again')
    })

    it.each(['use', 'addIfAbsent'] as const)(
      'for good takes back the %s, so that what was presented works afterwards, at any node',
      async (method) => {
        const operation = (at: ShortLived) =>
          method === 'use' ? at.use('code', 'k') : at.addIfAbsent('code', 'k', 2, later())
        const success = method === 'use' ? 'first' : true
        await hasty()
        if (method === 'use') await store.set('code', 'k', 1, later())
        const before = proxy.swallowed()
        proxy.swallow(/eval/i)
        const refused = refusedAfter(() => operation(store))
        while (proxy.swallowed() === before) await pause(1)
        proxy.set('refusing')
        await refused
        const done = await other.get('code', 'k')
        expect(method === 'use' ? done?.usedAt : done?.value).not.toBeNull()
        proxy.set('through')
        await pause(700)
        expect((await other.get('code', 'k'))?.usedAt).toBe(method === 'use' ? null : undefined)
        expect(await operation(other)).toBe(success)
        expect(await operation(store)).not.toBe(success)
      },
    )

    it('is not taken back where another was first', async () => {
      await hasty()
      await store.set('code', 'k', 1, later())
      expect(await other.use('code', 'k')).toBe('first')
      const before = proxy.swallowed()
      proxy.swallow(/eval/i)
      const refused = refusedAfter(() => store.use('code', 'k'))
      while (proxy.swallowed() === before) await pause(1)
      proxy.set('refusing')
      await refused
      proxy.set('through')
      expect(await answered(() => store.use('code', 'k'))).toBe('again')
    })
  })

  describe('Redis stopped for five seconds', () => {
    it('is Unavailable within three seconds, and serves again without a restart; what was presented works', async () => {
      for (const key of ['a', 'b', 'c']) await store.set('code', key, 1, later())
      server.signal('SIGSTOP')
      const start = performance.now()
      const refused = await Promise.all([
        refusedAfter(() => store.use('code', 'a')),
        pause(300).then(() => refusedAfter(() => store.use('code', 'b'))),
        pause(300).then(() => refusedAfter(() => store.addIfAbsent('jti', 'j', 1, later()))),
        refusedAfter(() => store.get('code', 'a')),
        refusedAfter(() => redis.check()),
      ])
      expect(Math.max(...refused)).toBeLessThan(3000)
      while (performance.now() - start < 5000) {
        expect(await refusedAfter(() => store.use('code', 'c'))).toBeLessThan(3000)
      }
      server.signal('SIGCONT')
      const resumed = performance.now()
      // The commands that were sent meanwhile wait in the server's buffers, and it may do them now.
      for (const key of ['a', 'b', 'c']) expect(await answered(() => store.use('code', key))).toBe('first')
      expect(await answered(() => store.addIfAbsent('jti', 'j', 1, later()))).toBe(true)
      expect(performance.now() - resumed).toBeLessThan(3000)
      await redis.check()
      for (const key of ['a', 'b', 'c']) expect(await store.use('code', key)).toBe('again')
    })
  })

  it('a network that swallows everything is Unavailable within three seconds, and recovers', async () => {
    await store.set('code', 'k', 1, later())
    proxy.set('silent')
    expect(await refusedAfter(() => store.use('code', 'k'))).toBeLessThan(3000)
    expect(await refusedAfter(() => store.get('code', 'k'))).toBeLessThan(3000)
    proxy.set('through')
    expect(await answered(() => store.use('code', 'k'))).toBe('first')
  })

  it('killed under load and started again has lost nothing that it acknowledged, and no code was good twice', async () => {
    const acknowledged = { set: new Set<string>(), used: new Map<string, number>() }
    let running = true
    const writer = async (name: number) => {
      for (let i = 0; running; i++) {
        const key = `${name}-${i}`
        try {
          await store.set('code', key, i, later())
          acknowledged.set.add(key)
          const answers = await Promise.allSettled([store.use('code', key), other.use('code', key)])
          const firsts = answers.filter((each) => each.status === 'fulfilled' && each.value === 'first').length
          if (firsts > 0) acknowledged.used.set(key, firsts)
        } catch (error) {
          if (!(error instanceof Unavailable)) throw error
          await pause(20)
        }
      }
    }
    const writers = Promise.all(Array.from({ length: 20 }, (_, name) => writer(name)))
    await pause(500)
    server.signal('SIGKILL')
    await pause(300)
    await server.start()
    await answered(() => redis.check())
    await pause(500)
    running = false
    await writers

    expect(acknowledged.used.size).toBeGreaterThan(50)
    expect([...acknowledged.used.values()].filter((firsts) => firsts !== 1)).toEqual([])
    const lost = await Promise.all(
      [...acknowledged.set].map(async (key) => {
        const held = await store.get('code', key)
        return held === undefined || (acknowledged.used.has(key) && (await store.use('code', key)) !== 'again')
      }),
    )
    expect(lost.filter(Boolean)).toEqual([])
  })

  it('forgets its scripts and is told them again', async () => {
    await store.set('code', 'k', 1, later())
    await server.command('script', 'flush', 'sync')
    expect(await store.use('code', 'k')).toBe('first')
    await server.command('script', 'flush', 'sync')
    const answers = await Promise.all(Array.from({ length: 50 }, () => store.use('code', 'k')))
    expect(new Set(answers)).toEqual(new Set(['again']))
  })

  it('made a replica is Unavailable and not ready, and serves again as a master', async () => {
    await hasty()
    await store.set('code', 'k', 1, later())
    await server.command('replicaof', '127.0.0.1', '1')
    try {
      expect(await refusedAfter(() => store.use('code', 'k'))).toBeLessThan(3000)
      // READONLY, or that nobody answers while the connection is made anew because of it.
      await expect(redis.check()).rejects.toThrow(/READONLY|no answer in time/)
    } finally {
      await server.command('replicaof', 'no', 'one')
    }
    expect(await answered(() => store.use('code', 'k'))).toBe('first')
  })

  it('without memory is Unavailable at once and not ready, and keeps what it has', async () => {
    await store.set('code', 'k', 1, later())
    await server.command('config', 'set', 'maxmemory', '1')
    try {
      expect(await refusedAfter(() => store.set('code', 'l', 1, later()))).toBeLessThan(1500)
      await expect(redis.check()).rejects.toThrow(/OOM/)
    } finally {
      await server.command('config', 'set', 'maxmemory', '0')
    }
    expect(await store.use('code', 'k')).toBe('first')
  })
})
