/** What a member decides is what an app gets (R7, R21 to R23, R26, R27, R32), and it is kept with what was shown (R35). */
import { DatabaseSync } from 'node:sqlite'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { verifyChain } from '../../src/audit/chain.ts'
import type { AuditRow } from '../../src/storage/tables.ts'
import {
  authorizationUrl,
  demoApp,
  exchange,
  obtainTokens,
  password,
  pkce,
  refresh,
  walk,
  walkToConsent,
} from '../support/authorize.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { formOf, type Page, Visitor } from '../support/visitor.ts'
import { claimsOf } from '../support/wire.ts'

let server: TestServer
const { verifier, challenge } = pkce()

beforeAll(async () => {
  server = await startServer()
})
afterAll(() => server.close())

const app = () => demoApp(server.url)
const sorted = (scope: string) => scope.split(' ').sort()

const rows = (sql: string, ...params: string[]): Record<string, unknown>[] => {
  const db = new DatabaseSync(`${server.folder}/latchkey.db`, { readOnly: true })
  try {
    return db.prepare(sql).all(...params)
  } finally {
    db.close()
  }
}
const count = (table: string): number => Number(rows(`select count(*) as n from ${table}`)[0]?.n)

const redeem = async (page: Page) => exchange(app(), new URL(page.url).searchParams.get('code') ?? '', verifier)

describe('the granted scopes are exactly what was left ticked', () => {
  it('a resource type that is unticked is gone, in the answer, the JWT and at refresh (R22)', async () => {
    const tokens = await obtainTokens(app(), {
      params: { scope: 'openid offline_access patient/Coverage.rs patient/Patient.read patient/Observation.rs' },
      consent: { type: ['Coverage', 'Patient'] },
    })
    const granted = ['launch/patient', 'offline_access', 'openid', 'patient/Coverage.rs', 'patient/Patient.read']
    expect(sorted(tokens.scope)).toEqual(granted)
    expect(sorted(claimsOf(tokens.access_token).scope)).toEqual(granted)
    expect(sorted((await refresh(app(), tokens.refresh_token)).body.scope)).toEqual(granted)
  })

  it('a wildcard that was narrowed names what is left, type by type (R26)', async () => {
    const tokens = await obtainTokens(app(), {
      params: { scope: 'patient/*.rs' },
      consent: { type: ['Coverage', 'ExplanationOfBenefit'] },
    })
    expect(sorted(tokens.scope)).toEqual(['launch/patient', 'patient/Coverage.rs', 'patient/ExplanationOfBenefit.rs'])
  })

  it('a wildcard that was accepted whole stays one', async () => {
    expect(sorted((await obtainTokens(app(), { params: { scope: 'patient/*.read' } })).scope)).toContain(
      'patient/*.read',
    )
  })

  it('offline access refused: shared once, and no refresh token (R23)', async () => {
    const tokens = await obtainTokens(app(), { consent: { duration: 'once' } })
    expect(tokens).not.toHaveProperty('refresh_token')
    expect(sorted(tokens.scope)).not.toContain('offline_access')
  })

  it.each([
    ['a resource type that the app did not ask for', { type: ['Coverage', 'Observation', 'Patient'] }],
    ['a type that does not exist', { type: ['Coverage', 'Everything', '*', '__proto__', '<script>'] }],
    ['a whole scope in place of a type', { type: ['Coverage', 'patient/*.cruds', 'Coverage.cruds'] }],
    ['a category of it', { type: ['Coverage', 'Observation'], category: ['Observation/laboratory'] }],
    ['a sensitive category by hand', { type: 'Coverage', sensitive: ['genetics', 'sensitive/hiv', '*'] }],
    ['a duration by hand', { type: 'Coverage', duration: 'P1Y', until: '2027-01-01', offline: 'yes' }],
    ['fields that there are not', { type: 'Coverage', scope: 'patient/*.cruds', client_id: 'x', patient: 'david' }],
  ])('%s is ignored when it is added to the form', async (_what, consent) => {
    const tokens = await obtainTokens(app(), { params: { scope: 'patient/Coverage.rs' }, consent })
    expect(sorted(tokens.scope)).toEqual(['launch/patient', 'patient/Coverage.rs'])
    expect(tokens).not.toHaveProperty('refresh_token')
    expect(tokens.patient).toBe('maria')
  })

  it('nothing ticked asks again, and grants nothing meanwhile', async () => {
    const before = count('grants')
    const { visitor, page } = await walkToConsent(app(), challenge)
    const again = await visitor.submit(page, '/consent', { type: [] })
    expect(again.status).toBe(400)
    expect(again.html).toContain('id="fault"')
    expect(count('grants')).toBe(before)
    const done = await visitor.submit(again, '/consent', { type: 'Coverage' })
    expect((await redeem(done)).body.scope).toContain('patient/Coverage.rs')
  })

  it('a doubled single field, too many boxes or a monster of a value is refused with a page', async () => {
    const wrong: Record<string, string | string[]>[] = [
      { duration: ['once', 'P1Y'] },
      { until: ['2027-01-01', '2027-01-02'] },
      { shown: ['a', 'b'] },
      { category: 'x'.repeat(5000) },
      { sensitive: Array.from({ length: 300 }, (_, i) => `s${i}`) },
      { type: Array.from({ length: 300 }, (_, i) => `R${i}`) },
      { type: 'x'.repeat(5000) },
    ]
    for (const fields of wrong) {
      const { visitor, page } = await walkToConsent(app(), challenge)
      const answer = await visitor.submit(page, '/consent', fields)
      expect(answer.status).toBe(400)
      expect(answer.html).toContain(answer.headers.get('x-request-id'))
    }
  })
})

