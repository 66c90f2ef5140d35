/**
 * Changing a connection on the member's own pages: stop, share less, share longer. The app does nothing (R8).
 *
 * Owns: the forms. One that is stale changes nothing and says so; one that is sent twice changes once. Does not own: the rules
 * of changing (changes.ts).
 */
import type Router from '@koa/router'
import { LatchkeyError } from '../errors.ts'
import { sha256 } from '../secrets.ts'
import { chosen, longestTick, type Ticked } from '../smart/choices.ts'
import { parseScopes, scopeText } from '../smart/scope.ts'
import { manyValues, oneValue, readForm } from '../web/forms.ts'
import type { ExtendPage } from '../web/member-pages.ts'
import type { Pages } from '../web/pages.ts'
import { seeOther } from '../web/see-other.ts'
import { visibleText } from '../web/visible-text.ts'
import type { ShownPage } from './changes.ts'
import {
  actionOf,
  appFace,
  doneHref,
  extendPage,
  frameOf,
  hrefOf,
  isAllTicked,
  narrowPage,
  stateOf,
} from './connection-pages.ts'
import { releasedKinds, sharedChoices, sharedTypes } from './connection-words.ts'
import { chosenEnd, extensionOf } from './extension.ts'
import type { ConnectionDetail } from './overview.ts'
import type { MemberDeps, MemberVisit, OnConnection } from './visit-routes.ts'

/** So long a page with dates may have been open. */
const shownFor = 12 * 3_600_000

