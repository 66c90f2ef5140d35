/**
 * What an app says of itself when it is registered (RFC 7591 section 2), and what is made of it.
 *
 * Owns: which metadata there is, what is accepted (R12, R13), what a policy allows; every fault at once, each with its field.
 * Does not own: who may register (registration-tokens.ts, software-statements.ts), rows (registration.ts), or HTTP. Pure.
 */
import type { Environment, RegistrationPolicy } from '../config/settings.ts'
import { type Fault, InputFaults } from '../errors.ts'
import { scopesOf } from '../smart/discovery.ts'
import { isSensitiveScope, parseScopes, type Scope } from '../smart/scope.ts'
import { narrow } from '../smart/scope-set.ts'
import { isComparable } from '../smart/token-size.ts'
import { appName, appNameFault } from './app-name.ts'
import { addressFault, keyAddressFault, pageFault } from './client-addresses.ts'
import { keySetFaults, publicKeySet } from './client-keys.ts'
import { createFields, type Fields } from './metadata-fields.ts'

/** What must be known of a client profile. */
export interface ProfileRules {
  publicClients: boolean
  assertionAlgorithms: readonly string[]
  dpop: 'optional' | 'required'
}

export interface MetadataRules {
  environment: Environment
  policy: RegistrationPolicy
  profiles: Readonly<Record<'smart' | 'fapi2', ProfileRules>>
}

/** An app that may be registered: what is kept of it, and what it is told. */
export interface ClientDraft {
  kind: 'public' | 'confidential' | 'service'
  profile: 'smart' | 'fapi2'
  authMethod: 'none' | 'client_secret_basic' | 'private_key_jwt'
  dpop: boolean
  name: string
  website: string | null
  privacyPolicyUrl: string | null
  termsUrl: string | null
  supportEmail: string | null
  redirectUris: string[]
  launchUrls: string[]
  logoutUris: string[]
  jwks: { keys: Record<string, unknown>[] } | null
  jwksUri: string | null
  /** Null: whatever the issuer has. */
  scopes: string[] | null
  apis: string[]
  /** As RFC 7591 spells it. */
  metadata: Record<string, unknown>
}

const mostUrls = 20
const mostRestricted = 32
const authMethods = ['none', 'client_secret_basic', 'client_secret_post', 'private_key_jwt']

const kindOf = (grantTypes: readonly string[], authMethod: string): ClientDraft['kind'] => {
  if (grantTypes.includes('client_credentials')) return 'service'
  return authMethod === 'none' ? 'public' : 'confidential'
}

const grantTypeFaults = (grantTypes: readonly string[]): Fault[] => {
  const path = 'grant_types'
  if (grantTypes.some((type) => !['authorization_code', 'refresh_token', 'client_credentials'].includes(type)))
    return [{ path, message: 'must be of authorization_code, refresh_token, client_credentials' }]
  if (grantTypes.includes('client_credentials'))
    return grantTypes.length > 1 ? [{ path, message: 'must be client_credentials alone for a service' }] : []
  return grantTypes.includes('authorization_code') ? [] : [{ path, message: 'must name authorization_code' }]
}

const isOfServices = (scope: Scope): boolean =>
  scope.kind === 'resource' ? scope.context === 'system' : scope.text === 'introspect' || scope.text === 'launches'

/** The most that an app of this kind may ask for; null: everything that the issuer gives to apps. */
const allowedScopes = (kind: ClientDraft['kind'], { environment, policy }: MetadataRules): Scope[] => {
  const { apis, plan } = environment
  const all =
    policy.scopes ??
    apis
      .filter(({ id }) => policy.apis === null || policy.apis.includes(id))
      .flatMap((api) => scopesOf(api, plan.sensitiveCategories))
      .filter((text) => !isSensitiveScope(text))
  return parseScopes([...new Set(all)].join(' ')).scopes.filter((scope) => isOfServices(scope) === (kind === 'service'))
}

/** What is unknown or not allowed is dropped, as it is in every authorization (R7); the app is told what is left. */
const scopesFor = (fields: Fields, kind: ClientDraft['kind'], rules: MetadataRules): string[] | null => {
  const asked = fields.text('scope', { max: 16_384 })
  const allowed = allowedScopes(kind, rules)
  if (asked === undefined || asked.trim() === '') {
    if (kind !== 'service') return rules.policy.scopes === null ? null : allowed.map(({ text }) => text)
    fields.fault('scope', 'is required for a service')
    return []
  }
  const scopes = parseScopes(asked).scopes
  // Each request of it is compared with them.
  const restricted = scopes.filter((scope) => scope.kind === 'resource' && scope.query.length > 0)
  const resources = [...new Set(rules.environment.apis.flatMap((api) => api.resources))]
  if (restricted.length > mostRestricted || !isComparable(restricted, resources)) {
    fields.fault('scope', `must have at most ${mostRestricted} scopes with restrictions, and few values in them`)
    return []
  }
  const { kept } = narrow(scopes, allowed)
  if (kept.length === 0) fields.fault('scope', 'must have a scope that this issuer gives to such an app')
  return kept.map(({ text }) => text)
}

