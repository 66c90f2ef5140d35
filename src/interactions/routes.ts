/**
 * The pages of an authorization, at `{issuer}/interaction/{uid}`, and signing out, at `{issuer}/sign-out`.
 *
 * Owns: which page is shown at which step. Does not own: the pages (one file each), or the order of steps (oidc/policy).
 */
import Router from '@koa/router'
import type { Context, Middleware } from 'koa'
import { readForm } from '../web/forms.ts'
import { showConsent, submitConsent, submitDeny } from './consent.ts'
import { showSignIn, submitSignIn } from './login.ts'
import { showPatient, submitPatient } from './patient.ts'
import { basePath, type InteractionDeps, loadVisit, readAction, type Visit } from './visit.ts'

/** The routes of one issuer's pages. */
export const interactionRoutes = (deps: InteractionDeps): Middleware => {
  const base = basePath(deps.environment)
  const router = new Router({ prefix: base })
  const visitOf = (ctx: Context & { params: Record<string, string> }): Promise<Visit> =>
    loadVisit(ctx, ctx.params.uid ?? '', deps)

  const showStep = async (visit: Visit): Promise<void> => {
    const { authorization, member } = visit
    if (authorization.step === 'login' || !member) return showSignIn(visit, deps)
    if (authorization.step === 'patient') return showPatient(visit, member, deps)
    return showConsent(visit, member, deps)
  }

  router.get('/interaction/:uid', async (ctx) => showStep(await visitOf(ctx)))
  router.get('/interaction/:uid/sign-in', async (ctx) => showSignIn(await visitOf(ctx), deps))
  router.post('/interaction/:uid/sign-in', async (ctx) => submitSignIn(await visitOf(ctx), deps))

  router.post('/interaction/:uid/patient', async (ctx) => {
    const visit = await visitOf(ctx)
    if (visit.authorization.step !== 'patient' || !visit.member) return showStep(visit)
    return submitPatient(visit, visit.member, deps)
  })

  router.post('/interaction/:uid/consent', async (ctx) => {
    const visit = await visitOf(ctx)
    if (visit.authorization.step !== 'consent' || !visit.member) return showStep(visit)
    return submitConsent(visit, visit.member, deps)
  })

  router.post('/interaction/:uid/deny', async (ctx) => submitDeny(await visitOf(ctx), deps))

  // "Not you?": the sign-in page of the same authorization; the old session ends when somebody else signs in.
  router.post('/interaction/:uid/switch', async (ctx) => {
    const visit = await visitOf(ctx)
    await readAction(visit, 'interaction', deps)
    ctx.status = 303
    ctx.set('Location', `${visit.path}/sign-in`)
    ctx.body = ''
  })

  const signOutAction = 'sign-out'
  router.get('/sign-out', async (ctx) => {
    const subject = await deps.authorizations.signedInSubject(ctx)
    const member = subject ? await deps.directory.findBySubject(deps.environment.id, subject) : undefined
    deps.views.renderPage(ctx, 'members/sign-out', {
      memberName: member?.name ?? null,
      action: `${base}/sign-out`,
      csrf: deps.forms.csrfToken(ctx, signOutAction),
    })
  })

  router.post('/sign-out', async (ctx) => {
    deps.forms.checkCsrf(ctx, await readForm(ctx), signOutAction)
    const subject = await deps.authorizations.signedInSubject(ctx)
    const member = subject ? await deps.directory.findBySubject(deps.environment.id, subject) : undefined
    await deps.authorizations.signOut(ctx)
    if (member)
      await deps.database.transaction((trx) =>
        deps.audit.record(trx, {
          type: 'member.signed-out',
          plan: deps.environment.plan.id,
          issuer: deps.environment.id,
          actor: `member:${member.id}`,
          memberId: member.id,
          requestId: ctx.state.requestId,
        }),
      )
    deps.views.renderPage(ctx, 'members/signed-out', {})
  })

  return router.routes() as Middleware
}
