/**
 * Clients of the profile fapi2 (FAPI 2.0 Security Profile): pushed requests, bound tokens, keys of their own; and that neither
 * they nor SMART's clients get by with what is the other's. Names in capitals are those of the OpenID Foundation's test modules.
 */
import { randomUUID } from 'node:crypto'
import { type CryptoKey, importJWK } from 'jose'
import * as oauth from 'oauth4webapi'
import * as openid from 'openid-client'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { createVerifier } from '../../src/resource-server/index.ts'
import {
  type App,
  authorizationUrl,
  demoApp,
  everythingOn,
  password,
  pkce,
  type TokenAnswer,
  walk,
} from '../support/authorize.ts'
import { demonstrationApp } from '../support/demonstration-app.ts'
import { assertionOf, type ClientKey, carried, demonstrationKey, makeKey } from '../support/key-client.ts'
import { type ProofKey, proofKey } from '../support/proofs.ts'
import { named, requestOf } from '../support/pushed.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { Visitor } from '../support/visitor.ts'
import { claimsOf, post } from '../support/wire.ts'

let server: TestServer
let key: ClientKey
let proof: ProofKey
/** Of another fapi2 client, of a SMART client with the same sort of key, and of a fapi2 client with two kinds of keys. */
let twinKey: ClientKey
let smartKey: ClientKey
let widest: Record<string, ClientKey>

const callback = 'https://127.0.0.1:8443/callback'
beforeAll(async () => {
  key = await demonstrationKey('demo-fapi2', 'ES256')
  proof = await proofKey()
  twinKey = await makeKey('ES256')
  smartKey = await makeKey('ES384')
  widest = Object.fromEntries(
    await Promise.all(
      ['PS256', 'ES256', 'Ed25519', 'RS256', 'RS384', 'ES384', 'PS384'].map(async (alg) => [alg, await makeKey(alg)]),
    ),
  )
  server = await startServer({
    now: () => Date.now(),
    change: ({ plans }) => {
      const common = { kind: 'confidential' as const, redirectUris: [callback] }
      plans[0]?.environments[0]?.demonstration?.apps.push(
        demonstrationApp({ ...common, clientId: 'twin', profile: 'fapi2', jwks: { keys: [twinKey.publicJwk] } }),
        demonstrationApp({ ...common, clientId: 'smart', jwks: { keys: [smartKey.publicJwk, twinKey.publicJwk] } }),
        demonstrationApp({
          ...common,
          clientId: 'widest',
          profile: 'fapi2',
          jwks: { keys: Object.values(widest).map(({ publicJwk }) => publicJwk) },
        }),
        // What no configuration lets through, and a row may say all the same.
        demonstrationApp({ clientId: 'public-fapi2', profile: 'fapi2', redirectUris: [callback] }),
        demonstrationApp({ ...common, clientId: 'secret-fapi2', profile: 'fapi2', secret: 'a-secret-of-fapi2' }),
        demonstrationApp({
          ...common,
          clientId: 'http-fapi2',
          profile: 'fapi2',
          jwks: { keys: [twinKey.publicJwk] },
          redirectUris: ['http://127.0.0.1/callback', callback],
        }),
      )
    },
  })
})
afterAll(() => server.close())
afterEach(() => {
  vi.useRealTimers()
})

const app = (clientId = 'demo-fapi2'): App => ({ ...demoApp(server.url, clientId), redirectUri: callback })
const par = () => `${app().issuer}/par`
type Over = Parameters<typeof assertionOf>[2]

/** The two parameters with which a client authenticates: by the issuer's name, as FAPI wants it. */
const credentials = async (by: ClientKey = key, clientId = 'demo-fapi2', over: Over = {}) =>
  carried(await assertionOf(by, { clientId, audience: app().issuer }, over))
const pushAs = async (
  of: App,
  by: ClientKey,
  params: Record<string, string | null> = {},
  { challenge = pkce().challenge, headers = {}, over = {} }: { challenge?: string; headers?: object; over?: Over } = {},
): Promise<TokenAnswer> =>
  post(par(), { ...requestOf(of, challenge, params), ...(await credentials(by, of.clientId, over)) }, { ...headers })

