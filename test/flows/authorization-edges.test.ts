/** Edges of the authorization endpoint: what OpenID Connect alone knows, how answers travel, and the same where a request is pushed. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  authorizationUrl,
  demoApp,
  everythingOn,
  exchange,
  password,
  pkce,
  walk,
  walkToConsent,
} from '../support/authorize.ts'
import { named, push, requestOf } from '../support/pushed.ts'
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
const scope = 'launch/patient patient/Patient.rs'

type Params = Record<string, string | null>
/** The same request in each way that there is to make it; answers the first address that a browser opens. */
const ways: [string, (params: Params) => Promise<string>][] = [
  ['by GET', async (params) => authorizationUrl(app(), challenge, params)],
  [
    'by POST',
    async (params) => {
      const body = new URLSearchParams(requestOf(app(), challenge, params))
      const response = await new Visitor().send(app().authorize, { method: 'POST', body })
      expect(response.status).toBe(303)
      return new URL(response.headers.get('location') ?? '', server.url).href
    },
  ],
  [
    'pushed',
    async (params) => {
      const answer = await push(app(), requestOf(app(), challenge, params))
      expect(answer.status, JSON.stringify(answer.body)).toBe(201)
      return authorizationUrl(app(), challenge, named(answer.body.request_uri))
    },
  ],
]

/** Maria goes all the way from an address. */
const finish = async (address: string, visitor = new Visitor()): Promise<URL> => {
  let page = await visitor.open(address)
  if (page.html.includes('name="password"'))
    page = await visitor.submit(page, '/sign-in', { username: 'maria', password })
  return new URL((await visitor.submit(page, '/consent', everythingOn(page))).url)
}
const redeemed = async (callback: URL) => {
  const answer = await exchange(app(), callback.searchParams.get('code') ?? '', verifier)
  expect(answer.status, callback.href).toBe(200)
  return answer.body
}

describe.each(ways)('%s', (_way, ask) => {
  it.each([
    ['nonce', 'n-1'],
    ['max_age', '3600'],
    ['max_age', 'soon'],
    ['acr_values', 'urn:example:gold'],
    ['id_token_hint', 'garbage'],
    ['claims_locales', 'es'],
  ])('%s=%s without openid is ignored, as what is not known (RFC 6749 §3.1)', async (name, value) => {
    const body = await redeemed(await finish(await ask({ scope, [name]: value })))
    expect(body).not.toHaveProperty('id_token')
    expect(body.scope).toBe(scope)
  })

  it('with openid they count', async () => {
    const body = await redeemed(
      await finish(await ask({ nonce: 'n-1', max_age: '3600', acr_values: 'urn:example:gold' })),
    )
    expect(claimsOf(body.id_token)).toMatchObject({ nonce: 'n-1', auth_time: expect.any(Number) })
    // An acr that was asked for and not reached is not claimed (OpenID Connect Core §5.5.1.1).
    expect(claimsOf(body.id_token)).not.toHaveProperty('acr')
  })

  it.each([
    ['prompt=login', { prompt: 'login' }],
    ['max_age=0', { max_age: '0' }],
  ])('%s asks for the password again [FAPI max-age]', async (_what, params) => {
    const visitor = new Visitor()
    await walkToConsent(app(), challenge, { visitor })
    expect((await visitor.open(await ask({}))).html).not.toContain('name="password"')
    expect((await visitor.open(await ask(params))).html).toContain('name="password"')
  })

  it('a state of every sort of characters comes back as it was [SMART app-launch.state-returned] [FAPI long-state]', async () => {
    const state = `a b+c%2Bd&e=f#g"<h>' ünï-健康-🩺 \u0000\r\n ${'x'.repeat(1500)}`
    const callback = await finish(await ask({ state }))
    expect(callback.searchParams.get('state')).toBe(state)
    expect(callback.hash).toBe('')
  })

  it('the issuer is named with a code, and with a denial (RFC 9207) [RFC 9207 success] [RFC 9207 error]', async () => {
    expect((await finish(await ask({}))).searchParams.get('iss')).toBe(app().issuer)
    const visitor = new Visitor()
    const signIn = await visitor.open(await ask({}))
    const page = await visitor.submit(signIn, '/sign-in', { username: 'maria', password })
    const denied = new URL((await visitor.submit(page, '/deny')).url)
    expect(denied.searchParams.get('error')).toBe('access_denied')
    expect(denied.searchParams.get('iss')).toBe(app().issuer)
    expect(denied.searchParams.get('state')).toBe('a-state-of-the-app')
  })
})

