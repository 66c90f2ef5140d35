/** Introspection (R10, R11; RFC 7662, SMART "Token Introspection"). */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createLog } from '../../src/log.ts'
import { openDatabase } from '../../src/storage/database.ts'
import { confidentialApp, demoApp, obtainTokens, refresh, summitApp } from '../support/authorize.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { basic, claimsOf, confidential, post, resourceServer } from '../support/wire.ts'

let server: TestServer
let skew = 0

beforeAll(async () => {
  server = await startServer({ now: () => Date.now() + skew })
})
afterAll(() => server.close())

const app = () => demoApp(server.url)
const summit = () => summitApp(server.url)

const introspect = async (token: string, headers: Record<string, string> = resourceServer, more = {}) => {
  const answer = await post(`${server.url}/prairie/sandbox/introspect`, { token, ...more }, headers)
  expect(answer.headers.get('content-type')).toContain('application/json')
  expect(answer.headers.get('cache-control')).toBe('no-store')
  return answer
}
const active = async (token: string, headers?: Record<string, string>) => (await introspect(token, headers)).body.active
const inactive = { active: false }

describe('a live token', () => {
  it('an access token: everything the JWT says, to the resource server (SMART) [SMART introspection.rfc7662, introspection.fields, introspection.launch-context, introspection.id-token-claims, introspection.fhir-user]', async () => {
    const { access_token, scope } = await obtainTokens(app(), { member: 'david', patient: 'Lucy' })
    const { iss, sub, aud, client_id, exp, iat, jti, patient, patient_id, fhirUser, grant_id } = claimsOf(access_token)
    const { status, body } = await introspect(access_token)
    expect(status).toBe(200)
    expect(body).toEqual({
      ...{ active: true, token_type: 'Bearer', scope, iss, sub, aud, client_id, exp, iat, jti },
      ...{ patient, patient_id, fhirUser, grant_id, grant_expires_at: expect.any(Number) },
    })
    expect(body).toMatchObject({ patient: 'lucy', fhirUser: `${app().fhirBase}/RelatedPerson/david-lucy` })
  })

  it('a refresh token: the same launch context, and never the token itself', async () => {
    const { access_token, refresh_token, scope } = await obtainTokens(app(), { member: 'david', patient: 'Lucy' })
    const { sub, grant_id, fhirUser } = claimsOf(access_token)
    const { body } = await introspect(refresh_token)
    expect(body).toMatchObject({
      ...{ active: true, client_id: 'demo-public', iss: app().issuer, sub, scope, grant_id, fhirUser },
      ...{ patient: 'lucy', patient_id: 'lucy', exp: expect.any(Number), iat: expect.any(Number) },
      grant_expires_at: expect.any(Number),
    })
    expect(JSON.stringify(body)).not.toContain(refresh_token)
  })

  it.each(['access_token', 'refresh_token', 'nonsense', ''])('the hint %s decides nothing', async (token_type_hint) => {
    const tokens = await obtainTokens(app())
    expect((await introspect(tokens.access_token, resourceServer, { token_type_hint })).body.active).toBe(true)
    expect((await introspect(tokens.refresh_token, resourceServer, { token_type_hint })).body.active).toBe(true)
  })

  it('introspection uses nothing up', async () => {
    const { refresh_token } = await obtainTokens(app())
    for (let i = 0; i < 5; i += 1) expect(await active(refresh_token)).toBe(true)
    expect((await refresh(app(), refresh_token)).status).toBe(200)
  })

  it('the token of a narrowed refresh says the narrow scope', async () => {
    const first = await obtainTokens(app())
    const narrow = await refresh(app(), first.refresh_token, { scope: 'patient/Coverage.r' })
    expect((await introspect(narrow.body.access_token)).body.scope).toBe('patient/Coverage.r')
    expect((await introspect(narrow.body.refresh_token)).body.scope).toBe(first.scope)
  })
})

