/** The sign-in page of an authorization. */
import { oneValue } from '../web/forms.ts'
import type { SignInPage } from '../web/pages.ts'
import { actionName, goOn, type InteractionDeps, readAction, type Visit } from './visit.ts'

/** Test members are printed on the page where they are synthetic. */
const hintOf = ({ environment }: InteractionDeps): SignInPage['hint'] => {
  const members = environment.sandbox ? (environment.demonstration?.members ?? []) : []
  const [first] = members
  return first ? { usernames: members.map((member) => member.username), password: first.password } : null
}

export const showSignIn = (
  visit: Visit,
  deps: InteractionDeps,
  fault: Pick<SignInPage, 'fault' | 'waitMinutes' | 'username'> | null = null,
): void => {
  const status = fault === null ? 200 : fault.fault === 'throttled' ? 429 : 400
  deps.views.renderPage(
    visit.ctx,
    'interaction/sign-in',
    {
      app: visit.app,
      action: `${visit.path}/sign-in`,
      cancelAction: `${visit.path}/deny`,
      csrf: deps.forms.csrfToken(visit.ctx, actionName(visit, 'interaction')),
      username: fault?.username ?? visit.authorization.loginHint ?? '',
      fault: fault?.fault ?? null,
      waitMinutes: fault?.waitMinutes ?? null,
      hint: hintOf(deps),
    },
    { status, languagePath: `${visit.path}/sign-in` },
  )
}

export const submitSignIn = async (visit: Visit, deps: InteractionDeps): Promise<void> => {
  const { ctx, authorization } = visit
  const form = await readAction(visit, 'interaction', deps)
  const username = oneValue(form, 'username') ?? ''
  const password = oneValue(form, 'password', { max: 4096 }) ?? ''
  const result = await deps.signIn.signIn({
    issuer: deps.environment.id,
    username,
    password,
    address: ctx.state.address,
    requestId: ctx.state.requestId,
  })
  if (result.kind === 'throttled') {
    ctx.set('Retry-After', String(result.retryAfter))
    return showSignIn(visit, deps, { fault: 'throttled', waitMinutes: Math.ceil(result.retryAfter / 60), username })
  }
  if (result.kind === 'refused') return showSignIn(visit, deps, { fault: 'refused', waitMinutes: null, username })
  goOn(visit, await deps.authorizations.signedIn(ctx, authorization.uid, result.member.subject))
}
