import { at } from './calendar.ts'
import type { Chart } from './chart.ts'
import { concept, systems } from './codes.ts'
import { usCore } from './profiles.ts'
import { reference } from './resource.ts'
import type { Visit } from './visits.ts'

const note: Record<'stay' | 'visit', [loinc: string, name: string]> = {
  stay: ['18842-5', 'Discharge summary'],
  visit: ['11506-3', 'Progress note'],
}

const encoded = (text: string) => Buffer.from(text, 'utf8').toString('base64')

/** Files the clinicians' notes of visits, and the reports that come as text rather than numbers. */
export const writeDocuments = (chart: Chart, visits: readonly Visit[]): void => {
  const { network, person } = chart
  for (const visit of visits.filter((v) => v.kind !== 'dental' && v.kind !== 'wellness')) {
    const stay = visit.end !== visit.date
    const [code, name] = stay ? note.stay : note.visit
    const text = [
      `SYNTHETIC RECORD. ${name}, ${visit.end}`,
      `Patient: ${person.given} ${person.family}`,
      `Reason: ${visit.reason.name}`,
      stay ? `In hospital from ${visit.date} to ${visit.end}. Went home well.` : 'Seen and advised. Return as needed.',
    ].join('\n')
    chart.add({
      kind: 'document',
      type: 'DocumentReference',
      profiles: [usCore('documentreference')],
      title: `${name} of ${visit.end}: ${visit.reason.name}`,
      date: visit.end,
      sensitivity: visit.sensitivity,
      body: {
        identifier: [
          { system: 'https://clinic.example.org/document', value: visit.encounter.id.replace('encounter', 'note') },
        ],
        status: 'current',
        type: concept(systems.loinc, code, name),
        category: [concept(systems.documentCategory, 'clinical-note', 'Clinical Note')],
        subject: chart.subject,
        date: at(visit.end, 21),
        author: [reference(network.practitioners[visit.who])],
        content: [
          {
            attachment: { contentType: 'text/plain', data: encoded(text), title: name, creation: at(visit.end, 21) },
            format: {
              system: 'http://ihe.net/fhir/ValueSet/IHE.FormatCode.codesystem',
              code: 'urn:ihe:iti:xds:2017:mimeTypeSufficient',
              display: 'mimeType Sufficient',
            },
          },
        ],
        context: { encounter: [reference(visit.encounter)], period: { start: at(visit.date), end: at(visit.end, 17) } },
      },
    })
    if (visit.kind === 'emergency' || visit.kind === 'pneumonia') {
      chart.add({
        kind: 'report',
        type: 'DiagnosticReport',
        profiles: [usCore('diagnosticreport-note')],
        title: `Chest X-ray of ${visit.date}`,
        date: visit.date,
        body: {
          status: 'final',
          category: [concept(systems.loinc, 'LP29684-5', 'Radiology')],
          code: concept(systems.loinc, '36643-5', 'Chest X-ray, 2 views'),
          subject: chart.subject,
          encounter: reference(visit.encounter),
          effectiveDateTime: at(visit.date, 16),
          issued: at(visit.date, 19),
          performer: [reference(network.organizations.hospital)],
          presentedForm: [
            {
              contentType: 'text/plain',
              data: encoded('SYNTHETIC RECORD. Chest X-ray, 2 views.'),
              title: 'Chest X-ray',
            },
          ],
        },
      })
    }
  }
}
