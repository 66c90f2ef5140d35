/** What the log holds after whole walks, errors and faults, at its most talkative: enough to help, and no secret. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  authorizationUrl,
  confidentialApp,
  demoApp,
  exchange,
  password,
  pkce,
  refresh,
  walkToConsent,
} from '../support/authorize.ts'
import { failingStore } from '../support/failing-store.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { formOf, Visitor } from '../support/visitor.ts'
import { basic, claimsOf, post, resourceServer } from '../support/wire.ts'

let server: TestServer
const store = failingStore()
/** Everything that was said on the wire and must not be in the log, by what it is. */
const secrets = new Map<string, string>()
const references: string[] = []

const keep = (what: string, value: string | undefined): void => {
  if (value) secrets.set(`${what} ${secrets.size}`, value)
}

const keepTokens = (body: Record<string, string | undefined>): void => {
  for (const name of ['access_token', 'refresh_token', 'id_token']) keep(name, body[name])
  for (const name of ['access_token', 'id_token']) {
    keep(`signature of ${name}`, body[name]?.split('.')[2])
    keep(`payload of ${name}`, body[name]?.split('.')[1])
    keep(`jti of ${name}`, body[name] && claimsOf(body[name]).jti)
  }
}

const keepVisitor = (visitor: Visitor): void => {
  for (const [name, { value }] of visitor.cookies) keep(`cookie ${name}`, value)
}

const walkWhole = async (confidential: boolean): Promise<void> => {
  const app = confidential ? confidentialApp(server.url) : demoApp(server.url)
  const { verifier, challenge } = pkce()
  const state = `state-of-the-app-${confidential}`
  const nonce = `nonce-of-the-app-${confidential}`
  keep('verifier', verifier)
  keep('challenge', challenge)
  keep('state', state)
  keep('nonce', nonce)
  const params = { state, nonce, login_hint: 'hint-of-the-app' }
  const { visitor, page } = await walkToConsent(app, challenge, { member: 'david', patient: 'Lucy', params })
  keep('csrf', formOf(page, '/consent').fields.get('csrf') ?? undefined)
  const done = await visitor.submit(page, '/consent')
  keepVisitor(visitor)
  const code = new URL(done.url).searchParams.get('code') ?? ''
  keep('code', code)
  const wrong = pkce().verifier
  keep('wrong verifier', wrong)
  await exchange(app, code, wrong)
  const tokens = await exchange(app, code, verifier)
  for (const path of ['Patient/lucy', 'Patient/david', 'Observation?patient=lucy', 'Patient/lucy/$everything'])
    await fetch(`${app.fhirBase}/${path}`, { headers: { authorization: `Bearer ${tokens.body.access_token}` } })
  expect(tokens.status).toBe(200)
  keepTokens(tokens.body)
  const next = await refresh(app, tokens.body.refresh_token)
  keepTokens(next.body)
  for (const token of [next.body.access_token, next.body.refresh_token, tokens.body.refresh_token])
    await post(`${app.issuer}/introspect`, { token }, resourceServer)
  await post(`${app.issuer}/userinfo`, { access_token: next.body.access_token })
  await exchange(app, code, verifier)
  await refresh(app, next.body.refresh_token)
  await post(`${app.issuer}/revoke`, { token: next.body.refresh_token, client_id: 'demo-public' })
  store.fail((step) => step.kind === 'query' && /refresh_tokens|grants|credentials/.test(step.sql))
  await refresh(app, next.body.refresh_token)
  await exchange(app, code, verifier)
  await visitor.send(authorizationUrl(app, challenge, params))
  store.fail(false)
}

const goWrong = async (): Promise<void> => {
  const app = demoApp(server.url)
  const { challenge } = pkce()
  const visitor = new Visitor()
  keep('state', 'state-that-went-wrong')
  keep('hint', 'hint-of-the-app')
  const page = await visitor.open(authorizationUrl(app, challenge, { state: 'state-that-went-wrong' }))
  keep('wrong password', 'a-wrong-password-1')
  keep('unknown name', 'somebody-unknown')
  await visitor.submit(page, '/sign-in', { username: 'somebody-unknown', password: 'a-wrong-password-1' })
  await visitor.submit(page, '/sign-in', {
    username: 'maria',
    password: 'a-wrong-password-1',
    csrf: 'a-forged-csrf-token',
  })
  keep('forged csrf', 'a-forged-csrf-token')
  const wrong: Record<string, string>[] = [
    { client_id: 'nobody' },
    { scope: 'unknown' },
    { redirect_uri: 'https://evil.example/?token=stolen-in-uri' },
  ]
  for (const params of wrong) {
    const url = authorizationUrl(app, challenge, { state: 'state-that-went-wrong', ...params })
    references.push((await visitor.open(url)).headers.get('x-request-id') ?? '')
  }
  keep('in a redirect URI', 'stolen-in-uri')
  keep('a wrong secret', 'a-wrong-client-secret')
  await post(
    app.token,
    { grant_type: 'refresh_token', refresh_token: 'a-made-up-token' },
    basic('demo-confidential', 'a-wrong-client-secret'),
  )
  await post(app.token, {
    grant_type: 'authorization_code',
    code: 'a-made-up-code',
    client_id: 'demo-public',
    redirect_uri: 'x',
  })
  await fetch(`${app.token}?code=code-in-an-address&client_secret=secret-in-an-address`)
  for (const each of ['a-made-up-token', 'a-made-up-code', 'code-in-an-address', 'secret-in-an-address'])
    keep('made up', each)
  keepVisitor(visitor)
}

beforeAll(async () => {
  server = await startServer({ wrapDialect: store.wrapDialect })
  await walkWhole(false)
  await walkWhole(true)
  await goWrong()
})
afterAll(() => server.close())

describe('the log after all that', () => {
  it('holds no token, code, verifier, state, cookie or password, whole or in part', () => {
    const log = server.log()
    expect(secrets.size).toBeGreaterThan(50)
    for (const [what, value] of secrets) expect(log.includes(value), `${what}: ${value}`).toBe(false)
  })

  it('holds no secret of an app and no password', () => {
    for (const secret of [password, 'demo-confidential-secret', 'demo-resource-server-secret', 'argon2'])
      expect(server.log()).not.toContain(secret)
    const encoded = Buffer.from('demo-confidential:demo-confidential-secret').toString('base64')
    expect(server.log()).not.toContain(encoded)
  })

  it('holds no name, address or record of a person', () => {
    expect(server.log()).toContain('/fhir/Patient/[id]')
    expect(server.log()).not.toMatch(/Patient\/(lucy|david)|patient=/)
    for (const name of ['David', 'Okafor', 'Lucy', 'Maria', 'Alvarez', 'david@example.org', '2017-05-09'])
      expect(server.log()).not.toContain(name)
  })

  it('still tells what happened, by reference', () => {
    const lines = server
      .log()
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
    for (const reference of references) {
      const told = lines.filter((line) => line.requestId === reference)
      expect(told.length, reference).toBeGreaterThan(0)
    }
    const refused = lines.filter((line) => line.msg === 'refused')
    expect(refused.length).toBeGreaterThan(5)
    expect(lines.some((line) => line.level === 'error')).toBe(true)
    for (const line of lines) expect(line).toMatchObject({ level: expect.any(String), time: expect.any(String) })
  })
})
