/**
 * The page before the consent page, where the people behind an app declined to answer the plan's questions, or did not (R24): what that
 * means, which apps did answer, and two ways on that are equally easy. A warning, never a block (R17).
 *
 * Owns: when it is shown, and what was done about it. It is passed once per authorization and member, for as long as the app stands
 * where it stood then. Does not own: where an app stands (portal/attestation).
 */
import type { AuditType } from '../audit/audit.ts'
import type { Attestation } from '../portal/attestation.ts'
import type { MemberRow } from '../storage/tables.ts'
import { oneValue } from '../web/forms.ts'
import { decideOnce } from './shown.ts'
import { actionName, type InteractionDeps, leave, readAction, recordVisit, turnTo, type Visit } from './visit.ts'

const passedKind = 'WarningPassed'
/** Longer than an authorization lives. */
const passedKept = 2 * 3_600_000

const attestationOf = ({ authorization }: Visit, { attestations }: InteractionDeps): Promise<Attestation> =>
  attestations.stateOf(authorization.client.app.id)

/** What a member is warned of: with another answer, or none any more, it is another warning. */
const nameOf = ({ state, id }: Attestation): string => `${state}:${id ?? ''}`

const keyOf = ({ authorization }: Visit, member: MemberRow, attestation: Attestation): string =>
  `${authorization.flow}:${member.id}:${nameOf(attestation)}`

const record = (
  type: Extract<AuditType, `warning.${string}`>,
  visit: Visit,
  member: MemberRow,
  { state, id }: Attestation,
  deps: InteractionDeps,
): Promise<void> => recordVisit(visit, member, { type, details: { attestation: state, attestationId: id } }, deps)

const mustWarn = async (
  visit: Visit,
  member: MemberRow,
  attestation: Attestation,
  deps: InteractionDeps,
): Promise<boolean> =>
  attestation.state !== 'attested' &&
  (await deps.shortLived.get(passedKind, keyOf(visit, member, attestation))) === undefined

/** Leads to the warning, unless there is nothing to warn of or this member has passed it; true where it did. */
export const leadToWarning = async (visit: Visit, member: MemberRow, deps: InteractionDeps): Promise<boolean> => {
  if (!(await mustWarn(visit, member, await attestationOf(visit, deps), deps))) return false
  turnTo(visit, `${visit.path}/warning`)
  return true
}

/** Also for those who passed it and go back. */
export const showWarning = async (visit: Visit, member: MemberRow, deps: InteractionDeps): Promise<void> => {
  const { ctx, authorization, path, app } = visit
  const attestation = await attestationOf(visit, deps)
  const { state } = attestation
  if (state === 'attested') return turnTo(visit, path)
  const { client, api } = authorization
  deps.views.renderPage(
    ctx,
    'interaction/warning',
    {
      memberName: member.name,
      app,
      state,
      others: await deps.attestations.attestedApps(deps.environment.id, api.id, client.app.id),
      seen: nameOf(attestation),
      action: `${path}/warning`,
      leaveAction: `${path}/leave`,
      switchAction: `${path}/switch`,
      csrf: deps.forms.csrfToken(ctx, actionName(visit, 'interaction')),
    },
    { languagePath: `${path}/warning` },
  )
  await record('warning.shown', visit, member, attestation, deps)
}

/** The member goes on. What is passed is what their page said: where the app stands elsewhere now, they are told so first. */
export const passWarning = async (visit: Visit, member: MemberRow, deps: InteractionDeps): Promise<void> => {
  const form = await readAction(visit, 'interaction', deps)
  const attestation = await attestationOf(visit, deps)
  if (oneValue(form, 'seen') === nameOf(attestation) && (await mustWarn(visit, member, attestation, deps))) {
    await record('warning.passed', visit, member, attestation, deps)
    const key = keyOf(visit, member, attestation)
    await deps.shortLived.set(passedKind, key, true, deps.now() + passedKept)
  }
  turnTo(visit, visit.path)
}

/** The member goes back to the app, which hears `access_denied`, and why. */
export const leaveAtWarning = async (visit: Visit, member: MemberRow, deps: InteractionDeps): Promise<void> => {
  const { ctx, authorization } = visit
  await readAction(visit, 'interaction', deps)
  const description = 'The member turned back on reading that the app has not answered the questions of the plan.'
  await decideOnce(visit, deps, async () => {
    await record('warning.left', visit, member, await attestationOf(visit, deps), deps)
    await deps.authorizations.refuse(ctx, authorization.uid, description)
  })
  leave(visit, authorization.returnTo, deps)
}
