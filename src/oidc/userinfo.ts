/** UserInfo (OpenID Connect Core §5.3), answered with the access token of a FHIR API: `sub`, and `fhirUser` where granted. */
import type { Context } from 'koa'
import { readForm } from '../web/forms.ts'
import { allowedOrigin, type Clients } from './clients.ts'
import type { Introspection } from './introspection.ts'

const refuse = (ctx: Context, status: number, error: string | null, description: string): void => {
  const challenge = error ? `, error="${error}", error_description="${description}"` : ''
  ctx.status = status
  ctx.set('WWW-Authenticate', `Bearer realm="userinfo"${challenge}`)
  ctx.body = { error: error ?? 'invalid_request', error_description: description }
}

const bearerOf = async (ctx: Context): Promise<string | undefined> => {
  const [, header] = /^Bearer +([\w.~+/=-]+)$/i.exec(ctx.get('authorization')) ?? []
  if (header || ctx.method !== 'POST' || !ctx.is('urlencoded')) return header
  return (await readForm(ctx)).get('access_token') ?? undefined
}

export const createUserinfo = (deps: { introspection: Introspection; clients: Clients }) => {
  const { introspection, clients } = deps

  return async (ctx: Context): Promise<void> => {
    const origin = ctx.get('origin')
    ctx.vary('Origin')
    ctx.set('Cache-Control', 'no-store')
    if (ctx.method === 'OPTIONS') {
      ctx.set('Access-Control-Allow-Origin', origin || '*')
      ctx.set('Access-Control-Allow-Headers', 'Authorization, Content-Type')
      ctx.set('Access-Control-Allow-Methods', 'GET, POST')
      ctx.status = 204
      return
    }
    const token = await bearerOf(ctx)
    const live = token ? await introspection.liveToken(token) : undefined
    const client = live ? await clients.find(live.grant.row.client_id) : undefined
    if (origin && (!client || allowedOrigin(origin, client.redirectUris)))
      ctx.set('Access-Control-Allow-Origin', origin)
    if (!token) return refuse(ctx, 401, null, 'no access token was presented')
    if (!live || !client) return refuse(ctx, 401, 'invalid_token', 'the access token is unknown, expired or revoked')
    const scopes = live.scope.split(' ')
    if (!scopes.includes('openid')) return refuse(ctx, 403, 'insufficient_scope', 'the scope openid was not granted')
    ctx.body = {
      sub: live.grant.memberSubject,
      ...(scopes.includes('fhirUser') ? { fhirUser: live.claims.fhirUser } : {}),
    }
  }
}
