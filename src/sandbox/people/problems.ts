import type { Sensitivity } from './codes.ts'

export interface Problem {
  name: string
  snomed: string
  icd10: string
  /** Where the record keeps it: the problem list, or a concern of somebody else. */
  category: 'problem-list-item' | 'health-concern'
  sensitivity?: Sensitivity
}

export type ProblemKey = keyof typeof table

const table = {
  diabetes: { name: 'Type 2 diabetes mellitus', snomed: '44054006', icd10: 'E11.9', category: 'problem-list-item' },
  hypertension: { name: 'Essential hypertension', snomed: '59621000', icd10: 'I10', category: 'problem-list-item' },
  hyperlipidemia: { name: 'Hyperlipidemia', snomed: '55822004', icd10: 'E78.5', category: 'problem-list-item' },
  asthma: { name: 'Asthma', snomed: '195967001', icd10: 'J45.909', category: 'problem-list-item' },
  backPain: { name: 'Low back pain', snomed: '279039007', icd10: 'M54.50', category: 'problem-list-item' },
  kneeArthritis: {
    name: 'Osteoarthritis of knee',
    snomed: '239873007',
    icd10: 'M17.11',
    category: 'problem-list-item',
  },
  atrialFibrillation: {
    name: 'Atrial fibrillation',
    snomed: '49436004',
    icd10: 'I48.91',
    category: 'problem-list-item',
  },
  heartFailure: { name: 'Heart failure', snomed: '84114007', icd10: 'I50.9', category: 'problem-list-item' },
  memory: { name: 'Mild memory disturbance', snomed: '192073007', icd10: 'R41.3', category: 'problem-list-item' },
  obesity: { name: 'Obesity', snomed: '414916001', icd10: 'E66.9', category: 'health-concern' },
  food: { name: 'Food insecurity', snomed: '733423003', icd10: 'Z59.41', category: 'health-concern' },
  falls: { name: 'At risk for falls', snomed: '129839007', icd10: 'Z91.81', category: 'health-concern' },
  transport: {
    name: 'Lack of access to transportation',
    snomed: '713458007',
    icd10: 'Z75.3',
    category: 'health-concern',
  },
  depression: {
    name: 'Recurrent major depressive disorder',
    snomed: '66344007',
    icd10: 'F33.1',
    category: 'problem-list-item',
    sensitivity: 'PSY',
  },
  attention: {
    name: 'Attention deficit hyperactivity disorder',
    snomed: '406506008',
    icd10: 'F90.9',
    category: 'problem-list-item',
    sensitivity: 'PSY',
  },
  alcohol: {
    name: 'Alcohol dependence in remission',
    snomed: '191811004',
    icd10: 'F10.21',
    category: 'problem-list-item',
    sensitivity: 'ETH',
  },
  opioid: {
    name: 'Opioid dependence',
    snomed: '75544000',
    icd10: 'F11.20',
    category: 'problem-list-item',
    sensitivity: 'SUD',
  },
} as const satisfies Record<string, Problem>

/** What the sandbox's people live with. */
export const problems: Record<ProblemKey, Problem> = table

export interface Complaint {
  name: string
  snomed: string
  icd10: string
}

/** What brings somebody to a visit when none of the lasting problems does. */
export const complaints = {
  checkup: { name: 'General medical examination', snomed: '162673000', icd10: 'Z00.00' },
  childCheckup: { name: 'Well child visit', snomed: '410620009', icd10: 'Z00.129' },
  teeth: { name: 'Dental examination', snomed: '34043003', icd10: 'Z01.20' },
  bronchitis: { name: 'Acute bronchitis', snomed: '10509002', icd10: 'J20.9' },
  pharyngitis: { name: 'Acute viral pharyngitis', snomed: '195662009', icd10: 'J02.9' },
  sinusitis: { name: 'Viral sinusitis', snomed: '444814009', icd10: 'J01.90' },
  ear: { name: 'Otitis media', snomed: '65363002', icd10: 'H66.90' },
  pneumonia: { name: 'Pneumonia', snomed: '233604007', icd10: 'J18.9' },
} as const satisfies Record<string, Complaint>

export type ComplaintKey = keyof typeof complaints
