/**
 * The consent page (R21 to R23, R25 to R27, R29): what the app asks in plain words, and a decision that is kept with what was
 * shown.
 *
 * Owns: showing and deciding. Does not own: what is offered (offer.ts, terms.ts), how that becomes parts of the page
 * (consent-page.ts), what was shown (shown.ts), or what comes of a decision (members/connections).
 */
import { managementUrl } from '../config/addresses.ts'
import type { PatientChoice } from '../members/directory.ts'
import { dayOf, readDay } from '../members/durations.ts'
import { longestTick } from '../smart/choices.ts'
import { scopeText } from '../smart/scope.ts'
import type { MemberRow } from '../storage/tables.ts'
import { manyValues, oneValue } from '../web/forms.ts'
import type { ConsentFault, ConsentPage } from '../web/pages.ts'
import { bundlesPart, longerPart, sensitivePart } from './consent-page.ts'
import { contextOf, decisionOf, patientOf, requirePatient, visitEnd, whyLeft } from './decision.ts'
import { connectionLetter } from './letter.ts'
import { type Boxes, firstBoxes, grantedScopes, nameOfOffer, type Offer, offeredBoxes, offerOf } from './offer.ts'
import { decideOnce, keepShown, nameShown, readShown, type Shown, textHashOf } from './shown.ts'
import { endOf, firstTerm, type TermAnswer, termsOf } from './terms.ts'
import { actionName, type InteractionDeps, leave, readAction, recordVisit, type Visit } from './visit.ts'

/** What a form says. */
interface Answer extends TermAnswer {
  boxes: Boxes
}

/** A connection never outlasts the authority that it rests on (R34). */
const atMost = (choice: PatientChoice): number => choice.endsAt ?? Number.POSITIVE_INFINITY

const offerTo = ({ authorization }: Visit, choice: PatientChoice, { environment }: InteractionDeps): Offer =>
  offerOf({
    scope: authorization.scope,
    approved: authorization.client.scopes,
    api: authorization.api,
    mask: choice.mask,
    categories: environment.plan.sensitiveCategories,
  })

/** What was shared last of the same record with the same app, and whether that goes on. A refusal fills in nothing. */
const earlier = async (visit: Visit, member: MemberRow, choice: PatientChoice, deps: InteractionDeps) => {
  const { client, api } = visit.authorization
  const [patientId, appId] = [choice.patientId, client.app.id]
  const last = await deps.connections.lastDecision(deps.environment.id, { memberId: member.id, patientId, appId })
  const connected = await deps.connections.isConnected(deps.environment.id, {
    memberId: member.id,
    patientId,
    appId,
    api: api.id,
  })
  return { last: last?.decision === 'shared' ? last : null, connected }
}

export const showConsent = async (
  visit: Visit,
  member: MemberRow,
  deps: InteractionDeps,
  again: { answer: Answer; faults: ConsentFault[] } | null = null,
): Promise<void> => {
  const { ctx, authorization, path } = visit
  const { plan } = deps.environment
  const { onceMinutes } = deps.consent
  const choice = await requirePatient(visit, member, deps)
  const offer = offerTo(visit, choice, deps)
  const visitEndsAt = visitEnd(visit, offer)
  const terms = termsOf(plan, { ...offer, now: deps.now(), atMost: atMost(choice), onceMinutes, visitEndsAt })
  const { last, connected } = await earlier(visit, member, choice, deps)
  const lastBoxes = last && firstBoxes(offer, last)
  // Where nothing of it was asked again, it says nothing about what is.
  const useful = lastBoxes !== null && lastBoxes.resources.length > 0
  const first = { boxes: useful ? lastBoxes : firstBoxes(offer, null), ...firstTerm(terms, plan, useful ? last : null) }
  const { boxes, duration, until } = again?.answer ?? first
  const attestation = await deps.attestations.stateOf(authorization.client.app.id)
  const words = deps.views.translator(ctx)
  const name = nameShown()
  const page: ConsentPage = {
    memberName: member.name,
    patient: { name: choice.name, relation: choice.relation },
    otherPersonHref: authorization.patientId && !authorization.launch?.patient ? `${path}/patient` : null,
    app: visit.app,
    attestation,
    last: useful && last ? { decidedAt: last.decidedAt } : null,
    connected,
    bundles: bundlesPart(offer, boxes),
    wildcard: offer.choices.wildcard,
    identity: offer.identity,
    enforced: offer.api.sensitivity === 'enforced',
    sensitive: sensitivePart(offer, boxes, words),
    longer: longerPart(terms, { duration, until }),
    onceUntil: terms.once,
    online: visitEndsAt !== null,
    onceMinutes,
    stopUrl: managementUrl(deps.environment),
    faults: again?.faults ?? [],
    shown: name,
    action: `${path}/consent`,
    denyAction: `${path}/deny`,
    switchAction: `${path}/switch`,
    csrf: deps.forms.csrfToken(ctx, actionName(visit, 'interaction')),
  }
  deps.views.renderPage(ctx, 'interaction/consent', page, {
    status: page.faults.length > 0 ? 400 : 200,
    languageForm: { id: 'share', action: `${path}/consent/language` },
  })
  const shown: Shown = {
    memberId: member.id,
    patientId: choice.patientId,
    textHash: textHashOf(ctx.body),
    textVersion: deps.views.textVersion(words.language),
    language: words.language,
    offer: nameOfOffer(offer),
    terms,
    attestation: { state: attestation.state, id: attestation.id },
  }
  await keepShown(visit, name, shown, deps)
  const { textHash, textVersion, language } = shown
  const details = { textHash, textVersion, language }
  await recordVisit(visit, member, { type: 'consent.shown', patientId: choice.patientId, details }, deps)
}

