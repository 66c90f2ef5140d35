/** What a member may choose on the consent page, and what attackers add to it (R22, R23, R25, R29, R31, R34, R35). */
import { DatabaseSync } from 'node:sqlite'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { endOfDay, endOfDuration } from '../../src/members/durations.ts'
import {
  demoApp,
  everythingOn,
  exchange,
  obtainTokens,
  pkce,
  refresh,
  type Walk,
  walk,
  walkToConsent,
} from '../support/authorize.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { formOf, type Page, Visitor } from '../support/visitor.ts'
import { claimsOf } from '../support/wire.ts'

let server: TestServer
const { verifier, challenge } = pkce()
const hour = 3_600_000

beforeAll(async () => {
  server = await startServer({
    change: ({ plans }) => {
      const environment = plans[0]?.environments[0]
      const apps = environment?.demonstration?.apps
      const first = apps?.[0]
      if (!environment || !first) return
      const category = { name: {}, explanation: {}, labels: [{ system: 'x', code: 'GDIS' }] }
      environment.plan.sensitiveCategories.push({ ...category, code: 'genetics', scope: 'sensitive/genetics' })
      apps?.push({ ...first, clientId: 'approved', name: 'Approved', scopes: ['patient/*.rs', 'sensitive/genetics'] })
    },
  })
})
afterAll(() => server.close())

const app = (clientId?: string) => demoApp(server.url, clientId)
const sorted = (scope: string) => scope.split(' ').sort()
const row = (sql: string, ...params: string[]): Record<string, unknown> => {
  const db = new DatabaseSync(`${server.folder}/latchkey.db`, { readOnly: true })
  try {
    return db.prepare(sql).get(...params) ?? {}
  } finally {
    db.close()
  }
}
const lastConsent = () => row('select * from consents order by decided_at desc limit 1')
const grants = () => Number(row('select count(*) as n from grants').n)
const redeem = async (page: Page) => exchange(app(), new URL(page.url).searchParams.get('code') ?? '', verifier)
const checkedOn = (page: Page, name: string) => formOf(page, '/consent').fields.getAll(name)
const consent = (options: Walk = {}) => walkToConsent(app(), challenge, options)

const codes = 'http://terminology.hl7.org/CodeSystem'
const problems = `patient/Condition.rs?category=${codes}/condition-category|problem-list-item`
const lab = `patient/Observation.rs?category=${codes}/observation-category|laboratory`
const vitals = `patient/Observation.rs?category=${codes}/observation-category|vital-signs`

describe('by category (R22)', () => {
  it('one scope for each that is left, in the answer, the JWT and at refresh', async () => {
    const tokens = await obtainTokens(app(), {
      params: { scope: 'offline_access patient/*.rs' },
      consent: {
        type: ['Condition', 'Observation'],
        category: ['Condition/problem-list-item', 'Observation/laboratory', 'Observation/vital-signs'],
      },
    })
    const granted = ['launch/patient', 'offline_access', problems, lab, vitals].sort()
    expect(sorted(tokens.scope)).toEqual(granted)
    expect(sorted(claimsOf(tokens.access_token).scope)).toEqual(granted)
    expect(sorted((await refresh(app(), tokens.refresh_token)).body.scope)).toEqual(granted)
  })

  it('the whole type where all of them are left, as it was asked', async () => {
    const tokens = await obtainTokens(app(), { params: { scope: 'patient/Condition.read patient/Coverage.rs' } })
    expect(sorted(tokens.scope)).toEqual(['launch/patient', 'patient/Condition.read', 'patient/Coverage.rs'])
  })

  it('nothing of a type of which no category is left, and a question where nothing at all is', async () => {
    const params = { scope: 'patient/Condition.rs patient/Coverage.rs' }
    expect(sorted((await obtainTokens(app(), { params, consent: { category: [] } })).scope)).toEqual([
      'launch/patient',
      'patient/Coverage.rs',
    ])
    const { visitor, page } = await consent({ params: { scope: 'patient/Condition.rs' } })
    const again = await visitor.submit(page, '/consent', { category: [] })
    expect(again.status).toBe(400)
    expect(again.html).toContain('Nothing is checked.')
  })

  it('only those that were asked are offered, and no other counts', async () => {
    const { visitor, page } = await consent({ params: { scope: `${lab} patient/Coverage.rs` } })
    expect(page.html).not.toContain('Observation/vital-signs')
    const done = await visitor.submit(page, '/consent', {
      category: ['Observation/laboratory', 'Observation/vital-signs', 'Condition/problem-list-item'],
      type: ['Observation', 'Condition'],
    })
    expect(sorted((await redeem(done)).body.scope)).toEqual(['launch/patient', lab])
  })
})