const addressesOf = (fields: Fields, kind: ClientDraft['kind'], rules: MetadataRules) => {
  const { maximumRedirectUris: max } = rules.policy
  const rule = (privateSchemes: boolean) => (uri: string) => addressFault(uri, rules, privateSchemes)
  const redirectUris = fields.list('redirect_uris', { max, rule: rule(kind === 'public') }) ?? []
  const launchUris = fields.list('launch_uris', { max: mostUrls, rule: rule(false) })
  const initiate = fields.text('initiate_login_uri', { rule: rule(false) })
  const logoutUris = fields.list('post_logout_redirect_uris', { max: mostUrls, rule: rule(kind === 'public') })
  if (kind === 'service') {
    for (const name of ['redirect_uris', 'launch_uris', 'initiate_login_uri', 'post_logout_redirect_uris'])
      if (fields.has(name)) fields.fault(name, 'must be left out for a service, which asks no members')
  } else if (redirectUris.length === 0 && !fields.faulty('redirect_uris'))
    fields.fault('redirect_uris', 'is required: at least one address')
  return { redirectUris, launchUris, initiate, logoutUris }
}

const keysOf = (fields: Fields, authMethod: string, accepted: readonly string[], rules: MetadataRules) => {
  const jwks = fields.value('jwks')
  const jwksUri = fields.text('jwks_uri', { rule: (url) => keyAddressFault(url, rules) })
  if (authMethod !== 'private_key_jwt') {
    for (const name of ['jwks', 'jwks_uri'])
      if (fields.has(name)) fields.fault(name, 'is for token_endpoint_auth_method private_key_jwt')
    return { jwks: null, jwksUri: null }
  }
  if (jwks !== undefined && fields.has('jwks_uri')) fields.fault('jwks_uri', 'must not be set beside jwks')
  if (jwks === undefined && !fields.has('jwks_uri'))
    fields.fault('jwks', 'is required for private_key_jwt, or jwks_uri')
  const faults = jwks === undefined ? [] : keySetFaults(jwks, accepted)
  for (const { path, message } of faults) fields.fault(path, message)
  const keys =
    jwks === undefined || faults.length > 0 ? null : publicKeySet(jwks as { keys: Record<string, unknown>[] })
  return { jwks: keys, jwksUri: jwksUri ?? null }
}

/** By which rules the app will live; pushed requests are the word by which one asks for the stricter ones. */
const profileOf = (fields: Fields, { policy }: MetadataRules): ClientDraft['profile'] => {
  const pushed = fields.flag('require_pushed_authorization_requests')
  if (pushed && !policy.profiles.includes('fapi2'))
    fields.fault('require_pushed_authorization_requests', 'must be false: fapi2 is not offered to apps here')
  return pushed || !policy.profiles.includes('smart') ? 'fapi2' : 'smart'
}

const authMethodFault = (
  said: string,
  { kind, profile }: Pick<ClientDraft, 'kind' | 'profile'>,
  { policy, profiles }: MetadataRules,
): string | null => {
  if (!authMethods.includes(said)) return `must be one of ${authMethods.join(', ')}`
  if (kind === 'service' || profile === 'fapi2')
    return said === 'private_key_jwt' ? null : 'must be private_key_jwt here'
  if (said === 'none') return profiles[profile].publicClients ? null : 'must not be none'
  const stored = said === 'client_secret_post' ? 'client_secret_basic' : said
  return policy.authMethods.some((method) => method === stored)
    ? null
    : `must be one of ${policy.authMethods.join(', ')} here`
}

/** What is said of people and pages; members read some of it. */
const descriptionOf = (fields: Fields, { environment }: MetadataRules) => {
  const page = (name: string) => fields.text(name, { rule: pageFault }) ?? null
  const line = (name: string) => fields.text(name, { max: 200, line: true })
  const name = fields.text('client_name', { max: 500, rule: (text) => appNameFault(text, environment.plan.name) })
  if (name === undefined && !fields.has('client_name')) fields.fault('client_name', 'is required: members will read it')
  return {
    name: appName(name ?? ''),
    website: page('client_uri'),
    logo: page('logo_uri'),
    privacyPolicyUrl: page('policy_uri'),
    termsUrl: page('tos_uri'),
    contacts: fields.list('contacts', {
      max: 10,
      rule: (text) =>
        text.length <= 254 && /^[^\s@<>",;]+@[^\s@<>",;]+$/.test(text) ? null : 'must be an e-mail address',
    }),
    softwareId: line('software_id'),
    softwareVersion: line('software_version'),
    applicationType: fields.oneOf('application_type', ['web', 'native']),
  }
}