const answerOf = (form: URLSearchParams, offer: Offer): Answer => ({
  boxes: offeredBoxes(offer, {
    // Not `resource`, as in 0.2: a server of that release would take a type for all of it, whatever stands below.
    resources: manyValues(form, 'type'),
    categories: manyValues(form, 'category', { max: longestTick }),
    sensitive: manyValues(form, 'sensitive'),
  }),
  duration: oneValue(form, 'duration') ?? '',
  until: oneValue(form, 'until') ?? '',
})

export const submitConsent = async (visit: Visit, member: MemberRow, deps: InteractionDeps): Promise<void> => {
  const { ctx, authorization } = visit
  const form = await readAction(visit, 'interaction', deps)
  const choice = await requirePatient(visit, member, deps)
  const shown = await readShown(visit, form, choice, deps)
  const offer = offerTo(visit, choice, deps)
  // Nothing is decided on a page that this member did not see for this patient, or that offered something else.
  if (shown?.offer !== nameOfOffer(offer)) return showConsent(visit, member, deps)
  const answer = answerOf(form, offer)
  const { plan } = deps.environment
  const { timeZone } = plan
  const authority = { offline: offer.offline, atMost: atMost(choice) }
  // Sharing once begins now: whoever read for an hour gets what the page said all the same, if on the day that it said.
  const { onceMinutes } = deps.consent
  const visitEndsAt = visitEnd(visit, offer)
  const { once } = termsOf(plan, { ...authority, now: deps.now(), onceMinutes, visitEndsAt })
  const terms = { ...shown.terms, once }
  const end = endOf(terms, answer, { language: shown.language, timeZone, atMost: authority.atMost })
  const nothing = offer.choices.types.size > 0 && answer.boxes.resources.length === 0
  const faults: ConsentFault[] = [
    ...(nothing ? ['nothing-selected' as const] : []),
    ...(typeof end === 'string' ? [end] : []),
  ]
  if (typeof end === 'string' || faults.length > 0) return showConsent(visit, member, deps, { answer, faults })
  const offline = shown.terms.longer !== null && answer.duration !== 'once'
  if (!offline && dayOf(once, timeZone) !== dayOf(shown.terms.once, timeZone))
    return showConsent(visit, member, deps, { answer, faults: [] })
  await decideOnce(visit, deps, () =>
    deps.authorizations.share(ctx, authorization, {
      ...decisionOf(visit, member, choice, shown, deps),
      grantedScope: scopeText(grantedScopes(offer, answer.boxes, { offline, online: visitEndsAt !== null })),
      sensitivities: answer.boxes.sensitive,
      duration: offline ? answer.duration : 'once',
      context: contextOf(visit, { online: !offline && visitEndsAt !== null }),
      offline,
      endsAt: end,
      letter: connectionLetter({
        member,
        patient: choice,
        app: visit.app,
        environment: deps.environment,
        endsAt: end,
        words: deps.views.translator(ctx),
      }),
    }),
  )
  leave(visit, authorization.returnTo, deps)
}

/** The same page in another language, with everything as the member left it (R31). */
export const switchLanguage = async (visit: Visit, member: MemberRow, deps: InteractionDeps): Promise<void> => {
  const form = await readAction(visit, 'interaction', deps)
  const choice = await requirePatient(visit, member, deps)
  const shown = await readShown(visit, form, choice, deps)
  const { until, ...answer } = answerOf(form, offerTo(visit, choice, deps))
  deps.views.keepLanguage(visit.ctx, oneValue(form, 'language') ?? '')
  // What was typed in the one language need not be a day in the other.
  const day = (shown && readDay(until, shown.language)) ?? until
  await showConsent(visit, member, deps, shown ? { answer: { ...answer, until: day }, faults: [] } : null)
}

/** Back to the app without anything shared (R27). A refusal on the consent page is recorded with what it showed. */
export const submitDeny = async (visit: Visit, deps: InteractionDeps): Promise<void> => {
  const { ctx, authorization, member } = visit
  const form = await readAction(visit, 'interaction', deps)
  const choice = member && authorization.step === 'consent' ? await patientOf(visit, member, deps) : undefined
  const shown = choice && (await readShown(visit, form, choice, deps))
  const description = await whyLeft(visit, deps)
  await decideOnce(visit, deps, async () => {
    if (member && choice && shown) await deps.connections.recordDenied(decisionOf(visit, member, choice, shown, deps))
    // From a page on which there was nothing to decide yet.
    else if (member)
      await recordVisit(visit, member, { type: 'access.left', details: { step: authorization.step } }, deps)
    await deps.authorizations.refuse(ctx, authorization.uid, description)
  })
  leave(visit, authorization.returnTo, deps)
}
