/**
 * Signing in and out outside of any authorization, at `{issuer}/sign-in` and `{issuer}/sign-out`.
 *
 * Owns: the two pages, and where a sign-in leads to: a page of the member's own at this issuer, never anywhere else.
 * Does not own: the session (oidc/authorizations), or the pages that ask for one (members).
 */
import type { Context } from 'koa'
import { managementPath } from '../config/addresses.ts'
import { pathOf } from '../config/urls.ts'
import { readForm } from '../web/forms.ts'
import { seeOther } from '../web/see-other.ts'
import { hintOf, receiveCredentials, type SignInFault, statusOf } from './credentials.ts'
import type { InteractionDeps } from './visit.ts'

const signInAction = 'sign-in'
const signOutAction = 'sign-out'

/** Of a member's own pages those that a link may lead to, below the list: exactly these, compared as they are sent. */
const below = /^\/[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}(?:\/(?:narrow|extend|receipt))?$/

/** Where a sign-in leads: `next` if it is one of the member's own pages here, else the list of them. */
export const destination = (next: string | null, list: string): string =>
  next?.startsWith(list) && below.test(next.slice(list.length)) ? next : list

export const createSessionPages = (deps: InteractionDeps) => {
  const { environment, authorizations, directory, views, forms } = deps
  const base = pathOf(environment.issuer)
  const list = managementPath(environment)

  const memberOf = async (ctx: Context) => {
    const subject = await authorizations.signedInSubject(ctx)
    const member = subject ? await directory.findBySubject(environment.id, subject) : undefined
    return member?.status === 'active' ? member : undefined
  }

  const renderSignIn = (ctx: Context, next: string, fault: SignInFault | null = null): void => {
    const path = `${base}/sign-in`
    views.renderPage(
      ctx,
      'interaction/sign-in',
      {
        app: null,
        action: next === list ? path : `${path}?next=${encodeURIComponent(next)}`,
        cancelAction: null,
        connectionsHref: null,
        csrf: forms.csrfToken(ctx, signInAction),
        username: fault?.username ?? '',
        fault: fault?.fault ?? null,
        waitMinutes: fault?.waitMinutes ?? null,
        hint: hintOf(deps),
      },
      fault ? { status: statusOf(fault), languagePath: path } : {},
    )
  }

  const showSignIn = async (ctx: Context): Promise<void> => {
    const next = destination(ctx.URL.searchParams.get('next'), list)
    if (await memberOf(ctx)) return seeOther(ctx, next)
    renderSignIn(ctx, next)
  }

  const submitSignIn = async (ctx: Context): Promise<void> => {
    const form = await readForm(ctx)
    forms.checkCsrf(ctx, form, signInAction)
    const next = destination(ctx.URL.searchParams.get('next'), list)
    const answer = await receiveCredentials(ctx, form, deps)
    if ('fault' in answer) return renderSignIn(ctx, next, answer)
    await authorizations.signInHere(ctx, answer.subject)
    seeOther(ctx, next)
  }

  const showSignOut = async (ctx: Context): Promise<void> => {
    const member = await memberOf(ctx)
    views.renderPage(ctx, 'members/sign-out', {
      memberName: member?.name ?? null,
      action: `${base}/sign-out`,
      connectionsHref: list,
      csrf: forms.csrfToken(ctx, signOutAction),
    })
  }

  const submitSignOut = async (ctx: Context): Promise<void> => {
    forms.checkCsrf(ctx, await readForm(ctx), signOutAction)
    const member = await memberOf(ctx)
    await authorizations.signOut(ctx)
    if (member)
      await deps.database.transaction((trx) =>
        deps.audit.record(trx, {
          type: 'member.signed-out',
          plan: environment.plan.id,
          issuer: environment.id,
          actor: `member:${member.id}`,
          memberId: member.id,
          requestId: ctx.state.requestId,
        }),
      )
    views.renderPage(ctx, 'members/signed-out', { connectionsHref: list })
  }

  return { showSignIn, submitSignIn, showSignOut, submitSignOut }
}
