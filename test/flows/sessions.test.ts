/** Who is at the browser: signing in and out, whose interaction it is, forms of ours only (ASVS 7, RFC 9700 §4). */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createLog } from '../../src/log.ts'
import { openDatabase } from '../../src/storage/database.ts'
import { authorizationUrl, demoApp, exchange, password, pkce, walk, walkToConsent } from '../support/authorize.ts'
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
const ask = (visitor: Visitor, params: Record<string, string | null> = {}): Promise<Page> =>
  visitor.open(authorizationUrl(app(), challenge, params))
const redeem = async (page: Page) => exchange(app(), new URL(page.url).searchParams.get('code') ?? '', verifier)
const sessionOf = (visitor: Visitor): string | undefined =>
  [...visitor.cookies].find(([key]) => /^lk_session\.\S+(?<!\.sig) /.test(key))?.[1].value

const isSignIn = (page: Page): boolean => page.html.includes('name="password"')
const isConsent = (page: Page): boolean => /action="[^"]*\/consent"/.test(page.html)

describe('a session', () => {
  it('carries over to the next authorization: consent is asked again, the password is not', async () => {
    const { visitor } = await walk(app(), challenge)
    const page = await ask(visitor)
    expect(isSignIn(page)).toBe(false)
    expect(isConsent(page)).toBe(true)
    expect((await redeem(await visitor.submit(page, '/consent'))).body.patient).toBe('maria')
  })

  it('has a new id after signing in, and the old one is worth nothing (fixation, ASVS 7.2.4) [ASVS 7.2.4]', async () => {
    const victim = new Visitor()
    const { page } = await walkToConsent(app(), challenge, { visitor: victim })
    const planted = new Visitor()
    for (const [key, cookie] of victim.cookies) planted.cookies.set(key, cookie)
    const before = sessionOf(victim)
    await victim.submit(page, '/consent')
    expect(sessionOf(victim)).not.toBe(before)
    expect(isSignIn(await ask(planted)), 'the planted id is not signed in').toBe(true)
  })

  it('of two members in two windows of one browser the last to sign in stays (ASVS 7.2.4)', async () => {
    const visitor = new Visitor()
    const [one, two] = [await ask(visitor), await ask(visitor)]
    const davids = await visitor.submit(two, '/sign-in', { username: 'david', password })
    const marias = await visitor.submit(one, '/sign-in', { username: 'maria', password })
    expect(isConsent(marias)).toBe(true)
    expect((await visitor.open(`${server.url}/prairie/sandbox/sign-out`)).html).toContain('Maria Alvarez')
    expect((await visitor.open(davids.url)).status, 'nobody goes on as David').toBe(400)
    expect((await redeem(await visitor.submit(marias, '/consent'))).body.patient).toBe('maria')
  })

  it('is worth nothing to a member who was locked meanwhile (ASVS 7.4.2) [ASVS 7.4.2]', async () => {
    const { visitor, page } = await walkToConsent(app(), challenge, { member: 'maria' })
    const { db, close } = await openDatabase({ url: server.settings.database.url, log: createLog({ level: 'silent' }) })
    const set = (status: 'active' | 'locked') =>
      db.updateTable('members').set({ status }).where('username', '=', 'maria').execute()
    await set('locked')
    const shown = [await visitor.open(page.url), await visitor.submit(page, '/consent'), await ask(visitor)]
    for (const each of shown) expect(isSignIn(each)).toBe(true)
    for (const each of shown) expect(each.html).not.toContain('Maria Alvarez')
    await set('active')
    await close()
    expect(isConsent(await ask(visitor))).toBe(true)
  })

  it('a planted id that we did not make is not taken over', async () => {
    const visitor = new Visitor()
    visitor.cookies.set('lk_session.prairie.sandbox /', { value: 'planted', path: '/' })
    await walkToConsent(app(), challenge, { visitor })
    expect(sessionOf(visitor)).toMatch(/^[\w-]{40,}$/)
  })

  it('its cookies are out of reach for scripts and other sites', async () => {
    const visitor = new Visitor()
    const response = await visitor.send(authorizationUrl(app(), challenge))
    const page = await visitor.open(new URL(response.headers.get('location') ?? '', server.url).href)
    const lines = [...response.headers.getSetCookie(), ...page.headers.getSetCookie()]
    expect(lines.length).toBeGreaterThan(2)
    for (const line of lines) expect(line).toMatch(/; httponly/i)
    for (const line of lines) expect(line).toMatch(/; samesite=lax/i)
  })

  it.each([
    ['prompt=login', { prompt: 'login' }],
    ['max_age=0', { max_age: '0' }],
  ])('%s asks for the password although there is one [FAPI max-age]', async (_what, params) => {
    const { visitor } = await walk(app(), challenge)
    const page = await ask(visitor, params)
    expect(isSignIn(page)).toBe(true)
    const consent = await visitor.submit(page, '/sign-in', { username: 'maria', password })
    const { body } = await redeem(await visitor.submit(consent, '/consent'))
    expect(claimsOf(body.id_token).auth_time).toBeGreaterThan(Date.now() / 1000 - 30)
  })

  it('max_age that has not passed does not', async () => {
    const { visitor } = await walk(app(), challenge)
    expect(isSignIn(await ask(visitor, { max_age: '3600' }))).toBe(false)
  })

  it('signing out ends it, and connections go on', async () => {
    const { visitor, callback } = await walk(app(), challenge)
    const page = await visitor.open(`${app().issuer}/sign-out`)
    expect(page.html).toContain('Maria Alvarez')
    expect((await visitor.submit(page, '/sign-out')).status).toBe(200)
    expect(isSignIn(await ask(visitor))).toBe(true)
    expect((await exchange(app(), callback.searchParams.get('code') ?? '', verifier)).status).toBe(200)
    const again = await visitor.open(`${app().issuer}/sign-out`)
    expect(again.html).not.toContain('Maria Alvarez')
  })

  it('signing out does not happen by a link [ASVS 10.6.2]', async () => {
    const { visitor } = await walk(app(), challenge)
    await visitor.open(`${app().issuer}/sign-out?confirm=yes`)
    expect(isSignIn(await ask(visitor))).toBe(false)
  })
})

