import { at, yearsBetween } from './calendar.ts'
import type { Chart } from './chart.ts'
import { concept, quantity, systems } from './codes.ts'
import { usCore, usCorePediatric } from './profiles.ts'
import { reference } from './resource.ts'
import type { Visit } from './visits.ts'

const vitalSigns = concept(systems.observationCategory, 'vital-signs', 'Vital Signs')

const percentile = (measured: number) => quantity(Math.round(Math.min(97, Math.max(3, 50 + (measured - 16) * 12))), '%')

/** Files what a nurse measures at each visit in person. */
export const writeVitals = (chart: Chart, visits: readonly Visit[]): void => {
  const random = chart.random.fork('vitals')
  const { person } = chart
  const pressure = person.problems.some((p) => p.key === 'hypertension') ? 134 : 118
  for (const visit of visits.filter((v) => ['office', 'wellness', 'emergency'].includes(v.kind))) {
    const age = yearsBetween(person.birthDate, visit.date)
    const child = age < 18
    // Children were smaller before: about 6 cm and 2.5 kg a year.
    const growing = child ? yearsBetween(person.birthDate, chart.anchor) - age : 0
    const height = person.height - growing * 6
    const weight = random.near(person.weight - growing * 2.5, child ? 0.5 : 1.8, 1)
    const bmi = Number((weight / (height / 100) ** 2).toFixed(1))
    const systolic = random.near(child ? 100 : pressure, 8)
    const diastolic = random.near(child ? 62 : 80, 6)

    const measure = (profile: string, code: [string, string], value: Record<string, unknown>, told: string) =>
      chart.add({
        kind: 'vital',
        type: 'Observation',
        profiles: [profile],
        title: `${code[1]} on ${visit.date}: ${told}`,
        date: visit.date,
        body: {
          status: 'final',
          category: [vitalSigns],
          code: concept(systems.loinc, ...code),
          subject: chart.subject,
          encounter: reference(visit.encounter),
          effectiveDateTime: at(visit.date, 15, 5),
          issued: at(visit.date, 15, 6),
          performer: [reference(chart.network.practitioners[visit.who])],
          ...value,
        },
      })
    const simple = (profile: string, code: [string, string], value: ReturnType<typeof quantity>) =>
      measure(profile, code, { valueQuantity: value }, `${value.value} ${value.unit}`)

    measure(
      usCore('blood-pressure'),
      ['85354-9', 'Blood pressure'],
      {
        component: [
          {
            code: concept(systems.loinc, '8480-6', 'Systolic blood pressure'),
            valueQuantity: quantity(systolic, 'mm[Hg]'),
          },
          {
            code: concept(systems.loinc, '8462-4', 'Diastolic blood pressure'),
            valueQuantity: quantity(diastolic, 'mm[Hg]'),
          },
        ],
      },
      `${systolic}/${diastolic} mm[Hg]`,
    )
    simple(usCore('heart-rate'), ['8867-4', 'Heart rate'], quantity(random.near(child ? 88 : 72, 8), '/min'))
    simple(
      usCore('respiratory-rate'),
      ['9279-1', 'Respiratory rate'],
      quantity(random.near(child ? 20 : 15, 2), '/min'),
    )
    simple(usCore('body-temperature'), ['8310-5', 'Body temperature'], quantity(random.near(36.8, 0.4, 1), 'Cel'))
    simple(usCore('body-weight'), ['29463-7', 'Body weight'], quantity(weight, 'kg'))
    simple(usCore('body-height'), ['8302-2', 'Body height'], quantity(height, 'cm'))
    simple(usCore('bmi'), ['39156-5', 'Body mass index'], quantity(bmi, 'kg/m2'))
    if (child)
      simple(
        usCorePediatric('pediatric-bmi-for-age'),
        ['59576-9', 'Body mass index for age, percentile'],
        percentile(bmi),
      )
    if (visit.kind === 'emergency') {
      measure(
        usCore('pulse-oximetry'),
        ['59408-5', 'Oxygen saturation'],
        {
          code: {
            coding: [
              { system: systems.loinc, code: '59408-5', display: 'Oxygen saturation by pulse oximetry' },
              { system: systems.loinc, code: '2708-6', display: 'Oxygen saturation' },
            ],
            text: 'Oxygen saturation',
          },
          valueQuantity: quantity(random.near(95, 2), '%'),
        },
        'by pulse oximetry',
      )
    }
  }
}
