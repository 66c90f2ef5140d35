/** Clients that authenticate with keys of their own (SMART "Client Authentication: Asymmetric", R13), over the wire. */
import { randomUUID } from 'node:crypto'
import { request } from 'node:http'
import * as oauth from 'oauth4webapi'
import * as openid from 'openid-client'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { DemonstrationApp, Settings } from '../../src/config/settings.ts'
import { createLog } from '../../src/log.ts'
import { openDatabase } from '../../src/storage/database.ts'
import { demoApp, everythingOn, exchange, password, pkce, redirectUri, walk } from '../support/authorize.ts'
import { demonstrationApp } from '../support/demonstration-app.ts'
import {
  type AnyJwk,
  assertionOf,
  assertionType,
  type ClientKey,
  carried,
  demonstrationKey,
  inSeconds,
  keyHost,
  makeKey,
} from '../support/key-client.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { Visitor } from '../support/visitor.ts'
import { basic, post } from '../support/wire.ts'

let server: TestServer
let skew = 0
const keys: Record<string, ClientKey> = {}
let host: Awaited<ReturnType<typeof keyHost>>

const service = (clientId: string, over: Partial<DemonstrationApp> = {}): DemonstrationApp =>
  demonstrationApp({ clientId, kind: 'service', scopes: ['system/*.rs'], ...over })
const jwksOf = (...all: ClientKey[]) => ({ keys: all.map(({ publicJwk }) => publicJwk) })
const key = (name: string): ClientKey => keys[name] as ClientKey

const addClients = (settings: Settings): void => {
  const [prairie, summit] = settings.plans.flatMap(({ environments }) => environments.filter(({ sandbox }) => sandbox))
  prairie?.demonstration?.apps.push(
    service('inline', { jwks: jwksOf(key('es384'), key('rs384')) }),
    service('other', { jwks: jwksOf(key('other')) }),
    service('by-uri', { jwksUri: host.url }),
    service('fapi', { profile: 'fapi2', dpop: false, jwks: jwksOf(key('es256'), key('ps256'), key('ed25519')) }),
    service('narrow-key', { jwks: jwksOf(key('p256')) }),
  )
  summit?.demonstration?.apps.push(service('inline', { jwks: jwksOf(key('es384')) }))
}

beforeAll(async () => {
  host = await keyHost()
  for (const [name, alg] of Object.entries({ es384: 'ES384', rs384: 'RS384', other: 'ES384', p256: 'ES256' }))
    keys[name] = await makeKey(alg, name)
  for (const [name, alg] of Object.entries({ es256: 'ES256', ps256: 'PS256', ed25519: 'Ed25519' }))
    keys[name] = await makeKey(alg, name)
  server = await startServer({ change: addClients, now: () => Date.now() + skew })
})
afterAll(async () => {
  await server.close()
  await host.close()
})

const issuer = () => `${server.url}/prairie/sandbox`
const token = () => `${issuer()}/token`
type Over = Parameters<typeof assertionOf>[2]

const assertion = (clientId: string, by: ClientKey, over: Over = {}): Promise<string> =>
  assertionOf(by, { clientId, audience: token() }, over)

const fields = { grant_type: 'client_credentials', scope: 'system/Patient.rs' }

const ask = async (presented: string, more: Record<string, string> = {}, headers: Record<string, string> = {}) =>
  post(token(), { ...fields, ...carried(presented), ...more }, headers)

const refused = async (answer: Promise<{ status: number; body: AnyJwk }>, why?: RegExp) => {
  const { status, body } = await answer
  expect({ status, error: body.error }).toEqual({ status: 401, error: 'invalid_client' })
  expect(body.error_description).toMatch(/^[\x20-\x21\x23-\x5b\x5d-\x7e]+$/)
  if (why) expect(body.error_description).toMatch(why)
  expect(Object.keys(body).sort()).toEqual(['error', 'error_description'])
}

