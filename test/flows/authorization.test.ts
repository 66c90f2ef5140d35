import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { authorizationUrl, confidentialApp, demoApp, exchange, obtainTokens, pkce, walk } from '../support/authorize.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { Visitor } from '../support/visitor.ts'
import { claimsOf } from '../support/wire.ts'

let server: TestServer
const { verifier, challenge } = pkce()

beforeAll(async () => {
  server = await startServer()
})
afterAll(() => server.close())

const app = () => demoApp(server.url)

interface Outcome {
  /** `page`: a page of ours; `on`: the member is asked to sign in; otherwise the error that the app is told. */
  kind: string
  query: URLSearchParams
  status: number
  html: string
  headers: Headers
}

const outcomeOf = async (response: Response): Promise<Outcome> => {
  const location = response.headers.get('location')
  const html = await response.text()
  const { status, headers } = response
  if (!location) return { kind: 'page', query: new URLSearchParams(), status, html, headers }
  const target = new URL(location, server.url)
  const inside = target.origin === server.url && target.pathname.includes('/interaction/')
  return {
    kind: inside ? 'on' : (target.searchParams.get('error') ?? 'code'),
    query: target.searchParams,
    status,
    html,
    headers,
  }
}

/** Sends a request in which `name` has these values: none is missing, two are doubled. */
const ask = async (name: string, values: string[], more: Record<string, string | null> = {}): Promise<Outcome> => {
  const url = new URL(authorizationUrl(app(), challenge, more))
  url.searchParams.delete(name)
  for (const value of values) url.searchParams.append(name, value)
  return outcomeOf(await new Visitor().send(url.href))
}

const expectLocalPage = (outcome: Outcome): void => {
  expect(outcome.kind).toBe('page')
  expect(outcome.status).toBe(400)
  expect(outcome.headers.get('content-type')).toContain('text/html')
  expect(outcome.html).toContain(outcome.headers.get('x-request-id'))
  expect(outcome.html, 'the service desk (R48)').toContain('1-800-555-0142')
}

const long = 'x'.repeat(5000)
const nul = 'a\u0000b'
const unicode = 'ünïcode-健康-🩺'

describe('what must not redirect: a page of ours with a reference (R12) [SMART app-launch.redirect-exact] [RFC 9700 1, 2]', () => {
  it.each([
    ['client_id', 'missing', []],
    ['client_id', 'doubled', ['demo-public', 'demo-public']],
    ['client_id', 'empty', ['']],
    ['client_id', 'unknown', ['nobody']],
    ['client_id', 'too long', [long]],
    ['client_id', 'with a NUL', [nul]],
    ['client_id', 'unicode', [unicode]],
    ['client_id', 'a name that every object has', ['__proto__']],
    ['client_id', 'of another plan', ['summit-demo']],
    ['client_id', 'a resource server', ['demo-resource-server']],
    ['redirect_uri', 'missing', []],
    ['redirect_uri', 'doubled', ['http://127.0.0.1/callback', 'http://127.0.0.1/callback']],
    ['redirect_uri', 'empty', ['']],
    ['redirect_uri', 'of nobody', ['https://evil.example/callback']],
    ['redirect_uri', 'too long', [`http://127.0.0.1/callback?${long}`]],
    ['redirect_uri', 'with a NUL', [`http://127.0.0.1/callback${nul}`]],
    ['redirect_uri', 'unicode', [`http://127.0.0.1/${unicode}`]],
    ['redirect_uri', 'relative', ['/callback']],
    ['redirect_uri', 'script', ['javascript:alert(1)']],
    ['redirect_uri', 'data', ['data:text/html,hi']],
  ])('%s %s', async (name, _what, values) => {
    expectLocalPage(await ask(name, values))
  })

  it('an unknown app is named as such, whatever else is wrong', async () => {
    const outcome = await ask('client_id', ['nobody'], { response_type: 'token', scope: null })
    expectLocalPage(outcome)
    expect(outcome.html).toContain('We do not know this app')
    const switches = [...outcome.html.matchAll(/hreflang="es"/g)]
    expect(switches).toHaveLength(1)
    expect(outcome.html, 'the page can be read in Spanish').toContain('href="/prairie/sandbox/authorize?')
  })

  it('an app that exists at the sandbox only is unknown at production', async () => {
    const url = authorizationUrl({ ...app(), authorize: `${server.url}/prairie/production/authorize` }, challenge)
    expectLocalPage(await outcomeOf(await new Visitor().send(url)))
  })

  it('no redirect URI is used to tell of another fault before it is known to be right', async () => {
    expectLocalPage(await ask('redirect_uri', ['https://evil.example/'], { response_type: 'token' }))
    expectLocalPage(await ask('redirect_uri', ['https://evil.example/'], { request: 'x' }))
    expectLocalPage(await ask('redirect_uri', ['https://evil.example/'], { prompt: 'none' }))
  })
})

