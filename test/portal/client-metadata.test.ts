/** What an app may say of itself: R12 and R13, and what a policy allows; every fault with its field (R20). */
import { generateKeyPairSync } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { loadSettings } from '../../src/config/load.ts'
import type { Environment, RegistrationPolicy } from '../../src/config/settings.ts'
import { InputFaults } from '../../src/errors.ts'
import { profiles } from '../../src/oidc/profiles.ts'
import { appNameFault } from '../../src/portal/app-name.ts'
import { type ClientDraft, readClientMetadata } from '../../src/portal/client-metadata.ts'
import { registration } from '../support/registration.ts'

const plan = loadSettings({ env: {} }).settings.plans[0]
const environmentNamed = (name: string): Environment => {
  const found = plan?.environments.find(({ id }) => id === `prairie/${name}`)
  if (!found) throw new Error(`no environment ${name}`)
  return found
}
const callback = 'https://steps.example.com/callback'
const app = { client_name: 'Steps', redirect_uris: [callback], token_endpoint_auth_method: 'none' }
const rules = (policy: Partial<RegistrationPolicy> = {}, environment = 'production') => ({
  environment: environmentNamed(environment),
  policy: registration({ policy }).policy,
  profiles,
})
const read = (given: object, policy: Partial<RegistrationPolicy> = {}, environment?: string): ClientDraft =>
  readClientMetadata(given, rules(policy, environment))
const faultsOf = (given: unknown, policy: Partial<RegistrationPolicy> = {}, environment?: string): string[] => {
  try {
    readClientMetadata(given, rules(policy, environment))
    return []
  } catch (error) {
    if (!(error instanceof InputFaults)) throw error
    return error.faults.map(({ path, message }) => `${path}: ${message}`)
  }
}
const jwk = (kind: 'rsa' | 'ec', option: number | string, kid = 'one') => {
  const { publicKey } =
    kind === 'rsa'
      ? generateKeyPairSync('rsa', { modulusLength: option as number })
      : generateKeyPairSync('ec', { namedCurve: option as string })
  return { ...publicKey.export({ format: 'jwk' }), kid }
}
const p384 = jwk('ec', 'P-384')
const asymmetric = (over: object = {}) => ({
  ...app,
  token_endpoint_auth_method: 'private_key_jwt',
  jwks: { keys: [p384] },
  ...over,
})
const service = (over: object = {}) => ({
  client_name: 'Nightly',
  grant_types: ['client_credentials'],
  token_endpoint_auth_method: 'private_key_jwt',
  jwks: { keys: [p384] },
  scope: 'system/Patient.rs',
  ...over,
})
const services = {
  kinds: ['public', 'service'],
  scopes: ['patient/*.rs', 'system/Patient.rs', 'system/Coverage.r'],
} satisfies Partial<RegistrationPolicy>

