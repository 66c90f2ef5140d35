/** Discovery is true (R1, R41): what it names answers and works, and what it does not name does not. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  authorizationUrl,
  confidentialApp,
  demoApp,
  exchange,
  obtainTokens,
  pkce,
  refresh,
  walk,
} from '../support/authorize.ts'
import { assertionOf, carried, demonstrationKey } from '../support/key-client.ts'
import { makeLaunch } from '../support/launches.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { Visitor } from '../support/visitor.ts'
import { basic, headerOf, post } from '../support/wire.ts'

let server: TestServer

beforeAll(async () => {
  server = await startServer()
})
afterAll(() => server.close())

// biome-ignore lint/suspicious/noExplicitAny: a test reads what the wire says
const document = async (path: string, headers: Record<string, string> = {}): Promise<any> => {
  const response = await fetch(server.url + path, { headers })
  expect(response.status, path).toBe(200)
  expect(response.headers.get('content-type')).toMatch(/^application\/(?:jwk-set\+)?json/)
  return response.json()
}

const app = () => demoApp(server.url)
const prairie = '/prairie/sandbox'
const summit = '/v5/summit'
const issuers = [prairie, '/prairie/production', summit]

describe('where it is', () => {
  it.each(issuers)('%s: OpenID Connect and RFC 8414, at both places, say the same [RFC 9700 15]', async (issuer) => {
    const known = '.well-known/openid-configuration'
    const metadata = '.well-known/oauth-authorization-server'
    const documents = await Promise.all([
      document(`${issuer}/${known}`),
      document(`/${known}${issuer}`),
      document(`${issuer}/${metadata}`),
      document(`/${metadata}${issuer}`),
    ])
    for (const each of documents) expect(each).toEqual(documents[0])
    expect(documents[0].issuer).toBe(server.url + issuer)
  })

  it.each([
    [prairie, [`${prairie}/fhir`]],
    [summit, [`${summit}/fhir`, '/v3/summit/fhir']],
  ])(
    '%s: the SMART configuration is at the issuer and at every base of its API [SMART discovery.smart-configuration]',
    async (issuer, bases) => {
      const there = await document(`${issuer}/.well-known/smart-configuration`)
      expect(there.issuer).toBe(server.url + issuer)
      for (const base of bases) expect(await document(`${base}/.well-known/smart-configuration`)).toEqual(there)
    },
  )

  it.each([
    `${prairie}/.well-known/openid-configuration`,
    `${prairie}/.well-known/smart-configuration`,
    `${prairie}/fhir/.well-known/smart-configuration`,
    `${prairie}/jwks`,
  ])('%s is JSON whatever Accept says, cacheable, anonymous [SMART discovery.json-always]', async (path) => {
    for (const accept of ['text/html', 'application/xml', 'application/fhir+json', '*/*', 'nonsense'])
      await document(path, { accept, authorization: 'Bearer nonsense', cookie: 'a=b' })
    const response = await fetch(server.url + path)
    expect(response.headers.get('cache-control')).toMatch(/^public, max-age=\d+$/)
    expect(response.headers.get('set-cookie')).toBeNull()
    expect((await fetch(server.url + path, { method: 'HEAD' })).status).toBe(200)
    const posted = await fetch(server.url + path, { method: 'POST', headers: { accept: 'text/html' } })
    expect(posted.status).toBe(405)
    expect(posted.headers.get('content-type')).toContain('application/json')
  })
})

