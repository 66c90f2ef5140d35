/** Options of apps that register themselves, and of the user-access brand: what is refused, and what is there by default. */
import { describe, expect, it } from 'vitest'
import type { Environment, Plan } from '../../src/config/settings.ts'
import { lines, load, localConfig, publicConfig, publicEnv, set } from './fixture.ts'

const PRODUCTION = 'plans.alder.environments.production'
const AT = `${PRODUCTION}.registration`
const keys = { keys: [{ kty: 'EC', crv: 'P-256', x: 'x', y: 'y' }] }
const statements = (over: object) => ({
  by: ['software-statement'],
  softwareStatements: [{ issuer: 'https://apps.example.org', jwks: keys, ...over }],
})

const faultsOf = (registration: object): string[] => lines(load(set(localConfig(), AT, registration)).faults)
const planOf = (config = localConfig()): Plan => load(config).settings.plans[0] as Plan
const environmentOf = (plan: Plan, name: string): Environment =>
  plan.environments.find(({ id }) => id === `alder/${name}`) as Environment

describe('registration', () => {
  it('is off by default, and asks for an initial access token where it is on (R20)', () => {
    expect(environmentOf(planOf(), 'production').registration).toBeNull()
    expect(environmentOf(planOf(set(localConfig(), AT, {})), 'production').registration).toEqual({
      by: ['initial-access-token'],
      softwareStatements: [],
      policy: {
        kinds: ['public', 'confidential'],
        authMethods: ['client_secret_basic', 'private_key_jwt'],
        profiles: ['smart'],
        dpop: 'optional',
        scopes: null,
        apis: null,
        redirectHosts: null,
        maximumRedirectUris: 10,
      },
    })
  })

  it('takes statements of an issuer with keys, inline or by address', () => {
    expect(faultsOf(statements({}))).toEqual([])
    expect(faultsOf(statements({ jwks: null, jwksUri: 'https://apps.example.org/jwks' }))).toEqual([])
  })

  it.each<[string, object, string]>([
    ['nobody lets anybody in', { by: [] }, `${AT}.by: must be a list of at least 1`],
    ['a way in that there is not', { by: ['anybody'] }, `${AT}.by.0: must be`],
    ['no issuer of statements', { by: ['software-statement'] }, `${AT}.softwareStatements: is required`],
    ['an issuer without keys', statements({ jwks: null }), `${AT}.softwareStatements.0.jwks: is required, or jwksUri`],
    [
      'keys twice',
      statements({ jwksUri: 'https://apps.example.org/jwks' }),
      `${AT}.softwareStatements.0.jwksUri: must not be set beside jwks`,
    ],
    [
      'a shared secret as a key',
      statements({ jwks: { keys: [{ kty: 'oct', k: 'c2VjcmV0' }] } }),
      `${AT}.softwareStatements.0.jwks: must have public keys only`,
    ],
    ['no signature', statements({ algorithms: ['none'] }), `${AT}.softwareStatements.0.algorithms.0: must be`],
    [
      'a shared secret to sign',
      statements({ algorithms: ['HS256'] }),
      `${AT}.softwareStatements.0.algorithms.0: must be`,
    ],
    [
      'keys in the clear',
      statements({ jwks: null, jwksUri: 'http://apps.example.org/jwks' }),
      `${AT}.softwareStatements.0.jwksUri: must be`,
    ],
    [
      'services without a limit',
      { policy: { kinds: ['service'] } },
      `${AT}.policy.scopes: is required where kinds names service`,
    ],
    [
      'public apps by rules that know none',
      { policy: { kinds: ['public'], profiles: ['fapi2'] } },
      `${AT}.policy.profiles:`,
    ],
    [
      'rules that need keys, without keys',
      { policy: { profiles: ['fapi2'], authMethods: ['client_secret_basic'] } },
      `${AT}.policy.authMethods: must name private_key_jwt`,
    ],
    ['a scope that is none', { policy: { scopes: ['patient/*.sr'] } }, `${AT}.policy.scopes.0: is no scope`],
    [
      'an API that is not there',
      { policy: { apis: ['other'] } },
      `${AT}.policy.apis.0: must be one of this environment’s: fhir`,
    ],
    [
      'a host with a port',
      { policy: { redirectHosts: ['example.org:8443'] } },
      `${AT}.policy.redirectHosts.0: must be`,
    ],
    ['too many addresses', { policy: { maximumRedirectUris: 21 } }, `${AT}.policy.maximumRedirectUris: must be`],
  ])('refuses %s', (_, registration, message) => {
    const faults = faultsOf(registration)
    expect(
      faults.some((fault) => fault.startsWith(message)),
      faults.join('\n'),
    ).toBe(true)
  })

  it('refuses keys of a statement’s issuer on this machine where the issuer is not', () => {
    const config = set(publicConfig(), AT, statements({ jwks: null, jwksUri: 'http://127.0.0.1:9/jwks' }))
    expect(lines(load(config, publicEnv).faults)).toContain(
      `${AT}.softwareStatements.0.jwksUri: must not be on this machine`,
    )
  })

  it('keeps the addresses below its endpoint free of others (R41)', () => {
    const config = set(localConfig(), `${PRODUCTION}.endpoints.token`, '/alder/production/register/token')
    expect(lines(load(config).faults).join('\n')).toContain('overlaps /alder/production/register')
  })
})

describe('the user-access brand', () => {
  it('is known by the origin of the plan’s site, without www, unless the plan says otherwise', () => {
    const config = set(localConfig(), 'plans.alder.contacts.website', 'https://www.alder.example.org/members')
    expect(planOf(config).userAccessBrand).toMatchObject({
      identifiers: [{ system: 'urn:ietf:rfc:3986', value: 'https://alder.example.org' }],
      categories: ['ins'],
      portal: { name: 'Alder Health', url: 'https://www.alder.example.org/members' },
      developerUrl: 'http://localhost:3000/',
    })
    const own = set(config, 'plans.alder.userAccessBrand.identifiers', [{ value: '12345' }])
    expect(planOf(own).userAccessBrand.identifiers).toEqual([{ system: null, value: '12345' }])
  })

  it.each<[string, unknown]>([
    ['identifiers', []],
    ['identifiers', [{ system: 'urn:oid:1.2.3' }]],
    ['categories', ['bank']],
    ['addresses', [{ city: 'Omaha' }]],
    ['addresses', [{ state: 'NE', country: 'usa' }]],
    ['portal.url', 'http://portal.example.org'],
    ['developerUrl', 'javascript:alert(1)'],
  ])('refuses %s: %j', (option, value) => {
    const at = `plans.alder.userAccessBrand.${option}`
    const faults = lines(load(set(localConfig(), at, value)).faults)
    expect(faults.some((fault) => fault.startsWith(at))).toBe(true)
  })
})
