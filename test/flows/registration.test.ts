/** An app registers itself and then works like any other; members are warned of it, and it can be gone again (R20, RFC 7591, RFC 7592). */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import * as oauth from 'oauth4webapi'
import * as openid from 'openid-client'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createAudit } from '../../src/audit/audit.ts'
import { createLog } from '../../src/log.ts'
import { createRegistrationTokens } from '../../src/portal/registration-tokens.ts'
import { openDatabase } from '../../src/storage/database.ts'
import {
  type App,
  authorizationUrl,
  demoApp,
  exchange,
  obtainTokens,
  password,
  pkce,
  redirectUri,
  refresh,
} from '../support/authorize.ts'
import { runAt } from '../support/command.ts'
import { initialToken, registration, send, steps } from '../support/registration.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { Visitor } from '../support/visitor.ts'
import { claimsOf, post } from '../support/wire.ts'

let server: TestServer
beforeAll(async () => {
  server = await startServer({
    change: ({ plans }) => {
      const summit = plans.find(({ id }) => id === 'summit')?.environments[0]
      if (summit) summit.registration = registration({ policy: { kinds: ['service'], scopes: ['system/Patient.rs'] } })
    },
  })
})
afterAll(() => server.close())

/** The command reads the file, in which registration is off there. */
const summitToken = async (): Promise<string> => {
  const settings = server.settings
  const database = await openDatabase({ ...settings.database, log: createLog({ level: 'error' }) })
  const audit = createAudit({ node: 'a-test', now: Date.now, log: createLog({ level: 'error' }) })
  try {
    const tokens = createRegistrationTokens({ database, audit, now: Date.now })
    return (await tokens.make({ issuer: 'summit/sandbox', label: 'Summit Ltd', uses: 1, days: 1 })).token
  } finally {
    audit.close()
    await database.close()
  }
}

const issuer = () => `${server.url}/prairie/sandbox`
const address = () => `${issuer()}/register`
const register = async (body: object, token?: string) =>
  send(address(), { body, token: token ?? (await initialToken(server)) })
const appOf = (clientId: string, secret?: string): App => demoApp(server.url, clientId, secret)
const rows = (sql: string, ...params: string[]) => {
  const db = new DatabaseSync(join(server.folder, 'latchkey.db'), { readOnly: true, timeout: 5000 })
  try {
    return db.prepare(sql).all(...params)
  } finally {
    db.close()
  }
}

