/** The sign-in page of an authorization. */
import { managementPath } from '../config/addresses.ts'
import { hintOf, receiveCredentials, type SignInFault, statusOf } from './credentials.ts'
import { actionName, goOn, type InteractionDeps, readAction, type Visit } from './visit.ts'

export const showSignIn = (visit: Visit, deps: InteractionDeps, fault: SignInFault | null = null): void => {
  deps.views.renderPage(
    visit.ctx,
    'interaction/sign-in',
    {
      app: visit.app,
      launched: visit.authorization.launch !== null,
      action: `${visit.path}/sign-in`,
      cancelAction: `${visit.path}/deny`,
      connectionsHref: managementPath(deps.environment),
      csrf: deps.forms.csrfToken(visit.ctx, actionName(visit, 'interaction')),
      username: fault?.username ?? visit.authorization.loginHint ?? '',
      fault: fault?.fault ?? null,
      waitMinutes: fault?.waitMinutes ?? null,
      hint: hintOf(deps),
    },
    { status: statusOf(fault), languagePath: `${visit.path}/sign-in` },
  )
}

export const submitSignIn = async (visit: Visit, deps: InteractionDeps): Promise<void> => {
  const { ctx, authorization } = visit
  const form = await readAction(visit, 'interaction', deps)
  const answer = await receiveCredentials(ctx, form, deps)
  if ('fault' in answer) return showSignIn(visit, deps, answer)
  goOn(visit, await deps.authorizations.signedIn(ctx, authorization.uid, answer.subject))
}
