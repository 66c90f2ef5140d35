/**
 * From an address to an issuer: canonical endpoints, their aliases, the well-known documents (R41).
 *
 * Owns: which path leads where, GET and POST at the authorization endpoint, CORS of the open documents (R5).
 * Does not own: what the engine does then (provider.ts), or interaction pages (interactions).
 */
import { IncomingMessage } from 'node:http'
import type { Context, Middleware } from 'koa'
import { styleOf, stylePath } from '../config/style.ts'
import { InputFaults, LatchkeyError } from '../errors.ts'
import { readForm } from '../web/forms.ts'
import { comesWithBearer } from './bearer-introspection.ts'
import { smartDocument } from './discovery.ts'
import type { Issuer } from './issuers.ts'
import { engineRoutes } from './provider.ts'
import { rememberRequest } from './request-state.ts'

export type MountedIssuer = Pick<
  Issuer,
  'environment' | 'answer' | 'userinfo' | 'revocationFeed' | 'introspectByBearer'
>

const longestRequest = 8192
/** A pushed request has the app's credentials with it. */
const longestPushed = 16_384
const metadata = '/.well-known/oauth-authorization-server'
const openid = '/.well-known/openid-configuration'
const smart = '/.well-known/smart-configuration'

const refuseMethod = (ctx: Context, allowed: readonly string[]): never => {
  ctx.set('Allow', allowed.join(', '))
  throw new LatchkeyError('method_not_allowed', 405)
}

/** The methods of the engine's routes that are not for people. */
const methods: Record<string, string[]> = {
  [engineRoutes.pushedAuthorization]: ['POST', 'OPTIONS'],
  [engineRoutes.token]: ['POST', 'OPTIONS'],
  [engineRoutes.introspection]: ['POST', 'OPTIONS'],
  [engineRoutes.revocation]: ['POST', 'OPTIONS'],
  [engineRoutes.jwks]: ['GET', 'HEAD', 'OPTIONS'],
  [openid]: ['GET', 'HEAD', 'OPTIONS'],
  [metadata]: ['GET', 'HEAD', 'OPTIONS'],
}

/** RFC 6749 §3.3. */
const scopeToken = /^[\x21\x23-\x5b\x5d-\x7e]+$/

/** The engine's name for one step of an authorization. */
const stepId = /^[\w-]{1,100}$/

/** A name that the engine does not know, and so refuses by a redirect with a query. */
const unknownName = 'unsupported'

/** What the engine would refuse without `openid`, where it has no meaning: what is not recognized is ignored (RFC 6749 §3.1). */
const openidAlone = ['acr_values', 'claims_locales', 'id_token_hint', 'max_age', 'nonce']

/** The name of a request that was pushed (RFC 9126 §2.2). */
const pushedName = 'urn:ietf:params:oauth:request_uri:'

/** Of a request that was pushed nothing counts but what was pushed (RFC 9126 §4). */
const nameOfPushed = (query: URLSearchParams): URLSearchParams | undefined =>
  query.get('request_uri')?.startsWith(pushedName)
    ? new URLSearchParams([...query].filter(([name]) => name === 'client_id' || name === 'request_uri'))
    : undefined

/** An authorization request as the engine must read it to do what we promise. */
const asTheEngineReads = (query: URLSearchParams): URLSearchParams => {
  const one = (name: string): string | null => (query.getAll(name).length === 1 ? query.get(name) : null)
  // `offline_access` needs no `prompt=consent` from the app: every authorization asks for consent anyway.
  const prompt = one('prompt')
  if (query.getAll('prompt').length < 2 && prompt !== 'none' && !prompt?.split(' ').includes('consent'))
    query.set('prompt', prompt ? `${prompt} consent` : 'consent')
  // A scope that no server could mean is unknown, and what is unknown is dropped (R7); the engine would refuse them all.
  const scopes =
    one('scope')
      ?.split(' ')
      .filter((scope) => scopeToken.test(scope)) ?? []
  if (scopes.length > 0) query.set('scope', scopes.join(' '))
  if (!scopes.includes('openid')) for (const name of openidAlone) query.delete(name)
  // The engine knows fragments and posts, and would refuse them in kind: no app of ours could read that (R12).
  if (one('response_mode') && one('response_mode') !== 'query') query.set('response_mode', unknownName)
  // Else a missing response_type would be told as a response_mode that nobody sent.
  if (!query.has('response_type') && !query.has('response_mode')) query.set('response_mode', 'query')
  if (one('response_type')?.includes('token')) query.set('response_type', unknownName)
  return query
}

