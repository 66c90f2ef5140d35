import type { MedicineKey } from './medicines.ts'
import type { ComplaintKey, ProblemKey } from './problems.ts'

export type ProductKey = 'choice' | 'medicare' | 'advantage'

/** What a plan sells, by the name that members know it by. */
export const products: Record<ProductKey, { name: string; type: [code: string, name: string] }> = {
  choice: { name: 'Choice PPO', type: ['PPO', 'preferred provider organization policy'] },
  medicare: { name: 'Medicare Advantage', type: ['RETIRE', 'retiree health program'] },
  advantage: { name: 'Advantage HMO', type: ['HMO', 'health maintenance organization policy'] },
}

/** What is told about one synthetic person; everything else is drawn from it. */
export interface Person {
  id: string
  given: string
  family: string
  gender: 'female' | 'male'
  birthDate: string
  race: [code: string, name: string]
  ethnicity: [code: string, name: string]
  language: [code: string, name: string]
  phone: string
  maritalStatus: 'M' | 'S' | 'W'
  height: number
  weight: number
  occupation?: [code: string, name: string]
  product: ProductKey
  /** Whose policy it is, where it is not one's own: their id and how the person is related to them. */
  policyOf?: { id: string; relationship: 'child' | 'spouse' }
  /** How many years before the sandbox's last day the records begin. */
  years: number
  problems: { key: ProblemKey; years: number }[]
  medicines: { key: MedicineKey; years: number }[]
  allergy: 'peanut' | 'penicillin' | 'pollen'
  complaints: ComplaintKey[]
  /** Ordinary visits in each year. */
  yearly: { office: number; dental: number; telehealth: number }
  /** Stays in hospital: the reason and the months before the last day. */
  stays: { kind: 'knee' | 'pneumonia'; monthsAgo: number }[]
  emergencies: number[]
  /** Sessions of counseling, by months before the last day: withheld records, with the reason's own label. */
  counseling: { reason: ProblemKey; monthsAgo: number[] } | null
  privateTests: ('hiv' | 'chlamydia' | 'orientation')[]
  vaccines: 'adult' | 'senior' | 'child'
  related: {
    id: string
    given: string
    family: string
    gender: 'female' | 'male'
    relationship: [code: string, name: string]
  }[]
}

const white: [string, string] = ['2106-3', 'White']
const black: [string, string] = ['2054-5', 'Black or African American']
const native: [string, string] = ['1002-5', 'American Indian or Alaska Native']
const hispanic: [string, string] = ['2135-2', 'Hispanic or Latino']
const notHispanic: [string, string] = ['2186-5', 'Not Hispanic or Latino']
const english: [string, string] = ['en', 'English']
const davidAs = (id: string, relationship: [string, string]): Person['related'][number] => ({
  id: `david-${id}`,
  given: 'David',
  family: 'Okafor',
  gender: 'male',
  relationship,
})

const maria: Person = {
  id: 'maria',
  given: 'Maria',
  family: 'Alvarez',
  gender: 'female',
  birthDate: '1984-03-12',
  race: white,
  ethnicity: hispanic,
  language: ['es', 'Spanish'],
  phone: '515-555-0151',
  maritalStatus: 'M',
  height: 163,
  weight: 74,
  occupation: ['25-2021', 'Elementary School Teachers'],
  product: 'choice',
  years: 5,
  problems: [
    { key: 'diabetes', years: 5 },
    { key: 'hypertension', years: 4 },
    { key: 'hyperlipidemia', years: 3 },
    { key: 'obesity', years: 3 },
    { key: 'food', years: 2 },
    { key: 'depression', years: 2 },
    { key: 'alcohol', years: 4 },
  ],
  medicines: [
    { key: 'metformin', years: 5 },
    { key: 'lisinopril', years: 4 },
    { key: 'sertraline', years: 1 },
  ],
  allergy: 'penicillin',
  complaints: ['bronchitis', 'pharyngitis', 'sinusitis'],
  yearly: { office: 2, dental: 2, telehealth: 1 },
  stays: [{ kind: 'pneumonia', monthsAgo: 29 }],
  emergencies: [17],
  counseling: { reason: 'depression', monthsAgo: [22, 20, 18, 14, 9, 3] },
  privateTests: ['hiv', 'chlamydia', 'orientation'],
  vaccines: 'adult',
  related: [
    { id: 'maria-husband', given: 'Tomas', family: 'Alvarez', gender: 'male', relationship: ['HUSB', 'husband'] },
  ],
}

