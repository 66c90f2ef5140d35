/**
 * The order of what a member is asked: sign in, choose a patient, consent.
 *
 * Owns: when each step is needed. One authorization is one grant, so consent is asked each time (R29, ASVS 10.7.1).
 * Does not own: the pages (interactions).
 */
import type { Directory } from '../members/directory.ts'
import { type EngineContext, interactionPolicy, tellFaults } from './engine.ts'

const { base, Check, Prompt } = interactionPolicy

/** Does this member have to choose? Not where the only record is their own (R32). */
export const needsChoice = (choices: readonly { relation: string }[]): boolean =>
  choices.length !== 1 || choices[0]?.relation !== 'self'

export const createPolicy = ({ directory, issuer }: { directory: Directory; issuer: string }) => {
  const patientMissing = tellFaults(async (ctx: EngineContext): Promise<boolean> => {
    const { oidc } = ctx
    if (oidc.result?.patient || !oidc.session?.accountId) return false
    const member = await directory.findBySubject(issuer, oidc.session.accountId)
    return !member || needsChoice(await directory.patientChoices(issuer, member.id))
  })

  const policy = base()
  const consent = policy.get('consent')
  if (!consent) throw new TypeError('the engine has no consent prompt')
  consent.checks.clear()
  consent.checks.add(
    new Check(
      'consent_each_time',
      'consent is asked in every authorization',
      'consent_required',
      (ctx) => !ctx.oidc.result?.consent,
    ),
  )
  policy.add(
    new Prompt(
      { name: 'patient', requestable: false },
      new Check('patient_missing', 'the patient must be chosen', 'consent_required', patientMissing),
    ),
    1,
  )
  return policy
}
