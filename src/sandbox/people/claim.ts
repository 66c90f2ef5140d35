import { addDays, at } from './calendar.ts'
import type { Chart } from './chart.ts'
import { type CodeableConcept, coding, concept, money, type Sensitivity, systems } from './codes.ts'
import { type PractitionerKey, specialty } from './network.ts'
import { carin } from './profiles.ts'
import { type Resource, reference } from './resource.ts'

/** What a line of a claim cost, in dollars, and who pays it. */
export interface Amounts {
  submitted: number
  eligible: number
  copay: number
}

export interface Line {
  service: CodeableConcept
  amounts: Amounts
  /** What the kind of claim asks for beside: revenue code, place of service, quantity. */
  more?: Record<string, unknown>
  /** Adjudications of the line beside its amounts. */
  adjudication?: object[]
}

export interface ClaimDraft {
  /** Of the profile: `Professional-NonClinician`. */
  profile: string
  title: string
  type: 'institutional' | 'professional' | 'pharmacy' | 'oral'
  subType?: 'inpatient' | 'outpatient'
  date: string
  end: string
  provider: Resource
  careTeam: { who: PractitionerKey; role: string; display: string }[]
  diagnoses: { icd10: string; name: string; type: CodeableConcept }[]
  supportingInfo: object[]
  lines: Line[]
  /** Inpatient claims are adjudicated as a whole, all others by line: never both. */
  amountsOn: 'header' | 'lines'
  adjudication: object[]
  sensitivity: Sensitivity | undefined
  more?: Record<string, unknown>
}

const hl7 = (code: string, name: string) => concept(systems.adjudication, code, name)
const c4bb = (code: string, name: string) => concept(systems.carinAdjudication, code, name)

/** The amounts of one line or of a whole claim, each with its C4BB category. */
const amountsOf = ({ submitted, eligible, copay }: Amounts) =>
  [
    [hl7('submitted', 'Submitted Amount'), submitted],
    [hl7('eligible', 'Eligible Amount'), eligible],
    [c4bb('discount', 'Discount'), submitted - eligible],
    [hl7('copay', 'CoPay'), copay],
    [c4bb('memberliability', 'Member liability'), copay],
    [hl7('benefit', 'Benefit Amount'), eligible - copay],
    [c4bb('paidtoprovider', 'Paid to provider'), eligible - copay],
  ].map(([category, value]) => ({ category, amount: money(Number(value)) }))

const sum = (lines: readonly Line[]): Amounts =>
  lines.reduce(
    (total, { amounts }) => ({
      submitted: total.submitted + amounts.submitted,
      eligible: total.eligible + amounts.eligible,
      copay: total.copay + amounts.copay,
    }),
    { submitted: 0, eligible: 0, copay: 0 },
  )

/** A network or payment status, as adjudications of a claim or of a line carry it. */
export const status = (kind: 'billingnetworkstatus' | 'renderingnetworkstatus' | 'benefitpaymentstatus') => ({
  category: concept(systems.carinAdjudicationKind, kind),
  reason: concept(systems.carinPayerStatus, 'innetwork', 'In Network'),
})

/** One piece of supporting information; the sequence is put in by `fileClaim`. */
export const supporting = (category: string, value: Record<string, unknown>) => ({
  category: concept(systems.carinSupportingInfo, category),
  ...value,
})

/** Files an ExplanationOfBenefit: what all five kinds of C4BB have in common. */
export const fileClaim = (chart: Chart, draft: ClaimDraft): Resource => {
  const { network } = chart
  const received = addDays(draft.end, 3)
  const paidOn = addDays(draft.end, 14)
  const created = paidOn < chart.anchor ? paidOn : chart.anchor
  const total = sum(draft.lines)
  const number = chart.random.fork(`claim ${draft.profile} ${draft.date} ${draft.title}`).int(10_000_000, 99_999_999)
  return chart.add({
    kind: 'eob',
    type: 'ExplanationOfBenefit',
    profiles: [carin(`ExplanationOfBenefit-${draft.profile}`)],
    title: draft.title,
    date: created,
    sensitivity: draft.sensitivity,
    body: {
      identifier: [
        {
          type: concept(systems.carinIdentifierType, 'uc', 'Unique Claim ID'),
          system: 'https://plan.example.org/claim-id',
          value: `SYN${number}`,
        },
      ],
      status: 'active',
      type: concept(systems.claimType, draft.type),
      ...(draft.subType ? { subType: concept(systems.carinSubType, draft.subType) } : {}),
      use: 'claim',
      patient: chart.subject,
      billablePeriod: { start: draft.date, end: draft.end },
      created: at(created),
      insurer: reference(network.insurer, String(network.insurer.name)),
      provider: reference(draft.provider),
      payee: { type: concept(systems.payeeType, 'provider', 'Provider'), party: reference(draft.provider) },
      outcome: 'complete',
      careTeam: draft.careTeam.map(({ who, role, display }, index) => ({
        sequence: index + 1,
        provider: reference(network.practitioners[who]),
        role: concept(systems.carinCareTeamRole, role, display),
        qualification: specialty(who),
      })),
      supportingInfo: [
        supporting('clmrecvddate', { timingDate: received < created ? received : created }),
        ...draft.supportingInfo,
      ].map((info, index) => ({ sequence: index + 1, ...info })),
      ...(draft.diagnoses.length === 0
        ? {}
        : {
            diagnosis: draft.diagnoses.map(({ icd10, name, type }, index) => ({
              sequence: index + 1,
              diagnosisCodeableConcept: { coding: [coding(systems.icd10, icd10, name)], text: name },
              type: [type],
            })),
          }),
      insurance: [{ focal: true, coverage: reference(chart.coverage) }],
      item: draft.lines.map((line, index) => ({
        sequence: index + 1,
        productOrService: line.service,
        servicedDate: draft.date,
        ...line.more,
        ...(draft.amountsOn === 'lines'
          ? { adjudication: [...(line.adjudication ?? []), ...amountsOf(line.amounts)] }
          : {}),
      })),
      adjudication: [...draft.adjudication, ...(draft.amountsOn === 'header' ? amountsOf(total) : [])],
      total: amountsOf(total),
      payment: {
        type: concept(systems.carinPayerStatus, 'paid', 'Paid'),
        date: created,
        amount: money(total.eligible - total.copay),
      },
      ...draft.more,
    },
  })
}
