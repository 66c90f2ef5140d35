import type { Sensitivity } from './codes.ts'

export type MedicineKey =
  | 'metformin'
  | 'lisinopril'
  | 'simvastatin'
  | 'amlodipine'
  | 'warfarin'
  | 'furosemide'
  | 'metoprolol'
  | 'donepezil'
  | 'albuterol'
  | 'sertraline'
  | 'buprenorphine'

export interface Medicine {
  name: string
  rxnorm: string
  /** Of a labeler (99999) that does not exist. */
  ndc: string
  dose: string
  perDay: number
  /** How it is counted, in UCUM. */
  unit: '{tbl}' | '{inhaler}'
  /** Price of a supply of 90 days, before any discount, in dollars. */
  price: number
  brand: boolean
  sensitivity?: Sensitivity
}

/** What the sandbox's people take. Codes are RxNorm's; prices and packages are invented. */
export const medicines: Record<MedicineKey, Medicine> = {
  metformin: {
    name: '24 HR metformin hydrochloride 500 MG Extended Release Oral Tablet',
    rxnorm: '860975',
    ndc: '99999-0101-90',
    dose: 'Take 1 tablet by mouth twice a day with meals',
    perDay: 2,
    unit: '{tbl}',
    price: 46,
    brand: false,
  },
  lisinopril: {
    name: 'lisinopril 10 MG Oral Tablet',
    rxnorm: '314076',
    ndc: '99999-0102-90',
    dose: 'Take 1 tablet by mouth once a day',
    perDay: 1,
    unit: '{tbl}',
    price: 24,
    brand: false,
  },
  simvastatin: {
    name: 'simvastatin 20 MG Oral Tablet',
    rxnorm: '312961',
    ndc: '99999-0103-90',
    dose: 'Take 1 tablet by mouth each evening',
    perDay: 1,
    unit: '{tbl}',
    price: 38,
    brand: false,
  },
  amlodipine: {
    name: 'amlodipine 5 MG Oral Tablet',
    rxnorm: '197361',
    ndc: '99999-0104-90',
    dose: 'Take 1 tablet by mouth once a day',
    perDay: 1,
    unit: '{tbl}',
    price: 27,
    brand: false,
  },
  warfarin: {
    name: 'warfarin sodium 5 MG Oral Tablet',
    rxnorm: '855332',
    ndc: '99999-0105-90',
    dose: 'Take 1 tablet by mouth once a day, as the clinic directs',
    perDay: 1,
    unit: '{tbl}',
    price: 41,
    brand: false,
  },
  furosemide: {
    name: 'furosemide 40 MG Oral Tablet',
    rxnorm: '313988',
    ndc: '99999-0106-90',
    dose: 'Take 1 tablet by mouth each morning',
    perDay: 1,
    unit: '{tbl}',
    price: 22,
    brand: false,
  },
  metoprolol: {
    name: '24 HR metoprolol succinate 100 MG Extended Release Oral Tablet',
    rxnorm: '866412',
    ndc: '99999-0107-90',
    dose: 'Take 1 tablet by mouth once a day',
    perDay: 1,
    unit: '{tbl}',
    price: 52,
    brand: false,
  },
  donepezil: {
    name: 'donepezil hydrochloride 10 MG Oral Tablet',
    rxnorm: '997223',
    ndc: '99999-0108-90',
    dose: 'Take 1 tablet by mouth at bedtime',
    perDay: 1,
    unit: '{tbl}',
    price: 64,
    brand: false,
  },
  albuterol: {
    name: 'albuterol 0.09 MG/ACTUAT Metered Dose Inhaler',
    rxnorm: '745679',
    ndc: '99999-0109-01',
    dose: 'Inhale 2 puffs every 4 to 6 hours if short of breath',
    perDay: 1,
    unit: '{inhaler}',
    price: 88,
    brand: true,
  },
  sertraline: {
    name: 'sertraline 25 MG Oral Tablet',
    rxnorm: '312940',
    ndc: '99999-0110-90',
    dose: 'Take 1 tablet by mouth once a day',
    perDay: 1,
    unit: '{tbl}',
    price: 33,
    brand: false,
    sensitivity: 'PSY',
  },
  buprenorphine: {
    name: 'buprenorphine 2 MG / naloxone 0.5 MG Sublingual Tablet',
    rxnorm: '351264',
    ndc: '99999-0111-90',
    dose: 'Dissolve 1 tablet under the tongue once a day',
    perDay: 1,
    unit: '{tbl}',
    price: 190,
    brand: false,
    sensitivity: 'SUD',
  },
}

/** What a pharmacy hands over for 90 days. */
export const supplyOf = ({ perDay, unit }: Medicine) => (unit === '{inhaler}' ? 1 : 90 * perDay)
