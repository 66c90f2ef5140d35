/**
 * The pages of an authorization, at `{issuer}/interaction/{uid}`, and those of the session (session.ts).
 *
 * Owns: which page is shown at which step. Does not own: the pages (one file each), or the order of steps (oidc/policy).
 */
import Router from '@koa/router'
import type { Context, Middleware } from 'koa'
import { pathOf } from '../config/urls.ts'
import type { MemberRow } from '../storage/tables.ts'
import { showConsent, submitConsent, submitDeny, switchLanguage } from './consent.ts'
import { requirePatient } from './decision.ts'
import { showEncounter, submitEncounter } from './encounter.ts'
import { showLaunchRefused } from './launch.ts'
import { showSignIn, submitSignIn } from './login.ts'
import { showPatient, submitPatient } from './patient.ts'
import { showPractitioner, submitPractitioner } from './practitioner.ts'
import { createSessionPages } from './session.ts'
import { type InteractionDeps, readAction, receiveVisit, turnTo, type Visit } from './visit.ts'
import { leadToWarning, leaveAtWarning, passWarning, showWarning } from './warning.ts'

/** The routes of one issuer's pages. */
export const interactionRoutes = (deps: InteractionDeps): Middleware => {
  const base = pathOf(deps.environment.issuer)
  const router = new Router({ prefix: base, sensitive: true, strict: true })
  const onVisit =
    (handle: (visit: Visit) => Promise<void> | void) =>
    (ctx: Context & { params: Record<string, string> }): Promise<void> =>
      receiveVisit(ctx, ctx.params.uid ?? '', deps, handle)

  const showStep = async (visit: Visit): Promise<void> => {
    const { authorization, member } = visit
    if (authorization.step === 'login' || !member) return showSignIn(visit, deps)
    if (authorization.step === 'launch') return showLaunchRefused(visit, member, deps)
    if (authorization.step === 'patient') return showPatient(visit, member, deps)
    if (authorization.step === 'encounter')
      return showEncounter(visit, member, await requirePatient(visit, member, deps), deps)
    // The warning, and all that can be chosen, is for those whose records they are (R24).
    if (member.fhir_user !== null) return showPractitioner(visit, member, deps)
    if (await leadToWarning(visit, member, deps)) return
    return showConsent(visit, member, deps)
  }

  router.get('/interaction/:uid', onVisit(showStep))
  router.get(
    '/interaction/:uid/sign-in',
    onVisit((visit) => showSignIn(visit, deps)),
  )
  // Fifty who press at once are taken one after the other from the very beginning, so that apps get their tokens in between.
  const signIn = onVisit((visit) => submitSignIn(visit, deps))
  router.post('/interaction/:uid/sign-in', (ctx) => deps.signingIn.run(() => signIn(ctx)))

  type Handle = (visit: Visit, member: MemberRow, deps: InteractionDeps) => Promise<void>
  // Also from the consent page: whoever sees there that it is about somebody else can choose again. Not the patient of a launch.
  const onPatientChoice = (handle: Handle) =>
    onVisit((visit) => {
      const { step, launch } = visit.authorization
      const mayChoose = (step === 'patient' || step === 'encounter' || step === 'consent') && !launch?.patient
      return mayChoose && visit.member ? handle(visit, visit.member, deps) : showStep(visit)
    })
  router.get(
    '/interaction/:uid/patient',
    onPatientChoice((visit, member) => showPatient(visit, member, deps)),
  )
  router.post('/interaction/:uid/patient', onPatientChoice(submitPatient))

  router.post(
    '/interaction/:uid/encounter',
    onVisit(async (visit) => {
      const { member, authorization } = visit
      if (authorization.step !== 'encounter' || !member) return showStep(visit)
      return submitEncounter(visit, member, await requirePatient(visit, member, deps), deps)
    }),
  )

  const onDecision = (isTheirs: (member: MemberRow) => boolean, handle: Handle) =>
    onVisit((visit) =>
      visit.authorization.step === 'consent' && visit.member && isTheirs(visit.member)
        ? handle(visit, visit.member, deps)
        : showStep(visit),
    )
  const isPractitioner = (member: MemberRow): boolean => member.fhir_user !== null
  const onConsentStep = (handle: Handle) => onDecision((member) => !isPractitioner(member), handle)
  router.post('/interaction/:uid/allow', onDecision(isPractitioner, submitPractitioner))
  router.get('/interaction/:uid/warning', onConsentStep(showWarning))
  router.post('/interaction/:uid/warning', onConsentStep(passWarning))
  router.post('/interaction/:uid/leave', onConsentStep(leaveAtWarning))

  for (const [path, handle] of [
    ['consent', submitConsent],
    ['consent/language', switchLanguage],
  ] as const)
    router.post(
      `/interaction/:uid/${path}`,
      onConsentStep(async (visit, member) => {
        if (await leadToWarning(visit, member, deps)) return
        return handle(visit, member, deps)
      }),
    )

  router.post(
    '/interaction/:uid/deny',
    onVisit((visit) => submitDeny(visit, deps)),
  )

  // "Not you?": the sign-in page of the same authorization; the old session ends when somebody else signs in.
  router.post(
    '/interaction/:uid/switch',
    onVisit(async (visit) => {
      await readAction(visit, 'interaction', deps)
      turnTo(visit, `${visit.path}/sign-in`)
    }),
  )

  const session = createSessionPages(deps)
  router.get('/sign-in', session.showSignIn)
  router.post('/sign-in', (ctx) => deps.signingIn.run(() => session.submitSignIn(ctx)))
  router.get('/sign-out', session.showSignOut)
  router.post('/sign-out', session.submitSignOut)

  const routes = router.routes() as Middleware
  // A router knows paths only, and an issuer on another host may have the same ones.
  return (ctx, next) =>
    ctx.state.environment?.id === deps.environment.id ? session.logout(ctx, () => routes(ctx, next)) : next()
}
