import { addMonths, at } from './calendar.ts'
import type { Chart } from './chart.ts'
import { type CodeableConcept, coding, concept, systems } from './codes.ts'
import { problems } from './problems.ts'
import { usCore } from './profiles.ts'
import { type Resource, reference } from './resource.ts'
import type { Visit } from './visits.ts'

const clinical = (code: 'active' | 'resolved') => concept(systems.conditionClinical, code)
const confirmed = concept(systems.conditionVerification, 'confirmed')

const diagnosis = (known: { name: string; snomed: string; icd10: string }): CodeableConcept => ({
  coding: [coding(systems.snomed, known.snomed, known.name), coding(systems.icd10, known.icd10, known.name)],
  text: known.name,
})

const categories = {
  'problem-list-item': concept(systems.conditionCategory, 'problem-list-item', 'Problem List Item'),
  'health-concern': concept(systems.usCoreConditionCategory, 'health-concern', 'Health Concern'),
} as const

/** Files the problem list and the health concerns; gives back those that are nobody's secret. */
export const writeProblems = (chart: Chart): Resource[] =>
  chart.person.problems.flatMap(({ key, years }) => {
    const problem = problems[key]
    const since = addMonths(chart.anchor, -12 * years)
    const social = key === 'food' || key === 'transport'
    const filed = chart.add({
      kind: problem.category === 'health-concern' ? 'concern' : 'problem',
      type: 'Condition',
      profiles: [usCore('condition-problems-health-concerns')],
      title: `${problem.name}, since ${since}`,
      date: since,
      sensitivity: problem.sensitivity,
      body: {
        clinicalStatus: clinical('active'),
        verificationStatus: confirmed,
        category: [categories[problem.category], ...(social ? [concept(systems.usCoreCategory, 'sdoh', 'SDOH')] : [])],
        code: diagnosis(problem),
        subject: chart.subject,
        onsetDateTime: since,
        recordedDate: since,
      },
    })
    return problem.sensitivity ? [] : [filed]
  })

/** Files what was found at each visit, and ties the Encounter to it. */
export const writeDiagnoses = (chart: Chart, visits: readonly Visit[]): void => {
  for (const visit of visits.filter((v) => v.kind !== 'dental' && v.kind !== 'wellness')) {
    const passing = visit.end !== visit.date || !Object.values(problems).some((p) => p.icd10 === visit.reason.icd10)
    const filed = chart.add({
      kind: 'diagnosis',
      type: 'Condition',
      profiles: [usCore('condition-encounter-diagnosis')],
      title: `${visit.reason.name}, found on ${visit.date}`,
      date: visit.date,
      sensitivity: visit.sensitivity,
      body: {
        clinicalStatus: clinical(passing ? 'resolved' : 'active'),
        verificationStatus: confirmed,
        category: [concept(systems.conditionCategory, 'encounter-diagnosis', 'Encounter Diagnosis')],
        code: diagnosis(visit.reason),
        subject: chart.subject,
        encounter: reference(visit.encounter),
        onsetDateTime: at(visit.date),
        ...(passing ? { abatementDateTime: at(visit.end, 20) } : {}),
        recordedDate: visit.date,
      },
    })
    visit.encounter.diagnosis = [
      {
        condition: reference(filed),
        use: concept('http://terminology.hl7.org/CodeSystem/diagnosis-role', 'DD', 'Discharge diagnosis'),
      },
    ]
  }
}