const codeFor = async (of: App = app(), by: ClientKey = key, params: Record<string, string | null> = {}) => {
  const { verifier, challenge } = pkce()
  const answer = await pushAs(of, by, params, { challenge })
  expect(answer.status, JSON.stringify(answer.body)).toBe(201)
  const done = await walk(of, challenge, { params: named(answer.body.request_uri) })
  return { code: done.callback.searchParams.get('code') ?? '', verifier, callback: done.callback }
}
interface With {
  clientId?: string
  by?: ClientKey
  proven?: ProofKey | null
  over?: Over
}
const token = async (
  fields: Record<string, string>,
  { clientId = 'demo-fapi2', by = key, proven = proof, over = {} }: With = {},
): Promise<TokenAnswer> => {
  const headers: Record<string, string> = proven ? { DPoP: await proven.proof('POST', app().token) } : {}
  return post(app().token, { ...fields, ...(await credentials(by, clientId, over)) }, headers)
}
const redeem = ({ code, verifier }: { code: string; verifier: string }, more: With = {}) =>
  token({ grant_type: 'authorization_code', code, redirect_uri: callback, code_verifier: verifier }, more)

describe('the whole walk with libraries that others wrote', () => {
  const privateKey = async (): Promise<CryptoKey> => key.privateKey
  const share = async (address: string): Promise<URL> => {
    const visitor = new Visitor()
    const consent = await visitor.submit(await visitor.open(address), '/sign-in', { username: 'maria', password })
    return new URL((await visitor.submit(consent, '/consent', everythingOn(consent))).url)
  }
  const scope = 'openid fhirUser launch/patient offline_access patient/Coverage.rs'

  it('oauth4webapi: PAR, DPoP, private_key_jwt', async () => {
    const insecure = { [oauth.allowInsecureRequests]: true }
    const issuer = new URL(app().issuer)
    const as = await oauth.processDiscoveryResponse(
      issuer,
      await oauth.discoveryRequest(issuer, { algorithm: 'oauth2', ...insecure }),
    )
    const client: oauth.Client = { client_id: 'demo-fapi2' }
    const authentication = oauth.PrivateKeyJwt({ key: await privateKey(), kid: key.kid })
    const DPoP = oauth.DPoP(client, await oauth.generateKeyPair('ES256'))
    const code_verifier = oauth.generateRandomCodeVerifier()
    const state = oauth.generateRandomState()
    const request = new URLSearchParams({
      redirect_uri: callback,
      response_type: 'code',
      scope,
      state,
      aud: app().fhirBase,
      code_challenge: await oauth.calculatePKCECodeChallenge(code_verifier),
      code_challenge_method: 'S256',
    })
    const pushed = await oauth.processPushedAuthorizationResponse(
      as,
      client,
      await oauth.pushedAuthorizationRequest(as, client, authentication, request, { DPoP, ...insecure }),
    )
    const address = new URL(as.authorization_endpoint ?? '')
    address.search = new URLSearchParams({ client_id: client.client_id, request_uri: pushed.request_uri }).toString()
    const returned = oauth.validateAuthResponse(as, client, await share(address.href), state)
    const tokens = await oauth.processAuthorizationCodeResponse(
      as,
      client,
      await oauth.authorizationCodeGrantRequest(as, client, authentication, returned, callback, code_verifier, {
        DPoP,
        ...insecure,
      }),
    )
    expect(tokens).toMatchObject({ token_type: 'dpop', patient: 'maria' })
    const { sub } = oauth.getValidatedIdTokenClaims(tokens) ?? { sub: '' }
    const told = await oauth.userInfoRequest(as, client, tokens.access_token, { DPoP, ...insecure })
    expect(await oauth.processUserInfoResponse(as, client, sub, told)).toMatchObject({ sub })
    const renewed = await oauth.processRefreshTokenResponse(
      as,
      client,
      await oauth.refreshTokenGrantRequest(as, client, authentication, tokens.refresh_token ?? '', {
        DPoP,
        ...insecure,
      }),
    )
    expect(renewed).toMatchObject({ token_type: 'dpop', patient: 'maria' })

    const url = `${app().fhirBase}/Coverage?patient=maria`
    const records = await oauth.protectedResourceRequest(
      renewed.access_token,
      'GET',
      new URL(url),
      undefined,
      undefined,
      { DPoP, ...insecure },
    )
    expect([records.status, (await records.json()).resourceType]).toEqual([200, 'Bundle'])
  })

  it('openid-client: PAR, DPoP, private_key_jwt', async () => {
    const config = await openid.discovery(
      new URL(app().issuer),
      'demo-fapi2',
      undefined,
      openid.PrivateKeyJwt({ key: await privateKey(), kid: key.kid }),
      { execute: [openid.allowInsecureRequests] },
    )
    const DPoP = openid.getDPoPHandle(config, await openid.randomDPoPKeyPair('ES256'))
    const pkceCodeVerifier = openid.randomPKCECodeVerifier()
    const expectedState = openid.randomState()
    const expectedNonce = openid.randomNonce()
    const address = await openid.buildAuthorizationUrlWithPAR(
      config,
      {
        redirect_uri: callback,
        scope,
        state: expectedState,
        nonce: expectedNonce,
        aud: app().fhirBase,
        code_challenge: await openid.calculatePKCECodeChallenge(pkceCodeVerifier),
        code_challenge_method: 'S256',
      },
      { DPoP },
    )
    const tokens = await openid.authorizationCodeGrant(
      config,
      await share(address.href),
      { pkceCodeVerifier, expectedState, expectedNonce, idTokenExpected: true },
      undefined,
      { DPoP },
    )
    const subject = tokens.claims()?.sub ?? ''
    expect(await openid.fetchUserInfo(config, tokens.access_token, subject, { DPoP })).toMatchObject({ sub: subject })
    const renewed = await openid.refreshTokenGrant(config, tokens.refresh_token ?? '', undefined, { DPoP })
    expect(renewed.patient).toBe('maria')
    const verifier = createVerifier({
      issuer: app().issuer,
      audience: app().fhirBase,
      jwksUri: `${app().issuer}/jwks`,
    })
    await expect(verifier.verify(renewed.access_token), 'no bearer token').rejects.toMatchObject({ status: 401 })
    await openid.tokenRevocation(config, renewed.refresh_token ?? '')
    const gone = openid.refreshTokenGrant(config, renewed.refresh_token ?? '', undefined, { DPoP })
    await expect(gone).rejects.toMatchObject({ error: 'invalid_grant' })
  })
})

