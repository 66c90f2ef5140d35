import type { Resource } from '../people/index.ts'

export const summaries = ['true', 'text', 'data', 'count', 'false'] as const
export type Summary = (typeof summaries)[number]

/** Elements in the summary of each type (FHIR R4), and after the bar those that are mandatory; `[x]` is a choice. */
const elements: Record<string, string> = {
  AllergyIntolerance:
    'identifier clinicalStatus verificationStatus type category criticality code patient asserter|patient',
  CarePlan:
    'identifier instantiatesCanonical instantiatesUri basedOn replaces partOf status intent category title description subject encounter period created author addresses|status intent subject',
  CareTeam: 'identifier status category name subject encounter period managingOrganization|',
  Condition:
    'identifier clinicalStatus verificationStatus code bodySite subject encounter onset[x] recordedDate recorder asserter|subject',
  Coverage:
    'identifier status type policyHolder subscriber subscriberId beneficiary dependent period payor order network|status beneficiary payor',
  Device: 'udiCarrier status safety|',
  DiagnosticReport:
    'identifier status category code subject encounter effective[x] issued performer resultsInterpreter media|status code',
  DocumentReference:
    'masterIdentifier identifier status docStatus type category subject date author relatesTo description securityLabel content context|status content',
  Encounter:
    'identifier status class type serviceType subject episodeOfCare participant appointment reasonCode reasonReference diagnosis|status class',
  ExplanationOfBenefit:
    'status type use patient billablePeriod created insurer provider outcome insurance total|status type use patient created insurer provider outcome insurance',
  Goal: 'lifecycleStatus achievementStatus category priority description subject start[x] statusDate expressedBy|lifecycleStatus description subject',
  Immunization:
    'status vaccineCode patient occurrence[x] primarySource performer note isSubpotent|status vaccineCode patient occurrence[x]',
  InsurancePlan: 'identifier status type name period ownedBy administeredBy coverageArea|',
  Location: 'identifier status operationalStatus name description mode type physicalType managingOrganization|',
  Medication: 'identifier code status manufacturer amount|',
  MedicationDispense: 'status medication[x] subject whenPrepared|status medication[x]',
  MedicationRequest:
    'status intent priority doNotPerform reported[x] medication[x] subject authoredOn requester performerType instantiatesCanonical instantiatesUri basedOn groupIdentifier|status intent medication[x] subject',
  MedicationStatement:
    'identifier basedOn partOf status category medication[x] subject effective[x] dateAsserted informationSource|status medication[x] subject',
  Observation:
    'identifier basedOn partOf status code subject focus encounter effective[x] issued performer value[x] hasMember derivedFrom component|status code',
  Organization: 'identifier active type name partOf|',
  Patient: 'identifier active name telecom gender birthDate deceased[x] address managingOrganization link|',
  Practitioner: 'identifier active name telecom address gender birthDate|',
  PractitionerRole: 'identifier active period practitioner organization code specialty location telecom|',
  Procedure:
    'identifier instantiatesCanonical instantiatesUri basedOn partOf status statusReason category code subject encounter performed[x] recorder asserter performer location reasonCode reasonReference bodySite outcome|status subject',
  RelatedPerson: 'identifier active patient relationship name telecom gender birthDate address|patient',
}

/** Tells a client that this is not the whole resource (v3-ObservationValue). */
const subsetted = {
  system: 'http://terminology.hl7.org/CodeSystem/v3-ObservationValue',
  code: 'SUBSETTED',
  display: 'subsetted',
}

const kept = (resource: Resource, names: readonly string[]): Record<string, unknown> => {
  const plain = new Set(names.filter((name) => !name.endsWith('[x]')))
  const stems = names.filter((name) => name.endsWith('[x]')).map((name) => name.slice(0, -3))
  const isKept = (element: string) =>
    plain.has(element) || stems.some((stem) => element.startsWith(stem) && /^[A-Z]/.test(element.slice(stem.length)))
  return Object.fromEntries(Object.entries(resource).filter(([element]) => isKept(element)))
}

/** The view of a resource that `_summary` asks for. */
export const summarize = (resource: Resource, summary: Summary): Record<string, unknown> => {
  if (summary === 'false' || summary === 'count') return resource
  const { resourceType, id, meta, text, ...rest } = resource
  const marked = { resourceType, id, meta: { ...meta, tag: [...meta.tag, subsetted] } }
  if (summary === 'data') return { ...marked, ...rest }
  const [inSummary = '', mandatory = ''] = (elements[resourceType] ?? '').split('|')
  return summary === 'text'
    ? { ...marked, text, ...kept(resource, mandatory.split(' ')) }
    : { ...marked, ...kept(resource, inSummary.split(' ')) }
}
