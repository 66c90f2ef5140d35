/**
 * The warning before consent, where the people behind an app did not answer the plan's questions (R24): shown to each member once per
 * authorization, passed or not as they wish, written down either way, and never a block (R17).
 */
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { authorizationUrl, demoApp, exchange, obtainTokens, password, pkce, refresh } from '../support/authorize.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { formOf, type Page, Visitor } from '../support/visitor.ts'

let server: TestServer
const { verifier, challenge } = pkce()
const day = 86_400_000

const database = <T>(work: (db: DatabaseSync) => T): T => {
  const db = new DatabaseSync(join(server.folder, 'latchkey.db'), { timeout: 5000 })
  try {
    return work(db)
  } finally {
    db.close()
  }
}
const rows = (sql: string, ...params: string[]) => database((db) => db.prepare(sql).all(...params))

beforeAll(async () => {
  server = await startServer()
})
afterAll(() => server.close())
afterEach(() => database((db) => db.exec("delete from attestations where id like 'test-%'")))

const app = (clientId = 'demo-unanswered') => demoApp(server.url, clientId)
const appId = (clientId: string) =>
  String(rows('select app_id from credentials where client_id = ?', clientId)[0]?.app_id)

/** What an operator would keep by `latchkey apps attest`. */
const say = (clientId: string, state: 'attested' | 'declined', expiresAt: number | null = null): string =>
  database((db) => {
    const id = `test-${Math.random()}`
    const { answers } =
      db.prepare("select answers from attestations where state = 'attested' and answers is not null limit 1").get() ??
      {}
    db.prepare(
      `insert into attestations (id, plan, app_id, state, version, answers, person, attested_at, expires_at, created_at)
       values (?, 'prairie', ?, ?, 1, ?, 'A person', ?, ?, ?)`,
    ).run(id, appId(clientId), state, state === 'attested' ? String(answers) : null, Date.now(), expiresAt, Date.now())
    return id
  })
const expire = (id: string) =>
  database((db) => db.prepare('update attestations set expires_at = ? where id = ?').run(Date.now() - 1, id))

const signIn = (visitor: Visitor, page: Page, username = 'maria') =>
  visitor.submit(page, '/sign-in', { username, password })
/** To the page after sign-in. */
const arrive = async (clientId?: string, visitor = new Visitor(), username = 'maria') => {
  const page = await visitor.open(authorizationUrl(app(clientId), challenge))
  return { visitor, page: await signIn(visitor, page, username) }
}
const warned = (page: Page): boolean => page.url.endsWith('/warning')
const asked = (page: Page): boolean => page.html.includes('/consent"')
const trail = () =>
  rows(
    "select type, outcome, member_id, app_id, request_id, details from audit where type like 'warning.%' order by rowid",
  )
const lastDetails = () => JSON.parse(String(trail().at(-1)?.details))

describe('who is warned (R24)', () => {
  it.each([
    ['demo-public', false],
    ['demo-confidential', false],
    ['demo-declined', true],
    ['demo-unanswered', true],
  ])('%s: %s', async (clientId, expected) => {
    const { page } = await arrive(clientId)
    expect(page.status).toBe(200)
    expect({ warned: warned(page), asked: asked(page) }).toEqual({ warned: expected, asked: !expected })
  })

  it('of an app whose answers have expired, and no more of one that has answered now', async () => {
    say('demo-public', 'attested', Date.now() - day)
    expect(warned((await arrive('demo-public')).page)).toBe(true)
    say('demo-unanswered', 'attested', Date.now() + day)
    expect(asked((await arrive('demo-unanswered')).page)).toBe(true)
  })

  it('the page names apps that answered and can read from the same API, and never the app itself', async () => {
    const { page } = await arrive('demo-declined')
    for (const name of ['Family Health Binder', 'Prairie Sandbox Viewer', 'binder.example.com'])
      expect(page.html).toContain(name)
    for (const name of ['Quick Steps Tracker', 'Prairie FHIR server', 'Summit Pocket'])
      expect(page.html).not.toContain(name)
    expect(page.html.slice(page.html.indexOf('<h2 id="others"'))).not.toContain('coupon.example.com')
  })

  it('an app that is suspended is not named', async () => {
    database((db) => db.exec("update credentials set status = 'suspended' where client_id = 'demo-confidential'"))
    try {
      expect((await arrive('demo-declined')).page.html).not.toContain('Family Health Binder')
    } finally {
      database((db) => db.exec("update credentials set status = 'active' where client_id = 'demo-confidential'"))
    }
  })

  it('where no other app has answered, none is named', async () => {
    say('demo-public', 'declined')
    for (const client of ['demo-confidential', 'demo-asymmetric', 'demo-fapi2']) say(client, 'declined')
    const { page } = await arrive()
    expect(warned(page)).toBe(true)
    expect(page.html).not.toContain('id="others"')
  })

  it('in Spanish too, by the switch, which loses nothing (R31)', async () => {
    const { visitor, page } = await arrive()
    const spanish = await visitor.open(`${page.url}?lang=es`)
    expect(spanish.html).toContain('lang="es"')
    expect(asked(await visitor.submit(spanish, '/warning'))).toBe(true)
  })
})

