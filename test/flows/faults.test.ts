/**
 * Faults of ours (R43), as apps and resource servers meet them: a store that fails at any step of any request makes a 503
 * that says when to come back, never an answer that an app throws tokens away for; and what was presented works afterwards.
 */
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { openDatabase } from '../../src/storage/database.ts'
import { demoApp, exchange, obtainTokens, pkce, refresh, walkToConsent } from '../support/authorize.ts'
import { failingStore } from '../support/failing-store.ts'
import { atEveryStep, modes } from '../support/faults.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { quiet } from '../support/stores.ts'
import { Visitor } from '../support/visitor.ts'
import { post, resourceServer } from '../support/wire.ts'

let server: TestServer
let skew = 0
const store = failingStore()
const { verifier, challenge } = pkce()

beforeAll(async () => {
  server = await startServer({ wrapDialect: store.wrapDialect, now: () => Date.now() + skew })
})
afterAll(() => server.close())

const app = () => demoApp(server.url)

type Answer = Awaited<ReturnType<typeof post>>

/** An answer of an endpoint for programs: good, or the one that says to come back. */
const expectGoodOr503 = (answer: Answer): Answer => {
  if (answer.status === 200) return answer
  expect(answer.status, JSON.stringify(answer.body)).toBe(503)
  expect(answer.body).toMatchObject({ error: 'temporarily_unavailable', error_description: expect.any(String) })
  expect(answer.body).not.toHaveProperty('active')
  expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0)
  expect(answer.headers.get('www-authenticate')).toBeNull()
  expect(answer.headers.get('cache-control')).toBe('no-store')
  return answer
}

describe.each(modes)('programs, the store %s', { timeout: 120_000 }, (mode) => {
  const visitor = new Visitor()
  const newCode = async (): Promise<string> => {
    const { page } = await walkToConsent(app(), challenge, { visitor })
    const done = await visitor.submit(page, '/consent')
    return new URL(done.url).searchParams.get('code') ?? ''
  }

  it('a code whose exchange failed at any step is redeemed afterwards', async () => {
    const refused = await atEveryStep(
      store,
      mode,
      newCode,
      async (code) => expectGoodOr503(await exchange(app(), code, verifier)),
      async (code) => {
        const { status, body } = await exchange(app(), code, verifier)
        expect(status, JSON.stringify(body)).toBe(200)
        expect((await refresh(app(), body.refresh_token)).status).toBe(200)
      },
    )
    expect(refused).toBeGreaterThan(5)
  })

  it('a refresh token whose refresh failed at any step works afterwards', async () => {
    let token = (await obtainTokens(app())).refresh_token
    const keep = (answer: Answer): Answer => {
      if (answer.status === 200) token = answer.body.refresh_token
      return answer
    }
    const refused = await atEveryStep(
      store,
      mode,
      async () => token,
      async (presented) => keep(expectGoodOr503(await refresh(app(), presented))),
      async (presented) => expect(keep(await refresh(app(), presented)).status).toBe(200),
    )
    expect(refused).toBeGreaterThan(5)
  })

  it('introspection never says that a live token is not active', async () => {
    const tokens = await obtainTokens(app())
    for (const token of [tokens.access_token, tokens.refresh_token]) {
      const ask = () => post(`${app().issuer}/introspect`, { token }, resourceServer)
      const refused = await atEveryStep(
        store,
        mode,
        async () => undefined,
        async () => {
          const answer = expectGoodOr503(await ask())
          if (answer.status === 200) expect(answer.body.active).toBe(true)
          return answer
        },
        async () => expect((await ask()).body.active).toBe(true),
      )
      expect(refused).toBeGreaterThan(1)
    }
  })

  it('userinfo is never 401 for a live token', async () => {
    const { access_token } = await obtainTokens(app())
    const ask = () => post(`${app().issuer}/userinfo`, {}, { authorization: `Bearer ${access_token}` })
    await atEveryStep(
      store,
      mode,
      async () => undefined,
      async () => expectGoodOr503(await ask()),
      async () => expect((await ask()).status).toBe(200),
    )
  })

  it('a revocation that failed can be repeated, and then holds', async () => {
    for (const kind of ['refresh_token', 'access_token'] as const)
      await atEveryStep(
        store,
        mode,
        async () => {
          const code = await newCode()
          return (await exchange(app(), code, verifier)).body
        },
        async (tokens) =>
          expectGoodOr503(await post(`${app().issuer}/revoke`, { token: tokens[kind], client_id: 'demo-public' })),
        async (tokens) => {
          const { status } = await post(`${app().issuer}/revoke`, { token: tokens[kind], client_id: 'demo-public' })
          expect(status).toBe(200)
          const ended = kind === 'access_token' ? [tokens.access_token] : [tokens.access_token, tokens.refresh_token]
          for (const token of ended) {
            const { body } = await post(`${app().issuer}/introspect`, { token }, resourceServer)
            expect(body.active).toBe(false)
          }
        },
      )
  })
})

