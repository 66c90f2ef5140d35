/** Backend services: tokens of their own, without any member (SMART "Backend Services"). */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { DemonstrationApp, Settings } from '../../src/config/settings.ts'
import { createLog } from '../../src/log.ts'
import { createVerifier } from '../../src/resource-server/index.ts'
import { openDatabase } from '../../src/storage/database.ts'
import { authorizationUrl, confidentialApp, demoApp, obtainTokens, pkce } from '../support/authorize.ts'
import { demonstrationApp } from '../support/demonstration-app.ts'
import { type AnyJwk, assertionOf, type ClientKey, carried, demonstrationKey, makeKey } from '../support/key-client.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { Visitor } from '../support/visitor.ts'
import { basic, claimsOf, confidential, headerOf, post, resourceServer } from '../support/wire.ts'

let server: TestServer
let key: ClientKey
let skew = 0

const service = (clientId: string, over: Partial<DemonstrationApp> = {}): DemonstrationApp =>
  demonstrationApp({ clientId, kind: 'service', jwks: { keys: [key.publicJwk] }, scopes: ['system/*.rs'], ...over })

const change = (settings: Settings): void => {
  const sandboxes = settings.plans.flatMap(({ environments }) => environments.filter(({ sandbox }) => sandbox))
  const [prairie, summit] = sandboxes
  for (const category of prairie?.plan.sensitiveCategories ?? [])
    if (category.code === 'hiv' || category.code === 'mental-health') category.scope = `sensitive/${category.code}`
  const [api] = prairie?.apis ?? []
  // A second API of the same plan, as another FHIR server of its would be.
  if (api)
    prairie?.apis.push({ ...api, id: 'second', baseUrl: `${api.baseUrl}-second`, aliases: [], resources: ['Patient'] })
  prairie?.demonstration?.apps.push(
    service('narrow', { scopes: ['system/Observation.rs?category=laboratory', 'system/Patient.r', 'patient/*.rs'] }),
    service('sensitive', { scopes: ['system/*.rs', 'sensitive/hiv'] }),
    service('nothing', { scopes: ['openid', 'patient/*.rs', 'user/*.rs', 'launch/patient', 'system/Unheard.rs'] }),
    service('by-secret', { jwks: null, secret: 'a-secret-of-a-service', scopes: ['system/Patient.rs'] }),
    demonstrationApp({
      ...{
        clientId: 'greedy',
        kind: 'confidential',
        secret: 'greedy-secret',
        redirectUris: ['http://127.0.0.1/callback'],
      },
      scopes: ['system/*.rs', 'introspect', 'launches', 'patient/*.rs', 'launch/patient'],
    }),
  )
  summit?.demonstration?.apps.push(service('summit-service'))
}

beforeAll(async () => {
  key = await makeKey('ES384', 'k')
  server = await startServer({ change, now: () => Date.now() + skew })
})
afterAll(() => server.close())

const issuer = () => `${server.url}/prairie/sandbox`
const base = () => `${issuer()}/fhir`

const ask = async (clientId: string, more: Record<string, string | null>, at = `${issuer()}/token`) => {
  const by = clientId.startsWith('demo-') ? await demonstrationKey(clientId, 'ES384') : key
  const presented = carried(await assertionOf(by, { clientId, audience: at }))
  const fields = { grant_type: 'client_credentials', aud: base(), ...more, ...presented }
  return post(
    at,
    Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null)) as Record<string, string>,
  )
}
const introspect = async (token: string, headers: Record<string, string> = resourceServer): Promise<AnyJwk> =>
  (await post(`${issuer()}/introspect`, { token }, headers)).body