describe('not you? (R21)', () => {
  it('another member signs in at the consent page, and everything is theirs', async () => {
    const { visitor, page } = await walkToConsent(app(), challenge)
    expect(page.html).toContain('Maria Alvarez')
    const signIn = await visitor.submit(page, '/switch')
    expect(isSignIn(signIn)).toBe(true)
    const picker = await visitor.submit(signIn, '/sign-in', { username: 'david', password })
    const consent = await visitor.submit(picker, '/patient', { patient: Visitor.choiceNamed(picker, 'Lucy') })
    expect(consent.html).toContain('David Okafor')
    expect(consent.html).not.toContain('Maria')
    const { body } = await redeem(await visitor.submit(consent, '/consent'))
    expect(body.patient).toBe('lucy')
    expect(claimsOf(body.id_token).fhirUser).toContain('RelatedPerson/david-lucy')
    const page2 = await ask(visitor)
    expect(page2.html, 'the session is David’s from now on').toContain('David Okafor')
  })

  it('a patient chosen by the one before is forgotten', async () => {
    const { visitor, page } = await walkToConsent(app(), challenge, { member: 'david', patient: 'Elena' })
    const signIn = await visitor.submit(page, '/switch')
    const consent = await visitor.submit(signIn, '/sign-in', { username: 'maria', password })
    expect(isConsent(consent)).toBe(true)
    expect((await redeem(await visitor.submit(consent, '/consent'))).body.patient).toBe('maria')
  })

  it('the same member signs in again and goes on', async () => {
    const { visitor, page } = await walkToConsent(app(), challenge)
    const signIn = await visitor.submit(page, '/switch')
    const consent = await visitor.submit(signIn, '/sign-in', { username: 'maria', password })
    expect((await redeem(await visitor.submit(consent, '/consent'))).status).toBe(200)
  })

  it('a patient of somebody else cannot be chosen by hand', async () => {
    const david = new Visitor()
    const first = await ask(david)
    const picker = await david.submit(first, '/sign-in', { username: 'david', password })
    for (const patient of ['maria', 'elena', '', 'x'.repeat(900), '__proto__', "' or 1=1 --"]) {
      const answer = await david.submit(picker, '/patient', { patient })
      expect(answer.status).toBe(400)
      expect(answer.html).toContain('name="patient"')
    }
    expect((await david.submit(picker, '/patient', { patient: ['a', 'b'] })).status).toBe(400)
  })
})

