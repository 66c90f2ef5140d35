/** The portal's pages that need no account (R14). */
import type { Middleware } from 'koa'
import type { Settings } from '../config/settings.ts'
import type { Views } from '../web/views.ts'
import type { Attestations } from './attestation.ts'
import { homePage } from './home.ts'

/** The first page, at the root of `publicUrl`. */
export const portalRoutes = (deps: {
  settings: Settings
  attestations: Attestations
  views: Views
  demoUrl: string | null
}): Middleware => {
  return async (ctx, next) => {
    if (ctx.path !== '/' || (ctx.method !== 'GET' && ctx.method !== 'HEAD')) return next()
    deps.views.renderPage(ctx, 'home', await homePage(deps.settings, deps.demoUrl, deps.attestations))
  }
}