describe('a token of a service', () => {
  it('is answered as SMART says [SMART backend.token-response, backend.short-lived, backend.no-refresh, backend.assertion]', async () => {
    const answer = await ask('demo-service', { scope: 'system/*.rs introspect' })
    expect(answer.status).toBe(200)
    expect(answer.body).toEqual({
      access_token: expect.any(String),
      token_type: 'Bearer',
      expires_in: 300,
      scope: 'system/*.rs introspect',
    })
    expect(answer.headers.get('cache-control')).toBe('no-store')
    expect(answer.headers.get('pragma')).toBe('no-cache')
  })

  it('says who the client is, and of no member and no patient', async () => {
    const { access_token } = (await ask('demo-service', { scope: 'system/Patient.rs' })).body
    expect(headerOf(access_token)).toMatchObject({ alg: 'ES256', typ: 'at+jwt', kid: expect.any(String) })
    const claims = claimsOf(access_token)
    expect(claims).toEqual({
      ...{ iss: issuer(), aud: base(), sub: 'demo-service', client_id: 'demo-service', scope: 'system/Patient.rs' },
      ...{ jti: expect.any(String), iat: expect.any(Number), exp: claims.iat + 300 },
    })
  })

  it('opens what the library judges by system/ scopes [SMART backend.rs-checks]', async () => {
    const { access_token } = (await ask('demo-service', { scope: 'system/Patient.rs' })).body
    const verifier = createVerifier({ issuer: issuer(), audience: base(), jwksUri: `${issuer()}/jwks` })
    const verified = await verifier.verify(access_token)
    expect(verified).toMatchObject({ clientId: 'demo-service' })
    await expect(verifier.verify(`${access_token.slice(0, -4)}AAAA`)).rejects.toThrow()
  })

  it('has the form of the API’s tokens at a plan that moved in (R42)', async () => {
    const at = `${server.url}/v5/oauth/token`
    const answer = await ask(
      'summit-service',
      { scope: 'system/Patient.read', aud: `${server.url}/v3/summit/fhir` },
      at,
    )
    expect(answer.body.scope).toBe('system/Patient.read')
    expect(headerOf(answer.body.access_token)).toMatchObject({ alg: 'RS256', typ: 'JWT' })
    const claims = claimsOf(answer.body.access_token)
    expect(claims).toMatchObject({ scp: ['system/Patient.read'], contract: 'H0000', sub: 'summit-service' })
    for (const name of ['scope', 'patient', 'patient_id', 'mpiid', 'fhirUser', 'grant_id'])
      expect(claims).not.toHaveProperty(name)
  })

  it('also for a service with a secret', async () => {
    const fields = { grant_type: 'client_credentials', scope: 'system/Patient.rs', aud: base() }
    const answer = await post(`${issuer()}/token`, fields, basic('by-secret', 'a-secret-of-a-service'))
    expect(answer.body).toMatchObject({ scope: 'system/Patient.rs', expires_in: 300 })
    expect((await post(`${issuer()}/token`, fields, basic('by-secret', 'another'))).body.error).toBe('invalid_client')
  })

  it('is in the audit trail, with what it is for', async () => {
    await ask('narrow', { scope: 'system/Patient.r' })
    const { db, close } = await openDatabase({ url: server.settings.database.url, log: createLog({ level: 'silent' }) })
    try {
      const rows = await db.selectFrom('audit').selectAll().where('actor', '=', 'client:narrow').execute()
      expect(rows.map(({ type, outcome }) => [type, outcome])).toEqual([['token.issued', 'success']])
      expect(JSON.parse(rows[0]?.details ?? '{}')).toMatchObject({ api: 'fhir', scope: 'system/Patient.r' })
      expect(rows[0]).toMatchObject({ member_id: null, patient_id: null, grant_id: null })
    } finally {
      await close()
    }
  })
})

