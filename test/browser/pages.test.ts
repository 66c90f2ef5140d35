/** Every page in both languages: what axe finds, light and dark, and how it fits windows from 320 px on. */
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { authorizationUrl, demoApp, pkce } from '../support/authorize.ts'
import { accessibilityFaults, launchBrowser, overflow, withPerson } from '../support/browser.ts'
import { chromium } from '../support/machine.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { boxOf, choosePatient, connectAs, demoOf, shareButton, signIn } from '../support/steps.ts'

interface Shown {
  name: string
  /** Goes to the page; `unique` is a name that no other page's story uses. */
  open(page: Page, unique: string): Promise<void>
  /** What says that it is there. */
  sign: string
  status?: number
}

describe.skipIf(!chromium)('every page (R30, R31)', () => {
  let server: TestServer
  let browser: Browser

  beforeAll(async () => {
    server = await startServer({
      change: ({ plans, signIn: limits }) => {
        limits.failuresPerAccountAndAddress = 2
        limits.failuresPerAddress = 1000
        const apps = plans[0]?.environments[0]?.demonstration?.apps
        const first = apps?.[0]
        if (first) apps.push({ ...first, clientId: 'six', redirectUris: ['http://[::1]/callback'] })
      },
    })
    browser = await launchBrowser()
  })
  afterAll(async () => {
    await browser?.close()
    await server?.close()
  })

  const ask = async (page: Page, member?: string, more: Record<string, string> = {}): Promise<void> => {
    await page.goto(authorizationUrl(demoApp(server.url), pkce().challenge, more))
    if (member) await signIn(page, member)
  }
  const openAll = async (page: Page): Promise<void> => {
    for (const box of [
      'Patient',
      'Condition/health-concern',
      'Observation/survey',
      'Medication',
      'CarePlan',
      'Practitioner',
    ])
      await boxOf(page, box)
  }

  const pages: Shown[] = [
    { name: 'the first page', open: (page) => page.goto(server.url).then(), sign: '.intro .button' },
    { name: 'sign-in', open: (page) => ask(page), sign: '[name=password]' },
    {
      name: 'sign-in with a fault',
      open: async (page, unique) => {
        await ask(page)
        await signIn(page, unique, 'wrong')
      },
      sign: '[name=password][aria-invalid]',
      status: 400,
    },
    {
      name: 'sign-in after too many tries',
      open: async (page, unique) => {
        await ask(page)
        for (let tries = 0; tries < 3; tries += 1) await signIn(page, unique, 'wrong')
      },
      sign: '#fault:not(:has(a))',
      status: 400,
    },
    { name: 'the choice of a person', open: (page) => ask(page, 'david'), sign: '[name=patient]' },
    {
      name: 'the choice of a person with a fault',
      open: async (page) => {
        await ask(page, 'david')
        await page.evaluate(`document.querySelector('form[action$="/patient"]').noValidate = true`)
        await page.locator('form[action$="/patient"] button:not([form])').click()
      },
      sign: '#fault',
      status: 400,
    },
    ...['demo-declined', 'demo-unanswered'].map((client_id) => ({
      name: `the warning of ${client_id}`,
      open: (page: Page) => ask(page, 'maria', { client_id }),
      sign: '.others',
    })),
    {
      name: 'consent after a warning',
      open: async (page) => {
        await ask(page, 'maria', { client_id: 'demo-declined' })
        await page.locator('button[form=pass]').click()
      },
      sign: '.bundles',
    },
    { name: 'consent', open: (page) => ask(page, 'maria'), sign: '.bundles' },
    {
      name: 'consent for another person, every group open',
      open: async (page) => {
        await ask(page, 'david')
        await choosePatient(page, 'Lucy Okafor')
        await openAll(page)
      },
      sign: '[name=type][value=Goal]',
    },
    {
      name: 'consent with a fault',
      open: async (page) => {
        await ask(page, 'maria', {
          scope: 'launch/patient offline_access patient/Coverage.rs patient/Observation.rs?category=survey',
        })
        for (const box of ['Coverage', 'Observation/survey']) await (await boxOf(page, box)).uncheck()
        await page.locator('[name=duration][value=date]').check()
        await shareButton(page).click()
      },
      sign: '#fault',
      status: 400,
    },
    { name: 'no coverage', open: (page) => ask(page, 'noor'), sign: 'form[action$="/deny"] .button' },
    {
      name: 'the way back by a link',
      open: async (page) => {
        await ask(page, 'maria', { client_id: 'six', redirect_uri: 'http://[::1]:9417/callback' })
        await shareButton(page).click()
      },
      sign: 'a.button',
    },
    {
      name: 'sign-out',
      open: async (page) => {
        await ask(page, 'maria')
        await shareButton(page).waitFor()
        await page.goto(`${server.url}/prairie/sandbox/sign-out`)
      },
      sign: 'form[action$="/sign-out"]',
    },
    { name: 'sign-out of nobody', open: (page) => page.goto(`${server.url}/v5/summit/sign-out`).then(), sign: 'h1' },
    {
      name: 'signed out',
      open: async (page) => {
        await ask(page, 'maria')
        await shareButton(page).waitFor()
        await page.goto(`${server.url}/prairie/sandbox/sign-out`)
        await page.locator('form[action$="/sign-out"] button').click()
      },
      sign: 'main:not(:has(form))',
    },
    {
      name: 'an error',
      open: (page) => ask(page, undefined, { redirect_uri: 'https://elsewhere.example/' }),
      sign: '.reference',
      status: 400,
    },
    {
      name: 'the letters',
      open: async (page) => {
        await connectAs(page, server.url, 'maria')
        await page.goto(`${server.url}/prairie/sandbox/letters`)
      },
      sign: '.letter',
    },
    { name: 'the demonstration app', open: (page) => page.goto(demoOf(server.url)).then(), sign: '[data-choice]' },
    {
      name: 'a record in the demonstration app',
      open: async (page) => {
        await connectAs(page, server.url, 'david', 'Lucy Okafor')
        await page.evaluate(`document.querySelectorAll('details').forEach((each) => { each.open = true })`)
      },
      sign: '[data-disconnect]',
    },
    {
      name: 'a problem in the demonstration app',
      open: (page) => page.goto(`${demoOf(server.url)}?error=access_denied&state=x`).then(),
      sign: '[data-problem-title]',
    },
  ]

  describe.each([
    ['en', 'en-US'],
    ['es', 'es-MX'],
  ])('in %s', (language, locale) => {
    it.each(pages)('$name: fits, and axe finds nothing', ({ name, open, sign, status }) =>
      withPerson(
        browser,
        { locale, expects: status ? [new RegExp(`status of (${status}|429)`)] : [] },
        async ({ page }) => {
          await open(page, `${name} in ${language}`)
          await page.locator(sign).first().waitFor()
          expect(await page.locator('html').getAttribute('lang')).toBe(language)
          // 640 is 200% zoom of 1280, and 320 is 400% (WCAG 2.2, 1.4.4 and 1.4.10).
          for (const width of [1280, 640, 320, 390]) {
            await page.setViewportSize({ width, height: 900 })
            expect(await overflow(page), `${width} px`).toEqual([])
          }
          expect(await accessibilityFaults(page), 'light').toEqual([])
          // Colours are the same in every language.
          if (language !== 'en') return
          await page.emulateMedia({ colorScheme: 'dark' })
          await page.setViewportSize({ width: 1280, height: 900 })
          expect(await accessibilityFaults(page, 'contrast'), 'dark').toEqual([])
        },
      ),
    )
  })

  it('keeps edges, choices and focus visible in forced colours', () =>
    withPerson(browser, { forcedColors: 'active' }, async ({ page }) => {
      const bare = `[...document.querySelectorAll('.button, input.field, .choice')].filter((each) => {
        const { borderTopWidth, borderTopStyle } = getComputedStyle(each)
        return borderTopWidth === '0px' || borderTopStyle === 'none'
      }).length`
      await ask(page)
      expect(await page.evaluate(bare)).toBe(0)
      await signIn(page, 'david')
      await page.getByRole('radio').first().check()
      expect(await page.evaluate(bare)).toBe(0)
      const outlines = `[...document.querySelectorAll('.choice')].map((each) => getComputedStyle(each).outlineStyle)`
      expect(await page.evaluate(outlines)).toEqual(['solid', 'none', 'none'])
      expect(await accessibilityFaults(page)).toEqual([])
    }))
})
