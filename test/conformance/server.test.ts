/** What SMART and the checklist ask for that is no other test's subject. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { baseUrlFault } from '../../src/config/urls.ts'
import { authorizationUrl, demoApp, obtainTokens, password, pkce, walkToConsent } from '../support/authorize.ts'
import { demonstrationApp } from '../support/demonstration-app.ts'
import { assertionOf, carried, demonstrationKey, makeKey } from '../support/key-client.ts'
import { initialToken, registration, send } from '../support/registration.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { formOf, Visitor } from '../support/visitor.ts'
import { claimsOf, confidential, post } from '../support/wire.ts'

let server: TestServer
/** Words without a capital, a digit or a sign. */
const plainWords = 'correct horse battery staple'

beforeAll(async () => {
  server = await startServer({
    change: ({ plans }) => {
      const sandbox = plans[0]?.environments[0]
      if (!sandbox?.demonstration) return
      sandbox.registration = registration({
        policy: { kinds: ['public', 'confidential', 'service'], scopes: ['system/Patient.rs'] },
      })
      sandbox.demonstration.apps.push(
        demonstrationApp({ clientId: 'with-origin', redirectUris: ['https://app.example/callback'] }),
      )
      for (const member of sandbox.demonstration.members) if (member.username === 'noor') member.password = plainWords
    },
  })
})
afterAll(() => server.close())

const issuer = () => `${server.url}/prairie/sandbox`
const app = () => demoApp(server.url)
// biome-ignore lint/suspicious/noExplicitAny: a test reads what the wire says
const document = async (kind: string, at = issuer()): Promise<any> => (await fetch(`${at}/.well-known/${kind}`)).json()

/** Every text in a document, with where it stands. */
const textsOf = (value: unknown, path = ''): [string, string][] => {
  if (typeof value === 'string') return [[path, value]]
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([name, each]) => textsOf(each, `${path}/${name}`))
}

