/** `aud`, `resource` and `scope` of an authorization request (R6, R7), and POST (R1). */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  authorizationUrl,
  demoApp,
  exchange,
  obtainTokens,
  pkce,
  summitApp,
  walkToConsent,
} from '../support/authorize.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { Visitor } from '../support/visitor.ts'
import { claimsOf } from '../support/wire.ts'

let server: TestServer
const { verifier, challenge } = pkce()

beforeAll(async () => {
  server = await startServer({
    change: ({ plans, publicUrl }) => {
      const [api, summits] = plans.map((plan) => plan.environments[0]?.apis[0])
      Object.assign(api ?? {}, { audienceRequired: true })
      Object.assign(summits ?? {}, { audienceRequired: false })
      api?.aliases.push('https://fhir.prairie.example/sandbox/r4', `${publicUrl}/prairie/sandbox/fhir/R4`)
    },
  })
})
afterAll(() => server.close())

const app = () => demoApp(server.url)
const summit = () => summitApp(server.url)

const refusal = async (params: Record<string, string | null>, of = app()): Promise<URLSearchParams> => {
  const response = await new Visitor().send(authorizationUrl(of, challenge, params))
  return new URL(response.headers.get('location') ?? '', server.url).searchParams
}

describe('aud (R6) [SMART app-launch.aud]', () => {
  it.each([
    ['as it is', ''],
    ['with a slash', '/'],
  ])('the base %s leads to a token for the base', async (_what, end) => {
    const tokens = await obtainTokens(app(), { params: { aud: app().fhirBase + end } })
    expect(claimsOf(tokens.access_token).aud).toBe(app().fhirBase)
  })

  it.each(['https://fhir.prairie.example/sandbox/r4', 'https://fhir.prairie.example/sandbox/r4/'])(
    'the alias %s leads to a token for the base',
    async (aud) => {
      expect(claimsOf((await obtainTokens(app(), { params: { aud } })).access_token).aud).toBe(app().fhirBase)
    },
  )

  it.each([
    ['of another plan', () => summit().fhirBase],
    ['in other letters', () => app().fhirBase.replace('prairie', 'Prairie')],
    ['with a path below', () => `${app().fhirBase}/Patient`],
    ['that only begins like it', () => `${app().fhirBase}.evil.example`],
    ['at production', () => 'https://fhir.prairie.example/r4'],
    ['of the issuer itself', () => app().issuer],
  ])('one %s is refused, and the error names the expected value', async (_what, aud) => {
    const query = await refusal({ aud: aud() })
    expect(query.get('error')).toBe('invalid_target')
    expect(query.get('error_description')).toContain(app().fhirBase)
  })

  it('is required where the API says so, and the error names it', async () => {
    const query = await refusal({ aud: null })
    expect(query.get('error')).toBe('invalid_request')
    expect(query.get('error_description')).toContain(app().fhirBase)
    expect((await refusal({ aud: '' })).get('error')).toBe('invalid_request')
  })

  it('may be missing where the API says so', async () => {
    const tokens = await obtainTokens(summit(), { member: 'sam', params: { aud: null } })
    expect(claimsOf(tokens.access_token).aud).toBe(summit().fhirBase)
  })

  it('resource (RFC 8707) says the same as aud', async () => {
    for (const resource of [app().fhirBase, `${app().fhirBase}/`, 'https://fhir.prairie.example/sandbox/r4']) {
      const tokens = await obtainTokens(app(), { params: { aud: null, resource } })
      expect(claimsOf(tokens.access_token)).toMatchObject({ aud: app().fhirBase, patient: 'maria' })
    }
  })

  it('a wrong aud is not forgiven because resource is right, nor the other way round', async () => {
    const { fhirBase } = app()
    const wrong = 'https://fhir.other.example/r4'
    expect((await refusal({ aud: wrong, resource: fhirBase })).get('error')).toBe('invalid_target')
    expect((await refusal({ aud: fhirBase, resource: wrong })).get('error')).toBe('invalid_target')
  })

  it('one authorization is for one API: resource must not be doubled', async () => {
    const url = new URL(authorizationUrl(app(), challenge))
    for (const each of [app().fhirBase, app().fhirBase]) url.searchParams.append('resource', each)
    const response = await new Visitor().send(url.href)
    expect(new URL(response.headers.get('location') ?? '').searchParams.get('error')).toBe('invalid_target')
  })
})

