/** The consent page (R21 to R23, R26, R27): what the app asks in plain words, and a decision that is kept with what was shown. */
import type { Api } from '../config/settings.ts'
import { LatchkeyError } from '../errors.ts'
import type { PatientChoice } from '../members/directory.ts'
import { endOfDuration } from '../members/durations.ts'
import { sha256 } from '../secrets.ts'
import type { ResourceScope } from '../smart/scope.ts'
import { bundlesOf, categoriesOf } from '../smart/scope-words.ts'
import type { MemberRow } from '../storage/tables.ts'
import { manyValues, oneValue } from '../web/forms.ts'
import type { Translator } from '../web/i18n.ts'
import type { ConsentPage, ConsentResource } from '../web/pages.ts'
import { connectionLetter } from './letter.ts'
import { grantedScope, type Offer, offerOf } from './offer.ts'
import { actionName, type InteractionDeps, leave, readAction, type Visit, waitUntilDone } from './visit.ts'

/** What was shown, kept until the decision: the dates that the member saw are the ones that count. */
interface Shown {
  patientId: string
  textHash: string
  language: string
  endsAt: number
  onceUntil: number
}

const shownKind = 'ConsentShown'
const hour = 3_600_000

/** The text that a page shows, without markup: what the hash of a consent is made of. */
export const visibleText = (html: string): string => {
  const [, main = html] = /<main[^>]*>([\s\S]*)<\/main>/.exec(html) ?? []
  return main
    .replaceAll(/<[^>]*>/g, ' ')
    .replaceAll(/\s+/g, ' ')
    .trim()
}

const detailOf = (scope: ResourceScope, { t }: Translator): string => {
  const words = scope.query.map(([name, value]) => {
    const known = categoriesOf(scope.resource).find(
      (each) => value === each.code || value === `${each.system}|${each.code}`,
    )
    return name === 'category' && known ? t(`category.${scope.resource}.${known.key}`) : `${name}: ${value}`
  })
  return words.join(', ')
}

const resourceOf = (
  type: string,
  offer: Offer,
  ticked: readonly string[] | null,
  words: Translator,
): ConsentResource => {
  const scopes = offer.types.get(type) ?? []
  const whole = scopes.some((scope) => scope.query.length === 0)
  return {
    type,
    checked: ticked === null || ticked.includes(type),
    details: whole ? [] : [...new Set(scopes.map((scope) => detailOf(scope, words)))],
  }
}

/** The patient of this authorization: chosen on an earlier page, or the member's only record. */
const patientOf = async (
  visit: Visit,
  member: MemberRow,
  deps: InteractionDeps,
): Promise<PatientChoice | undefined> => {
  const { patientId } = visit.authorization
  if (patientId) return deps.directory.choice(deps.environment.id, member.id, patientId)
  const choices = await deps.directory.patientChoices(deps.environment.id, member.id)
  return choices.length === 1 && choices[0]?.relation === 'self' ? choices[0] : undefined
}

const requirePatient = async (visit: Visit, member: MemberRow, deps: InteractionDeps): Promise<PatientChoice> => {
  const choice = await patientOf(visit, member, deps)
  if (!choice)
    throw new LatchkeyError('authority_ended', 403, { detail: `member ${member.id} has no such patient now` })
  return choice
}

/** A connection never outlasts the authority that it rests on (R34). */
const endings = (choice: PatientChoice, deps: InteractionDeps) => {
  const atMost = choice.endsAt ?? Number.POSITIVE_INFINITY
  return {
    endsAt: Math.min(endOfDuration(deps.environment.plan.sharing.preselected, deps.now()), atMost),
    onceUntil: Math.min(deps.now() + deps.consent.onceMinutes * 60_000, atMost),
  }
}

export const showConsent = async (
  visit: Visit,
  member: MemberRow,
  deps: InteractionDeps,
  again: { ticked: readonly string[]; offline: boolean } | null = null,
): Promise<void> => {
  const { ctx, authorization, path } = visit
  const choice = await requirePatient(visit, member, deps)
  const offer = offerOf(authorization.scope, authorization.api.resources, choice.mask)
  const words = deps.views.translator(ctx)
  const { endsAt, onceUntil } = endings(choice, deps)
  const page: ConsentPage = {
    memberName: member.name,
    patient: { name: choice.name, relation: choice.relation },
    otherPersonHref: authorization.patientId ? `${path}/patient` : null,
    app: visit.app,
    bundles: bundlesOf(offer.types.keys()).map(({ key, resources }) => ({
      key,
      resources: resources.map((type) => resourceOf(type, offer, again?.ticked ?? null, words)),
    })),
    wildcard: offer.wildcard,
    identity: offer.identity,
    offline: offer.offline ? { checked: again?.offline ?? true, endsAt } : null,
    onceUntil,
    onceMinutes: deps.consent.onceMinutes,
    stopUrl: deps.environment.plan.contacts.website,
    fault: again ? 'nothing-selected' : null,
    action: `${path}/consent`,
    denyAction: `${path}/deny`,
    switchAction: `${path}/switch`,
    csrf: deps.forms.csrfToken(ctx, actionName(visit, 'interaction')),
  }
  deps.views.renderPage(ctx, 'interaction/consent', page, { status: again ? 400 : 200, languagePath: path })
  const shown: Shown = {
    patientId: choice.patientId,
    textHash: sha256(visibleText(String(ctx.body))),
    language: words.language,
    endsAt,
    onceUntil,
  }
  await keepShown(visit, shown, deps)
  await deps.database.transaction((trx) =>
    deps.audit.record(trx, {
      type: 'consent.shown',
      plan: deps.environment.plan.id,
      issuer: deps.environment.id,
      actor: `member:${member.id}`,
      memberId: member.id,
      patientId: choice.patientId,
      appId: authorization.client.app.id,
      requestId: ctx.state.requestId,
      details: { textHash: shown.textHash, language: shown.language },
    }),
  )
}