/** The same request with this form in it: the engine reads a body itself, and ours was read. */
const withForm = (req: IncomingMessage, form: URLSearchParams): IncomingMessage => {
  const body = Buffer.from(form.toString())
  const { 'transfer-encoding': _, ...headers } = req.headers
  const again = new IncomingMessage(req.socket)
  again.method = 'POST'
  again.headers = { ...headers, 'content-length': String(body.length) }
  // All of it is here, or its end would look like that of a connection.
  again.complete = true
  again.push(body)
  again.push(null)
  return again
}

/** An error that must not redirect, in words for the page (R12). */
const localError = (error: Error & { error?: string; error_description?: string }, status: number): LatchkeyError => {
  if (status >= 500) return new LatchkeyError('temporarily_unavailable', 503, { retryAfter: 5, cause: error })
  if (/session|interaction|request has expired/.test(error.error_description ?? ''))
    return new LatchkeyError('authorization_expired', 400, { cause: error })
  const field =
    error.error === 'invalid_client' ? 'client_id' : error.error === 'invalid_redirect_uri' ? 'redirect_uri' : 'request'
  return new InputFaults(
    [{ path: field, message: error.error_description ?? 'not accepted' }],
    error.error ?? 'invalid_request',
  )
}

const openDocument = (ctx: Context, body: Record<string, unknown>): void => {
  ctx.set('Access-Control-Allow-Origin', '*')
  if (ctx.method === 'OPTIONS') {
    ctx.set('Access-Control-Allow-Methods', 'GET, HEAD')
    ctx.set('Access-Control-Allow-Headers', ctx.get('access-control-request-headers') || 'Accept')
    ctx.status = 204
    return
  }
  // JSON whatever Accept says (SMART "Conformance").
  ctx.req.headers.accept = 'application/json'
  if (ctx.method !== 'GET' && ctx.method !== 'HEAD') refuseMethod(ctx, ['GET', 'HEAD', 'OPTIONS'])
  ctx.set('Cache-Control', 'public, max-age=300')
  ctx.type = 'application/json'
  ctx.body = JSON.stringify(body)
}

const pathOf = (url: string): string => new URL(url).pathname.replace(/\/$/, '')