describe('what is wrong with a request is told by the name of the field, and what is accepted', () => {
  it.each<[string, Params, string]>([
    ['without response_type', { response_type: null }, 'response_type'],
    ['with another response_type', { response_type: 'token' }, 'response_type must be code'],
    ['with another response_mode', { response_mode: 'form_post' }, 'response_mode must be query, or left out'],
    [
      'without code_challenge',
      { code_challenge: null, code_challenge_method: null },
      'code_challenge is required, with the code_challenge_method S256',
    ],
    ['with plain', { code_challenge_method: 'plain' }, 'code_challenge_method must be S256'],
  ])('%s', async (_what, params, description) => {
    const response = await new Visitor().send(authorizationUrl(app(), challenge, params))
    const { searchParams } = new URL(response.headers.get('location') ?? '')
    expect(searchParams.get('error_description')).toContain(description)
    expect(searchParams.get('error_description')).not.toMatch(/not allowed for this client/)
    expect(searchParams.get('state')).toBe('a-state-of-the-app')
  })
})

describe('no answer but in the query', () => {
  it.each<[string, Params, string]>([
    ['response_type=token', { response_type: 'token' }, 'unsupported_response_type'],
    ['response_type=id_token', { response_type: 'id_token', nonce: 'n' }, 'unsupported_response_type'],
    ['response_type=code token', { response_type: 'code token' }, 'unsupported_response_type'],
    ['a fragment', { response_mode: 'fragment' }, 'unsupported_response_mode'],
    ['a form post', { response_mode: 'form_post' }, 'unsupported_response_mode'],
    ['a token as a form post', { response_type: 'token', response_mode: 'form_post' }, 'unsupported_response_type'],
    ['a JWT', { response_mode: 'query.jwt' }, 'unsupported_response_mode'],
  ])('%s is refused there [RFC 9700 6]', async (_what, params, error) => {
    const response = await new Visitor().send(authorizationUrl(app(), challenge, params))
    expect(response.status).toBe(303)
    const location = new URL(response.headers.get('location') ?? '')
    expect(location.hash).toBe('')
    expect([error, 'unsupported_response_mode']).toContain(location.searchParams.get('error'))
    expect(location.searchParams.get('iss')).toBe(app().issuer)
    expect(await response.text()).not.toContain('<form')
  })
})

describe('what is refused although it is known elsewhere', () => {
  it.each([
    ['an unsigned request object', 'request', 'eyJhbGciOiJub25lIn0.e30.', 'request_not_supported'],
    [
      'a request object that overrides',
      'request',
      `${btoa('{"alg":"none"}')}.${btoa('{"scope":"x"}')}.`,
      'request_not_supported',
    ],
    ['a request_uri elsewhere', 'request_uri', 'https://app.example/request.jwt', 'request_uri_not_supported'],
    ['a request_uri of this machine', 'request_uri', 'http://127.0.0.1:1/request.jwt', 'request_uri_not_supported'],
    ['a request_uri in a file', 'request_uri', 'file:///etc/passwd', 'request_uri_not_supported'],
  ])('%s', async (_what, name, value, error) => {
    const response = await new Visitor().send(authorizationUrl(app(), challenge, { [name]: value }))
    expect(new URL(response.headers.get('location') ?? '').searchParams.get('error')).toBe(error)
  })

  it('a code of a request with one challenge is not redeemed with the verifier of another [RFC 9700 5] [RFC 7636 wrong-verifier]', async () => {
    const mine = pkce()
    const { callback } = await walk(app(), mine.challenge)
    const code = callback.searchParams.get('code') ?? ''
    expect((await exchange(app(), code, verifier)).body.error).toBe('invalid_grant')
    expect((await exchange(app(), code, mine.challenge)).body.error).toBe('invalid_grant')
    expect((await exchange(app(), code, mine.verifier)).status).toBe(200)
  })

  it('a code that was bound to a key by nonsense is redeemed by nobody', async () => {
    const { callback } = await walk(app(), challenge, { params: { dpop_jkt: 'nonsense' } })
    const code = callback.searchParams.get('code') ?? ''
    expect((await exchange(app(), code, verifier)).body.error).toBe('invalid_grant')
  })
})