describe('an authorization request (FAPI 2.0 §5.3.2.2)', () => {
  it('that was not pushed is refused [FAPI par]', async () => {
    const response = await new Visitor().send(authorizationUrl(app(), pkce().challenge))
    const told = new URL(response.headers.get('location') ?? '').searchParams
    expect(told.get('error')).toBe('invalid_request')
    expect(told.get('error_description')).toContain('Pushed')
    expect(told.get('iss')).toBe(app().issuer)
    expect(told.get('state')).toBe('a-state-of-the-app')
  })

  it.each<[string, Record<string, string | null>]>([
    ['without PKCE [FAPI pkce]', { code_challenge: null, code_challenge_method: null }],
    ['with PKCE plain [FAPI pkce]', { code_challenge_method: 'plain' }],
    ['without redirect_uri', { redirect_uri: null }],
    ['with another port', { redirect_uri: 'https://127.0.0.1:8444/callback' }],
    ['with a query [FAPI redirect-variants]', { redirect_uri: `${callback}?x=1` }],
    ['over http', { redirect_uri: 'http://127.0.0.1:8443/callback' }],
    ['on loopback', { redirect_uri: 'http://127.0.0.1/callback' }],
    ['for a token', { response_type: 'token' }],
    ['for a code and an ID token', { response_type: 'code id_token' }],
    ['as a form post', { response_mode: 'form_post' }],
  ])('%s is refused when it is pushed', async (_what, params) => {
    const answer = await pushAs(app(), key, params)
    expect(answer.status).toBe(400)
    expect(answer.body).not.toHaveProperty('request_uri')
  })

  it('is answered with the issuer’s name, and nothing but code and state (RFC 9207) [FAPI iss] [RFC 9207 success]', async () => {
    const { callback: back } = await codeFor()
    expect(back.searchParams.get('iss')).toBe(app().issuer)
    expect([...back.searchParams.keys()].sort()).toEqual(['code', 'iss', 'state'])
  })

  it('EnsureAuthorizationRequestWithLongState [FAPI long-state]', async () => {
    const state = Array.from({ length: 2000 }, (_, i) => String.fromCharCode(33 + (i % 94))).join('')
    expect((await codeFor(app(), key, { state })).callback.searchParams.get('state')).toBe(state)
  })

  it('http redirects of a client’s row count for nothing', async () => {
    const of = { ...app('http-fapi2') }
    expect((await pushAs({ ...of, redirectUri: 'http://127.0.0.1/callback' }, twinKey)).status).toBe(400)
    expect((await pushAs(of, twinKey)).status).toBe(201)
  })

  it.each(['public-fapi2', 'secret-fapi2'])('%s is nobody’s client [FAPI confidential]', async (clientId) => {
    const authorization = `Basic ${Buffer.from('secret-fapi2:a-secret-of-fapi2').toString('base64')}`
    const headers: Record<string, string> = clientId === 'secret-fapi2' ? { authorization } : {}
    const pushed = await post(par(), requestOf(app(clientId), pkce().challenge), headers)
    expect(pushed).toMatchObject({ status: 401, body: { error: 'invalid_client' } })
    expect((await new Visitor().open(authorizationUrl(app(clientId), pkce().challenge))).status).toBe(400)
  })
})

