/**
 * UserInfo (OpenID Connect Core §5.3), answered with the access token of a FHIR API: `sub`, and `fhirUser` where granted.
 *
 * Owns: how a token is presented here: as a bearer token, or, where it is bound to a key, with a proof (RFC 9449 §7).
 * Does not own: whether it is live (introspection.ts), or what makes a proof good (resource-server/proof).
 */
import type { Context } from 'koa'
import type { Environment } from '../config/settings.ts'
import { checkProof, proofAlgorithms } from '../resource-server/proof.ts'
import type { ShortLived } from '../storage/short-lived.ts'
import { readForm } from '../web/forms.ts'
import { allowedOrigin, type Clients } from './clients.ts'
import type { Introspection } from './introspection.ts'

type Scheme = 'Bearer' | 'DPoP'

interface Refusal {
  status: number
  error: string | null
  description: string
  scheme: Scheme
}

const refuse = (ctx: Context, { status, error, description, scheme }: Refusal): void => {
  const algs = scheme === 'DPoP' ? `, algs="${proofAlgorithms.join(' ')}"` : ''
  const challenge = error ? `, error="${error}", error_description="${description}"` : ''
  ctx.status = status
  ctx.set('WWW-Authenticate', `${scheme} realm="userinfo"${algs}${challenge}`)
  ctx.body = { error: error ?? 'invalid_request', error_description: description }
}

const presentedIn = async (ctx: Context): Promise<{ scheme: Scheme; token: string | undefined }> => {
  const [, name = '', header] = /^(Bearer|DPoP) +([\w.~+/=-]+)$/i.exec(ctx.get('authorization')) ?? []
  const scheme = name.toLowerCase() === 'dpop' ? 'DPoP' : 'Bearer'
  if (header || ctx.method !== 'POST' || !ctx.is('urlencoded')) return { scheme, token: header }
  return { scheme, token: (await readForm(ctx)).get('access_token') ?? undefined }
}

export const createUserinfo = (deps: {
  environment: Environment
  introspection: Introspection
  clients: Clients
  shortLived: ShortLived
  now: () => number
}) => {
  const { environment, introspection, clients, shortLived, now } = deps

  /** What is wrong with how a token is presented; undefined where nothing is. */
  const faultOf = async (
    ctx: Context,
    { scheme, token, jkt }: { scheme: Scheme; token: string; jkt: unknown },
  ): Promise<Pick<Refusal, 'error' | 'description'> | undefined> => {
    if (typeof jkt !== 'string')
      return scheme === 'Bearer'
        ? undefined
        : { error: 'invalid_token', description: 'the access token is bound to no key: send it as Bearer' }
    if (scheme === 'Bearer')
      return {
        error: 'invalid_token',
        description: 'the access token is bound to a key: send it as DPoP, with a proof',
      }
    // The path is one of ours, and no header says what it is.
    const url = new URL(ctx.path, environment.issuer).href
    const proof = await checkProof({ proof: ctx.get('DPoP') || undefined, method: ctx.method, url }, token, jkt, now())
    if (proof.fault !== undefined) return { error: 'invalid_dpop_proof', description: proof.fault }
    const isNew = await shortLived.addIfAbsent('ReplayDetection', proof.key, true, now() + proof.remember * 1000)
    return isNew ? undefined : { error: 'invalid_dpop_proof', description: 'the DPoP proof was used before' }
  }

  return async (ctx: Context): Promise<void> => {
    const origin = ctx.get('origin')
    ctx.vary('Origin')
    ctx.set('Cache-Control', 'no-store')
    if (ctx.method === 'OPTIONS') {
      ctx.set('Access-Control-Allow-Origin', origin || '*')
      ctx.set('Access-Control-Allow-Headers', 'Authorization, Content-Type, DPoP')
      ctx.set('Access-Control-Allow-Methods', 'GET, POST')
      ctx.status = 204
      return
    }
    const { scheme, token } = await presentedIn(ctx)
    const live = token ? await introspection.liveToken(token) : undefined
    const client = live ? await clients.find(live.grant.row.client_id) : undefined
    if (origin && (!client || allowedOrigin(origin, client.redirectUris))) {
      ctx.set('Access-Control-Allow-Origin', origin)
      ctx.set('Access-Control-Expose-Headers', 'WWW-Authenticate')
    }
    const no = (error: string | null, description: string, more: Partial<Refusal> = {}) =>
      refuse(ctx, { status: 401, error, description, scheme, ...more })
    if (!token) return no(null, 'no access token was presented')
    if (!live || !client) return no('invalid_token', 'the access token is unknown, expired or revoked')
    const { jkt } = (live.claims.cnf ?? {}) as { jkt?: unknown }
    const fault = await faultOf(ctx, { scheme, token, jkt })
    if (fault) return no(fault.error, fault.description, { scheme: jkt === undefined ? 'Bearer' : 'DPoP' })
    const scopes = live.scope.split(' ')
    if (!scopes.includes('openid')) return no('insufficient_scope', 'the scope openid was not granted', { status: 403 })
    ctx.body = {
      sub: live.grant.memberSubject,
      ...(scopes.includes('fhirUser') ? { fhirUser: live.claims.fhirUser } : {}),
    }
  }
}
