/**
 * Introspection for a backend service that comes with an access token of its own instead of its credentials (SMART "Token
 * Introspection": an appropriately scoped bearer token shall be accepted).
 *
 * Owns: who may come this way, and the answer for a refresh token. Does not own: the answer for an access token (introspection.ts).
 * The engine authenticates a client before anything else, so this is a door of its own at the same address.
 */
import type { Context } from 'koa'
import type { Environment } from '../config/settings.ts'
import type { Connections } from '../members/connections.ts'
import { readForm } from '../web/forms.ts'
import type { Introspection, LiveServiceToken } from './introspection.ts'

/** What a client is known by otherwise: two ways at once are refused (RFC 6749 §2.3). */
const credentials = ['client_id', 'client_secret', 'client_assertion', 'client_assertion_type']

/** Does this request come with a bearer token? */
export const comesWithBearer = (ctx: Context): boolean => /^Bearer(?: |$)/i.test(ctx.get('authorization'))

interface EngineToken {
  isValid: boolean
  grantId?: string | undefined
  clientId?: string | undefined
  iat?: number | undefined
  exp?: number | undefined
}

export const createBearerIntrospection = (deps: {
  environment: Environment
  introspection: Introspection
  connections: Connections
  refreshToken: (presented: string) => Promise<EngineToken | undefined>
}) => {
  const { environment, introspection, connections } = deps

  const refuse = (ctx: Context, status: number, error: string, description: string): void => {
    ctx.status = status
    if (status !== 400)
      ctx.set('WWW-Authenticate', `Bearer realm="introspection", error="${error}", error_description="${description}"`)
    ctx.body = { error, error_description: description }
  }

  const refreshTokenAnswer = async (presented: string, { api }: LiveServiceToken) => {
    const token = await deps.refreshToken(presented)
    if (!token?.isValid || !token.grantId) return { active: false }
    const grant = await connections.grantContext(environment.id, token.grantId)
    if (grant?.standing !== 'live' || !(await introspection.isOfApi(grant, api))) return { active: false }
    const { clientId: client_id, exp, iat } = token
    const body = { active: true, client_id, exp, iat, iss: environment.issuer, sub: grant.memberSubject }
    return introspection.completeRefreshToken(body, grant)
  }

  return async (ctx: Context): Promise<void> => {
    ctx.req.headers.accept = 'application/json'
    ctx.set('Cache-Control', 'no-store')
    const [, bearer = ''] = /^Bearer +([\w.~+/=-]+) *$/i.exec(ctx.get('authorization')) ?? []
    const live = await introspection.liveServiceToken(bearer)
    if (!live)
      return refuse(ctx, 401, 'invalid_token', 'the bearer token is unknown, expired or revoked, or no service has it')
    if (!live.scope.split(' ').includes('introspect'))
      return refuse(ctx, 403, 'insufficient_scope', 'the bearer token lacks the scope introspect')
    if (!ctx.is('urlencoded'))
      return refuse(ctx, 400, 'invalid_request', 'send a form: application/x-www-form-urlencoded')
    const form = await readForm(ctx)
    const twice = [...new Set(form.keys())].find((name) => form.getAll(name).length > 1)
    if (twice !== undefined) return refuse(ctx, 400, 'invalid_request', 'no parameter may be provided twice')
    if (credentials.some((name) => form.has(name)))
      return refuse(ctx, 400, 'invalid_request', 'come with a bearer token or with client credentials, not with both')
    const presented = form.get('token')
    if (!presented) return refuse(ctx, 400, 'invalid_request', 'token is missing')
    const answer = await introspection.introspectFor(presented, live.api)
    ctx.body = answer.active ? answer : await refreshTokenAnswer(presented, live)
  }
}
