/** The whole walk where Redis keeps what is short-lived, also while it fails. */
import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { authorizationUrl, demoApp, exchange, obtainTokens, pkce, refresh, walk } from '../support/authorize.ts'
import { redisServer } from '../support/machine.ts'
import { type RedisProcess, startRedis } from '../support/redis.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { Visitor } from '../support/visitor.ts'

describe.skipIf(!redisServer)('a server with Redis', { timeout: 60_000 }, () => {
  let redis: RedisProcess
  let server: TestServer
  beforeAll(async () => {
    redis = await startRedis()
    server = await startServer({
      change: (settings) => {
        settings.redis = redis.settings
      },
    })
  })
  afterAll(async () => {
    await server?.close()
    await redis?.stop()
  })

  const app = () => demoApp(server.url)
  const ready = async () => (await fetch(`${server.url}/readyz`)).status
  const newCode = async () => {
    const { verifier, challenge } = pkce()
    const { callback } = await walk(app(), challenge)
    return { verifier, code: callback.searchParams.get('code') ?? '' }
  }

  it('leads from the app to tokens and their refresh', async () => {
    const tokens = await obtainTokens(app())
    expect(tokens).toMatchObject({ patient: 'maria', scope: expect.stringContaining('patient/') })
    expect((await refresh(app(), tokens.refresh_token)).status).toBe(200)
    expect(await redis.command('keys', 'lk:prairie/sandbox:r:Session:*')).not.toBe('')
    expect(await ready()).toBe(200)
  })

  it('gives tokens to exactly one of 100 that redeem a code at once, and ends the grant (R9)', async () => {
    const { code, verifier } = await newCode()
    const answers = await Promise.all(Array.from({ length: 100 }, () => exchange(app(), code, verifier)))
    const [good, ...more] = answers.filter(({ status }) => status === 200)
    expect(more).toEqual([])
    for (const { status, body } of answers) if (status !== 200) expect(body).toMatchObject({ error: 'invalid_grant' })
    expect(await refresh(app(), good?.body.refresh_token)).toMatchObject({
      body: { error: 'invalid_grant', error_subcode: 'code_reused' },
    })
    expect(await exchange(app(), code, verifier)).toMatchObject({ status: 400, body: { error: 'invalid_grant' } })
  })

  it('takes a code once, and ends the grant when it comes again', async () => {
    const { code, verifier } = await newCode()
    const first = await exchange(app(), code, verifier)
    expect(first.status).toBe(200)
    expect(await exchange(app(), code, verifier)).toMatchObject({ status: 400, body: { error: 'invalid_grant' } })
    expect(await refresh(app(), first.body.refresh_token)).toMatchObject({ body: { error: 'invalid_grant' } })
  })

  it('counts failures to sign in', async () => {
    server.settings.signIn.failuresPerAccountAndAddress = 3
    const visitor = new Visitor()
    let page = await visitor.open(authorizationUrl(app(), pkce().challenge))
    const statuses: number[] = []
    for (let i = 0; i < 5; i++) {
      page = await visitor.submit(page, '/sign-in', { username: 'david', password: 'wrong' })
      statuses.push(page.status)
    }
    expect(statuses.slice(3)).toEqual([429, 429])
    expect(statuses.slice(0, 3)).not.toContain(429)
  })

  it('says that it is a fault of ours while Redis is stopped, turns unready, and goes on without a restart (R43)', async () => {
    const { code, verifier } = await newCode()
    redis.signal('SIGSTOP')
    const start = performance.now()
    const answer = await exchange(app(), code, verifier)
    expect(answer).toMatchObject({ status: 503, body: { error: 'temporarily_unavailable' } })
    expect(performance.now() - start).toBeLessThan(5000)
    const response = await fetch(`${server.url}/readyz`)
    expect(response.status).toBe(503)
    expect(await response.text()).not.toMatch(/redis/i)
    expect(server.log()).toContain('not ready: Redis does not serve')
    expect(performance.now() - start).toBeLessThan(5000)
    await pause(Math.max(0, start + 5000 - performance.now()))
    redis.signal('SIGCONT')
    while ((await ready()) !== 200) await pause(50)
    expect(performance.now() - start).toBeLessThan(10_000)
    expect((await exchange(app(), code, verifier)).status).toBe(200)
  })
})
