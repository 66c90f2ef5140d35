/**
 * The receipt of a decision to share, with the elements of 42 CFR 2.31: as a page, and as a FHIR R4 Consent. Pure.
 *
 * Owns: what a receipt says. Does not own: the decision as it was written down (consents.ts), or the words.
 */
import type { Api, Environment } from '../config/settings.ts'
import type { TypeChoice } from '../smart/choices.ts'
import { categoriesOf } from '../smart/scope-words.ts'
import type { ReceiptPage } from '../web/member-pages.ts'
import { frameOf, historyLines, hrefOf, type Looking } from './connection-pages.ts'
import { apisOf, restrictionsOf, sharedChoices, sharedRecords } from './connection-words.ts'
import { type Consent, isOffline } from './consents.ts'
import type { ConnectionDetail } from './overview.ts'

/** What of a decision's grant a receipt needs. */
export interface ReceiptGrant {
  api: string
  /** Bare FHIR id. */
  patient: string
  /** `Patient/…` or `RelatedPerson/…`. */
  fhirUser: string
  clientId: string
  /** What is in force now; null where the grant is over. */
  live: { scope: string; sensitivities: readonly string[]; endsAt: number } | null
}

/** The people and names at the time of the decision; for decisions of before they were kept, as they are now. */
const recordOf = ({ record }: Consent, connection: ConnectionDetail, environment: Environment) =>
  record ?? {
    plan: environment.plan.name,
    app: connection.app.name,
    developer: connection.developer,
    website: connection.app.website,
    member: connection.approvedBy.name,
    patient: connection.patient.name,
    relation: connection.relation,
    warning: null,
  }

export const receiptPage = (
  consent: Consent,
  connection: ConnectionDetail,
  grant: Pick<ReceiptGrant, 'api'>,
  looking: Looking,
): ReceiptPage => {
  const { environment, words, member } = looking
  const record = recordOf(consent, connection, environment)
  const href = hrefOf(environment, connection.id)
  const [api] = apisOf(environment, [grant.api])
  const { grantedScope: scope, sensitivities } = consent
  return {
    ...frameOf(looking),
    href,
    jsonHref: `${href}/receipt.json?of=${consent.id}`,
    id: consent.id,
    patient: record.patient,
    discloser: { plan: record.plan, api: api?.name ?? grant.api },
    recipient: { app: record.app, developer: record.developer, website: record.website },
    shared: sharedRecords(environment, { scope, sensitivities, apis: [grant.api] }, words),
    once: !isOffline(consent.grantedScope),
    endsAt: consent.endsAt ?? consent.decidedAt,
    stopUrl: new URL(href, environment.issuer).href,
    signer: { name: record.member, relation: record.relation },
    signedAt: consent.decidedAt,
    warning: record.warning,
    textHash: consent.textHash,
    textVersion: consent.textVersion,
    textLanguage: consent.language,
    changes: historyLines(connection, member.id).filter(({ at }) => at !== null && at > consent.decidedAt),
  }
}

const hl7 = 'http://terminology.hl7.org/CodeSystem'
const coded = (system: string, code: string, display?: string) => ({
  coding: [{ system, code, ...(display === undefined ? {} : { display }) }],
})
const resourceClass = (code: string) => ({ system: 'http://hl7.org/fhir/resource-types', code })

/**
 * The types that are shared as classes, and of those that are not shared whole an exception (R4: `provision.provision`): all but
 * what is named in it is denied. Without a class a rule would be about every kind of record.
 */
const recordsOf = (environment: Environment, scope: string, api: Api | undefined) => {
  const { types } = sharedChoices(environment, { scope, apis: api ? [api.id] : [] })
  const all = [...types.values()]
  return {
    classes: all.map(({ type }) => resourceClass(type)),
    exceptions: all
      .filter(({ whole }) => !whole)
      .map((choice) => {
        const about = { class: [resourceClass(choice.type)] }
        return { type: 'deny', ...about, provision: [{ type: 'permit', ...about, code: codesOf(choice) }] }
      }),
  }
}

/** To what a type is narrowed: its categories by their codes, any other restriction in the words of the scope. */
const codesOf = ({ type, categories, scopes }: TypeChoice) =>
  categories
    ? categories.map(({ key, value }) => {
        const known = categoriesOf(type).find((each) => each.key === key)
        return known ? coded(known.system, known.code) : { text: value }
      })
    : restrictionsOf(scopes).map((text) => ({ text }))

