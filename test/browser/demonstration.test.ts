/** The demonstration app, as a newcomer meets it. */
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { demoApp, refresh } from '../support/authorize.ts'
import { launchBrowser, type Person, withPerson } from '../support/browser.ts'
import { chromium } from '../support/machine.ts'
import { startServer, type TestServer } from '../support/server.ts'
import {
  boxOf,
  choosePatient,
  connect,
  connectAs,
  demoOf,
  denyButton,
  recordShown,
  shareButton,
  signIn,
  tokensOf,
} from '../support/steps.ts'
import { claimsOf } from '../support/wire.ts'

describe.skipIf(!chromium)('the demonstration in a real browser', () => {
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

  const story = (tell: (person: Person) => Promise<void>) => () => withPerson(browser, {}, tell)
  const section = (page: Page, type: string) => page.locator(`[data-type=${type}]`)
  const heading = (page: Page) => page.locator('h1:visible').textContent()

  it(
    'leads a newcomer from the first page to their own data, the token behind it, a new token and the end (R10)',
    story(async ({ page }) => {
      await page.goto(server.url)
      await page.getByRole('link', { name: 'Try the demonstration app' }).click()
      await page.getByRole('button', { name: 'Connect to Prairie Health Plan' }).click()

      await page.getByText('Prairie Sandbox Viewer wants to connect to your health records').waitFor()
      await page.getByLabel('User name').fill('maria')
      await page.getByLabel('Password').fill('prairie-sandbox-1')
      await page.getByRole('button', { name: 'Sign in' }).click()

      await page.getByRole('heading', { name: 'Share your health records with Prairie Sandbox Viewer?' }).waitFor()
      await page.getByRole('button', { name: 'Share', exact: true }).click()

      await recordShown(page)
      expect(await heading(page)).toBe('Maria Alvarez')
      expect(await page.locator('[data-whose]').textContent()).toBe('This is your own record.')
      expect(await section(page, 'Patient').textContent()).toContain('March 12, 1984')
      expect(await section(page, 'Coverage').textContent()).toMatch(/Prairie Choice PPO[\s\S]*Active/)
      expect(await section(page, 'ExplanationOfBenefit').locator('li').count()).toBe(5)
      expect(await section(page, 'ExplanationOfBenefit').textContent()).toMatch(/Billed\s*\$\d[\s\S]*Plan paid\s*\$\d/)
      for (const type of ['Condition', 'MedicationRequest', 'Observation', 'Immunization', 'AllergyIntolerance'])
        expect(await section(page, type).locator('li').count(), type).toBeGreaterThan(0)
      await section(page, 'ExplanationOfBenefit').getByRole('button', { name: 'Show more' }).click()
      await section(page, 'ExplanationOfBenefit').locator('li').nth(9).waitFor()
      expect(new URL(page.url()).search, 'no code stays in the address').toBe('')

      const claims = page.locator('[data-token-claims]')
      expect(await claims.locator('tr', { hasText: 'Whose record it opens' }).textContent()).toContain('maria')
      expect(await claims.textContent()).toContain(`${server.url}/prairie/sandbox/fhir`)
      expect(await page.locator('[data-countdown]').textContent()).toMatch(/ends in (10:00|9:\d\d)/)

      const before = await tokensOf(page)
      await page.getByRole('button', { name: 'Refresh' }).click()
      await page.getByText('There is a new access token').waitFor()
      const after = await tokensOf(page)
      expect(after.access_token).not.toBe(before.access_token)
      expect(after.patient).toBe('maria')

      await page.getByRole('button', { name: 'Disconnect' }).click()
      await page.getByText('The plan has ended this connection').waitFor()
      expect(await page.getByText('Maria Alvarez').count(), 'only the list of people to try').toBe(1)
      const again = await refresh(demoApp(server.url), after.refresh_token ?? '')
      expect([again.status, again.body.error]).toEqual([400, 'invalid_grant'])
    }),
  )

  it.each([
    ['Lucy Okafor', 'lucy'],
    ['Elena Okafor', 'elena'],
  ])('says whose data it is when a delegate shares those of %s (R21, R32)', (name, id) =>
    withPerson(browser, {}, async ({ page }) => {
      await page.goto(demoOf(server.url))
      await connect(page)
      await signIn(page, 'david')
      await choosePatient(page, name)
      expect(await heading(page)).toContain(`Share ${name}’s health records`)
      expect(await page.locator('main').textContent()).toContain(`the records of ${name}, for whom you act`)
      expect(await page.locator('main').textContent()).toContain('Signed in as David Okafor.')
      await shareButton(page).click()
      await recordShown(page)
      expect(await heading(page)).toBe(name)
      expect(await page.locator('[data-whose]').textContent()).toBe(
        `This is the record of ${name}. You signed in as David Okafor, who may act for them.`,
      )
      expect(claimsOf((await tokensOf(page)).access_token)).toMatchObject({
        patient: id,
        fhirUser: expect.stringMatching(`/RelatedPerson/david-${id}$`),
      })
    }),
  )

  it(
    'tells a member without coverage at once, and one button leads back to the app',
    story(async ({ page }) => {
      await page.goto(demoOf(server.url))
      await connect(page)
      await signIn(page, 'noor')
      expect(await heading(page)).toBe('We found no health coverage for you')
      const buttons = page.locator('main button:not(.link)')
      expect(await buttons.allTextContents()).toEqual(['Return to Prairie Sandbox Viewer'])
      await buttons.click()
      await page.getByRole('heading', { name: 'Nothing was shared' }).waitFor()
      const told = await page.locator('[data-problem-got]').textContent()
      expect(told).toContain('access_denied')
      expect(told).toContain('no_coverage')
    }),
  )

  it(
    'shares exactly what is left ticked, and for once if asked to (R7, R22, R23)',
    story(async ({ page }) => {
      await page.goto(demoOf(server.url))
      await connect(page)
      await signIn(page, 'maria')
      const unticked = ['ExplanationOfBenefit', 'Condition', 'MedicationRequest', 'Observation']
      for (const type of ['ExplanationOfBenefit', 'MedicationRequest']) await (await boxOf(page, type)).uncheck()
      for (const group of ['Condition', 'Observation']) {
        await page
          .locator('details:not([open])')
          .filter({ has: page.locator(`[value^="${group}/"]`) })
          .locator('summary')
          .click()
        for (const box of await page.locator(`[name=category][value^="${group}/"]`).all()) await box.uncheck()
      }
      expect(await page.locator('details', { hasText: 'Medicines' }).locator('.state:visible').textContent()).toBe(
        'Some',
      )
      await page.locator('[name=duration][value=once]').check()
      await shareButton(page).click()
      await recordShown(page)
      for (const type of unticked) {
        expect(await section(page, type).textContent(), type).toContain('You did not share this.')
        expect(await section(page, type).locator('li').count(), type).toBe(0)
      }
      for (const type of ['Coverage', 'Immunization', 'AllergyIntolerance'])
        expect(await section(page, type).locator('li').count(), type).toBeGreaterThan(0)
      await page.getByText('You did not let the app stay connected').waitFor()
      expect(await page.getByRole('button', { name: 'Refresh' }).isDisabled()).toBe(true)

      const tokens = await tokensOf(page)
      const resources = server.settings.plans[0]?.environments[0]?.apis[0]?.resources ?? []
      const left = resources.filter((type) => !unticked.includes(type)).map((type) => `patient/${type}.rs`)
      expect(tokens.refresh_token).toBeUndefined()
      expect(tokens.scope.split(' ').sort()).toEqual(['fhirUser', 'launch/patient', 'openid', ...left].sort())
      expect(claimsOf(tokens.access_token).scope).toBe(tokens.scope)
    }),
  )

  it('asks again when nothing is ticked, with what was there before', () =>
    withPerson(browser, { expects: [/status of 400/] }, async ({ page }) => {
      await page.goto(demoOf(server.url))
      await page.getByLabel('Coverage and claims only').check()
      await connect(page)
      await signIn(page, 'maria')
      for (const type of ['Patient', 'Coverage', 'ExplanationOfBenefit']) await (await boxOf(page, type)).uncheck()
      await page.locator('[name=duration][value=once]').check()
      await shareButton(page).click()
      await page.getByRole('alert').getByText('Nothing is checked').waitFor()
      expect(await page.locator('[name=duration][value=once]').isChecked()).toBe(true)
      await (await boxOf(page, 'Coverage')).check()
      await shareButton(page).click()
      await page.locator('[data-state=connected]').waitFor()
      expect((await tokensOf(page)).scope).toBe('openid fhirUser launch/patient patient/Coverage.rs')
    }))

  it(
    'tells the app no when the member denies (R27)',
    story(async ({ page }) => {
      await page.goto(demoOf(server.url))
      await connect(page)
      await signIn(page, 'maria')
      await denyButton(page).click()
      await page.getByRole('heading', { name: 'Nothing was shared' }).waitFor()
      expect(await page.locator('[data-problem-got]').textContent()).toContain('access_denied')
      await page.getByRole('button', { name: 'Start again' }).click()
      await connect(page)
      await shareButton(page).click()
      await recordShown(page)
    }),
  )

  it(
    'lets another member take over at the consent page (R21)',
    story(async ({ page }) => {
      await page.goto(demoOf(server.url))
      await connect(page)
      await signIn(page, 'david')
      await choosePatient(page, 'David Okafor')
      await page.getByRole('button', { name: 'Switch account' }).click()
      await signIn(page, 'maria')
      await page.getByText('Signed in as Maria Alvarez.').waitFor()
      await shareButton(page).click()
      await recordShown(page)
      expect(await heading(page)).toBe('Maria Alvarez')
    }),
  )

  it(
    'writes a letter about the new connection, and signs out',
    story(async ({ page }) => {
      await connectAs(page, server.url, 'david', 'Lucy Okafor')
      await page.goto(`${server.url}/prairie/sandbox/letters`)
      await page.locator('article', { hasText: 'health records of Lucy Okafor' }).first().waitFor()
      await page.goto(`${server.url}/prairie/sandbox/sign-out`)
      await page.getByText('Signed in as David Okafor.').waitFor()
      await page.getByRole('button', { name: 'Sign out' }).click()
      await page.getByRole('heading', { name: 'You are signed out' }).waitFor()
      await page.goto(demoOf(server.url))
      await page.getByRole('button', { name: 'Start again' }).click()
      await connect(page)
      await page.locator('[name=password]').waitFor()
    }),
  )
})
