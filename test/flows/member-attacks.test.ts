/** The member's own pages under attack: other members' connections, forms that are not ours, ways elsewhere, sessions, names. */
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  authorizationUrl,
  demoApp,
  obtainTokens,
  password,
  pkce,
  refresh,
  walkToConsent,
} from '../support/authorize.ts'
import { connectionLinks, textOf, visitPages } from '../support/member-pages.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { formOf, type Page, Visitor } from '../support/visitor.ts'

// biome-ignore lint/suspicious/noTemplateCurlyInString: it is meant to look like a template
const nasty = '"><script>alert(1)</script><%= 7*7 %>${7*7}{{7*7}}{who}'
const breaking = 'An app\r\nBcc: everybody@example.org\r\n\r\nYou won'

let server: TestServer
beforeAll(async () => {
  server = await startServer({
    change: (settings) => {
      // Who tries is not to be turned away here for having tried too often.
      Object.assign(settings.signIn, { failuresPerAddress: 1000 })
      const demonstration = settings.plans[0]?.environments[0]?.demonstration
      const [maria] = demonstration?.members ?? []
      const [app] = demonstration?.apps.filter(({ clientId }) => clientId === 'demo-public') ?? []
      if (!demonstration || !maria || !app) throw new Error('no demonstration')
      const record = { fhirId: 'nasty', name: nasty, birthDate: null, coverageLabel: nasty }
      demonstration.members.push({ ...maria, username: 'nasty', name: nasty, patients: [record], delegations: [] })
      const named = { ...app, website: 'https://app.example.org' }
      demonstration.apps.push({ ...named, clientId: 'nasty', name: nasty, developer: nasty })
      demonstration.apps.push({ ...named, clientId: 'breaking', name: breaking, developer: breaking })
    },
  })
})
afterAll(() => server.close())

const app = () => demoApp(server.url)
const pages = () => `${app().issuer}/connections`
const sessionOf = (visitor: Visitor): string | undefined =>
  [...visitor.cookies].find(([name]) => name.startsWith('lk_session.prairie.sandbox '))?.[1].value

const shared = async (member: string) => {
  const tokens = await obtainTokens(app(), { member, ...(member === 'david' ? { patient: 'David' } : {}) })
  const { visitor, page } = await visitPages(app().issuer, member)
  return { tokens, visitor, page, link: connectionLinks(page)[0] ?? '' }
}

describe('a connection of somebody else', () => {
  it('is like one that does not exist, for every page and every action', async () => {
    const maria = await shared('maria')
    const david = await shared('david')
    const unknown = `${pages()}/01890000-0000-7000-8000-000000000000`
    const { fields } = formOf(await david.visitor.open(`${david.link}/narrow`), '/narrow')
    for (const path of ['', '/narrow', '/extend', '/receipt', '/receipt.json']) {
      const answers = [await david.visitor.open(maria.link + path), await david.visitor.open(unknown + path)]
      for (const answer of answers) expect(answer.status, path).toBe(404)
      const [theirs, none] = answers.map((page) => textOf(page).replaceAll(/[\da-f-]{36}/g, ''))
      expect(theirs).toBe(none)
      expect(theirs).not.toContain('Maria')
    }
    for (const path of ['/end', '/narrow', '/extend'])
      for (const link of [maria.link, unknown]) {
        const answer = await david.visitor.open(link + path, { method: 'POST', body: new URLSearchParams(fields) })
        expect(answer.status, path).toBe(404)
      }
    expect((await refresh(app(), maria.tokens.refresh_token)).status, 'nothing was done').toBe(200)
  })

  it('neither is a receipt of theirs to be had by its number', async () => {
    const maria = await shared('maria')
    const david = await shared('david')
    const receipt = /receipt\?of=([\da-f-]{36})/.exec((await maria.visitor.open(maria.link)).html)?.[1] ?? ''
    expect((await maria.visitor.open(`${maria.link}/receipt?of=${receipt}`)).status).toBe(200)
    for (const path of ['/receipt', '/receipt.json'])
      expect((await david.visitor.open(`${david.link}${path}?of=${receipt}`)).status).toBe(404)
  })

  it.each(['x', '%00', '..%2f..', '__proto__', "'%20or%201=1--", 'x'.repeat(3000)])('no page at id %s', async (id) => {
    const { visitor } = await visitPages(app().issuer, 'maria')
    for (const path of ['', '/narrow', '/receipt.json'])
      expect([400, 404, 414]).toContain((await visitor.open(`${pages()}/${id}${path}`)).status)
  })

  it('and nobody sees or changes anything without signing in', async () => {
    const { link, tokens, page } = await shared('maria')
    const stranger = new Visitor()
    for (const path of ['', '/narrow', '/extend', '/receipt', '/receipt.json']) {
      const answer = await stranger.send(link + path)
      expect(answer.status).toBe(303)
      expect(answer.headers.get('location')).toMatch(
        /^\/prairie\/sandbox\/sign-in\?next=%2Fprairie%2Fsandbox%2Fconnections/,
      )
    }
    const { fields } = formOf(page, '/end')
    const posted = await stranger.send(`${link}/end`, { method: 'POST', body: fields })
    expect(posted.headers.get('location')).toContain('/sign-in')
    expect((await refresh(app(), tokens.refresh_token)).status).toBe(200)
  })
})