describe('what is made of it', () => {
  it('a public, a confidential app, and a service', () => {
    expect(read(app)).toMatchObject({
      kind: 'public',
      authMethod: 'none',
      profile: 'smart',
      dpop: false,
      apis: ['fhir'],
    })
    expect(read({ ...app, token_endpoint_auth_method: undefined })).toMatchObject({
      kind: 'confidential',
      authMethod: 'client_secret_basic',
    })
    expect(read({ ...app, token_endpoint_auth_method: 'client_secret_post' })).toMatchObject({
      authMethod: 'client_secret_basic',
      metadata: { token_endpoint_auth_method: 'client_secret_post' },
    })
    expect(read(service(), services)).toMatchObject({
      kind: 'service',
      authMethod: 'private_key_jwt',
      redirectUris: [],
      scopes: ['system/Patient.rs'],
      metadata: { grant_types: ['client_credentials'], response_types: [] },
    })
  })

  it('launch URLs are kept, by either name [SMART app-launch.register-launch-urls]', () => {
    const launch_uris = ['https://steps.example.com/launch', 'https://steps.example.com/launch/two']
    const { launchUrls, metadata } = read({
      ...app,
      launch_uris,
      initiate_login_uri: 'https://steps.example.com/login',
    })
    expect(launchUrls).toEqual([...launch_uris, 'https://steps.example.com/login'])
    expect(metadata).toMatchObject({ launch_uris, initiate_login_uri: 'https://steps.example.com/login' })
    expect(read(app).launchUrls).toEqual([])
  })

  it('what is not known is ignored, null is as good as nothing, and nobody’s prototype is read', () => {
    const given = JSON.parse(
      `{"client_name":"Steps","redirect_uris":["${callback}"],"token_endpoint_auth_method":"none",
        "client_uri":null,"tls_client_certificate_bound_access_tokens":true,"__proto__":{"tos_uri":"https://a.example"}}`,
    )
    const { metadata } = read(given)
    for (const name of ['client_uri', 'tos_uri', 'tls_client_certificate_bound_access_tokens'])
      expect(metadata).not.toHaveProperty(name)
  })

  it('of keys only public members are kept, and of them those that there are [SMART asymmetric.jwks-inline] [SMART asymmetric.jwks-protected]', () => {
    const { jwks } = read(
      asymmetric({ jwks: { keys: [{ ...p384, x5u: 'https://evil.example', note: 'x' }], more: 1 } }),
    )
    expect(jwks).toEqual({ keys: [p384] })
  })

  it('asks for bound tokens where it says so, or the policy does', () => {
    expect(read({ ...app, dpop_bound_access_tokens: true }).dpop).toBe(true)
    expect(read({ ...app, dpop_bound_access_tokens: false }, { dpop: 'required' })).toMatchObject({
      dpop: true,
      metadata: { dpop_bound_access_tokens: true },
    })
  })

  it('lives by the stricter rules where it asks for them, or nothing else is offered', () => {
    const p256 = { jwks: { keys: [jwk('ec', 'P-256')] } }
    const asked = { ...p256, require_pushed_authorization_requests: true }
    const both: Partial<RegistrationPolicy> = { profiles: ['smart', 'fapi2'] }
    expect(read(asymmetric(asked), both)).toMatchObject({ profile: 'fapi2', dpop: true })
    expect(read(asymmetric(), both).profile).toBe('smart')
    expect(read(asymmetric(p256), { profiles: ['fapi2'] })).toMatchObject({
      profile: 'fapi2',
      metadata: { require_pushed_authorization_requests: true },
    })
  })
})

describe('scopes are those that the policy gives, never more', () => {
  it.each<[string, Partial<RegistrationPolicy>, string[] | null]>([
    ['openid patient/Patient.rs', {}, ['openid', 'patient/Patient.rs']],
    ['patient/*.cruds', {}, ['patient/*.rs']],
    ['patient/*.rs system/*.rs introspect launches', {}, ['patient/*.rs']],
    ['patient/Patient.rs sensitive/hiv nonsense', {}, ['patient/Patient.rs']],
    ['patient/*.rs openid', { scopes: ['openid', 'patient/Coverage.r'] }, ['patient/Coverage.r', 'openid']],
    [
      'patient/Patient.rs sensitive/hiv',
      { scopes: ['patient/*.rs', 'sensitive/hiv'] },
      ['patient/Patient.rs', 'sensitive/hiv'],
    ],
    ['', {}, null],
    ['', { scopes: ['openid', 'patient/*.rs', 'system/*.rs', 'launches'] }, ['openid', 'patient/*.rs']],
  ])('%j with %j: %j', (scope, policy, scopes) => {
    expect(read({ ...app, scope }, policy).scopes).toEqual(scopes)
  })

  it.each<[string, object, Partial<RegistrationPolicy>]>([
    ['nothing that there is', { ...app, scope: 'admin root' }, {}],
    ['a service’s scope for an app', { ...app, scope: 'system/Patient.rs' }, services],
    ['an app’s scope for a service', service({ scope: 'patient/Patient.rs openid' }), services],
    ['more than a service may', service({ scope: 'system/Observation.rs' }), services],
    ['nothing, for a service', service({ scope: undefined }), services],
    [
      'hundreds of restrictions, with which each of its requests would be compared',
      { ...app, scope: Array.from({ length: 200 }, (_, at) => `patient/Observation.rs?code=${at}`).join(' ') },
      {},
    ],
    [
      'restrictions of hundreds of values',
      {
        ...app,
        scope: Array.from({ length: 20 }, (_, at) => `patient/Observation.rs?code=${at}${',a'.repeat(30)}`).join(' '),
      },
      {},
    ],
  ])('%s: refused', (_, given, policy) => {
    expect(faultsOf(given, policy).join()).toMatch(/^scope: /)
  })
})

