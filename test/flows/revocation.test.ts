/** Revocation (R10, R11; RFC 7009). */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type App, confidentialApp, demoApp, obtainTokens, refresh } from '../support/authorize.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { basic, claimsOf, confidential, post, resourceServer } from '../support/wire.ts'

let server: TestServer

beforeAll(async () => {
  server = await startServer()
})
afterAll(() => server.close())

const app = () => demoApp(server.url)
const asPublic = { client_id: 'demo-public' }

const revoke = (token: string, fields: Record<string, string> = asPublic, headers: Record<string, string> = {}) =>
  post(`${app().issuer}/revoke`, { token, ...fields }, headers)

const active = async (token: string): Promise<boolean> =>
  (await post(`${app().issuer}/introspect`, { token }, resourceServer)).body.active

const expectDone = (answer: Awaited<ReturnType<typeof revoke>>): void => {
  expect(answer.status).toBe(200)
  expect(answer.body).toBe('')
}

describe('a refresh token', () => {
  it.each(['demo-public', 'demo-confidential'])(
    'of %s: its grant ends, at once and everywhere (R11)',
    async (clientId) => {
      const isPublic = clientId === 'demo-public'
      const of: App = isPublic ? app() : confidentialApp(server.url)
      const { access_token, refresh_token } = await obtainTokens(of)
      expectDone(await revoke(refresh_token, isPublic ? asPublic : {}, isPublic ? {} : confidential))
      expect(await active(access_token)).toBe(false)
      expect(await active(refresh_token)).toBe(false)
      const after = await refresh(of, refresh_token)
      expect(after.body).toMatchObject({ error: 'invalid_grant', error_subcode: 'revoked_by_app' })
      const userinfo = await fetch(`${app().issuer}/userinfo`, { headers: { authorization: `Bearer ${access_token}` } })
      expect(userinfo.status).toBe(401)
    },
  )

  it('one that was used already ends the grant as well: the app wants to be rid of it', async () => {
    const first = await obtainTokens(app())
    const next = await refresh(app(), first.refresh_token)
    expectDone(await revoke(first.refresh_token))
    expect(await active(next.body.refresh_token)).toBe(false)
    expect(await active(next.body.access_token)).toBe(false)
  })

  it('ends its own grant only', async () => {
    const [one, two] = [await obtainTokens(app()), await obtainTokens(app())]
    expectDone(await revoke(one.refresh_token))
    expect(await active(two.access_token)).toBe(true)
    expect((await refresh(app(), two.refresh_token)).status).toBe(200)
  })

  it('twice is as good as once', async () => {
    const { refresh_token } = await obtainTokens(app())
    expectDone(await revoke(refresh_token))
    expectDone(await revoke(refresh_token))
  })

  it('a wrong hint does not keep it alive', async () => {
    const { refresh_token } = await obtainTokens(app())
    expectDone(await revoke(refresh_token, { ...asPublic, token_type_hint: 'access_token' }))
    expect(await active(refresh_token)).toBe(false)
  })
})

describe('an access token', () => {
  it('dies alone: its grant and its refresh token live on', async () => {
    const { access_token, refresh_token } = await obtainTokens(app())
    expectDone(await revoke(access_token))
    expect(await active(access_token)).toBe(false)
    expect(await active(refresh_token)).toBe(true)
    const next = await refresh(app(), refresh_token)
    expect(next.status).toBe(200)
    expect(await active(next.body.access_token)).toBe(true)
    const userinfo = await fetch(`${app().issuer}/userinfo`, { headers: { authorization: `Bearer ${access_token}` } })
    expect(userinfo.status).toBe(401)
  })
})