/** Adds the routes of change to those of a connection. */
export const changeRoutes = (router: Router, onConnection: OnConnection, deps: MemberDeps): void => {
  const { environment, connections, views, forms } = deps
  const { plan } = environment

  const changeOf = ({ ctx, member }: MemberVisit, { id }: ConnectionDetail, shown: ShownPage | null) => ({
    issuer: environment.id,
    plan: plan.id,
    memberId: member.id,
    connectionId: id,
    shown,
    requestId: ctx.state.requestId,
  })

  const goBack = ({ ctx }: MemberVisit, { id }: ConnectionDetail): void => seeOther(ctx, hrefOf(environment, id))

  /** Somebody else's decision is theirs to change: whose record it is may end it, and no more. */
  const requireOwn = ({ own, id }: ConnectionDetail): void => {
    if (!own) throw new LatchkeyError('not_found', 404, { detail: `connection ${id} was approved by another member` })
  }

  const showOver = ({ ctx, member }: MemberVisit, connection: ConnectionDetail): void =>
    views.renderPage(
      ctx,
      'members/over',
      {
        ...frameOf({ environment, member }),
        href: hrefOf(environment, connection.id),
        app: appFace(connection),
      },
      { status: 409, languagePath: hrefOf(environment, connection.id) },
    )

  /** Shows a form that carries what its page says: hash, language, version. Its token is bound to that too. */
  const renderForm = <V extends 'members/narrow' | 'members/extend'>(
    { ctx }: MemberVisit,
    view: V,
    page: (said: string) => Pages[V],
    options: { status: number; languagePath: string },
  ): void => {
    views.renderPage(ctx, view, page(''), options)
    const textHash = sha256(visibleText(String(ctx.body)))
    const { language } = views.translator(ctx)
    views.renderPage(ctx, view, page([textHash, language, views.textVersion(language)].join(' ')), options)
  }

  const shownBy = (said: string): ShownPage => {
    const [textHash = '', language = '', textVersion = ''] = said.split(' ')
    return { textHash, language, textVersion }
  }

  const submitEnd = async (visit: MemberVisit, connection: ConnectionDetail): Promise<void> => {
    forms.checkCsrf(visit.ctx, await readForm(visit.ctx), actionOf('end', connection.id))
    // Pressed twice it ends once, and both lead to the page that says so.
    await connections.end(changeOf(visit, connection, null))
    goBack(visit, connection)
  }

  const showNarrow = async (visit: MemberVisit, connection: ConnectionDetail, changed = false): Promise<void> => {
    requireOwn(connection)
    if (connection.ended) return goBack(visit, connection)
    renderForm(visit, 'members/narrow', (said) => narrowPage(connection, visit.looking, { changed, said }), {
      status: changed ? 409 : 200,
      languagePath: `${hrefOf(environment, connection.id)}/narrow`,
    })
  }

  const submitNarrow = async (visit: MemberVisit, connection: ConnectionDetail): Promise<void> => {
    requireOwn(connection)
    const form = await readForm(visit.ctx)
    const state = oneValue(form, 'state') ?? ''
    const said = oneValue(form, 'said') ?? ''
    forms.checkCsrf(visit.ctx, form, actionOf('narrow', connection.id, `${state}:${said}`))
    if (connection.ended) return showOver(visit, connection)
    // What the form did not show cannot have been left out on purpose.
    if (state !== stateOf(connection)) return showNarrow(visit, connection, true)
    const sensitivities = manyValues(form, 'sensitive').filter((code) => connection.sensitivities.includes(code))
    const ticked: Ticked = {
      resources: manyValues(form, 'type'),
      categories: manyValues(form, 'category', { max: longestTick }),
      // A category's own scope goes with it; how long is another page's matter.
      plain: [
        ...['offline_access', 'online_access'],
        ...releasedKinds(plan, sensitivities).flatMap(({ scope }) => scope ?? []),
      ],
    }
    const choices = sharedChoices(environment, connection)
    const kept = sensitivities.length === connection.sensitivities.length
    if (kept && isAllTicked(choices, ticked)) return goBack(visit, connection)
    const { scopes } = parseScopes(connection.scope)
    const left = scopeText(chosen(scopes, sharedTypes(environment, connection), choices, ticked))
    await connections.narrow({ ...changeOf(visit, connection, shownBy(said)), scope: left, sensitivities })
    seeOther(visit.ctx, doneHref(environment, connection.id))
  }

  const showExtend = async (
    visit: MemberVisit,
    connection: ConnectionDetail,
    again: { shown: number; duration: string; until: string; fault: ExtendPage['fault'] } | null = null,
  ): Promise<void> => {
    requireOwn(connection)
    const endsAt = connection.endsAt ?? 0
    if (connection.ended || !connection.offline) return goBack(visit, connection)
    const shown = again?.shown ?? visit.looking.now
    const offered = extensionOf(plan, { endsAt, shown, atMost: connection.authorityEndsAt })
    const { preselected } = plan.sharing
    const first = offered.choices.find(({ key }) => key === preselected) ?? offered.choices[0]
    const asked = again ?? { shown, duration: first?.key ?? 'date', until: '', fault: null }
    renderForm(visit, 'members/extend', (said) => extendPage(connection, visit.looking, offered, { ...asked, said }), {
      status: again?.fault ? 400 : 200,
      languagePath: `${hrefOf(environment, connection.id)}/extend`,
    })
  }

  const submitExtend = async (visit: MemberVisit, connection: ConnectionDetail): Promise<void> => {
    requireOwn(connection)
    const form = await readForm(visit.ctx)
    const [moment, said] = [oneValue(form, 'shown') ?? '', oneValue(form, 'said') ?? '']
    forms.checkCsrf(visit.ctx, form, actionOf('extend', connection.id, `${moment}:${said}`))
    if (connection.ended) return showOver(visit, connection)
    const shown = Number(moment)
    if (visit.looking.now - shown > shownFor) return showExtend(visit, connection)
    const [duration, until] = [oneValue(form, 'duration'), oneValue(form, 'until') ?? '']
    const endsAt = connection.endsAt ?? 0
    const atMost = connection.authorityEndsAt
    const offered = extensionOf(plan, { endsAt, shown, atMost })
    const page = shownBy(said)
    const reading = { language: page.language, timeZone: plan.timeZone, atMost }
    const end = chosenEnd(offered, { duration, until }, reading)
    if ('fault' in end) {
      // Pressed twice: what it asks for is there already.
      const before = extensionOf(plan, { endsAt: shown, shown, atMost })
      const already = chosenEnd(before, { duration, until }, reading)
      if ('endsAt' in already && already.endsAt <= endsAt)
        return seeOther(visit.ctx, doneHref(environment, connection.id))
      return showExtend(visit, connection, { shown, duration: duration ?? '', until, fault: end.fault })
    }
    await connections.extend({ ...changeOf(visit, connection, page), endsAt: end.endsAt })
    seeOther(visit.ctx, doneHref(environment, connection.id))
  }

  router.post('/connections/:id/end', onConnection(submitEnd))
  router.get(
    '/connections/:id/narrow',
    onConnection((visit, connection) => showNarrow(visit, connection)),
  )
  router.post('/connections/:id/narrow', onConnection(submitNarrow))
  router.get(
    '/connections/:id/extend',
    onConnection((visit, connection) => showExtend(visit, connection)),
  )
  router.post('/connections/:id/extend', onConnection(submitExtend))
}
