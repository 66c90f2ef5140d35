/** How Redis is reached, what is said when it is not, and what lies in it. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import type { RedisSettings } from '../../src/config/settings.ts'
import { Unavailable } from '../../src/errors.ts'
import { createLog } from '../../src/log.ts'
import { openRedis, type Redis } from '../../src/storage/redis.ts'
import { createRedisShortLived } from '../../src/storage/short-lived-redis.ts'
import { openssl, redisServer } from '../support/machine.ts'
import { type RedisProcess, startRedis } from '../support/redis.ts'
import { redisSettings } from '../support/redis-settings.ts'
import { freePort } from '../support/server.ts'

const PASSWORD = 'tiger-of-the-tests'
/** How `redis-cli` gets in where the default user has it. */
const access = ['-a', PASSWORD, '--no-auth-warning']

/** What an ACL must allow at least, as docs/operating.md says. */
const COMMANDS =
  '+evalsha +eval +hget +hmget +hset +hdel +hincrby +get +set +del +zadd +zrange +zremrangebyscore +pexpire +pttl +info'

describe.skipIf(!redisServer)('a connection to Redis', { timeout: 30_000 }, () => {
  let server: RedisProcess
  let lines = ''
  const log = createLog({
    level: 'debug',
    destination: new Writable({
      write(chunk, _encoding, done) {
        lines += String(chunk)
        done()
      },
    }),
  })
  const open: Redis[] = []
  const others: Server[] = []
  const connect = async (settings: RedisSettings) => {
    const redis = await openRedis({ settings, log, limits: { connectMs: 300, commandMs: 300, openMs: 700 } })
    open.push(redis)
    return { redis, store: createRedisShortLived({ redis, issuer: 'prairie/sandbox', now: Date.now }) }
  }
  /** Why it cannot be opened. */
  const refusal = async (settings: RedisSettings): Promise<string> => {
    const error: unknown = await connect(settings).catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(Unavailable)
    expect(JSON.stringify(error, Object.getOwnPropertyNames(error))).not.toContain(PASSWORD)
    return (error as Error).message
  }
  const local = (change: Partial<RedisSettings>) => ({ ...server.settings, ...change })

  beforeAll(async () => {
    server = await startRedis({
      lines: [`user latchkey on >${PASSWORD} ~lk:* ${COMMANDS}`, `user curt on >${PASSWORD} ~lk:* ${COMMANDS} -info`],
    })
  })
  afterEach(async () => {
    for (const redis of open.splice(0)) await redis.close()
    for (const other of others.splice(0)) other.close()
    expect(lines).not.toContain(PASSWORD)
    lines = ''
  })
  afterAll(async () => {
    await server.stop()
  })

  describe('as an ACL user', () => {
    it('needs no more than it says', async () => {
      const { redis, store } = await connect(local({ username: 'latchkey', password: PASSWORD }))
      const expiresAt = Date.now() + 60_000
      await redis.check()
      await store.set('session', 'k', { a: 1 }, expiresAt, { uid: 'u', grant: 'g', member: 'm' })
      expect(await store.findByUid('session', 'u')).toEqual({ key: 'k', value: { a: 1 } })
      expect(await store.use('session', 'k')).toBe('first')
      expect(await store.addIfAbsent('jti', 'k', 1, expiresAt)).toBe(true)
      await store.increment('failures', 'k', 1000)
      expect((await store.increment('failures', 'k', 1000)).count).toBe(2)
      expect((await store.count('failures', 'k'))?.count).toBe(2)
      await store.reset('failures', 'k')
      await store.delete('jti', 'k')
      await store.deleteByMember('session', 'm')
      await store.deleteByGrant('g')
      expect(await store.get('session', 'k')).toBeUndefined()
    })

    it('says what it may not do', async () => {
      await server.command('acl', 'setuser', 'narrow', 'on', `>${PASSWORD}`, '~lk:*', '+info')
      expect(await refusal(local({ username: 'narrow', password: PASSWORD }))).toMatch(/NOPERM.*'set'/)
    })
  })

  describe('that is refused says why, and no password', () => {
    it('of a wrong password', async () => {
      expect(await refusal(local({ username: 'latchkey', password: `${PASSWORD}!` }))).toMatch(/WRONGPASS/)
    })

    it('of a password that is missing', async () => {
      const closed = await startRedis({
        lines: [`requirepass ${PASSWORD}`],
        access: ['-a', PASSWORD, '--no-auth-warning'],
      })
      expect(await refusal(closed.settings)).toMatch(/NOAUTH/)
      await connect({ ...closed.settings, password: PASSWORD })
      await closed.stop()
    })

    it('of nobody there', async () => {
      const nodes = [{ host: '127.0.0.1', port: await freePort() }]
      expect(await refusal(redisSettings({ nodes }))).toMatch(/ECONNREFUSED/)
      expect(await refusal(redisSettings({ kind: 'cluster', nodes }))).toMatch(/ECONNREFUSED|refresh slots/)
      const sentinel = { master: 'm', username: null, password: PASSWORD }
      expect(await refusal(redisSettings({ kind: 'sentinel', nodes, sentinel }))).toMatch(/sentinels are unreachable/)
    })

    it('of a name that does not exist', async () => {
      expect(await refusal(redisSettings({ nodes: [{ host: 'redis.invalid', port: 6379 }] }))).toMatch(
        /ENOTFOUND|EAI_AGAIN/,
      )
    })

    it.skipIf(!openssl)('of a certificate that nobody vouches for, or of another name', async () => {
      const folder = mkdtempSync(join(tmpdir(), 'latchkey-tls-'))
      const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')]
      const subject = ['-subj', '/CN=redis.test', '-addext', 'subjectAltName=DNS:redis.test', '-days', '2']
      const made = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', ...subject]
      execFileSync(openssl ?? '', [...made, '-keyout', key, '-out', cert], { stdio: 'ignore' })
      const port = await freePort()
      const files = [`tls-cert-file ${cert}`, `tls-key-file ${key}`, `tls-ca-cert-file ${cert}`, 'tls-auth-clients no']
      const secure = await startRedis({ lines: [`requirepass ${PASSWORD}`, `tls-port ${port}`, ...files], access })
      const nodes = [{ host: '127.0.0.1', port }]
      const tls = { ca: null, certificate: null, key: null, serverName: 'redis.test' }
      expect(await refusal(redisSettings({ nodes, tls, password: PASSWORD }))).toMatch(/self-signed certificate/)
      const ca = readFileSync(cert, 'utf8')
      const misnamed = { ...tls, ca, serverName: 'other.test' }
      expect(await refusal(redisSettings({ nodes, tls: misnamed, password: PASSWORD }))).toMatch(/altnames/)
      const { redis } = await connect(redisSettings({ nodes, tls: { ...tls, ca }, password: PASSWORD }))
      await redis.check()
      await secure.stop()
      rmSync(folder, { recursive: true, force: true })
    })

    it('of a server that repeats what it was sent', async () => {
      const parrot = createServer((socket) => {
        socket.on('error', () => {})
        socket.on('data', () => {
          socket.write(`-ERR unknown command 'AUTH', with args beginning with: 'latchkey' '${PASSWORD}'\r\n`.repeat(3))
        })
      })
      others.push(parrot)
      const port = await freePort()
      await new Promise<void>((resolve) => parrot.listen(port, '127.0.0.1', resolve))
      const nodes = [{ host: '127.0.0.1', port }]
      expect(await refusal(redisSettings({ nodes, username: 'latchkey', password: PASSWORD }))).toMatch(
        /unknown command 'AUTH'$/,
      )
    })

    it('of a server that says nothing', async () => {
      const mute = createServer((socket) => void socket.on('error', () => {}))
      others.push(mute)
      const port = await freePort()
      await new Promise<void>((resolve) => mute.listen(port, '127.0.0.1', resolve))
      expect(await refusal(redisSettings({ nodes: [{ host: '127.0.0.1', port }] }))).toMatch(/no answer|timed out/)
    })
  })

  describe('to a server that evicts', () => {
    afterEach(() => server.command('config', 'set', 'maxmemory-policy', 'noeviction'))

    it('is warned of', async () => {
      await connect(server.settings)
      expect(lines).not.toContain('noeviction')
      await server.command('config', 'set', 'maxmemory-policy', 'allkeys-lru')
      await connect(server.settings)
      expect(lines).toMatch(/"level":"warn".*"policy":"allkeys-lru".*set maxmemory-policy noeviction/)
    })

    it('cannot be known where the ACL refuses the question, which is told at debug', async () => {
      const warn = vi.spyOn(console, 'warn').mockReturnValue()
      await connect(local({ username: 'curt', password: PASSWORD }))
      expect(warn.mock.calls.join()).toMatch(/^Skipping the ready check.*'info' command/)
      warn.mockRestore()
      expect(lines).toMatch(/"level":"debug".*does not tell its maxmemory-policy/)
    })
  })

  it('leaves keys of documented names, without a secret in them, that all expire', async () => {
    await server.command('flushall')
    const { redis, store } = await connect(server.settings)
    const soon = Date.now() + 1000
    const secret = `{secret}:*\n${'x'.repeat(1000)}`
    await redis.check()
    await store.set('code', secret, 1, soon, { uid: secret, grant: secret, member: secret })
    await store.use('code', secret)
    await store.addIfAbsent('jti', secret, 1, soon)
    await store.increment('failures', secret, 1000)
    const names = (await server.command('keys', '*')).split('\n').sort()
    const word = '[\\w-]{43}'
    expect(names).toEqual([
      expect.stringMatching(`^lk:prairie/sandbox:c:failures:${word}$`),
      expect.stringMatching(`^lk:prairie/sandbox:g:${word}$`),
      expect.stringMatching(`^lk:prairie/sandbox:m:code:${word}$`),
      expect.stringMatching(`^lk:prairie/sandbox:r:code:${word}$`),
      expect.stringMatching(`^lk:prairie/sandbox:r:jti:${word}$`),
      expect.stringMatching(`^lk:prairie/sandbox:u:code:${word}$`),
      'lk:ready:0',
    ])
    for (const name of names) {
      const ttl = Number(await server.command('pttl', name))
      expect(ttl).toBeGreaterThan(0)
      expect(ttl).toBeLessThan(name === 'lk:ready:0' ? 60_001 : 31_001)
    }
  })

  it('keeps an index no longer than the records in it', async () => {
    await server.command('flushall')
    const { redis } = await connect(server.settings)
    let time = 1_700_000_000_000
    const store = createRedisShortLived({ redis, issuer: 'prairie/sandbox', now: () => time })
    for (let i = 0; i < 100; i++) {
      await store.set('session', `k${i}`, 1, time + 60_000, { member: 'm' })
      time += 10_000
    }
    const [name = ''] = (await server.command('keys', 'lk:*:m:*')).split('\n')
    expect(Number(await server.command('zcard', name))).toBeLessThan(12)
    await store.deleteByMember('session', 'm')
    expect(await store.get('session', 'k99')).toBeUndefined()
  })

  it('is closed within a second, also from a server that has stopped', async () => {
    const { redis } = await connect(server.settings)
    server.signal('SIGSTOP')
    const start = performance.now()
    await redis.close()
    server.signal('SIGCONT')
    expect(performance.now() - start).toBeLessThan(1000)
    await expect(redis.check()).rejects.toThrow(Unavailable)
  })
})
