import { parseScopes, type Scope } from '../smart/scope.ts'
import { isFhirId } from './request.ts'

/** What a verified access token says. */
export interface VerifiedToken {
  issuer: string
  /** The member who signed in, who need not be the patient; of a backend service its client id. */
  subject: string
  clientId: string
  /** As granted, space-separated, whatever form the claim had. */
  scope: string
  /** Those of `scope` that this library understands. */
  scopes: Scope[]
  /** FHIR id of the one patient whose record the token opens. */
  patient?: string
  /**
   * True: of a backend service, which acts for no person (SMART App Launch 2.2, "Backend Services"). Only its `system/` scopes
   * count, and they open every patient's records.
   */
  service: boolean
  /** Relative reference of the person who signed in, for instance `RelatedPerson/17`. */
  fhirUser?: string
  /** The key that the token is bound to (`cnf.jkt`, RFC 9449): whoever sends it must prove that they hold the key. */
  keyThumbprint?: string
  /** The authorization behind the token: for logs, and no credential. */
  grantId?: string
  /** Seconds since the epoch. */
  expiresAt: number
  /** Codes of the sensitive categories that the member released. */
  sensitivities: string[]
  claims: Record<string, unknown>
}

/**
 * Reads the claims of a token whose signature, issuer, audience and times are good. `refuse` makes the error for a
 * claim that has the wrong form: half-understood claims open nothing.
 */
export function readClaims(claims: Record<string, unknown>, refuse: (description: string) => Error): VerifiedToken {
  const text = (name: string): string | undefined => {
    const value = claims[name]
    if (value === undefined || value === null) return undefined
    if (typeof value !== 'string' || value === '') throw refuse(`The claim ${name} of the access token is not a text.`)
    return value
  }
  const required = (name: string): string => {
    const value = text(name)
    if (value === undefined) throw refuse(`The access token has no claim ${name}.`)
    return value
  }
  const scope = scopeOf(claims, refuse)
  const subject = required('sub')
  const clientId = required('client_id')
  const person = {
    patient: patientOf(text('patient'), text('patient_id'), refuse),
    fhirUser: text('fhirUser'),
    grantId: text('grant_id'),
  }
  return {
    issuer: required('iss'),
    subject,
    clientId,
    scope,
    scopes: parseScopes(scope).scopes,
    // Whatever has anything of a person's authorization about it is no service's (RFC 9068 section 5: `sub` tells them apart).
    service: subject === clientId && Object.values(person).every((value) => value === undefined),
    ...person,
    keyThumbprint: keyThumbprintOf(claims.cnf, refuse),
    expiresAt: Number(claims.exp),
    sensitivities: sensitivitiesOf(claims.sensitivities, refuse),
    claims,
  }
}

/** `scope` or `scp`, a text or a list (R42). */
function scopeOf(claims: Record<string, unknown>, refuse: (description: string) => Error): string {
  const claim = claims.scope ?? claims.scp ?? ''
  const parts: unknown[] = Array.isArray(claim) ? claim : [claim]
  if (!parts.every((part) => typeof part === 'string')) {
    throw refuse('The scope of the access token is neither a text nor a list of texts.')
  }
  return parts.join(' ')
}

/** RFC 7800: what a token is bound to in another way than by DPoP cannot be proven here, so it opens nothing. */
function keyThumbprintOf(cnf: unknown, refuse: (description: string) => Error): string | undefined {
  if (cnf === undefined) return undefined
  const members: Record<string, unknown> = typeof cnf === 'object' && cnf !== null ? { ...cnf } : {}
  const { jkt, ...others } = members
  if (typeof jkt !== 'string' || jkt === '' || Object.keys(others).length > 0) {
    throw refuse('The access token is bound to its sender in a way that is not understood here.')
  }
  return jkt
}

/** The sensitive categories that are released: a list of codes, or none. */
function sensitivitiesOf(claim: unknown, refuse: (description: string) => Error): string[] {
  if (claim === undefined) return []
  if (!Array.isArray(claim) || !claim.every((code): code is string => typeof code === 'string' && code !== '')) {
    throw refuse('The claim sensitivities of the access token is not a list of codes.')
  }
  return claim
}

/** `patient`, or its alias `patient_id` (R3): one patient, or none. */
function patientOf(
  patient: string | undefined,
  alias: string | undefined,
  refuse: (description: string) => Error,
): string | undefined {
  if (patient !== undefined && alias !== undefined && patient !== alias) {
    throw refuse('The access token names two patients.')
  }
  const id = patient ?? alias
  if (id !== undefined && !isFhirId(id)) throw refuse('The patient of the access token is not a FHIR id.')
  return id
}
