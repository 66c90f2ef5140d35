/** Software statements (RFC 7591 section 2.3): believed of whom the operator named, as they are signed, once (R20). */
import { createServer, type Server } from 'node:http'
import { UnsecuredJWT } from 'jose'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { demoApp, obtainTokens, pkce, redirectUri, walkToConsent } from '../support/authorize.ts'
import { freePort } from '../support/port.ts'
import { initialToken, registration, send, statementIssuer, steps } from '../support/registration.ts'
import { startServer, type TestServer } from '../support/server.ts'

type Issuer = Awaited<ReturnType<typeof statementIssuer>>
let server: TestServer
let trusted: Issuer
let remote: Issuer
let stranger: Issuer
let keys: Server
let keysAnswer: { status: number; body: unknown }
let fetched = 0

beforeAll(async () => {
  trusted = await statementIssuer()
  remote = await statementIssuer('https://remote.example.org', 'RS256')
  stranger = await statementIssuer('https://stranger.example.org')
  keysAnswer = { status: 503, body: {} }
  keys = createServer((_, response) => {
    fetched += 1
    response.writeHead(keysAnswer.status, { 'content-type': 'application/json' }).end(JSON.stringify(keysAnswer.body))
  })
  const port = await freePort()
  await new Promise<void>((resolve) => keys.listen(port, '127.0.0.1', resolve))
  server = await startServer({
    change: ({ plans }) => {
      const sandbox = plans[0]?.environments.find(({ id }) => id === 'prairie/sandbox')
      if (!sandbox) return
      sandbox.registration = registration({
        by: ['software-statement', 'initial-access-token'],
        softwareStatements: [
          trusted.trusted,
          { ...remote.trusted, jwks: null, jwksUri: `http://127.0.0.1:${port}/jwks` },
        ],
      })
    },
  })
})
afterAll(async () => {
  await server.close()
  keys.close()
})

const issuer = () => `${server.url}/prairie/sandbox`
const address = () => `${issuer()}/register`
const register = (software_statement: unknown, body: object = steps) =>
  send(address(), { body: { ...body, software_statement } })
const now = () => Math.floor(Date.now() / 1000)

describe('a statement', () => {
  it('whose keys are elsewhere is as good as before where they cannot be had, and is believed by them (R43)', async () => {
    const statement = await remote.sign({})
    const first = await register(statement)
    expect([first.status, first.body.error]).toEqual([503, 'temporarily_unavailable'])
    expect(fetched).toBe(1)
    keysAnswer = { status: 200, body: { keys: [remote.jwk] } }
    expect((await register(statement)).status).toBe(201)
    expect((await register(await remote.sign({}))).status).toBe(201)
    expect(fetched).toBe(2)
  })

  it('where nobody said who is behind an app, members read every host that its answers may go to, after a change too', async () => {
    const hosts = ['known.example', 'other.example']
    const redirect_uris = hosts.map((host) => `https://${host}/callback`)
    const { body } = await register(await trusted.sign({}), { ...steps, redirect_uris })
    const app = { ...demoApp(server.url, body.client_id), redirectUri: 'https://other.example/callback' }
    expect((await walkToConsent(app, pkce().challenge)).page.html).toContain('known.example, other.example')
    await send(body.registration_client_uri, {
      method: 'PUT',
      token: body.registration_access_token,
      body: { ...steps, client_id: body.client_id, redirect_uris: [app.redirectUri] },
    })
    const { page } = await walkToConsent(app, pkce().challenge)
    expect(page.html).toContain('other.example')
    expect(page.html).not.toContain('known.example')
  })

  it('lets an app in, and what it says stands in the place of what the app says', async () => {
    const statement = await trusted.sign({
      client_name: 'Steps by Example',
      redirect_uris: [redirectUri],
      software_id: 'steps',
      scope: 'openid launch/patient patient/Coverage.rs',
    })
    const { status, body } = await register(statement, {
      ...steps,
      client_name: 'Something else',
      redirect_uris: ['https://evil.example.com/cb'],
      scope: 'patient/*.rs',
      tos_uri: 'https://steps.example.com/terms',
    })
    expect(status).toBe(201)
    expect(body).toMatchObject({
      client_name: 'Steps by Example',
      redirect_uris: [redirectUri],
      scope: 'openid launch/patient patient/Coverage.rs',
      tos_uri: 'https://steps.example.com/terms',
      software_statement: statement,
    })
    const tokens = await obtainTokens(demoApp(server.url, body.client_id), {})
    expect(tokens.scope).toContain('patient/Coverage.rs')
    expect(tokens.scope).not.toContain('patient/*')
  })

  it('binds the app for good: an update says nothing against it', async () => {
    const statement = await trusted.sign({ client_name: 'Steps by Example', redirect_uris: [redirectUri] })
    const { body } = await register(statement)
    const { registration_client_uri: url, registration_access_token: token, client_id } = body
    const evil = { ...steps, client_id, client_name: 'Evil', redirect_uris: ['https://evil.example.com/cb'] }
    for (const software_statement of [undefined, statement]) {
      const put = await send(url, { method: 'PUT', token, body: { ...evil, software_statement } })
      expect(put.status).toBe(200)
      expect(put.body).toMatchObject({ client_name: 'Steps by Example', redirect_uris: [redirectUri] })
      expect(put.body.software_statement).toBe(statement)
    }
    const next = await trusted.sign({ client_name: 'Steps by Example 2', redirect_uris: [redirectUri] })
    const put = await send(url, { method: 'PUT', token, body: { ...evil, software_statement: next } })
    expect(put.body).toMatchObject({ client_name: 'Steps by Example 2', software_statement: next })
    const foreign = await remote.sign({ client_name: 'Evil', redirect_uris: ['https://evil.example.com/cb'] })
    const refused = await send(url, { method: 'PUT', token, body: { ...evil, software_statement: foreign } })
    expect([refused.status, refused.body.error]).toEqual([400, 'unapproved_software_statement'])
  })

  it('registers one app, also of ten requests at once', async () => {
    const statement = await trusted.sign({})
    const answers = await Promise.all(Array.from({ length: 10 }, () => register(statement)))
    expect(answers.filter(({ status }) => status === 201)).toHaveLength(1)
    for (const { status, body } of answers)
      if (status !== 201) expect([status, body.error]).toEqual([400, 'invalid_software_statement'])
  })

  it('is not used up by metadata that is refused', async () => {
    const statement = await trusted.sign({})
    expect((await register(statement, { ...steps, client_name: undefined })).status).toBe(400)
    expect((await register(statement)).status).toBe(201)
  })

  it('is for this server, if it says for whom', async () => {
    for (const aud of [issuer(), address(), ['https://other.example', issuer()]])
      expect((await register(await trusted.sign({ aud }))).status).toBe(201)
    for (const aud of ['https://other.example', [], `${issuer()}/`, server.url])
      expect((await register(await trusted.sign({ aud }))).body.error).toBe('invalid_software_statement')
  })
})