describe('an authorization belongs to one browser', () => {
  it("another browser's address shows nothing and decides nothing", async () => {
    const { visitor, page } = await walkToConsent(app(), challenge)
    const thief = await walkToConsent(app(), challenge, { member: 'david', patient: 'David' })
    for (const address of [page.url, `${page.url}/sign-in`]) {
      const seen = await thief.visitor.open(address)
      expect(seen.status).toBe(400)
      expect(seen.html).not.toContain('Maria')
    }
    for (const action of ['/consent', '/deny', '/switch', '/sign-in', '/patient']) {
      const url = page.url + action
      const { fields } = formOf(thief.page, '/consent')
      const answer = await thief.visitor.open(url, { method: 'POST', body: fields })
      expect([400, 403]).toContain(answer.status)
      expect(answer.html).not.toContain('Maria')
    }
    expect((await redeem(await visitor.submit(page, '/consent'))).body.patient, 'the owner goes on').toBe('maria')
  })

  it.each(['nothing', '../authorize', '%00', 'x'.repeat(2000), '__proto__'])('no page at uid %s', async (uid) => {
    const response = await new Visitor().send(`${app().issuer}/interaction/${uid}`)
    expect([303, 400, 404]).toContain(response.status)
    expect(response.headers.get('location') ?? '').not.toMatch(/code=/)
  })

  it('steps cannot be skipped by hand', async () => {
    const visitor = new Visitor()
    const page = await ask(visitor)
    const { fields } = formOf(page, '/sign-in')
    for (const step of ['/consent', '/patient']) {
      const answer = await visitor.open(`${page.url}${step}`, { method: 'POST', body: fields })
      expect(answer.html).not.toContain('Maria')
      expect(answer.url).not.toContain('code=')
    }
    const resume = page.url.replace('/interaction/', '/authorize/')
    expect(isSignIn(await visitor.open(resume))).toBe(true)
  })
})

describe('forms of ours only', () => {
  const broken: [string, (fields: URLSearchParams, other: URLSearchParams) => void][] = [
    ['without the token', (fields) => fields.delete('csrf')],
    ['with an empty token', (fields) => fields.set('csrf', '')],
    ['with a made-up token', (fields) => fields.set('csrf', 'A'.repeat(22))],
    ['with two tokens', (fields) => fields.append('csrf', fields.get('csrf') ?? '')],
    ["with another browser's token", (fields, other) => fields.set('csrf', other.get('csrf') ?? '')],
  ]

  it.each(broken)('each form is refused %s', async (_what, breakIt) => {
    const { page: theirs } = await walkToConsent(app(), challenge)
    const { visitor, page } = await walkToConsent(app(), challenge, { member: 'david', patient: 'Lucy' })
    for (const action of ['/consent', '/deny', '/switch']) {
      const form = formOf(page, action)
      breakIt(form.fields, formOf(theirs, action).fields)
      const answer = await visitor.open(form.action, { method: 'POST', body: form.fields })
      expect(answer.status, action).toBe(403)
      expect(answer.html).toContain(answer.headers.get('x-request-id'))
    }
    const out = await visitor.open(`${app().issuer}/sign-out`)
    const form = formOf(out, '/sign-out')
    breakIt(form.fields, formOf(theirs, '/consent').fields)
    expect((await visitor.open(form.action, { method: 'POST', body: form.fields })).status).toBe(403)
  })

  it.each(['cross-site', 'same-site'])('and from another site: Sec-Fetch-Site %s', async (site) => {
    const { visitor, page } = await walkToConsent(app(), challenge)
    const { action, fields } = formOf(page, '/consent')
    const answer = await visitor.open(action, { method: 'POST', body: fields, headers: { 'sec-fetch-site': site } })
    expect(answer.status).toBe(403)
  })

  it('signing in as well: nobody signs a stranger’s browser in as themselves', async () => {
    const visitor = new Visitor()
    const page = await ask(visitor)
    for (const [, breakIt] of broken.slice(0, 4)) {
      const { action, fields } = formOf(page, '/sign-in')
      fields.set('username', 'maria')
      fields.set('password', password)
      breakIt(fields, fields)
      expect((await visitor.open(action, { method: 'POST', body: fields })).status).toBe(403)
    }
    expect(isSignIn(await ask(visitor))).toBe(true)
  })

  it.each([
    ['JSON', 'application/json', '{}', 415],
    ['too much', 'application/x-www-form-urlencoded', `csrf=${'x'.repeat(70_000)}`, 413],
  ])('%s is refused', async (_what, type, body, status) => {
    const { visitor, page } = await walkToConsent(app(), challenge)
    const { action } = formOf(page, '/consent')
    const answer = await visitor.open(action, { method: 'POST', body, headers: { 'content-type': type } })
    expect(answer.status).toBe(status)
  })
})

