import type { Resource } from '../../src/sandbox/people/index.ts'

/**
 * What the profiles require, written down from US Core 6.1.0 and CARIN Blue Button 2.1.0 (mandatory elements and the
 * slices that have at least one). A path is dotted; `a.b` must exist in every `a`; `a?.b` only where there is an `a`;
 * `x[]` is a choice of types; `path~code` asks for a coding with that code under one of them.
 */
const usCore: Record<string, string[]> = {
  'us-core-patient': ['identifier.system', 'identifier.value', 'name.family', 'gender'],
  'us-core-coverage': [
    'identifier.type~MB',
    'status',
    'beneficiary',
    'relationship',
    'payor',
    'class.type',
    'class.value',
  ],
  'us-core-relatedperson': ['active', 'patient', 'name', 'relationship'],
  'us-core-organization': ['active', 'name', 'identifier'],
  'us-core-practitioner': ['identifier.system', 'identifier.value', 'name.family'],
  'us-core-practitionerrole': ['practitioner', 'organization', 'telecom.system', 'telecom.value'],
  'us-core-location': ['name', 'status'],
  'us-core-medication': ['code'],
  'us-core-condition-encounter-diagnosis': ['category~encounter-diagnosis', 'code', 'subject', 'encounter'],
  'us-core-condition-problems-health-concerns': [
    'category~problem-list-item|health-concern',
    'code',
    'subject',
    'clinicalStatus',
  ],
  'us-core-encounter': [
    'status',
    'class',
    'type',
    'subject',
    'identifier?.system',
    'identifier?.value',
    'location.location',
  ],
  'us-core-procedure': ['status', 'code', 'subject', 'performed[]'],
  'us-core-implantable-device': ['type', 'patient', 'udiCarrier.deviceIdentifier'],
  'us-core-documentreference': [
    'status',
    'type',
    'category',
    'subject',
    'content.attachment.data',
    'content.attachment.contentType',
  ],
  'us-core-diagnosticreport-lab': ['status', 'category~LAB', 'code', 'subject', 'effective[]', 'result'],
  'us-core-diagnosticreport-note': ['status', 'category', 'code', 'subject', 'effective[]'],
  'us-core-careteam': ['subject', 'participant.role', 'participant.member'],
  'us-core-careplan': ['text.status', 'text.div', 'status', 'intent', 'category~assess-plan', 'subject'],
  'us-core-goal': ['lifecycleStatus', 'description', 'subject', 'target?.dueDate'],
  'us-core-immunization': ['status', 'vaccineCode', 'patient', 'occurrence[]'],
  'us-core-allergyintolerance': ['code', 'patient', 'clinicalStatus', 'reaction?.manifestation'],
  'us-core-medicationrequest': ['status', 'intent', 'medication[]', 'subject', 'requester', 'authoredOn'],
  'us-core-medicationdispense': ['status', 'medication[]', 'subject', 'whenHandedOver', 'performer?.actor'],
  'us-core-blood-pressure': ['component.code~8480-6', 'component.code~8462-4', 'component.valueQuantity.code'],
  'us-core-observation-lab': ['category~laboratory', 'value[]'],
  'us-core-observation-screening-assessment': ['category~survey', 'value[]'],
  'us-core-observation-clinical-result': ['category~procedure', 'value[]'],
  'us-core-simple-observation': ['category~sdoh', 'value[]'],
  'us-core-smokingstatus': ['category~social-history', 'code~72166-2', 'valueCodeableConcept'],
  'us-core-observation-occupation': ['category~social-history', 'code~11341-5', 'valueCodeableConcept'],
  'us-core-observation-sexual-orientation': ['code~76690-7', 'valueCodeableConcept'],
  'us-core-pulse-oximetry': ['code~59408-5', 'code~2708-6', 'valueQuantity.code~%'],
}
for (const name of ['heart-rate', 'respiratory-rate', 'body-temperature', 'body-weight', 'body-height', 'bmi']) {
  usCore[`us-core-${name}`] = [
    'category~vital-signs',
    'valueQuantity.value',
    'valueQuantity.unit',
    'valueQuantity.system',
    'valueQuantity.code',
  ]
}
usCore['pediatric-bmi-for-age'] = usCore['us-core-bmi'] ?? []
const observation = ['status', 'category', 'code', 'subject', 'effective[]']