describe('its scopes [SMART backend.scope-within, backend.scope-restricted, backend.pre-authorized]', () => {
  it.each([
    ['demo-service', 'system/Patient.rs', 'system/Patient.rs'],
    ['demo-service', 'system/Patient.r', 'system/Patient.r'],
    ['demo-service', 'system/*.read', 'system/*.read'],
    ['demo-service', 'system/*.cruds', 'system/*.rs'],
    ['demo-service', 'system/*.rs patient/*.rs user/*.rs openid offline_access launch', 'system/*.rs'],
    ['demo-service', 'system/Patient.rs system/Nonsense.rs rubbish', 'system/Patient.rs'],
    ['narrow', 'system/*.rs', 'system/Observation.rs?category=laboratory system/Patient.r'],
    ['narrow', 'system/Observation.rs', 'system/Observation.rs?category=laboratory'],
    ['narrow', 'system/Patient.read introspect launches', 'system/Patient.r'],
  ])('%s asks for %s and gets %s', async (clientId, scope, granted) => {
    const { status, body } = await ask(clientId, { scope })
    expect({ status, scope: body.scope }).toEqual({ status: 200, scope: granted })
    expect(claimsOf(body.access_token).scope).toBe(granted)
  })

  it.each([
    ['demo-service', 'patient/*.rs'],
    ['demo-service', 'user/*.rs'],
    ['demo-service', 'openid fhirUser offline_access online_access launch launch/patient'],
    ['demo-service', 'system/*.cud'],
    ['demo-service', 'rubbish'],
    ['demo-service', 'sensitive/hiv'],
    ['demo-service', 'x'.repeat(20_000)],
    ['narrow', 'system/Coverage.rs'],
    ['narrow', 'patient/*.rs'],
    ['narrow', 'introspect'],
    ['narrow', 'launches'],
    ['nothing', 'system/*.rs openid patient/*.rs user/*.rs system/Unheard.rs'],
  ])('%s asks for %s and gets nothing', async (clientId, scope) => {
    const answer = await ask(clientId, { scope })
    expect(answer).toMatchObject({ status: 400, body: { error: 'invalid_scope' } })
    expect(answer.body.error_description, '[SMART backend.error-description]').toEqual(expect.any(String))
  })

  it.each([[null], [''], [' ']])(
    'scope %j is invalid_scope: SMART requires one [SMART backend.errors]',
    async (scope) => {
      expect(await ask('demo-service', { scope })).toMatchObject({ status: 400, body: { error: 'invalid_scope' } })
    },
  )

  it('a type that the API has not is no part of what was approved', async () => {
    const aud = `${base()}-second`
    expect((await ask('demo-service', { scope: 'system/Coverage.rs', aud })).body.error).toBe('invalid_scope')
    expect((await ask('demo-service', { scope: 'system/Patient.rs', aud })).body.scope).toBe('system/Patient.rs')
  })

  it('sensitive records are for whoever was approved for the category by name (R25)', async () => {
    const released = async (clientId: string, scope: string) =>
      claimsOf((await ask(clientId, { scope })).body.access_token).sensitivities
    expect(await released('demo-service', 'system/*.rs')).toBeUndefined()
    expect(await released('demo-service', 'system/*.rs sensitive/hiv sensitive/mental-health')).toBeUndefined()
    expect(await released('sensitive', 'system/*.rs')).toBeUndefined()
    expect(await released('sensitive', 'system/*.rs sensitive/hiv sensitive/mental-health')).toEqual(['hiv'])
  })
})