describe('refusing is as easy (R27)', () => {
  it('Deny goes back with access_denied, state and iss, and grants nothing', async () => {
    const before = count('grants')
    const { visitor, page } = await walkToConsent(app(), challenge)
    const { searchParams } = new URL((await visitor.submit(page, '/deny')).url)
    expect(Object.fromEntries(searchParams)).toEqual({
      error: 'access_denied',
      error_description: 'The member decided not to share.',
      state: 'a-state-of-the-app',
      iss: app().issuer,
    })
    expect(count('grants')).toBe(before)
    expect(rows('select decision from consents order by decided_at desc limit 1')[0]?.decision).toBe('denied')
  })

  it('also before signing in', async () => {
    const visitor = new Visitor()
    const page = await visitor.open(authorizationUrl(app(), challenge))
    expect(new URL((await visitor.submit(page, '/deny')).url).searchParams.get('error')).toBe('access_denied')
  })

  it('a member without coverage is told so at once, and one button goes back (developers’ rule 13)', async () => {
    const { visitor, page } = await walkToConsent(app(), challenge, { member: 'noor' })
    expect(page.status).toBe(200)
    expect(page.html).not.toContain('name="type"')
    const { searchParams } = new URL((await visitor.submit(page, '/deny')).url)
    expect(searchParams.get('error')).toBe('access_denied')
    expect(searchParams.get('error_description')).toContain('no_coverage')
    expect(rows("select type from audit where type = 'access.no-coverage'")).not.toHaveLength(0)
  })
})

