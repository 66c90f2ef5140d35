/**
 * Which API a request is for, and which of the scopes it asks for exist there.
 *
 * Owns: `aud` and `resource` (R6, RFC 8707), dropping what is unknown or not allowed (R7).
 * Does not own: what the member ticks (interactions), the grammar of scopes (smart).
 */
import type { Api, Environment, Plan } from '../config/settings.ts'
import type { Launch } from '../launches/launches.ts'
import { scopesOf, serviceScopesOf } from '../smart/discovery.ts'
import { contextMembers, type LaunchContext } from '../smart/launch-context.ts'
import { isSensitiveScope, parseScopes, type Scope, scopeText } from '../smart/scope.ts'
import { narrow, withLaunchPatient } from '../smart/scope-set.ts'
import { isComparable, longestToken, sparing, type TokenFrame, tokenLength } from '../smart/token-size.ts'
import type { Clients } from './clients.ts'
import { type EngineClient, type EngineContext, errors } from './engine.ts'
import { type LaunchRequests, launchScopes } from './launch-requests.ts'
import { bindsTokens } from './proofs.ts'
import { stateOf } from './request-state.ts'

/** The engine's routes that take requests for an authorization. */
const asking = new Set(['authorization', 'pushed_authorization_request'])

const tooMany = 'an access token has no room for so many scopes: ask for fewer'

/** Before they are compared with anything: what the app was approved for may be as much again. */
const refuseTooMany = (requested: string, { resources }: Api): void => {
  if (!isComparable(parseScopes(requested).scopes, resources)) throw new errors.InvalidScope(tooMany, requested)
}

const trimmed = (url: string): string => url.replace(/\/+$/, '')

/** The API that an `aud` or `resource` names, with or without a trailing slash, by its base or an alias (R6). */
export const apiNamed = (apis: readonly Api[], audience: string): Api | undefined =>
  apis.find((api) => [api.baseUrl, ...api.aliases].some((url) => trimmed(url) === trimmed(audience)))

/** The wildcard is offered for what the API has, so it must not cover a type that the API has not. */
const ofTheApi = (requested: string, api: Api): Scope[] =>
  parseScopes(requested).scopes.filter(
    (scope) => scope.kind === 'plain' || scope.resource === '*' || api.resources.includes(scope.resource),
  )

/**
 * What of the requested scopes an app may ask for at an API; `launch/patient` is inferred from any `patient/` or `user/` scope (R7). The scope
 * of a sensitive category is only for apps that were approved for it by name (R25).
 */
export const availableScopes = (
  requested: string,
  api: Api,
  allowed: readonly string[] | null,
  categories: Plan['sensitiveCategories'],
): Scope[] => {
  const offered = parseScopes(scopesOf(api, categories).join(' ')).scopes
  const known = ofTheApi(requested, api)
  const asked = narrow(known, offered).kept
  const mayAsk =
    allowed === null
      ? asked.filter(({ text }) => !isSensitiveScope(text))
      : narrow(asked, parseScopes(allowed.join(' ')).scopes).kept
  return withLaunchPatient(mayAsk)
}

/** What of the requested scopes a backend service gets at an API: of what it was approved for by name, and nothing else. */
export const serviceScopes = (
  requested: string,
  api: Api,
  allowed: readonly string[] | null,
  categories: Plan['sensitiveCategories'],
): Scope[] => {
  const offered = parseScopes(serviceScopesOf(api, categories).join(' ')).scopes
  const approved = narrow(ofTheApi((allowed ?? []).join(' '), api), offered).kept
  return narrow(ofTheApi(requested, api), approved).kept
}

/** Is it a backend service's request for a token of its own? */
const isService = ({ oidc }: EngineContext): boolean =>
  oidc.route === 'token' && oidc.params?.grant_type === 'client_credentials'

/** The engine leaves `aud` out of a token request: RFC 6749 does not know it there. */
const audienceOf = (ctx: EngineContext): unknown => (isService(ctx) ? ctx.oidc.body?.aud : ctx.oidc.params?.aud)

/** What a launch tells of the tokens to come. */
const knownBy = (launch: Pick<Launch, 'context' | 'patient'> | undefined) =>
  launch ? { launch: launch.context, patient: launch.patient?.fhirId } : {}

/** What stands in each access token of an app at an API, and what is known of where it was launched, or of its patient. */
export const frameOf = (
  environment: Environment,
  api: Api,
  clientId: string,
  known: { launch?: LaunchContext; patient?: string | undefined } = {},
): TokenFrame => ({
  issuer: environment.issuer,
  api,
  clientId,
  sensitivities: environment.plan.sensitiveCategories.map(({ code }) => code),
  context: contextMembers(known.launch ?? {}),
  patient: known.patient,
})

