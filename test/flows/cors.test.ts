/** CORS (R5): any origin for what is public, the app's own origins for tokens, on errors as well, and never credentials. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { confidentialApp, demoApp, exchange, obtainTokens, pkce, walk } from '../support/authorize.ts'
import { demonstrationApp } from '../support/demonstration-app.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { confidential, post } from '../support/wire.ts'

let server: TestServer
const own = 'http://127.0.0.1:5173'
const foreign = 'https://evil.example'

beforeAll(async () => {
  server = await startServer({
    change: ({ plans }) =>
      plans[0]?.environments[0]?.demonstration?.apps.push(
        demonstrationApp({ clientId: 'web-app', redirectUris: ['https://app.example/callback'] }),
      ),
  })
})
afterAll(() => server.close())

const app = () => demoApp(server.url)
const allowed = (headers: Headers) => headers.get('access-control-allow-origin')

const expectNoCredentials = (headers: Headers): void => {
  expect(headers.get('access-control-allow-credentials')).toBeNull()
  expect(headers.get('set-cookie')).toBeNull()
}

describe('public documents, for any origin [SMART app-launch.cors-discovery]', () => {
  it.each([
    '/prairie/sandbox/.well-known/openid-configuration',
    '/.well-known/openid-configuration/prairie/sandbox',
    '/prairie/sandbox/.well-known/oauth-authorization-server',
    '/.well-known/oauth-authorization-server/prairie/sandbox',
    '/prairie/sandbox/.well-known/smart-configuration',
    '/prairie/sandbox/fhir/.well-known/smart-configuration',
    '/prairie/sandbox/jwks',
    '/v5/summit/.well-known/smart-configuration',
    '/v3/summit/fhir/.well-known/smart-configuration',
    '/v5/summit/jwks',
  ])('%s', async (path) => {
    const response = await fetch(server.url + path, { headers: { origin: foreign } })
    expect(response.status).toBe(200)
    expect(['*', foreign]).toContain(allowed(response.headers))
    expectNoCredentials(response.headers)
    const preflight = await fetch(server.url + path, {
      method: 'OPTIONS',
      headers: { origin: foreign, 'access-control-request-method': 'GET', 'access-control-request-headers': 'accept' },
    })
    expect(preflight.status).toBe(204)
    expect(['*', foreign]).toContain(allowed(preflight.headers))
    expect(preflight.headers.get('access-control-allow-methods')).toContain('GET')
  })
})

describe('the token endpoint [SMART app-launch.cors-registered]', () => {
  it.each(['http://127.0.0.1', 'http://127.0.0.1:5173'])('a page at %s reads tokens', async (origin) => {
    const { verifier, challenge } = pkce()
    const { callback } = await walk(app(), challenge)
    const fields = {
      grant_type: 'authorization_code',
      code: callback.searchParams.get('code') ?? '',
      client_id: 'demo-public',
    }
    const more = { code_verifier: verifier, redirect_uri: app().redirectUri }
    const { status, headers } = await post(app().token, { ...fields, ...more }, { origin })
    expect(status).toBe(200)
    expect(allowed(headers)).toBe(origin)
    expect(headers.get('vary')).toContain('Origin')
    expectNoCredentials(headers)
  })

  it.each([
    ['invalid_grant', { grant_type: 'refresh_token', refresh_token: 'x', client_id: 'demo-public' }, own],
    ['unsupported_grant_type', { grant_type: 'password', client_id: 'demo-public' }, own],
    ['invalid_request', { client_id: 'demo-public' }, own],
    ['invalid_client', { grant_type: 'refresh_token', client_id: 'nobody' }, foreign],
    ['invalid_request', {}, foreign],
  ])('its error %s can be read as well', async (error, fields, origin) => {
    const { headers, body } = await post(app().token, fields as Record<string, string>, { origin })
    expect(body.error).toBe(error)
    expect(allowed(headers)).toBe(origin)
    expectNoCredentials(headers)
  })

  it.each([
    ['demo-public', foreign],
    ['demo-public', 'null'],
    ['demo-public', 'https://127.0.0.1'],
    ['demo-public', 'http://127.0.0.1.evil.example'],
    ['demo-public', 'http://127.0.0.1@evil.example'],
    ['demo-public', 'http://127.0.0.1/path'],
    ['web-app', 'http://app.example'],
    ['web-app', 'https://app.example:8443'],
    ['web-app', 'https://app.example.evil'],
    ['web-app', 'https://evil.app.example'],
    ['web-app', own],
  ])('another origin than those of %s cannot read: %s', async (client_id, origin) => {
    const fields = { grant_type: 'refresh_token', refresh_token: 'x', client_id }
    const { headers, body } = await post(app().token, fields, { origin })
    expect(body.error).toBe('invalid_request')
    expect(body.error_description).toContain('origin')
    expect(allowed(headers)).toBeNull()
  })

  it('a registered https origin can', async () => {
    const fields = { grant_type: 'refresh_token', refresh_token: 'x', client_id: 'web-app' }
    const { headers, body } = await post(app().token, fields, { origin: 'https://app.example' })
    expect(body.error).toBe('invalid_grant')
    expect(allowed(headers)).toBe('https://app.example')
  })

  it('a foreign origin burns no code', async () => {
    const { verifier, challenge } = pkce()
    const code = (await walk(app(), challenge)).callback.searchParams.get('code') ?? ''
    const fields = { grant_type: 'authorization_code', code, client_id: 'demo-public', code_verifier: verifier }
    expect((await post(app().token, { ...fields, redirect_uri: app().redirectUri }, { origin: foreign })).status).toBe(
      400,
    )
    expect((await exchange(app(), code, verifier)).status).toBe(200)
  })

  it('the preflight says what may be sent', async () => {
    const response = await fetch(app().token, {
      method: 'OPTIONS',
      headers: {
        origin: own,
        'access-control-request-method': 'POST',
        'access-control-request-headers': 'authorization, content-type',
      },
    })
    expect(response.status).toBe(204)
    expect(allowed(response.headers)).toBe(own)
    expect(response.headers.get('access-control-allow-methods')).toContain('POST')
    expect(response.headers.get('access-control-allow-headers')).toContain('authorization')
    expectNoCredentials(response.headers)
  })
})

describe('revocation and userinfo', () => {
  it('revocation: the own origin, errors too; no other', async () => {
    const { access_token } = await obtainTokens(app())
    const revoke = (origin: string, fields: Record<string, string>) =>
      post(`${app().issuer}/revoke`, { client_id: 'demo-public', ...fields }, { origin })
    expect(allowed((await revoke(own, {})).headers)).toBe(own)
    expect(allowed((await revoke(foreign, { token: access_token })).headers)).toBeNull()
    const done = await revoke(own, { token: access_token })
    expect(done.status).toBe(200)
    expect(allowed(done.headers)).toBe(own)
  })

  it('userinfo: the own origin of the token, and errors for all', async () => {
    const { access_token } = await obtainTokens(app())
    const ask = (origin: string, token: string) =>
      fetch(`${app().issuer}/userinfo`, { headers: { origin, authorization: `Bearer ${token}` } })
    const right = await ask(own, access_token)
    expect(right.status).toBe(200)
    expect(allowed(right.headers)).toBe(own)
    expect(right.headers.get('vary')).toContain('Origin')
    expect(allowed((await ask(foreign, access_token)).headers)).toBeNull()
    const wrong = await ask(foreign, 'nonsense')
    expect(wrong.status).toBe(401)
    expect(allowed(wrong.headers)).toBe(foreign)
  })

  it('a confidential app that calls from its own loopback page can read, by its secret', async () => {
    const fields = { grant_type: 'refresh_token', refresh_token: 'x' }
    const { headers } = await post(confidentialApp(server.url).token, fields, { origin: own, ...confidential })
    expect(allowed(headers)).toBe(own)
  })
})

describe('what no script of another origin may read', () => {
  it.each(['/', '/prairie/sandbox/sign-out', '/prairie/sandbox/interaction/x', '/prairie/sandbox/letters', '/healthz'])(
    '%s',
    async (path) => {
      for (const method of ['GET', 'OPTIONS']) {
        const response = await fetch(server.url + path, { method, headers: { origin: own } })
        expect(allowed(response.headers)).toBeNull()
      }
    },
  )
})