describe('who may ask (R10)', () => {
  it('the own client, with its secret', async () => {
    const own = await obtainTokens(confidentialApp(server.url))
    expect(await active(own.access_token, confidential)).toBe(true)
    expect(await active(own.refresh_token, confidential)).toBe(true)
  })

  it('another client learns only that it is not active for it', async () => {
    const other = await obtainTokens(app())
    expect((await introspect(other.access_token, confidential)).body).toEqual(inactive)
    expect((await introspect(other.refresh_token, confidential)).body).toEqual(inactive)
  })

  it.each([
    ['nobody', {}, {}, 400, 'invalid_request'],
    ['an unknown client', basic('nobody', 'x'), {}, 401, 'invalid_client'],
    ['a wrong secret', basic('demo-resource-server', 'x'), {}, 401, 'invalid_client'],
    ['a resource server without its secret', {}, { client_id: 'demo-resource-server' }, 401, 'invalid_client'],
    ['a bearer token that is none', { authorization: 'Bearer abc' }, {}, 401, 'invalid_token'],
  ])('%s is refused', async (_who, headers, more, status, error) => {
    const { access_token } = await obtainTokens(app())
    const answer = await introspect(access_token, headers as Record<string, string>, more)
    expect(answer.status).toBe(status)
    expect(answer.body).toEqual({ error, error_description: expect.any(String) })
  })

  it('a public app learns of its own tokens, and of nobody else’s (R10)', async () => {
    const asPublic = { client_id: 'demo-public' }
    const own = await obtainTokens(app())
    expect((await introspect(own.access_token, {}, asPublic)).body).toMatchObject({ active: true, patient: 'maria' })
    expect((await introspect(own.refresh_token, {}, asPublic)).body).toMatchObject({ active: true, patient: 'maria' })
    const other = await obtainTokens(confidentialApp(server.url))
    expect((await introspect(other.access_token, {}, asPublic)).body).toEqual(inactive)
    expect((await introspect(other.refresh_token, {}, asPublic)).body).toEqual(inactive)
  })

  it('the resource server of one plan learns nothing of another plan', async () => {
    const { access_token, refresh_token } = await obtainTokens(summit(), { member: 'sam' })
    expect((await introspect(access_token)).body).toEqual(inactive)
    expect((await introspect(refresh_token)).body).toEqual(inactive)
    const there = await post(`${server.url}/v5/oauth/introspect`, { token: access_token }, resourceServer)
    expect(there.body.error).toBe('invalid_client')
  })
})

