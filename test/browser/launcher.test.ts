/** Apps opened as a portal or an EHR opens them, from the sandbox's launcher, in a real browser with fhirclient. */
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { accessibilityFaults, launchBrowser, overflow, type PersonOptions, withPerson } from '../support/browser.ts'
import { chromium } from '../support/machine.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { recordShown, shareButton, signIn, tickEverything } from '../support/steps.ts'

describe.skipIf(!chromium)('the launcher in a real browser', () => {
  let server: TestServer
  let browser: Browser

  beforeAll(async () => {
    server = await startServer()
    browser = await launchBrowser()
  })
  afterAll(async () => {
    await browser?.close()
    await server?.close()
  })

  const issuer = () => `${server.url}/prairie/sandbox`
  const story =
    (tell: (page: Page) => Promise<void>, options: PersonOptions = {}) =>
    () =>
      withPerson(browser, options, ({ page }) => tell(page))

  const launch = (page: Page) => page.getByRole('button', { name: 'Launch', exact: true }).click()
  const firstVisit = (page: Page, patient: string) =>
    page.locator(`#encounter optgroup[label="${patient}"] option`).first().getAttribute('value')
  const launched = async (page: Page): Promise<Record<string, string>> => {
    await page.locator('[data-launched]:not([hidden])').waitFor()
    const rows = await page.locator('[data-launched-context] > div').all()
    const said = await Promise.all(
      rows.map(async (row) => [await row.locator('dt').textContent(), await row.locator('dd').textContent()]),
    )
    return Object.fromEntries(said)
  }

  it(
    'opens the demonstration app for a practitioner, with patient, visit and context [SMART app-launch.ehr-launch-url, scopes.context-parameters]',
    story(async (page) => {
      await page.goto(`${issuer()}/launcher`)
      await page.getByLabel('Who is signed in').selectOption('dr.testwell|maria')
      const visit = (await firstVisit(page, 'Maria Alvarez')) ?? ''
      await page.getByLabel('Visit', { exact: true }).selectOption(visit)
      await page.getByLabel('Must the app show').selectOption('true')
      await page.getByLabel('Intent').fill('reconcile-medications')
      await page.getByLabel('More resources').fill('[{"reference":"Coverage/maria-coverage-1"}]')
      await launch(page)
      await page.waitForURL(/\/interaction\//)
      expect(await page.locator('main').textContent()).not.toContain('your health records')
      await signIn(page, 'dr.testwell')
      await page.locator('form[action$="/allow"] button:not([form])').click()
      await recordShown(page)
      expect(await page.locator('[data-person]').textContent()).toBe('Maria Alvarez')
      expect(await page.locator('[data-whose]').textContent()).toContain('who gives care')
      const said = await launched(page)
      expect(said).toMatchObject({
        Patient: 'maria',
        Visit: visit.split('|')[1],
        Intent: 'reconcile-medications',
        'Must the app show whose records these are?': 'true',
        'More resources': '[{"reference":"Coverage/maria-coverage-1"}]',
      })
      expect(said['Who signed in']).toMatch(/\/Practitioner\//)
      expect(said['How to look']).toMatch(/\/styles\/[\w-]{16}\.json$/)
      expect(page.url()).toBe(`${issuer()}/demo/`)
      expect(await overflow(page)).toEqual([])
      expect(await accessibilityFaults(page)).toEqual([])
    }),
  )

  it(
    'opens it for a member, who is not asked whose records it is about',
    story(async (page) => {
      await page.goto(`${issuer()}/launcher`)
      await page.getByLabel('Who is signed in').selectOption('david|lucy')
      await launch(page)
      await page.waitForURL(/\/interaction\//)
      await signIn(page, 'david')
      await tickEverything(page)
      expect(await page.locator('h1').textContent()).toContain('Lucy Okafor')
      await shareButton(page).click()
      await recordShown(page)
      expect((await launched(page)).Patient).toBe('lucy')
      await page.getByRole('button', { name: 'Refresh' }).click()
      await page
        .getByText(/new (?:access )?token/i)
        .first()
        .waitFor()
    }),
  )

  it(
    'is of no use to another person',
    story(async (page) => {
      await page.goto(`${issuer()}/launcher`)
      await page.getByLabel('Who is signed in').selectOption('maria|maria')
      await launch(page)
      await page.waitForURL(/\/interaction\//)
      await signIn(page, 'david')
      await page.waitForLoadState()
      const text = (await page.locator('main').textContent()) ?? ''
      expect(text).not.toContain('Maria')
      expect(await page.locator('form[action$="/consent"]').count()).toBe(0)
    }),
  )

  it(
    'works once: the address that was copied opens nothing the second time',
    story(
      async (page) => {
        await page.goto(`${issuer()}/launcher`)
        await page.getByLabel('Who is signed in').selectOption('maria|maria')
        await page.getByRole('button', { name: 'Show the address only' }).click()
        const address = await page.getByLabel('Address to copy').inputValue()
        const { searchParams } = new URL(address)
        expect(searchParams.get('iss')).toBe(`${issuer()}/fhir`)
        expect(searchParams.get('launch')).toMatch(/^[\w-]{43}$/)
        await page.goto(address)
        await page.waitForURL(/\/interaction\//)
        await page.goto(address)
        await page.locator('[data-state=problem]:not([hidden]) h1').waitFor()
        expect(await page.locator('[data-problem-got]').textContent()).toContain('invalid_request')
      },
      { expects: [/status of 400/] },
    ),
  )

  it(
    'has an app that goes to the server it knows, whatever the address says',
    story(async (page) => {
      for (const query of ['iss=https://evil.example.org/fhir&launch=x', `iss=${issuer()}/fhir`, 'launch=x']) {
        await page.goto(`${issuer()}/demo/launch?${query}`)
        await page.getByRole('heading', { name: 'The app does not know this server' }).waitFor()
        expect(page.url()).toBe(`${issuer()}/demo/launch`)
      }
    }),
  )

  it(
    'works without JavaScript, as far as the app',
    story(
      async (page) => {
        await page.goto(`${issuer()}/launcher`)
        await page.getByLabel('Who is signed in').selectOption('dr.testwell|david')
        await launch(page)
        await page.waitForURL(/\/demo\/launch\?/)
        const { searchParams } = new URL(page.url())
        expect([...searchParams.keys()]).toEqual(['iss', 'launch'])
      },
      { javaScriptEnabled: false },
    ),
  )

  const looks: [string, PersonOptions][] = [
    ['a phone', { width: 390 }],
    ['a phone in Spanish', { width: 390, locale: 'es-US' }],
    ['a small phone, enlarged', { width: 320 }],
    ['a desktop in the dark', { width: 1280, colorScheme: 'dark' }],
  ]
  it.each(looks)('fits at %s, and axe finds nothing: launcher, faults, result', (_what, options) =>
    withPerson(browser, { ...options, expects: [/status of 400/] }, async ({ page }) => {
      const check = async () => {
        expect(await overflow(page)).toEqual([])
        expect(await accessibilityFaults(page)).toEqual([])
      }
      await page.goto(`${issuer()}/launcher`)
      await check()
      await page.locator('form.parts .buttons button').first().click()
      await page.locator('#fault').waitFor()
      await check()
      await page.locator('#who').selectOption('maria|maria')
      await page.locator('button[name=show]').click()
      await page.locator('#address').waitFor()
      await check()
    }),
  )

  it.each(looks)(
    'the choice of a visit and the page before signing out fit at %s, and axe finds nothing',
    (_what, options) =>
      withPerson(browser, options, async ({ page }) => {
        const url = new URL(`${issuer()}/authorize`)
        const params = {
          response_type: 'code',
          client_id: 'demo-public',
          redirect_uri: 'http://127.0.0.1:8123/callback',
          scope: 'openid launch/patient launch/encounter online_access offline_access patient/*.rs',
          state: 'state',
          aud: `${issuer()}/fhir`,
          code_challenge: '47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU',
          code_challenge_method: 'S256',
        }
        for (const [name, value] of Object.entries(params)) url.searchParams.set(name, value)
        await page.goto(url.href)
        await signIn(page, 'maria')
        await page.locator('[name=encounter]').first().waitFor()
        await page.locator('details summary').click()
        expect(await overflow(page)).toEqual([])
        expect(await accessibilityFaults(page)).toEqual([])
        await page.goto(`${issuer()}/logout?client_id=demo-public`)
        expect(await overflow(page)).toEqual([])
        expect(await accessibilityFaults(page)).toEqual([])
      }),
  )
})
