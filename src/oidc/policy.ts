/**
 * The order of what a member is asked: sign in, a launch that is not theirs, choose a patient, choose a visit, consent.
 *
 * Owns: when each step is needed. One authorization is one grant, so consent is asked each time (R29, ASVS 10.7.1).
 * Does not own: the pages (interactions).
 */
import type { Directory } from '../members/directory.ts'
import { type EngineContext, interactionPolicy, tellFaults } from './engine.ts'
import type { LaunchRequests } from './launch-requests.ts'
import { chosenEncounter, chosenPatient } from './steps.ts'

const { base, Check, Prompt } = interactionPolicy

/** Does this member have to choose? Not where the only record is their own (R32). */
export const needsChoice = (choices: readonly { relation: string }[]): boolean =>
  choices.length !== 1 || choices[0]?.relation !== 'self'

export const createPolicy = (deps: { directory: Directory; launchRequests: LaunchRequests; issuer: string }) => {
  const { directory, launchRequests, issuer } = deps

  /** Asked at every step: whoever is signed in may have changed since. */
  const launchRefused = tellFaults(async ({ oidc }: EngineContext): Promise<boolean> => {
    const subject = oidc.session?.accountId
    const member = subject ? await directory.findBySubject(issuer, subject) : undefined
    if (!member) return false
    return (await launchRequests.faultOf(await launchRequests.redeemed(oidc.params ?? {}), member)) !== null
  })

  const patientMissing = tellFaults(async (ctx: EngineContext): Promise<boolean> => {
    const { oidc } = ctx
    if (oidc.result?.patient || !oidc.session?.accountId) return false
    if ((await launchRequests.redeemed(oidc.params ?? {}))?.patient) return false
    const member = await directory.findBySubject(issuer, oidc.session.accountId)
    return !member || needsChoice(await directory.patientChoices(issuer, member.id))
  })

  /** A visit is of one patient: whoever chooses another patient chooses again. */
  const encounterMissing = tellFaults(async ({ oidc }: EngineContext): Promise<boolean> => {
    if (!String(oidc.params?.scope).split(' ').includes('launch/encounter') || !oidc.session?.accountId) return false
    const launch = await launchRequests.redeemed(oidc.params ?? {})
    if (launch?.context.encounter !== undefined) return false
    const chosen = chosenEncounter(oidc.result)
    if (chosen && chosen.patientId === (launch?.patient?.id ?? chosenPatient(oidc.result))) return false
    const member = await directory.findBySubject(issuer, oidc.session.accountId)
    // Practitioners choose nothing: what they open was said at the launch.
    return member?.fhir_user === null
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
      { name: 'encounter', requestable: false },
      new Check('encounter_missing', 'the visit must be chosen', 'consent_required', encounterMissing),
    ),
    1,
  )
  policy.add(
    new Prompt(
      { name: 'patient', requestable: false },
      new Check('patient_missing', 'the patient must be chosen', 'consent_required', patientMissing),
    ),
    1,
  )
  policy.add(
    new Prompt(
      { name: 'launch', requestable: false },
      new Check('launch_refused', 'the app was launched for somebody else', 'access_denied', launchRefused),
    ),
    1,
  )
  return policy
}