describe('a policy cannot be gone beyond [ASVS 10.4.7]', () => {
  it.each<[string, object, Partial<RegistrationPolicy>, RegExp]>([
    ['a public app where none may', app, { kinds: ['confidential'] }, /^token_endpoint_auth_method: is of a kind/],
    [
      'a confidential app where none may',
      { ...app, token_endpoint_auth_method: undefined },
      { kinds: ['public'] },
      /^token_endpoint_auth_method: is of a kind/,
    ],
    [
      'a service where none may',
      service(),
      {},
      /^grant_types: is of a kind that cannot register itself here; those that can: public, confidential/,
    ],
    [
      'a secret where keys must be',
      { ...app, token_endpoint_auth_method: 'client_secret_basic' },
      { authMethods: ['private_key_jwt'] },
      /^token_endpoint_auth_method: must be one of private_key_jwt/,
    ],
    [
      'a posted secret where keys must be',
      { ...app, token_endpoint_auth_method: 'client_secret_post' },
      { authMethods: ['private_key_jwt'] },
      /^token_endpoint_auth_method: must be one of private_key_jwt/,
    ],
    [
      'keys where a secret must be',
      asymmetric(),
      { authMethods: ['client_secret_basic'] },
      /^token_endpoint_auth_method: must be one of client_secret_basic/,
    ],
    [
      'stricter rules that are not offered',
      asymmetric({ require_pushed_authorization_requests: true }),
      {},
      /^require_pushed_authorization_requests: must be false/,
    ],
    [
      'softer rules than are offered',
      app,
      { profiles: ['fapi2'] },
      /^token_endpoint_auth_method: must be private_key_jwt/,
    ],
    ['another host', app, { redirectHosts: ['example.org'] }, /^redirect_uris\.0: must be at example\.org/],
    [
      'a host that only ends alike',
      { ...app, redirect_uris: ['https://evil-example.org/cb'] },
      { redirectHosts: ['example.org'] },
      /^redirect_uris\.0: must be at/,
    ],
    [
      'a launch at another host',
      { ...app, redirect_uris: ['https://a.example.org/'], launch_uris: ['https://evil.example/'] },
      { redirectHosts: ['example.org'] },
      /^launch_uris\.0: must be at/,
    ],
    [
      'too many addresses',
      { ...app, redirect_uris: [callback, `${callback}2`] },
      { maximumRedirectUris: 1 },
      /^redirect_uris: must be a list of at most 1/,
    ],
  ])('%s is refused', (_, given, policy, message) => {
    expect(faultsOf(given, policy).join('\n')).toMatch(message)
  })

  it('hosts of the policy, and those below them, are fine', () => {
    const redirect_uris = ['https://example.org/cb', 'https://app.example.org/cb']
    expect(faultsOf({ ...app, redirect_uris }, { redirectHosts: ['example.org'] })).toEqual([])
  })
})

