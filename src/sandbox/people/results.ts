import { addDays, at } from './calendar.ts'
import type { Chart } from './chart.ts'
import { coding, concept, quantity, type Sensitivity, systems } from './codes.ts'
import { usCore } from './profiles.ts'
import { type Resource, reference } from './resource.ts'
import type { Visit } from './visits.ts'

interface Test {
  code: [loinc: string, name: string]
  mean: number
  spread: number
  places: number
  unit: string
  low?: number
  high: number
}

type PanelKey = 'sugar' | 'lipids' | 'metabolic' | 'blood'

interface Panel {
  code: [loinc: string, name: string]
  cpt: [code: string, name: string]
  price: number
  tests: Test[]
}

const panels: Record<PanelKey, Panel> = {
  sugar: {
    code: ['4548-4', 'Hemoglobin A1c'],
    cpt: ['83036', 'Hemoglobin A1c'],
    price: 48,
    tests: [{ code: ['4548-4', 'Hemoglobin A1c'], mean: 7.1, spread: 0.9, places: 1, unit: '%', high: 5.7 }],
  },
  lipids: {
    code: ['57698-3', 'Lipid panel with direct LDL'],
    cpt: ['80061', 'Lipid panel'],
    price: 62,
    tests: [
      { code: ['2093-3', 'Cholesterol'], mean: 198, spread: 25, places: 0, unit: 'mg/dL', high: 200 },
      { code: ['2571-8', 'Triglyceride'], mean: 142, spread: 35, places: 0, unit: 'mg/dL', high: 150 },
      { code: ['18262-6', 'LDL cholesterol, direct'], mean: 112, spread: 22, places: 0, unit: 'mg/dL', high: 130 },
      { code: ['2085-9', 'HDL cholesterol'], mean: 51, spread: 9, places: 0, unit: 'mg/dL', low: 40, high: 90 },
    ],
  },
  metabolic: {
    code: ['51990-0', 'Basic metabolic panel'],
    cpt: ['80048', 'Basic metabolic panel'],
    price: 55,
    tests: [
      { code: ['2345-7', 'Glucose'], mean: 108, spread: 22, places: 0, unit: 'mg/dL', low: 70, high: 99 },
      { code: ['2160-0', 'Creatinine'], mean: 0.95, spread: 0.2, places: 2, unit: 'mg/dL', low: 0.6, high: 1.2 },
      { code: ['3094-0', 'Urea nitrogen'], mean: 15, spread: 5, places: 0, unit: 'mg/dL', low: 7, high: 20 },
      { code: ['2951-2', 'Sodium'], mean: 140, spread: 3, places: 0, unit: 'mmol/L', low: 136, high: 145 },
      { code: ['2823-3', 'Potassium'], mean: 4.3, spread: 0.5, places: 1, unit: 'mmol/L', low: 3.5, high: 5.1 },
    ],
  },
  blood: {
    code: ['58410-2', 'Complete blood count'],
    cpt: ['85027', 'Complete blood count'],
    price: 44,
    tests: [
      { code: ['6690-2', 'Leukocytes'], mean: 7.1, spread: 1.8, places: 1, unit: '10*3/uL', low: 4, high: 11 },
      { code: ['718-7', 'Hemoglobin'], mean: 13.8, spread: 1, places: 1, unit: 'g/dL', low: 12, high: 16 },
      { code: ['777-3', 'Platelets'], mean: 245, spread: 50, places: 0, unit: '10*3/uL', low: 150, high: 400 },
    ],
  },
}

/** A day at the laboratory, for those who bill it. */
export interface Draw {
  date: string
  panels: Pick<Panel, 'code' | 'cpt' | 'price'>[]
  reason: Visit['reason']
  who: Visit['who']
  sensitivity: Sensitivity | undefined
}

const laboratory = concept(systems.observationCategory, 'laboratory', 'Laboratory')
const labSection = concept(systems.serviceSection, 'LAB', 'Laboratory')

const interpretation = (value: number, test: Test) => {
  const [code, name] = value > test.high ? ['H', 'High'] : value < (test.low ?? 0) ? ['L', 'Low'] : ['N', 'Normal']
  return [concept('http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation', code ?? 'N', name)]
}