describe('registering', () => {
  it('a public app is confirmed with a client_id and all that was registered, and no secret [SMART app-launch.register-client-id] [SMART asymmetric.client-id]', async () => {
    const { status, body, headers } = await register({
      ...steps,
      client_uri: 'https://steps.example.com',
      launch_uris: ['https://steps.example.com/launch'],
      contacts: ['dev@steps.example.com'],
      software_id: 'steps',
      something_else: 'that nobody knows',
      client_id: 'demo-public',
    })
    expect(status).toBe(201)
    expect(headers.get('cache-control')).toBe('no-store')
    expect(headers.get('access-control-allow-origin')).toBeNull()
    expect(body).toEqual({
      client_id: expect.stringMatching(/^app-[\w-]{22}$/),
      client_id_issued_at: expect.any(Number),
      client_name: 'Steps and Stairs',
      client_uri: 'https://steps.example.com',
      contacts: ['dev@steps.example.com'],
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
      token_endpoint_auth_method: 'none',
      redirect_uris: [redirectUri],
      launch_uris: ['https://steps.example.com/launch'],
      dpop_bound_access_tokens: false,
      require_pushed_authorization_requests: false,
      software_id: 'steps',
      registration_access_token: expect.stringMatching(/^lkm_[\w-]{43}$/),
      registration_client_uri: `${address()}/${body.client_id}`,
    })
  })

  it('a confidential app has its secret told once, and nothing of it is kept or logged in the clear', async () => {
    const { body } = await register({ client_name: 'Binder Two', redirect_uris: [redirectUri] })
    expect(body.token_endpoint_auth_method).toBe('client_secret_basic')
    expect(body.client_secret).toMatch(/^[\w-]{43}$/)
    expect(body.client_secret_expires_at).toBe(0)
    const again = await send(body.registration_client_uri, { method: 'GET', token: body.registration_access_token })
    expect(again.body.client_secret).toBeUndefined()
    const kept = JSON.stringify([
      rows('select * from credentials where client_id = ?', body.client_id),
      rows('select * from credential_secrets'),
      rows('select * from registration_tokens'),
      rows('select * from audit where actor = ?', `client:${body.client_id}`),
    ])
    for (const secret of [body.client_secret, body.registration_access_token]) {
      expect(kept).not.toContain(secret)
      expect(server.log()).not.toContain(secret)
    }
    expect(rows('select type from audit where actor = ?', `client:${body.client_id}`)).toEqual([
      { type: 'client.registered' },
    ])
  })

  it('the whole flow works: members are warned, read who is behind it, share [SMART app-launch.register-redirect-uris]', async () => {
    const { body } = await register({ ...steps, client_name: 'Stairs' })
    const app = appOf(body.client_id)
    const { challenge, verifier } = pkce()
    const visitor = new Visitor()
    const signIn = await visitor.open(authorizationUrl(app, challenge))
    const warning = await visitor.submit(signIn, '/sign-in', { username: 'maria', password })
    expect(warning.url).toMatch(/\/warning$/)
    expect(warning.html).toContain('Stairs')
    const consent = await visitor.submit(warning, '/warning', {})
    expect(consent.html).toContain('Steps Ltd')
    const done = new URL((await visitor.submit(consent, '/consent', {})).url)
    const tokens = await exchange(app, String(done.searchParams.get('code')), verifier)
    expect(tokens.status).toBe(200)
    expect(claimsOf(tokens.body.access_token).client_id).toBe(body.client_id)
  })

  it.each(['client_secret_basic', 'client_secret_post'])(
    '%s: openid-client registers and gets tokens',
    async (method) => {
      const config = await openid.dynamicClientRegistration(
        new URL(issuer()),
        { client_name: 'Library App', redirect_uris: [redirectUri], token_endpoint_auth_method: method },
        undefined,
        { initialAccessToken: await initialToken(server), execute: [openid.allowInsecureRequests] },
      )
      const { client_id, client_secret } = config.clientMetadata()
      expect(config.clientMetadata().token_endpoint_auth_method).toBe(method)
      const code_verifier = openid.randomPKCECodeVerifier()
      const url = openid.buildAuthorizationUrl(config, {
        redirect_uri: redirectUri,
        scope: 'openid fhirUser launch/patient offline_access patient/Coverage.rs',
        aud: `${issuer()}/fhir`,
        state: 's',
        code_challenge: await openid.calculatePKCECodeChallenge(code_verifier),
        code_challenge_method: 'S256',
      })
      const visitor = new Visitor()
      const warning = await visitor.submit(await visitor.open(url.href), '/sign-in', { username: 'maria', password })
      const consent = await visitor.submit(warning, '/warning', {})
      const callback = new URL((await visitor.submit(consent, '/consent', { type: ['Coverage'], duration: 'P1Y' })).url)
      const tokens = await openid.authorizationCodeGrant(config, callback, {
        pkceCodeVerifier: code_verifier,
        expectedState: 's',
        idTokenExpected: true,
      })
      expect(tokens.scope).toContain('patient/Coverage.rs')
      expect((await refresh(appOf(client_id, String(client_secret)), String(tokens.refresh_token))).status).toBe(200)
    },
  )

  it('oauth4webapi finds the endpoint in discovery, registers, and accepts the answer', async () => {
    const insecure = { [oauth.allowInsecureRequests]: true }
    const found = await oauth.discoveryRequest(new URL(issuer()), insecure)
    const as = await oauth.processDiscoveryResponse(new URL(issuer()), found)
    const answer = await oauth.dynamicClientRegistrationRequest(as, steps, {
      ...insecure,
      initialAccessToken: await initialToken(server),
    })
    const client = await oauth.processDynamicClientRegistrationResponse(answer)
    expect(client.client_id).toMatch(/^app-/)
  })
})

