/** The answer to a form, or to a page that is elsewhere for whoever asks: another page, which no cache keeps. */
import type { Context } from 'koa'

export const seeOther = (ctx: Context, location: string): void => {
  ctx.status = 303
  ctx.set('Location', location)
  ctx.set('Cache-Control', 'no-store')
  ctx.body = ''
}