describe('forms of ours only', () => {
  const actions = ['/end', '/narrow', '/extend'] as const
  const formAt = async (visitor: Visitor, link: string, action: (typeof actions)[number]) =>
    formOf(await visitor.open(action === '/end' ? link : link + action), action)

  const broken: [string, (fields: URLSearchParams, other: URLSearchParams) => void][] = [
    ['without the token', (fields) => fields.delete('csrf')],
    ['with an empty token', (fields) => fields.set('csrf', '')],
    ['with a made-up token', (fields) => fields.set('csrf', 'A'.repeat(43))],
    ['with two tokens', (fields) => fields.append('csrf', fields.get('csrf') ?? '')],
    ["with another browser's token", (fields, other) => fields.set('csrf', other.get('csrf') ?? '')],
  ]

  it.each(broken)('each is refused %s', async (_what, breakIt) => {
    const mine = await shared('maria')
    const theirs = await shared('david')
    for (const action of actions) {
      const form = await formAt(mine.visitor, mine.link, action)
      breakIt(form.fields, (await formAt(theirs.visitor, theirs.link, action)).fields)
      const answer = await mine.visitor.open(form.action, { method: 'POST', body: form.fields })
      expect(answer.status, action).toBe(403)
    }
    expect((await refresh(app(), mine.tokens.refresh_token)).status).toBe(200)
  })

  it('a token that was made for one action, or one connection, is worthless for another', async () => {
    const one = await shared('maria')
    await obtainTokens(demoApp(server.url, 'demo-confidential', 'demo-confidential-secret'), { member: 'maria' })
    const { visitor } = one
    const links = connectionLinks(await visitor.open(pages()))
    expect(links.length).toBeGreaterThan(1)
    const [first = '', second = ''] = links
    const tokens = await Promise.all(actions.map((action) => formAt(visitor, first, action)))
    for (const [at, action] of actions.entries())
      for (const [from, { fields }] of tokens.entries()) {
        const answer = await visitor.open(second + action, { method: 'POST', body: fields })
        expect(answer.status, `${actions[from]} at another's ${action}`).toBe(403)
        if (at === from) continue
        expect((await visitor.open(first + action, { method: 'POST', body: fields })).status).toBe(403)
      }
  })

  it.each(['cross-site', 'same-site'])('nor from another site: Sec-Fetch-Site %s', async (site) => {
    const { visitor, link, tokens } = await shared('maria')
    for (const action of actions) {
      const form = await formAt(visitor, link, action)
      const headers = { 'sec-fetch-site': site }
      expect((await visitor.open(form.action, { method: 'POST', body: form.fields, headers })).status).toBe(403)
    }
    expect((await refresh(app(), tokens.refresh_token)).status).toBe(200)
  })

  it('and no link does anything [ASVS 10.6.2]', async () => {
    const { visitor, link, tokens } = await shared('maria')
    for (const path of ['/end', '/end?confirm=yes', '?end=yes', '/narrow?resource=Patient', '/extend?duration=P1Y'])
      await visitor.open(link + path)
    expect((await refresh(app(), tokens.refresh_token)).body.scope).toBe(tokens.scope)
  })

  it('signing in as well: nobody signs a stranger’s browser in as themselves', async () => {
    const visitor = new Visitor()
    const theirs = await new Visitor().open(pages())
    const page = await visitor.open(pages())
    for (const [, breakIt] of broken) {
      const { action, fields } = formOf(page, '/sign-in')
      fields.set('username', 'maria')
      fields.set('password', password)
      breakIt(fields, formOf(theirs, '/sign-in').fields)
      expect((await visitor.open(action, { method: 'POST', body: fields })).status).toBe(403)
    }
    expect((await visitor.open(pages())).html).toContain('name="password"')
  })
})

