/** Introspection with a bearer token of a backend service (SMART "Token Introspection", Authorization). */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Settings } from '../../src/config/settings.ts'
import { createLog } from '../../src/log.ts'
import { openDatabase } from '../../src/storage/database.ts'
import { confidentialApp, demoApp, obtainTokens, refresh, summitApp } from '../support/authorize.ts'
import { demonstrationApp } from '../support/demonstration-app.ts'
import { assertionOf, type ClientKey, carried, makeKey } from '../support/key-client.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { post, resourceServer } from '../support/wire.ts'

let server: TestServer
let key: ClientKey
let skew = 0
let bearer = ''

const change = (settings: Settings): void => {
  for (const { demonstration } of settings.plans.flatMap(({ environments }) => environments))
    for (const [clientId, scopes] of Object.entries({
      watcher: ['introspect', 'system/Patient.rs'],
      blind: ['system/*.rs', 'launches'],
    }))
      demonstration?.apps.push(demonstrationApp({ clientId, kind: 'service', jwks: { keys: [key.publicJwk] }, scopes }))
}

beforeAll(async () => {
  key = await makeKey('ES384', 'k')
  server = await startServer({ change, now: () => Date.now() + skew })
  bearer = await tokenOf('watcher', 'introspect')
})
afterAll(() => server.close())

const issuer = () => `${server.url}/prairie/sandbox`
const summitToken = () => `${server.url}/v5/oauth/token`

const tokenOf = async (clientId: string, scope: string, at = `${issuer()}/token`): Promise<string> => {
  const presented = carried(await assertionOf(key, { clientId, audience: at }))
  return (await post(at, { grant_type: 'client_credentials', scope, ...presented })).body.access_token
}

const introspect = (
  token: string,
  by: string = bearer,
  more: Record<string, string> = {},
  at = `${issuer()}/introspect`,
) => post(at, { token, ...more }, { authorization: `Bearer ${by}` })

describe('a service with the scope introspect', () => {
  it('learns of the tokens of any client, as a resource server would [SMART introspection.bearer]', async () => {
    for (const app of [demoApp(server.url), confidentialApp(server.url)]) {
      const { access_token } = await obtainTokens(app, { member: 'david', patient: 'Lucy' })
      const answer = await introspect(access_token)
      expect(answer.status).toBe(200)
      expect(answer.headers.get('cache-control')).toBe('no-store')
      expect(answer.body).toMatchObject({ active: true, patient: 'lucy', client_id: app.clientId })
      const known = await post(`${issuer()}/introspect`, { token: access_token }, resourceServer)
      expect(answer.body).toEqual(known.body)
    }
  })

  it('of refresh tokens too, with their launch context [SMART introspection.launch-context]', async () => {
    const { refresh_token } = await obtainTokens(demoApp(server.url), { member: 'david', patient: 'Lucy' })
    const { body } = await introspect(refresh_token)
    const known = await post(`${issuer()}/introspect`, { token: refresh_token }, resourceServer)
    expect(body).toEqual(known.body)
    expect(body).toMatchObject({ active: true, patient: 'lucy' })
    expect(JSON.stringify(body)).not.toContain(refresh_token)
  })

  it('of services’ tokens, and of its own', async () => {
    const other = await tokenOf('blind', 'system/Patient.rs')
    expect((await introspect(other)).body).toMatchObject({ active: true, client_id: 'blind', sub: 'blind' })
    expect((await introspect(bearer)).body).toMatchObject({
      active: true,
      scope: 'introspect',
      exp: expect.any(Number),
    })
  })

  it('uses nothing up', async () => {
    const { refresh_token } = await obtainTokens(demoApp(server.url))
    for (let i = 0; i < 3; i += 1) expect((await introspect(refresh_token)).body.active).toBe(true)
    expect((await refresh(demoApp(server.url), refresh_token)).status).toBe(200)
    expect((await introspect(refresh_token)).body, 'a used one').toEqual({ active: false })
  })

  it.each(['access_token', 'refresh_token', 'nonsense'])('the hint %s decides nothing', async (token_type_hint) => {
    const { refresh_token } = await obtainTokens(demoApp(server.url))
    expect((await introspect(refresh_token, bearer, { token_type_hint })).body.active).toBe(true)
  })

  it.each([
    'garbage',
    'a\u0000b',
    '健康',
    'x'.repeat(20_000),
    '..',
    'e30.e30.',
    `rt_${'a'.repeat(43)}.0.${'b'.repeat(22)}.c`,
  ])('%j is not active', async (token) => {
    expect(await introspect(token)).toMatchObject({ status: 200, body: { active: false } })
  })

  it('learns nothing of another plan’s tokens', async () => {
    const { access_token, refresh_token } = await obtainTokens(summitApp(server.url), { member: 'sam' })
    expect((await introspect(access_token)).body).toEqual({ active: false })
    expect((await introspect(refresh_token)).body).toEqual({ active: false })
    const theirs = await tokenOf('watcher', 'introspect', summitToken())
    expect((await introspect(access_token, theirs, {}, `${server.url}/v5/oauth/introspect`)).body.active).toBe(true)
    expect((await introspect(refresh_token, theirs, {}, `${server.url}/v5/oauth/introspect`)).body.active).toBe(true)
  })

  it('nothing of what has ended', async () => {
    const { access_token, refresh_token } = await obtainTokens(demoApp(server.url))
    await post(`${issuer()}/revoke`, { token: refresh_token, client_id: 'demo-public' })
    expect((await introspect(access_token)).body).toEqual({ active: false })
    expect((await introspect(refresh_token)).body).toEqual({ active: false })
  })
})