export const createResources = (deps: {
  environment: Environment
  clients: Clients
  launchRequests: LaunchRequests
}) => {
  const { environment, clients, launchRequests } = deps
  const expected = (apis: readonly Api[]): string => apis.map((api) => api.baseUrl).join(' or ')

  const apisOf = async (ctx: EngineContext, clientId: string): Promise<{ apis: Api[]; scopes: string[] | null }> => {
    const known = stateOf(ctx.req).client
    const client = known?.clientId === clientId ? known : await clients.find(clientId)
    return {
      apis: environment.apis.filter((api) => client?.apis.includes(api.id)),
      scopes: client?.scopes ?? null,
    }
  }

  /** The API of a request: by `aud`, or the only one that the app has. */
  const requestedApi = async (ctx: EngineContext, client: EngineClient): Promise<string> => {
    const { apis } = await apisOf(ctx, client.clientId)
    const audience = audienceOf(ctx)
    if (Array.isArray(audience)) throw new errors.InvalidRequest('aud must not be provided twice')
    if (typeof audience === 'string') {
      const api = apiNamed(apis, audience)
      if (!api) throw new errors.InvalidTarget(`aud must be ${expected(apis)}`)
      return api.baseUrl
    }
    const [api] = apis
    if (!api) throw new errors.InvalidTarget('this app is not approved for any API here')
    if (apis.length > 1 || (api.audienceRequired && !isService(ctx)))
      throw new errors.InvalidRequest(`aud is required: ${expected(apis)}`)
    return api.baseUrl
  }

  /** Settles the scopes of a service's own token: the engine takes the words from the request. */
  const settleService = (ctx: EngineContext, api: Api, clientId: string, allowed: readonly string[] | null): string => {
    const { params } = ctx.oidc
    const audience = audienceOf(ctx)
    if (audience !== undefined && (typeof audience !== 'string' || apiNamed([api], audience) !== api))
      throw new errors.InvalidTarget(`aud must be ${api.baseUrl}`)
    const requested = typeof params?.scope === 'string' ? params.scope : ''
    if (requested === '') throw new errors.InvalidScope('scope is required: say what the token is for', requested)
    refuseTooMany(requested, api)
    const kept = serviceScopes(requested, api, allowed, environment.plan.sensitiveCategories)
    if (kept.length === 0)
      throw new errors.InvalidScope('this client was approved for none of the requested scopes', requested)
    const scope = scopeText(kept)
    if (tokenLength(scope, { ...frameOf(environment, api, clientId), isBound: bindsTokens(ctx) }) > longestToken)
      throw new errors.InvalidScope(tooMany, requested)
    stateOf(ctx.req).service = { api, scope }
    if (params) params.scope = scope
    return scope
  }

  /**
   * What the engine is told of an API. Of a request for an authorization this also settles the scopes: what is unknown or
   * not allowed is dropped, and nothing left is `invalid_scope` (R7).
   */
  const resourceServer = async (ctx: EngineContext, resource: string, client: EngineClient) => {
    const { apis, scopes } = await apisOf(ctx, client.clientId)
    const api = apiNamed(apis, resource)
    if (!api) throw new errors.InvalidTarget(`resource must be ${expected(apis)}`)
    const { oidc } = ctx
    if (api.sensitivity === 'refused') {
      const why =
        'sensitivity_not_enforced: this API cannot hold back sensitive records, so the plan shares nothing through it'
      // What was shared before the plan refused stays, and opens nothing meanwhile: no `invalid_grant`, on which apps throw it away.
      throw asking.has(oidc.route) ? new errors.AccessDenied(why) : new errors.InvalidTarget(why)
    }
    if (asking.has(oidc.route)) {
      // One authorization is for one API, however often and under whichever name it is told.
      if (Array.isArray(oidc.params?.resource)) throw new errors.InvalidTarget('resource must not be provided twice')
      // Of a pushed request it was judged when that came; the engine keeps it as a JWT, whose own `aud` is the issuer.
      const audience = oidc.entities.PushedAuthorizationRequest ? undefined : oidc.params?.aud
      if (typeof audience === 'string' && apiNamed(apis, audience) !== api)
        throw new errors.InvalidTarget(`aud must be ${expected([api])}`)
      const requested = String(oidc.params?.scope ?? '')
      refuseTooMany(requested, api)
      const offered = availableScopes(requested, api, scopes, environment.plan.sensitiveCategories)
      const found = await launchRequests.find(ctx, offered, { clientId: client.clientId, api: api.id })
      const available = launchScopes(offered, requested, found?.launch)
      if (available.length === 0)
        throw new errors.InvalidScope(
          'none of the requested scopes is available to this app here: see scopes_supported in the SMART configuration',
          requested,
        )
      const frame = frameOf(environment, api, client.clientId, knownBy(found?.launch))
      // Whether they will be bound to a key is not known yet; the 80 characters of that are found when a token is made (`fitting`).
      const kept = sparing(available, frame)
      if (!kept) throw new errors.InvalidScope(tooMany, requested)
      if (oidc.params) oidc.params.scope = scopeText(kept)
      // Pushed, it waits for its member; and without a page nothing is ever authorized.
      if (oidc.route === 'authorization' && oidc.params?.prompt !== 'none') await found?.redeem()
    }
    const held = oidc.entities.RefreshToken?.scope ?? oidc.entities.AuthorizationCode?.scope ?? oidc.params?.scope
    return {
      scope: isService(ctx)
        ? settleService(ctx, api, client.clientId, scopes)
        : scopeText(parseScopes(String(held ?? '')).scopes.filter((scope) => scope.kind === 'resource')),
      audience: api.baseUrl,
      accessTokenFormat: 'jwt' as const,
      jwt: { sign: { alg: api.tokenProfile.algorithm } },
    }
  }

  return { requestedApi, resourceServer }
}