describe('where signing in leads', () => {
  const id = '01890000-0000-7000-8000-000000000000'
  const own = `/prairie/sandbox/connections/${id}`

  it.each([own, `${own}/narrow`, `${own}/extend`, `${own}/receipt`])('to a page of ours: %s', async (next) => {
    expect(await leads(next)).toBe(next)
  })

  it.each([
    '//evil.example',
    '/\\evil.example',
    '\\\\evil.example',
    'https://evil.example',
    'https:evil.example',
    'javascript:alert(1)',
    'data:text/html,x',
    `//evil.example${own}`,
    `https://evil.example${own}`,
    `${own}/../../../../evil`,
    `${own}/%2e%2e/narrow`,
    `${own}/end`,
    `${own}/receipt.json`,
    `${own}?x=//evil.example`,
    `${own}#//evil.example`,
    `${own}\n`,
    `${own}\r\nLocation: https://evil.example`,
    ` ${own}`,
    `${own.toUpperCase()}`,
    '/prairie/sandbox/connectionsx',
    '/prairie/sandbox/connections//evil.example',
    '/prairie/sandbox/connections/../sign-out',
    '/prairie/production/connections',
    `/prairie/production/connections/${id}`,
    `/v5/summit/connections/${id}`,
    '/prairie/sandbox/sign-out',
    '/prairie/sandbox/authorize?client_id=demo-public',
    encodeURIComponent(own),
    '',
    'x'.repeat(4000),
  ])('never elsewhere: %j', async (next) => {
    expect(await leads(next)).toBe('/prairie/sandbox/connections')
  })

  it('nor by a second `next`, or by one in the form', async () => {
    const visitor = new Visitor()
    const page = await visitor.open(`${app().issuer}/sign-in?next=//evil.example&next=${own}`)
    const { action, fields } = formOf(page, '/sign-in')
    for (const [name, value] of Object.entries({ username: 'maria', password, next: '//evil.example' }))
      fields.set(name, value)
    const answer = await visitor.send(`${action}?next=//evil.example`, { method: 'POST', body: fields })
    expect(answer.headers.get('location')).toBe('/prairie/sandbox/connections')
  })

  const leads = async (next: string): Promise<string | null> => {
    const visitor = new Visitor()
    const page = await visitor.open(`${app().issuer}/sign-in?next=${encodeURIComponent(next)}`)
    const { action, fields } = formOf(page, '/sign-in')
    expect(new URL(action).host).toBe(new URL(server.url).host)
    fields.set('username', 'maria')
    fields.set('password', password)
    // The form's own address, and the same with what was asked for once more.
    for (const address of [
      `${new URL(action).origin}/prairie/sandbox/sign-in?next=${encodeURIComponent(next)}`,
      action,
    ]) {
      const answer = await visitor.send(address, { method: 'POST', body: fields })
      expect(answer.status).toBe(303)
      const location = answer.headers.get('location')
      if (address === action) return location
    }
    return null
  }
})