describe('a code (FAPI 2.0 §5.3.2.1)', () => {
  it('AttemptReuseAuthorizationCodeAfterOneSecond: refused, and what it gave is worth nothing [FAPI code-reuse]', async () => {
    const code = await codeFor()
    const { body } = await redeem(code)
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 1000 })
    expect(await redeem(code)).toMatchObject({ status: 400, body: { error: 'invalid_grant' } })
    const later = await token({ grant_type: 'refresh_token', refresh_token: body.refresh_token })
    expect(later).toMatchObject({ status: 400, body: { error: 'invalid_grant', error_subcode: 'code_reused' } })
  })

  it('AttemptToUseExpiredAuthCode [FAPI expired-code] [FAPI code-lifetime]', async () => {
    const code = await codeFor()
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 61_000 })
    expect(await redeem(code)).toMatchObject({ status: 400, body: { error: 'invalid_grant' } })
  })

  it('EnsureAuthorizationCodeIsBoundToClient [FAPI code-client]', async () => {
    const code = await codeFor()
    const stolen = await redeem(code, { clientId: 'twin', by: twinKey })
    expect(stolen).toMatchObject({ status: 400, body: { error: 'invalid_grant' } })
    expect((await redeem(code)).status).toBe(200)
  })

  it('is redeemed only with its verifier [FAPI pkce]', async () => {
    const code = await codeFor()
    expect((await redeem({ ...code, verifier: 'x'.repeat(43) })).body.error).toBe('invalid_grant')
    const fields = { grant_type: 'authorization_code', code: code.code, redirect_uri: callback }
    expect((await token(fields)).body.error).toBe('invalid_grant')
    expect((await redeem(code)).status).toBe(200)
  })
})

describe('tokens are bound to a key', () => {
  it('DpopNegativeTests: without a proof, or with one that is not good, nothing is issued [FAPI sender-constrained]', async () => {
    const code = await codeFor()
    expect(await redeem(code, { proven: null })).toMatchObject({ status: 400, body: { error: 'invalid_dpop_proof' } })
    const weak = await proofKey('ES384')
    expect(await redeem(code, { proven: weak })).toMatchObject({ status: 400, body: { error: 'invalid_dpop_proof' } })
    const { body } = await redeem(code)
    expect(claimsOf(body.access_token)).toMatchObject({ cnf: { jkt: proof.jkt } })
    const renewed = await token({ grant_type: 'refresh_token', refresh_token: body.refresh_token }, { proven: null })
    expect(renewed).toMatchObject({ status: 400, body: { error: 'invalid_dpop_proof' } })
  })

  it('CheckDpopProofNbfExp: times in a proof hold, where it has them [FAPI clock-skew]', async () => {
    const { body } = await redeem(await codeFor())
    const now = Math.floor(Date.now() / 1000)
    const renew = async (claims: Record<string, number>) =>
      post(
        app().token,
        { grant_type: 'refresh_token', refresh_token: body.refresh_token, ...(await credentials()) },
        { DPoP: await proof.proof('POST', app().token, { claims }) },
      )
    const wrong: Record<string, number>[] = [{ exp: now - 60 }, { nbf: now + 120 }]
    for (const claims of wrong)
      expect(await renew(claims)).toMatchObject({ status: 400, body: { error: 'invalid_dpop_proof' } })
    expect((await renew({ iat: now + 70 })).body.error).toBe('use_dpop_nonce')
    expect((await renew({ iat: now + 8 })).status).toBe(200)
    expect((await renew({ nbf: now - 5, exp: now + 60 })).status).toBe(200)
  })
})