describe('addresses', () => {
  it.each([
    'http://steps.example.com/cb',
    'https://steps.example.com/cb#x',
    'https://*.example.com/cb',
    'https://user:pass@steps.example.com/cb',
    'javascript:alert(1)',
    'data:text/html,x',
    'steps:/callback',
    '/callback',
    'https://steps.example.com/\u202ecb',
    'http://localhost/cb',
    'http://localhost:3000/prairie/production/demo',
    `https://steps.example.com/${'x'.repeat(2000)}`,
  ])('redirect_uris: %s is refused at a production issuer (R12) [SMART app-launch.register-redirect-uris]', (uri) => {
    expect(faultsOf({ ...app, redirect_uris: [uri] }).join()).toMatch(/^redirect_uris\.0: /)
  })

  it('http://localhost is for sandboxes, private schemes are for public apps', () => {
    expect(faultsOf({ ...app, redirect_uris: ['http://localhost:9/cb'] }, {}, 'sandbox')).toEqual([])
    const own = { redirect_uris: ['org.example.steps:/callback'] }
    expect(faultsOf({ ...app, ...own })).toEqual([])
    expect(faultsOf(asymmetric(own)).join()).toMatch(/^redirect_uris\.0: must not be a private-use scheme/)
  })

  it.each<[string, unknown]>([
    ['redirect_uris', undefined],
    ['redirect_uris', []],
    ['redirect_uris', callback],
    ['redirect_uris', [callback, callback]],
    ['redirect_uris', [7]],
    ['launch_uris', ['http://steps.example.com/launch']],
    ['launch_uris', ['org.example.steps:/launch']],
    ['initiate_login_uri', 'http://steps.example.com'],
    ['post_logout_redirect_uris', ['http://steps.example.com/bye']],
    ['client_uri', 'http://steps.example.com'],
    ['policy_uri', 'data:text/html,hello'],
    ['tos_uri', 'ftp://steps.example.com'],
    ['logo_uri', 'javascript:alert(1)'],
    ['contacts', ['not an address']],
    ['contacts', 'dev@steps.example.com'],
    ['software_id', 'one\ntwo'],
    ['software_version', 2],
    ['application_type', 'browser'],
    ['dpop_bound_access_tokens', 'yes'],
    ['response_types', ['code', 'token']],
    ['response_types', ['id_token']],
    ['grant_types', ['authorization_code', 'client_credentials']],
    ['grant_types', ['refresh_token']],
    ['grant_types', ['password']],
    ['grant_types', []],
    ['token_endpoint_auth_method', 'tls_client_auth'],
    ['token_endpoint_auth_method', 'client_secret_jwt'],
    ['scope', ['openid']],
  ])('%s: %j is refused', (name, value) => {
    expect(faultsOf({ ...app, [name]: value }).join('\n')).toMatch(new RegExp(`^${name}`))
  })

  it.each(['redirect_uris', 'launch_uris', 'post_logout_redirect_uris'])('%s is not for a service', (name) => {
    expect(faultsOf(service({ [name]: [callback] }), services).join()).toContain(
      `${name}: must be left out for a service`,
    )
  })
})

describe('keys', () => {
  const weak = jwk('rsa', 1024)
  const strong = jwk('rsa', 2048, 'two')
  it.each<[string, unknown, RegExp]>([
    ['a weak key', { keys: [weak] }, /^jwks\.keys\.0: must have 2048 bits/],
    ['a private key', { keys: [{ ...p384, d: 'c2VjcmV0' }] }, /^jwks\.keys\.0: must be a public key/],
    ['a shared secret', { keys: [{ kty: 'oct', kid: 'k', k: 'c2VjcmV0' }] }, /^jwks\.keys\.0: must be a public key/],
    ['a key without a name', { keys: [{ ...p384, kid: undefined }] }, /^jwks\.keys\.0: must have a kid/],
    ['two keys of one name', { keys: [p384, jwk('ec', 'P-384')] }, /^jwks\.keys\.1: has the kid of another/],
    ['a point that is not on the curve', { keys: [{ ...p384, x: p384.y }] }, /^jwks\.keys\.0: is no key/],
    ['a curve that nothing here signs on', { keys: [jwk('ec', 'P-521')] }, /^jwks\.keys\.0: must be an RSA key/],
    ['a key to encrypt', { keys: [{ ...p384, use: 'enc' }] }, /^jwks\.keys\.0: must be for signatures/],
    ['an algorithm of another type', { keys: [{ ...p384, alg: 'RS384' }] }, /^jwks\.keys\.0: has an alg/],
    ['no key that fits', { keys: [jwk('ec', 'P-256')] }, /^jwks: must have a key that can sign RS384, ES384/],
    ['no keys', { keys: [] }, /^jwks: must be a JWK Set/],
    ['a lone key', p384, /^jwks: must be a JWK Set/],
    ['text', 'keys', /^jwks: must be a JWK Set/],
    ['nothing', undefined, /^jwks: is required for private_key_jwt, or jwks_uri/],
  ])('%s is refused', (_, jwks, message) => {
    expect(faultsOf(asymmetric({ jwks })).join('\n')).toMatch(message)
  })

  it('RS384 and ES384 keys are taken [SMART asymmetric.jwks-inline]', () => {
    expect(faultsOf(asymmetric({ jwks: { keys: [p384, strong] } }))).toEqual([])
  })

  it('jwks_uri is https, and not beside jwks [SMART asymmetric.jwks-url]', () => {
    const uri = 'https://steps.example.com/jwks'
    expect(read(asymmetric({ jwks: undefined, jwks_uri: uri }))).toMatchObject({ jwks: null, jwksUri: uri })
    expect(faultsOf(asymmetric({ jwks_uri: uri }))).toEqual(['jwks_uri: must not be set beside jwks'])
    for (const bad of ['http://steps.example.com/jwks', 'http://169.254.169.254/', 'file:///etc/passwd', 'gopher://a/'])
      expect(faultsOf(asymmetric({ jwks: undefined, jwks_uri: bad })).join()).toMatch(/^jwks_uri: /)
    expect(faultsOf({ ...app, jwks_uri: uri })).toEqual(['jwks_uri: is for token_endpoint_auth_method private_key_jwt'])
  })
})

