/**
 * What an issuer says of itself: OpenID Connect discovery, RFC 8414 metadata, and the SMART configuration.
 *
 * Owns: the addresses (R41) and that only what works is named (R1). Does not own: the SMART document's form (smart/discovery).
 */
import { managementUrl } from '../config/addresses.ts'
import type { Api, Environment } from '../config/settings.ts'
import {
  type SmartEndpoints,
  scopesOf,
  serviceScopesOf,
  smartCapabilities,
  smartConfiguration,
} from '../smart/discovery.ts'
import { assertionAlgorithms } from './client-assertions.ts'

/** The absolute addresses of an issuer's endpoints, as configured. */
export const endpointsOf = (
  environment: Environment,
): SmartEndpoints &
  Record<'pushedAuthorization' | 'userinfo' | 'revocationFeed' | 'management' | 'endSession', string> => {
  const { endpoints } = environment
  const at = ({ path }: { path: string }): string => new URL(path, environment.issuer).href
  return {
    authorization: at(endpoints.authorization),
    pushedAuthorization: at(endpoints.pushedAuthorization),
    token: at(endpoints.token),
    introspection: at(endpoints.introspection),
    revocation: at(endpoints.revocation),
    userinfo: at(endpoints.userinfo),
    jwks: at(endpoints.jwks),
    revocationFeed: at(endpoints.revocations),
    management: managementUrl(environment),
    ...(environment.registration ? { registration: at(endpoints.registration) } : {}),
    endSession: at(endpoints.endSession),
  }
}

const scopesOfAll = (environment: Environment, apis: readonly Api[]): string[] => [
  ...new Set(
    [scopesOf, serviceScopesOf].flatMap((of) => apis.flatMap((api) => of(api, environment.plan.sensitiveCategories))),
  ),
]

const authMethods = ['none', 'client_secret_basic', 'client_secret_post', 'private_key_jwt']
const grantTypes = ['authorization_code', 'refresh_token', 'client_credentials']
/** Of the ID token; `auth_time` and `nonce` where the request calls for them. */
const claims = ['iss', 'sub', 'aud', 'exp', 'iat', 'auth_time', 'nonce', 'fhirUser']

const capabilitiesOf = (apis: readonly Api[]): string[] => [
  ...smartCapabilities,
  ...(apis.some(({ encounters }) => encounters) ? ['context-standalone-encounter'] : []),
]

/** Where an issuer's user-access brand bundle is. */
export const brandsUrl = ({ endpoints, issuer }: Environment): string => new URL(endpoints.brands.path, issuer).href

/** The SMART configuration of an API, or of the issuer as a whole. */
export const smartDocument = (environment: Environment, api?: Api): Record<string, unknown> => {
  const apis = api ? [api] : environment.apis
  const [identifier] = environment.plan.userAccessBrand.identifiers
  return smartConfiguration({
    issuer: environment.issuer,
    endpoints: endpointsOf(environment),
    scopes: scopesOfAll(environment, apis),
    capabilities: capabilitiesOf(apis),
    tokenEndpointAuthMethods: authMethods,
    tokenEndpointAuthAlgorithms: assertionAlgorithms,
    grantTypes,
    ...(identifier ? { brand: { bundle: brandsUrl(environment), identifier } } : {}),
    // Of an issuer with one API all documents are the same.
    associatedEndpoints: environment.apis
      .filter((other) => environment.apis.length > 1 && other !== api)
      .map((other) => ({ url: other.baseUrl, capabilities: capabilitiesOf([other]) })),
  })
}

/** The engine's metadata with our addresses, our scopes, and only what works. */
export const issuerDocument = (environment: Environment, engine: Record<string, unknown>): Record<string, unknown> => {
  const endpoints = endpointsOf(environment)
  return {
    ...engine,
    authorization_endpoint: endpoints.authorization,
    pushed_authorization_request_endpoint: endpoints.pushedAuthorization,
    token_endpoint: endpoints.token,
    userinfo_endpoint: endpoints.userinfo,
    jwks_uri: endpoints.jwks,
    introspection_endpoint: endpoints.introspection,
    // A public client learns of its own tokens alone: whoever holds one of those can use it anyway.
    introspection_endpoint_auth_methods_supported: authMethods,
    introspection_endpoint_auth_signing_alg_values_supported: assertionAlgorithms,
    revocation_endpoint: endpoints.revocation,
    revocation_endpoint_auth_methods_supported: authMethods,
    revocation_endpoint_auth_signing_alg_values_supported: assertionAlgorithms,
    revocation_feed_endpoint: endpoints.revocationFeed,
    management_endpoint: endpoints.management,
    ...(endpoints.registration ? { registration_endpoint: endpoints.registration } : {}),
    end_session_endpoint: endpoints.endSession,
    scopes_supported: scopesOfAll(environment, environment.apis),
    claims_supported: claims,
    response_modes_supported: ['query'],
    token_endpoint_auth_methods_supported: authMethods,
    token_endpoint_auth_signing_alg_values_supported: assertionAlgorithms,
    grant_types_supported: grantTypes,
    ui_locales_supported: environment.plan.languages,
  }
}