describe('what it says', () => {
  it.each(issuers)('%s: all three documents agree', async (issuer) => {
    const openid = await document(`${issuer}/.well-known/openid-configuration`)
    const smart = await document(`${issuer}/.well-known/smart-configuration`)
    for (const [name, value] of Object.entries(smart)) if (name in openid) expect(openid[name], name).toEqual(value)
  })

  it('names only what is offered (R1)', async () => {
    const openid = await document(`${prairie}/.well-known/openid-configuration`)
    expect(openid).toMatchObject({
      response_types_supported: ['code'],
      response_modes_supported: ['query'],
      grant_types_supported: ['authorization_code', 'refresh_token', 'client_credentials'],
      code_challenge_methods_supported: ['S256'],
      token_endpoint_auth_methods_supported: ['none', 'client_secret_basic', 'client_secret_post', 'private_key_jwt'],
      token_endpoint_auth_signing_alg_values_supported: expect.arrayContaining(['RS384', 'ES384']),
      introspection_endpoint_auth_methods_supported: [
        ...['none', 'client_secret_basic', 'client_secret_post', 'private_key_jwt'],
      ],
      id_token_signing_alg_values_supported: ['RS256'],
      subject_types_supported: ['public'],
      authorization_response_iss_parameter_supported: true,
      ui_locales_supported: ['en', 'es'],
    })
    expect(Object.keys(openid).sort()).toEqual(
      [
        ...['issuer', 'authorization_endpoint', 'token_endpoint', 'userinfo_endpoint', 'jwks_uri', 'scopes_supported'],
        ...[
          'management_endpoint',
          'end_session_endpoint',
          'revocation_feed_endpoint',
          'pushed_authorization_request_endpoint',
          'registration_endpoint',
        ],
        'dpop_signing_alg_values_supported',
        ...['introspection_endpoint', 'introspection_endpoint_auth_methods_supported', 'revocation_endpoint'],
        ...['token', 'introspection', 'revocation'].map((of) => `${of}_endpoint_auth_signing_alg_values_supported`),
        ...['revocation_endpoint_auth_methods_supported', 'token_endpoint_auth_methods_supported'],
        ...['response_types_supported', 'response_modes_supported', 'grant_types_supported'],
        ...['code_challenge_methods_supported', 'id_token_signing_alg_values_supported', 'subject_types_supported'],
        ...['authorization_response_iss_parameter_supported', 'ui_locales_supported', 'claims_supported'],
        ...['claims_parameter_supported', 'request_uri_parameter_supported', 'claim_types_supported'],
      ].sort(),
    )
    // `request_parameter_supported` is false where it is left out; this one would be true (OpenID Connect Discovery §3).
    for (const name of ['claims_parameter_supported', 'request_uri_parameter_supported'])
      expect(openid[name]).toBe(false)
  })

  /** Without any parameter; the page of connections asks its visitor to sign in. */
  const statusOf: Record<string, number> = {
    jwks_uri: 200,
    userinfo_endpoint: 401,
    revocation_feed_endpoint: 401,
    management_endpoint: 303,
    end_session_endpoint: 200,
    // It takes JSON.
    registration_endpoint: 415,
  }

  it.each(issuers)('%s: every endpoint that it names answers [SMART discovery.conveys-endpoints]', async (issuer) => {
    const openid = await document(`${issuer}/.well-known/openid-configuration`)
    const endpoints = Object.entries<string>(openid).filter(([name]) => /_endpoint$|^jwks_uri$/.test(name))
    expect(endpoints).toHaveLength(issuer === prairie ? 11 : 10)
    for (const [name, url] of endpoints) {
      const readable = !/^(token|introspection|revocation|pushed_authorization_request|registration)_endpoint$/.test(
        name,
      )
      const response = await fetch(url, { method: readable ? 'GET' : 'POST', redirect: 'manual' })
      expect(response.status, `${name} ${url}`).toBe(statusOf[name] ?? 400)
    }
  })

  it.each([prairie, summit])(
    '%s: the keys are public, of both algorithms, each with its use [SMART scopes.id-token-keys]',
    async (issuer) => {
      const { keys } = await document(`${issuer}/jwks`)
      expect(keys.map((key: { alg: string }) => key.alg).sort()).toEqual(['ES256', 'RS256'])
      for (const key of keys) {
        expect(key).toMatchObject({ use: 'sig', kid: expect.any(String) })
        for (const secret of ['d', 'p', 'q', 'dp', 'dq', 'qi', 'k']) expect(key).not.toHaveProperty(secret)
      }
    },
  )
})

