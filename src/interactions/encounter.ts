/**
 * The page on which a member chooses the visit that an app is about (SMART `launch/encounter`), or goes on without one.
 *
 * Owns: showing and choosing. Does not own: reading the visits (oidc/encounters), or when the page is needed (oidc/policy).
 */
import type { PatientChoice } from '../members/directory.ts'
import type { Encounter } from '../oidc/encounters.ts'
import { oneValue } from '../web/forms.ts'
import type { Translator } from '../web/i18n.ts'
import { actionName, goOn, type InteractionDeps, readAction, recordVisit, type Visit } from './visit.ts'

/** A day in words; a FHIR date may be a year or a month only, which are said as they are. */
const dayOf = (start: string | null, { date }: Translator): string | null => {
  if (start === null || !/^\d{4}-\d\d-\d\d/.test(start)) return start
  return date(start.includes('T') ? Date.parse(start) : start)
}

const partOf = ({ id, start, kind, type, place }: Encounter, words: Translator) => ({
  value: id,
  day: dayOf(start, words) ?? words.t('encounter.no-day'),
  kind: words.has(`encounter.kind.${kind}`) ? words.t(`encounter.kind.${kind}`) : type,
  place,
})

export const showEncounter = async (
  visit: Visit,
  member: { id: string; name: string },
  choice: PatientChoice,
  deps: InteractionDeps,
  fault: 'choose-one' | null = null,
): Promise<void> => {
  const { ctx, authorization, app, path } = visit
  const encounters = await deps.encounters.of(authorization.api, choice.fhirId)
  const words = deps.views.translator(ctx)
  deps.views.renderPage(
    ctx,
    'interaction/encounter',
    {
      memberName: member.name,
      app,
      patient: { name: choice.name, relation: choice.relation },
      choices: encounters.map((encounter) => partOf(encounter, words)),
      fault,
      action: `${path}/encounter`,
      denyAction: `${path}/deny`,
      switchAction: `${path}/switch`,
      csrf: deps.forms.csrfToken(ctx, actionName(visit, 'interaction')),
    },
    { status: fault ? 400 : 200, languagePath: path },
  )
}

export const submitEncounter = async (
  visit: Visit,
  member: { id: string; name: string },
  choice: PatientChoice,
  deps: InteractionDeps,
): Promise<void> => {
  const { authorization } = visit
  const form = await readAction(visit, 'interaction', deps)
  const without = form.has('without')
  const chosen = without ? undefined : oneValue(form, 'encounter')
  if (!without) {
    // Read anew: whatever the form says, only a visit of this very patient counts.
    const known = chosen && (await deps.encounters.of(authorization.api, choice.fhirId)).some(({ id }) => id === chosen)
    if (!known) return showEncounter(visit, member, choice, deps, 'choose-one')
  }
  const { patientId } = choice
  await recordVisit(visit, member, { type: 'encounter.chosen', patientId, details: { chosen: !without } }, deps)
  goOn(visit, await deps.authorizations.encounterChosen(visit.ctx, authorization, chosen ?? null))
}