describe('sensitive records (R25)', () => {
  it('are not released where nobody ticked them', async () => {
    const tokens = await obtainTokens(app())
    expect(claimsOf(tokens.access_token)).not.toHaveProperty('sensitivities')
    expect(JSON.parse(String(lastConsent().sensitivities))).toEqual([])
  })

  it('are released one by one, and a refresh says the same', async () => {
    const tokens = await obtainTokens(app(), { consent: { sensitive: ['hiv', 'mental-health'] } })
    expect([...claimsOf(tokens.access_token).sensitivities].sort()).toEqual(['hiv', 'mental-health'])
    const again = await refresh(app(), tokens.refresh_token)
    expect([...claimsOf(again.body.access_token).sensitivities].sort()).toEqual(['hiv', 'mental-health'])
    expect(JSON.parse(String(lastConsent().sensitivities)).sort()).toEqual(['hiv', 'mental-health'])
  })

  it('are never filled in from the last decision', async () => {
    await walk(app(), challenge, { consent: { sensitive: ['hiv'] } })
    expect(checkedOn((await consent()).page, 'sensitive')).toEqual([])
  })

  it('with a scope of their own are offered only to an app that was approved for it and asks', async () => {
    const scope = 'patient/Coverage.rs sensitive/genetics'
    for (const [clientId, asked] of [
      ['demo-public', scope],
      ['approved', 'patient/Coverage.rs'],
    ] as const) {
      const tokens = await obtainTokens(app(clientId), { params: { scope: asked }, consent: { sensitive: 'genetics' } })
      expect(tokens.scope).not.toContain('sensitive/')
      expect(claimsOf(tokens.access_token)).not.toHaveProperty('sensitivities')
    }
    const released = await obtainTokens(app('approved'), { params: { scope }, consent: { sensitive: 'genetics' } })
    expect(sorted(released.scope)).toEqual(['launch/patient', 'patient/Coverage.rs', 'sensitive/genetics'])
    expect(claimsOf(released.access_token).sensitivities).toEqual(['genetics'])
    const kept = await obtainTokens(app('approved'), { params: { scope } })
    expect(sorted(kept.scope)).toEqual(['launch/patient', 'patient/Coverage.rs'])
  })
})

