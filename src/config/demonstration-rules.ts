/** Rules of demonstration records: they must be as sound as real ones, or a demonstration proves nothing. */
import type { Fault } from '../errors.ts'
import { parseScope } from '../smart/scope.ts'
import { optionOf } from './addresses.ts'
import { keySetFaults, keySetUrlFault } from './public-keys.ts'
import type { DemonstrationApp, DemonstrationMember, DemonstrationPatient, Environment } from './settings.ts'
import { pageUrlFault, redirectUriFault } from './urls.ts'

/** Every fault of an environment's demonstration records. */
export function demonstrationFaults(environment: Environment): Fault[] {
  const { demonstration, plan } = environment
  if (!demonstration) return []
  const path = `${optionOf(environment)}.demonstration`
  const faults: Fault[] = []
  if (!environment.sandbox) {
    faults.push({ path, message: 'is for sandboxes only; give the environment sandbox: true, or remove it' })
  }
  for (const app of demonstration.apps) {
    faults.push(...appFaults(app, environment, `${path}.apps.${app.clientId}`))
  }
  for (const member of demonstration.members) {
    const at = `${path}.members.${member.username}`
    if (member.language !== null && !plan.languages.includes(member.language)) {
      faults.push({ path: `${at}.language`, message: `must be one of the plan’s: ${plan.languages.join(', ')}` })
    }
    if (member.fhirUser !== null && member.patients.length + member.delegations.length > 0)
      faults.push({ path: `${at}.fhirUser`, message: 'is for a practitioner, who has no patients and no delegations' })
  }
  return [...faults, ...patientFaults(demonstration.members, path)]
}

function appFaults(app: DemonstrationApp, { sandbox, issuer }: Environment, path: string): Fault[] {
  const faults: Fault[] = []
  if (app.kind === 'public' && app.secret !== null) {
    faults.push({ path: `${path}.secret`, message: 'must not be set for a public app, which cannot keep one' })
  }
  const asksMembers = app.kind === 'public' || app.kind === 'confidential'
  const loopback = issuer.startsWith('http:')
  const keys = app.jwks !== null || app.jwksUri !== null
  if (app.kind !== 'public' && app.secret === null && !keys) {
    faults.push({ path: `${path}.secret`, message: `is required for a ${app.kind} app, or jwks or jwksUri` })
  }
  if (app.jwks !== null && app.jwksUri !== null)
    faults.push({ path: `${path}.jwksUri`, message: 'must not be set beside jwks' })
  if (keys && (app.kind === 'public' || app.secret !== null))
    faults.push({
      path: `${path}.${app.jwks ? 'jwks' : 'jwksUri'}`,
      message: 'is for a confidential app or a service without a secret',
    })
  if (app.jwks !== null)
    for (const fault of keySetFaults(app.jwks)) faults.push({ ...fault, path: `${path}.jwks.${fault.path}` })
  const uriFault = app.jwksUri === null ? null : keySetUrlFault(app.jwksUri, { loopback })
  if (uriFault) faults.push({ path: `${path}.jwksUri`, message: uriFault })
  if (app.profile === 'fapi2' && !keys)
    faults.push({ path: `${path}.profile`, message: 'fapi2 needs jwks or jwksUri: the app authenticates with keys' })
  if (app.kind === 'service' && app.scopes === null)
    faults.push({ path: `${path}.scopes`, message: 'is required for a service: what it was approved for' })
  if (!asksMembers && app.redirectUris.length > 0) {
    faults.push({ path: `${path}.redirectUris`, message: `must be empty for a ${app.kind}, which asks no members` })
  }
  if (asksMembers && app.redirectUris.length === 0) {
    faults.push({ path: `${path}.redirectUris`, message: `is required for a ${app.kind} app: at least one address` })
  }
  app.redirectUris.forEach((uri, index) => {
    const message =
      app.profile === 'fapi2' && !uri.startsWith('https:')
        ? 'must be an https address: fapi2 has no others'
        : redirectUriFault(uri, { sandbox, confidential: app.kind === 'confidential' })
    if (message) faults.push({ path: `${path}.redirectUris.${index}`, message })
    if (app.redirectUris.indexOf(uri) < index)
      faults.push({ path: `${path}.redirectUris.${index}`, message: 'is listed twice' })
  })
  app.launchUrls.forEach((url, index) => {
    const message = redirectUriFault(url, { sandbox, confidential: true })
    if (message) faults.push({ path: `${path}.launchUrls.${index}`, message })
  })
  app.logoutUris.forEach((url, index) => {
    const message = redirectUriFault(url, { sandbox, confidential: app.kind === 'confidential' })
    if (message) faults.push({ path: `${path}.logoutUris.${index}`, message })
  })
  for (const name of ['website', 'privacyPolicyUrl'] as const) {
    const url = app[name]
    const message = url === null ? null : pageUrlFault(url)
    if (message) faults.push({ path: `${path}.${name}`, message })
  }
  if (!asksMembers && app.attestation !== null)
    faults.push({
      path: `${path}.attestation`,
      message: `must not be set for a ${app.kind}, which asks no members`,
    })
  if (app.attestation?.state === 'attested' && app.attestation.answers === null)
    faults.push({ path: `${path}.attestation.answers`, message: 'is required where the state is attested' })
  if (app.attestation?.state === 'declined' && app.attestation.answers !== null)
    faults.push({ path: `${path}.attestation.answers`, message: 'must be left out where the state is declined' })
  app.scopes?.forEach((scope, index) => {
    if (parseScope(scope)) return
    const message = 'is no scope; accepted are for instance openid, launch/patient, patient/Observation.rs'
    faults.push({ path: `${path}.scopes.${index}`, message })
  })
  return faults
}

/** One patient may appear under several members, but must be the same person each time. */
function patientFaults(members: readonly DemonstrationMember[], path: string): Fault[] {
  const seen = new Map<string, { patient: DemonstrationPatient; at: string }>()
  const related = new Set<string>()
  const faults: Fault[] = []
  const look = (patient: DemonstrationPatient, at: string) => {
    const known = seen.get(patient.fhirId)
    if (!known) seen.set(patient.fhirId, { patient, at })
    else if ((['name', 'birthDate', 'coverageLabel'] as const).some((key) => known.patient[key] !== patient[key])) {
      faults.push({ path: at, message: `says something else of this patient than ${known.at}` })
    }
  }
  for (const member of members) {
    const at = `${path}.members.${member.username}`
    for (const patient of member.patients) look(patient, `${at}.patients.${patient.fhirId}`)
    for (const { basis, relatedPerson, endsAt, ...patient } of member.delegations) {
      const option = `${at}.delegations.${patient.fhirId}`
      look(patient, option)
      if (member.patients.some((own) => own.fhirId === patient.fhirId)) {
        faults.push({ path: option, message: 'is the member’s own record too' })
      }
      if (related.has(relatedPerson)) {
        faults.push({
          path: `${option}.relatedPerson`,
          message: 'is given twice; each member and patient have their own (R32)',
        })
      }
      related.add(relatedPerson)
    }
  }
  return faults
}