describe('the SMART configuration', () => {
  it('has absolute addresses only, in every document of every issuer [SMART discovery.absolute-urls]', async () => {
    for (const path of ['/prairie/sandbox', '/prairie/production', '/v5/summit'])
      for (const kind of ['smart-configuration', 'openid-configuration']) {
        const addresses = textsOf(await document(kind, server.url + path)).filter(([name]) =>
          /(?:_endpoint|_uri|_bundle|issuer|\/url)$/.test(name),
        )
        expect(addresses.length).toBeGreaterThan(6)
        for (const [name, address] of addresses) expect(address, name).toMatch(/^https?:\/\/[^/]+\//)
      }
  })

  it('names no capability of its own but by a URI [SMART discovery.additional-capabilities-uris]', async () => {
    const ofHl7 =
      /^(?:launch-(?:ehr|standalone)|authorize-post|client-(?:public|confidential-(?:a?symmetric))|sso-openid-connect|context-(?:banner|style|(?:ehr|standalone)-(?:patient|encounter))|permission-(?:offline|online|patient|user|v1|v2)|smart-app-state)$/
    for (const capability of (await document('smart-configuration')).capabilities)
      if (!ofHl7.test(capability)) expect(URL.canParse(capability), capability).toBe(true)
  })

  it('names what SMART would like to see named [SMART discovery.auth-methods, discovery.scopes-supported, discovery.response-types, discovery.further-endpoints, discovery.brand-bundle, discovery.permission-v1]', async () => {
    const smart = await document('smart-configuration')
    expect(smart.token_endpoint_auth_methods_supported).toContain('client_secret_basic')
    expect(smart.scopes_supported).toContain('launch/patient')
    expect(smart.response_types_supported).toEqual(['code'])
    for (const name of ['introspection', 'revocation', 'management', 'registration'])
      expect(smart[`${name}_endpoint`], name).toMatch(/^http/)
    expect(smart.user_access_brand_bundle).toMatch(/^http/)
    expect(smart.user_access_brand_identifier).toHaveProperty('value')
    expect(smart.capabilities).toContain('permission-v1')
  })

  it('does not advertise app state, which there is none of [SMART app-state.advertised]', async () => {
    expect(JSON.stringify(await document('smart-configuration'))).not.toContain('smart-app-state')
  })

  it('there is no UDAP at any base, and it says so by 404 [SMART udap.not-there]', async () => {
    for (const path of ['', '/prairie/sandbox', '/prairie/sandbox/fhir', '/v5/summit/fhir', '/prairie/production'])
      expect((await fetch(`${server.url}${path}/.well-known/udap`)).status, path).toBe(404)
  })
})

describe('connections', () => {
  it('TLS: no issuer, API or key address is plain http, but on this machine [SMART asymmetric.tls, backend.tls]', async () => {
    expect(baseUrlFault('http://login.example.org')).toMatch(/must be https/)
    expect(baseUrlFault('http://localhost:3000')).toBeNull()
    const jwks_uri = 'http://app.example/keys'
    const body = {
      client_name: 'A',
      jwks_uri,
      token_endpoint_auth_method: 'private_key_jwt',
      redirect_uris: ['https://app.example/x'],
    }
    const refused = await send(`${issuer()}/register`, { token: await initialToken(server), body })
    expect(refused.body.error).toBe('invalid_client_metadata')
  })
})

describe('tokens', () => {
  it('access tokens have the characters of RFC 6750 only [SMART app-launch.token-characters]', async () => {
    const { access_token, refresh_token } = await obtainTokens(app())
    for (const token of [access_token, refresh_token]) expect(token).toMatch(/^[\w.~+/-]+=*$/)
  })

  it('the iss of an answer is that of the metadata, which promise it [RFC 9207 metadata, success]', async () => {
    const openid = await document('openid-configuration')
    expect(openid.authorization_response_iss_parameter_supported).toBe(true)
    const page = await new Visitor().open(authorizationUrl(app(), pkce().challenge, { scope: 'nothing' }))
    expect(new URL(page.url).searchParams.get('iss')).toBe(openid.issuer)
  })

  it('nobody who has no FHIR resource gets a fhirUser: there is nothing for them to share [SMART scopes.no-fhir-user]', async () => {
    const visitor = new Visitor()
    let page = await visitor.open(authorizationUrl(app(), pkce().challenge))
    page = await visitor.submit(page, '/sign-in', { username: 'noor', password: plainWords })
    expect(page.html).not.toContain('name="shown"')
    expect(page.url).not.toContain('code=')
  })

  it('no client id can be taken for a member’s sub, however it was made [RFC 9700 16]', async () => {
    const { id_token } = await obtainTokens(app())
    const { sub } = claimsOf(id_token)
    const token = await initialToken(server)
    const body = {
      client_id: sub,
      client_name: 'A',
      redirect_uris: ['http://127.0.0.1/x'],
      token_endpoint_auth_method: 'none',
    }
    const made = await send(`${issuer()}/register`, { token, body })
    expect(made.status).toBe(201)
    expect(made.body.client_id).not.toBe(sub)
    // And where a client acts for itself, no patient and no person is named.
    const who = { clientId: 'demo-service', audience: issuer() }
    const assertion = await assertionOf(await demonstrationKey('demo-service', 'ES384'), who)
    const asked = { grant_type: 'client_credentials', scope: 'system/Patient.rs', ...carried(assertion) }
    const service = claimsOf((await post(`${issuer()}/token`, asked)).body.access_token)
    expect(service.sub).toBe(service.client_id)
    expect(service).not.toHaveProperty('grant_id')
  })
})

describe('signing in', () => {
  it('is answered by 303: the password is posted nowhere else [RFC 9700 11]', async () => {
    const visitor = new Visitor()
    const page = await visitor.open(authorizationUrl(app(), pkce().challenge))
    const { action, fields } = formOf(page, '/sign-in')
    fields.set('username', 'maria')
    fields.set('password', password)
    const headers = { 'sec-fetch-site': 'same-origin' }
    expect((await visitor.send(action, { method: 'POST', body: fields, headers })).status).toBe(303)
    const { visitor: other, page: consent } = await walkToConsent(app(), pkce().challenge, { visitor })
    const form = formOf(consent, '/consent')
    expect((await other.send(form.action, { method: 'POST', body: form.fields, headers })).status).toBe(303)
  })

  it('takes a password of plain words: there are no rules of composition [ASVS 6.2.5] [NIST no-composition]', async () => {
    const visitor = new Visitor()
    const page = await visitor.open(authorizationUrl(app(), pkce().challenge))
    const done = await visitor.submit(page, '/sign-in', { username: 'noor', password: plainWords })
    expect(done.html).not.toContain('name="password"')
  })

  it('offers no hint and asks nothing about a life [NIST no-hints]', async () => {
    const page = await new Visitor().open(authorizationUrl(app(), pkce().challenge))
    const names = [...page.html.matchAll(/<input[^>]*name="([^"]*)"/g)].map(([, name]) => name)
    expect(names.filter((name) => !/^(?:csrf|username|password|next)$/.test(name ?? ''))).toEqual([])
  })
})

describe('clients', () => {
  it('an assertion is of the client that it names, as iss and as sub [SMART asymmetric.iss-client]', async () => {
    const key = await demonstrationKey('demo-service', 'ES384')
    const who = { clientId: 'demo-service', audience: issuer() }
    const ask = async (claims: Record<string, unknown>, more: Record<string, string> = {}) => {
      const assertion = await assertionOf(key, who, { claims })
      const fields = { grant_type: 'client_credentials', scope: 'system/Patient.rs', ...more, ...carried(assertion) }
      return (await post(`${issuer()}/token`, fields)).body
    }
    for (const claims of [
      { iss: 'demo-ehr' },
      { sub: 'demo-ehr' },
      { iss: 'nobody', sub: 'nobody' },
      { iss: undefined },
    ])
      expect((await ask(claims)).error, JSON.stringify(claims)).toBe('invalid_client')
    expect((await ask({}, { client_id: 'demo-asymmetric' })).error).toBe('invalid_client')
    expect((await ask({})).scope).toBe('system/Patient.rs')
  })

  it('a backend service that registers has keys, and never a secret [SMART symmetric.not-backend]', async () => {
    const token = await initialToken(server)
    const service = { client_name: 'Measures', grant_types: ['client_credentials'], scope: 'system/Patient.rs' }
    const ask = (body: object) => send(`${issuer()}/register`, { token, body: { ...service, ...body } })
    expect((await ask({ token_endpoint_auth_method: 'client_secret_basic' })).body.error).toBe(
      'invalid_client_metadata',
    )
    const { publicJwk } = await makeKey('ES384')
    const jwks = { keys: [publicJwk] }
    expect((await ask({ token_endpoint_auth_method: 'private_key_jwt', jwks })).status).toBe(201)
    const asked = { grant_type: 'client_credentials', scope: 'system/Patient.rs' }
    expect((await post(`${issuer()}/token`, asked, confidential)).body.error).toBe('unauthorized_client')
  })

  it('what a service is refused for is said in words [SMART backend.error-description]', async () => {
    const who = { clientId: 'demo-service', audience: issuer() }
    const assertion = await assertionOf(await demonstrationKey('demo-service', 'ES384'), who)
    const fields = { grant_type: 'client_credentials', scope: 'system/Patient.cud', ...carried(assertion) }
    const { status, body } = await post(`${issuer()}/token`, fields)
    expect([status, body.error]).toEqual([400, 'invalid_scope'])
    expect(body.error_description.length).toBeGreaterThan(10)
  })
})
