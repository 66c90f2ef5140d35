/** Pushed authorization requests (RFC 9126): what is pushed is judged as at the authorization endpoint, and counts alone. */
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { createLog } from '../../src/log.ts'
import { openDatabase } from '../../src/storage/database.ts'
import {
  type App,
  authorizationUrl,
  confidentialApp,
  demoApp,
  everythingOn,
  exchange,
  pkce,
  summitApp,
  walk,
  walkToConsent,
} from '../support/authorize.ts'
import { demonstrationApp } from '../support/demonstration-app.ts'
import { failingStore } from '../support/failing-store.ts'
import { named, push, requestOf } from '../support/pushed.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { Visitor } from '../support/visitor.ts'
import { claimsOf } from '../support/wire.ts'

let server: TestServer
const { verifier, challenge } = pkce()

beforeAll(async () => {
  server = await startServer({
    change: ({ plans }) =>
      plans[0]?.environments[0]?.demonstration?.apps.push(
        demonstrationApp({ clientId: 'web-app', redirectUris: ['https://app.example/callback'] }),
      ),
  })
})
afterAll(() => server.close())
afterEach(() => {
  vi.useRealTimers()
})

const app = () => demoApp(server.url)
const pushed = async (of: App, params: Record<string, string | null> = {}): Promise<string> => {
  const answer = await push(of, requestOf(of, challenge, params))
  expect(answer.status, JSON.stringify(answer.body)).toBe(201)
  return answer.body.request_uri
}
/** Where an authorization request that names it leads: `on` to our pages, to a page of refusal, or back to the app. */
const lead = async (of: App, requestUri: string, more: Record<string, string> = {}) => {
  const response = await new Visitor().send(authorizationUrl(of, challenge, named(requestUri, more)))
  const html = await response.text()
  const location = response.headers.get('location')
  if (!location) return { kind: 'page', status: response.status, html }
  const target = new URL(location, server.url)
  const error = target.searchParams.get('error')
  return { kind: error ?? (target.pathname.includes('/interaction/') ? 'on' : location), status: response.status, html }
}

