/** One language all the way (R31): what the app asked for, until the person chooses; what the browser prefers; the member's own. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { authorizationUrl, demoApp, everythingOn, password, pkce } from '../support/authorize.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { type Page, Visitor } from '../support/visitor.ts'

let server: TestServer
beforeAll(async () => {
  server = await startServer()
})
afterAll(() => server.close())

/** An app whose people did not answer: members are warned, so every step there is comes about. */
const app = () => demoApp(server.url, 'demo-unanswered')
const languageOf = (page: Page) => {
  const said = page.headers.get('content-language')
  expect(page.html).toContain(`<html lang="${said}">`)
  return said
}
const start = (visitor: Visitor, params: Record<string, string> = {}) =>
  visitor.open(authorizationUrl(app(), pkce().challenge, { ...params, redirect_uri: firstRedirect() }))
const firstRedirect = () => demoApp(server.url).redirectUri
const signIn = (visitor: Visitor, page: Page, username = 'david', secret = password) =>
  visitor.submit(page, '/sign-in', { username, password: secret })

/** Every page from the app to the consent page, with one mistake on the way. */
const steps = async (visitor: Visitor, params?: Record<string, string>): Promise<[string, Page][]> => {
  const first = await start(visitor, params)
  const wrong = await signIn(visitor, first, 'david', 'not the password')
  const picker = await signIn(visitor, wrong)
  const warning = await visitor.submit(picker, '/patient', { patient: Visitor.choiceNamed(picker, 'Elena') })
  const consent = await visitor.submit(warning, '/warning', {})
  return [
    ['sign-in', first],
    ['sign-in, with a fault', wrong],
    ['the choice of a patient', picker],
    ['the warning', warning],
    ['consent', consent],
  ]
}
const spoken = (pages: [string, Page][]) => pages.map(([name, page]) => `${name}: ${languageOf(page)}`)
const all = (language: string, pages: [string, Page][]) => pages.map(([name]) => `${name}: ${language}`)

describe('ui_locales (OpenID Connect Core §3.1.2.1)', () => {
  it('holds at every step, whatever the browser prefers', async () => {
    const pages = await steps(new Visitor('en'), { ui_locales: 'fr es-MX en' })
    expect(spoken(pages)).toEqual(all('es', pages))
  })

  it('holds for a mistake on the consent page, and for the letter about what was shared', async () => {
    const visitor = new Visitor('en')
    const [, consent] = (await steps(visitor, { ui_locales: 'es' })).at(-1) ?? []
    if (!consent) throw new Error('no consent page')
    const nothing = await visitor.submit(consent, '/consent', { type: null, category: null })
    expect(languageOf(nothing)).toBe('es')
    const done = await visitor.submit(nothing, '/consent', everythingOn(nothing))
    expect(new URL(done.url).searchParams.get('code')).toBeTruthy()
    const letters = await (await fetch(`${app().issuer}/letters`)).text()
    expect(letters).toContain('Usted compartió la información de salud de Elena Okafor')
  })

  it('that names no language of ours leaves the choice to the browser', async () => {
    const pages = await steps(new Visitor('es-US,es;q=0.9,en;q=0.5'), { ui_locales: 'tlh xx' })
    expect(spoken(pages)).toEqual(all('es', pages))
  })

  it.each(['../../etc', 'es\0', '<script>', 'e'.repeat(5000), '%00'])(
    'is only ever compared: %j',
    async (ui_locales) => {
      const page = await start(new Visitor('en'), { ui_locales })
      expect([200, 400]).toContain(page.status)
      expect(languageOf(page)).toBe('en')
    },
  )
})

describe('the person’s own choice', () => {
  it('outweighs the app’s, and stays for the steps that follow and for the member’s own pages', async () => {
    const visitor = new Visitor('en')
    const first = await start(visitor, { ui_locales: 'es' })
    expect(languageOf(first)).toBe('es')
    const [, href = ''] = /href="([^"]*lang=en)"/.exec(first.html) ?? []
    const switched = await visitor.open(new URL(href.replaceAll('&amp;', '&'), first.url).href)
    expect(languageOf(switched)).toBe('en')
    const picker = await signIn(visitor, switched)
    expect(languageOf(picker)).toBe('en')
    expect(languageOf(await visitor.open(`${app().issuer}/connections`))).toBe('en')
  })
})

describe('without a wish', () => {
  it('Accept-Language decides, on the member’s own pages as well', async () => {
    const visitor = new Visitor('es-PR')
    const pages = await steps(visitor)
    expect(spoken(pages)).toEqual(all('es', pages))
    expect(languageOf(await visitor.open(`${app().issuer}/connections`))).toBe('es')
  })

  it('a browser of another language gets the plan’s first', async () => {
    const pages = await steps(new Visitor('fr'))
    expect(spoken(pages).slice(0, 2)).toEqual(all('en', pages).slice(0, 2))
  })
})
