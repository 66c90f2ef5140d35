/**
 * One visit of a member to a page of an authorization: what every such page needs to know, and the ways on.
 *
 * Owns: loading it all from the request, the addresses of the steps, going on to the app past our own CSP.
 * Does not own: any page.
 */
import { setTimeout as wait } from 'node:timers/promises'
import type { Context } from 'koa'
import type { Gate } from '../accounts/gate.ts'
import type { SignIn } from '../accounts/sign-in.ts'
import type { Audit, AuditEvent } from '../audit/audit.ts'
import type { Environment } from '../config/settings.ts'
import { pathOf } from '../config/urls.ts'
import { LatchkeyError } from '../errors.ts'
import type { Log } from '../log.ts'
import type { Connections } from '../members/connections.ts'
import type { Directory } from '../members/directory.ts'
import type { Authorization, Authorizations } from '../oidc/authorizations.ts'
import type { Encounters } from '../oidc/encounters.ts'
import type { LogoutRequests } from '../oidc/logout-requests.ts'
import type { Attestations } from '../portal/attestation.ts'
import type { Database } from '../storage/database.ts'
import type { ShortLived } from '../storage/short-lived.ts'
import type { MemberRow } from '../storage/tables.ts'
import type { Forms } from '../web/forms.ts'
import { readForm } from '../web/forms.ts'
import { formActionSource } from '../web/headers.ts'
import type { AppFace } from '../web/pages.ts'
import { seeOther } from '../web/see-other.ts'
import type { Views } from '../web/views.ts'

/** What the pages of one issuer are built with. */
export interface InteractionDeps {
  environment: Environment
  authorizations: Authorizations
  logoutRequests: LogoutRequests
  encounters: Encounters
  directory: Directory
  connections: Connections
  attestations: Attestations
  signIn: SignIn
  /** Through which whoever signs in has to go, at whatever issuer. */
  signingIn: Gate
  shortLived: ShortLived
  database: Database
  audit: Audit
  views: Views
  forms: Forms
  log: Log
  now: () => number
  consent: { onceMinutes: number }
}

export interface Visit {
  ctx: Context
  authorization: Authorization
  app: AppFace
  /** Null until somebody is signed in. */
  member: MemberRow | null
  /** The address of this authorization's pages, without a trailing slash. */
  path: string
  /** What this request brought to an end, if anything. */
  done: Done['what'] | null
}

/** A step that is over, remembered for whoever comes back to its page. */
interface Done {
  what: 'step' | 'decision'
  flow: string
}

const doneKind = 'StepDone'
/** Longer than an authorization lives. */
const doneKept = 2 * 3_600_000

const flowPath = (environment: Environment, uid: string): string => `${pathOf(environment.issuer)}/interaction/${uid}`

/**
 * Runs `handle` with the visit. A step that is over, met by the Back button, a second window or a second press, leads to
 * where its authorization is now. Throws `already_decided` after the last step, and `authorization_expired` where the
 * authorization is over for another reason or not this browser's.
 */
export const receiveVisit = async (
  ctx: Context,
  uid: string,
  deps: InteractionDeps,
  handle: (visit: Visit) => Promise<void> | void,
): Promise<void> => {
  const { authorizations, environment, shortLived, now } = deps
  let visit: Visit
  try {
    visit = await loadVisit(ctx, uid, deps)
  } catch (error) {
    if (!(error instanceof LatchkeyError) || error.code !== 'authorization_expired') throw error
    const done = (await shortLived.get<Done>(doneKind, uid))?.value
    if (done?.what === 'decision') throw new LatchkeyError('already_decided', 409, { cause: error })
    const current = done ? await authorizations.currentStep(done.flow) : null
    if (!current || current === uid) throw error
    seeOther(ctx, flowPath(environment, current))
    return
  }
  await handle(visit)
  if (visit.done === null) return
  const done: Done = { what: visit.done, flow: visit.authorization.flow }
  await shortLived.set(doneKind, uid, done, now() + doneKept)
}

/** Waits, at most 3 s, until a step that another request is busy with is over. */
export const waitUntilDone = async (uid: string, { shortLived }: InteractionDeps): Promise<void> => {
  for (let tries = 0; tries < 60; tries += 1) {
    if (await shortLived.get<Done>(doneKind, uid)) return
    await wait(50)
  }
}

const loadVisit = async (ctx: Context, uid: string, deps: InteractionDeps): Promise<Visit> => {
  const authorization = await deps.authorizations.load(ctx, uid)
  const { client, subject } = authorization
  const found = subject ? await deps.directory.findBySubject(deps.environment.id, subject) : undefined
  // Whoever was locked meanwhile is not signed in any more, whatever the session says (ASVS 7.4.2).
  const member = found?.status === 'active' ? found : null
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
    path: flowPath(deps.environment, uid),
    done: null,
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

/** Writes into the audit trail what this member saw or did at this visit. */
export const recordVisit = (
  { ctx, authorization }: Visit,
  member: { id: string },
  event: Pick<AuditEvent, 'type' | 'outcome' | 'patientId' | 'details'>,
  { database, audit, environment }: InteractionDeps,
): Promise<void> =>
  database.transaction((trx) =>
    audit.record(trx, {
      ...event,
      plan: environment.plan.id,
      issuer: environment.id,
      actor: `member:${member.id}`,
      memberId: member.id,
      appId: authorization.client.app.id,
      requestId: ctx.state.requestId,
    }),
  )

/** Turns to another page of the same step. */
export const turnTo = ({ ctx }: Visit, location: string): void => seeOther(ctx, location)

/** Goes on to the next step, which is a page of ours. */
export const goOn = (visit: Visit, location: string): void => {
  visit.done = 'step'
  seeOther(visit.ctx, location)
}

/** Goes back to the app by way of `location`. */
export const leave = (visit: Visit, location: string, deps: InteractionDeps): void => {
  const { ctx, app, authorization } = visit
  visit.done = 'decision'
  // Where CSP has no word for the address, the browser would stop the form's redirect: the member follows a link.
  if (formActionSource(authorization.redirectUri) === null)
    deps.views.renderPage(ctx, 'interaction/return', { app, href: location })
  else seeOther(ctx, location)
}
