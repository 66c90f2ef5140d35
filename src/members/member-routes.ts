/**
 * The member's own pages, at `{issuer}/connections`: what they share, and every change that they can make (R8, R28, R34).
 *
 * Owns: which page is where. Does not own: who may see what (visit-routes.ts), the rules of changing (changes.ts), or what the
 * pages say (connection-pages.ts, receipt.ts).
 */
import Router from '@koa/router'
import type { Middleware } from 'koa'
import { pathOf } from '../config/urls.ts'
import { changeRoutes } from './change-routes.ts'
import { connectionPage, connectionsPage } from './connection-pages.ts'
import type { ConnectionDetail } from './overview.ts'
import { receiptRoutes } from './receipt-routes.ts'
import { createVisits, type MemberDeps, type MemberVisit } from './visit-routes.ts'

/** So long after a change its page says that it was done. */
const noticeFor = 10 * 60_000

/** The routes of one issuer's member pages. */
export const memberRoutes = (deps: MemberDeps): Middleware => {
  const { environment, connections, views } = deps
  const router = new Router({ prefix: pathOf(environment.issuer), sensitive: true, strict: true })
  const { onVisit, onConnection } = createVisits(deps)

  const showList = async ({ ctx, member, looking }: MemberVisit): Promise<void> => {
    const all = await connections.overview(environment.id, member.id)
    views.renderPage(ctx, 'members/connections', connectionsPage(all, looking))
  }

  const showOne = async ({ ctx, member, looking }: MemberVisit, connection: ConnectionDetail): Promise<void> => {
    const [last] = connection.history.filter(({ kind }) => kind === 'narrowed' || kind === 'extended')
    const done =
      ctx.URL.searchParams.has('done') &&
      (last?.kind === 'narrowed' || last?.kind === 'extended') &&
      last.by.memberId === member.id &&
      looking.now - last.at < noticeFor
    views.renderPage(ctx, 'members/connection', connectionPage(connection, looking, done ? last.kind : null))
  }

  router.get('/connections', onVisit(showList))
  router.get('/connections/:id', onConnection(showOne))
  changeRoutes(router, onConnection, deps)
  receiptRoutes(router, onConnection, deps)

  const routes = router.routes() as Middleware
  // A router knows paths only, and an issuer on another host may have the same ones.
  return (ctx, next) => (ctx.state.environment?.id === environment.id ? routes(ctx, next) : next())
}