const david: Person = {
  id: 'david',
  given: 'David',
  family: 'Okafor',
  gender: 'male',
  birthDate: '1979-11-02',
  race: black,
  ethnicity: notHispanic,
  language: english,
  phone: '515-555-0161',
  maritalStatus: 'M',
  height: 181,
  weight: 88,
  occupation: ['17-2051', 'Civil Engineers'],
  product: 'choice',
  years: 4,
  problems: [
    { key: 'hypertension', years: 4 },
    { key: 'backPain', years: 2 },
    { key: 'opioid', years: 3 },
  ],
  medicines: [
    { key: 'amlodipine', years: 4 },
    { key: 'buprenorphine', years: 1 },
  ],
  allergy: 'pollen',
  complaints: ['sinusitis', 'bronchitis'],
  yearly: { office: 1, dental: 1, telehealth: 1 },
  stays: [],
  emergencies: [31],
  counseling: { reason: 'opioid', monthsAgo: [30, 12] },
  privateTests: ['hiv'],
  vaccines: 'adult',
  related: [],
}

const elena: Person = {
  id: 'elena',
  given: 'Elena',
  family: 'Okafor',
  gender: 'female',
  birthDate: '1947-07-21',
  race: black,
  ethnicity: notHispanic,
  language: english,
  phone: '515-555-0171',
  maritalStatus: 'W',
  height: 158,
  weight: 67,
  product: 'medicare',
  years: 5,
  problems: [
    { key: 'hypertension', years: 5 },
    { key: 'atrialFibrillation', years: 4 },
    { key: 'heartFailure', years: 3 },
    { key: 'kneeArthritis', years: 5 },
    { key: 'hyperlipidemia', years: 5 },
    { key: 'memory', years: 1 },
    { key: 'falls', years: 2 },
    { key: 'transport', years: 2 },
    { key: 'depression', years: 3 },
  ],
  medicines: [
    { key: 'warfarin', years: 4 },
    { key: 'furosemide', years: 3 },
    { key: 'metoprolol', years: 4 },
    { key: 'simvastatin', years: 5 },
    { key: 'donepezil', years: 1 },
  ],
  allergy: 'penicillin',
  complaints: ['bronchitis', 'sinusitis'],
  yearly: { office: 4, dental: 1, telehealth: 1 },
  stays: [
    { kind: 'knee', monthsAgo: 20 },
    { kind: 'pneumonia', monthsAgo: 8 },
  ],
  emergencies: [33, 8],
  counseling: { reason: 'depression', monthsAgo: [34, 33] },
  privateTests: [],
  vaccines: 'senior',
  related: [davidAs('elena', ['SONC', 'son'])],
}

const lucy: Person = {
  id: 'lucy',
  given: 'Lucy',
  family: 'Okafor',
  gender: 'female',
  birthDate: '2017-05-09',
  race: black,
  ethnicity: notHispanic,
  language: english,
  phone: '515-555-0161',
  maritalStatus: 'S',
  height: 134,
  weight: 29,
  policyOf: { id: 'david', relationship: 'child' },
  product: 'choice',
  years: 5,
  problems: [
    { key: 'asthma', years: 4 },
    { key: 'attention', years: 1 },
  ],
  medicines: [{ key: 'albuterol', years: 2 }],
  allergy: 'peanut',
  complaints: ['ear', 'pharyngitis'],
  yearly: { office: 2, dental: 2, telehealth: 0 },
  stays: [],
  emergencies: [14],
  counseling: { reason: 'attention', monthsAgo: [10, 7] },
  privateTests: [],
  vaccines: 'child',
  related: [davidAs('lucy', ['FTH', 'father'])],
}

const sam: Person = {
  id: 'sam',
  given: 'Sam',
  family: 'Whitefeather',
  gender: 'male',
  birthDate: '1990-01-30',
  race: native,
  ethnicity: notHispanic,
  language: english,
  phone: '515-555-0181',
  maritalStatus: 'S',
  height: 176,
  weight: 81,
  occupation: ['47-2111', 'Electricians'],
  product: 'advantage',
  years: 4,
  problems: [
    { key: 'asthma', years: 4 },
    { key: 'backPain', years: 2 },
    { key: 'alcohol', years: 2 },
  ],
  medicines: [{ key: 'albuterol', years: 3 }],
  allergy: 'pollen',
  complaints: ['sinusitis', 'pharyngitis'],
  yearly: { office: 2, dental: 1, telehealth: 1 },
  stays: [],
  emergencies: [11],
  counseling: { reason: 'alcohol', monthsAgo: [15, 13] },
  privateTests: [],
  vaccines: 'adult',
  related: [],
}

/** Who lives in which plan's sandbox; a plan without people of its own has those of `prairie`. */
export const casts: { [plan: string]: readonly Person[] } = {
  prairie: [maria, david, elena, lucy],
  summit: [sam],
}
