/**
 * What an issuer says of itself to SMART apps.
 *
 * Owns: the SMART configuration (SMART App Launch 2.2, "Conformance") and the scopes that it lists. All of it is true (R1).
 * Does not own: where it is served, or the OpenID and RFC 8414 documents (the engine's).
 */
import { type ResourceScope, spellScope } from './scope.ts'

/** The capabilities of this release. A capability joins when a test exercises it, never before. */
export const smartCapabilities: readonly string[] = [
  'launch-ehr',
  'launch-standalone',
  'authorize-post',
  'client-public',
  'client-confidential-symmetric',
  'client-confidential-asymmetric',
  'sso-openid-connect',
  'context-banner',
  'context-ehr-encounter',
  'context-ehr-patient',
  'context-standalone-patient',
  'context-style',
  'permission-offline',
  'permission-online',
  'permission-patient',
  'permission-user',
  'permission-v1',
  'permission-v2',
]

/** All endpoints are absolute URLs. */
export interface SmartEndpoints {
  authorization: string
  token: string
  introspection: string
  revocation: string
  userinfo?: string
  jwks: string
  revocationFeed?: string
  /** Where people see and end what they share. */
  management?: string
  /** Where apps register themselves. */
  registration?: string
}

export interface SmartConfigurationInput {
  issuer: string
  endpoints: SmartEndpoints
  scopes: readonly string[]
  /** Default: `smartCapabilities`. */
  capabilities?: readonly string[]
  /** Default: `none`, `client_secret_basic` and `client_secret_post`. */
  tokenEndpointAuthMethods?: readonly string[]
  /** How client assertions may be signed; only with `private_key_jwt`. */
  tokenEndpointAuthAlgorithms?: readonly string[]
  /** Default `authorization_code` and `refresh_token`. */
  grantTypes?: readonly string[]
  /** Where the user-access brand bundle is, and by which identifier the plan's brand is found in it. */
  brand?: { bundle: string; identifier: { system: string | null; value: string } }
  /** Other FHIR endpoints for which the same issuer gives out tokens. */
  associatedEndpoints?: readonly { url: string; capabilities: readonly string[] }[]
}

/** A FHIR Identifier. */
const identifierOf = ({ system, value }: { system: string | null; value: string }) =>
  system === null ? { value } : { system, value }

/** The JSON of `/.well-known/smart-configuration`, also for export to a foreign FHIR server (R42). */
export function smartConfiguration(input: SmartConfigurationInput): Record<string, unknown> {
  const { endpoints } = input
  return {
    issuer: input.issuer,
    jwks_uri: endpoints.jwks,
    authorization_endpoint: endpoints.authorization,
    token_endpoint: endpoints.token,
    token_endpoint_auth_methods_supported: [
      ...(input.tokenEndpointAuthMethods ?? ['none', 'client_secret_basic', 'client_secret_post']),
    ],
    ...(input.tokenEndpointAuthAlgorithms && {
      token_endpoint_auth_signing_alg_values_supported: [...input.tokenEndpointAuthAlgorithms],
    }),
    grant_types_supported: [...(input.grantTypes ?? ['authorization_code', 'refresh_token'])],
    scopes_supported: [...input.scopes],
    response_types_supported: ['code'],
    introspection_endpoint: endpoints.introspection,
    revocation_endpoint: endpoints.revocation,
    ...(endpoints.revocationFeed && { revocation_feed_endpoint: endpoints.revocationFeed }),
    ...(endpoints.userinfo && { userinfo_endpoint: endpoints.userinfo }),
    ...(endpoints.management && { management_endpoint: endpoints.management }),
    ...(endpoints.registration && { registration_endpoint: endpoints.registration }),
    ...(input.brand && {
      user_access_brand_bundle: input.brand.bundle,
      user_access_brand_identifier: identifierOf(input.brand.identifier),
    }),
    ...(input.associatedEndpoints?.length && {
      associated_endpoints: input.associatedEndpoints.map(({ url, capabilities }) => ({
        url,
        capabilities: [...capabilities],
      })),
    }),
    code_challenge_methods_supported: ['S256'],
    capabilities: [...(input.capabilities ?? smartCapabilities)],
  }
}

/** What of an API, and of its plan's sensitive categories, decides about scopes. */
export interface ScopedApi {
  resources: readonly string[]
  interactions: string
  sensitivity: 'enforced' | 'stated' | 'refused'
  /** Can the patient's visits be chosen from? Default: no. */
  encounters?: boolean
}

/** Wildcard and type by type, each in the spelling of version 2 and, where it can say the same, of version 1. */
function resourceScopesOf(context: ResourceScope['context'], api: ScopedApi): string[] {
  return ['*', ...api.resources].flatMap((resource) =>
    ['rs', 'cud'].flatMap((group) => {
      const interactions = [...group].filter((letter) => api.interactions.includes(letter)).join('')
      if (interactions === '') return []
      return ([2, 1] as const).map(
        (version) => spellScope({ context, resource, interactions, version, query: [] }).text,
      )
    }),
  )
}

/**
 * The scopes that an API's apps may ask for: identity and launch; the patient's records, by `patient/` and by `user/` scopes,
 * which open what the person who signed in may see of the patient in context; and those of sensitive categories, where the API enforces them (R25).
 */
export function scopesOf(api: ScopedApi, categories: readonly { scope: string | null }[]): string[] {
  const sensitive = api.sensitivity === 'enforced' ? categories.flatMap(({ scope }) => scope ?? []) : []
  return [
    ...new Set([
      'openid',
      'fhirUser',
      'launch',
      'launch/patient',
      ...(api.encounters ? ['launch/encounter'] : []),
      'offline_access',
      'online_access',
      ...resourceScopesOf('patient', api),
      ...resourceScopesOf('user', api),
      ...sensitive,
    ]),
  ]
}

/** The same of backend services, which ask for nothing in a person's name: `system/` scopes, and what they may do at the issuer itself. */
export function serviceScopesOf(api: ScopedApi, categories: readonly { scope: string | null }[]): string[] {
  const sensitive = api.sensitivity === 'enforced' ? categories.flatMap(({ scope }) => scope ?? []) : []
  return [...new Set([...resourceScopesOf('system', api), 'introspect', 'launches', ...sensitive])]
}
