/** The receipt of a decision: the elements of 42 CFR 2.31 as a page, and a FHIR R4 Consent (R28, R35). */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { type App, demoApp, obtainTokens } from '../support/authorize.ts'
import { connectionLinks, textOf, visitPages } from '../support/member-pages.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { formOf, type Page, Visitor } from '../support/visitor.ts'

let server: TestServer
beforeAll(async () => {
  server = await startServer()
})
afterAll(() => server.close())

const app = (): App => demoApp(server.url)

const share = async (member: string, more: Parameters<typeof obtainTokens>[1] = {}) => {
  await obtainTokens(app(), { member, ...more })
  const { visitor, page } = await visitPages(app().issuer, member)
  const links = connectionLinks(page)
  for (const link of links) {
    const seen = await visitor.open(link)
    if (!more.patient || textOf(seen).includes(`Records of ${more.patient}`)) return { visitor, link }
  }
  throw new Error('no connection')
}

const receiptOf = async (visitor: Visitor, link: string): Promise<{ page: Page; consent: Consent }> => {
  const { headers, html, status } = await visitor.open(`${link}/receipt.json`)
  expect(status).toBe(200)
  expect(headers.get('content-type')).toMatch(/^application\/fhir\+json/)
  const consent = consentShape.parse(JSON.parse(html))
  expect(headers.get('content-disposition')).toBe(`attachment; filename="consent-${consent.id}.json"`)
  return { page: await visitor.open(`${link}/receipt`), consent }
}

const coding = z.strictObject({ system: z.url().optional(), code: z.string().min(1), display: z.string().optional() })
const concept = z
  .strictObject({ coding: z.array(coding).min(1).optional(), text: z.string().optional() })
  .refine((value) => value.coding ?? value.text, 'a code or a text')
const instant = z.string().regex(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/)
const reference = z
  .strictObject({
    reference: z.string().optional(),
    type: z.string().optional(),
    identifier: z.strictObject({ system: z.url(), value: z.string() }).optional(),
    display: z.string().optional(),
  })
  // `ref-1` and the type's own sense: it must name something.
  .refine((value) => value.reference ?? value.identifier ?? value.display, 'names nothing')
const provisionParts = {
  type: z.enum(['deny', 'permit']),
  period: z.strictObject({ start: instant, end: instant }).optional(),
  actor: z.array(z.strictObject({ role: concept, reference })).optional(),
  action: z.array(concept).optional(),
  securityLabel: z.array(coding).min(1).optional(),
  purpose: z.array(coding).optional(),
  class: z.array(coding).min(1).optional(),
  code: z.array(concept).min(1).optional(),
}
/** Consent of FHIR R4 (4.0.1), strict: an element that R4 does not have is a fault, as is an empty list. */
const consentShape = z
  .strictObject({
    resourceType: z.literal('Consent'),
    id: z.string().regex(/^[A-Za-z0-9\-.]{1,64}$/),
    meta: z.strictObject({ lastUpdated: instant }),
    language: z.string(),
    text: z.strictObject({
      status: z.literal('generated'),
      div: z.string().regex(/^<div xmlns="http:\/\/www\.w3\.org\/1999\/xhtml">.+<\/div>$/s),
    }),
    identifier: z.array(z.strictObject({ system: z.url().or(z.string()), value: z.string() })),
    status: z.enum(['draft', 'proposed', 'active', 'rejected', 'inactive', 'entered-in-error']),
    scope: concept,
    category: z.array(concept).min(1),
    patient: reference,
    dateTime: instant,
    performer: z.array(reference),
    organization: z.array(reference),
    sourceAttachment: z.strictObject({ contentType: z.string(), language: z.string(), url: z.url() }),
    policyRule: concept,
    provision: z.strictObject({
      ...provisionParts,
      provision: z
        .array(
          z.strictObject({
            ...provisionParts,
            provision: z.array(z.strictObject(provisionParts)).min(1).optional(),
          }),
        )
        .min(1)
        .optional(),
    }),
  })
  // `ppc-1`, `ppc-2` and `ppc-4` ask for a policy, and for a patient where the scope is privacy; both are required above.
  .refine(({ scope }) => scope.coding?.[0]?.code === 'patient-privacy')