describe('what is pushed comes back (RFC 9126 §2)', () => {
  it.each([
    ['a public app', () => app()],
    ['a confidential app', () => confidentialApp(server.url)],
  ])('for %s, with every promise of the authorization endpoint', async (_what, of) => {
    const answer = await push(of(), requestOf(of(), challenge, { nonce: 'n-1', state: 'x'.repeat(600) }))
    expect(answer.status).toBe(201)
    expect(answer.headers.get('cache-control')).toBe('no-store')
    expect(Object.keys(answer.body).sort()).toEqual(['expires_in', 'request_uri'])
    expect(answer.body.expires_in).toBe(60)
    expect(answer.body.request_uri).toMatch(/^urn:ietf:params:oauth:request_uri:[\w-]{43}$/)

    const { callback } = await walk(of(), challenge, { params: named(answer.body.request_uri) })
    expect(callback.searchParams.get('state')).toBe('x'.repeat(600))
    expect(callback.searchParams.get('iss')).toBe(of().issuer)
    const { body } = await exchange(of(), callback.searchParams.get('code') ?? '', verifier)
    // Asked for without prompt=consent, as at the authorization endpoint.
    expect(body.refresh_token).toMatch(/^rt_/)
    expect(body).toMatchObject({ patient: 'maria', scope: expect.stringContaining('offline_access') })
    expect(claimsOf(body.access_token)).toMatchObject({ aud: of().fhirBase })
    expect(claimsOf(body.id_token)).toMatchObject({ nonce: 'n-1' })
  })

  it('drops the scopes that nobody knows, and keeps v1 spelling', async () => {
    const requestUri = await pushed(app(), { scope: 'openid made/up é patient/Observation.read system/*.rs' })
    const { callback } = await walk(app(), challenge, { params: named(requestUri) })
    const { body } = await exchange(app(), callback.searchParams.get('code') ?? '', verifier)
    expect(body.scope).toBe('openid patient/Observation.read launch/patient')
  })

  it('takes `aud` with a slash, and `resource` for the same [SMART app-launch.aud]', async () => {
    const said: Record<string, string | null>[] = [
      { aud: `${app().fhirBase}/` },
      { aud: null, resource: app().fhirBase },
    ]
    for (const params of said) {
      const { callback } = await walk(app(), challenge, { params: named(await pushed(app(), params)) })
      const { body } = await exchange(app(), callback.searchParams.get('code') ?? '', verifier)
      expect(claimsOf(body.access_token)).toMatchObject({ aud: app().fhirBase })
    }
  })

  it('is at the address that discovery names, also for the plan that moved in (R41)', async () => {
    for (const of of [app(), summitApp(server.url)])
      for (const name of ['openid-configuration', 'oauth-authorization-server']) {
        const document = await (await fetch(`${of.issuer}/.well-known/${name}`)).json()
        expect(document.pushed_authorization_request_endpoint).toBe(`${of.issuer}/par`)
        expect(document).not.toHaveProperty('require_pushed_authorization_requests')
      }
    const of = summitApp(server.url)
    const { page } = await walkToConsent(of, challenge, { member: 'sam', params: named(await pushed(of)) })
    expect(page.html).toContain('/consent"')
  })

  it('is kept as nobody can read it', async () => {
    const requestUri = await pushed(app(), { state: 'a-state-that-nobody-reads' })
    const { db, close } = await openDatabase({ url: server.settings.database.url, log: createLog({ level: 'silent' }) })
    const rows = await db.selectFrom('short_lived').selectAll().execute()
    await close()
    expect(rows.some(({ kind }) => kind === 'PushedAuthorizationRequest')).toBe(true)
    const text = JSON.stringify(rows)
    expect(text).not.toContain('a-state-that-nobody-reads')
    expect(text).not.toContain(requestUri.split(':').at(-1))
    expect(server.log()).not.toContain(requestUri.split(':').at(-1))
  })
})