describe('which API it is for (R6)', () => {
  const audienceOf = (answer: { body: AnyJwk }) => claimsOf(answer.body.access_token).aud

  it('aud or resource says it, with or without a slash', async () => {
    const scope = 'system/Patient.rs'
    expect(audienceOf(await ask('demo-service', { scope, aud: `${base()}/` }))).toBe(base())
    expect(audienceOf(await ask('demo-service', { scope, aud: `${base()}-second` }))).toBe(`${base()}-second`)
    expect(audienceOf(await ask('demo-service', { scope, aud: null, resource: `${base()}-second` }))).toBe(
      `${base()}-second`,
    )
  })

  it('where there is one, none need be named', async () => {
    const at = `${server.url}/v5/oauth/token`
    expect((await ask('summit-service', { scope: 'system/Patient.rs', aud: null }, at)).status).toBe(200)
  })

  it.each([
    ['none of two', { aud: null }, 'invalid_request'],
    ['one that is not ours', { aud: 'https://evil.example/fhir' }, 'invalid_target'],
    ['a resource that is not ours', { aud: null, resource: 'https://evil.example/fhir' }, 'invalid_target'],
    ['two that differ', { resource: '' }, 'invalid_target'],
    ['another plan’s', { aud: '' }, 'invalid_target'],
  ])('%s: refused', async (what, more, error) => {
    const asked: Record<string, string | null> = { scope: 'system/Patient.rs', ...more }
    if (what === 'two that differ') asked.resource = `${base()}-second`
    if (what === 'another plan’s') asked.aud = `${server.url}/v5/summit/fhir`
    expect(await ask('demo-service', asked)).toMatchObject({ status: 400, body: { error } })
  })
})

describe('services and apps are kept apart [ASVS 10.4.4]', () => {
  it.each(['authorization_code', 'refresh_token'])('a service may not use %s', async (grant_type) => {
    const more = { grant_type, code: 'x', refresh_token: 'x', redirect_uri: 'http://127.0.0.1/callback' }
    const answer = await ask('demo-service', more)
    expect(answer).toMatchObject({ status: 400, body: { error: 'unauthorized_client' } })
  })

  it('a service is nobody whom members are asked for', async () => {
    const url = authorizationUrl({ ...demoApp(server.url), clientId: 'demo-service' }, pkce().challenge)
    const page = await new Visitor().open(url)
    expect(page.status).toBe(400)
    expect(page.html).not.toContain('name="password"')
    const params = Object.fromEntries(new URL(url).searchParams)
    const presented = carried(
      await assertionOf(await demonstrationKey('demo-service', 'ES384'), {
        clientId: 'demo-service',
        audience: issuer(),
      }),
    )
    const pushed = await post(`${issuer()}/par`, { ...params, ...presented })
    expect(pushed.status).toBe(400)
    expect(pushed.body).not.toHaveProperty('request_uri')
  })

  it.each([
    ['a confidential app', confidential, {}],
    ['one whose credential lists system/ scopes by mistake', basic('greedy', 'greedy-secret'), {}],
    ['a resource server', resourceServer, {}],
    ['a public app', {}, { client_id: 'demo-public' }],
  ])('%s may not use client_credentials', async (_who, headers, more) => {
    const fields = { grant_type: 'client_credentials', scope: 'system/*.rs', ...more }
    const answer = await post(`${issuer()}/token`, fields as Record<string, string>, headers as Record<string, string>)
    expect(answer).toMatchObject({ status: 400, body: { error: 'unauthorized_client' } })
  })

  it('system/ scopes of an app are dropped like any that it may not have (R7)', async () => {
    const app = { ...confidentialApp(server.url), clientId: 'greedy', secret: 'greedy-secret' }
    const scope = 'patient/Patient.rs system/*.rs introspect launches'
    const tokens = await obtainTokens(app, { params: { scope } })
    expect(tokens.scope).toBe('patient/Patient.rs launch/patient')
  })
})

