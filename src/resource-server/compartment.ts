/**
 * Whose record is a resource part of?
 *
 * Owns: the patient compartment as the usual references say it, and the types that belong to no patient.
 * Does not own: scopes. A resource that does not say whose it is, is nobody's.
 */
import type { FhirResource } from './resource.ts'

/** Types that describe the world around patients: readable by any token whose scope covers the type. */
const infrastructureTypes: ReadonlySet<string> = new Set([
  'Endpoint',
  'HealthcareService',
  'InsurancePlan',
  'Location',
  'Medication',
  'MedicationKnowledge',
  'Organization',
  'OrganizationAffiliation',
  'Practitioner',
  'PractitionerRole',
])

/** Elements that name the patient. Where a resource has several of them, every one must name the same patient. */
const patientElements = ['subject', 'patient', 'beneficiary', 'for']

export type Belonging = 'own' | 'other' | 'unknown' | 'nobody'

export function isInfrastructure(resourceType: string): boolean {
  return infrastructureTypes.has(resourceType)
}

/** `nobody`: an infrastructure type. `unknown`: the resource does not name a patient in a way that can be checked. */
export function belongsTo(resource: FhirResource, patient: string | undefined, baseUrl: string | undefined): Belonging {
  if (isInfrastructure(resource.resourceType)) return 'nobody'
  if (resource.resourceType === 'Patient') return resource.id === patient ? 'own' : 'other'

  const elements = Object.entries(resource).filter(([name]) => patientElements.includes(name))
  const references = elements.flatMap(([, value]: [string, unknown]) => (Array.isArray(value) ? value : [value]))
  const ids = references.map((reference: unknown) => patientIn(referenceText(reference), baseUrl))
  if (ids.length === 0 || ids.includes(undefined)) return 'unknown'
  return ids.every((id) => id === patient) ? 'own' : 'other'
}

/** The id in `Patient/{id}`, `Patient/{id}/_history/{version}`, or either below our own base. */
export function patientIn(reference: string, baseUrl: string | undefined): string | undefined {
  const base = baseUrl === undefined ? undefined : `${baseUrl.replace(/\/$/, '')}/`
  const relative = base !== undefined && reference.startsWith(base) ? reference.slice(base.length) : reference
  return /^Patient\/([A-Za-z0-9.-]{1,64})(?:\/_history\/[A-Za-z0-9.-]{1,64})?$/.exec(relative)?.[1]
}

function referenceText(value: unknown): string {
  const reference = typeof value === 'object' && value !== null && 'reference' in value ? value.reference : undefined
  return typeof reference === 'string' ? reference : ''
}