const claim = [
  ...['identifier.type~uc', 'identifier.value', 'status', 'type', 'use', 'patient', 'billablePeriod.start', 'created'],
  ...[
    'insurer',
    'provider',
    'outcome',
    'insurance.focal',
    'insurance.coverage',
    'item.sequence',
    'item.productOrService',
  ],
  ...['item.servicedDate', 'total.category~submitted', 'total.amount.value', 'payment.type', 'payment.date'],
  ...[
    'careTeam.provider',
    'careTeam.role',
    'supportingInfo.sequence',
    'supportingInfo.category~clmrecvddate',
    'payee.type',
  ],
  ...['adjudication.category~billingnetworkstatus'],
]
const diagnosis = ['diagnosis.diagnosisCodeableConcept', 'diagnosis.type~principal', 'diagnosis.sequence']
const byLine = ['item.adjudication.category~submitted', 'item.adjudication.category~paidtoprovider']
const carin: Record<string, string[]> = {
  'C4BB-Patient': ['identifier.type~MB', 'meta.lastUpdated', 'name', 'gender', 'birthDate'],
  'C4BB-Coverage': ['subscriberId', 'relationship', 'payor', 'period.start', 'class.type~group', 'class.type~plan'],
  'C4BB-Organization': ['identifier', 'active', 'name', 'meta.lastUpdated'],
  'C4BB-Practitioner': ['identifier.system', 'name.family', 'meta.lastUpdated'],
  'C4BB-RelatedPerson': ['patient', 'active', 'meta.lastUpdated'],
  'C4BB-ExplanationOfBenefit-Inpatient-Institutional': [
    ...[...claim, ...diagnosis, 'subType~inpatient', 'item.revenue', 'adjudication.category~benefitpaymentstatus'],
    ...[
      'adjudication.category~paidtoprovider',
      'supportingInfo.category~admissionperiod',
      'supportingInfo.category~typeofbill',
    ],
  ],
  'C4BB-ExplanationOfBenefit-Outpatient-Institutional': [
    ...[...claim, ...diagnosis, ...byLine, 'subType~outpatient', 'item.revenue'],
    ...['adjudication.category~benefitpaymentstatus', 'supportingInfo.category~typeofbill'],
  ],
  'C4BB-ExplanationOfBenefit-Professional-NonClinician': [
    ...[...claim, ...diagnosis, ...byLine, 'type~professional', 'item.locationCodeableConcept'],
    ...['item.adjudication.category~benefitpaymentstatus', 'adjudication.category~renderingnetworkstatus'],
  ],
  'C4BB-ExplanationOfBenefit-Pharmacy': [
    ...[...claim, ...byLine, 'type~pharmacy', 'adjudication.category~benefitpaymentstatus'],
    ...['supportingInfo.category~dayssupply', 'supportingInfo.category~dawcode', 'supportingInfo.category~refillnum'],
  ],
  'C4BB-ExplanationOfBenefit-Oral': [
    ...[...claim, ...diagnosis, ...byLine, 'type~oral', 'item.locationCodeableConcept'],
    ...['item.adjudication.category~benefitpaymentstatus', 'adjudication.category~renderingnetworkstatus'],
    ...['adjudication.category~benefitpaymentstatus'],
  ],
}

const list = (value: unknown): unknown[] => (value === undefined ? [] : Array.isArray(value) ? value : [value])

const child = (value: unknown, name: string): unknown[] => {
  if (typeof value !== 'object' || value === null) return []
  const object = value as Record<string, unknown>
  if (!name.endsWith('[]')) return list(object[name])
  const stem = name.slice(0, -2)
  return list(
    Object.entries(object).find(([key]) => key.startsWith(stem) && /^[A-Z]/.test(key.slice(stem.length)))?.[1],
  )
}

const holdsCode = (value: unknown, codes: string[]): boolean => {
  if (codes.includes(String(value))) return true
  const { coding, code } = (value ?? {}) as { coding?: { code: string }[]; code?: string }
  return codes.includes(code ?? '') || (coding ?? []).some((c) => codes.includes(c.code))
}

const meets = (resource: Resource, rule: string): boolean => {
  const [path = '', codes] = rule.split('~')
  const steps = path.split('.')
  let values: unknown[] = [resource]
  for (const [index, step] of steps.entries()) {
    const optional = step.endsWith('?')
    const found = values.map((value) => child(value, optional ? step.slice(0, -1) : step))
    if (optional && found.flat().length === 0) return true
    // A code may be on any of several; anything else must be in each.
    const missing =
      codes === undefined || index < steps.length - 1 ? found.some((f) => f.length === 0) : found.flat().length === 0
    if (missing && codes === undefined) return false
    values = found.flat()
  }
  return codes === undefined ? values.length > 0 : values.some((value) => holdsCode(value, codes.split('|')))
}

/** What a resource lacks of what its declared profiles require; a profile that this table does not know is a fault too. */
export const shapeFaults = (resource: Resource): string[] =>
  resource.meta.profile.flatMap((canonical) => {
    const [url = '', version] = canonical.split('|')
    const name = url.split('/').at(-1) ?? ''
    if (version === '4.0.1') return name === resource.resourceType ? [] : [`${resource.id}: ${canonical}`]
    const rules = version === '6.1.0' ? usCore[name] : carin[name]
    if (rules === undefined) return [`${resource.id}: no rules for ${canonical}`]
    const all = resource.resourceType === 'Observation' ? [...observation, ...rules] : rules
    return all.filter((rule) => !meets(resource, rule)).map((rule) => `${resource.id}: ${name} ${rule}`)
  })