describe('a switch of language after a wrong password', () => {
  it('still leads where signing in was to lead (R31)', async () => {
    const visitor = new Visitor()
    const { link } = await shared('maria')
    const page = await visitor.open(`${link}/extend`)
    const failed = await visitor.submit(page, '/sign-in', { username: 'maria', password: 'wrong' })
    const href = /href="([^"]*lang=es)"/.exec(failed.html)?.[1]?.replaceAll('&amp;', '&') ?? ''
    const spanish = await visitor.open(new URL(href, server.url).href)
    expect(spanish.html).toContain('<html lang="es">')
    const done = await visitor.submit(spanish, '/sign-in', { username: 'maria', password })
    expect(done.url).toBe(`${link}/extend`)
  })
})

describe('the session', () => {
  const isSignIn = (page: Page): boolean => page.html.includes('name="password"')

  it('is one with that of authorizations, both ways', async () => {
    const { challenge } = pkce()
    const { visitor } = await visitPages(app().issuer, 'maria')
    const { page } = await walkToConsent(app(), challenge, { visitor })
    expect(page.html, 'no password is asked').toContain('Maria Alvarez')
    const asking = await walkToConsent(app(), challenge)
    expect(textOf(await asking.visitor.open(pages()))).toContain('Signed in as Maria Alvarez.')
  })

  it('is new with each sign-in, and the one before is worth nothing (ASVS 7.2.4) [ASVS 7.2.4]', async () => {
    const victim = new Visitor()
    const thief = await visitPages(app().issuer, 'david')
    const planted = sessionOf(thief.visitor) ?? ''
    for (const [name, cookie] of thief.visitor.cookies) victim.cookies.set(name, { ...cookie })
    await victim.open(`${app().issuer}/sign-out`)
    const out = await victim.open(`${app().issuer}/sign-out`)
    await victim.submit(out, '/sign-out')
    for (const [name, cookie] of thief.visitor.cookies) victim.cookies.set(name, { ...cookie })
    const { page } = await visitPages(app().issuer, 'maria', { visitor: victim })
    expect(textOf(page)).toContain('Maria Alvarez')
    expect(sessionOf(victim)).not.toBe(planted)
    expect(isSignIn(await thief.visitor.open(pages())), 'what was planted shows nothing').toBe(true)
  })

  it('whoever is signed in comes to the page without signing in; another member begins a new session', async () => {
    const { visitor } = await visitPages(app().issuer, 'maria')
    const before = sessionOf(visitor)
    expect((await visitor.open(`${app().issuer}/sign-in`)).url).toBe(pages())
    const late = new Visitor()
    const page = await late.open(pages())
    for (const [name, cookie] of visitor.cookies)
      if (name.startsWith('lk_session')) late.cookies.set(name, { ...cookie })
    const done = await late.submit(page, '/sign-in', { username: 'david', password })
    expect(textOf(done)).toContain('David Okafor')
    expect(sessionOf(late)).not.toBe(before)
    expect(isSignIn(await visitor.open(pages())), 'the one before has ended').toBe(true)
  })

  it('ends with signing out, for the pages and for apps', async () => {
    const { visitor } = await visitPages(app().issuer, 'maria')
    const cookies = new Map(visitor.cookies)
    const out = await visitor.submit(await visitor.open(`${app().issuer}/sign-out`), '/sign-out')
    expect(out.html).toContain('/prairie/sandbox/connections')
    for (const [name, cookie] of cookies) visitor.cookies.set(name, cookie)
    expect(isSignIn(await visitor.open(pages()))).toBe(true)
    expect(isSignIn(await visitor.open(authorizationUrl(app(), pkce().challenge)))).toBe(true)
  })

  it('of a member who was locked meanwhile shows and does nothing more (ASVS 7.4.2) [ASVS 7.4.2]', async () => {
    const { visitor, page, tokens } = await shared('david')
    const database = new DatabaseSync(join(server.folder, 'latchkey.db'))
    const set = (status: string) =>
      database.prepare("update members set status = ? where username = 'david'").run(status)
    set('locked')
    try {
      expect(isSignIn(await visitor.open(pages()))).toBe(true)
      expect(isSignIn(await visitor.submit(page, '/end'))).toBe(true)
      expect(
        (await visitor.submit(await visitor.open(pages()), '/sign-in', { username: 'david', password })).status,
      ).toBe(400)
    } finally {
      set('active')
      database.close()
    }
    expect((await refresh(app(), tokens.refresh_token)).status, 'nothing was ended').toBe(200)
  })

  it('is not to be had with a cookie that was made by hand', async () => {
    const { visitor } = await visitPages(app().issuer, 'maria')
    for (const [name, cookie] of visitor.cookies)
      if (name.startsWith('lk_session.prairie.sandbox.sig '))
        visitor.cookies.set(name, { ...cookie, value: 'A'.repeat(27) })
    expect(isSignIn(await visitor.open(pages()))).toBe(true)
  })

  it('a wrong password and an unknown name are answered alike [ASVS 6.3.8]', async () => {
    const visitor = new Visitor()
    const page = await visitor.open(pages())
    const answers = await Promise.all(
      [
        { username: 'maria', password: 'wrong' },
        { username: 'nobody', password },
      ].map((fields) => visitor.submit(page, '/sign-in', fields)),
    )
    for (const answer of answers) expect(answer.status).toBe(400)
    const [wrong, unknown] = answers.map(textOf)
    expect(wrong).toBe(unknown)
  })
})

