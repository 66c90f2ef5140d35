import { yearsBetween } from './calendar.ts'
import type { Chart } from './chart.ts'
import { type Amounts, type ClaimDraft, fileClaim, type Line, status, supporting } from './claim.ts'
import { type CodeableConcept, concept, systems } from './codes.ts'
import { supplyOf } from './medicines.ts'
import type { Fill } from './prescriptions.ts'
import { reference } from './resource.ts'
import type { Draw } from './results.ts'
import type { Visit, VisitKind } from './visits.ts'

const principal = concept(systems.diagnosisType, 'principal', 'Principal Diagnosis')
const admitting = concept(systems.diagnosisType, 'admitting', 'Admitting Diagnosis')
const visitReason = concept(systems.carinDiagnosisType, 'patientreasonforvisit', 'Patient Reason for Visit')

/** Providers ask for the whole price; the plan has agreed on 70 percent of it. */
const priced = (price: number, copay: number): Amounts => {
  const eligible = Math.round(price * 70) / 100
  return { submitted: price, eligible, copay: Math.min(copay, eligible) }
}

const cpt = (code: string, name: string) => concept(systems.cpt, code, name)
const office = { locationCodeableConcept: concept(systems.placeOfService, '11', 'Office') }
const atHome = { locationCodeableConcept: concept(systems.placeOfService, '10', "Telehealth in the patient's home") }
const revenue = (code: string) => ({ revenue: concept(systems.nubcRevenue, code), quantity: { value: 1 } })

const diagnosis = (visit: Pick<Visit, 'reason'>, type: CodeableConcept) => ({
  icd10: visit.reason.icd10,
  name: visit.reason.name,
  type,
})

/** The code of a preventive visit goes by age, up to and with the one named. */
const preventive: [upTo: number, code: string, name: string][] = [
  [4, '99392', 'Preventive visit, ages 1 to 4'],
  [11, '99393', 'Preventive visit, ages 5 to 11'],
  [17, '99394', 'Preventive visit, ages 12 to 17'],
  [39, '99395', 'Preventive visit, ages 18 to 39'],
  [64, '99396', 'Preventive visit, ages 40 to 64'],
  [150, '99397', 'Preventive visit, ages 65 and over'],
]

const professional = (chart: Chart, visit: Visit): ClaimDraft => {
  const age = yearsBetween(chart.person.birthDate, visit.date)
  const [, code = '', name = ''] = preventive.find(([upTo]) => age <= upTo) ?? []
  const services: Partial<Record<VisitKind, Line>> = {
    office: { service: cpt('99213', 'Office visit, established patient, 20 minutes'), amounts: priced(165, 25) },
    wellness: {
      service: cpt(code, name),
      amounts: priced(240, 0),
    },
    telehealth: { service: cpt('99212', 'Office visit, established patient, 10 minutes'), amounts: priced(95, 15) },
    counseling: { service: cpt('90834', 'Psychotherapy, 45 minutes'), amounts: priced(180, 25) },
  }
  const line = services[visit.kind] ?? { service: cpt('99213', 'Office visit'), amounts: priced(165, 25) }
  return {
    profile: 'Professional-NonClinician',
    title: `Claim: ${line.service.text} on ${visit.date}`,
    type: 'professional',
    date: visit.date,
    end: visit.end,
    provider: chart.network.organizations[visit.place],
    careTeam: [{ who: visit.who, role: 'rendering', display: 'Rendering provider' }],
    diagnoses: [diagnosis(visit, principal)],
    supportingInfo: [
      supporting('servicefacility', { valueReference: reference(chart.network.organizations[visit.place]) }),
    ],
    lines: [
      { ...line, more: visit.kind === 'telehealth' ? atHome : office, adjudication: [status('benefitpaymentstatus')] },
    ],
    amountsOn: 'lines',
    adjudication: [status('billingnetworkstatus'), status('renderingnetworkstatus')],
    sensitivity: visit.sensitivity,
  }
}

