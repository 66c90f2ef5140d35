/**
 * The frame around every route: request id, host allow-list, headers, languages, and the one error page.
 *
 * Owns: the order of what happens to a request before a route sees it, and the only way from an error to an answer.
 * Does not own: any page but the error page. Hands to: whatever is mounted with `app.use` after it.
 */
import type { Context, Next } from 'koa'
import Koa from 'koa'
import type { Environment, Settings } from '../config/settings.ts'
import type { Log } from '../log.ts'
import { newId } from '../secrets.ts'
import { createErrors } from './errors.ts'
import { securityHeaders } from './headers.ts'
import { createHosts } from './hosts.ts'
import { createProxies } from './proxies.ts'
import type { Views } from './views.ts'
import './state.ts'

/** Answered whatever the Host header says: an orchestrator's probe knows only an address. */
const PROBES = new Set(['/healthz', '/readyz'])

/** A part of a path that is as good as a cookie: the handle of an authorization in progress. */
const HANDLE = /[\w-]{32,}/g

/**
 * A Koa application with everything before the routes in place. `ctx.secure`, `ctx.protocol` and `ctx.host` tell the address that
 * people use; of the forwarded headers exactly `x-forwarded-proto` is left, set by us.
 */
export function createApp({
  settings,
  log,
  views,
  now = Date.now,
}: {
  settings: Settings
  log: Log
  views: Views
  now?: () => number
}): Koa {
  const app = new Koa()
  // Safe: every forwarded header of the outside is gone before Koa reads one (proxies.ts).
  app.proxy = true
  const hosts = createHosts(settings)
  const proxies = createProxies(settings.trustedProxies)
  const errors = createErrors({ settings, log, views })

  app.use(async (ctx, next) => {
    ctx.state.requestId = newId(now())
    ctx.state.environment = null
    ctx.state.plan = null
    ctx.state.formAction = []
    ctx.set('X-Request-Id', ctx.state.requestId)
    const startedAt = now()
    const { method, path } = ctx
    ctx.res.once('close', () => {
      const { statusCode } = ctx.res
      // The path alone: a query may carry codes, states and names.
      const line = {
        requestId: ctx.state.requestId,
        method,
        path: loggedPath(path, ctx.state.environment),
        status: statusCode,
        ms: now() - startedAt,
        address: ctx.state.address,
      }
      log.info(line, 'request')
    })
    ctx.state.address = proxies.normalize(ctx.req)
    const host = hosts.find(ctx.req.headers.host)
    const https = (host ?? hosts.main).https
    ctx.req.headers['x-forwarded-proto'] = https ? 'https' : 'http'
    // One spelling of each address from here on. A probe may say anything, so it is not asked.
    ctx.req.headers.host = (host ?? hosts.main).name
    ctx.set(securityHeaders({ https }))
    await errors.middleware(ctx, async () => {
      if (!host && !PROBES.has(path)) throw errors.wrongHost()
      if (!ctx.url.startsWith('/')) throw errors.badTarget()
      ctx.state.environment = host ? hosts.environment(host, path) : null
      ctx.state.plan = ctx.state.environment?.plan ?? null
      await next()
    })
  })
  app.use(views.assets.middleware)
  app.use((ctx, next) => switchLanguage(ctx, next, views))
  app.on('error', (error: unknown) => log.error({ err: error }, 'after the answer'))
  return app
}

/** A path as the log may have it: without handles of authorizations, and of a FHIR request no more than the resource type. */
function loggedPath(path: string, environment: Environment | null): string {
  const bases = environment?.apis.filter(({ sandbox }) => sandbox).map(({ baseUrl }) => new URL(baseUrl).pathname) ?? []
  const base = bases.find((each) => path.startsWith(`${each}/`))
  if (base === undefined) return path.replaceAll(HANDLE, '[handle]')
  const [type, ...more] = path.slice(base.length + 1).split('/')
  return `${base}/${type}${more.length > 0 ? '/[id]' : ''}`
}

/** `?lang=es` on any page: keeps the choice and comes back to the same address without it, so that the flow goes on. */
async function switchLanguage(ctx: Context, next: Next, views: Views): Promise<void> {
  const wish = ctx.URL.searchParams.get('lang')
  if (ctx.method !== 'GET' || wish === null || !ctx.get('accept').includes('text/html')) return next()
  if (!views.i18n.languages.includes(wish)) return next()
  const query = new URLSearchParams(ctx.querystring)
  query.delete('lang')
  views.keepLanguage(ctx, wish)
  ctx.status = 303
  // Our own origin in front: a path that begins with two slashes would otherwise name another host.
  const search = query.size > 0 ? `?${query}` : ''
  ctx.set('Location', `${ctx.protocol}://${ctx.host}${ctx.path}${search}`)
  ctx.body = ''
}