describe('the answers', () => {
  it('are kept by no cache and shown in no frame [RFC 9700 13]', async () => {
    const { visitor, link } = await shared('maria')
    for (const address of [
      pages(),
      link,
      `${link}/narrow`,
      `${link}/extend`,
      `${link}/receipt`,
      `${link}/receipt.json`,
    ]) {
      const { headers, status } = await visitor.open(address)
      expect(status).toBe(200)
      expect(headers.get('cache-control'), address).toBe('no-store')
      expect(headers.get('x-frame-options')).toBe('DENY')
      expect(headers.get('content-security-policy')).toContain("frame-ancestors 'none'")
      expect(headers.get('referrer-policy')).toBe('no-referrer')
    }
    const { headers } = await visitor.open(link)
    expect(headers.get('content-security-policy')).toMatch(/form-action 'self';/)
  })

  it('take what people and apps are called as it is: neither markup nor template', async () => {
    const named = demoApp(server.url, 'nasty')
    await obtainTokens(named, { member: 'nasty' })
    const { visitor, page } = await visitPages(named.issuer, 'nasty')
    const [link = ''] = connectionLinks(page)
    const seen = [page, await visitor.open(link)]
    for (const path of ['/narrow', '/extend', '/receipt']) seen.push(await visitor.open(link + path))
    const { html } = await visitor.open(`${link}/receipt.json`)
    expect(JSON.parse(html).text.div).not.toContain('<script>')
    seen.push(await visitor.submit(seen[1] as Page, '/end'))
    for (const each of seen) {
      expect(each.status).toBe(200)
      expect(each.html).not.toContain('<script>alert')
      // biome-ignore lint/suspicious/noTemplateCurlyInString: it is meant to look like a template
      expect(each.html).toContain('&lt;/script&gt;&lt;%= 7*7 %&gt;${7*7}{{7*7}}{who}')
    }
  })

  it('lead nowhere but to addresses of the web, whatever an app’s row says', async () => {
    const { visitor, link } = await shared('maria')
    await visitor.submit(await visitor.open(link), '/end')
    const database = new DatabaseSync(join(server.folder, 'latchkey.db'))
    const set = database.prepare('update apps set website = ?, privacy_policy_url = ?')
    try {
      set.run('JavaScript:alert(1)', 'data:text/html,<p>')
      expect((await visitor.open(link)).html).not.toMatch(/href="(?:javascript|data):/i)
      set.run('https://app.example.org/', 'https://app.example.org/privacy')
      expect((await visitor.open(link)).html).toContain('href="https://app.example.org/privacy"')
    } finally {
      database.close()
    }
  })

  it('and letters stay letters: a name breaks no line of their head', async () => {
    const visitor = new Visitor()
    await obtainTokens(demoApp(server.url, 'breaking'), { member: 'maria', visitor })
    const letters = await visitor.open(`${app().issuer}/letters`)
    const text = textOf(letters)
    expect(text).toContain('You connected An app Bcc: everybody@example.org You won')
    expect(letters.html).not.toMatch(/\nBcc:/)
    expect(text).toContain(`${pages()} `)
  })
})
