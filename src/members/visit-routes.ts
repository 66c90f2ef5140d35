/**
 * One visit to the member's own pages: who is signed in, and which connection it is about.
 *
 * Owns: that whoever is not signed in signs in first and comes back, and that a connection which is not theirs to see is like
 * one that does not exist. Does not own: signing in and the session (handed in), or any page.
 */
import type { Context } from 'koa'
import { managementPath } from '../config/addresses.ts'
import type { Environment } from '../config/settings.ts'
import { pathOf } from '../config/urls.ts'
import type { MemberRow } from '../storage/tables.ts'
import type { Forms } from '../web/forms.ts'
import { seeOther } from '../web/see-other.ts'
import type { Views } from '../web/views.ts'
import type { Looking } from './connection-pages.ts'
import type { Connections } from './connections.ts'
import type { Directory } from './directory.ts'
import type { ConnectionDetail } from './overview.ts'

/** What the member's pages of one issuer are built with. */
export interface MemberDeps {
  environment: Environment
  /** The `sub` of whoever is signed in at this browser; a visit keeps the session alive. */
  visiting: (ctx: Context) => Promise<string | null>
  directory: Directory
  connections: Connections
  views: Views
  forms: Forms
  now: () => number
}

/** A signed-in member at one of their pages. */
export interface MemberVisit {
  ctx: Context
  member: MemberRow
  looking: Looking
}

type OnVisit = (handle: (visit: MemberVisit) => Promise<void>) => (ctx: Context) => Promise<void>
export type OnConnection = (
  handle: (visit: MemberVisit, connection: ConnectionDetail) => Promise<void>,
) => (ctx: Context & { params: Record<string, string> }) => Promise<void>

/** The ways into the pages of one issuer. */
export const createVisits = (deps: MemberDeps): { onVisit: OnVisit; onConnection: OnConnection } => {
  const { environment, directory, connections, views, forms, now } = deps
  const list = managementPath(environment)

  const onVisit: OnVisit = (handle) => async (ctx) => {
    const subject = await deps.visiting(ctx)
    const member = subject ? await directory.findBySubject(environment.id, subject) : undefined
    // Whoever was locked meanwhile is not signed in any more, whatever the session says (ASVS 7.4.2).
    if (member?.status !== 'active') {
      // To a page that can be looked at; what was posted is not done without its member.
      const next = ctx.path.replace(/\/end$/, '').replace(/\.json$/, '')
      const query = next === list ? '' : `?next=${encodeURIComponent(next)}`
      return seeOther(ctx, `${pathOf(environment.issuer)}/sign-in${query}`)
    }
    if (member.locale) ctx.state.preferredLanguage = member.locale
    const csrf = (action: string) => forms.csrfToken(ctx, action)
    const looking = { environment, member, now: now(), words: views.translator(ctx), csrf }
    await handle({ ctx, member, looking })
  }

  /** One that is not theirs to see is like one that does not exist. */
  const onConnection: OnConnection = (handle) => (ctx) =>
    onVisit(async (visit) => {
      const connection = await connections.detail(environment.id, visit.member.id, ctx.params.id ?? '')
      if (connection) await handle(visit, connection)
    })(ctx)

  return { onVisit, onConnection }
}