describe('what it names works', () => {
  /** From the first request to a refreshed answer. */
  const walk = async (of: ReturnType<typeof app>, scopes: string[]): Promise<{ scope: string }> => {
    const { verifier, challenge } = pkce()
    const visitor = new Visitor()
    // The scope `launch` is for an app that was launched, and `launch/encounter` is answered by what it was launched for.
    const about = { client_id: of.clientId, user: 'maria', patient: 'maria', encounter: 'a-visit' }
    const launch = scopes.includes('launch') ? await makeLaunch(server.url, about) : null
    const { searchParams } = new URL(authorizationUrl(of, challenge, { scope: scopes.join(' '), launch }))
    // By POST, as an app does whose request is too long for an address.
    const first = await visitor.open(of.authorize, { method: 'POST', body: searchParams })
    let page = await visitor.submit(first, '/sign-in', { username: 'maria', password: 'prairie-sandbox-1' })
    page = await visitor.submit(page, '/consent')
    const tokens = await exchange(of, new URL(page.url).searchParams.get('code') ?? '', verifier)
    expect(tokens.status).toBe(200)
    const next = await refresh(of, tokens.body.refresh_token)
    expect(next.body.scope).toBe(tokens.body.scope)
    return next.body
  }

  it.each([
    ['demo-public', 'read'],
    ['demo-public', 'rs'],
    ['demo-confidential', 'read'],
    ['demo-confidential', 'rs'],
  ])(
    'every scope can be granted to %s, those of a version (.%s) and a kind in one walk, and refreshed [SMART discovery.scopes-true] [capability permission-v1] [capability permission-v2] [capability permission-user]',
    async (id, version) => {
      const of = id === 'demo-public' ? app() : confidentialApp(server.url)
      const { scopes_supported } = await document(`${prairie}/.well-known/openid-configuration`)
      const ofServices = ['introspect', 'launches']
      // The wildcard has a walk of its own below: with all that it covers a token would be larger than any may be.
      for (const kind of ['patient/', 'user/']) {
        const isWanted = (scope: string) =>
          (!scope.includes('.') && !ofServices.includes(scope)) ||
          (scope.startsWith(kind) && scope.endsWith(`.${version}`) && !scope.includes('/*'))
        const wanted: string[] = scopes_supported.filter(isWanted)
        expect(wanted.length).toBeGreaterThan(20)
        const tokens = await walk(of, wanted)
        expect(tokens.scope.split(' ').sort()).toEqual([...wanted].sort())
      }
    },
  )

  it.each(['patient/*.read', 'patient/*.rs', 'user/*.read', 'user/*.rs'])(
    'the wildcard %s can be granted, and refreshed',
    async (wildcard) => {
      const wanted = ['launch/patient', 'offline_access', wildcard]
      const tokens = await walk(app(), wanted)
      expect(tokens.scope.split(' ').sort()).toEqual([...wanted].sort())
    },
  )

  it('every way to authenticate works, at every endpoint that lists it [SMART symmetric.basic]', async () => {
    const openid = await document(`${prairie}/.well-known/openid-configuration`)
    const secret = 'demo-confidential-secret'
    const ways: Record<string, [Record<string, string>, Record<string, string>]> = {
      none: [{ client_id: 'demo-public' }, {}],
      client_secret_basic: [{}, basic('demo-confidential', secret)],
      client_secret_post: [{ client_id: 'demo-confidential', client_secret: secret }, {}],
    }
    const fields = { grant_type: 'refresh_token', refresh_token: 'nonsense', token: 'nonsense' }
    const key = await demonstrationKey('demo-asymmetric', 'ES384')
    const byKey = async () => carried(await assertionOf(key, { clientId: 'demo-asymmetric', audience: openid.issuer }))
    for (const endpoint of ['token', 'revocation', 'introspection'])
      for (const [method, [more, headers]] of Object.entries({
        ...ways,
        private_key_jwt: [await byKey(), {}] as const,
      })) {
        const answer = await post(openid[`${endpoint}_endpoint`], { ...fields, ...more }, headers)
        const listed = openid[`${endpoint}_endpoint_auth_methods_supported`].includes(method)
        expect(answer.body?.error === 'invalid_client', `${endpoint} ${method}`).toBe(!listed)
      }
  })

  it('ID tokens are signed as it says [SMART scopes.id-token-rs256]', async () => {
    const openid = await document(`${prairie}/.well-known/openid-configuration`)
    const { id_token } = await obtainTokens(app())
    expect(openid.id_token_signing_alg_values_supported).toContain(headerOf(id_token).alg)
  })

  it('userinfo answers with the claims that it names, by GET and by POST', async () => {
    const openid = await document(`${prairie}/.well-known/openid-configuration`)
    const { access_token } = await obtainTokens(app())
    const bearer = { authorization: `Bearer ${access_token}` }
    const got = await (await fetch(openid.userinfo_endpoint, { headers: bearer })).json()
    expect(got).toEqual({ sub: expect.any(String), fhirUser: `${app().fhirBase}/Patient/maria` })
    expect((await post(openid.userinfo_endpoint, {}, bearer)).body).toEqual(got)
    expect((await post(openid.userinfo_endpoint, { access_token })).body).toEqual(got)
    for (const claim of Object.keys(got as object)) expect(openid.claims_supported).toContain(claim)
    const without = await obtainTokens(app(), { params: { scope: 'patient/Coverage.rs' } })
    const refused = await fetch(openid.userinfo_endpoint, {
      headers: { authorization: `Bearer ${without.access_token}` },
    })
    expect(refused.status).toBe(403)
    expect(refused.headers.get('www-authenticate')).toContain('insufficient_scope')
  })

  it('both languages that it names are spoken', async () => {
    for (const ui_locales of ['en', 'es']) {
      const page = await new Visitor('fr').open(authorizationUrl(app(), pkce().challenge, { ui_locales }))
      expect(page.headers.get('content-language')).toBe(ui_locales)
    }
  })
})