describe('an assertion', () => {
  const refused = { status: 401, body: { error: 'invalid_client' } }
  const now = () => Math.floor(Date.now() / 1000)

  it.each<[string, () => Over]>([
    ['for the token endpoint, as SMART’s are', () => ({ claims: { aud: app().token } })],
    ['for the endpoint that it is sent to', () => ({ claims: { aud: par() } })],
    ['for a list that has the issuer', () => ({ claims: { aud: [app().issuer, app().token] } })],
    ['for a list of the issuer alone', () => ({ claims: { aud: [app().issuer] } })],
    ['for the issuer with a slash', () => ({ claims: { aud: `${app().issuer}/` } })],
    ['for nobody', () => ({ claims: { aud: undefined } })],
    ['that has expired', () => ({ claims: { exp: now() - 60 } })],
    ['of the day after tomorrow', () => ({ claims: { iat: now() + 120, nbf: now() + 120 } })],
    ['without an id', () => ({ claims: { jti: undefined } })],
    ['of another client', () => ({ claims: { iss: 'twin' } })],
  ])(
    '%s is refused, where requests are pushed and where tokens are got [FAPI aud] [ASVS 10.4.10]',
    async (_what, over) => {
      expect(await pushAs(app(), key, {}, { over: over() })).toMatchObject(refused)
      const fields = { grant_type: 'refresh_token', refresh_token: 'x' }
      expect(await token(fields, { over: over() })).toMatchObject(refused)
    },
  )

  it('counts once, also between two endpoints', async () => {
    const over = { claims: { jti: randomUUID() } }
    expect((await pushAs(app(), key, {}, { over })).status).toBe(201)
    expect(await pushAs(app(), key, {}, { over })).toMatchObject(refused)
    expect(await token({ grant_type: 'refresh_token', refresh_token: 'x' }, { over })).toMatchObject(refused)
  })

  it.each(['PS256', 'ES256', 'Ed25519'])('signed by %s is accepted', async (alg) => {
    expect((await pushAs(app('widest'), widest[alg] as ClientKey)).status).toBe(201)
  })

  it.each(['RS256', 'RS384', 'ES384', 'PS384'])(
    'signed by %s is refused, though the key is registered [FAPI algorithms]',
    async (alg) => {
      expect(await pushAs(app('widest'), widest[alg] as ClientKey)).toMatchObject(refused)
    },
  )

  it('of the same key proves one client, not another', async () => {
    const assertion = await credentials(twinKey, 'twin')
    const answer = await post(par(), { ...requestOf(app('demo-fapi2'), pkce().challenge), ...assertion })
    expect(answer).toMatchObject(refused)
    expect(await pushAs(app(), twinKey)).toMatchObject(refused)
  })

  it('and a secret at once is refused', async () => {
    const authorization = `Basic ${Buffer.from('demo-fapi2:secret').toString('base64')}`
    const answer = await pushAs(app(), key, {}, { headers: { authorization } })
    expect(answer).toMatchObject({ status: 400, body: { error: 'invalid_request' } })
  })
})

describe('a SMART client beside it lives by its own column', () => {
  it.each<[string, () => [ClientKey, Over]]>([
    ['ES384 for the token endpoint', () => [smartKey, { claims: { aud: app().token } }]],
    ['ES384 for the issuer', () => [smartKey, {}]],
  ])('%s is accepted', async (_what, made) => {
    const [by, over] = made()
    expect((await pushAs(app('smart'), by, {}, { over })).status).toBe(201)
  })

  it('ES256, which FAPI accepts, is refused, though the key is registered', async () => {
    const answer = await pushAs(app('smart'), twinKey)
    expect(answer).toMatchObject({ status: 401, body: { error: 'invalid_client' } })
  })

  it('need not push, and need not bind its tokens', async () => {
    const { verifier, challenge } = pkce()
    const { callback: back } = await walk(app('smart'), challenge)
    const code = { code: back.searchParams.get('code') ?? '', verifier }
    const answer = await redeem(code, { clientId: 'smart', by: smartKey, proven: null })
    expect(answer).toMatchObject({ status: 200, body: { token_type: 'Bearer' } })
  })
})

it('the demonstration’s private key is the one that its public key is of', async () => {
  const { publicJwk } = await demonstrationKey('demo-fapi2', 'ES256')
  expect(await importJWK(publicJwk, 'ES256')).toMatchObject({ type: 'public' })
  expect(server.settings.plans[0]?.environments[0]?.demonstration?.apps).toContainEqual(
    expect.objectContaining({
      clientId: 'demo-fapi2',
      jwks: { keys: [expect.objectContaining({ x: publicJwk.x, y: publicJwk.y })] },
    }),
  )
})
