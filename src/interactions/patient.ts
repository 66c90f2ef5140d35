/** The page on which a member chooses whose record an app may read (R32), and the one that says that there is none. */
import type { PatientChoice } from '../members/directory.ts'
import { oneValue } from '../web/forms.ts'
import { actionName, goOn, type InteractionDeps, readAction, type Visit } from './visit.ts'

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
const showNoCoverage = async (visit: Visit, memberName: string, deps: InteractionDeps): Promise<void> => {
  await deps.database.transaction((trx) =>
    deps.audit.record(trx, {
      type: 'access.no-coverage',
      outcome: 'refused',
      plan: deps.environment.plan.id,
      issuer: deps.environment.id,
      actor: `member:${visit.member?.id}`,
      memberId: visit.member?.id,
      appId: visit.authorization.client.app.id,
      requestId: visit.ctx.state.requestId,
    }),
  )
  deps.views.renderPage(visit.ctx, 'interaction/no-coverage', {
    memberName,
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
  if (choices.length === 0) return showNoCoverage(visit, member.name, deps)
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
  await deps.database.transaction((trx) =>
    deps.audit.record(trx, {
      type: 'patient.chosen',
      plan: deps.environment.plan.id,
      issuer: deps.environment.id,
      actor: `member:${member.id}`,
      memberId: member.id,
      patientId: choice.patientId,
      appId: visit.authorization.client.app.id,
      requestId: visit.ctx.state.requestId,
      details: { relation: choice.relation, delegationId: choice.delegationId },
    }),
  )
  goOn(visit, await deps.authorizations.patientChosen(visit.ctx, visit.authorization.uid, choice.patientId))
}