type Consent = z.infer<typeof consentShape>

describe('the page', () => {
  it('has every element of 42 CFR 2.31', async () => {
    const { visitor, link } = await share('maria')
    const { page } = await receiptOf(visitor, link)
    const text = textOf(page)
    for (const element of [
      /Whose records Maria Alvarez/,
      /Who sends them Prairie Health Plan \(.+\)/,
      /Who gets them Prairie Sandbox Viewer, made by Latchkey demonstrations/,
      /Why At your own request/,
      /Ends \w+ \d+, \d{4}/,
      /What is shared .*Claims and costs ExplanationOfBenefit/,
      /Sensitive records/,
      /take this consent back at any time/,
      /1-800-\d{3}-\d{4}/,
      /may pass the records on to others/,
      /do not depend on this consent/,
      /Signed by Maria Alvarez When \w+ \d+, \d{4}.*How Signed in to Prairie Health Plan with user name and password/,
      /Version: \d+\.\d+\.\d+\S*\. Fingerprint/,
    ])
      expect(text).toMatch(element)
    expect(page.html).toContain(new URL(link).pathname)
  })

  it('names the delegate who signed, and for whom (R34)', async () => {
    const { visitor, link } = await share('david', { patient: 'Lucy' })
    const { page, consent } = await receiptOf(visitor, link)
    expect(textOf(page)).toMatch(/Whose records Lucy Okafor/)
    expect(textOf(page)).toMatch(/Signed by David Okafor, for Lucy Okafor \(parent\)/)
    expect(consent.patient).toEqual({ reference: `${app().fhirBase}/Patient/lucy`, display: 'Lucy Okafor' })
    expect(consent.performer).toEqual([
      { reference: `${app().fhirBase}/RelatedPerson/david-lucy`, display: 'David Okafor' },
    ])
  })

  it('names the language of the decision, in whatever language it is read later (R31)', async () => {
    const { visitor, link } = await share('maria')
    const page = await visitor.open(`${link}/receipt?lang=es`)
    expect(textOf(page)).toContain('Comprobante de su decisión')
    expect(textOf(page)).toContain('Idioma: English.')
  })

  it('says what was decided, and what came after', async () => {
    const { visitor, link } = await share('maria', { consent: { duration: 'P3M' } })
    const narrow = await visitor.open(`${link}/narrow`)
    const resources = formOf(narrow, '/narrow').fields.getAll('type')
    await visitor.submit(narrow, '/narrow', { type: resources.filter((type) => type !== 'Coverage') })
    await visitor.submit(await visitor.open(link), '/end')
    const { page, consent } = await receiptOf(visitor, link)
    expect(textOf(page), 'what was decided').toContain('Health coverage Coverage')
    expect(textOf(page)).toMatch(/What changed since .*You stopped sharing.*You chose to share less\./)
    expect(consent.status).toBe('inactive')
  })

  it('is in Spanish for whoever reads Spanish', async () => {
    const { visitor, link } = await share('maria')
    const page = await visitor.open(`${link}/receipt?lang=es`)
    expect(textOf(page)).toMatch(/Comprobante de su decisión.*Firmado por Maria Alvarez/)
  })
})