describe('going on', () => {
  it('leads to consent, and the app gets what any app gets, also at refresh: a missing attestation bars nothing (R17)', async () => {
    for (const clientId of ['demo-unanswered', 'demo-declined']) {
      const tokens = await obtainTokens(app(clientId))
      expect(tokens.scope).toContain('patient/*.rs')
      expect((await refresh(app(clientId), tokens.refresh_token)).status).toBe(200)
      expect(rows('select status from credentials where client_id = ?', clientId)).toEqual([{ status: 'active' }])
    }
  })

  it('is remembered for the authorization: back, again, in another window, and past a choice of person', async () => {
    const visitor = new Visitor()
    let page = await visitor.open(authorizationUrl(app(), challenge))
    page = await signIn(visitor, page, 'david')
    page = await visitor.submit(page, '/patient', { patient: Visitor.choiceNamed(page, 'Lucy') })
    const second = await visitor.open(page.url)
    expect([warned(page), warned(second)]).toEqual([true, true])
    page = await visitor.submit(page, '/warning')
    expect(asked(page)).toBe(true)
    // The other window, where the warning still stands; then Back, to the warning and to the consent page.
    expect(asked(await visitor.submit(second, '/warning'))).toBe(true)
    expect(warned(await visitor.open(second.url))).toBe(true)
    expect(asked(await visitor.open(page.url))).toBe(true)
    const other = await visitor.open(`${page.url}/patient`)
    page = await visitor.submit(other, '/patient', { patient: Visitor.choiceNamed(other, 'Elena') })
    expect(asked(page)).toBe(true)
    const done = await visitor.submit(page, '/consent')
    expect((await exchange(app(), new URL(done.url).searchParams.get('code') ?? '', verifier)).body.patient).toBe(
      'elena',
    )
  })

  it('is not remembered for the next authorization', async () => {
    const { visitor, page } = await arrive()
    await visitor.submit(await visitor.submit(page, '/warning'), '/consent')
    expect(warned(await visitor.open(authorizationUrl(app(), challenge)))).toBe(true)
  })

  it('nor for another member, who signs in in the middle of it', async () => {
    const { visitor, page } = await arrive()
    const consent = await visitor.submit(page, '/warning')
    const again = await signIn(visitor, await visitor.submit(consent, '/switch'), 'david')
    const next = await visitor.submit(again, '/patient', { patient: Visitor.choiceNamed(again, 'David') })
    expect(warned(next)).toBe(true)
    expect(asked(await visitor.submit(next, '/warning'))).toBe(true)
  })

  it('the consent form, posted by whoever did not go on, decides nothing and leads to the warning', async () => {
    const { visitor, page } = await arrive()
    const before = rows('select id from grants').length
    const { fields } = formOf(page, '/leave')
    const answer = await visitor.send(page.url.replace('/warning', '/consent'), { method: 'POST', body: fields })
    expect(answer.status).toBe(303)
    expect(answer.headers.get('location')).toMatch(/\/warning$/)
    expect(rows('select id from grants').length).toBe(before)
  })

  it.each([
    ['without our token', (fields: URLSearchParams) => fields.delete('csrf')],
    ['with another form’s token', (fields: URLSearchParams) => fields.set('csrf', 'x'.repeat(43))],
  ])('a form %s passes nothing (CSRF)', async (_what, spoil) => {
    const { visitor, page } = await arrive()
    for (const action of ['/warning', '/leave']) {
      const form = formOf(page, action)
      spoil(form.fields)
      expect((await visitor.send(form.action, { method: 'POST', body: form.fields })).status).toBe(403)
    }
    expect(warned(await visitor.open(page.url.replace('/warning', '')))).toBe(true)
  })

  it('another browser, and whoever is not signed in, passes nothing', async () => {
    const { page } = await arrive()
    const stranger = new Visitor()
    expect((await stranger.open(page.url)).status).toBe(400)
    const visitor = new Visitor()
    const start = await visitor.open(authorizationUrl(app(), challenge))
    expect((await visitor.open(`${start.url}/warning`)).html).toContain('name="password"')
  })
})

