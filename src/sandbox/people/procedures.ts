import { addMonths, at } from './calendar.ts'
import type { Chart } from './chart.ts'
import { concept, systems } from './codes.ts'
import { base, usCore } from './profiles.ts'
import { type Resource, reference } from './resource.ts'
import type { Visit, VisitKind } from './visits.ts'

const usual: Partial<Record<VisitKind, [snomed: string, name: string]>> = {
  dental: ['234723000', 'Dental prophylaxis'],
  knee: ['609588000', 'Total knee replacement'],
  counseling: ['75516001', 'Psychotherapy'],
  emergency: ['399208008', 'Plain chest X-ray'],
}

const diagnostic: [string, string] = ['103693007', 'Diagnostic procedure']
const categories: Partial<Record<VisitKind, [snomed: string, name: string]>> = {
  knee: ['387713003', 'Surgical procedure'],
  counseling: ['24642003', 'Psychiatry procedure or service'],
  dental: ['277132007', 'Therapeutic procedure'],
}

/** Files what was done at visits, the tests of `tests` (spirometry, electrocardiogram) and any device left behind. */
export const writeProcedures = (chart: Chart, visits: readonly Visit[]): void => {
  const { network, anchor } = chart
  const asthma = chart.person.problems.some((p) => p.key === 'asthma')
  const perform = (visit: Visit, [code, name]: [string, string]): Resource =>
    chart.add({
      kind: 'procedure',
      type: 'Procedure',
      profiles: [usCore('procedure')],
      title: `${name} on ${visit.date}`,
      date: visit.date,
      sensitivity: visit.sensitivity,
      body: {
        status: 'completed',
        category: concept(systems.snomed, ...(categories[visit.kind] ?? diagnostic)),
        code: concept(systems.snomed, code, name),
        subject: chart.subject,
        encounter: reference(visit.encounter),
        performedPeriod: { start: at(visit.date, 15, 20), end: at(visit.date, 16) },
        performer: [{ actor: reference(network.practitioners[visit.who]) }],
        location: reference(network.locations[visit.place]),
        reasonCode: [concept(systems.snomed, visit.reason.snomed, visit.reason.name)],
      },
    })
  for (const visit of visits) {
    const done: [string, string] | undefined =
      visit.kind === 'wellness'
        ? asthma
          ? ['127783003', 'Spirometry']
          : ['29303009', 'Electrocardiographic procedure']
        : usual[visit.kind]
    if (done === undefined) continue
    perform(visit, done)
    if (visit.kind === 'knee') {
      chart.add({
        kind: 'device',
        type: 'Device',
        profiles: [usCore('implantable-device')],
        title: `Knee prosthesis, implanted on ${visit.date}`,
        date: visit.date,
        body: {
          udiCarrier: [
            {
              deviceIdentifier: '99999999999991',
              carrierHRF: '(01)99999999999991(17)330101(10)SYN1',
            },
          ],
          status: 'active',
          distinctIdentifier: 'SYN-KNEE-1',
          expirationDate: addMonths(visit.date, 120),
          lotNumber: 'SYN1',
          serialNumber: `SYN-${chart.person.id}-1`,
          deviceName: [{ name: 'Sample total knee system', type: 'user-friendly-name' }],
          type: concept(systems.snomed, '303533002', 'Knee joint prosthesis'),
          patient: chart.subject,
        },
      })
    }
  }
  if (chart.person.problems.some((p) => p.key === 'diabetes')) {
    chart.add({
      kind: 'device',
      type: 'Device',
      profiles: [base('Device')],
      title: 'Blood glucose meter',
      date: addMonths(anchor, -14),
      body: {
        status: 'active',
        deviceName: [{ name: 'Sample glucose meter', type: 'user-friendly-name' }],
        type: concept(systems.snomed, '337414009', 'Blood glucose meter'),
        patient: chart.subject,
      },
    })
  }
}