/** Sensitive categories by their security labels: those that were released, and, where the API can hold them back, the others. */
const sensitiveProvisions = (environment: Environment, codes: readonly string[], api: Api | undefined) =>
  environment.plan.sensitiveCategories
    .filter(({ code }) => codes.includes(code) || api?.sensitivity === 'enforced')
    .map(({ code, labels }) => ({ type: codes.includes(code) ? 'permit' : 'deny', securityLabel: labels }))

const escaped = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')

/**
 * The decision as a FHIR R4 Consent. While it is in force it says what holds now, with what was narrowed or extended since; once it is
 * over, what was decided. People are named by their addresses at the API.
 */
export const receiptConsent = (
  consent: Consent,
  connection: ConnectionDetail,
  grant: ReceiptGrant,
  { environment, words }: Looking,
): Record<string, unknown> => {
  const record = recordOf(consent, connection, environment)
  const [api] = apisOf(environment, [grant.api])
  const { scope, sensitivities, endsAt } = grant.live ?? {
    scope: consent.grantedScope,
    sensitivities: consent.sensitivities,
    endsAt: consent.endsAt ?? consent.decidedAt,
  }
  const at = (reference: string): string => (api ? `${api.baseUrl}/${reference}` : reference)
  const instant = (millis: number): string => new Date(millis).toISOString()
  const { classes, exceptions } = recordsOf(environment, scope, api)
  const nested = [...exceptions, ...sensitiveProvisions(environment, sensitivities, api)]
  const changed = Math.max(consent.decidedAt, ...connection.history.map((entry) => entry.at))
  const said = [
    words.t('receipt.lead', { app: record.app, date: words.date(consent.decidedAt) }),
    words.t('receipt.redisclosure', { app: record.app, plan: record.plan }),
  ]
  return {
    resourceType: 'Consent',
    id: consent.id,
    meta: { lastUpdated: instant(changed) },
    language: words.language,
    text: {
      status: 'generated',
      div: `<div xmlns="http://www.w3.org/1999/xhtml">${said.map((each) => `<p>${escaped(each)}</p>`).join('')}</div>`,
    },
    identifier: [{ system: 'urn:ietf:rfc:3986', value: `urn:uuid:${consent.id}` }],
    status: grant.live ? 'active' : 'inactive',
    scope: coded(`${hl7}/consentscope`, 'patient-privacy', 'Privacy Consent'),
    category: [
      coded('http://loinc.org', '59284-0', 'Consent Document'),
      coded('http://hl7.org/fhir/us/davinci-pdex/CodeSystem/pdex-consent-api-purpose', 'patient-access'),
    ],
    patient: { reference: at(`Patient/${grant.patient}`), display: record.patient },
    dateTime: instant(consent.decidedAt),
    performer: [{ reference: at(grant.fhirUser), display: record.member }],
    organization: [{ display: record.plan }],
    sourceAttachment: {
      contentType: 'text/html',
      language: consent.language,
      url: new URL(`${hrefOf(environment, connection.id)}/receipt?of=${consent.id}`, environment.issuer).href,
    },
    policyRule: coded(`${hl7}/v3-ActCode`, 'OPTINR', 'opt-in with restrictions'),
    provision: {
      type: classes.length > 0 ? 'permit' : 'deny',
      period: { start: instant(consent.decidedAt), end: instant(endsAt) },
      actor: [
        { role: coded(`${hl7}/v3-ParticipationType`, 'CST', 'custodian'), reference: { display: record.plan } },
        {
          role: coded(`${hl7}/v3-ParticipationType`, 'IRCP', 'information recipient'),
          reference: {
            identifier: { system: environment.issuer, value: grant.clientId },
            display: `${record.app} (${record.developer})`,
          },
        },
      ],
      action: [
        coded(`${hl7}/consentaction`, 'access', 'Access'),
        coded(`${hl7}/consentaction`, 'disclose', 'Disclose'),
      ],
      purpose: [{ system: `${hl7}/v3-ActReason`, code: 'PATRQT', display: 'patient requested' }],
      ...(classes.length > 0 ? { class: classes } : {}),
      ...(nested.length > 0 ? { provision: nested } : {}),
    },
  }
}