const oral = (chart: Chart, visit: Visit): ClaimDraft => {
  const child = yearsBetween(chart.person.birthDate, visit.date) < 14
  const line = (code: string, name: string, amounts: Amounts): Line => ({
    service: concept(systems.cdt, code, name),
    amounts,
    more: office,
    adjudication: [status('benefitpaymentstatus')],
  })
  return {
    profile: 'Oral',
    title: `Claim: dental visit on ${visit.date}`,
    type: 'oral',
    date: visit.date,
    end: visit.end,
    provider: chart.network.organizations.dental,
    careTeam: [{ who: 'dentist', role: 'rendering', display: 'Rendering provider' }],
    diagnoses: [diagnosis(visit, principal)],
    supportingInfo: [supporting('servicefacility', { valueReference: reference(chart.network.organizations.dental) })],
    lines: [
      line('D0120', 'Periodic oral evaluation', priced(58, 0)),
      child ? line('D1120', 'Prophylaxis, child', priced(78, 0)) : line('D1110', 'Prophylaxis, adult', priced(112, 10)),
    ],
    amountsOn: 'lines',
    adjudication: [status('billingnetworkstatus'), status('renderingnetworkstatus'), status('benefitpaymentstatus')],
    sensitivity: visit.sensitivity,
  }
}

const outpatient = (
  chart: Chart,
  seen: {
    date: string
    reason: Visit['reason']
    who: Visit['who']
    title: string
    place: 'hospital' | 'lab'
    lines: Line[]
    sensitivity: Visit['sensitivity']
  },
): ClaimDraft => ({
  profile: 'Outpatient-Institutional',
  title: `Claim: ${seen.title} on ${seen.date}`,
  type: 'institutional',
  subType: 'outpatient',
  date: seen.date,
  end: seen.date,
  provider: chart.network.organizations[seen.place],
  careTeam: [{ who: seen.who, role: 'attending', display: 'Attending' }],
  diagnoses: [diagnosis(seen, principal), diagnosis(seen, visitReason)],
  supportingInfo: [
    supporting('typeofbill', { code: concept(systems.nubcBill, '131') }),
    supporting('pointoforigin', { code: concept(systems.nubcOrigin, '1') }),
    supporting('admtype', { code: concept(systems.nubcAdmission, seen.place === 'hospital' ? '1' : '3') }),
    supporting('discharge-status', { code: concept(systems.nubcDischarge, '01') }),
  ],
  lines: seen.lines,
  amountsOn: 'lines',
  adjudication: [status('billingnetworkstatus'), status('benefitpaymentstatus')],
  sensitivity: seen.sensitivity,
})

const inpatient = (chart: Chart, visit: Visit): ClaimDraft => {
  const knee = visit.kind === 'knee'
  const line = (code: string, name: string, price: number): Line => ({
    service: concept('http://terminology.hl7.org/CodeSystem/data-absent-reason', 'not-applicable', 'Not Applicable'),
    amounts: priced(price, 0),
    more: { ...revenue(code), revenue: concept(systems.nubcRevenue, code, name) },
  })
  return {
    profile: 'Inpatient-Institutional',
    title: `Claim: hospital stay from ${visit.date} to ${visit.end}`,
    type: 'institutional',
    subType: 'inpatient',
    date: visit.date,
    end: visit.end,
    provider: chart.network.organizations.hospital,
    careTeam: [{ who: visit.who, role: 'attending', display: 'Attending' }],
    diagnoses: [diagnosis(visit, principal), diagnosis(visit, admitting)],
    supportingInfo: [
      supporting('admissionperiod', { timingPeriod: { start: visit.date, end: visit.end } }),
      supporting('typeofbill', { code: concept(systems.nubcBill, '111') }),
      supporting('pointoforigin', { code: concept(systems.nubcOrigin, '1') }),
      supporting('admtype', { code: concept(systems.nubcAdmission, knee ? '3' : '1') }),
      supporting('discharge-status', { code: concept(systems.nubcDischarge, '01') }),
      supporting('drg', { code: concept(systems.msDrg, knee ? '470' : '195') }),
    ],
    lines: [
      line('0120', 'Room and board', knee ? 7200 : 9600),
      line('0250', 'Pharmacy', 1150),
      line(knee ? '0360' : '0460', knee ? 'Operating room' : 'Respiratory services', knee ? 18400 : 2100),
      { ...line('0300', 'Laboratory', 940), amounts: priced(940, 500) },
    ],
    amountsOn: 'header',
    adjudication: [status('billingnetworkstatus'), status('benefitpaymentstatus')],
    sensitivity: visit.sensitivity,
    ...(knee
      ? {
          more: {
            procedure: [
              {
                sequence: 1,
                type: [concept(systems.carinProcedureType, 'principal', 'Principal')],
                date: `${visit.date}T16:00:00Z`,
                procedureCodeableConcept: concept(
                  systems.icd10pcs,
                  '0SRC0J9',
                  'Replacement of right knee joint with synthetic substitute, cemented, open',
                ),
              },
            ],
          },
        }
      : {}),
  }
}