describe('every other error goes back to the app with error, error_description, state and iss (R12) [SMART app-launch.code-or-error] [RFC 9207 error]', () => {
  it.each([
    ['response_type', 'missing', [], 'invalid_request'],
    ['response_type', 'doubled', ['code', 'code'], 'invalid_request'],
    ['response_type', 'token', ['token'], 'unsupported_response_type'],
    ['response_type', 'hybrid', ['code id_token'], 'unsupported_response_type'],
    ['response_type', 'none', ['none'], 'unsupported_response_type'],
    ['response_type', 'too long', [long], 'unsupported_response_type'],
    ['response_type', 'with a NUL', [nul], 'unsupported_response_type'],
    ['response_type', 'unicode', [unicode], 'unsupported_response_type'],
    ['scope', 'missing', [], 'invalid_scope'],
    ['scope', 'doubled', ['openid', 'fhirUser'], 'invalid_request'],
    ['scope', 'too long', [long], 'invalid_scope'],
    ['scope', 'with a NUL', [nul], 'invalid_scope'],
    ['scope', 'unicode', [unicode], 'invalid_scope'],
    ['scope', 'of systems, and a launch without one', ['system/*.rs launch'], 'invalid_scope'],
    ['aud', 'doubled', ['https://a.example', 'https://b.example'], 'invalid_request'],
    ['aud', 'of another server', ['https://fhir.other.example/r4'], 'invalid_target'],
    ['aud', 'with a query', [`https://fhir.other.example/?${long}`], 'invalid_target'],
    ['aud', 'no URL', ['fhir'], 'invalid_target'],
    ['aud', 'with a NUL', [nul], 'invalid_target'],
    ['aud', 'unicode', [unicode], 'invalid_target'],
    ['code_challenge', 'missing', [], 'invalid_request'],
    ['code_challenge', 'doubled', ['a'.repeat(43), 'a'.repeat(43)], 'invalid_request'],
    ['code_challenge', 'too short', ['a'.repeat(42)], 'invalid_request'],
    ['code_challenge', 'too long', ['a'.repeat(129)], 'invalid_request'],
    ['code_challenge', 'with a NUL', [`\u0000${'a'.repeat(43)}`], 'invalid_request'],
    ['code_challenge', 'unicode', [`ü${'a'.repeat(43)}`], 'invalid_request'],
    ['code_challenge_method', 'missing', [], 'invalid_request'],
    ['code_challenge_method', 'doubled', ['S256', 'S256'], 'invalid_request'],
    ['code_challenge_method', 'plain', ['plain'], 'invalid_request'],
    ['code_challenge_method', 'in lower case', ['s256'], 'invalid_request'],
    ['code_challenge_method', 'too long', [long], 'invalid_request'],
    ['code_challenge_method', 'with a NUL', [nul], 'invalid_request'],
    ['nonce', 'doubled', ['a', 'b'], 'invalid_request'],
    ['prompt', 'doubled', ['login', 'consent'], 'invalid_request'],
    ['prompt', 'unknown', ['select_account'], 'invalid_request'],
    ['prompt', 'of our own steps', ['patient'], 'invalid_request'],
    ['prompt', 'none with another', ['none login'], 'invalid_request'],
    ['prompt', 'too long', [long], 'invalid_request'],
    ['prompt', 'with a NUL', [nul], 'invalid_request'],
    ['prompt', 'none, without a session', ['none'], 'login_required'],
    ['max_age', 'doubled', ['1', '1'], 'invalid_request'],
    ['max_age', 'no number', ['soon'], 'invalid_request'],
    ['max_age', 'negative', ['-1'], 'invalid_request'],
    ['max_age', 'broken', ['1.5'], 'invalid_request'],
    ['max_age', 'too long', ['9'.repeat(400)], 'invalid_request'],
    ['ui_locales', 'doubled', ['es', 'en'], 'invalid_request'],
    ['login_hint', 'doubled', ['maria', 'david'], 'invalid_request'],
    ['response_mode', 'doubled', ['query', 'query'], 'invalid_request'],
    ['response_mode', 'fragment', ['fragment'], 'unsupported_response_mode'],
    ['response_mode', 'form_post', ['form_post'], 'unsupported_response_mode'],
    ['response_mode', 'jwt', ['jwt'], 'unsupported_response_mode'],
    ['response_mode', 'web_message', ['web_message'], 'unsupported_response_mode'],
    ['response_mode', 'too long', [long], 'unsupported_response_mode'],
    ['resource', 'of another server', ['https://fhir.other.example/r4'], 'invalid_target'],
    ['resource', 'two of them', ['https://fhir.other.example/r4', 'https://x.example'], 'invalid_target'],
    ['resource', 'no URL', ['fhir'], 'invalid_target'],
    ['resource', 'with a NUL', [nul], 'invalid_target'],
    ['request', 'an object', ['eyJhbGciOiJub25lIn0.e30.'], 'request_not_supported'],
    ['request_uri', 'an address', ['https://app.example/request'], 'request_uri_not_supported'],
    ['registration', 'a document', ['{}'], 'registration_not_supported'],
    ['id_token_hint', 'garbage', ['garbage'], 'invalid_request'],
    ['id_token_hint', 'unsigned', ['eyJhbGciOiJub25lIn0.e30.'], 'invalid_request'],
    ['id_token_hint', 'doubled', ['a', 'b'], 'invalid_request'],
    ['launch', 'doubled', ['a', 'b'], 'invalid_request'],
    ['state', 'doubled', ['a', 'b'], 'invalid_request'],
  ])('%s %s', async (name, _what, values, error) => {
    const outcome = await ask(name, values)
    expect(outcome.kind, outcome.html.slice(0, 300)).toBe(error)
    expect(outcome.status).toBe(303)
    expect(outcome.query.get('error_description')).toMatch(/^[\x20-\x21\x23-\x5b\x5d-\x7e]+$/)
    expect(outcome.query.get('iss')).toBe(app().issuer)
    expect(outcome.query.get('state')).toBe(name === 'state' ? null : 'a-state-of-the-app')
    expect(outcome.query.has('code')).toBe(false)
  })

  it('the error goes to the redirect URI that was asked for, port and all', async () => {
    const url = authorizationUrl({ ...app(), redirectUri: 'http://127.0.0.1:40123/callback' }, challenge, {
      scope: null,
    })
    const response = await new Visitor().send(url)
    expect(response.headers.get('location')).toMatch(/^http:\/\/127\.0\.0\.1:40123\/callback\?error=invalid_scope&/)
  })
})