describe('introspection and the end of a service’s token', () => {
  const fresh = async (clientId = 'demo-service'): Promise<string> =>
    (await ask(clientId, { scope: 'system/Patient.rs' })).body.access_token

  it('the resource server of its API learns what it says [SMART introspection.rfc7662, introspection.fields]', async () => {
    const token = await fresh()
    const { iss, sub, aud, client_id, exp, iat, jti } = claimsOf(token)
    expect(await introspect(token)).toEqual({
      ...{ active: true, token_type: 'Bearer', scope: 'system/Patient.rs', iss, sub, aud, client_id, exp, iat, jti },
    })
  })

  it('another app does not, and no other plan', async () => {
    const token = await fresh()
    expect(await introspect(token, confidential)).toEqual({ active: false })
    const there = await post(`${server.url}/v5/oauth/introspect`, { token }, resourceServer)
    expect(there.status).toBe(401)
  })

  it('opens no userinfo, which is of people', async () => {
    const headers = { authorization: `Bearer ${await fresh()}` }
    expect((await fetch(`${issuer()}/userinfo`, { headers })).status).toBe(401)
  })

  it('its own service revokes it, and no other', async () => {
    const token = await fresh()
    const revoke = async (clientId: string) => {
      const by = clientId.startsWith('demo-') ? await demonstrationKey(clientId, 'ES384') : key
      return post(`${issuer()}/revoke`, { token, ...carried(await assertionOf(by, { clientId, audience: issuer() })) })
    }
    expect((await revoke('narrow')).status).toBe(200)
    expect(await introspect(token)).toMatchObject({ active: true })
    expect((await revoke('demo-service')).status).toBe(200)
    expect(await introspect(token)).toEqual({ active: false })
  })

  it('ends after five minutes', async () => {
    const token = await fresh()
    skew = 301_000
    expect(await introspect(token)).toEqual({ active: false })
    skew = 0
    expect(await introspect(token)).toMatchObject({ active: true })
  })

  it('ends at once while its service is suspended, and is no token for another API than its service has', async () => {
    const token = await fresh('narrow')
    const { db, close } = await openDatabase({ url: server.settings.database.url, log: createLog({ level: 'silent' }) })
    const set = (values: { status?: 'active' | 'suspended'; apis?: string }) =>
      db.updateTable('credentials').set(values).where('client_id', '=', 'narrow').execute()
    try {
      await set({ status: 'suspended' })
      expect(await introspect(token)).toEqual({ active: false })
      expect((await ask('narrow', { scope: 'system/Patient.r' })).body.error).toBe('invalid_client')
      await set({ status: 'active', apis: '["second"]' })
      expect(await introspect(token)).toEqual({ active: false })
      await set({ apis: '["fhir","second"]' })
      expect(await introspect(token)).toMatchObject({ active: true })
    } finally {
      await set({ status: 'active', apis: '["fhir","second"]' })
      await close()
    }
  })
})

describe('what discovery says of it [SMART backend.advertised, asymmetric.advertised] [capability client-confidential-asymmetric]', () => {
  it.each(['smart-configuration', 'openid-configuration', 'oauth-authorization-server'])('%s', async (name) => {
    const document = (await (await fetch(`${issuer()}/.well-known/${name}`)).json()) as Record<string, string[]>
    expect(document.grant_types_supported).toContain('client_credentials')
    expect(document.token_endpoint_auth_methods_supported).toContain('private_key_jwt')
    expect(document.token_endpoint_auth_signing_alg_values_supported).toEqual(
      expect.arrayContaining(['RS384', 'ES384']),
    )
    expect(document.scopes_supported).toEqual(
      expect.arrayContaining(['system/*.rs', 'system/Patient.read', 'introspect']),
    )
    if (name === 'smart-configuration') expect(document.capabilities).toContain('client-confidential-asymmetric')
  })

  it('every scope of services that is named can be had', async () => {
    const document = (await (await fetch(`${issuer()}/.well-known/smart-configuration`)).json()) as Record<
      string,
      string[]
    >
    const named = document.scopes_supported?.filter((scope) => /^system\/|^introspect$|^launches$/.test(scope)) ?? []
    expect(named.length).toBeGreaterThan(20)
    for (const version of ['rs', 'read']) {
      const some = named.filter((scope) => scope.endsWith(`.${version}`) || !scope.includes('.'))
      expect((await ask('demo-service', { scope: some.join(' ') })).body.scope?.split(' ').sort()).toEqual(
        [...some].sort(),
      )
    }
  })
})