describe('what changes nothing, and is 200 (RFC 7009 §2.2)', () => {
  it.each([
    ['garbage', 'garbage'],
    ['a NUL', 'a\u0000b'],
    ['unicode', '健康'],
    ['something long', 'x'.repeat(20_000)],
    ['an empty JWT', 'e30.e30.'],
    ['a refresh token of nobody', `rt_${'a'.repeat(43)}.0.${'b'.repeat(22)}.${'c'.repeat(22)}`],
  ])('%s', async (_what, token) => {
    expectDone(await revoke(token))
  })

  it('an ID token', async () => {
    const { id_token, access_token } = await obtainTokens(app())
    expectDone(await revoke(id_token))
    expect(await active(access_token)).toBe(true)
  })

  it('the tokens of another client', async () => {
    const theirs = await obtainTokens(confidentialApp(server.url))
    expectDone(await revoke(theirs.access_token))
    expectDone(await revoke(theirs.refresh_token))
    expect(await active(theirs.access_token)).toBe(true)
    expect((await refresh(confidentialApp(server.url), theirs.refresh_token)).status).toBe(200)
  })

  it('tokens in the hands of a resource server, which may look and not end', async () => {
    const { access_token, refresh_token } = await obtainTokens(app())
    expectDone(await revoke(access_token, {}, resourceServer))
    expectDone(await revoke(refresh_token, {}, resourceServer))
    expect(await active(access_token)).toBe(true)
    expect(await active(refresh_token)).toBe(true)
  })

  it('a token with a changed signature', async () => {
    const { access_token } = await obtainTokens(app())
    const [header, payload, signature = ''] = access_token.split('.')
    expectDone(await revoke(`${header}.${payload}.${[...signature].reverse().join('')}`))
    expect(await active(access_token)).toBe(true)
  })
})

describe('what is refused [ASVS 10.4.10]', () => {
  it.each([
    ['nobody', {}, {}, 400, 'invalid_request'],
    ['an unknown client', {}, basic('nobody', 'x'), 401, 'invalid_client'],
    ['a wrong secret', {}, basic('demo-confidential', 'x'), 401, 'invalid_client'],
    ['a confidential app without its secret', { client_id: 'demo-confidential' }, {}, 401, 'invalid_client'],
  ])('%s: and the token lives', async (_who, fields, headers, status, error) => {
    const { access_token, refresh_token } = await obtainTokens(confidentialApp(server.url))
    const answer = await revoke(refresh_token, fields as Record<string, string>, headers as Record<string, string>)
    expect(answer.status).toBe(status)
    expect(answer.body).toEqual({ error, error_description: expect.any(String) })
    expect(await active(access_token)).toBe(true)
  })

  it.each([
    ['token missing', [['client_id', 'demo-public']]],
    [
      'token doubled',
      [
        ['client_id', 'demo-public'],
        ['token', 'a'],
        ['token', 'b'],
      ],
    ],
    [
      'client_id doubled',
      [
        ['client_id', 'demo-public'],
        ['client_id', 'demo-public'],
        ['token', 'a'],
      ],
    ],
  ])('%s is invalid_request', async (_what, fields) => {
    const answer = await post(`${app().issuer}/revoke`, fields as [string, string][])
    expect(answer.status).toBe(400)
    expect(answer.body.error).toBe('invalid_request')
  })

  it.each(['GET', 'PUT', 'DELETE'])('%s is 405, in JSON', async (method) => {
    const response = await fetch(`${app().issuer}/revoke`, { method, headers: { accept: 'text/html' } })
    expect(response.status).toBe(405)
    expect(await response.json()).toMatchObject({ error: 'method_not_allowed' })
  })
})

it('what was revoked is in the audit with the client that did it (R35)', async () => {
  const { access_token, refresh_token } = await obtainTokens(app())
  const { grant_id } = claimsOf(access_token)
  expectDone(await revoke(refresh_token))
  const { DatabaseSync } = await import('node:sqlite')
  const db = new DatabaseSync(`${server.folder}/latchkey.db`, { readOnly: true })
  const rows = db
    .prepare(`select type, actor, details from audit where grant_id = ? and type = 'grant.ended'`)
    .all(grant_id)
  db.close()
  expect(rows).toHaveLength(1)
  expect(rows[0]).toMatchObject({ actor: 'client:demo-public', details: expect.stringContaining('revoked_by_app') })
})
