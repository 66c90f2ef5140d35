/**
 * One visit of a member to a page of an authorization: what every such page needs to know, and the ways on.
 *
 * Owns: loading it all from the request, the addresses of the steps, going on to the app past our own CSP.
 * Does not own: any page.
 */
import type { Context } from 'koa'
import type { SignIn } from '../accounts/sign-in.ts'
import type { Audit } from '../audit/audit.ts'
import type { Environment } from '../config/settings.ts'
import type { Log } from '../log.ts'
import type { Connections } from '../members/connections.ts'
import type { Directory } from '../members/directory.ts'
import type { Authorization, Authorizations } from '../oidc/authorizations.ts'
import type { Database } from '../storage/database.ts'
import type { ShortLived } from '../storage/short-lived.ts'
import type { MemberRow } from '../storage/tables.ts'
import type { Forms } from '../web/forms.ts'
import { readForm } from '../web/forms.ts'
import { formActionSource } from '../web/headers.ts'
import type { AppFace } from '../web/pages.ts'
import type { Views } from '../web/views.ts'

/** What the pages of one issuer are built with. */
export interface InteractionDeps {
  environment: Environment
  authorizations: Authorizations
  directory: Directory
  connections: Connections
  signIn: SignIn
  shortLived: ShortLived
  database: Database
  audit: Audit
  views: Views
  forms: Forms
  log: Log
  now: () => number
  consent: { offlineDays: number; onceMinutes: number }
}

export interface Visit {
  ctx: Context
  authorization: Authorization
  app: AppFace
  /** Null until somebody is signed in. */
  member: MemberRow | null
  /** The address of this authorization's pages, without a trailing slash. */
  path: string
}

/** The path of an issuer's own pages. */
export const basePath = (environment: Environment): string => new URL(environment.issuer).pathname.replace(/\/$/, '')

/** Loads a visit. Throws `authorization_expired` where the authorization is over or not this browser's. */
export const loadVisit = async (ctx: Context, uid: string, deps: InteractionDeps): Promise<Visit> => {
  const authorization = await deps.authorizations.load(ctx, uid)
  const { client, subject } = authorization
  const member = subject ? ((await deps.directory.findBySubject(deps.environment.id, subject)) ?? null) : null
  const source = formActionSource(authorization.redirectUri)
  // Browsers apply form-action to every hop after a post, and an app's callback may redirect on to another of its hosts.
  ctx.state.formAction = source?.startsWith('https:') ? ['https:'] : source ? [source] : []
  if (authorization.uiLocales) ctx.state.uiLocales = authorization.uiLocales
  if (member?.locale) ctx.state.preferredLanguage = member.locale
  return {
    ctx,
    authorization,
    member,
    app: {
      name: client.app.name,
      developer: client.app.developer,
      website: client.app.website,
      privacyPolicyUrl: client.app.privacy_policy_url,
    },
    path: `${basePath(deps.environment)}/interaction/${uid}`,
  }
}

/** The form of a page of ours, posted for this action of this authorization. */
export const readAction = async (
  visit: Visit,
  action: string,
  { forms }: InteractionDeps,
): Promise<URLSearchParams> => {
  const form = await readForm(visit.ctx)
  forms.checkCsrf(visit.ctx, form, actionName(visit, action))
  return form
}

/** What a CSRF token is bound to: one action of one authorization. */
export const actionName = (visit: Visit, action: string): string => `${action}:${visit.authorization.uid}`

/** Goes on to the next step, which is a page of ours. */
export const goOn = ({ ctx }: Visit, location: string): void => {
  ctx.status = 303
  ctx.set('Location', location)
  ctx.set('Cache-Control', 'no-store')
  ctx.body = ''
}

/** Goes back to the app by way of `location`. */
export const leave = (visit: Visit, location: string, deps: InteractionDeps): void => {
  const { ctx, app, authorization } = visit
  // Where CSP has no word for the address, the browser would stop the form's redirect: the member follows a link.
  if (formActionSource(authorization.redirectUri) === null)
    deps.views.renderPage(ctx, 'interaction/return', { app, href: location })
  else goOn(visit, location)
}