describe('however often and however long', () => {
  const failNewTokens = () =>
    store.fail((step) => step.kind === 'query' && /insert into "refresh_tokens"/.test(step.sql))

  it('five failed refreshes and a minute later the token is not taken for stolen', async () => {
    const { refresh_token } = await obtainTokens(app())
    failNewTokens()
    for (let i = 0; i < 5; i += 1) expect((await refresh(app(), refresh_token)).status).toBe(503)
    store.fail(false)
    skew += 60_000
    const next = await refresh(app(), refresh_token)
    expect(next.status, JSON.stringify(next.body)).toBe(200)
    expect((await refresh(app(), next.body.refresh_token)).status).toBe(200)
  })

  it('also where the store could not even be told that the answer was spoilt', async () => {
    const { refresh_token } = await obtainTokens(app())
    let gone = false
    store.fail((step) => {
      gone ||= step.kind === 'query' && /insert into "refresh_tokens"/.test(step.sql)
      return gone
    })
    expect((await refresh(app(), refresh_token)).status).toBe(503)
    expect((await refresh(app(), refresh_token)).status).toBe(503)
    store.fail(false)
    skew += 60_000
    expect((await refresh(app(), refresh_token)).status).toBe(200)
  })

  it('also where each commit was done and nobody heard of it', async () => {
    const { refresh_token } = await obtainTokens(app())
    store.fail((step) => step.kind === 'commit' && 'unheard')
    for (let i = 0; i < 5; i += 1) expect((await refresh(app(), refresh_token)).status).toBe(503)
    store.fail(false)
    skew += 60_000
    const next = await refresh(app(), refresh_token)
    expect(next.status, JSON.stringify(next.body)).toBe(200)
    expect((await refresh(app(), next.body.refresh_token)).status).toBe(200)
    skew += 60_000
    expect((await refresh(app(), refresh_token)).body).toMatchObject({ error_subcode: 'token_reused' })
  })

  it('a code whose use was done and not heard of is good again, but once', async () => {
    const { page, visitor } = await walkToConsent(app(), challenge)
    const code = new URL((await visitor.submit(page, '/consent')).url).searchParams.get('code') ?? ''
    store.fail((step) => step.kind === 'query' && /^update "short_lived"/.test(step.sql) && 'unheard')
    for (let i = 0; i < 3; i += 1) expect((await exchange(app(), code, verifier)).status).toBe(503)
    store.fail(false)
    expect((await exchange(app(), code, verifier)).status).toBe(200)
    expect((await exchange(app(), code, verifier)).body).toMatchObject({ error_subcode: 'code_reused' })
  })

  it('what is owed is paid as soon as the store is back, since another server may be asked next', async () => {
    const { page, visitor } = await walkToConsent(app(), challenge)
    const code = new URL((await visitor.submit(page, '/consent')).url).searchParams.get('code') ?? ''
    let gone = false
    store.fail((step) => {
      gone ||= step.kind === 'query' && /insert into "refresh_tokens"/.test(step.sql)
      return gone
    })
    expect((await exchange(app(), code, verifier)).status).toBe(503)
    const database = await openDatabase({ url: server.settings.database.url, log: quiet })
    const used = () =>
      database.db
        .selectFrom('short_lived')
        .select('key')
        .where('kind', '=', 'AuthorizationCode')
        .where('used_at', '>', Date.now() + skew - 5000)
        .execute()
    expect(await used()).toHaveLength(1)
    store.fail(false)
    await vi.waitFor(async () => expect(await used()).toEqual([]), { timeout: 5000 })
    await database.close()
    expect((await exchange(app(), code, verifier)).status).toBe(200)
  })

  it('a token that was used for good is still known as reused', async () => {
    const { refresh_token } = await obtainTokens(app())
    expect((await refresh(app(), refresh_token)).status).toBe(200)
    failNewTokens()
    expect((await refresh(app(), refresh_token)).status).toBe(503)
    store.fail(false)
    skew += 60_000
    expect((await refresh(app(), refresh_token)).body).toMatchObject({ error_subcode: 'token_reused' })
  })

  it('a code is good again, but once', async () => {
    const { visitor, page } = await walkToConsent(app(), challenge)
    const code = new URL((await visitor.submit(page, '/consent')).url).searchParams.get('code') ?? ''
    failNewTokens()
    for (let i = 0; i < 3; i += 1) expect((await exchange(app(), code, verifier)).status).toBe(503)
    store.fail(false)
    expect((await exchange(app(), code, verifier)).status).toBe(200)
    expect((await exchange(app(), code, verifier)).body.error_subcode).toBe('code_reused')
  })
})
