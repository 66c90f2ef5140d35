/**
 * Which API a request is for, and which of the scopes it asks for exist there.
 *
 * Owns: `aud` and `resource` (R6, RFC 8707), dropping what is unknown or not allowed (R7).
 * Does not own: what the member ticks (interactions), the grammar of scopes (smart).
 */
import type { Api, Environment, Plan } from '../config/settings.ts'
import { scopesOf } from '../smart/discovery.ts'
import { isSensitiveScope, parseScopes, type Scope, scopeText } from '../smart/scope.ts'
import { narrow, withLaunchPatient } from '../smart/scope-set.ts'
import { sparing, type TokenFrame } from '../smart/token-size.ts'
import type { Clients } from './clients.ts'
import { type EngineClient, type EngineContext, errors } from './engine.ts'
import { stateOf } from './request-state.ts'

/** The engine's routes that take requests for an authorization. */
const asking = new Set(['authorization', 'pushed_authorization_request'])

const trimmed = (url: string): string => url.replace(/\/+$/, '')

/** The API that an `aud` or `resource` names, with or without a trailing slash, by its base or an alias (R6). */
export const apiNamed = (apis: readonly Api[], audience: string): Api | undefined =>
  apis.find((api) => [api.baseUrl, ...api.aliases].some((url) => trimmed(url) === trimmed(audience)))

/**
 * What of the requested scopes an app may ask for at an API; `launch/patient` is inferred from any `patient/` scope (R7). The scope
 * of a sensitive category is only for apps that were approved for it by name (R25).
 */
export const availableScopes = (
  requested: string,
  api: Api,
  allowed: readonly string[] | null,
  categories: Plan['sensitiveCategories'],
): Scope[] => {
  const offered = parseScopes(scopesOf(api, categories).join(' ')).scopes
  // The wildcard is offered for what the API has, so it must not cover a type that the API has not.
  const known = parseScopes(requested).scopes.filter(
    (scope) => scope.kind === 'plain' || scope.resource === '*' || api.resources.includes(scope.resource),
  )
  const asked = narrow(known, offered).kept
  const mayAsk =
    allowed === null
      ? asked.filter(({ text }) => !isSensitiveScope(text))
      : narrow(asked, parseScopes(allowed.join(' ')).scopes).kept
  return withLaunchPatient(mayAsk)
}

/** What stands in each access token of an app at an API. */
export const frameOf = (environment: Environment, api: Api, clientId: string): TokenFrame => ({
  issuer: environment.issuer,
  api,
  clientId,
  sensitivities: environment.plan.sensitiveCategories.map(({ code }) => code),
})

export const createResources = ({ environment, clients }: { environment: Environment; clients: Clients }) => {
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
    const audience = ctx.oidc.params?.aud
    if (typeof audience === 'string') {
      const api = apiNamed(apis, audience)
      if (!api) throw new errors.InvalidTarget(`aud must be ${expected(apis)}`)
      return api.baseUrl
    }
    const [api] = apis
    if (!api) throw new errors.InvalidTarget('this app is not approved for any API here')
    if (apis.length > 1 || api.audienceRequired) throw new errors.InvalidRequest(`aud is required: ${expected(apis)}`)
    return api.baseUrl
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
      const available = availableScopes(requested, api, scopes, environment.plan.sensitiveCategories)
      if (available.length === 0)
        throw new errors.InvalidScope(
          'none of the requested scopes is available to this app here: see scopes_supported in the SMART configuration',
          requested,
        )
      const kept = sparing(available, frameOf(environment, api, client.clientId))
      if (!kept)
        throw new errors.InvalidScope('an access token has no room for so many scopes: ask for fewer', requested)
      if (oidc.params) oidc.params.scope = scopeText(kept)
    }
    const held = oidc.entities.RefreshToken?.scope ?? oidc.entities.AuthorizationCode?.scope ?? oidc.params?.scope
    return {
      scope: scopeText(parseScopes(String(held ?? '')).scopes.filter((scope) => scope.kind === 'resource')),
      audience: api.baseUrl,
      accessTokenFormat: 'jwt' as const,
      jwt: { sign: { alg: api.tokenProfile.algorithm } },
    }
  }

  return { requestedApi, resourceServer }
}
