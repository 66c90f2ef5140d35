import { at, yearsBetween } from './calendar.ts'
import type { Chart } from './chart.ts'
import { type CodeableConcept, concept, quantity, type Sensitivity, systems } from './codes.ts'
import { usCore } from './profiles.ts'
import { type Resource, reference } from './resource.ts'
import type { Visit } from './visits.ts'

const survey = concept(systems.observationCategory, 'survey', 'Survey')
const social = concept(systems.observationCategory, 'social-history', 'Social History')
const sdoh = concept(systems.usCoreCategory, 'sdoh', 'SDOH')
const clinicalTest = concept(systems.observationCategory, 'procedure', 'Procedure')

interface Asked {
  kind: 'survey' | 'social' | 'sdoh' | 'test'
  profile: string
  categories: CodeableConcept[]
  code: [loinc: string, name: string]
  value: Record<string, unknown>
  sensitivity?: Sensitivity
}

const coded = (system: string, code: string, name: string) => ({ valueCodeableConcept: concept(system, code, name) })
const measured = (value: number, unit: string) => ({ valueQuantity: quantity(value, unit) })

const screening = (code: [string, string], value: Record<string, unknown>, also: CodeableConcept[] = []): Asked => ({
  kind: 'survey',
  profile: 'observation-screening-assessment',
  categories: [survey, ...also],
  code,
  value,
})

const tested = (code: [string, string], value: Record<string, unknown>): Asked => ({
  kind: 'test',
  profile: 'observation-clinical-result',
  categories: [clinicalTest],
  code,
  value,
})

const told = (profile: string, code: [string, string], value: Record<string, unknown>): Asked => ({
  kind: 'social',
  profile,
  categories: [social],
  code,
  value,
})

/**
 * Files what was asked rather than measured (surveys, social history, social determinants), and the tests that need no
 * laboratory; gives back those tests.
 */
export const writeSurveys = (chart: Chart, visits: readonly Visit[]): Resource[] => {
  const random = chart.random.fork('surveys')
  const { person } = chart
  const has = (key: string) => person.problems.some((p) => p.key === key)

  const file = (visit: Visit, asked: Asked) =>
    chart.add({
      kind: asked.kind,
      type: 'Observation',
      profiles: [usCore(asked.profile)],
      title: `${asked.code[1]}, asked on ${visit.date}`,
      date: visit.date,
      sensitivity: asked.sensitivity,
      body: {
        status: 'final',
        category: asked.categories,
        code: concept(systems.loinc, ...asked.code),
        subject: chart.subject,
        encounter: reference(visit.encounter),
        effectiveDateTime: at(visit.date, 15, 10),
        issued: at(visit.date, 15, 12),
        performer: [reference(chart.network.practitioners[visit.who])],
        ...asked.value,
      },
    })

  const checkups = visits.filter((visit) => visit.kind === 'wellness')
  const tests = checkups.map((visit) => {
    if (yearsBetween(person.birthDate, visit.date) >= 18) {
      const never = coded(systems.snomed, '266919005', 'Never smoked tobacco')
      file(visit, told('smokingstatus', ['72166-2', 'Tobacco smoking status'], never))
      const days = measured(random.int(1, 6), 'd/wk')
      file(visit, screening(['89555-7', 'Days per week of moderate to strenuous physical activity'], days))
    }
    file(visit, {
      kind: 'sdoh',
      profile: 'simple-observation',
      categories: [sdoh],
      code: ['71802-3', 'Housing status'],
      value: coded(systems.snomed, '160724003', 'Housing adequate'),
    })
    const hunger = has('food')
      ? coded(systems.loinc, 'LA19952-3', 'At risk')
      : coded(systems.loinc, 'LA19983-8', 'No risk')
    file(visit, screening(['88124-3', 'Food insecurity risk'], hunger, [sdoh]))
    if (has('falls'))
      file(visit, screening(['59460-6', 'Fall risk total score'], measured(random.int(25, 60), '{score}')))
    return file(
      visit,
      has('asthma')
        ? tested(['19926-5', 'FEV1/FVC'], measured(random.int(76, 88), '%'))
        : tested(['8625-6', 'P-R interval on the electrocardiogram'], measured(random.int(140, 190), 'ms')),
    )
  })

  const latest = checkups.at(-1)
  if (latest && person.occupation) {
    const work = coded('http://www.bls.gov/soc/', ...person.occupation)
    file(latest, told('observation-occupation', ['11341-5', 'History of occupation'], work))
  }
  if (latest && person.privateTests.includes('orientation')) {
    const orientation = coded(systems.snomed, '20430005', 'Heterosexual')
    const asked = told('observation-sexual-orientation', ['76690-7', 'Sexual orientation'], orientation)
    file(latest, { ...asked, sensitivity: 'SEX' })
  }
  for (const visit of visits.filter((v) => v.kind === 'counseling')) {
    const total = measured(random.int(6, 17), '{score}')
    const asked =
      visit.sensitivity === 'PSY'
        ? screening(['44261-6', 'PHQ-9 total score'], total)
        : screening(['75626-2', 'AUDIT-C total score'], total)
    if (visit.sensitivity) file(visit, { ...asked, sensitivity: visit.sensitivity })
  }
  return tests
}
