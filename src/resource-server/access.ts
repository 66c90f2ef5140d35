/**
 * May this token make this request? (SMART App Launch 2.2, "Scopes and Launch Context".)
 *
 * Owns: the decision about a request: kind, scope, category, patient, parameters, in this order; and what the FHIR
 * server must restrict its data to.
 * Does not own: verification (verify.ts), or the decision about each resource (resource.ts), which it hands along.
 */
import { parseScope, spellScope } from '../smart/scope.ts'
import { AccessError, type Refusal } from './access-error.ts'
import { isInfrastructure } from './compartment.ts'
import { mayFind } from './granular.ts'
import type { FhirRequest, Interaction, Parameter } from './request.ts'
import { type FhirResource, judge, lacksPatient, type Reader, type ReadOptions, scopesFor } from './resource.ts'
import { faultOfParameter } from './search.ts'

export interface DecideOptions extends ReadOptions {
  /** Protection space named in challenges. */
  realm?: string
}

export type Decision = Allowed | Refused

export interface Allowed {
  allowed: true
  /**
   * Restrict the data to this patient (FHIR id). Undefined where there is none: Organization, metadata, and whatever a
   * backend service asks for, whose `system/` scopes open every patient's records.
   */
  patient: string | undefined
  /**
   * Alternatives, each a list of search parameters that hold together: what granular scopes leave of the type.
   * Undefined: all of it. Adding them to the search saves work; `filter` enforces them anyway.
   */
  restrictions: Parameter[][] | undefined
  /**
   * Run every resource of the answer through this, included ones and those of `$everything` too; of a write, the
   * stored resource and the one that was sent. Answer 404 for a single resource that it withholds.
   */
  filter(resource: FhirResource): boolean
}

export interface Refused {
  allowed: false
  error: AccessError
}

/** The letter of `cruds` that an interaction needs; undefined: it is not decided by a scope. */
const letters: Partial<Record<Interaction, string>> = {
  create: 'c',
  read: 'r',
  vread: 'r',
  update: 'u',
  patch: 'u',
  delete: 'd',
  search: 's',
}

/** Decides about one request. Never throws; a refusal is an AccessError ready to be answered. */
export function decide(token: Reader, request: FhirRequest, options: DecideOptions = {}): Decision {
  const refuse = (refusal: Refusal): Refused => ({
    allowed: false,
    error: new AccessError({
      realm: options.realm ?? options.baseUrl,
      schemes: [token.keyThumbprint === undefined ? 'Bearer' : 'DPoP'],
      ...refusal,
    }),
  })
  if (request.interaction === 'capabilities') return allow(token, request, 'rs', options)

  const unsupported = faultOfKind(request)
  if (unsupported) return refuse(unsupported)
  // A history of one resource is reading, a history of a type is searching.
  const resource = request.resource ?? ''
  const letter = letters[request.interaction] ?? (request.level === 'type' ? 's' : 'r')

  const refusal =
    faultOfScope(token, request, resource, letter) ??
    faultOfPatient(token, request, resource, letter) ??
    faultOfParameters(token, request, resource, options)
  return refusal ? refuse(refusal) : allow(token, request, letter, options)
}

function allow(token: Reader, request: FhirRequest, letter: string, options: DecideOptions): Allowed {
  const { resource = '', interaction } = request
  const queries = scopesFor(token, resource, letter).map((scope) => scope.query)
  const bundle = interaction === 'search' || interaction === 'operation'
  return {
    allowed: true,
    patient: resource === '' || isInfrastructure(resource) ? undefined : token.patient,
    restrictions: queries.length === 0 || queries.some((query) => query.length === 0) ? undefined : queries,
    filter(found) {
      // What comes along in a bundle was not searched for itself: for that, reading is enough.
      const alongside = bundle && (found.resourceType !== resource || interaction === 'operation')
      return judge(token, found, alongside ? 'rs' : letter, options) === 'allowed'
    },
  }
}

