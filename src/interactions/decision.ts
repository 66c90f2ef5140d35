/**
 * What a decision about an authorization is made of, whoever makes it, and what an app is told where there is none.
 *
 * Owns: what pages of members and of practitioners have in common. Does not own: any page, or what comes of a decision
 * (members/connections).
 */

import { LatchkeyError } from '../errors.ts'
import type { SharedDecision } from '../members/connections.ts'
import type { Decision } from '../members/consents.ts'
import type { PatientChoice } from '../members/directory.ts'
import type { MemberRow } from '../storage/tables.ts'
import type { Offer } from './offer.ts'
import type { Shown } from './shown.ts'
import type { InteractionDeps, Visit } from './visit.ts'

/** The patient of this authorization: chosen on an earlier page, or the member's only record. */
export const patientOf = async (
  visit: Visit,
  member: MemberRow,
  deps: InteractionDeps,
): Promise<PatientChoice | undefined> => {
  const { patientId } = visit.authorization
  if (patientId) return deps.directory.choice(deps.environment.id, member.id, patientId)
  const choices = await deps.directory.patientChoices(deps.environment.id, member.id)
  return choices.length === 1 && choices[0]?.relation === 'self' ? choices[0] : undefined
}

export const requirePatient = async (
  visit: Visit,
  member: MemberRow,
  deps: InteractionDeps,
): Promise<PatientChoice> => {
  const choice = await patientOf(visit, member, deps)
  if (!choice)
    throw new LatchkeyError('authority_ended', 403, { detail: `member ${member.id} has no such patient now` })
  return choice
}

/** Until when an app may go on that asked to be there while the member is (SMART `online_access`); null: it did not. */
export const visitEnd = ({ authorization: { session } }: Visit, { online }: Offer): number | null =>
  online && session ? session.endsAt : null

/** What of a decision is the same whether the member shares or not. */
export const decisionOf = (
  visit: Visit,
  member: MemberRow,
  choice: Decision['choice'],
  { attestation, ...shown }: Shown,
  { environment }: InteractionDeps,
): Decision => ({
  issuer: environment.id,
  plan: environment.plan.id,
  memberId: member.id,
  choice,
  app: {
    id: visit.authorization.client.app.id,
    clientId: visit.authorization.client.clientId,
    name: visit.app.name,
  },
  requestedScope: visit.authorization.scope,
  textHash: shown.textHash,
  textVersion: shown.textVersion,
  language: shown.language,
  record: {
    v: 1,
    plan: environment.plan.name,
    app: visit.app.name,
    developer: visit.app.developer,
    website: visit.app.website,
    member: member.name,
    patient: choice.name,
    relation: choice.relation,
    language: shown.language,
    // Nobody comes to this page without having met the warning, which is for members.
    warning: choice.relation === 'practitioner' || attestation.state === 'attested' ? null : attestation.state,
    attestationId: attestation.id,
  },
  requestId: visit.ctx.state.requestId,
})

/** What tokens will say of where the app was launched, and the session with which they end, if it is for as long as that. */
export const contextOf = (
  { authorization: { api, launch, session, encounter } }: Visit,
  { online }: { online: boolean },
): SharedDecision['context'] => ({
  api: api.id,
  ...(launch || encounter !== null
    ? { launch: { ...launch?.context, ...(encounter === null ? {} : { encounter }) } }
    : {}),
  ...(online && session ? { session: session.uid } : {}),
})

/** For the app's developer: why it comes back with nothing. */
const reasons = {
  launch_mismatch: 'launch_mismatch: the app was launched for another person than the one who signed in.',
  launch_required: 'launch_required: a practitioner opens the app from their own system, for one patient.',
  launch_authority: 'launch_authority: the app was launched for a record that the member may not share now.',
}

/** Why a member who turns back did not share, as the app is told. */
export const whyLeft = async (
  { authorization, member }: Visit,
  { authorizations, directory, environment }: InteractionDeps,
): Promise<string> => {
  if (!member) return 'The member decided not to share.'
  const fault = authorization.step === 'launch' ? await authorizations.launchFault(authorization, member) : null
  if (fault) return reasons[fault]
  if (member.fhir_user !== null) return 'The practitioner decided against it.'
  return (await directory.patientChoices(environment.id, member.id)).length > 0
    ? 'The member decided not to share.'
    : 'no_coverage: the member has no record at this plan that can be shared.'
}
