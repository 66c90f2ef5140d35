import { describe, expect, it } from 'vitest'
import { scopesOf, serviceScopesOf, smartCapabilities, smartConfiguration } from '../../src/smart/discovery.ts'
import { parseScope } from '../../src/smart/scope.ts'

const issuer = 'https://plan.example/prairie/sandbox'
const endpoints = {
  authorization: `${issuer}/authorize`,
  token: `${issuer}/token`,
  introspection: `${issuer}/introspect`,
  revocation: `${issuer}/revoke`,
  jwks: `${issuer}/jwks`,
}

describe('smartConfiguration', () => {
  it('has every member that SMART App Launch 2.2 requires (R1) [SMART discovery.capabilities, discovery.token-endpoint, discovery.authorization-endpoint, discovery.issuer-jwks, discovery.grant-types]', () => {
    expect(smartConfiguration({ issuer, endpoints, scopes: ['openid'] })).toEqual({
      issuer,
      jwks_uri: endpoints.jwks,
      authorization_endpoint: endpoints.authorization,
      token_endpoint: endpoints.token,
      token_endpoint_auth_methods_supported: ['none', 'client_secret_basic', 'client_secret_post'],
      grant_types_supported: ['authorization_code', 'refresh_token'],
      scopes_supported: ['openid'],
      response_types_supported: ['code'],
      introspection_endpoint: endpoints.introspection,
      revocation_endpoint: endpoints.revocation,
      code_challenge_methods_supported: ['S256'],
      capabilities: [...smartCapabilities],
    })
  })

  it('promises nothing of what is experimental or not offered (R1)', () => {
    for (const capability of ['smart-app-state', 'context-passthrough-banner'])
      expect(smartCapabilities).not.toContain(capability)
  })

  it('says plain PKCE nowhere (R4) [SMART discovery.pkce-methods]', () => {
    expect(JSON.stringify(smartConfiguration({ issuer, endpoints, scopes: [] }))).not.toContain('plain')
  })

  it('takes what later releases add', () => {
    const configuration = smartConfiguration({
      issuer,
      endpoints: { ...endpoints, userinfo: `${issuer}/me` },
      scopes: [],
      tokenEndpointAuthMethods: ['private_key_jwt'],
      tokenEndpointAuthAlgorithms: ['RS384', 'ES384'],
    })
    expect(configuration).toMatchObject({
      userinfo_endpoint: `${issuer}/me`,
      token_endpoint_auth_methods_supported: ['private_key_jwt'],
      token_endpoint_auth_signing_alg_values_supported: ['RS384', 'ES384'],
    })
  })
})

describe('scopesOf', () => {
  it('lists identity, launch, and every type in both spellings', () => {
    expect(scopesOf({ resources: ['Patient', 'Coverage'], interactions: 'rs', sensitivity: 'stated' }, [])).toEqual([
      'openid',
      'fhirUser',
      'launch',
      'launch/patient',
      'offline_access',
      'online_access',
      'patient/*.rs',
      'patient/*.read',
      'patient/Patient.rs',
      'patient/Patient.read',
      'patient/Coverage.rs',
      'patient/Coverage.read',
      'user/*.rs',
      'user/*.read',
      'user/Patient.rs',
      'user/Patient.read',
      'user/Coverage.rs',
      'user/Coverage.read',
    ])
  })

  it('lists only what the grammar reads and the API offers', () => {
    const scopes = scopesOf({ resources: ['Patient'], interactions: 'cr', sensitivity: 'stated' }, [])
    expect(scopes.every((scope) => parseScope(scope) !== undefined)).toBe(true)
    expect(scopes).toContain('patient/Patient.r')
    expect(scopes).toContain('patient/Patient.c')
    expect(scopes.join(' ')).not.toMatch(/read|write|rs|cud|system\//)
  })

  it('lists the scopes of sensitive categories where the API holds such records back, and nowhere else (R25)', () => {
    const categories = [{ scope: null }, { scope: 'sensitive/hiv' }]
    const scopesAt = (sensitivity: 'enforced' | 'stated' | 'refused') =>
      scopesOf({ resources: ['Patient'], interactions: 'rs', sensitivity }, categories)
    expect(scopesAt('enforced').filter((scope) => scope.startsWith('sensitive/'))).toEqual(['sensitive/hiv'])
    expect(scopesAt('stated').join(' ')).not.toContain('sensitive/')
    expect(scopesAt('refused').join(' ')).not.toContain('sensitive/')
  })
})

describe('serviceScopesOf', () => {
  const api = { resources: ['Patient'], interactions: 'rs', sensitivity: 'enforced' as const }

  it('lists system/ scopes, and what services may do at the issuer [SMART backend.advertised]', () => {
    const all = ['system/*.rs', 'system/*.read', 'system/Patient.rs', 'system/Patient.read', 'introspect', 'launches']
    expect(serviceScopesOf(api, [{ scope: null }])).toEqual(all)
    expect(serviceScopesOf(api, [{ scope: 'sensitive/hiv' }])).toEqual([...all, 'sensitive/hiv'])
    expect(serviceScopesOf({ ...api, sensitivity: 'stated' }, [{ scope: 'sensitive/hiv' }])).toEqual(all)
  })

  it('shares none of them with apps but those of sensitive categories', () => {
    const categories = [{ scope: 'sensitive/hiv' }]
    const apps = new Set(scopesOf(api, categories))
    expect(serviceScopesOf(api, categories).filter((scope) => apps.has(scope))).toEqual(['sensitive/hiv'])
  })
})