describe('a decision is made once', () => {
  it('the form sent twice at once makes one grant, one consent and one letter, and both answers lead on', async () => {
    const { visitor, page } = await walkToConsent(app(), challenge)
    const before = [count('grants'), count('consents'), count('letters')]
    const { action, fields } = formOf(page, '/consent')
    const send = () =>
      visitor.send(action, { method: 'POST', body: fields, headers: { 'sec-fetch-site': 'same-origin' } })
    const answers = await Promise.all([send(), send(), send()])
    expect([count('grants'), count('consents'), count('letters')]).toEqual(before.map((n) => n + 1))
    expect(answers.map(({ status }) => status)).toEqual([303, 303, 303])
    const done = await visitor.open(new URL(answers[2]?.headers.get('location') ?? '', server.url).href)
    expect((await redeem(done)).status).toBe(200)
  })

  it('the form sent again after the browser came back shares nothing more', async () => {
    const { visitor, page } = await walkToConsent(app(), challenge)
    await visitor.submit(page, '/consent')
    const before = [count('grants'), count('consents'), count('letters')]
    for (const action of ['/consent', '/deny', '/switch']) {
      const again = await visitor.submit(page, action)
      expect([400, 409]).toContain(again.status)
      expect(again.html).toContain(again.headers.get('x-request-id'))
    }
    expect([count('grants'), count('consents'), count('letters')]).toEqual(before)
  })

  it('the way back, taken twice, brings one code', async () => {
    const { visitor, page } = await walkToConsent(app(), challenge)
    const { action, fields } = formOf(page, '/consent')
    const answer = await visitor.send(action, { method: 'POST', body: fields })
    const resume = new URL(answer.headers.get('location') ?? '', server.url).href
    const [first, second] = [await visitor.send(resume), await visitor.send(resume)]
    expect(first.headers.get('location')).toContain('code=')
    expect(second.headers.get('location')).toBeNull()
    expect(second.status).toBe(400)
  })

  it('two tabs of one browser are two authorizations, each with its own decision', async () => {
    const visitor = new Visitor()
    const one = await walkToConsent(app(), challenge, { visitor, member: 'david', patient: 'Lucy' })
    const two = await walkToConsent(app(), challenge, { visitor, patient: 'Elena' })
    const second = await redeem(await visitor.submit(two.page, '/consent', { type: 'Coverage' }))
    const first = await redeem(await visitor.submit(one.page, '/consent', { type: 'Patient' }))
    expect(first.body).toMatchObject({ patient: 'lucy', scope: expect.stringContaining('patient/Patient.rs') })
    expect(second.body).toMatchObject({ patient: 'elena', scope: expect.stringContaining('patient/Coverage.rs') })
  })
})

describe('what is kept of it', () => {
  it('a letter tells the member of the new connection, and holds no health data (R28)', async () => {
    const before = count('letters')
    await walk(app(), challenge, { member: 'david', patient: 'Lucy' })
    expect(count('letters')).toBe(before + 1)
    const [letter] = rows('select recipient, subject, body from letters order by created_at desc limit 1')
    expect(letter?.recipient).toBe('david@example.org')
    expect(letter?.body).toContain('Prairie Sandbox Viewer')
    expect(letter?.body).not.toMatch(/Observation|Condition|Coverage|lucy\b/)
  })

  it('the consent is kept with the hash of what was shown, the language and both scopes', async () => {
    const visitor = new Visitor('es')
    await walk(app(), challenge, {
      visitor,
      params: { scope: 'patient/Coverage.rs patient/Patient.rs' },
      consent: { type: 'Coverage' },
    })
    const [consent] = rows('select * from consents order by decided_at desc limit 1')
    expect(consent).toMatchObject({
      decision: 'shared',
      language: 'es',
      text_hash: expect.stringMatching(/^[\w-]{43}$/),
    })
    expect(consent?.requested_scope).toContain('patient/Patient.rs')
    expect(sorted(String(consent?.granted_scope))).toEqual(['launch/patient', 'patient/Coverage.rs'])
  })

  it('each step of the walk is in the audit, and the chain holds (R35)', async () => {
    const tokens = await obtainTokens(app(), { member: 'david', patient: 'Elena' })
    await refresh(app(), tokens.refresh_token)
    const { grant_id } = claimsOf(tokens.access_token)
    const trail = rows('select * from audit order by writer, sequence') as unknown as AuditRow[]
    const types = trail.map(({ type }) => type)
    for (const type of ['member.signed-in', 'consent.shown', 'consent.shared', 'token.issued', 'token.refreshed'])
      expect(types).toContain(type)
    const ofGrant = trail.filter((row) => row.grant_id === grant_id)
    expect(ofGrant.map(({ type }) => type)).toEqual([
      'consent.shared',
      'code.issued',
      'token.issued',
      'token.refreshed',
    ])
    for (const row of ofGrant) expect(row).toMatchObject({ issuer: 'prairie/sandbox', plan: 'prairie' })
    expect((await verifyChain(trail)).breaks).toEqual([])
    const text = JSON.stringify(trail)
    for (const secret of [tokens.access_token, tokens.refresh_token, password]) expect(text).not.toContain(secret)
  })
})