describe('an assertion that is right', () => {
  it.each(['rs384', 'es384'])(
    '%s with a key that was registered itself [SMART asymmetric.jwks-inline, asymmetric.rs384, asymmetric.es384]',
    async (name) => {
      const answer = await ask(await assertion('inline', key(name)))
      expect(answer.status).toBe(200)
      expect(answer.body.scope).toBe('system/Patient.rs')
    },
  )

  it.each(['RS384', 'ES384'] as const)('the published key of the demonstration, %s', async (alg) => {
    expect((await ask(await assertion('demo-service', await demonstrationKey('demo-service', alg)))).status).toBe(200)
  })

  it.each(['es256', 'ps256', 'ed25519'])('%s of a client of fapi2, for the issuer alone', async (name) => {
    const claims = { aud: issuer() }
    const answer = await ask(await assertion('fapi', key(name), { claims }))
    // Its tokens are bound to a key, and it has sent no proof: who it is was not in doubt.
    expect(answer.body.error).not.toBe('invalid_client')
    await refused(ask(await assertion('fapi', key(name))), /aud/)
  })

  it('authenticates at revocation, introspection and the pushing of requests as at the token endpoint', async () => {
    const { body } = await ask(await assertion('inline', key('es384')))
    const about = async () => ({ token: body.access_token, ...carried(await assertion('inline', key('es384'))) })
    expect((await post(`${issuer()}/introspect`, await about())).body).toMatchObject({ active: true })
    expect((await post(`${issuer()}/revoke`, await about())).status).toBe(200)
    expect((await post(`${issuer()}/introspect`, await about())).body).toEqual({ active: false })
    await refused(post(`${issuer()}/revoke`, { token: 'x', ...carried(await assertion('inline', key('other'))) }))
    await refused(post(`${issuer()}/introspect`, { token: 'x', ...carried(await assertion('inline', key('other'))) }))
    await refused(post(`${issuer()}/par`, carried(await assertion('demo-asymmetric', key('other')))))
  })

  it('an issuer that moved in: its token endpoint and the alias that apps know are audiences', async () => {
    const moved = `${server.url}/v5/oauth/token`
    for (const audience of [moved, `${server.url}/v3/oauth/token`, `${server.url}/v5/summit`])
      for (const url of [moved, `${server.url}/v3/oauth/token`]) {
        const presented = await assertionOf(key('es384'), { clientId: 'inline', audience })
        expect((await post(url, { ...fields, ...carried(presented) })).status, `${audience} at ${url}`).toBe(200)
      }
    // What the engine would make of its own routes is no address of ours.
    const audience = `${server.url}/v5/summit/token`
    const presented = await assertionOf(key('es384'), { clientId: 'inline', audience })
    await refused(post(moved, { ...fields, ...carried(presented) }), /aud/)
  })
})