/** What of a decision is the same whether the member shares or not. */
const decisionOf = (visit: Visit, member: MemberRow, choice: PatientChoice, shown: Shown, deps: InteractionDeps) => ({
  issuer: deps.environment.id,
  plan: deps.environment.plan.id,
  memberId: member.id,
  choice,
  app: {
    id: visit.authorization.client.app.id,
    clientId: visit.authorization.client.clientId,
    name: visit.app.name,
  },
  requestedScope: visit.authorization.scope,
  textHash: shown.textHash,
  language: shown.language,
  requestId: visit.ctx.state.requestId,
})

const readShown = async (visit: Visit, deps: InteractionDeps): Promise<Shown | undefined> =>
  (await deps.shortLived.get<Shown>(shownKind, visit.authorization.uid))?.value

const keepShown = (visit: Visit, shown: Shown, deps: InteractionDeps): Promise<void> =>
  deps.shortLived.set(shownKind, visit.authorization.uid, shown, deps.now() + 2 * hour)

/** Decisions that our fault spoilt while the store could not be told. */
const spoilt = new Set<string>()

/**
 * One page, one decision: of a form that is sent twice at once only the first counts, and both go on to the app. A
 * decision that our fault spoilt was none (R43).
 */
const decideOnce = async (
  visit: Visit,
  shown: Shown,
  deps: InteractionDeps,
  decide: () => Promise<unknown>,
): Promise<void> => {
  const { uid } = visit.authorization
  // A second press goes where the first one goes, and so waits for it.
  if ((await deps.shortLived.use(shownKind, uid)) !== 'first' && !spoilt.delete(uid)) return waitUntilDone(uid, deps)
  try {
    await decide()
  } catch (error) {
    await keepShown(visit, shown, deps).catch(() => spoilt.add(uid))
    throw error
  }
}

const contextOf = (api: Api) => ({ api: api.id })

export const submitConsent = async (visit: Visit, member: MemberRow, deps: InteractionDeps): Promise<void> => {
  const { ctx, authorization } = visit
  const form = await readAction(visit, 'interaction', deps)
  const ticked = manyValues(form, 'resource')
  const shown = await readShown(visit, deps)
  const choice = await requirePatient(visit, member, deps)
  // Nothing is decided on a page that this member did not see for this patient.
  if (shown?.patientId !== choice.patientId) return showConsent(visit, member, deps)
  const offer = offerOf(authorization.scope, authorization.api.resources, choice.mask)
  const kept = ticked.filter((type) => offer.types.has(type))
  const offline = offer.offline && oneValue(form, 'offline') === 'yes'
  if (offer.types.size > 0 && kept.length === 0) return showConsent(visit, member, deps, { ticked: kept, offline })
  const endsAt = Math.min(offline ? shown.endsAt : shown.onceUntil, endings(choice, deps).endsAt)
  await decideOnce(visit, shown, deps, () =>
    deps.authorizations.share(ctx, authorization, {
      ...decisionOf(visit, member, choice, shown, deps),
      grantedScope: grantedScope(authorization.scope, authorization.api.resources, offer, { resources: kept, offline }),
      context: contextOf(authorization.api),
      offline,
      endsAt,
      letter: connectionLetter({
        member,
        patient: choice,
        app: visit.app,
        environment: deps.environment,
        endsAt,
        words: deps.views.translator(ctx),
      }),
    }),
  )
  leave(visit, authorization.returnTo, deps)
}

/** Back to the app without anything shared (R27). A refusal on the consent page is recorded with what it showed. */
export const submitDeny = async (visit: Visit, deps: InteractionDeps): Promise<void> => {
  const { ctx, authorization, member } = visit
  await readAction(visit, 'interaction', deps)
  const shown = authorization.step === 'consent' ? await readShown(visit, deps) : undefined
  const choice = member && shown ? await patientOf(visit, member, deps) : undefined
  const covered = !member || (await deps.directory.patientChoices(deps.environment.id, member.id)).length > 0
  const description = covered
    ? 'The member decided not to share.'
    : 'no_coverage: the member has no record at this plan that can be shared.'
  const refuse = () => deps.authorizations.refuse(ctx, authorization.uid, description)
  if (member && choice && shown)
    await decideOnce(visit, shown, deps, async () => {
      await deps.connections.recordDenied(decisionOf(visit, member, choice, shown, deps))
      await refuse()
    })
  else await refuse()
  leave(visit, authorization.returnTo, deps)
}