describe('what is refused when it is pushed, as JSON (RFC 9126 §2.3)', () => {
  const long = 'x'.repeat(5000)
  it.each<[string, Record<string, string | null>, string]>([
    ['no redirect_uri', { redirect_uri: null }, 'invalid_request'],
    ['a redirect_uri of nobody', { redirect_uri: 'https://evil.example/callback' }, 'invalid_request'],
    ['a redirect_uri with another path', { redirect_uri: 'http://127.0.0.1:8123/callback/' }, 'invalid_request'],
    ['no response_type', { response_type: null }, 'invalid_request'],
    ['response_type token', { response_type: 'token' }, 'unsupported_response_type'],
    ['response_type code id_token', { response_type: 'code id_token' }, 'unsupported_response_type'],
    ['response_mode fragment', { response_mode: 'fragment' }, 'unsupported_response_mode'],
    ['response_mode form_post', { response_mode: 'form_post' }, 'unsupported_response_mode'],
    ['no PKCE', { code_challenge: null, code_challenge_method: null }, 'invalid_request'],
    ['PKCE plain', { code_challenge_method: 'plain' }, 'invalid_request'],
    ['no scope', { scope: null }, 'invalid_scope'],
    ['scopes of nobody', { scope: 'made/up' }, 'invalid_scope'],
    ['aud of another server', { aud: 'https://fhir.other.example/r4' }, 'invalid_target'],
    ['aud that is the issuer', { aud: 'ISSUER' }, 'invalid_target'],
    ['resource of another server', { resource: 'https://fhir.other.example/r4' }, 'invalid_target'],
    ['an unknown prompt', { prompt: 'select_account' }, 'invalid_request'],
    ['max_age that is no number', { max_age: 'soon' }, 'invalid_request'],
    ['a request object', { request: 'eyJhbGciOiJub25lIn0.e30.' }, 'request_not_supported'],
    ['another request_uri', { request_uri: 'urn:ietf:params:oauth:request_uri:abc' }, 'request_uri_not_supported'],
    ['a request_uri elsewhere', { request_uri: 'https://app.example/request' }, 'request_uri_not_supported'],
    ['registration', { registration: '{}' }, 'registration_not_supported'],
    ['an ID token of nobody', { id_token_hint: 'garbage' }, 'invalid_request'],
    ['a long scope', { scope: long }, 'invalid_scope'],
  ])('%s', async (_what, params, error) => {
    const fields = requestOf(app(), challenge, params)
    if (fields.aud === 'ISSUER') fields.aud = app().issuer
    const answer = await push(app(), fields)
    expect(answer.body).toEqual({ error, error_description: expect.stringMatching(/^[\x20-\x21\x23-\x5b\x5d-\x7e]+$/) })
    expect(answer.status).toBe(400)
    expect(answer.headers.get('location')).toBeNull()
    expect(answer.headers.get('cache-control')).toBe('no-store')
  })

  it('no aud, where the API needs one [SMART app-launch.aud]', async () => {
    const of = summitApp(server.url)
    const answer = await push(of, requestOf(of, challenge, { aud: null }))
    expect(answer).toMatchObject({ status: 400, body: { error: 'invalid_request' } })
  })

  it('a parameter twice', async () => {
    const fields = new URLSearchParams(requestOf(app(), challenge))
    fields.append('state', 'another')
    expect(await push(app(), fields)).toMatchObject({ status: 400, body: { error: 'invalid_request' } })
  })

  it.each([
    ['nobody', { clientId: 'nobody' }, 401],
    ['an app with a wrong secret', { clientId: 'demo-confidential', secret: 'wrong' }, 401],
    ['a confidential app without its secret', { clientId: 'demo-confidential' }, 401],
    ['a resource server', { clientId: 'demo-resource-server', secret: 'demo-resource-server-secret' }, 400],
  ])('from %s', async (_what, over, status) => {
    const answer = await push({ ...app(), ...over }, requestOf({ ...app(), ...over }, challenge))
    expect(answer.status).toBe(status)
    expect(answer.body.error).toBe(status === 401 ? 'invalid_client' : 'invalid_request')
  })

  it('for another app than the one that authenticates', async () => {
    const fields = { ...requestOf(confidentialApp(server.url), challenge), client_id: 'demo-public' }
    expect((await push(confidentialApp(server.url), fields)).status).toBe(400)
  })

  it('without an app at all', async () => {
    const { client_id: _, ...fields } = requestOf(app(), challenge)
    expect(await push(app(), fields)).toMatchObject({ status: 400, body: { error: 'invalid_request' } })
  })

  it('more than 16 KB, another kind of body, another method', async () => {
    const big = await push(app(), requestOf(app(), challenge, { state: 'x'.repeat(17_000) }))
    expect(big.status).toBe(413)
    const json = await fetch(`${app().issuer}/par`, {
      method: 'POST',
      body: '{}',
      headers: { 'content-type': 'application/json' },
    })
    expect(json.status).toBe(400)
    expect(await json.json()).toMatchObject({ error: 'invalid_request' })
    const get = await fetch(`${app().issuer}/par`, { headers: { accept: 'text/html' } })
    expect(get.status).toBe(405)
    expect(get.headers.get('allow')).toBe('POST, OPTIONS')
  })
})