describe('for how long (R8, R23)', () => {
  const endOf = async (options: Walk) => {
    const tokens = await obtainTokens(app(), options)
    return { tokens, ends: Number(lastConsent().ends_at), told: Date.parse(tokens.grant_expires_at) }
  }

  it.each(['P3M', 'P1Y'])(
    '%s: until the date that the page said, and the app is told it [ASVS 10.7.2]',
    async (duration) => {
      const before = Date.now()
      const { tokens, ends } = await endOf({ consent: { duration } })
      expect(ends).toBeGreaterThanOrEqual(endOfDuration(duration, before))
      expect(ends).toBeLessThan(endOfDuration(duration, Date.now()) + 1)
      expect(tokens.refresh_token).toBeTruthy()
      expect(JSON.parse(String(lastConsent().record)).duration).toBe(duration)
    },
  )

  it('once: within the hour, and no refresh token', async () => {
    const { tokens, ends } = await endOf({ consent: { duration: 'once' } })
    expect(ends - Date.now()).toBeLessThanOrEqual(hour)
    expect(tokens).not.toHaveProperty('refresh_token')
  })

  it('until a day: through its last moment in the plan’s time zone, however it is written', async () => {
    const day = new Date(Date.now() + 100 * 86_400_000).toISOString().slice(0, 10)
    const [year, month, date] = day.split('-')
    for (const until of [day, `${month}/${date}/${year}`])
      expect((await endOf({ consent: { duration: 'date', until } })).ends).toBe(endOfDay(day, 'America/Chicago'))
  })

  it.each([
    ['', 'Choose the last day of sharing.'],
    ['soon', 'We could not read that day.'],
    ['2020-01-01', 'That day is too early.'],
    ['2099-01-01', 'That day is too late.'],
  ])('a day "%s" is asked for again, and nothing is granted or lost meanwhile', async (until, words) => {
    const before = grants()
    const { visitor, page } = await consent()
    const fields = { ...everythingOn(page), type: ['Coverage'], category: [], sensitive: 'hiv' }
    const again = await visitor.submit(page, '/consent', { ...fields, duration: 'date', until })
    expect(again.status).toBe(400)
    expect(again.html).toContain(words)
    expect(grants()).toBe(before)
    expect(checkedOn(again, 'duration')).toEqual(['date'])
    expect(checkedOn(again, 'until')).toEqual([until])
    expect(checkedOn(again, 'sensitive')).toEqual(['hiv'])
    const done = await visitor.submit(again, '/consent', { duration: 'P3M' })
    expect((await redeem(done)).body.scope).toContain('patient/Coverage.rs')
  })

  it.each(['P9Y', '', 'P1D', 'Infinity', 'constructor'])(
    'a duration "%s" that was not offered is none',
    async (duration) => {
      const before = grants()
      const { visitor, page } = await consent()
      const again = await visitor.submit(page, '/consent', { duration })
      expect(again.status).toBe(400)
      expect(again.html).toContain('Choose how long to share.')
      expect(grants()).toBe(before)
    },
  )
})

describe('the last decision (R29)', () => {
  it('is filled in, with its date, and what is replaced is said', async () => {
    const visitor = new Visitor()
    await walk(app(), challenge, {
      visitor,
      member: 'david',
      patient: 'Lucy',
      consent: { type: ['Coverage', 'Condition'], category: 'Condition/problem-list-item', duration: 'P3M' },
    })
    const { page } = await consent({ visitor, patient: 'Lucy' })
    expect(checkedOn(page, 'category')).toEqual(['Condition/problem-list-item'])
    expect(page.html).toMatch(/name="type" value="Coverage" checked/)
    expect(page.html).toMatch(/name="type" value="Procedure">/)
    expect(checkedOn(page, 'duration')).toEqual(['P3M'])
    expect(page.html).toContain('We filled in the same choices.')
    expect(page.html).toContain('your new choices replace the old ones')
    const other = await consent({ visitor, patient: 'Elena' })
    expect(other.page.html).not.toContain('We filled in')
    expect(other.page.html).not.toContain('replace the old ones')
  })

  it('fills in nothing where it was to deny, and presses nobody', async () => {
    const { visitor, page } = await consent({ member: 'david', patient: 'Elena' })
    await visitor.submit(page, '/deny')
    const again = await consent({ visitor, patient: 'Elena' })
    expect(checkedOn(again.page, 'duration')).toEqual(['P1Y'])
    expect(again.page.html).not.toMatch(/name="(?:resource|category)" value="[^"]*">\s*<span>/)
    expect(again.page.html).not.toContain('We filled in')
  })
})

