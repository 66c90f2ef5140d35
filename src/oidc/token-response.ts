/**
 * What an app is handed: the answer of the token endpoint and the access token itself.
 *
 * Owns: the members that SMART adds (R3), the token profile of each API (R42), which sensitive categories a token releases (R25),
 * why a refresh was refused (R9).
 * Does not own: issuing (the engine) or which scopes were granted (members/connections).
 */
import type { Api, Environment, Plan } from '../config/settings.ts'
import type { GrantContext } from '../members/grants.ts'
import { contextMembers } from '../smart/launch-context.ts'
import { parseScopes, scopeText } from '../smart/scope.ts'
import { narrow } from '../smart/scope-set.ts'
import { fitting } from '../smart/token-size.ts'
import type { EngineContext } from './engine.ts'
import { bindsTokens } from './proofs.ts'
import { stateOf } from './request-state.ts'
import { frameOf } from './resources.ts'
import { fhirUserUrl } from './subjects.ts'

/** The scopes of one answer: all that was granted, or what of it a refresh asked for, in its own words. */
export const answeredScope = (granted: string, asked: string | undefined): string => {
  if (!asked) return granted
  return scopeText(narrow(parseScopes(asked).scopes, parseScopes(granted).scopes).kept)
}

/**
 * The sensitive categories that a token of this scope releases (R25): those that the member released and the plan still has, and
 * where one has a scope, only with it.
 */
export const releasedCategories = (
  plan: Pick<Plan, 'sensitiveCategories'>,
  released: readonly string[],
  scope: string,
): string[] => {
  const scopes = new Set(scope.split(' '))
  return plan.sensitiveCategories
    .filter((category) => released.includes(category.code) && (!category.scope || scopes.has(category.scope)))
    .map(({ code }) => code)
}

/** Why a grant ended, in words for an app's developer. */
const reasons: Record<string, string> = {
  expired: 'The connection reached its end, or the token lay unused for too long. Ask the member to connect again.',
  revoked_by_member: 'The member ended this connection.',
  revoked_by_app: 'The app revoked this grant.',
  authority_ended: 'The member may no longer share this record.',
  app_suspended: 'The app is suspended.',
  token_reused: 'A refresh token was used again after its grace of 30 seconds; the grant was ended.',
  code_reused: 'The authorization code was used twice; the grant was ended.',
  session_ended: 'The person signed out. Ask for offline_access to go on without them.',
  replaced: 'A newer consent replaced this grant.',
  already_used: 'This refresh token was used already. Use the newest one.',
  wrong_key: 'This refresh token is bound to a key. Send a DPoP proof by the key with which you got it.',
}

export const createTokenResponse = ({ environment }: { environment: Environment }) => {
  const apiOf = (grant: GrantContext): Api | undefined => environment.apis.find((api) => api.id === grant.api)

  /** The sensitive categories that have a scope of their own. */
  const byName = environment.plan.sensitiveCategories.filter(({ scope }) => scope).map(({ code }) => code)

  const grantOf = (ctx: EngineContext): GrantContext => {
    const { grant } = stateOf(ctx.req)
    if (!grant) throw new TypeError('a token is issued without a grant')
    return grant
  }

  /** The scopes of this answer, in words for which its token has room: worked out once, for the token and what is said of it. */
  const scopeOf = (ctx: EngineContext): string => {
    const state = stateOf(ctx.req)
    state.scope ??= fittingScope(ctx)
    return state.scope
  }

  const fittingScope = (ctx: EngineContext): string => {
    const grant = grantOf(ctx)
    const asked = ctx.oidc.entities.RotatedRefreshToken ? ctx.oidc.params?.scope : undefined
    const scope = answeredScope(grant.row.scope, typeof asked === 'string' ? asked : undefined)
    const api = apiOf(grant)
    if (!api) return scope
    const frame = frameOf(environment, api, grant.row.client_id, { launch: grant.launch, patient: grant.patientFhirId })
    return fitting(scope, { ...frame, isBound: bindsTokens(ctx) })
  }

  /** Claims of the access token beside those of RFC 9068: the patient, the person, the handle of the grant. */
  const accessTokenClaims = (ctx: EngineContext): Record<string, unknown> => {
    const { service } = stateOf(ctx.req)
    // Nobody signed in, and no patient is in context: `sub` is the client (RFC 9068 §2.2).
    if (service) return { ...service.api.tokenProfile.claims }
    const grant = grantOf(ctx)
    const profile = apiOf(grant)?.tokenProfile
    return {
      ...contextMembers(grant.launch),
      ...profile?.claims,
      ...Object.fromEntries((profile?.patientAliases ?? []).map((name) => [name, grant.patientFhirId])),
      patient: grant.patientFhirId,
      patient_id: grant.patientFhirId,
      fhirUser: fhirUserUrl(environment, grant),
      grant_id: grant.row.id,
      ...(grant.revision > 0 ? { grant_revision: grant.revision } : {}),
    }
  }

  /** Brings an access token into the form that the API's verifier knows (R42). */
  const shapeAccessToken = (
    ctx: EngineContext,
    _token: unknown,
    jwt: { header?: Record<string, unknown>; payload: Record<string, unknown> },
  ): void => {
    const { service } = stateOf(ctx.req)
    const profile = (service?.api ?? apiOf(grantOf(ctx)))?.tokenProfile
    if (!profile) throw new TypeError('a token is issued for an API that is not configured')
    const scope = service?.scope ?? scopeOf(ctx)
    // No member has released anything to a service: it gets what it was approved for by name.
    const released = releasedCategories(environment.plan, service ? byName : grantOf(ctx).sensitivities, scope)
    if (released.length > 0) jwt.payload.sensitivities = released
    delete jwt.payload.scope
    jwt.payload[profile.scopeClaim] = profile.scopeFormat === 'array' ? scope.split(' ') : scope
    for (const alias of profile.clientIdAliases) jwt.payload[alias] = jwt.payload.client_id
    if (profile.typ !== 'at+jwt') jwt.header = { ...jwt.header, typ: profile.typ }
  }

  /** Completes the body of the token endpoint: on code exchange and on refresh alike (R3). */
  const complete = (ctx: EngineContext): void => {
    // Of a service's token the engine says all that there is to say.
    if (stateOf(ctx.req).service) return
    const grant = grantOf(ctx)
    ctx.body = {
      ...(ctx.body as Record<string, unknown>),
      scope: scopeOf(ctx),
      patient: grant.patientFhirId,
      ...contextMembers(grant.launch),
      grant_expires_at: Math.floor(grant.row.expires_at / 1000),
    }
  }

  /** Adds the machine-readable reason to a refused grant (R9). */
  const explain = (ctx: EngineContext): void => {
    const { refusal } = stateOf(ctx.req)
    const body = ctx.body as Record<string, unknown>
    // What it presented is as good as before: told of a bad grant, an app would throw it away.
    if (body.error === 'invalid_grant' && ctx.oidc.client?.dpopBoundAccessTokens && !ctx.get('DPoP')) {
      ctx.body = { error: 'invalid_dpop_proof', error_description: 'This app has to send a DPoP proof (RFC 9449).' }
      return
    }
    if (body.error !== 'invalid_grant' || !refusal) return
    ctx.body = { ...body, error_description: reasons[refusal] ?? body.error_description, error_subcode: refusal }
  }

  return { accessTokenClaims, shapeAccessToken, complete, explain }
}
