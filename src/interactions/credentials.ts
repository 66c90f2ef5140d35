/** What a sign-in page offers and receives, whichever page it is: that of an authorization, or the member's own. */
import type { Context } from 'koa'
import type { MemberRow } from '../storage/tables.ts'
import { oneValue } from '../web/forms.ts'
import type { SignInPage } from '../web/pages.ts'
import type { InteractionDeps } from './visit.ts'

/** Why nobody was signed in, as the page says it. */
export type SignInFault = Pick<SignInPage, 'fault' | 'waitMinutes' | 'username'>

/** Test members are printed on the page where they are synthetic. */
export const hintOf = ({ environment }: Pick<InteractionDeps, 'environment'>): SignInPage['hint'] => {
  const members = environment.sandbox ? (environment.demonstration?.members ?? []) : []
  const [first] = members
  return first ? { usernames: members.map((member) => member.username), password: first.password } : null
}

/** The status of a sign-in page. */
export const statusOf = (fault: SignInFault | null): number =>
  fault === null ? 200 : fault.fault === 'throttled' ? 429 : 400

/** Checks the name and the password of a form that was posted from a page of ours. */
export const receiveCredentials = async (
  ctx: Context,
  form: URLSearchParams,
  { signIn, environment }: Pick<InteractionDeps, 'signIn' | 'environment'>,
): Promise<MemberRow | SignInFault> => {
  const username = oneValue(form, 'username') ?? ''
  const password = oneValue(form, 'password', { max: 4096 }) ?? ''
  const result = await signIn.signIn({
    issuer: environment.id,
    username,
    password,
    address: ctx.state.address,
    requestId: ctx.state.requestId,
  })
  if (result.kind === 'signed-in') return result.member
  if (result.kind === 'refused') return { fault: 'refused', waitMinutes: null, username }
  ctx.set('Retry-After', String(result.retryAfter))
  return { fault: 'throttled', waitMinutes: Math.ceil(result.retryAfter / 60), username }
}
