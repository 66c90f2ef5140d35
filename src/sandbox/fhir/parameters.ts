/** The search parameters of the sandbox, by resource type: their kind, and the elements they look at. */

export interface SearchParameter {
  kind: 'token' | 'date' | 'reference' | 'string'
  /** Dotted; lists on the way are walked through. */
  paths: readonly string[]
  /** Of a reference: the type that a bare id is of. */
  target?: string
  /** Of a code that FHIR binds to one system without writing it. */
  system?: string
}

type Table = Record<string, SearchParameter>

const token = (...paths: string[]): SearchParameter => ({ kind: 'token', paths })
const date = (...paths: string[]): SearchParameter => ({ kind: 'date', paths })
const string = (...paths: string[]): SearchParameter => ({ kind: 'string', paths })
const reference = (target: string, ...paths: string[]): SearchParameter => ({ kind: 'reference', paths, target })

const common: Table = { _id: token('id'), _lastUpdated: date('meta.lastUpdated') }
const identifier = { identifier: token('identifier') }
const gender = { gender: { ...token('gender'), system: 'http://hl7.org/fhir/administrative-gender' } }
const names = { name: string('name.family', 'name.given'), family: string('name.family'), given: string('name.given') }
const ofSubject = { patient: reference('Patient', 'subject'), subject: reference('Patient', 'subject') }
const ofPatient = { patient: reference('Patient', 'patient') }
const encounter = { encounter: reference('Encounter', 'encounter') }
const status = { status: token('status') }

const byType: Record<string, Table> = {
  Patient: { ...identifier, ...gender, ...names, birthdate: date('birthDate') },
  RelatedPerson: { ...identifier, ...gender, ...ofPatient, name: names.name },
  Practitioner: { ...identifier, ...gender, ...names },
  PractitionerRole: {
    ...identifier,
    practitioner: reference('Practitioner', 'practitioner'),
    organization: reference('Organization', 'organization'),
    specialty: token('specialty'),
  },
  Organization: { ...identifier, name: string('name'), type: token('type') },
  Location: { ...identifier, name: string('name'), type: token('type') },
  InsurancePlan: { ...identifier, ...status, name: string('name') },
  Medication: { code: token('code'), ...status },
  Coverage: {
    ...identifier,
    ...status,
    patient: reference('Patient', 'beneficiary'),
    beneficiary: reference('Patient', 'beneficiary'),
    type: token('type'),
  },
  ExplanationOfBenefit: {
    ...identifier,
    ...status,
    ...ofPatient,
    type: token('type'),
    created: date('created'),
    'service-date': date('billablePeriod', 'item.servicedDate'),
    'billable-period-start': date('billablePeriod.start'),
    coverage: reference('Coverage', 'insurance.coverage'),
    provider: reference('Organization', 'provider'),
  },
  Encounter: {
    ...identifier,
    ...status,
    ...ofSubject,
    date: date('period'),
    class: token('class'),
    type: token('type'),
  },
  Condition: {
    ...identifier,
    ...ofSubject,
    ...encounter,
    category: token('category'),
    code: token('code'),
    'clinical-status': token('clinicalStatus'),
    'onset-date': date('onsetDateTime'),
    'recorded-date': date('recordedDate'),
  },
  Observation: {
    ...identifier,
    ...status,
    ...ofSubject,
    ...encounter,
    category: token('category'),
    code: token('code'),
    date: date('effectiveDateTime', 'effectivePeriod'),
  },
  DiagnosticReport: {
    ...identifier,
    ...status,
    ...ofSubject,
    ...encounter,
    category: token('category'),
    code: token('code'),
    date: date('effectiveDateTime', 'effectivePeriod'),
  },
  DocumentReference: {
    ...identifier,
    ...status,
    ...ofSubject,
    category: token('category'),
    type: token('type'),
    date: date('date'),
    period: date('context.period'),
  },
  Procedure: {
    ...identifier,
    ...status,
    ...ofSubject,
    ...encounter,
    category: token('category'),
    code: token('code'),
    date: date('performedDateTime', 'performedPeriod'),
  },
  Immunization: {
    ...identifier,
    ...status,
    ...ofPatient,
    'vaccine-code': token('vaccineCode'),
    date: date('occurrenceDateTime'),
  },
  AllergyIntolerance: {
    ...identifier,
    ...ofPatient,
    category: token('category'),
    code: token('code'),
    'clinical-status': token('clinicalStatus'),
    date: date('recordedDate'),
  },
  MedicationRequest: {
    ...identifier,
    ...status,
    ...ofSubject,
    category: token('category'),
    code: token('medicationCodeableConcept'),
    intent: token('intent'),
    authoredon: date('authoredOn'),
  },
  MedicationDispense: {
    ...identifier,
    ...status,
    ...ofSubject,
    code: token('medicationCodeableConcept'),
    medication: reference('Medication', 'medicationReference'),
    whenhandedover: date('whenHandedOver'),
  },
  MedicationStatement: {
    ...identifier,
    ...status,
    ...ofSubject,
    category: token('category'),
    code: token('medicationCodeableConcept'),
    effective: date('effectiveDateTime', 'effectivePeriod'),
  },
  CarePlan: { ...identifier, ...status, ...ofSubject, category: token('category'), date: date('period') },
  CareTeam: { ...identifier, ...status, ...ofSubject, category: token('category'), date: date('period') },
  Goal: {
    ...identifier,
    ...ofSubject,
    category: token('category'),
    'lifecycle-status': token('lifecycleStatus'),
    'start-date': date('startDate'),
    'target-date': date('target.dueDate'),
  },
  Device: { ...identifier, ...status, ...ofPatient, type: token('type') },
}

/** The parameters of a type, those of every type included. */
export const parametersOf = (resourceType: string): Table => ({ ...common, ...byType[resourceType] })

/** The parameters of a type that are references: those by which `_include` and `_revinclude` go. */
export const referencesOf = (resourceType: string): string[] =>
  Object.entries(byType[resourceType] ?? {}).flatMap(([name, { kind }]) => (kind === 'reference' ? [name] : []))

/** The types that the sandbox can search. */
export const searchableTypes: readonly string[] = Object.keys(byType)

/** Which parameter says when something happened: for the order of results, and `start` and `end` of `$everything`. */
export const whenParameters = [
  'date',
  'service-date',
  'onset-date',
  'authoredon',
  'whenhandedover',
  'effective',
  'start-date',
] as const
