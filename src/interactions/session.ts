/**
 * Signing in and out outside of any authorization, at `{issuer}/sign-in` and `{issuer}/sign-out`, and for apps that send people to
 * sign out at the logout endpoint (OpenID Connect RP-Initiated Logout).
 *
 * Owns: the two pages, and where a sign-in leads to: a page of the member's own at this issuer, never anywhere else.
 * Does not own: the session (oidc/authorizations), whether an app may have people back (oidc/logout-requests), or the pages that ask for one (members).
 */
import type { Context, Middleware } from 'koa'
import { managementPath } from '../config/addresses.ts'
import { pathOf } from '../config/urls.ts'
import { LatchkeyError } from '../errors.ts'
import { type LogoutParameters, type LogoutRequest, logoutParameters } from '../oidc/logout-requests.ts'
import { oneValue, readForm } from '../web/forms.ts'
import { formActionSource } from '../web/headers.ts'
import { seeOther } from '../web/see-other.ts'
import { hintOf, receiveCredentials, type SignInFault, statusOf } from './credentials.ts'
import type { InteractionDeps } from './visit.ts'

const signInAction = 'sign-in'
const signOutAction = 'sign-out'
const longestHint = 4096

/** What an app asks for, and what came of reading it. */
interface Asked {
  parameters: LogoutParameters
  request: LogoutRequest
}

/** Of a member's own pages those that a link may lead to, below the list: exactly these, compared as they are sent. */
const below = /^\/[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}(?:\/(?:narrow|extend|receipt))?$/

/** Where a sign-in leads: `next` if it is one of the member's own pages here, else the list of them. */
export const destination = (next: string | null, list: string): string =>
  next?.startsWith(list) && below.test(next.slice(list.length)) ? next : list

export const createSessionPages = (deps: InteractionDeps) => {
  const { environment, authorizations, directory, views, forms } = deps
  const base = pathOf(environment.issuer)
  const list = managementPath(environment)
  const logoutPath = environment.endpoints.endSession.path

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
        launched: false,
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

  const renderSignOut = async (ctx: Context, asked: Asked | null): Promise<void> => {
    const member = await memberOf(ctx)
    const app = asked?.request.client?.app.name ?? null
    const uri = asked?.request.returnTo
    const source = uri ? formActionSource(uri) : null
    // As on the way back to an app after consent: browsers apply it to every hop after the post.
    ctx.state.formAction = source?.startsWith('https:') ? ['https:'] : source ? [source] : []
    views.renderPage(
      ctx,
      'members/sign-out',
      {
        memberName: member?.name ?? null,
        app,
        lost: Boolean(asked?.request.fault),
        action: asked ? logoutPath : `${base}/sign-out`,
        fields: Object.entries(asked?.parameters ?? {}).map(([name, value]) => ({ name, value })),
        connectionsHref: list,
        csrf: forms.csrfToken(ctx, signOutAction),
      },
      { status: asked?.request.fault ? 400 : 200 },
    )
  }

  const showSignOut = (ctx: Context): Promise<void> => renderSignOut(ctx, null)

  const endSession = async (ctx: Context, app: string | null): Promise<void> => {
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
          details: app === null ? {} : { clientId: app },
        }),
      )
  }

  const showSignedOut = (ctx: Context): void => {
    views.renderPage(ctx, 'members/signed-out', { connectionsHref: list }, { languagePath: `${base}/sign-out` })
  }

  const submitSignOut = async (ctx: Context): Promise<void> => {
    forms.checkCsrf(ctx, await readForm(ctx), signOutAction)
    await endSession(ctx, null)
    showSignedOut(ctx)
  }

  const askedBy = async (form: URLSearchParams): Promise<Asked> => {
    const parameters: LogoutParameters = {}
    for (const name of logoutParameters) {
      const value = oneValue(form, name, { max: longestHint })
      if (value) parameters[name] = value
    }
    const request = await deps.logoutRequests.read(parameters)
    return { parameters, request }
  }

  const goBack = (ctx: Context, { client, returnTo }: LogoutRequest): void => {
    if (returnTo === null || client === null) showSignedOut(ctx)
    else if (formActionSource(returnTo) !== null) seeOther(ctx, returnTo)
    else {
      const { name, developer, website, privacy_policy_url: privacyPolicyUrl } = client.app
      const app = { name, developer, website, privacyPolicyUrl }
      views.renderPage(ctx, 'interaction/return', { app, href: returnTo })
    }
  }

  /** An app sends somebody to sign out: they are asked, wherever the request comes from, and nothing ends before they say so. */
  const showLogout = async (ctx: Context): Promise<void> => {
    const asked = await askedBy(ctx.URL.searchParams)
    const { fault, client } = asked.request
    if (fault) deps.log.info({ requestId: ctx.state.requestId, client: client?.clientId, reason: fault }, 'refused')
    if (fault || (await memberOf(ctx))) return renderSignOut(ctx, asked)
    // Nobody is signed in, so there is nothing to ask.
    goBack(ctx, asked.request)
  }

  const submitLogout = async (ctx: Context): Promise<void> => {
    const form = await readForm(ctx)
    if (!form.has('csrf')) {
      // By POST as well (§2): seen by the browser as one more hop, so that our Lax cookies come along.
      const { parameters } = await askedBy(form)
      return seeOther(ctx, `${logoutPath}?${new URLSearchParams(parameters)}`)
    }
    forms.checkCsrf(ctx, form, signOutAction)
    const { request } = await askedBy(form)
    await endSession(ctx, request.client?.clientId ?? null)
    goBack(ctx, request)
  }

  /** The logout endpoint and its aliases, which need not lie below the issuer; everything else goes on. */
  const logout: Middleware = async (ctx, next) => {
    if (ctx.path !== logoutPath && !environment.endpoints.endSession.aliases.includes(ctx.path)) return next()
    if (ctx.method === 'POST') return submitLogout(ctx)
    if (ctx.method === 'GET' || ctx.method === 'HEAD') return showLogout(ctx)
    ctx.set('Allow', 'GET, HEAD, POST')
    throw new LatchkeyError('method_not_allowed', 405)
  }

  return { showSignIn, submitSignIn, showSignOut, submitSignOut, logout }
}
