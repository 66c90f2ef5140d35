/**
 * The page for whoever cannot go on with an app's launch, or without one: somebody else than the one it was launched for, a
 * practitioner who opened the app by themselves, a member who may not share the record any more. Nothing of the launch is told.
 */
import type { MemberRow } from '../storage/tables.ts'
import { actionName, type InteractionDeps, recordVisit, type Visit } from './visit.ts'

export const showLaunchRefused = async (visit: Visit, member: MemberRow, deps: InteractionDeps): Promise<void> => {
  const { ctx, authorization, app, path } = visit
  const fault = await deps.authorizations.launchFault(authorization, member)
  await recordVisit(visit, member, { type: 'launch.refused', outcome: 'refused', details: { why: fault } }, deps)
  deps.views.renderPage(ctx, 'interaction/launch', {
    memberName: member.name,
    app,
    // What stood in the way is gone: going back to the app is what is left, and the right thing.
    fault: fault ?? 'launch_authority',
    action: `${path}/deny`,
    switchAction: `${path}/switch`,
    csrf: deps.forms.csrfToken(ctx, actionName(visit, 'interaction')),
  })
}
