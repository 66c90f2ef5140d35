/** The interaction itself: without JavaScript, by keyboard alone, in Spanish, and when somebody goes back or presses twice. */
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { authorizationUrl, demoApp, exchange, pkce } from '../support/authorize.ts'
import { launchBrowser, type PersonOptions, withPerson } from '../support/browser.ts'
import { type BrowserApp, startBrowserApp } from '../support/browser-app.ts'
import { chromium } from '../support/machine.ts'
import { startServer, type TestServer } from '../support/server.ts'
import {
  boxOf,
  choosePatient,
  connect,
  demoOf,
  denyButton,
  recordShown,
  shareButton,
  signIn,
} from '../support/steps.ts'
import { claimsOf } from '../support/wire.ts'

describe.skipIf(!chromium)('the interaction in a real browser', () => {
  let server: TestServer
  let browser: Browser
  let other: BrowserApp

  beforeAll(async () => {
    server = await startServer()
    other = await startBrowserApp()
    browser = await launchBrowser()
  })
  afterAll(async () => {
    await browser?.close()
    other?.close()
    await server?.close()
  })

  const ask = (more: Record<string, string> = {}) => {
    const { verifier, challenge } = pkce()
    const app = { ...demoApp(server.url), redirectUri: `${other.origin}/callback` }
    return { url: authorizationUrl(app, challenge, more), tokens: (code: string) => exchange(app, code, verifier) }
  }
  const answerAt = async (page: Page): Promise<URLSearchParams> => {
    await page.waitForURL(`${other.origin}/callback*`)
    return new URL(page.url()).searchParams
  }
  const grants = (): number => {
    const database = new DatabaseSync(join(server.folder, 'latchkey.db'), { readOnly: true })
    const row = database.prepare('select count(*) as count from grants').get()
    database.close()
    return Number(row?.count)
  }
  const heading = (page: Page) => page.locator('h1:visible').textContent()
  const withoutScript: PersonOptions = { javaScriptEnabled: false }

  describe('without JavaScript (R30)', () => {
    it('goes from sign-in to sharing, with a choice of person and of records', () =>
      withPerson(browser, withoutScript, async ({ page }) => {
        const { url, tokens } = ask()
        await page.goto(url)
        await signIn(page, 'david')
        await choosePatient(page, 'Elena Okafor')
        await (await boxOf(page, 'MedicationStatement')).uncheck()
        await shareButton(page).click()
        const { status, body } = await tokens((await answerAt(page)).get('code') ?? '')
        expect(status).toBe(200)
        expect(body.patient).toBe('elena')
        expect(body.scope).not.toContain('MedicationStatement')
        expect(body.scope).toContain('patient/MedicationRequest.rs')
      }))

    it('denies, cancels at sign-in and at the choice of person, and signs out', () =>
      withPerson(browser, withoutScript, async ({ page }) => {
        await page.goto(ask().url)
        await page.getByRole('button', { name: 'Cancel and return' }).click()
        expect((await answerAt(page)).get('error')).toBe('access_denied')
        await page.goto(ask().url)
        await signIn(page, 'david')
        await page.getByRole('button', { name: 'Cancel and return' }).click()
        expect((await answerAt(page)).get('error')).toBe('access_denied')
        await page.goto(ask().url)
        await choosePatient(page, 'David Okafor')
        await denyButton(page).click()
        expect((await answerAt(page)).get('error')).toBe('access_denied')
        await page.goto(`${server.url}/prairie/sandbox/sign-out`)
        await page.getByRole('button', { name: 'Sign out' }).click()
        expect(await heading(page)).toBe('You are signed out')
      }))

    it('says what a wrong password means, and keeps the name', () =>
      withPerson(browser, { ...withoutScript, expects: [/status of 400/] }, async ({ page }) => {
        await page.goto(ask().url)
        await signIn(page, 'maria', 'not-it')
        await page.getByRole('alert').getByText('do not match').waitFor()
        expect(await page.locator('[name=username]').inputValue()).toBe('maria')
        expect(await page.locator('[name=password]').inputValue()).toBe('')
      }))

    it('tells the visitor of the demonstration app that this one needs it', () =>
      withPerson(browser, withoutScript, async ({ page }) => {
        await page.goto(demoOf(server.url))
        expect(await page.locator('noscript p').textContent()).toContain('needs JavaScript')
        expect(await page.locator('noscript p').isVisible()).toBe(true)
        expect(await page.locator('[data-choice]').isVisible()).toBe(false)
      }))
  })

  describe('by keyboard alone (R30)', () => {
    /** What has the focus, and whether a person can see that it has. */
    const focused = async (page: Page): Promise<string> => {
      const { name, seen } = await page.evaluate<{ name: string; seen: boolean }>(`(() => {
        const element = document.activeElement
        const label = element.labels?.[0]?.querySelector('strong') ?? element.labels?.[0]
        const text = (element.querySelector('summary strong') ?? element).textContent
        const { outlineStyle, outlineWidth } = getComputedStyle(element)
        const { top, bottom, width } = element.getBoundingClientRect()
        const seen = element.matches(':focus-visible') && outlineStyle !== 'none' && parseFloat(outlineWidth) >= 2 &&
          width > 0 && top >= 0 && bottom <= innerHeight
        return { name: (label?.textContent ?? text).replace(/\\s+/g, ' ').trim(), seen }
      })()`)
      expect(seen, `the focus on "${name}" is visible`).toBe(true)
      return name
    }
    /** Presses Tab until `name` has the focus; returns every stop on the way. */
    const tabTo = async (page: Page, name: string): Promise<string[]> => {
      const stops: string[] = []
      while (stops.at(-1) !== name) {
        await page.keyboard.press('Tab')
        stops.push(await focused(page))
        expect(stops.length, stops.join(' → ')).toBeLessThan(60)
      }
      return stops
    }

    it('walks from sign-in to sharing, in the order in which the page is read, and always sees where it is', () =>
      withPerson(browser, { height: 700 }, async ({ page }) => {
        const { url, tokens } = ask()
        await page.goto(url)
        expect(await tabTo(page, 'Password')).toEqual(['Skip to main content', 'Español', 'User name', 'Password'])
        await page.keyboard.press('Shift+Tab')
        await page.keyboard.type('david')
        await page.keyboard.press('Tab')
        await page.keyboard.type('prairie-sandbox-1')
        await page.keyboard.press('Enter')

        await page.locator('[name=patient]').first().waitFor()
        expect(await tabTo(page, 'David Okafor')).toEqual([
          'Skip to main content',
          'Español',
          'Switch account',
          'David Okafor',
        ])
        await page.keyboard.press('ArrowDown')
        await page.keyboard.press('ArrowDown')
        expect(await focused(page)).toBe('Lucy Okafor')
        expect(await tabTo(page, 'Continue')).toEqual(['Continue'])
        await page.keyboard.press('Enter')

        await shareButton(page).waitFor()
        expect(await tabTo(page, 'Claims and costs')).toEqual([
          'Skip to main content',
          'Español',
          'Switch account',
          'Choose another person’s records',
          'Website (opens in a new tab)',
          'Privacy policy (opens in a new tab)',
          'Personal information',
          'Health coverage',
          'Claims and costs',
        ])
        await page.keyboard.press('Space')
        await tabTo(page, 'Medicines')
        await page.keyboard.press('Enter')
        await tabTo(page, 'Prescriptions')
        await page.keyboard.press('Space')
        const rest = await tabTo(page, 'Share')
        expect(rest.slice(rest.indexOf('Plan details'))).toEqual([
          'Plan details',
          'Alcohol and drug use',
          'Mental health',
          'Sexual and reproductive health',
          'HIV',
          'For 1 year',
          expect.stringMatching(/\/prairie\/sandbox\/connections \(opens in a new tab\)$/),
          '1-800-555-0142',
          'See 7 more answers',
          'How to choose an app and keep your records safe (opens in a new tab)',
          'Deny',
          'Share',
        ])
        await page.keyboard.press('Enter')
        const { body } = await tokens((await answerAt(page)).get('code') ?? '')
        expect(claimsOf(body.access_token).patient).toBe('lucy')
        expect(body.scope).not.toMatch(/\.rs.*ExplanationOfBenefit|MedicationRequest/)
        expect(body.scope).toContain('patient/MedicationDispense.rs')
      }))

    it('skips to the main content, and starts at what went wrong', () =>
      withPerson(browser, { expects: [/status of 400/] }, async ({ page }) => {
        await page.goto(ask().url)
        await page.keyboard.press('Tab')
        await page.keyboard.press('Enter')
        expect(await tabTo(page, 'User name')).toEqual(['User name'])
        await signIn(page, 'maria', 'not-it')
        await page.getByRole('alert').waitFor()
        expect(await page.evaluate('document.activeElement.id')).toBe('fault')
        await page.keyboard.press('Tab')
        await page.keyboard.press('Enter')
        expect(await page.evaluate('document.activeElement.id')).toBe('username')
      }))
  })

  describe('in Spanish (R31)', () => {
    const spanish = async (page: Page) => {
      expect(await page.locator('html').getAttribute('lang')).toBe('es')
      await page.getByRole('heading', { name: 'Inicie sesión' }).waitFor()
    }

    it('by the wish of the app', () =>
      withPerson(browser, {}, async ({ page }) => {
        await page.goto(ask({ ui_locales: 'es-PR es' }).url)
        await spanish(page)
        await signIn(page, 'maria')
        await shareButton(page).waitFor()
        expect(await heading(page)).toContain('¿')
      }))

    it('by the setting of the browser, from the first page to the record', () =>
      withPerson(browser, { locale: 'es-MX' }, async ({ page }) => {
        await page.goto(server.url)
        await page.locator('.intro .button').click()
        await connect(page)
        await spanish(page)
        await signIn(page, 'maria')
        await shareButton(page).click()
        await recordShown(page)
        expect(await page.locator('[data-whose]').textContent()).toBe('Este es su propio historial.')
        expect(await page.locator('[data-type=Patient]').textContent()).toContain('12 de marzo de 1984')
      }))

    it('by the switch in the middle of it, which loses nothing', () =>
      withPerson(browser, {}, async ({ page }) => {
        const { url, tokens } = ask()
        await page.goto(url)
        await page.getByRole('link', { name: 'Español' }).click()
        await spanish(page)
        await signIn(page, 'david')
        await page.locator('[name=patient]').first().waitFor()
        await page.getByRole('link', { name: 'English' }).click()
        await choosePatient(page, 'Lucy Okafor')
        expect(await heading(page)).toContain('Share Lucy Okafor’s health records')
        await page.getByRole('button', { name: 'Español' }).click()
        await page.locator('html[lang=es]').waitFor()
        expect(await heading(page)).toMatch(/^¿.*Lucy Okafor/)
        await shareButton(page).click()
        const { body } = await tokens((await answerAt(page)).get('code') ?? '')
        expect(body.patient).toBe('lucy')
      }))
  })

  describe('going back and pressing twice', () => {
    it('says in plain words that the decision was made, to whoever goes back after sharing', () =>
      withPerson(browser, { expects: [/status of 409/] }, async ({ page }) => {
        await page.goto(ask().url)
        await signIn(page, 'maria')
        await shareButton(page).click()
        await answerAt(page)
        await page.goBack()
        expect(await heading(page)).toBe('You already decided')
        await page.getByText('Go back to the app to see if it is connected').waitFor()
        expect(await page.locator('.reference code').textContent()).toMatch(/\S/)
        await page.getByRole('link', { name: '1-800-555-0142' }).first().waitFor()
      }))

    it('goes on with the same authorization from a window that stayed at an earlier step', () =>
      withPerson(browser, {}, async ({ page, context }) => {
        await page.goto(ask().url)
        const second = await context.newPage()
        await second.goto(page.url())
        await signIn(page, 'david')
        await page.locator('[name=patient]').first().waitFor()
        await signIn(second, 'david')
        await second.locator('[name=patient]').first().waitFor()
        await choosePatient(page, 'Lucy Okafor')
        await choosePatient(second, 'David Okafor')
        expect(await heading(second)).toContain('Share Lucy Okafor’s health records')
        await page.goBack()
        expect(await heading(page)).toContain('Share Lucy Okafor’s health records')
      }))

    it('says that the page of another browser, or of yesterday, is no longer open, and what to do', () =>
      withPerson(browser, { expects: [/status of 400/] }, async ({ page, context }) => {
        await page.goto(ask().url)
        await context.clearCookies()
        await signIn(page, 'maria')
        expect(await heading(page)).toBe('This page is no longer open')
        await page.getByText('Go back to the app and start again').waitFor()
        await page.getByRole('link', { name: '1-800-555-0142' }).first().waitFor()
      }))

    it('keeps two authorizations in two windows apart', () =>
      withPerson(browser, {}, async ({ page, context }) => {
        const [one, two] = [ask(), ask({ scope: 'launch/patient patient/Coverage.rs' })]
        await page.goto(one.url)
        const second = await context.newPage()
        await second.goto(two.url)
        await signIn(page, 'maria')
        await shareButton(page).waitFor()
        await signIn(second, 'maria')
        await shareButton(second).click()
        await shareButton(page).click()
        expect((await two.tokens((await answerAt(second)).get('code') ?? '')).body.scope).toBe(
          'launch/patient patient/Coverage.rs',
        )
        expect((await one.tokens((await answerAt(page)).get('code') ?? '')).body.scope).toContain('patient/*.rs')
      }))

    it('decides once when the button is pressed twice', () =>
      withPerson(browser, {}, async ({ page }) => {
        const { url, tokens } = ask()
        await page.goto(url)
        await signIn(page, 'maria')
        const before = grants()
        await shareButton(page).dblclick()
        const answer = await answerAt(page)
        expect((await tokens(answer.get('code') ?? '')).status).toBe(200)
        expect(grants()).toBe(before + 1)
      }))
  })
})