describe('what does no harm goes on', () => {
  it.each([
    ['state', 'missing', []],
    ['nonce', 'missing', []],
    ['nonce', 'long', [long]],
    ['nonce', 'with a NUL', [nul]],
    ['nonce', 'unicode', [unicode]],
    ['prompt', 'login', ['login']],
    ['prompt', 'consent', ['consent']],
    ['max_age', 'large', ['99999999999']],
    ['max_age', 'zero', ['0']],
    ['ui_locales', 'unknown', ['xx tlh']],
    ['ui_locales', 'long', [long]],
    ['ui_locales', 'with a NUL', [nul]],
    ['ui_locales', 'unicode', [unicode]],
    ['login_hint', 'long', [long]],
    ['login_hint', 'with a NUL', [nul]],
    ['login_hint', 'unicode', [unicode]],
    ['claims', 'an object', ['{"id_token":{"email":null}}']],
    ['claims', 'garbage', ['{']],
    ['response_mode', 'query', ['query']],
    ['launch', 'of nobody', [long]],
    ['an_unknown_parameter', 'doubled', ['a', 'b']],
    ['__proto__', 'doubled', ['a', 'b']],
  ])('%s %s', async (name, _what, values) => {
    const visitor = new Visitor()
    const url = new URL(authorizationUrl(app(), challenge))
    url.searchParams.delete(name)
    for (const value of values) url.searchParams.append(name, value)
    const page = await visitor.open(url.href)
    expect(page.status, page.url).toBe(200)
    expect(page.html).toContain('name="password"')
  })
})