describe('the FHIR Consent', () => {
  it('says who, what, why, until when and in which API’s sense', async () => {
    const { visitor, link } = await share('maria')
    const { consent } = await receiptOf(visitor, link)
    expect(consent.status).toBe('active')
    expect(consent.category.map(({ coding }) => coding?.[0]?.code)).toEqual(['59284-0', 'patient-access'])
    expect(consent.provision.purpose?.[0]?.code).toBe('PATRQT')
    const [custodian, recipient] = consent.provision.actor ?? []
    expect(custodian).toMatchObject({
      role: { coding: [{ code: 'CST' }] },
      reference: { display: 'Prairie Health Plan' },
    })
    expect(recipient).toMatchObject({
      role: { coding: [{ code: 'IRCP' }] },
      reference: { identifier: { system: app().issuer, value: 'demo-public' } },
    })
    const { start, end } = consent.provision.period ?? { start: '', end: '' }
    expect(start).toBe(consent.dateTime)
    expect(Date.parse(end)).toBeGreaterThan(Date.now())
    expect(consent.provision.class?.map(({ code }) => code)).toEqual(
      expect.arrayContaining(['Coverage', 'Observation']),
    )
  })

  it('denies by their labels the sensitive records that were not released (R25)', async () => {
    const { visitor, link } = await share('maria')
    const { consent } = await receiptOf(visitor, link)
    const { plan } = server.settings.plans.flatMap(({ environments }) => environments)[0] ?? {}
    const labels = (consent.provision.provision ?? [])
      .filter(({ type }) => type === 'deny')
      .flatMap(({ securityLabel }) => securityLabel ?? [])
    expect(labels.length).toBeGreaterThan(0)
    expect(labels).toEqual(plan?.sensitiveCategories.flatMap((category) => category.labels))
  })

  it('says what is in force: what was narrowed away is not in it, and a category is told by its code', async () => {
    const { visitor, link } = await share('maria')
    const narrow = await visitor.open(`${link}/narrow`)
    const { fields } = formOf(narrow, '/narrow')
    await visitor.submit(narrow, '/narrow', {
      type: fields.getAll('type').filter((type) => type !== 'Coverage'),
      category: fields.getAll('category').filter((value) => value !== 'Observation/laboratory'),
    })
    const { consent } = await receiptOf(visitor, link)
    const classes = consent.provision.class?.map(({ code }) => code)
    expect(classes).not.toContain('Coverage')
    const part = consent.provision.provision?.find((each) => each.class?.[0]?.code === 'Observation')
    expect(part?.type, 'all of the type but').toBe('deny')
    expect(part?.provision?.map(({ type, class: about }) => [type, about?.[0]?.code])).toEqual([
      ['permit', 'Observation'],
    ])
    const codes = part?.provision?.[0]?.code?.map(({ coding }) => coding?.[0]?.code)
    expect(codes).toContain('vital-signs')
    expect(codes).not.toContain('laboratory')
    expect(Date.parse(consent.meta.lastUpdated)).toBeGreaterThan(Date.parse(consent.dateTime))
  })

  it('permits no more than what is shared where no type is shared whole, or no record at all', async () => {
    const visitor = new Visitor()
    const receiptOfNext = async (params: Record<string, string>, consent: Record<string, string | string[]>) => {
      await obtainTokens(app(), { visitor, member: 'maria', params, consent })
      return receiptOf(visitor, connectionLinks(await visitor.open(`${app().issuer}/connections`))[0] ?? '')
    }
    const lab = await receiptOfNext(
      { scope: 'patient/*.rs' },
      { type: 'Observation', category: 'Observation/laboratory' },
    )
    expect(lab.consent.provision).toMatchObject({ type: 'permit', class: [{ code: 'Observation' }] })
    const limited = await receiptOfNext({ scope: 'patient/Coverage.rs?status=active' }, {})
    expect(limited.consent.provision.class?.map(({ code }) => code)).toEqual(['Coverage'])
    expect(limited.consent.provision.provision?.[0]).toMatchObject({
      type: 'deny',
      provision: [{ type: 'permit', code: [{ text: 'status: active' }] }],
    })
    const nothing = await receiptOfNext({ scope: 'openid fhirUser' }, {})
    expect(nothing.consent.provision).toMatchObject({ type: 'deny' })
    expect(nothing.consent.provision).not.toHaveProperty('class')
  })

  it('is inactive once it has ended', async () => {
    const { visitor, link } = await share('maria')
    await visitor.submit(await visitor.open(link), '/end')
    expect((await receiptOf(visitor, link)).consent.status).toBe('inactive')
  })

  it.each(['?of=', '?of=01890000-0000-7000-8000-000000000000', "?of='%20or%201=1--"])(
    'there is none for %s',
    async (query) => {
      const { visitor, link } = await share('maria')
      for (const path of ['/receipt', '/receipt.json'])
        expect((await visitor.open(link + path + query)).status).toBe(404)
    },
  )
})