describe('what is no statement', () => {
  const bringsItsKey = async () => {
    const impostor = await statementIssuer(trusted.issuer)
    return impostor.sign({}, { jwk: impostor.jwk, jku: 'https://evil.example/jwks' })
  }
  const forged = async (claims: object = {}) => {
    const impostor = await statementIssuer(trusted.issuer)
    return impostor.sign({ ...claims })
  }

  it.each<[string, () => unknown, string]>([
    ['one of somebody who is not known here', () => stranger.sign({}), 'unapproved_software_statement'],
    ['one without an issuer', () => trusted.sign({ iss: undefined }), 'unapproved_software_statement'],
    [
      'one of another spelling of its issuer',
      () => trusted.sign({ iss: `${trusted.issuer}/` }),
      'unapproved_software_statement',
    ],
    ['one that another key signed', () => forged(), 'invalid_software_statement'],
    [
      'one that nobody signed',
      () => new UnsecuredJWT({ iss: trusted.issuer, jti: 'a', exp: now() + 60 }).encode(),
      'invalid_software_statement',
    ],
    ['one that has expired', () => trusted.sign({ exp: now() - 60 }), 'invalid_software_statement'],
    ['one without an end', () => trusted.sign({ exp: undefined }), 'invalid_software_statement'],
    ['one that begins later', () => trusted.sign({ nbf: now() + 600 }), 'invalid_software_statement'],
    ['one of the future', () => trusted.sign({ iat: now() + 600, exp: now() + 900 }), 'invalid_software_statement'],
    ['one without a name of its own', () => trusted.sign({ jti: undefined }), 'invalid_software_statement'],
    ['one whose name is none', () => trusted.sign({ jti: 7 }), 'invalid_software_statement'],
    ['an access token of its issuer', () => trusted.sign({}, { typ: 'at+jwt' }), 'invalid_software_statement'],
    ['one by a key that it brings along', () => bringsItsKey(), 'invalid_software_statement'],
    ['text', () => 'statement', 'invalid_software_statement'],
    ['a number', () => 7, 'invalid_software_statement'],
    ['an object', () => ({ iss: trusted.issuer }), 'invalid_software_statement'],
    ['a very long text', () => `${'a'.repeat(8000)}.${'b'.repeat(7000)}.c`, 'invalid_software_statement'],
  ])('%s', async (_, make, error) => {
    const { status, body, headers } = await register(await make())
    expect([status, body.error]).toEqual([400, error])
    expect(headers.get('cache-control')).toBe('no-store')
  })

  it('one signed with the public key as a shared secret, and one by an algorithm that its issuer may not use', async () => {
    const { SignJWT } = await import('jose')
    const secret = new TextEncoder().encode(JSON.stringify(trusted.jwk))
    const claims = { iss: trusted.issuer, jti: 'x', exp: now() + 60 }
    const hs = await new SignJWT(claims).setProtectedHeader({ alg: 'HS256', kid: 'one' }).sign(secret)
    expect((await register(hs)).body.error).toBe('invalid_software_statement')
    const other = await statementIssuer(trusted.issuer, 'RS256')
    expect((await register(await other.sign({}))).body.error).toBe('invalid_software_statement')
  })

  it('what it claims lives by the same policy as everything else', async () => {
    for (const claims of [
      { redirect_uris: ['http://evil.example.com'] },
      { grant_types: ['client_credentials'] },
      { client_name: 'Prairie Health Plan' },
      { scope: 'system/*.rs' },
    ])
      expect((await register(await trusted.sign(claims))).status).toBe(400)
  })

  it('with a good token a bad statement is refused still, and nothing is used up', async () => {
    const token = await initialToken(server)
    const body = { ...steps, software_statement: await forged() }
    expect((await send(address(), { body, token })).body.error).toBe('invalid_software_statement')
    expect((await send(address(), { body: steps, token })).status).toBe(201)
  })

  it('with a bad token a good statement opens nothing', async () => {
    const software_statement = await trusted.sign({})
    expect((await send(address(), { body: { ...steps, software_statement }, token: 'nonsense' })).status).toBe(401)
    expect((await register(software_statement)).status).toBe(201)
  })
})