describe('parameters that come back or decide', () => {
  const longState = Array.from({ length: 2000 }, (_, i) => String.fromCharCode(33 + (i % 94))).join('')

  it.each([
    ['of 2,000 characters', longState],
    ['of unicode, NUL and line breaks', `${unicode} a+b %2B \u0000\r\n"<script>`],
  ])(
    'a state %s is returned exactly, in success and error (R12) [SMART app-launch.state-returned]',
    async (_what, state) => {
      const { callback } = await walk(app(), challenge, { params: { state } })
      expect(callback.searchParams.get('state')).toBe(state)
      expect(callback.searchParams.get('iss')).toBe(app().issuer)
      expect((await exchange(app(), callback.searchParams.get('code') ?? '', verifier)).status).toBe(200)
      expect((await ask('scope', [], { state })).query.get('state')).toBe(state)
    },
  )

  it('no state comes back where none was sent', async () => {
    const { callback } = await walk(app(), challenge, { params: { state: null } })
    expect([...callback.searchParams.keys()].sort()).toEqual(['code', 'iss'])
  })

  it('PKCE is required of confidential apps as well, and only S256 (R4) [SMART app-launch.pkce-no-plain] [RFC 9700 4, 5] [RFC 7636 s256] [ASVS 10.4.6]', async () => {
    const wrong: Record<string, string | null>[] = [
      { code_challenge: null, code_challenge_method: null },
      { code_challenge_method: 'plain' },
      { code_challenge_method: null },
    ]
    for (const params of wrong) {
      const url = authorizationUrl(confidentialApp(server.url), challenge, params)
      expect((await outcomeOf(await new Visitor().send(url))).kind).toBe('invalid_request')
    }
  })

  it('prompt=none is never granted silently: login_required, then consent_required [FAPI prompt-none] [RFC 8252 consent-each-time] [ASVS 10.7.1]', async () => {
    const { visitor } = await walk(app(), challenge)
    const outcome = await outcomeOf(await visitor.send(authorizationUrl(app(), challenge, { prompt: 'none' })))
    expect(outcome.kind).toBe('consent_required')
    expect(outcome.query.get('state')).toBe('a-state-of-the-app')
  })

  it('id_token_hint of the member is accepted; of another member it asks for sign-in', async () => {
    const { id_token } = await obtainTokens(app())
    const { visitor } = await walk(app(), challenge, { member: 'david', patient: 'David' })
    const page = await visitor.open(authorizationUrl(app(), challenge, { id_token_hint: id_token }))
    expect(page.status).toBe(200)
    expect(page.html).toContain('name="password"')
  })

  it('claims and nonce reach the ID token only as far as they are ours to say', async () => {
    const claims = JSON.stringify({ id_token: { sub: { value: 'somebody' }, email: { essential: true } } })
    const { callback } = await walk(app(), challenge, { params: { claims, nonce: unicode } })
    const { body } = await exchange(app(), callback.searchParams.get('code') ?? '', verifier)
    expect(claimsOf(body.id_token)).toMatchObject({ nonce: unicode })
    expect(claimsOf(body.id_token)).not.toHaveProperty('email')
  })
})
