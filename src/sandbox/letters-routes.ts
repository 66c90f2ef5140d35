/** The letters that a development server would have sent, on a page of each sandbox issuer. */
import type { Middleware } from 'koa'
import type { Environment } from '../config/settings.ts'
import type { LetterRow } from '../storage/tables.ts'
import type { Views } from '../web/views.ts'

export const letterRoutes = (deps: {
  environment: Environment
  mail: { list(issuer: string): Promise<LetterRow[]> }
  views: Views
}): Middleware => {
  const { environment, mail, views } = deps
  const { host, pathname } = new URL(`${environment.issuer}/letters`)
  return async (ctx, next) => {
    if (ctx.host !== host || ctx.path !== pathname || (ctx.method !== 'GET' && ctx.method !== 'HEAD')) return next()
    const letters = await mail.list(environment.id)
    views.renderPage(ctx, 'sandbox/letters', {
      letters: letters.map(({ recipient, subject, body, created_at }) => ({
        recipient,
        subject,
        body,
        createdAt: created_at,
      })),
    })
  }
}