describe('scope (R7)', () => {
  it.each([
    'email address',
    'system/*.rs',
    'user/Nothing.rs',
    'patient/Patient.sr',
    'patient/Nothing.rs',
    'patient/*.cruds?',
  ])('%s alone is invalid_scope, and the error names it', async (scope) => {
    const query = await refusal({ scope })
    expect(query.get('error')).toBe('invalid_scope')
    expect(query.get('scope')).toBe(scope)
    expect(query.get('error_description')).toContain('scopes_supported')
  })

  it('what is unknown or not offered is dropped, and the answer says what was granted', async () => {
    const tokens = await obtainTokens(app(), {
      params: {
        scope: 'openid email patient/Patient.rs system/Coverage.rs patient/Unknown.read offline_access toString',
      },
    })
    expect(tokens.scope.split(' ').sort()).toEqual(['launch/patient', 'offline_access', 'openid', 'patient/Patient.rs'])
  })

  it.each([
    ['patient/Coverage.read', 'patient/Coverage.read'],
    ['patient/Coverage.rs', 'patient/Coverage.rs'],
    ['patient/Observation.rs?category=laboratory', 'patient/Observation.rs?category=laboratory'],
  ])('launch/patient is inferred from %s [SMART scopes.patient-in-context]', async (scope, kept) => {
    const tokens = await obtainTokens(app(), { params: { scope } })
    expect(tokens.scope.split(' ').sort()).toEqual(['launch/patient', kept].sort())
    expect(tokens.patient).toBe('maria')
    expect(claimsOf(tokens.access_token).patient).toBe('maria')
  })

  it('a scope that is doubled is granted once', async () => {
    const tokens = await obtainTokens(app(), {
      params: { scope: 'openid openid patient/Patient.rs  patient/Patient.rs' },
    })
    expect(tokens.scope.split(' ').sort()).toEqual(['launch/patient', 'openid', 'patient/Patient.rs'])
  })

  it('a scope with letters that none may have is dropped like any unknown one', async () => {
    const scope = '"quoted" gesundheit\u0000 健康/*.rs patient/Patient.rs '
    expect((await obtainTokens(app(), { params: { scope } })).scope).toBe('patient/Patient.rs launch/patient')
  })

  it('three hundred scopes are read as well as three', async () => {
    const scope = [...Array.from({ length: 300 }, (_, i) => `patient/None${i}.rs`), 'patient/Patient.rs'].join(' ')
    const tokens = await obtainTokens(app(), { params: { scope } })
    expect(tokens.scope).toBe('patient/Patient.rs launch/patient')
  })
})

describe('POST (R1) [SMART app-launch.post-authorize]', () => {
  const send = (body: RequestInit['body'], headers: Record<string, string> = {}, to = app().authorize) =>
    new Visitor().send(to, { method: 'POST', body: body ?? null, headers })

  it('walks the whole way, as GET does', async () => {
    const visitor = new Visitor()
    const { searchParams } = new URL(authorizationUrl(app(), challenge))
    const first = await visitor.open(app().authorize, { method: 'POST', body: searchParams })
    expect(first.html).toContain('name="password"')
    const { page } = await walkToConsent(app(), challenge, { visitor })
    expect(page.html).toContain('/consent')
    let next = await visitor.submit(first, '/sign-in', { username: 'maria', password: 'prairie-sandbox-1' })
    next = await visitor.submit(next, '/consent')
    const code = new URL(next.url).searchParams.get('code') ?? ''
    expect((await exchange(app(), code, verifier)).status).toBe(200)
  })

  it('is answered by 303, so that nothing is posted twice and our Lax cookies come along', async () => {
    const response = await send(new URL(authorizationUrl(app(), challenge)).searchParams)
    expect(response.status).toBe(303)
    expect(response.headers.get('location')).toBe(authorizationUrl(app(), challenge))
    expect(response.headers.get('cache-control')).toBe('no-store')
  })

  it.each([
    ['JSON', 'application/json', '{"client_id":"demo-public"}', 415],
    ['text', 'text/plain', 'client_id=demo-public', 415],
    ['multipart', 'multipart/form-data; boundary=x', '--x--', 415],
    ['no type', '', 'client_id=demo-public', 415],
    ['too large', 'application/x-www-form-urlencoded', `client_id=demo-public&state=${'x'.repeat(9000)}`, 413],
  ])('%s is refused with a page', async (_what, type, body, status) => {
    const response = await send(body, { 'content-type': type })
    expect(response.status).toBe(status)
    expect(response.headers.get('location')).toBeNull()
    expect(await response.text()).toContain(response.headers.get('x-request-id'))
  })

  it('a compressed body is refused', async () => {
    const headers = { 'content-type': 'application/x-www-form-urlencoded', 'content-encoding': 'gzip' }
    expect((await send('client_id=demo-public', headers)).status).toBe(415)
  })

  it.each([
    ['an empty body', ''],
    ['nonsense', '%%%=%zz&&&=='],
    ['an unknown app', 'client_id=nobody&redirect_uri=https%3A%2F%2Fevil.example'],
  ])('%s ends on a page of ours', async (_what, body) => {
    const page = await new Visitor().open(app().authorize, {
      method: 'POST',
      body,
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
    })
    expect(page.status).toBe(400)
    expect(new URL(page.url).origin).toBe(server.url)
  })

  it.each(['PUT', 'DELETE', 'PATCH', 'HEAD', 'OPTIONS'])('%s is not allowed', async (method) => {
    const response = await new Visitor().send(authorizationUrl(app(), challenge), { method })
    expect(response.status).toBe(405)
    expect(response.headers.get('location')).toBeNull()
  })
})

describe('CORS', () => {
  it.each(['GET', 'POST', 'OPTIONS'])(
    'there is none at the authorization endpoint: %s (RFC 9700 §2.6) [RFC 9700 14]',
    async (method) => {
      const response = await new Visitor().send(authorizationUrl(app(), challenge), {
        method,
        headers: { origin: 'http://127.0.0.1:8123', 'access-control-request-method': 'POST' },
        ...(method === 'POST' ? { body: new URLSearchParams({ client_id: 'demo-public' }) } : {}),
      })
      response.headers.forEach((_value, name) => {
        expect(name).not.toMatch(/^access-control-/)
      })
    },
  )
})
