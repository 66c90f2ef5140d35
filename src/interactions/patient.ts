/** The page on which a member chooses whose record an app may read (R32), and the one that says that there is none. */
import type { PatientChoice } from '../members/directory.ts'
import { oneValue } from '../web/forms.ts'
import { actionName, goOn, type InteractionDeps, readAction, recordVisit, type Visit } from './visit.ts'

const pageOf = (visit: Visit, choices: readonly PatientChoice[], memberName: string, deps: InteractionDeps) => ({
  memberName,
  app: visit.app,
  choices: choices.map((choice) => ({
    value: choice.patientId,
    name: choice.name,
    birthDate: choice.birthDate,
    coverageLabel: choice.coverageLabel,
    relation: choice.relation,
    endsAt: choice.endsAt,
    checked: choice.patientId === visit.authorization.patientId,
  })),
  action: `${visit.path}/patient`,
  denyAction: `${visit.path}/deny`,
  switchAction: `${visit.path}/switch`,
  csrf: deps.forms.csrfToken(visit.ctx, actionName(visit, 'interaction')),
})

/** Told at once and in plain words, with one button back to the app. */
const showNoCoverage = async (
  visit: Visit,
  member: { id: string; name: string },
  deps: InteractionDeps,
): Promise<void> => {
  await recordVisit(visit, member, { type: 'access.no-coverage', outcome: 'refused' }, deps)
  deps.views.renderPage(visit.ctx, 'interaction/no-coverage', {
    memberName: member.name,
    app: visit.app,
    action: `${visit.path}/deny`,
    switchAction: `${visit.path}/switch`,
    csrf: deps.forms.csrfToken(visit.ctx, actionName(visit, 'interaction')),
  })
}

export const showPatient = async (
  visit: Visit,
  member: { id: string; name: string },
  deps: InteractionDeps,
  fault: 'choose-one' | null = null,
): Promise<void> => {
  const choices = await deps.directory.patientChoices(deps.environment.id, member.id)
  if (choices.length === 0) return showNoCoverage(visit, member, deps)
  deps.views.renderPage(
    visit.ctx,
    'interaction/patient',
    { ...pageOf(visit, choices, member.name, deps), fault },
    { status: fault ? 400 : 200, languagePath: `${visit.path}/patient` },
  )
}

export const submitPatient = async (
  visit: Visit,
  member: { id: string; name: string },
  deps: InteractionDeps,
): Promise<void> => {
  const form = await readAction(visit, 'interaction', deps)
  const chosen = oneValue(form, 'patient')
  // Asked anew: whatever the page offered, only what this member may share now counts.
  const choice = chosen ? await deps.directory.choice(deps.environment.id, member.id, chosen) : undefined
  if (!choice) return showPatient(visit, member, deps, 'choose-one')
  const { patientId, relation, delegationId } = choice
  await recordVisit(visit, member, { type: 'patient.chosen', patientId, details: { relation, delegationId } }, deps)
  goOn(visit, await deps.authorizations.patientChosen(visit.ctx, visit.authorization.uid, choice.patientId))
}
