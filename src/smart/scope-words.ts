/**
 * How people see resource types: in bundles, and for Condition and Observation by category (R21, R22).
 *
 * Owns: which type belongs to which bundle, their order, and the categories with their codes. Data only.
 * Does not own: words. They are in the catalogues: `bundle.{key}.title`, `bundle.{key}.text`, `resource.{Type}`,
 * `category.{Type}.{key}`.
 */

/** In the order in which people see them. A type is in one bundle; those not named are `other`. */
const bundles = {
  personal: ['Patient', 'RelatedPerson', 'Person'],
  coverage: ['Coverage', 'CoverageEligibilityRequest', 'CoverageEligibilityResponse', 'EnrollmentRequest'],
  claims: ['ExplanationOfBenefit', 'Claim', 'ClaimResponse', 'Account', 'ChargeItem', 'Invoice', 'PaymentNotice'],
  conditions: ['Condition', 'ClinicalImpression', 'DetectedIssue', 'Flag', 'FamilyMemberHistory', 'RiskAssessment'],
  results: ['Observation', 'DiagnosticReport', 'Specimen', 'ImagingStudy', 'Media', 'MolecularSequence'],
  medicines: [
    'MedicationRequest',
    'MedicationDispense',
    'MedicationStatement',
    'MedicationAdministration',
    'Medication',
    'MedicationKnowledge',
  ],
  immunizations: ['Immunization', 'ImmunizationEvaluation', 'ImmunizationRecommendation'],
  allergies: ['AllergyIntolerance', 'AdverseEvent'],
  procedures: ['Procedure', 'ServiceRequest', 'BodyStructure'],
  visits: ['Encounter', 'EpisodeOfCare', 'Appointment', 'AppointmentResponse'],
  'care-plans': ['CarePlan', 'CareTeam', 'Goal', 'NutritionOrder', 'RequestGroup', 'Task', 'VisionPrescription'],
  documents: [
    'DocumentReference',
    'DocumentManifest',
    'Composition',
    'Binary',
    'QuestionnaireResponse',
    'Communication',
    'CommunicationRequest',
    'Consent',
    'Contract',
    'Provenance',
    'List',
  ],
  devices: ['Device', 'DeviceRequest', 'DeviceUseStatement', 'DeviceMetric', 'SupplyDelivery', 'SupplyRequest'],
  providers: [
    'Practitioner',
    'PractitionerRole',
    'Organization',
    'OrganizationAffiliation',
    'Location',
    'HealthcareService',
    'Endpoint',
  ],
  'plan-information': ['InsurancePlan'],
  other: [],
} as const satisfies Record<string, readonly string[]>

export type BundleKey = keyof typeof bundles

export const bundleKeys = Object.keys(bundles) as readonly BundleKey[]

const bundleByType = new Map<string, BundleKey>(
  bundleKeys.flatMap((key) => bundles[key].map((type): [string, BundleKey] => [type, key])),
)

/** The bundle in which people see a resource type. */
export function bundleOf(resourceType: string): BundleKey {
  return bundleByType.get(resourceType) ?? 'other'
}

/** Resource types in bundles, both in the order in which people see them; types of `other` as they came. */
export function bundlesOf(resourceTypes: Iterable<string>): { key: BundleKey; resources: string[] }[] {
  const types = [...new Set(resourceTypes)]
  const place = (key: BundleKey, type: string) => (bundles[key] as readonly string[]).indexOf(type)
  return bundleKeys.flatMap((key) => {
    const resources = types.filter((type) => bundleOf(type) === key).sort((a, b) => place(key, a) - place(key, b))
    return resources.length === 0 ? [] : [{ key, resources }]
  })
}

/** A category that the member can untick by itself (R22); `system|code` is its value in a granular scope. */
export interface Category {
  key: string
  system: string
  code: string
}

const conditionCategory = 'http://terminology.hl7.org/CodeSystem/condition-category'
const observationCategory = 'http://terminology.hl7.org/CodeSystem/observation-category'
const usCoreConditionCategory = 'http://hl7.org/fhir/us/core/CodeSystem/condition-category'
const usCoreCategory = 'http://hl7.org/fhir/us/core/CodeSystem/us-core-category'

/** US Core's categories for granular scopes, in the order of R22. */
const categories: Record<string, readonly Category[]> = {
  Condition: [
    { key: 'encounter-diagnosis', system: conditionCategory, code: 'encounter-diagnosis' },
    { key: 'problem-list-item', system: conditionCategory, code: 'problem-list-item' },
    { key: 'health-concern', system: usCoreConditionCategory, code: 'health-concern' },
  ],
  Observation: [
    { key: 'clinical-test', system: observationCategory, code: 'procedure' },
    { key: 'laboratory', system: observationCategory, code: 'laboratory' },
    { key: 'social-history', system: observationCategory, code: 'social-history' },
    { key: 'sdoh', system: usCoreCategory, code: 'sdoh' },
    { key: 'survey', system: observationCategory, code: 'survey' },
    { key: 'vital-signs', system: observationCategory, code: 'vital-signs' },
  ],
}

/** The categories of a resource type; none for types that are shared as a whole. */
export function categoriesOf(resourceType: string): readonly Category[] {
  return Object.hasOwn(categories, resourceType) ? (categories[resourceType] ?? []) : []
}
