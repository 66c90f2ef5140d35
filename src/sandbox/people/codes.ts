/** Code systems, and the few ways in which FHIR writes a code. */

export const systems = {
  actCode: 'http://terminology.hl7.org/CodeSystem/v3-ActCode',
  actReason: 'http://terminology.hl7.org/CodeSystem/v3-ActReason',
  adjudication: 'http://terminology.hl7.org/CodeSystem/adjudication',
  allergyClinical: 'http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical',
  allergyVerification: 'http://terminology.hl7.org/CodeSystem/allergyintolerance-verification',
  carePlanCategory: 'http://hl7.org/fhir/us/core/CodeSystem/careplan-category',
  carinAdjudication: 'http://hl7.org/fhir/us/carin-bb/CodeSystem/C4BBAdjudication',
  carinAdjudicationKind: 'http://hl7.org/fhir/us/carin-bb/CodeSystem/C4BBAdjudicationDiscriminator',
  carinCareTeamRole: 'http://hl7.org/fhir/us/carin-bb/CodeSystem/C4BBClaimCareTeamRole',
  carinDiagnosisType: 'http://hl7.org/fhir/us/carin-bb/CodeSystem/C4BBClaimDiagnosisType',
  carinIdentifierType: 'http://hl7.org/fhir/us/carin-bb/CodeSystem/C4BBIdentifierType',
  carinPayerStatus: 'http://hl7.org/fhir/us/carin-bb/CodeSystem/C4BBPayerAdjudicationStatus',
  carinProcedureType: 'http://hl7.org/fhir/us/carin-bb/CodeSystem/C4BBClaimProcedureType',
  carinSubType: 'http://hl7.org/fhir/us/carin-bb/CodeSystem/C4BBInstitutionalClaimSubType',
  carinSupportingInfo: 'http://hl7.org/fhir/us/carin-bb/CodeSystem/C4BBSupportingInfoType',
  cdt: 'http://www.ada.org/cdt',
  claimType: 'http://terminology.hl7.org/CodeSystem/claim-type',
  conditionCategory: 'http://terminology.hl7.org/CodeSystem/condition-category',
  conditionClinical: 'http://terminology.hl7.org/CodeSystem/condition-clinical',
  conditionVerification: 'http://terminology.hl7.org/CodeSystem/condition-ver-status',
  confidentiality: 'http://terminology.hl7.org/CodeSystem/v3-Confidentiality',
  coverageClass: 'http://terminology.hl7.org/CodeSystem/coverage-class',
  cpt: 'http://www.ama-assn.org/go/cpt',
  cvx: 'http://hl7.org/fhir/sid/cvx',
  diagnosisType: 'http://terminology.hl7.org/CodeSystem/ex-diagnosistype',
  documentCategory: 'http://hl7.org/fhir/us/core/CodeSystem/us-core-documentreference-category',
  icd10: 'http://hl7.org/fhir/sid/icd-10-cm',
  icd10pcs: 'http://www.cms.gov/Medicare/Coding/ICD10',
  identifierType: 'http://terminology.hl7.org/CodeSystem/v2-0203',
  loinc: 'http://loinc.org',
  msDrg:
    'https://www.cms.gov/Medicare/Medicare-Fee-for-Service-Payment/AcuteInpatientPPS/MS-DRG-Classifications-and-Software',
  ndc: 'http://hl7.org/fhir/sid/ndc',
  npi: 'http://hl7.org/fhir/sid/us-npi',
  nubcAdmission: 'https://www.nubc.org/CodeSystem/PriorityTypeOfAdmitOrVisit',
  nubcBill: 'https://www.nubc.org/CodeSystem/TypeOfBill',
  nubcDischarge: 'https://www.nubc.org/CodeSystem/PatDischargeStatus',
  nubcOrigin: 'https://www.nubc.org/CodeSystem/PointOfOrigin',
  nubcRevenue: 'https://www.nubc.org/CodeSystem/RevenueCodes',
  observationCategory: 'http://terminology.hl7.org/CodeSystem/observation-category',
  payeeType: 'http://terminology.hl7.org/CodeSystem/payeetype',
  placeOfService: 'https://www.cms.gov/Medicare/Coding/place-of-service-codes/Place_of_Service_Code_Set',
  relationship: 'http://terminology.hl7.org/CodeSystem/v3-RoleCode',
  rxnorm: 'http://www.nlm.nih.gov/research/umls/rxnorm',
  serviceSection: 'http://terminology.hl7.org/CodeSystem/v2-0074',
  snomed: 'http://snomed.info/sct',
  subscriberRelationship: 'http://terminology.hl7.org/CodeSystem/subscriber-relationship',
  taxonomy: 'http://nucc.org/provider-taxonomy',
  ucum: 'http://unitsofmeasure.org',
  usCoreCategory: 'http://hl7.org/fhir/us/core/CodeSystem/us-core-category',
  usCoreConditionCategory: 'http://hl7.org/fhir/us/core/CodeSystem/condition-category',
} as const

export interface Coding {
  system: string
  code: string
  display?: string
}

export interface CodeableConcept {
  coding: Coding[]
  text?: string
}

export const coding = (system: string, code: string, display?: string): Coding =>
  display === undefined ? { system, code } : { system, code, display }

export const concept = (system: string, code: string, display?: string): CodeableConcept =>
  display === undefined
    ? { coding: [coding(system, code)] }
    : { coding: [coding(system, code, display)], text: display }

export const quantity = (value: number, unit: string, code = unit) => ({ value, unit, system: systems.ucum, code })

export const money = (value: number) => ({ value: Math.round(value * 100) / 100, currency: 'USD' })

/** Why a record is held back unless its member says otherwise (HL7 v3-ActCode, information sensitivity policy). */
export type Sensitivity = 'ETH' | 'SUD' | 'PSY' | 'SEX' | 'HIV'

const sensitivityNames: Record<Sensitivity, string> = {
  ETH: 'substance abuse information sensitivity',
  SUD: 'substance use disorder information sensitivity',
  PSY: 'psychiatry disorder information sensitivity',
  SEX: 'sexuality and reproductive health information sensitivity',
  HIV: 'HIV/AIDS information sensitivity',
}

/** The labels of DS4P on a sensitive record: how confidential, and of which kind. */
export const securityLabels = (sensitivity: Sensitivity): Coding[] => [
  coding(systems.confidentiality, 'R', 'restricted'),
  coding(systems.actCode, sensitivity, sensitivityNames[sensitivity]),
]