/** One middleware for all issuers. What is not theirs goes on. */
export const mountIssuers = (issuers: readonly MountedIssuer[]): Middleware => {
  type Handler = (ctx: Context) => Promise<void>
  const handlers = new Map<string, Handler>()
  const prefixes: { host: string; path: string; handle: (ctx: Context, rest: string) => Promise<void> }[] = []

  for (const { environment, answer, userinfo, revocationFeed, introspectByBearer } of issuers) {
    const { host } = new URL(environment.issuer)
    const base = pathOf(environment.issuer)

    const handOver = async (
      ctx: Context,
      route: string,
      query: string = ctx.querystring,
      req: IncomingMessage = ctx.req,
    ): Promise<void> => {
      // Programs' endpoints answer in JSON whatever Accept says; people meet the authorization endpoint only.
      if (!route.startsWith(engineRoutes.authorization)) req.headers.accept = 'application/json'
      if (methods[route] && !methods[route].includes(ctx.method)) refuseMethod(ctx, methods[route])
      const state = rememberRequest(req, { requestId: ctx.state.requestId })
      // This path was found among ours, so no header says what it is.
      if (methods[route]) state.address = new URL(ctx.path, environment.issuer).href
      const asked = ctx.url
      const url = query ? `${route}?${query}` : route
      req.url = url
      Object.assign(req, { originalUrl: `${base}${url}` })
      req.headers.host = host
      await answer(req, ctx.res, route)
      if (state.pageError) {
        // The page is ours, at the address that the person sees.
        ctx.url = asked
        const error = localError(state.pageError, ctx.res.statusCode)
        // What a fault of ours broke off is tried again with the cookies that the browser has.
        if (error.status >= 500) ctx.remove('Set-Cookie')
        throw error
      }
      ctx.respond = false
    }

    const authorize: Handler = async (ctx) => {
      // No CORS here, ever: a browser's script has no business at this endpoint (RFC 9700 §2.6).
      if (ctx.method === 'GET') {
        const query = new URLSearchParams(ctx.querystring)
        return handOver(ctx, engineRoutes.authorization, (nameOfPushed(query) ?? asTheEngineReads(query)).toString())
      }
      if (ctx.method !== 'POST') refuseMethod(ctx, ['GET', 'POST'])
      // SMART wants POST as well. Seen by the browser as one more hop, so that our Lax cookies come along.
      const form = await readForm(ctx, { limit: longestRequest })
      ctx.status = 303
      ctx.set('Cache-Control', 'no-store')
      ctx.set(
        'Location',
        `${environment.issuer.slice(0, environment.issuer.length - base.length)}${environment.endpoints.authorization.path}?${form}`,
      )
      ctx.body = ''
    }

    /** What is pushed is read as it would be at the authorization endpoint (RFC 9126 §2.1). */
    const push: Handler = async (ctx) => {
      const route = engineRoutes.pushedAuthorization
      // What is no form the engine refuses.
      if (ctx.method !== 'POST' || !ctx.is('urlencoded')) return handOver(ctx, route)
      ctx.req.headers.accept = 'application/json'
      const form = asTheEngineReads(await readForm(ctx, { limit: longestPushed }))
      return handOver(ctx, route, '', withForm(ctx.req, form))
    }

    const at = (path: string, handler: Handler) => handlers.set(`${host} ${path}`, handler)
    const introspect: Handler = (ctx) =>
      ctx.method === 'POST' && comesWithBearer(ctx)
        ? introspectByBearer(ctx)
        : handOver(ctx, engineRoutes.introspection)

    const own: Record<string, Handler> = {
      authorization: authorize,
      pushedAuthorization: push,
      introspection: introspect,
      userinfo,
    }
    for (const [name, route] of Object.entries(engineRoutes)) {
      const { path, aliases } = environment.endpoints[name as keyof typeof engineRoutes]
      const handler = own[name] ?? ((ctx: Context) => handOver(ctx, route))
      for (const address of [path, ...aliases]) at(address, handler)
    }
    const { revocations } = environment.endpoints
    for (const address of [revocations.path, ...revocations.aliases]) at(address, revocationFeed.handle)
    for (const address of [`${base}${openid}`, `${openid}${base}`]) at(address, (ctx) => handOver(ctx, openid))
    for (const address of [`${base}${metadata}`, `${metadata}${base}`]) at(address, (ctx) => handOver(ctx, metadata))
    at(`${base}${stylePath(environment)}`, async (ctx) => {
      openDocument(ctx, styleOf(environment.plan))
      // Another look has another address.
      if (ctx.status === 200) ctx.set('Cache-Control', 'public, max-age=31536000, immutable')
    })
    at(`${base}${smart}`, async (ctx) => openDocument(ctx, smartDocument(environment)))
    for (const api of environment.apis)
      for (const url of [api.baseUrl, ...api.aliases])
        handlers.set(`${new URL(url).host} ${pathOf(url)}${smart}`, async (ctx) =>
          openDocument(ctx, smartDocument(environment, api)),
        )
    // Where the browser comes back to from our own pages.
    prefixes.push({
      host,
      path: `${base}${engineRoutes.authorization}/`,
      handle: async (ctx, rest) => {
        // Exactly that: with nothing after the slash the engine would see its authorization endpoint, past all that is
        // done to a request on its way there; and a query would tell it where to send errors to.
        if (!stepId.test(rest)) throw new LatchkeyError('not_found', 404)
        if (ctx.method !== 'GET') refuseMethod(ctx, ['GET'])
        return handOver(ctx, `${engineRoutes.authorization}/${rest}`, '')
      },
    })
  }

  return async (ctx, next) => {
    const handler = handlers.get(`${ctx.host} ${ctx.path}`)
    if (handler) return handler(ctx)
    const prefix = prefixes.find(({ host, path }) => host === ctx.host && ctx.path.startsWith(path))
    if (prefix) return prefix.handle(ctx, ctx.path.slice(prefix.path.length))
    return next()
  }
}