describe('jwks_uri leads to the public internet, or the app is not registered [SMART asymmetric.jwks-url]', () => {
  const remote = (): Environment => ({ ...environmentNamed('production'), issuer: 'https://login.example.org/plan' })
  const faults = (jwks_uri: string): string => {
    try {
      readClientMetadata(asymmetric({ jwks: undefined, jwks_uri }), { ...rules(), environment: remote() })
      return ''
    } catch (error) {
      return error instanceof InputFaults ? error.message : String(error)
    }
  }

  it.each([
    'https://127.0.0.1/jwks',
    'https://2130706433/jwks',
    'https://0x7f.1/jwks',
    'https://10.1.2.3/jwks',
    'https://169.254.169.254/latest/meta-data',
    'https://192.168.0.1/',
    'https://0.0.0.0/',
    'https://[::1]/jwks',
    'https://[::ffff:10.0.0.1]/jwks',
    'https://[fd00::1]/jwks',
    'https://localhost/jwks',
    'https://LOCALHOST./jwks',
    'https://jwks.localhost/',
    'https://metadata.google.internal/',
    'https://printer.local/',
    'https://intranet/jwks',
    'http://keys.example.org/jwks',
    'http://127.0.0.1/jwks',
    'https://user@keys.example.org/jwks',
  ])('%s is refused', (uri) => {
    expect(faults(uri)).toMatch(/^jwks_uri: must /)
  })

  it.each(['https://keys.example.org/jwks', 'https://93.184.215.14/jwks', 'https://keys.example.org:8443/a?b=c'])(
    '%s is fine',
    (uri) => {
      expect(faults(uri)).toBe('')
    },
  )
})

describe('names that members read', () => {
  it.each([
    ['nothing', undefined],
    ['only spaces', '   '],
    ['a control character', 'Steps\u0007'],
    ['a line of its own', 'Steps\nApproved by your plan'],
    ['text that runs the other way', 'Steps\u202Eppa'],
    ['what is not seen', 'Ste\u200Bps'],
    ['a filler', 'Steps\u3164'],
    ['signs alone', '!!!'],
    ['a pile of marks', 'Ste\u0301\u0301\u0301\u0301\u0301ps'],
    ['two alphabets in a word', 'St\u0435ps'],
    ['two alphabets in a word, of which one is rare', 'H\u0585spital'],
    ['more than a line', 'x'.repeat(81)],
    ['the name of the plan', 'Prairie Health Plan app'],
    ['the name of the plan, in disguise', 'PRAIRIE-Health  \uff30lan'],
    ['the name of the plan, with digits for letters', 'Pra1rie Hea1th P1an'],
    ['the name of the plan, with a dot left out', 'Pra\u0131rie Health Plan'],
    ['a number', 7],
  ])('%s is refused', (_, client_name) => {
    expect(faultsOf({ ...app, client_name }).join()).toMatch(/^client_name: /)
  })

  it('the name of a plan, all in letters of another alphabet, is refused', () => {
    expect(appNameFault('\u0410\u0441\u043c\u0435 app', 'Acme')).toBe('must not have the name of the plan in it')
    expect(appNameFault('Acre app', 'Acme')).toBeNull()
  })

  it.each(['Pasos y más', '健康メモ', 'Apple健康', 'Здоровье', 'Dr. O’Neil & Sons', 'Steps 2.0 (beta)', 'Ｓteps'])(
    '%s is fine',
    (client_name) => {
      expect(faultsOf({ ...app, client_name })).toEqual([])
    },
  )
})

it.each([null, undefined, [], 'text', 7])('%j has every fault that nothing has', (given) => {
  expect(faultsOf(given)).toEqual([
    'redirect_uris: is required: at least one address',
    'client_name: is required: members will read it',
  ])
})