describe('what changes meanwhile', () => {
  it('answers that expire between the pages bring the warning before anything is decided', async () => {
    const id = say('demo-unanswered', 'attested', Date.now() + day)
    const { visitor, page } = await arrive()
    expect(asked(page)).toBe(true)
    expire(id)
    const next = await visitor.submit(page, '/consent')
    expect(warned(next)).toBe(true)
    const consent = await visitor.submit(next, '/warning')
    expect(new URL((await visitor.submit(consent, '/consent')).url).searchParams.has('code')).toBe(true)
  })

  it('an answer that comes while the warning is read: nothing is passed, and the consent page shows it', async () => {
    const { visitor, page } = await arrive()
    const before = trail().length
    say('demo-unanswered', 'attested')
    const next = await visitor.submit(page, '/warning')
    expect(asked(next)).toBe(true)
    expect(asked(await visitor.open(page.url))).toBe(true)
    expect(trail().length).toBe(before)
  })

  it('a refusal that comes while the warning is read is told first', async () => {
    const { visitor, page } = await arrive()
    say('demo-unanswered', 'declined')
    const next = await visitor.submit(page, '/warning')
    expect(warned(next)).toBe(true)
    expect(asked(await visitor.submit(next, '/warning'))).toBe(true)
  })

  it('the state of another plan’s app is not this one’s', async () => {
    database((db) =>
      db.exec(
        `insert into attestations (id, plan, app_id, state, version, person, attested_at, created_at)
         values ('test-other', 'summit', '${appId('demo-public')}', 'declined', 1, 'x', 1, ${Date.now() + day})`,
      ),
    )
    expect(asked((await arrive('demo-public')).page)).toBe(true)
  })
})

describe('going back', () => {
  it('is one button: access_denied with state, iss and the reason in plain ASCII, and nothing is granted (R27)', async () => {
    const before = rows('select id from grants').length
    const { visitor, page } = await arrive()
    const { searchParams } = new URL((await visitor.submit(page, '/leave')).url)
    expect(Object.fromEntries(searchParams)).toMatchObject({
      error: 'access_denied',
      state: 'a-state-of-the-app',
      iss: app().issuer,
    })
    expect(searchParams.get('error_description')).toMatch(/^[\x20-\x7e]*has not answered the questions[\x20-\x7e]*$/)
    expect(rows('select id from grants').length).toBe(before)
    const again = await visitor.submit(page, '/warning')
    expect(asked(again)).toBe(false)
  })
})

describe('what is written down of it (R35)', () => {
  it.each([
    ['demo-declined', '/consent', 'declined'],
    ['demo-unanswered', '/deny', 'unanswered'],
    ['demo-public', '/consent', null],
  ])(
    '%s: the record of the decision (%s) says of which warning the member knew: %s',
    async (clientId, action, warning) => {
      const { visitor, page } = await arrive(clientId)
      await visitor.submit(warned(page) ? await visitor.submit(page, '/warning') : page, action)
      const [consent] = rows('select record from consents where app_id = ? order by decided_at desc', appId(clientId))
      const [row] = rows('select id from attestations where app_id = ?', appId(clientId))
      expect(JSON.parse(String(consent?.record))).toMatchObject({ warning, attestationId: row?.id ?? null })
    },
  )

  it('shown and passed, with the member, the app and where it stood', async () => {
    const { visitor, page } = await arrive('demo-declined')
    await visitor.submit(page, '/warning')
    const [shown, passed] = trail().slice(-2)
    expect([shown?.type, passed?.type]).toEqual(['warning.shown', 'warning.passed'])
    for (const entry of [shown, passed])
      expect(entry).toMatchObject({ app_id: appId('demo-declined'), member_id: expect.any(String) })
    const [row] = rows('select id from attestations where app_id = ?', appId('demo-declined'))
    expect(lastDetails()).toMatchObject({ attestation: 'declined', attestationId: row?.id })
  })

  it('left; and passed once, however often it is pressed', async () => {
    const { visitor, page } = await arrive()
    await visitor.submit(page, '/warning')
    await visitor.submit(page, '/warning')
    expect(
      trail()
        .slice(-2)
        .map(({ type }) => type),
    ).toEqual(['warning.shown', 'warning.passed'])
    expect(lastDetails()).toMatchObject({ attestation: 'unanswered', attestationId: null })
    const next = await arrive()
    await next.visitor.submit(next.page, '/leave')
    expect(
      trail()
        .slice(-2)
        .map(({ type }) => type),
    ).toEqual(['warning.shown', 'warning.left'])
  })
})