/** Requests that no token opens. */
function faultOfKind(request: FhirRequest): Refusal | undefined {
  const { interaction, level, operation, resource } = request
  if (interaction === 'unknown') {
    const description = 'This is not a FHIR request that the API knows. Check the path, the method and the form body.'
    return { status: 400, reason: 'malformed_request', description }
  }
  if (interaction === 'batch') {
    const description = 'Batches and transactions are not supported. Send the requests one by one.'
    return { status: 400, reason: 'unsupported_request', description }
  }
  if (interaction === 'operation' && !(operation === '$everything' && level === 'instance' && resource === 'Patient')) {
    return {
      status: 400,
      reason: 'unsupported_operation',
      description: 'The only operation is Patient/[id]/$everything.',
    }
  }
  if (level === 'system') {
    return { status: 400, reason: 'unsupported_request', description: 'Name a resource type: Patient, Coverage, ...' }
  }
  if (request.compartment && request.compartment.resource !== 'Patient') {
    return { status: 400, reason: 'unsupported_request', description: 'The only compartment is Patient/[id].' }
  }
  return undefined
}

function faultOfScope(token: Reader, request: FhirRequest, resource: string, letter: string): Refusal | undefined {
  const scopes = scopesFor(token, resource, letter)
  if (scopes.length === 0) return missingScope(token, resource, letter)
  if (letter !== 's' || scopes.some((scope) => mayFind(request.query, scope))) return undefined
  return {
    status: 403,
    reason: 'category_not_granted',
    description: `The token opens some categories of ${resource}, but not the one that was searched for.`,
    scope: neededScope(
      token,
      resource,
      letter,
      request.query.filter(([name]) => name === 'category' || name === 'code'),
    ),
  }
}

function faultOfPatient(token: Reader, request: FhirRequest, resource: string, letter: string): Refusal | undefined {
  if (token.service) return undefined
  if (lacksPatient(token, resource, scopesFor(token, resource, letter))) {
    const description = 'The token names no patient. Authorize with the scope launch/patient.'
    return { status: 403, reason: 'no_patient', description, scope: 'launch/patient' }
  }
  const named = request.compartment?.id ?? (resource === 'Patient' ? request.id : undefined)
  if (named === undefined || named === token.patient) return undefined
  const description =
    'The token is for one patient, and the request names another. Authorize again for another patient.'
  return { status: 403, reason: 'other_patient', description }
}

function faultOfParameters(
  token: Reader,
  request: FhirRequest,
  resource: string,
  options: DecideOptions,
): Refusal | undefined {
  const limits = {
    patient: token.patient,
    anyPatient: token.service === true,
    baseUrl: options.baseUrl,
    readable: (type: string) => scopesFor(token, type, 'rs').length > 0,
  }
  for (const parameter of request.query) {
    const fault = faultOfParameter(resource, parameter, limits)
    if (fault?.resource) return missingScope(token, fault.resource, 'r', fault.description)
    if (fault) return { status: fault.reason === 'other_patient' ? 403 : 400, ...fault }
  }
  return undefined
}

function missingScope(token: Reader, resource: string, letter: string, description?: string): Refusal {
  const scope = neededScope(token, resource, letter)
  const who = token.service ? 'The service is not approved for this' : 'The member has not shared this'
  return {
    status: 403,
    reason: 'scope_missing',
    description: description ?? `${who}, or the app did not ask. It needs ${scope}.`,
    scope,
  }
}

/** What an app would have to ask for, in the token's own kind. Reading and searching go together, as discovery lists them. */
function neededScope(token: Reader, resource: string, letter: string, query: Parameter[] = []): string {
  const interactions = letter === 'r' || letter === 's' ? 'rs' : letter
  const contexts = token.scopes.flatMap((scope) => (scope.kind === 'resource' ? scope.context : []))
  const ofPerson = contexts.includes('user') && !contexts.includes('patient') ? 'user' : 'patient'
  const context = token.service ? 'system' : ofPerson
  const parts = { context, resource, interactions, version: 2 } as const
  const granular = spellScope({ ...parts, query }).text
  return parseScope(granular) ? granular : spellScope({ ...parts, query: [] }).text
}