describe('what it does not name does not answer', () => {
  it.each([
    '/session/end',
    '/session/end/confirm',
    '/session/end/success',
    '/device/auth',
    '/device',
    '/request',
    '/par',
    '/reg',
    '/backchannel',
    '/me',
    '/challenge',
    '/.well-known/openid-credential-issuer',
    '/.well-known/udap',
    '/auth',
    '/authorize/',
    '/token/',
    '/interaction',
  ])('%s', async (path) => {
    for (const issuer of ['', ...issuers])
      for (const method of ['GET', 'POST']) {
        const response = await fetch(server.url + issuer + path, { method, redirect: 'manual' })
        expect([400, 404, 405], `${method} ${issuer}${path}: ${response.status}`).toContain(response.status)
        expect(response.headers.get('set-cookie')).toBeNull()
      }
  })

  it('an issuer whose addresses are elsewhere has none below its own path', async () => {
    for (const path of ['/authorize', '/token', '/introspect', '/revoke'])
      expect((await fetch(`${server.url}${summit}${path}`, { method: 'POST' })).status).toBe(404)
  })

  it("one issuer's interaction is nothing at another", async () => {
    const { visitor } = await walk(app(), pkce().challenge)
    const page = await visitor.open(authorizationUrl(app(), pkce().challenge))
    for (const issuer of ['/prairie/production', summit]) {
      const elsewhere = page.url.replace(prairie, issuer)
      expect((await visitor.open(elsewhere)).status).toBe(400)
    }
  })
})