describe('a name of what was pushed (RFC 9126 §4)', () => {
  const page = (html: string) => html.replaceAll(/\s+/g, ' ')

  it('is worth nothing to another app', async () => {
    const requestUri = await pushed(confidentialApp(server.url))
    const seen = await lead(app(), requestUri)
    expect(seen).toMatchObject({ kind: 'page', status: 400 })
    expect(page(seen.html)).not.toContain('name="password"')
  })

  it('needs client_id beside it, and names nothing that was not pushed', async () => {
    const requestUri = await pushed(app())
    const url = new URL(`${app().issuer}/authorize`)
    url.searchParams.set('request_uri', requestUri)
    expect((await new Visitor().send(url.href)).status).toBe(400)
    for (const name of ['', 'x', '%00', 'x'.repeat(5000)])
      expect(await lead(app(), `urn:ietf:params:oauth:request_uri:${name}`)).toMatchObject({
        kind: 'page',
        status: 400,
      })
  })

  it('twice, or with client_id twice, is refused', async () => {
    for (const name of ['request_uri', 'client_id']) {
      const url = new URL(authorizationUrl(app(), challenge, named(await pushed(app()))))
      url.searchParams.append(name, url.searchParams.get(name) ?? '')
      const response = await new Visitor().send(url.href)
      expect([response.status, response.headers.get('location')]).toEqual([400, null])
    }
  })

  it('has nothing added by what is beside it', async () => {
    const requestUri = await pushed(app(), { scope: 'launch/patient patient/Patient.rs', nonce: null })
    const evil = {
      redirect_uri: 'https://evil.example/',
      scope: 'openid offline_access patient/*.rs',
      state: 'of-an-attacker',
      response_mode: 'fragment',
      response_type: 'token',
      code_challenge: 'a'.repeat(43),
      prompt: 'none',
      aud: 'https://evil.example/fhir',
      request: 'eyJhbGciOiJub25lIn0.e30.',
      claims: '{}',
    }
    const { callback } = await walk(app(), challenge, { params: { ...named(requestUri), ...evil } })
    expect(callback.origin + callback.pathname).toBe(app().redirectUri)
    expect(callback.searchParams.get('state')).toBe('a-state-of-the-app')
    const { body } = await exchange(app(), callback.searchParams.get('code') ?? '', verifier)
    expect(body.scope).toBe('launch/patient patient/Patient.rs')
    expect(body).not.toHaveProperty('refresh_token')
  })

  it('is answered once: neither again later nor by a second window that was open before', async () => {
    const requestUri = await pushed(app())
    const first = await walkToConsent(app(), challenge, { params: named(requestUri) })
    // Reloading before an answer is no second use (RFC 9126 §4).
    const second = await walkToConsent(app(), challenge, { params: named(requestUri) })
    const done = await first.visitor.submit(first.page, '/consent', everythingOn(first.page))
    expect(new URL(done.url).searchParams.get('code')).toMatch(/\S/)
    const again = await second.visitor.submit(second.page, '/consent', everythingOn(second.page))
    expect(new URL(again.url).searchParams.get('error')).toBe('invalid_request_uri')
    expect(new URL(again.url).searchParams.has('code')).toBe(false)
    expect(await lead(app(), requestUri)).toMatchObject({ kind: 'page', status: 400 })
  })

  it('of two windows that answer at once one is answered', async () => {
    const requestUri = await pushed(app())
    const windows = await Promise.all(
      Array.from({ length: 4 }, () => walkToConsent(app(), challenge, { params: named(requestUri) })),
    )
    const ends = await Promise.all(
      windows.map(async ({ visitor, page }) => {
        const done = await visitor.submit(page, '/consent', everythingOn(page))
        return new URL(done.url).searchParams.get('error') ?? 'code'
      }),
    )
    expect(ends.filter((end) => end === 'code')).toHaveLength(1)
    expect(ends.filter((end) => end === 'invalid_request_uri')).toHaveLength(3)
  })

  it('counts for a minute to begin with, and whoever began may take their time', async () => {
    const requestUri = await pushed(app())
    const late = await pushed(app())
    const began = await walkToConsent(app(), challenge, { params: named(requestUri) })
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 61_000 })
    expect(await lead(app(), late)).toMatchObject({ kind: 'page', status: 400 })
    const done = await began.visitor.submit(began.page, '/consent', everythingOn(began.page))
    expect(new URL(done.url).searchParams.get('code')).toMatch(/\S/)
    expect(await lead(app(), requestUri)).toMatchObject({ kind: 'page', status: 400 })
  })

  it('can be posted from another site as well [SMART app-launch.post-authorize]', async () => {
    const requestUri = await pushed(app())
    const response = await new Visitor().send(app().authorize, {
      method: 'POST',
      body: new URLSearchParams({ client_id: 'demo-public', request_uri: requestUri }),
      headers: { 'sec-fetch-site': 'cross-site', origin: 'https://app.example' },
    })
    expect(response.status).toBe(303)
    const page = await new Visitor().open(new URL(response.headers.get('location') ?? '', server.url).href)
    expect(page.html).toContain('name="password"')
  })
})