const pharmacy = (chart: Chart, fill: Fill): ClaimDraft => ({
  profile: 'Pharmacy',
  title: `Claim: ${fill.medicine.name} on ${fill.date}`,
  type: 'pharmacy',
  date: fill.date,
  end: fill.date,
  provider: chart.network.organizations.pharmacy,
  careTeam: [{ who: fill.who, role: 'prescribing', display: 'Prescribing provider' }],
  diagnoses: [],
  supportingInfo: [
    supporting('dayssupply', { valueQuantity: { value: 90 } }),
    supporting('dawcode', {
      code: concept('http://terminology.hl7.org/CodeSystem/NCPDPDispensedAsWrittenOrProductSelectionCode', '0'),
    }),
    supporting('refillnum', { valueQuantity: { value: fill.refill } }),
    supporting('refillsauthorized', { valueQuantity: { value: 3 } }),
    supporting('brandgenericindicator', {
      code: concept(
        'http://terminology.hl7.org/CodeSystem/NCPDPBrandGenericIndicator',
        fill.medicine.brand ? '1' : '2',
      ),
    }),
    supporting('rxorigincode', {
      code: concept('http://terminology.hl7.org/CodeSystem/NCPDPPrescriptionOriginCode', '3'),
    }),
    supporting('compoundcode', { code: concept('http://terminology.hl7.org/CodeSystem/NCPDPCompoundCode', '1') }),
  ],
  lines: [
    {
      service: concept(systems.ndc, fill.medicine.ndc, fill.medicine.name),
      amounts: priced(fill.medicine.price, fill.medicine.brand ? 30 : 10),
      more: { quantity: { value: supplyOf(fill.medicine) } },
    },
  ],
  amountsOn: 'lines',
  adjudication: [status('billingnetworkstatus'), status('benefitpaymentstatus')],
  sensitivity: fill.sensitivity,
})

/** Files what the plan paid: for visits, days at the laboratory and fills, in the order of their dates. */
export const writeClaims = (
  chart: Chart,
  visits: readonly Visit[],
  draws: readonly Draw[],
  fills: readonly Fill[],
): void => {
  const hospital = (visit: Visit) =>
    outpatient(chart, {
      ...visit,
      title: 'emergency room',
      place: 'hospital',
      lines: [
        { service: cpt('99284', 'Emergency department visit'), amounts: priced(980, 150), more: revenue('0450') },
      ],
    })
  const byKind: Record<VisitKind, (visit: Visit) => ClaimDraft> = {
    office: (visit) => professional(chart, visit),
    wellness: (visit) => professional(chart, visit),
    telehealth: (visit) => professional(chart, visit),
    counseling: (visit) => professional(chart, visit),
    dental: (visit) => oral(chart, visit),
    emergency: hospital,
    knee: (visit) => inpatient(chart, visit),
    pneumonia: (visit) => inpatient(chart, visit),
  }
  const laboratory = (draw: Draw) =>
    outpatient(chart, {
      ...draw,
      title: 'laboratory tests',
      place: 'lab',
      lines: draw.panels.map((panel) => ({
        service: cpt(...panel.cpt),
        amounts: priced(panel.price, 0),
        more: revenue('0300'),
      })),
    })
  const drafts = [
    ...visits.map((visit) => byKind[visit.kind](visit)),
    ...draws.map(laboratory),
    ...fills.map((fill) => pharmacy(chart, fill)),
  ]
  for (const draft of drafts.sort((a, b) => a.date.localeCompare(b.date))) fileClaim(chart, draft)
}