/**
 * What an app that says this would be. Members of the object that are not known are ignored (RFC 7591 section 2), and null is
 * as good as nothing. Throws `InputFaults` with every fault: `invalid_redirect_uri` where all are of redirect addresses, else
 * `invalid_client_metadata`.
 */
export function readClientMetadata(given: unknown, rules: MetadataRules): ClientDraft {
  const fields = createFields(given)
  const { policy, profiles, environment } = rules
  const grantTypes = fields.list('grant_types', { max: 5 }) ?? ['authorization_code']
  const method = fields.text('token_endpoint_auth_method') ?? 'client_secret_basic'
  const kind = kindOf(grantTypes, method)
  for (const { path, message } of grantTypeFaults(grantTypes)) fields.fault(path, message)
  if (!policy.kinds.includes(kind))
    fields.fault(kind === 'service' ? 'grant_types' : 'token_endpoint_auth_method', kindsMessage(policy))
  const responseTypes = fields.list('response_types', { max: 5 })
  const expected = kind === 'service' ? '' : 'code'
  if (responseTypes && responseTypes.join() !== expected)
    fields.fault('response_types', kind === 'service' ? 'must be empty for a service' : 'must be ["code"]')

  const profile = profileOf(fields, rules)
  const methodFault = authMethodFault(method, { kind, profile }, rules)
  if (methodFault) fields.fault('token_endpoint_auth_method', methodFault)
  const { jwks, jwksUri } = keysOf(fields, method, profiles[profile].assertionAlgorithms, rules)
  const bound = fields.flag('dpop_bound_access_tokens') ?? false
  const dpop = bound || policy.dpop === 'required' || profiles[profile].dpop === 'required'
  const addresses = addressesOf(fields, kind, rules)
  const description = descriptionOf(fields, rules)
  const scopes = scopesFor(fields, kind, rules)
  if (fields.faults.length > 0) throw new InputFaults(fields.faults, codeOf(fields.faults))

  const { redirectUris, launchUris, initiate, logoutUris } = addresses
  const { name, website, logo, privacyPolicyUrl, termsUrl, contacts, softwareId, softwareVersion } = description
  return {
    kind,
    profile,
    authMethod: method === 'client_secret_post' ? 'client_secret_basic' : (method as ClientDraft['authMethod']),
    dpop,
    name,
    website,
    privacyPolicyUrl,
    termsUrl,
    supportEmail: contacts?.[0] ?? null,
    redirectUris,
    launchUrls: [...new Set([...(launchUris ?? []), ...(initiate === undefined ? [] : [initiate])])],
    logoutUris: logoutUris ?? [],
    jwks,
    jwksUri,
    scopes,
    apis: environment.apis.map(({ id }) => id).filter((id) => policy.apis === null || policy.apis.includes(id)),
    metadata: withoutNothing({
      client_name: name,
      client_uri: website,
      logo_uri: logo,
      policy_uri: privacyPolicyUrl,
      tos_uri: termsUrl,
      contacts,
      grant_types: kind === 'service' ? ['client_credentials'] : ['authorization_code', 'refresh_token'],
      response_types: kind === 'service' ? [] : ['code'],
      token_endpoint_auth_method: method,
      scope: scopes?.join(' '),
      redirect_uris: kind === 'service' ? undefined : redirectUris,
      launch_uris: launchUris,
      initiate_login_uri: initiate,
      post_logout_redirect_uris: logoutUris,
      jwks,
      jwks_uri: jwksUri,
      application_type: description.applicationType,
      dpop_bound_access_tokens: dpop,
      require_pushed_authorization_requests: profile === 'fapi2',
      software_id: softwareId,
      software_version: softwareVersion,
    }),
  }
}

const kindsMessage = ({ kinds }: RegistrationPolicy): string =>
  `is of a kind that cannot register itself here; those that can: ${kinds.join(', ')}`

const codeOf = (faults: readonly Fault[]): string =>
  faults.every(({ path }) => path.startsWith('redirect_uris')) ? 'invalid_redirect_uri' : 'invalid_client_metadata'

const withoutNothing = (metadata: Record<string, unknown>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(metadata).filter(([, value]) => value !== undefined && value !== null))
