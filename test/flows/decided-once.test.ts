/** One authorization, one decision, whatever other windows show; and a page that was open for long (R23, R27, R35). */
import { DatabaseSync } from 'node:sqlite'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  authorizationUrl,
  demoApp,
  everythingOn,
  exchange,
  pkce,
  refresh,
  type Walk,
  walkToConsent,
} from '../support/authorize.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { formOf, type Page, Visitor } from '../support/visitor.ts'

const minute = 60_000
const onceMinutes = 10
/** How far the server's clock is behind. */
let behind = 0
/** The first full hour of the last hour and a half: midnight where the plan is. */
const midnight = Math.ceil((Date.now() - 90 * minute) / (60 * minute))
const hours = midnight % 24
let server: TestServer
beforeAll(async () => {
  server = await startServer({
    now: () => Date.now() - behind,
    change: ({ consent, plans }) => {
      consent.onceMinutes = onceMinutes
      const [plan] = plans
      // `Etc/GMT+5` is five hours behind.
      if (plan) plan.timeZone = hours <= 12 ? `Etc/GMT+${hours}` : `Etc/GMT-${24 - hours}`
    },
  })
})
afterAll(() => server.close())

const { verifier, challenge } = pkce()
const app = (clientId?: string) => demoApp(server.url, clientId)
const rows = (sql: string): Record<string, unknown>[] => {
  const db = new DatabaseSync(`${server.folder}/latchkey.db`, { readOnly: true })
  try {
    return db.prepare(sql).all()
  } finally {
    db.close()
  }
}
const audited = () => rows('select type, details, member_id from audit order by sequence')
const counted = (table: 'consents' | 'grants') => Number(rows(`select count(*) as n from ${table}`)[0]?.n)
const queryOf = ({ url }: Page) => new URL(url).searchParams

/** Presses a button of a page, and does not go on to the app yet. */
const press = async (visitor: Visitor, page: Page, action: string, more: Record<string, string | string[]> = {}) => {
  const form = formOf(page, action)
  for (const [name, value] of Object.entries(more)) {
    form.fields.delete(name)
    for (const each of [value].flat()) form.fields.append(name, each)
  }
  const headers = { 'sec-fetch-site': 'same-origin' }
  const answer = await visitor.send(form.action, { method: 'POST', body: form.fields, headers })
  return new URL(answer.headers.get('location') ?? '', server.url).href
}

describe('in two windows', () => {
  it.each([
    ['turning back at the warning', 'demo-declined', 'warning', '/leave', {}],
    ['turning back at the choice of person', 'demo-public', 'patient', '/deny', { member: 'david', patient: 'Lucy' }],
  ] as const)('%s takes back nothing that was shared', async (_, clientId, path, action, who: Walk) => {
    const { visitor, page } = await walkToConsent(app(clientId), challenge, who)
    const other = await visitor.open(`${page.url.replace(/\/(?:warning|patient)$/, '')}/${path}`)
    const onward = await press(visitor, page, '/consent', everythingOn(page))
    const before = audited().length
    expect(await press(visitor, other, action)).toBe(onward)
    expect(audited().slice(before)).toEqual([])
    const code = queryOf(await visitor.open(onward)).get('code') ?? ''
    expect((await exchange(app(clientId), code, verifier)).status).toBe(200)
  })

  it('sharing takes back no turning back', async () => {
    const { visitor, page } = await walkToConsent(app('demo-declined'), challenge)
    const warning = await visitor.open(`${page.url}/warning`)
    const before = counted('grants')
    const onward = await press(visitor, warning, '/leave')
    expect(await press(visitor, page, '/consent', everythingOn(page))).toBe(onward)
    expect(counted('grants')).toBe(before)
    expect(queryOf(await visitor.open(onward)).get('error')).toBe('access_denied')
  })
})

describe('turning back before there is anything to decide', () => {
  it('is recorded of a member, with the step and nothing else (R35)', async () => {
    const { visitor, page } = await walkToConsent(app(), challenge, { member: 'david', patient: 'Lucy' })
    const picker = await visitor.open(`${page.url}/patient`)
    const [before, consents] = [audited().length, counted('consents')]
    expect(queryOf(await visitor.submit(picker, '/deny')).get('error')).toBe('access_denied')
    const [left, ...more] = audited().slice(before)
    expect(more).toEqual([])
    expect(left).toMatchObject({ type: 'access.left', member_id: expect.any(String) })
    expect(JSON.parse(String(left?.details))).toEqual({ step: 'consent', v: 1 })
    expect(counted('consents')).toBe(consents)
  })

  it('is nobody’s where nobody signed in', async () => {
    const visitor = new Visitor()
    const page = await visitor.open(authorizationUrl(app(), challenge))
    const before = audited().length
    expect(queryOf(await visitor.submit(page, '/deny')).get('error')).toBe('access_denied')
    expect(audited().slice(before)).toEqual([])
  })
})

describe('an app that wants the member to sign in again', () => {
  it('gets nobody to the choice of person by the session that was there', async () => {
    const { visitor } = await walkToConsent(app(), challenge, { member: 'david', patient: 'Lucy' })
    const page = await visitor.open(authorizationUrl(app(), challenge, { prompt: 'login' }))
    const picker = await visitor.open(`${page.url}/patient`)
    expect(picker.html).toContain('name="password"')
    expect(picker.html).not.toContain('Lucy')
  })
})

describe('sharing once (R23)', () => {
  /** The answer to a page that has been open for so many minutes. */
  const answered = async (minutes: number, duration: string) => {
    const { visitor, page } = await walkToConsent(app(), challenge)
    behind = minutes * minute
    const old = await visitor.open(page.url)
    behind = 0
    return { visitor, done: await visitor.submit(old, '/consent', { ...everythingOn(old), duration }) }
  }

  it('begins when it is agreed to, however long the page was read', async () => {
    const from = Date.now()
    const { done } = await answered(2 * onceMinutes, 'once')
    const { status, body } = await exchange(app(), queryOf(done).get('code') ?? '', verifier)
    expect(status).toBe(200)
    expect(body).not.toHaveProperty('refresh_token')
    const [{ ends_at: end } = {}] = rows('select ends_at from consents order by decided_at desc limit 1')
    expect(Number(end)).toBeGreaterThanOrEqual(from + onceMinutes * minute)
    expect(Number(end)).toBeLessThanOrEqual(Date.now() + onceMinutes * minute)
  })

  it('on another day than the page said is asked again, with everything as it was', async () => {
    const before = counted('grants')
    const { visitor, done } = await answered(100, 'once')
    expect(done.status).toBe(200)
    expect(formOf(done, '/consent').fields.get('duration')).toBe('once')
    expect(counted('grants')).toBe(before)
    const again = await visitor.submit(done, '/consent')
    expect((await exchange(app(), queryOf(again).get('code') ?? '', verifier)).status).toBe(200)
  })

  it('is all that this is about: a longer time is that of the page', async () => {
    const { done } = await answered(100, 'P3M')
    const { body } = await exchange(app(), queryOf(done).get('code') ?? '', verifier)
    expect((await refresh(app(), body.refresh_token)).status).toBe(200)
  })
})