describe('pages of other sites (R5)', () => {
  const origin = 'http://127.0.0.1:5173'

  it('the app’s own read the answer and the error', async () => {
    const good = await push(app(), requestOf(app(), challenge), { origin })
    expect(good.status).toBe(201)
    expect(good.headers.get('access-control-allow-origin')).toBe(origin)
    const bad = await push(app(), requestOf(app(), challenge, { scope: 'made/up' }), { origin })
    expect(bad.headers.get('access-control-allow-origin')).toBe(origin)
    const preflight = await fetch(`${app().issuer}/par`, {
      method: 'OPTIONS',
      headers: { origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'dpop' },
    })
    expect(preflight.status).toBe(204)
    expect(preflight.headers.get('access-control-allow-headers')).toContain('dpop')
  })

  it('those of others do not, and push nothing', async () => {
    const answer = await push(app(), requestOf(app(), challenge), { origin: 'https://evil.example' })
    expect(answer.status).toBe(400)
    expect(answer.headers.get('access-control-allow-origin')).toBeNull()
  })
})

describe('a fault of ours (R43)', () => {
  const store = failingStore()
  let failing: TestServer
  beforeAll(async () => {
    failing = await startServer({ wrapDialect: store.wrapDialect })
  })
  afterAll(() => failing.close())
  const of = () => demoApp(failing.url)

  it.each([
    ['where its use was done and nobody heard of it', /^update "short_lived"/, 'unheard' as const],
    ['where there was no code to answer with', /^insert into "short_lived"/, true],
  ])('leaves a pushed request as good as it was, %s; and it is good once all the same', async (_what, sql, how) => {
    const { request_uri } = (await push(of(), requestOf(of(), challenge))).body
    const one = await walkToConsent(of(), challenge, { params: named(request_uri) })
    const two = await walkToConsent(of(), challenge, { params: named(request_uri) })
    let [shared, used] = [false, false]
    store.fail((step) => {
      if (step.kind !== 'query') return false
      // The decision is made; it is the way back to the app that fails.
      shared ||= /insert into "consents"/.test(step.sql)
      used ||= shared && /^update "short_lived"/.test(step.sql)
      return used && sql.test(step.sql) && how
    })
    const stuck = await one.visitor.submit(one.page, '/consent', everythingOn(one.page))
    store.fail(false)
    expect(stuck.status).toBe(503)
    const done = await one.visitor.open(stuck.url)
    const code = new URL(done.url).searchParams.get('code') ?? ''
    expect((await exchange(of(), code, verifier)).status, done.url).toBe(200)
    const again = await two.visitor.submit(two.page, '/consent', everythingOn(two.page))
    expect(new URL(again.url).searchParams.get('error')).toBe('invalid_request_uri')
  })

  it('is 503 where a request is pushed, and never the app’s fault', async () => {
    store.fail((step) => step.kind === 'query' && /short_lived/.test(step.sql))
    const answer = await push(of(), requestOf(of(), challenge))
    store.fail(false)
    expect(answer).toMatchObject({ status: 503, body: { error: 'temporarily_unavailable' } })
    expect(answer.headers.get('retry-after')).toBe('5')
    expect((await push(of(), requestOf(of(), challenge))).status).toBe(201)
  })
})
