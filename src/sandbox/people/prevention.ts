import { addDays, addMonths } from './calendar.ts'
import type { Person } from './cast.ts'
import type { Chart } from './chart.ts'
import { concept, systems } from './codes.ts'
import { usCore } from './profiles.ts'
import { reference } from './resource.ts'
import type { Visit } from './visits.ts'

type Vaccine = [cvx: string, name: string]

const influenza: Vaccine = ['150', 'Influenza, injectable, quadrivalent, preservative free']

/** The childhood schedule in months of age, as CDC recommends it. */
const childhood: [vaccine: Vaccine, months: number[]][] = [
  [
    ['08', 'Hepatitis B, adolescent or pediatric'],
    [0, 1, 6],
  ],
  [
    ['119', 'Rotavirus, monovalent'],
    [2, 4],
  ],
  [
    ['20', 'DTaP'],
    [2, 4, 6, 15, 54],
  ],
  [
    ['49', 'Hib (PRP-OMP)'],
    [2, 4, 12],
  ],
  [
    ['133', 'Pneumococcal conjugate PCV 13'],
    [2, 4, 6, 12],
  ],
  [
    ['10', 'Poliovirus, inactivated (IPV)'],
    [2, 4, 12, 54],
  ],
  [
    ['03', 'Measles, mumps and rubella (MMR)'],
    [12, 50],
  ],
  [
    ['21', 'Varicella'],
    [12, 52],
  ],
  [
    ['83', 'Hepatitis A, pediatric or adolescent, 2 dose'],
    [12, 20],
  ],
]

const grown: Record<Exclude<Person['vaccines'], 'child'>, [vaccine: Vaccine, monthsAgo: number][]> = {
  adult: [
    [['115', 'Tdap'], 47],
    [['213', 'SARS-COV-2 (COVID-19) vaccine, unspecified'], 31],
  ],
  senior: [
    [['115', 'Tdap'], 58],
    [['187', 'Zoster vaccine, recombinant'], 44],
    [['187', 'Zoster vaccine, recombinant'], 41],
    [['33', 'Pneumococcal polysaccharide PPV23'], 39],
    [['213', 'SARS-COV-2 (COVID-19) vaccine, unspecified'], 31],
  ],
}

/** Files vaccinations: the whole childhood, or an adult's boosters, and influenza every autumn of the record. */
export const writeImmunizations = (chart: Chart, visits: readonly Visit[]): void => {
  const { person, anchor, network } = chart
  const random = chart.random.fork('immunizations')
  const given: [vaccine: Vaccine, date: string][] =
    person.vaccines === 'child'
      ? childhood.flatMap(([vaccine, months]) =>
          months.map((month): [Vaccine, string] => [
            vaccine,
            addDays(addMonths(person.birthDate, month), random.int(1, 12)),
          ]),
        )
      : grown[person.vaccines].map(([vaccine, monthsAgo]) => [vaccine, addMonths(anchor, -monthsAgo)])
  for (let year = 1; year <= person.years; year++) {
    given.push([influenza, addDays(`${Number(anchor.slice(0, 4)) - year}-10-01`, random.int(0, 25))])
  }
  const who = person.vaccines === 'child' ? 'pediatrician' : 'primary'
  for (const [vaccine, date] of given.sort((a, b) => a[1].localeCompare(b[1]))) {
    const visit = visits.find((v) => v.date === date)
    chart.add({
      kind: 'immunization',
      type: 'Immunization',
      profiles: [usCore('immunization')],
      title: `${vaccine[1]}, given on ${date}`,
      date,
      body: {
        status: 'completed',
        vaccineCode: concept(systems.cvx, ...vaccine),
        patient: chart.subject,
        ...(visit ? { encounter: reference(visit.encounter) } : {}),
        occurrenceDateTime: date,
        primarySource: true,
        location: reference(network.locations.clinic),
        lotNumber: `SYN${random.int(1000, 9999)}`,
        performer: [{ actor: reference(network.practitioners[who]) }],
      },
    })
  }
}

const allergies: Record<
  Person['allergy'],
  { code: [string, string, string]; category: string; criticality: string; sign: [string, string] }
> = {
  peanut: {
    code: [systems.snomed, '762952008', 'Peanut'],
    category: 'food',
    criticality: 'high',
    sign: ['247472004', 'Wheal'],
  },
  penicillin: {
    code: [systems.rxnorm, '7980', 'penicillin G'],
    category: 'medication',
    criticality: 'low',
    sign: ['271807003', 'Eruption of skin'],
  },
  pollen: {
    code: [systems.snomed, '256259004', 'Pollen'],
    category: 'environment',
    criticality: 'low',
    sign: ['70076002', 'Rhinitis'],
  },
}

/** Files what the person does not tolerate. */
export const writeAllergies = (chart: Chart): void => {
  const { code, category, criticality, sign } = allergies[chart.person.allergy]
  chart.add({
    kind: 'allergy',
    type: 'AllergyIntolerance',
    profiles: [usCore('allergyintolerance')],
    title: `Allergy: ${code[2]}`,
    date: chart.start,
    body: {
      clinicalStatus: concept(systems.allergyClinical, 'active', 'Active'),
      verificationStatus: concept(systems.allergyVerification, 'confirmed', 'Confirmed'),
      type: 'allergy',
      category: [category],
      criticality,
      code: concept(...code),
      patient: chart.subject,
      recordedDate: chart.start,
      reaction: [
        { manifestation: [concept(systems.snomed, ...sign)], severity: criticality === 'high' ? 'severe' : 'mild' },
      ],
    },
  })
}