describe('over https', () => {
  let secure: TestServer
  const https = (url: string): string => url.replace('http://localhost', 'https://localhost')

  beforeAll(async () => {
    secure = await startServer({
      change: (settings) => {
        for (const environment of settings.plans.flatMap((plan) => plan.environments)) {
          environment.issuer = https(environment.issuer)
          for (const api of environment.apis) api.baseUrl = https(api.baseUrl)
        }
        settings.publicUrl = https(settings.publicUrl)
      },
    })
  })
  afterAll(() => secure.close())

  it('no cookie travels without TLS, and none of another host or without TLS is taken for ours', async () => {
    const plain = secure.url.replace('https:', 'http:')
    const visitor = new Visitor()
    const first = await visitor.send(
      authorizationUrl({ ...demoApp(plain), fhirBase: demoApp(secure.url).fhirBase }, challenge),
    )
    const step = new URL(first.headers.get('location') ?? '', plain).href
    const page = await visitor.open(step)
    const { fields } = formOf(page, '/sign-in')
    fields.set('username', 'maria')
    fields.set('password', password)
    const posted = await visitor.send(`${step}/sign-in`, { method: 'POST', body: fields })
    const resumed = await visitor.send((posted.headers.get('location') ?? '').replace('https:', 'http:'))
    const lines = [first, page, posted, resumed].flatMap(({ headers }) => headers.getSetCookie())
    const names = new Set(lines.map((line) => line.split('=')[0]?.replace(/\.sig$/, '')))
    expect([...names].sort()).toEqual([
      '__Host-lk_csrf.prairie.sandbox',
      '__Host-lk_session.prairie.sandbox',
      '__Secure-lk_interaction.prairie.sandbox',
      '__Secure-lk_resume.prairie.sandbox',
    ])
    for (const line of lines) expect(line).toMatch(/; secure/i)
    for (const line of lines) expect(line).not.toMatch(/; domain=/i)
    for (const line of lines.filter((each) => each.startsWith('__Host-'))) expect(line).toMatch(/; path=\/;/i)
    expect(page.headers.get('strict-transport-security')).toBe('max-age=31536000')
  })
})

describe('what an app sends is data', () => {
  // biome-ignore lint/suspicious/noTemplateCurlyInString: it is meant to look like a template
  const nasty = '"><script>alert(1)</script><%= 7*7 %>${7*7}{{7*7}}{name}'

  it.each(['state', 'login_hint', 'ui_locales', 'nonce', 'launch'])('%s is never markup or template', async (name) => {
    const visitor = new Visitor()
    const pages = [await ask(visitor, { [name]: nasty })]
    pages.push(await visitor.submit(pages[0] as Page, '/sign-in', { username: nasty, password: 'wrong' }))
    pages.push(await visitor.submit(pages[1] as Page, '/sign-in', { username: 'maria', password }))
    for (const page of pages) {
      expect(page.html).not.toContain('<script>alert')
      expect(page.html).not.toMatch(/\b49\b/)
      expect(page.headers.get('content-security-policy')).toContain("script-src 'self'")
    }
    expect((await redeem(await visitor.submit(pages[2] as Page, '/consent'))).status).toBe(200)
  })

  it('login_hint fills the name in, and nothing else', async () => {
    const page = await ask(new Visitor(), { login_hint: 'maria' })
    expect(formOf(page, '/sign-in').fields.get('username')).toBe('maria')
    expect(formOf(page, '/sign-in').fields.get('password')).toBe('')
  })

  it.each([
    '/prairie/sandbox/authorize//evil.example',
    '//evil.example/%2e%2e',
    '/\\evil.example',
    '/prairie/sandbox/sign-out?next=https://evil.example',
    '/prairie/sandbox/interaction/x/sign-in?lang=es&next=//evil.example',
    '//evil.example?lang=es',
    '/prairie/sandbox/authorize/x?redirect_uri=https://evil.example',
  ])('nothing here leads elsewhere: %s', async (path) => {
    const response = await new Visitor().send(`${server.url}${path}`)
    const location = response.headers.get('location')
    if (location) expect(new URL(location, server.url).host).toBe(new URL(server.url).host)
  })
})