describe('one that is not [SMART asymmetric.invalid-client, asymmetric.rfc7523]', () => {
  it.each([
    ['of another client’s key', 'inline', 'other', {}],
    ['by an algorithm of no profile of its', 'narrow-key', 'p256', {}],
    ['with a kid that nobody has', 'inline', 'es384', { header: { kid: 'nobody' } }],
    ['with the kid of a key of another kind', 'inline', 'es384', { header: { kid: 'rs384' } }],
    ['without kid', 'inline', 'es384', { header: { kid: undefined } }],
    ['with x5u', 'inline', 'es384', { header: { x5u: 'https://app.example/x' } }],
    ['with a key in its header', 'inline', 'other', { header: { kid: 'es384', jwk: { kty: 'EC' } } }],
    ['for another issuer', 'inline', 'es384', { claims: { aud: 'https://evil.example/token' } }],
    ['that lives six minutes', 'inline', 'es384', { claims: { exp: inSeconds(360) } }],
    ['that has expired', 'inline', 'es384', { claims: { exp: inSeconds(-60) } }],
    ['of the future', 'inline', 'es384', { claims: { nbf: inSeconds(100) } }],
    ['without jti', 'inline', 'es384', { claims: { jti: undefined } }],
    ['of another iss [SMART asymmetric.iss-client]', 'inline', 'es384', { claims: { iss: 'other' } }],
    ['of a client that nobody knows [SMART asymmetric.iss-client]', 'nobody', 'es384', {}],
    ['of a client that has a secret', 'demo-confidential', 'es384', {}],
    ['of a public client', 'demo-public', 'es384', {}],
  ] as [string, string, string, Over][])('%s', async (_what, clientId, name, over) => {
    await refused(ask(await assertion(clientId, key(name), over)))
  })

  it('exp more than five minutes ahead, however it is signed [SMART asymmetric.exp-five-minutes]', async () => {
    for (const name of ['es384', 'rs384'])
      for (const exp of [inSeconds(330), inSeconds(3600), inSeconds(315_360_000)])
        await refused(ask(await assertion('inline', key(name), { claims: { exp } })), /five minutes/)
  })

  it('that was changed, or signed with nothing or a shared secret', async () => {
    const good = await assertion('inline', key('es384'))
    const [head, body, signature] = good.split('.')
    const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
    const claims = JSON.parse(Buffer.from(body ?? '', 'base64url').toString())
    await refused(ask(`${head}.${encode({ ...claims, jti: 'another' })}.${signature}`), /signature/)
    await refused(ask(`${encode({ alg: 'none', kid: 'es384' })}.${body}.`))
    await refused(ask(`${encode({ alg: 'HS384', kid: 'es384' })}.${body}.${signature}`))
    for (const nonsense of ['a', 'a.b.c', `${head}.${body}`, '..', `${good}.x`, 'é']) await refused(ask(nonsense))
  })

  it('with the wrong client_assertion_type, or none', async () => {
    const presented = await assertion('inline', key('es384'))
    await refused(ask(presented, { client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:saml2-bearer' }))
    await refused(post(token(), { ...fields, client_assertion: presented }))
  })

  it('with the client_id of another client', async () => {
    await refused(ask(await assertion('inline', key('es384')), { client_id: 'other' }))
    expect((await ask(await assertion('inline', key('es384')), { client_id: 'inline' })).status).toBe(200)
  })

  it('beside another way to authenticate (RFC 6749 §2.3)', async () => {
    const secret = await ask(await assertion('inline', key('es384')), { client_secret: 'x' })
    expect(secret).toMatchObject({ status: 400, body: { error: 'invalid_request' } })
    const header = await ask(await assertion('inline', key('es384')), {}, basic('inline', 'x'))
    expect(header).toMatchObject({ status: 400, body: { error: 'invalid_request' } })
  })

  it('sent twice in one request', async () => {
    const presented = await assertion('inline', key('es384'))
    const doubled: [string, string][] = [...Object.entries({ ...fields, ...carried(presented) })]
    const answer = await post(token(), [...doubled, ['client_assertion', presented]])
    expect(answer).toMatchObject({ status: 400, body: { error: 'invalid_request' } })
  })

  it('a secret is nothing for a client that has keys, and its id alone neither', async () => {
    for (const secret of ['x', 'undefined', 'null', JSON.stringify(key('es384').publicJwk)])
      await refused(post(token(), { ...fields, client_id: 'inline', client_secret: secret }))
    await refused(post(token(), fields, basic('inline', 'x')))
    await refused(post(token(), { ...fields, client_id: 'inline' }))
  })

  it('the Host header decides nothing (CVE-2025-27370)', async () => {
    const audience = 'http://evil.example/prairie/sandbox/token'
    const presented = await assertionOf(key('es384'), { clientId: 'inline', audience })
    const body = new URLSearchParams({ ...fields, ...carried(presented) }).toString()
    for (const headers of [{ host: 'evil.example' }, { 'x-forwarded-host': 'evil.example' }] as Record<
      string,
      string
    >[]) {
      const status = await new Promise((resolve, reject) => {
        const type = { 'content-type': 'application/x-www-form-urlencoded' }
        const sent = request(token(), { method: 'POST', headers: { ...type, ...headers } }, (res) => {
          res.resume()
          resolve(res.statusCode)
        })
        sent.once('error', reject).end(body)
      })
      expect([401, 421]).toContain(status)
    }
  })

  it('a refusal says nothing of keys, and the same of a client that is unknown and one that has a secret', async () => {
    const unknown = await ask(await assertion('nobody', key('es384')))
    const known = await ask(await assertion('demo-confidential', key('es384')))
    expect(unknown.body).toEqual(known.body)
    expect(unknown.headers.get('cache-control')).toBe('no-store')
  })
})

describe('a jti counts once [SMART asymmetric.jti-once]', () => {
  it('of many that come at once exactly one is answered with a token', async () => {
    for (let round = 0; round < 3; round += 1) {
      const presented = await assertion('inline', key('es384'))
      const answers = await Promise.all(Array.from({ length: 12 }, () => ask(presented)))
      expect(answers.filter(({ status }) => status === 200)).toHaveLength(1)
      for (const { status, body } of answers.filter((answer) => answer.status !== 200))
        expect({ status, body }).toEqual({
          status: 401,
          body: { error: 'invalid_client', error_description: expect.stringContaining('used before') },
        })
    }
  })

  it('in another assertion, signed with another key, at another endpoint', async () => {
    const jti = randomUUID()
    expect((await ask(await assertion('inline', key('es384'), { claims: { jti } }))).status).toBe(200)
    await refused(ask(await assertion('inline', key('rs384'), { claims: { jti, exp: inSeconds(30) } })), /used before/)
    const again = carried(await assertion('inline', key('es384'), { claims: { jti, aud: issuer() } }))
    await refused(post(`${issuer()}/introspect`, { token: 'x', ...again }), /used before/)
    expect((await ask(await assertion('other', key('other'), { claims: { jti } }))).status, 'of another client').toBe(
      200,
    )
  })

  it('a refusal for another reason uses no jti up: the same assertion may be wanted once more', async () => {
    const jti = randomUUID()
    await refused(ask(await assertion('inline', key('other'), { claims: { jti }, header: { kid: 'es384' } })))
    expect((await ask(await assertion('inline', key('es384'), { claims: { jti } }))).status).toBe(200)
  })
})

describe('keys at an address of the client’s [SMART asymmetric.jwks-url]', () => {
  const ahead = (seconds: number): void => {
    skew += seconds * 1000
  }
  /** The server's clock has gone on; the client's goes with it. */
  const fromUri = (by: ClientKey, over: Over = {}) => {
    const exp = Math.floor((Date.now() + skew) / 1000) + 240
    return assertion('by-uri', by, { ...over, claims: { exp, ...over.claims } })
  }

  it('are fetched by GET for JSON, once for many [SMART asymmetric.fetch]', async () => {
    host.publish([key('es384').publicJwk], { 'cache-control': 'max-age=100' })
    const presented = await Promise.all(Array.from({ length: 8 }, () => fromUri(key('es384'))))
    const answers = await Promise.all(presented.map((each) => ask(each)))
    expect(answers.map(({ status }) => status)).toEqual(Array(8).fill(200))
    expect(host.asked).toEqual([{ method: 'GET', accept: 'application/json' }])
  })

  it('are kept no longer than the host says [SMART asymmetric.cache-control]', async () => {
    const before = host.asked.length
    ahead(50)
    expect((await ask(await fromUri(key('es384')))).status).toBe(200)
    expect(host.asked.length).toBe(before)
    host.publish([], { 'cache-control': 'max-age=100' })
    ahead(51)
    await refused(ask(await fromUri(key('es384'))), /no registered key/)
    expect(host.asked.length).toBe(before + 1)
  })

  it('a new key is found at once', async () => {
    ahead(300)
    const next = await makeKey('RS384', 'next')
    host.publish([key('es384').publicJwk], { 'cache-control': 'max-age=200' })
    expect((await ask(await fromUri(key('es384')))).status).toBe(200)
    ahead(20)
    host.publish([key('es384').publicJwk, next.publicJwk], { 'cache-control': 'max-age=200' })
    expect((await ask(await fromUri(next))).status).toBe(200)
  })

  it('jku must be that address [SMART asymmetric.jku]', async () => {
    ahead(300)
    host.publish([key('es384').publicJwk])
    expect((await ask(await fromUri(key('es384'), { header: { jku: host.url } }))).status).toBe(200)
    const evil = await keyHost()
    evil.publish([key('other').publicJwk])
    await refused(ask(await fromUri(key('other'), { header: { jku: evil.url } })), /jku/)
    await refused(ask(await fromUri(key('es384'), { header: { jku: `${host.url}?` } })), /jku/)
    await refused(ask(await assertion('inline', key('es384'), { header: { jku: host.url } })), /jku/)
    expect(evil.asked).toEqual([])
    await evil.close()
  })

  it.each([
    [
      'two keys of one kid and kty',
      () => [key('es384').publicJwk, { ...key('other').publicJwk, kid: 'es384' }],
      /several/,
    ],
    ['none of that kty', () => [{ ...key('rs384').publicJwk, kid: 'es384' }], /no registered key/],
    ['a private key', () => [{ ...key('es384').publicJwk, d: 'AAAA' }], /public key/],
    ['a key for encryption', () => [{ ...key('es384').publicJwk, use: 'enc' }], /use/],
    ['a key for another algorithm', () => [{ ...key('es384').publicJwk, alg: 'ES256' }], /signature/],
    ['no keys', () => [], /no registered key/],
  ] as [string, () => AnyJwk[], RegExp][])('%s: refused [SMART asymmetric.one-key]', async (_what, set, why) => {
    ahead(4000)
    host.publish(set())
    await refused(ask(await fromUri(key('es384'))), why)
  })

  it('keys of other kinds and uses beside the right one are no hindrance', async () => {
    ahead(4000)
    const strange = { kty: 'XYZ', kid: 'es384' }
    const enc = { ...key('rs384').publicJwk, kid: 'enc', use: 'enc' }
    host.publish([strange, enc, key('es384').publicJwk])
    expect((await ask(await fromUri(key('es384')))).status).toBe(200)
  })

  it.each([
    ['is not there', (res: import('node:http').ServerResponse) => res.writeHead(404).end()],
    ['fails', (res: import('node:http').ServerResponse) => res.writeHead(500).end('root:x:0:0')],
    ['leads elsewhere', (res: import('node:http').ServerResponse) => res.writeHead(302, { location: '/' }).end()],
    ['is no JSON', (res: import('node:http').ServerResponse) => res.writeHead(200).end('root:x:0:0')],
    ['is gone', (res: import('node:http').ServerResponse) => res.destroy()],
  ])(
    'a host that %s is the client’s to mend: told, and nothing of the answer with it (R43)',
    async (_what, respond) => {
      ahead(4000)
      host.answer((_req, res) => respond(res))
      const answer = ask(await fromUri(key('es384')))
      await refused(answer, /^no keys from the registered jwks_uri: /)
      expect(JSON.stringify((await answer).body)).not.toContain('root')
    },
  )

  it('an assertion that is wrong in itself makes nobody fetch', async () => {
    ahead(4000)
    const before = host.asked.length
    await refused(ask(await fromUri(key('es384'), { claims: { aud: 'https://evil.example/' } })))
    await refused(ask(await fromUri(key('es384'), { claims: { exp: 1 } })))
    expect(host.asked.length).toBe(before)
    skew = 0
  })
})

describe('a client that is suspended', () => {
  it('does not authenticate any more, at once', async () => {
    const { db, close } = await openDatabase({ url: server.settings.database.url, log: createLog({ level: 'silent' }) })
    const set = (status: 'active' | 'suspended') =>
      db.updateTable('credentials').set({ status }).where('client_id', '=', 'other').execute()
    try {
      expect((await ask(await assertion('other', key('other')))).status).toBe(200)
      await set('suspended')
      await refused(ask(await assertion('other', key('other'))))
    } finally {
      await set('active')
      await close()
    }
  })
})

describe('an app that asks members, with libraries that others wrote', () => {
  const scope = 'openid fhirUser launch/patient offline_access patient/Patient.rs'

  it.each(['RS384', 'ES384'] as const)(
    'openid-client walks the code flow with %s, and refreshes [SMART asymmetric.rfc7523]',
    async (alg) => {
      const { kid, privateKey } = await demonstrationKey('demo-asymmetric', alg)
      const config = await openid.discovery(
        new URL(issuer()),
        'demo-asymmetric',
        undefined,
        openid.PrivateKeyJwt({ key: privateKey, kid }),
        { execute: [openid.allowInsecureRequests] },
      )
      const codeVerifier = openid.randomPKCECodeVerifier()
      const state = openid.randomState()
      const address = openid.buildAuthorizationUrl(config, {
        redirect_uri: redirectUri,
        scope,
        state,
        aud: `${issuer()}/fhir`,
        code_challenge: await openid.calculatePKCECodeChallenge(codeVerifier),
        code_challenge_method: 'S256',
      })
      const visitor = new Visitor()
      const signIn = await visitor.open(address.href)
      const consent = await visitor.submit(signIn, '/sign-in', { username: 'maria', password })
      const callback = new URL((await visitor.submit(consent, '/consent', everythingOn(consent))).url)
      const tokens = await openid.authorizationCodeGrant(config, callback, {
        pkceCodeVerifier: codeVerifier,
        expectedState: state,
      })
      expect(tokens.patient).toBe('maria')
      const next = await openid.refreshTokenGrant(config, tokens.refresh_token ?? '')
      expect(next.scope).toBe(tokens.scope)
      await openid.tokenRevocation(config, next.refresh_token ?? '')
      expect(await openid.tokenIntrospection(config, next.access_token)).toEqual({ active: false })
    },
  )

  it('oauth4webapi authenticates for a token of its own', async () => {
    const { kid, privateKey } = await demonstrationKey('demo-service', 'ES384')
    const options = { [oauth.allowInsecureRequests]: true }
    const response = await oauth.discoveryRequest(new URL(issuer()), { ...options, algorithm: 'oidc' })
    const as = await oauth.processDiscoveryResponse(new URL(issuer()), response)
    const answer = await oauth.clientCredentialsGrantRequest(
      as,
      { client_id: 'demo-service' },
      oauth.PrivateKeyJwt({ key: privateKey, kid }),
      { scope: 'system/*.rs' },
      options,
    )
    const result = await oauth.processClientCredentialsResponse(as, { client_id: 'demo-service' }, answer)
    expect(result).toMatchObject({ token_type: 'bearer', expires_in: 300, scope: 'system/*.rs' })
  })

  it('a code of such an app is nothing without its assertion, and stays good', async () => {
    const app = demoApp(server.url, 'demo-asymmetric')
    const { verifier, challenge } = pkce()
    const { callback } = await walk(app, challenge)
    const code = callback.searchParams.get('code') ?? ''
    const bare = await exchange(app, code, verifier)
    expect(bare).toMatchObject({ status: 401, body: { error: 'invalid_client' } })
    const other = carried(await assertion('inline', key('es384')))
    const stolen = await post(token(), {
      ...{ grant_type: 'authorization_code', code, redirect_uri: redirectUri, code_verifier: verifier },
      ...other,
    })
    expect(stolen.status).toBe(400)
    const own = carried(await assertion('demo-asymmetric', await demonstrationKey('demo-asymmetric', 'ES384')))
    const answer = await exchange(app, code, verifier, own)
    expect(answer.status).toBe(200)
    expect(assertionType).toBe(own.client_assertion_type)
  })
})