describe('whoever has no such token', () => {
  it('a token without the scope: 403', async () => {
    const answer = await introspect('x', await tokenOf('blind', 'system/*.rs launches'))
    expect(answer).toMatchObject({ status: 403, body: { error: 'insufficient_scope' } })
    expect(answer.headers.get('www-authenticate')).toContain('insufficient_scope')
    const narrowed = await introspect('x', await tokenOf('watcher', 'system/Patient.rs'))
    expect(narrowed.status, 'its service has the scope, the token has not').toBe(403)
  })

  it.each([
    ['nothing', ''],
    ['garbage', 'garbage'],
    ['two words', 'a b'],
  ])('%s: 401', async (_what, by) => {
    const answer = await introspect('x', by)
    expect(answer).toMatchObject({ status: 401, body: { error: 'invalid_token' } })
    expect(answer.headers.get('www-authenticate')).toContain('Bearer')
  })

  it('a member’s tokens, an ID token, another plan’s token, and one that was changed: 401', async () => {
    const tokens = await obtainTokens(demoApp(server.url))
    const theirs = await tokenOf('watcher', 'introspect', summitToken())
    const [head, , signature] = bearer.split('.')
    const claims = {
      ...JSON.parse(Buffer.from(bearer.split('.')[1] ?? '', 'base64url').toString()),
      exp: 9_999_999_999,
    }
    const forged = `${head}.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.${signature}`
    for (const by of [tokens.access_token, tokens.refresh_token, tokens.id_token, theirs, forged])
      expect((await introspect(tokens.access_token, by)).status).toBe(401)
  })

  it('one that has expired, was revoked, or whose service is suspended: 401', async () => {
    const by = await tokenOf('watcher', 'introspect')
    skew = 301_000
    expect((await introspect('x', by)).status).toBe(401)
    skew = 0
    expect((await introspect('x', by)).status).toBe(200)
    const { db, close } = await openDatabase({ url: server.settings.database.url, log: createLog({ level: 'silent' }) })
    const set = (status: 'active' | 'suspended') =>
      db.updateTable('credentials').set({ status }).where('client_id', '=', 'watcher').execute()
    try {
      await set('suspended')
      expect((await introspect('x', by)).status).toBe(401)
    } finally {
      await set('active')
      await close()
    }
    const own = carried(await assertionOf(key, { clientId: 'watcher', audience: issuer() }))
    await post(`${issuer()}/revoke`, { token: by, ...own })
    expect((await introspect('x', by)).status).toBe(401)
  })

  it('a bearer token beside client credentials: one or the other (RFC 6749 §2.3)', async () => {
    for (const more of [{ client_id: 'watcher' }, { client_secret: 'x' }, { client_assertion: 'x' }] as Record<
      string,
      string
    >[])
      expect(await introspect('x', bearer, more)).toMatchObject({ status: 400, body: { error: 'invalid_request' } })
  })

  it('a request that is none', async () => {
    const headers = { authorization: `Bearer ${bearer}` }
    const url = `${issuer()}/introspect`
    expect((await post(url, {}, headers)).body.error).toBe('invalid_request')
    expect(
      (
        await post(
          url,
          [
            ['token', 'a'],
            ['token', 'b'],
          ],
          headers,
        )
      ).body.error,
    ).toBe('invalid_request')
    const json = await fetch(url, {
      method: 'POST',
      headers: { ...headers, 'content-type': 'application/json' },
      body: '{}',
    })
    expect(json.status).toBe(400)
    expect((await fetch(`${url}?token=x`, { headers })).status).toBe(405)
  })
})

describe('the revocation feed, for a FHIR server that holds a key and no secret (R11)', () => {
  const read = async (by: string) => {
    const response = await fetch(`${issuer()}/revocations`, { headers: { authorization: `Bearer ${by}` } })
    // biome-ignore lint/suspicious/noExplicitAny: a test reads what the wire says
    return { status: response.status, headers: response.headers, body: (await response.json()) as any }
  }

  it('tells whoever may introspect what has ended, of its API', async () => {
    const { access_token, refresh_token } = await obtainTokens(demoApp(server.url))
    await post(`${issuer()}/revoke`, { token: refresh_token, client_id: 'demo-public' })
    const { status, body } = await read(await tokenOf('watcher', 'introspect'))
    expect(status).toBe(200)
    const [, claims = ''] = access_token.split('.')
    const { grant_id } = JSON.parse(Buffer.from(claims, 'base64url').toString())
    expect(body.entries).toContainEqual(expect.objectContaining({ grant_id, reason: 'revoked_by_app' }))
  })

  it('tells nobody else', async () => {
    expect(await read(await tokenOf('blind', 'system/*.rs'))).toMatchObject({
      status: 403,
      body: { error: 'insufficient_scope' },
    })
    const tokens = await obtainTokens(demoApp(server.url))
    for (const by of ['garbage', tokens.access_token, await tokenOf('watcher', 'introspect', summitToken())]) {
      const { status, headers } = await read(by)
      expect(status).toBe(401)
      expect(headers.get('www-authenticate')).toContain('Bearer')
    }
  })
})