describe('what is not active [SMART introspection.rfc7662]', () => {
  /** Does something while a row says otherwise than it should. */
  const during = async (table: 'members' | 'credentials', status: string, work: () => Promise<void>): Promise<void> => {
    const { db, close } = await openDatabase({ url: server.settings.database.url, log: createLog({ level: 'silent' }) })
    const set = (to: string) =>
      table === 'members'
        ? db
            .updateTable(table)
            .set({ status: to as 'active' })
            .where('username', '=', 'maria')
            .execute()
        : db
            .updateTable(table)
            .set({ status: to as 'active' })
            .where('client_id', '=', 'demo-public')
            .execute()
    try {
      await set(status)
      await work()
    } finally {
      await set('active')
      await close()
    }
  }

  it.each([
    ['a locked member', 'members', 'locked'],
    ['a suspended app', 'credentials', 'suspended'],
  ] as const)('tokens of %s, at once and for as long', async (_whose, table, status) => {
    const { access_token, refresh_token } = await obtainTokens(app())
    const userinfo = () =>
      fetch(`${app().issuer}/userinfo`, { headers: { authorization: `Bearer ${access_token}` } }).then((r) => r.status)
    await during(table, status, async () => {
      expect((await introspect(access_token)).body).toEqual(inactive)
      expect((await introspect(refresh_token)).body).toEqual(inactive)
      expect(await userinfo()).toBe(401)
      expect((await refresh(app(), refresh_token)).body.error).toMatch(/^invalid_(grant|client)$/)
    })
    expect(await active(access_token)).toBe(true)
    expect((await refresh(app(), refresh_token)).status).toBe(200)
  })

  const changed = (token: string, claims: object): string => {
    const [header, , signature] = token.split('.')
    const payload = Buffer.from(JSON.stringify({ ...claimsOf(token), ...claims })).toString('base64url')
    return `${header}.${payload}.${signature}`
  }
  const unsigned = (token: string): string => {
    const header = Buffer.from(JSON.stringify({ alg: 'none', typ: 'at+jwt' })).toString('base64url')
    return `${header}.${token.split('.')[1]}.`
  }

  /** The same bytes: the last four bits of the last letter mean nothing. */
  const respelt = (token: string): string => {
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
    return token.slice(0, -1) + alphabet[alphabet.indexOf(token.at(-1) ?? '') ^ 1]
  }

  it.each([
    ['garbage', () => 'garbage'],
    ['a NUL', () => 'a\u0000b'],
    ['unicode', () => '健康'],
    ['something long', () => 'x'.repeat(20_000)],
    ['dots', () => '..'],
    ['an empty JWT', () => 'e30.e30.'],
    ['a refresh token of nobody', () => `rt_${'a'.repeat(43)}.0.${'b'.repeat(22)}.${'c'.repeat(22)}`],
    ['another patient in a real token', (token: string) => changed(token, { patient: 'david' })],
    ['a later end in a real token', (token: string) => changed(token, { exp: 9_999_999_999 })],
    ['a real token without its signature', unsigned],
    ['a real token and more', (token: string) => `${token}x`],
    ['a real token spelt otherwise', respelt],
  ])('%s', async (_what, make) => {
    const { access_token } = await obtainTokens(app())
    const { status, body } = await introspect(make(access_token))
    expect(status).toBe(200)
    expect(body).toEqual(inactive)
  })

  it('an ID token, which opens nothing', async () => {
    const { id_token } = await obtainTokens(app())
    expect((await introspect(id_token)).body).toEqual(inactive)
    const there = await obtainTokens(summit(), { member: 'sam' })
    const userinfo = await fetch(`${server.url}/v5/summit/userinfo`, {
      headers: { authorization: `Bearer ${there.id_token}` },
    })
    expect(userinfo.status, 'also where access tokens have the same typ and algorithm').toBe(401)
  })

  it('a refresh token that was used', async () => {
    const { refresh_token } = await obtainTokens(app())
    const next = await refresh(app(), refresh_token)
    expect(await active(refresh_token)).toBe(false)
    expect(await active(next.body.refresh_token), 'looking at it ended nothing').toBe(true)
  })

  it('an access token and a refresh token whose grant has ended (R11)', async () => {
    const { access_token, refresh_token } = await obtainTokens(app())
    const fields = { token: refresh_token, client_id: 'demo-public' }
    expect((await post(`${app().issuer}/revoke`, fields)).status).toBe(200)
    expect((await introspect(access_token)).body).toEqual(inactive)
    expect((await introspect(refresh_token)).body).toEqual(inactive)
  })

  it('a token that was refreshed narrows nobody else and widens nothing', async () => {
    const { access_token, refresh_token } = await obtainTokens(app())
    await refresh(app(), refresh_token)
    expect(await active(access_token), 'the older access token lives its ten minutes').toBe(true)
  })

  it('an access token after its ten minutes, and a refresh token after the end date that the member saw [ASVS 10.4.8]', async () => {
    const { access_token, refresh_token } = await obtainTokens(app())
    expect(await active(access_token)).toBe(true)
    skew += 11 * 60_000
    expect((await introspect(access_token)).body).toEqual(inactive)
    expect(await active(refresh_token)).toBe(true)
    skew += 366 * 86_400_000
    expect((await introspect(refresh_token)).body).toEqual(inactive)
    const late = await refresh(app(), refresh_token)
    expect(late.body).toMatchObject({ error: 'invalid_grant', error_subcode: 'expired' })
    skew = 0
  })
})

describe('the form of the request', () => {
  it.each([
    ['token missing', []],
    ['token empty', [['token', '']]],
    [
      'token doubled',
      [
        ['token', 'a'],
        ['token', 'b'],
      ],
    ],
    [
      'hint doubled',
      [
        ['token', 'a'],
        ['token_type_hint', 'a'],
        ['token_type_hint', 'b'],
      ],
    ],
  ])('%s is invalid_request', async (_what, fields) => {
    const answer = await post(`${server.url}/prairie/sandbox/introspect`, fields as [string, string][], resourceServer)
    expect(answer.status).toBe(400)
    expect(answer.body.error).toBe('invalid_request')
  })

  it.each(['GET', 'PUT', 'DELETE'])('%s is 405, in JSON', async (method) => {
    const url = `${server.url}/prairie/sandbox/introspect?token=x`
    const response = await fetch(url, { method, headers: { ...resourceServer, accept: 'text/html' } })
    expect(response.status).toBe(405)
    expect(await response.json()).toMatchObject({ error: 'method_not_allowed' })
  })

  it('JSON in is refused, JSON out comes whatever Accept says', async () => {
    const url = `${server.url}/prairie/sandbox/introspect`
    const headers = { ...resourceServer, 'content-type': 'application/json' }
    const wrong = await fetch(url, { method: 'POST', headers, body: '{"token":"x"}' })
    expect(wrong.status).toBe(400)
    expect((await introspect('x', { ...resourceServer, accept: 'text/html' })).body).toEqual(inactive)
    expect((await introspect('x', { ...resourceServer, accept: 'application/token-introspection+jwt' })).body).toEqual(
      inactive,
    )
  })
})