/** Files the laboratory's observations and its reports, some days after the visit that asked for them. */
export const writeLaboratory = (chart: Chart, visits: readonly Visit[]): Draw[] => {
  const random = chart.random.fork('laboratory')
  const lab = chart.network.organizations.lab
  const has = (key: string) => chart.person.problems.some((p) => p.key === key)
  const usual: PanelKey[] = [
    ...(has('diabetes') ? (['sugar'] as const) : []),
    ...(has('hyperlipidemia') ? (['lipids'] as const) : []),
    'metabolic',
  ]

  const observe = (
    date: string,
    visit: Visit,
    code: [string, string],
    value: Record<string, unknown>,
    told: string,
    sensitivity?: Sensitivity,
  ) =>
    chart.add({
      kind: 'lab',
      type: 'Observation',
      profiles: [usCore('observation-lab')],
      title: `${code[1]} on ${date}: ${told}`,
      date,
      sensitivity,
      body: {
        status: 'final',
        category: [laboratory],
        code: concept(systems.loinc, ...code),
        subject: chart.subject,
        encounter: reference(visit.encounter),
        effectiveDateTime: at(date, 14),
        issued: at(date, 21),
        performer: [reference(lab)],
        ...value,
      },
    })
  const report = (date: string, visit: Visit, code: [string, string], results: Resource[], sensitivity?: Sensitivity) =>
    chart.add({
      kind: 'report',
      type: 'DiagnosticReport',
      profiles: [usCore('diagnosticreport-lab')],
      title: `${code[1]}, reported on ${date}`,
      date,
      sensitivity,
      body: {
        status: 'final',
        category: [labSection],
        code: concept(systems.loinc, ...code),
        subject: chart.subject,
        encounter: reference(visit.encounter),
        effectiveDateTime: at(date, 14),
        issued: at(date, 21),
        performer: [reference(lab)],
        resultsInterpreter: [reference(chart.network.practitioners[visit.who])],
        result: results.map((result) => reference(result)),
      },
    })

  const draws = visits
    .filter((visit) => visit.kind === 'wellness')
    .map((visit): Draw => {
      const date = addDays(visit.date, 2) > chart.anchor ? visit.date : addDays(visit.date, 2)
      const drawn: PanelKey[] = [...usual, 'blood']
      for (const key of drawn) {
        const panel = panels[key]
        const results = panel.tests.map((test) => {
          const value = random.near(test.mean, test.spread, test.places)
          return observe(
            date,
            visit,
            test.code,
            {
              valueQuantity: quantity(value, test.unit),
              interpretation: interpretation(value, test),
              referenceRange: [
                {
                  ...(test.low === undefined ? {} : { low: quantity(test.low, test.unit) }),
                  high: quantity(test.high, test.unit),
                },
              ],
            },
            `${value} ${test.unit}`,
          )
        })
        report(date, visit, panel.code, results)
      }
      return {
        date,
        panels: drawn.map((key) => panels[key]),
        reason: visit.reason,
        who: visit.who,
        sensitivity: undefined,
      }
    })

  const secret = { hiv: 'HIV', chlamydia: 'SEX' } as const
  const tests: Record<keyof typeof secret, { code: [string, string]; cpt: [string, string]; price: number }> = {
    hiv: {
      code: ['56888-1', 'HIV 1+2 antibody and p24 antigen'],
      cpt: ['87389', 'HIV-1 antigen with HIV-1 and HIV-2 antibodies'],
      price: 71,
    },
    chlamydia: {
      code: ['21613-5', 'Chlamydia trachomatis DNA'],
      cpt: ['87491', 'Chlamydia trachomatis, amplified probe'],
      price: 84,
    },
  }
  const visit = visits.filter((v) => v.kind === 'wellness').at(-2)
  for (const key of chart.person.privateTests) {
    if (key === 'orientation' || visit === undefined) continue
    const date = addDays(visit.date, 3)
    const negative = {
      coding: [coding(systems.snomed, '260385009', 'Negative')],
      text: 'Negative',
    }
    const result = observe(date, visit, tests[key].code, { valueCodeableConcept: negative }, 'negative', secret[key])
    report(date, visit, tests[key].code, [result], secret[key])
    draws.push({ date, panels: [tests[key]], reason: visit.reason, who: visit.who, sensitivity: secret[key] })
  }
  return draws
}
