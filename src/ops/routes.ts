/** `/healthz` and `/readyz`. */
import type { Middleware } from 'koa'
import type { Health } from './health.ts'

export const healthRoutes =
  (health: Health): Middleware =>
  async (ctx, next) => {
    if (ctx.path !== '/healthz' && ctx.path !== '/readyz') return next()
    const well = ctx.path === '/healthz' || (await health.ready())
    ctx.status = well ? 200 : 503
    ctx.set('Cache-Control', 'no-store')
    ctx.body = { status: well ? 'ok' : 'unavailable' }
  }