describe('a page counts as it was shown', () => {
  it('a form without its page, or with one that was never shown, shows the page again', async () => {
    for (const shown of [null, '', 'x'.repeat(43), '../x', 'a\0b']) {
      const before = grants()
      const { visitor, page } = await consent()
      const again = await visitor.submit(page, '/consent', { shown })
      expect(again.status).toBe(200)
      expect(again.html).toContain('name="duration"')
      expect(grants()).toBe(before)
    }
  })

  it('the page of another patient is no page of this one', async () => {
    const visitor = new Visitor()
    const lucy = await consent({ visitor, member: 'david', patient: 'Lucy' })
    const elena = await consent({ visitor, patient: 'Elena' })
    const shown = formOf(lucy.page, '/consent').fields.get('shown') ?? ''
    const before = grants()
    expect((await visitor.submit(elena.page, '/consent', { shown })).status).toBe(200)
    expect(grants()).toBe(before)
  })

  it('the record of a decision says which text it was, of which release and words (R35)', async () => {
    const visitor = new Visitor('es')
    await walk(app(), challenge, { visitor, member: 'david', patient: 'Lucy' })
    const { text_version, text_hash, language, record } = lastConsent()
    expect(text_version).toMatch(/^\d+\.\d+\.\d+\+es\.[\w-]{12}$/)
    expect(text_hash).toMatch(/^[\w-]{43}$/)
    expect(language).toBe('es')
    expect(JSON.parse(String(record))).toMatchObject({
      v: 1,
      plan: 'Prairie Health Plan',
      app: 'Prairie Sandbox Viewer',
      member: 'David Okafor',
      patient: 'Lucy Okafor',
      relation: 'parent',
      language: 'es',
    })
    const shown = row("select details from audit where type = 'consent.shown' order by sequence desc limit 1")
    expect(JSON.parse(String(shown.details))).toMatchObject({ textHash: text_hash, textVersion: text_version })
  })

  it('a refusal is recorded with what was shown, too', async () => {
    const { visitor, page } = await consent()
    await visitor.submit(page, '/deny')
    expect(lastConsent()).toMatchObject({ decision: 'denied', text_version: expect.stringContaining('+en.') })
  })
})

describe('a switch of language (R31)', () => {
  const change = (visitor: Visitor, page: Page, fields: Record<string, string | string[] | null> = {}) => {
    const form = formOf(page, '/consent')
    for (const [name, value] of Object.entries(fields)) {
      form.fields.delete(name)
      for (const each of value === null ? [] : [value].flat()) form.fields.append(name, each)
    }
    const headers = { 'sec-fetch-site': 'same-origin' }
    return visitor.open(`${form.action}/language`, { method: 'POST', body: form.fields, headers })
  }

  it('keeps everything that was ticked and chosen, and decides nothing', async () => {
    const before = grants()
    const { visitor, page } = await consent()
    const chosen = { type: ['Coverage', 'Condition'], category: 'Condition/health-concern', sensitive: ['hiv'] }
    const spanish = await change(visitor, page, { ...chosen, duration: 'date', until: '12/31/2027', language: 'es' })
    expect(spanish.status).toBe(200)
    expect(spanish.html).toContain('<html lang="es">')
    expect(checkedOn(spanish, 'category')).toEqual(['Condition/health-concern'])
    expect(checkedOn(spanish, 'sensitive')).toEqual(['hiv'])
    expect(checkedOn(spanish, 'duration')).toEqual(['date'])
    expect(checkedOn(spanish, 'until')).toEqual(['2027-12-31'])
    expect(spanish.html).toMatch(/name="type" value="Coverage" checked/)
    expect(spanish.html).toMatch(/name="type" value="Procedure">/)
    expect(grants()).toBe(before)
    const done = await visitor.submit(spanish, '/consent')
    expect(new URL(done.url).searchParams.has('code')).toBe(true)
    expect(lastConsent().language).toBe('es')
  })

  it('keeps an empty page empty, and a language that there is not changes nothing', async () => {
    const { visitor, page } = await consent()
    const none = await change(visitor, page, { type: [], category: [], language: '../../etc' })
    expect(none.html).toContain('<html lang="en">')
    expect(none.html).not.toContain('role="alert"')
    expect(none.html).not.toMatch(/name="(?:resource|category)" value="[^"]*" checked/)
  })

  it('is refused from another page, or another authorization’s', async () => {
    const { visitor, page } = await consent()
    expect((await change(visitor, page, { csrf: 'x', language: 'es' })).status).toBe(403)
    const other = await consent({ visitor })
    const csrf = formOf(other.page, '/consent').fields.get('csrf') ?? ''
    expect((await change(visitor, page, { csrf, language: 'es' })).status).toBe(403)
    const { action, fields } = formOf(page, '/consent')
    const elsewhere = await visitor.send(`${action}/language`, {
      method: 'POST',
      body: fields,
      headers: { 'sec-fetch-site': 'cross-site' },
    })
    expect(elsewhere.status).toBe(403)
  })
})
