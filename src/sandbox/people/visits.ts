import { addDays, addMonths, at, yearsBetween } from './calendar.ts'
import type { Chart } from './chart.ts'
import { coding, concept, type Sensitivity, systems } from './codes.ts'
import { type OrganizationKey, type PractitionerKey, workplace } from './network.ts'
import { type Complaint, complaints, problems } from './problems.ts'
import { usCore } from './profiles.ts'
import { type Resource, reference } from './resource.ts'

export type VisitKind =
  | 'office'
  | 'wellness'
  | 'telehealth'
  | 'dental'
  | 'counseling'
  | 'emergency'
  | 'knee'
  | 'pneumonia'

export interface Visit {
  kind: VisitKind
  date: string
  /** The last day; that of `date` except for a stay. */
  end: string
  reason: Complaint
  who: PractitionerKey
  place: OrganizationKey
  sensitivity: Sensitivity | undefined
  encounter: Resource
}

const kinds: Record<VisitKind, { encounterClass: [string, string]; type: [string, string]; minutes: number }> = {
  office: { encounterClass: ['AMB', 'ambulatory'], type: ['185345009', 'Encounter for symptom'], minutes: 25 },
  wellness: { encounterClass: ['AMB', 'ambulatory'], type: ['185349003', 'Encounter for check up'], minutes: 40 },
  telehealth: { encounterClass: ['VR', 'virtual'], type: ['448337001', 'Telemedicine consultation'], minutes: 20 },
  dental: { encounterClass: ['AMB', 'ambulatory'], type: ['185349003', 'Encounter for check up'], minutes: 45 },
  counseling: { encounterClass: ['AMB', 'ambulatory'], type: ['185389009', 'Follow-up visit'], minutes: 50 },
  emergency: { encounterClass: ['EMER', 'emergency'], type: ['50849002', 'Emergency room admission'], minutes: 180 },
  knee: { encounterClass: ['IMP', 'inpatient encounter'], type: ['32485007', 'Hospital admission'], minutes: 0 },
  pneumonia: { encounterClass: ['IMP', 'inpatient encounter'], type: ['32485007', 'Hospital admission'], minutes: 0 },
}

type Planned = Omit<Visit, 'encounter'>

/** The days of a person's ordinary visits, each year of them alike but for what the dice say. */
const plan = (chart: Chart): Planned[] => {
  const { person, anchor, start } = chart
  const random = chart.random.fork('visits')
  const child = yearsBetween(person.birthDate, anchor) < 18
  const family: PractitionerKey = child ? 'pediatrician' : 'primary'
  const lasting = person.problems.map(({ key, years }) => ({ ...problems[key], since: addMonths(anchor, -12 * years) }))
  const planned: Planned[] = []
  const visit = (
    kind: VisitKind,
    date: string,
    reason: Complaint,
    who: PractitionerKey,
    more: Partial<Planned> = {},
  ) => {
    if (date >= start && date <= anchor)
      planned.push({ kind, date, end: date, reason, who, place: workplace(who), sensitivity: undefined, ...more })
  }
  /** A lasting problem that is nobody's secret and was known by then, or something passing. */
  const reasonOn = (date: string): Complaint => {
    const known = lasting.filter((p) => !p.sensitivity && p.category === 'problem-list-item' && p.since <= date)
    return random.next() < 0.6 && known.length > 0 ? random.pick(known) : complaints[random.pick(person.complaints)]
  }
  for (let year = 0; year < person.years; year++) {
    const first = addMonths(start, 12 * year)
    const spread = (count: number, offset: number, add: (date: string) => void) => {
      for (let n = 0; n < count; n++) add(addDays(first, Math.floor((365 / count) * n) + offset + random.int(0, 20)))
    }
    spread(1, 30, (date) => visit('wellness', date, child ? complaints.childCheckup : complaints.checkup, family))
    spread(person.yearly.office, 70, (date) => {
      const reason = reasonOn(date)
      const heart = reason.icd10 === 'I48.91' || reason.icd10 === 'I50.9'
      visit('office', date, reason, heart ? 'cardiologist' : family)
    })
    spread(person.yearly.telehealth, 200, (date) => visit('telehealth', date, reasonOn(date), family))
    spread(person.yearly.dental, 110, (date) => visit('dental', date, complaints.teeth, 'dentist'))
  }
  for (const monthsAgo of person.emergencies) {
    visit('emergency', addMonths(anchor, -monthsAgo), child ? problems.asthma : complaints.bronchitis, 'emergency')
  }
  for (const { kind, monthsAgo } of person.stays) {
    const date = addDays(addMonths(anchor, -monthsAgo), 4)
    const reason = kind === 'knee' ? problems.kneeArthritis : complaints.pneumonia
    visit(kind, date, reason, kind === 'knee' ? 'surgeon' : 'emergency', {
      end: addDays(date, kind === 'knee' ? 3 : 4),
    })
  }
  for (const monthsAgo of person.counseling?.monthsAgo ?? []) {
    const reason = problems[person.counseling?.reason ?? 'depression']
    visit('counseling', addDays(addMonths(anchor, -monthsAgo), 9), reason, 'counselor', {
      sensitivity: reason.sensitivity,
    })
  }
  return planned.sort((a, b) => (a.date < b.date ? -1 : a.date > b.date ? 1 : 0))
}

/** Files an Encounter for every visit, and hands the visits to those who write what happened there. */
export const writeVisits = (chart: Chart): Visit[] =>
  plan(chart).map((visit, index) => {
    const { network } = chart
    const stay = visit.end !== visit.date
    const { encounterClass, type, minutes } = kinds[visit.kind]
    const encounter = chart.add({
      kind: 'encounter',
      type: 'Encounter',
      profiles: [usCore('encounter')],
      title: `${type[1]} on ${visit.date}: ${visit.reason.name}`,
      date: visit.end,
      sensitivity: visit.sensitivity,
      body: {
        identifier: [
          {
            system: 'https://clinic.example.org/encounter',
            value: `SYN-E-${chart.random.fork(`encounter-${index}`).int(100000, 999999)}`,
          },
        ],
        status: 'finished',
        class: coding(systems.actCode, ...encounterClass),
        type: [concept(systems.snomed, ...type)],
        subject: chart.subject,
        participant: [
          {
            type: [concept('http://terminology.hl7.org/CodeSystem/v3-ParticipationType', 'PPRF', 'primary performer')],
            period: { start: at(visit.date, 15), end: at(visit.end, 16) },
            individual: reference(network.practitioners[visit.who]),
          },
        ],
        period: {
          start: at(visit.date, 15),
          end: stay ? at(visit.end, 17) : at(visit.date, 15 + Math.floor(minutes / 60), minutes % 60),
        },
        reasonCode: [concept(systems.snomed, visit.reason.snomed, visit.reason.name)],
        ...(stay
          ? {
              hospitalization: {
                dischargeDisposition: concept(
                  'http://terminology.hl7.org/CodeSystem/discharge-disposition',
                  'home',
                  'Home',
                ),
              },
            }
          : {}),
        location: [{ location: reference(network.locations[visit.place]) }],
        serviceProvider: reference(network.organizations[visit.place], String(network.organizations[visit.place].name)),
      },
    })
    return { ...visit, encounter }
  })