describe('an app with keys', () => {
  it('registers as a backend service where services may, and gets no more than was registered [SMART asymmetric.jwks-inline]', async () => {
    const { privateKey, publicKey } = await generateKeyPair('ES384')
    const jwk = { ...(await exportJWK(publicKey)), kid: 'one', alg: 'ES384' }
    const { body, status } = await send(`${server.url}/v5/summit/register`, {
      token: await summitToken(),
      body: {
        client_name: 'Nightly',
        grant_types: ['client_credentials'],
        token_endpoint_auth_method: 'private_key_jwt',
        jwks: { keys: [jwk] },
        scope: 'system/Patient.rs system/Observation.rs',
      },
    })
    expect([status, body.scope]).toEqual([201, 'system/Patient.rs'])
    const token = (scope: string) =>
      new SignJWT({})
        .setProtectedHeader({ alg: 'ES384', kid: 'one' })
        .setIssuer(body.client_id)
        .setSubject(body.client_id)
        .setAudience(`${server.url}/v5/oauth/token`)
        .setJti(crypto.randomUUID())
        .setExpirationTime('1m')
        .sign(privateKey)
        .then((client_assertion) =>
          post(`${server.url}/v5/oauth/token`, {
            grant_type: 'client_credentials',
            scope,
            client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
            client_assertion,
          }),
        )
    const granted = await token('system/Patient.rs')
    expect(granted.body).toMatchObject({ scope: 'system/Patient.rs', token_type: 'Bearer' })
    expect((await token('system/Coverage.rs')).body.error).toBe('invalid_scope')
  })
})

describe('discovery', () => {
  it('names the endpoint in all three documents where registration is on, and in none where it is off (R1)', async () => {
    const documents = ['openid-configuration', 'oauth-authorization-server', 'smart-configuration']
    for (const name of documents) {
      const at = async (path: string) =>
        (await send(`${server.url}${path}/.well-known/${name}`, { method: 'GET' })).body
      expect((await at('/prairie/sandbox')).registration_endpoint).toBe(address())
      expect(await at('/prairie/production')).not.toHaveProperty('registration_endpoint')
    }
    const off = await send(`${server.url}/prairie/production/register`, { body: steps, token: 'anything' })
    expect(off.status).toBe(404)
  })
})

