/**
 * The page on which a practitioner lets an app read the records of the patient for whom it was launched: short, with nothing to
 * choose but yes or no. Whoever made the launch vouches that they may; the page is not a member's consent.
 *
 * Owns: showing and deciding. Does not own: what a decision is made of (decision.ts), or what comes of it (members/connections).
 */
import { LatchkeyError } from '../errors.ts'
import { sharedRecords } from '../members/connection-words.ts'
import type { VouchedChoice } from '../members/directory.ts'
import { scopeText } from '../smart/scope.ts'
import type { MemberRow } from '../storage/tables.ts'
import { contextOf, decisionOf, visitEnd } from './decision.ts'
import { firstBoxes, grantedScopes, nameOfOffer, offerOf } from './offer.ts'
import { decideOnce, keepShown, nameShown, readShown, type Shown, textHashOf } from './shown.ts'
import { termsOf } from './terms.ts'
import { actionName, type InteractionDeps, leave, readAction, recordVisit, type Visit } from './visit.ts'

/** The patient of the launch. Throws `authority_ended` (403) where the practitioner was locked, or the patient is gone. */
const requirePatient = async (visit: Visit, member: MemberRow, deps: InteractionDeps): Promise<VouchedChoice> => {
  const patient = visit.authorization.launch?.patient
  const choice = patient && (await deps.directory.vouchedChoice(deps.environment.id, member.id, patient.id))
  if (!choice)
    throw new LatchkeyError('authority_ended', 403, { detail: `practitioner ${member.id} has no such patient` })
  return choice
}

/** What is allowed if it is: everything asked, nothing sensitive, never longer than the visit. */
const partsOf = (visit: Visit, { environment, consent, now }: InteractionDeps) => {
  const { scope, client, api } = visit.authorization
  const categories = environment.plan.sensitiveCategories
  const offer = { ...offerOf({ scope, approved: client.scopes, api, mask: null, categories }), offline: false }
  const visitEndsAt = visitEnd(visit, offer)
  const { onceMinutes } = consent
  const atMost = Number.POSITIVE_INFINITY
  const terms = termsOf(environment.plan, { ...offer, now: now(), atMost, onceMinutes, visitEndsAt })
  const online = visitEndsAt !== null
  return {
    offer,
    terms,
    online,
    granted: scopeText(grantedScopes(offer, firstBoxes(offer, null), { offline: false, online })),
  }
}

export const showPractitioner = async (visit: Visit, member: MemberRow, deps: InteractionDeps): Promise<void> => {
  const { ctx, authorization, app, path } = visit
  const choice = await requirePatient(visit, member, deps)
  const { offer, terms, online, granted } = partsOf(visit, deps)
  const words = deps.views.translator(ctx)
  const name = nameShown()
  deps.views.renderPage(ctx, 'interaction/practitioner', {
    memberName: member.name,
    app,
    patient: { name: choice.name, birthDate: choice.birthDate },
    shared: sharedRecords(deps.environment, { scope: granted, sensitivities: [], apis: [authorization.api.id] }, words),
    online,
    onceMinutes: deps.consent.onceMinutes,
    shown: name,
    action: `${path}/allow`,
    denyAction: `${path}/deny`,
    switchAction: `${path}/switch`,
    csrf: deps.forms.csrfToken(ctx, actionName(visit, 'interaction')),
  })
  const { state, id } = await deps.attestations.stateOf(authorization.client.app.id)
  const shown: Shown = {
    memberId: member.id,
    patientId: choice.patientId,
    textHash: textHashOf(ctx.body),
    textVersion: deps.views.textVersion(words.language),
    language: words.language,
    offer: nameOfOffer(offer),
    terms,
    attestation: { state, id },
  }
  await keepShown(visit, name, shown, deps)
  const { textHash, textVersion, language } = shown
  const details = { textHash, textVersion, language }
  await recordVisit(visit, member, { type: 'consent.shown', patientId: choice.patientId, details }, deps)
}

export const submitPractitioner = async (visit: Visit, member: MemberRow, deps: InteractionDeps): Promise<void> => {
  const { ctx, authorization } = visit
  const form = await readAction(visit, 'interaction', deps)
  const choice = await requirePatient(visit, member, deps)
  const shown = await readShown(visit, form, choice, deps)
  const { offer, terms, online, granted } = partsOf(visit, deps)
  // Nothing is decided on a page that they did not see for this patient, or that said something else.
  if (shown?.offer !== nameOfOffer(offer)) return showPractitioner(visit, member, deps)
  await decideOnce(visit, deps, () =>
    deps.authorizations.share(ctx, authorization, {
      ...decisionOf(visit, member, choice, shown, deps),
      grantedScope: granted,
      sensitivities: [],
      duration: 'once',
      context: contextOf(visit, { online }),
      offline: false,
      endsAt: terms.once,
      letter: null,
    }),
  )
  leave(visit, authorization.returnTo, deps)
}