describe('managing a registration', () => {
  it('GET tells what is registered, with the token that was presented', async () => {
    const { body } = await register({ ...steps, scope: 'openid launch/patient patient/*.rs' })
    const { status, body: read } = await send(body.registration_client_uri, {
      method: 'GET',
      token: body.registration_access_token,
    })
    expect(status).toBe(200)
    expect(read).toEqual(body)
  })

  it('PUT replaces: what is left out is gone, the token stays, and the next authorization lives by it', async () => {
    const { body } = await register({ ...steps, client_name: 'Before', client_uri: 'https://steps.example.com' })
    const url = body.registration_client_uri
    const token = body.registration_access_token
    const other = 'http://127.0.0.1:8123/other'
    const put = await send(url, {
      method: 'PUT',
      token,
      body: { ...steps, client_id: body.client_id, client_name: 'After', redirect_uris: [other] },
    })
    expect(put.status).toBe(200)
    expect(put.body).toMatchObject({ client_name: 'After', redirect_uris: [other], registration_access_token: token })
    expect(put.body).not.toHaveProperty('client_uri')
    const app = { ...appOf(body.client_id), redirectUri: other }
    expect((await obtainTokens(app)).access_token).toBeTruthy()
    const refused = await fetch(authorizationUrl(appOf(body.client_id), pkce().challenge), { redirect: 'manual' })
    expect(refused.status).toBe(400)
  })

  it('PUT from a secret to keys ends the secret; back to a secret makes a new one', async () => {
    const { body } = await register({ client_name: 'Binder Three', redirect_uris: [redirectUri] })
    const { registration_client_uri: url, registration_access_token: token, client_id } = body
    const said = { client_id, client_name: 'Binder Three', redirect_uris: [redirectUri] }
    const keys = { token_endpoint_auth_method: 'private_key_jwt', jwks_uri: 'https://binder.example.com/jwks' }
    const put = await send(url, { method: 'PUT', token, body: { ...said, ...keys } })
    expect(put.body).toMatchObject(keys)
    expect(put.body).not.toHaveProperty('client_secret')
    const app = appOf(client_id, body.client_secret)
    expect((await refresh(app, 'rt')).body.error).toBe('invalid_client')
    const back = await send(url, { method: 'PUT', token, body: said })
    expect(back.body.client_secret).toMatch(/^[\w-]{43}$/)
    expect(back.body.client_secret).not.toBe(body.client_secret)
    expect((await refresh(appOf(client_id, back.body.client_secret), 'rt')).body.error).toBe('invalid_grant')
  })

  it('what was attested was attested of the app as it was: another name, and members are warned again (R18, R24)', async () => {
    const { body } = await register({ ...steps, client_name: 'Attested' })
    const { registration_client_uri: url, registration_access_token: token, client_id } = body
    const arrives = async () => {
      const visitor = new Visitor()
      const page = await visitor.open(authorizationUrl(appOf(client_id), pkce().challenge))
      const next = await visitor.submit(page, '/sign-in', { username: 'maria', password })
      return next.url.endsWith('/warning') ? 'warning' : 'consent'
    }
    const answers = join(server.folder, 'answers.json')
    writeFileSync(
      answers,
      '{"sold":"never","shared":"never","used":"service","consent":"yes","device":"no","kept":"device","deleted":"yes","policy":"no","stop":"Delete it."}',
    )
    const line = ['apps', 'attest', client_id, '--issuer', 'prairie/sandbox', '--person', 'Sam', '--answers']
    const { err } = await runAt(server, ...line, answers)
    expect(err).toBe('')
    expect(await arrives()).toBe('consent')
    const said = { ...steps, client_id, client_name: 'Attested' }
    await send(url, { method: 'PUT', token, body: { ...said, software_version: '2' } })
    expect(await arrives()).toBe('consent')
    await send(url, { method: 'PUT', token, body: { ...said, client_name: 'Someone else' } })
    expect(await arrives()).toBe('warning')
    expect(rows("select type from audit where type = 'app.attestation-lapsed'")).toHaveLength(1)
  })

  it('DELETE ends the client and everything that was shared with it, at once and for good', async () => {
    const { body } = await register({ ...steps, client_name: 'Gone Soon' })
    const app = appOf(body.client_id)
    const tokens = await obtainTokens(app)
    const there = await fetch(`${app.fhirBase}/Patient/${tokens.patient}`, {
      headers: { authorization: `Bearer ${tokens.access_token}` },
    })
    expect(there.status).toBe(200)
    const { registration_client_uri: url, registration_access_token: token } = body
    const gone = await send(url, { method: 'DELETE', token })
    expect(gone.status).toBe(204)
    expect((await refresh(app, tokens.refresh_token)).body.error).toBe('invalid_client')
    expect((await fetch(authorizationUrl(app, pkce().challenge), { redirect: 'manual' })).status).toBe(400)
    for (const method of ['GET', 'DELETE']) expect((await send(url, { method, token })).status).toBe(401)
    expect((await send(url, { method: 'PUT', token, body: { ...steps, client_id: body.client_id } })).status).toBe(401)
    expect(rows('select end_reason from grants where client_id = ?', body.client_id)).toEqual([
      { end_reason: 'app_suspended' },
    ])
    const types = rows('select type from audit where actor = ? order by sequence', `client:${body.client_id}`)
    expect(types).toContainEqual({ type: 'client.removed' })
    expect(types).toContainEqual({ type: 'connection.ended' })
  })
})
