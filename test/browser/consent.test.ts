/** The consent page as people use it: whole and narrowed, by category, each duration, sensitive records, in any way of reading (R21 to R34). */
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { authorizationUrl, demoApp, exchange, pkce } from '../support/authorize.ts'
import { accessibilityFaults, launchBrowser, overflow, type PersonOptions, withPerson } from '../support/browser.ts'
import { type BrowserApp, startBrowserApp } from '../support/browser-app.ts'
import { chromium } from '../support/machine.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { boxOf, choosePatient, denyButton, shareButton, signIn, tickEverything } from '../support/steps.ts'
import { claimsOf } from '../support/wire.ts'

const all = 'openid fhirUser launch/patient offline_access patient/*.rs'

describe.skipIf(!chromium)('the consent page in a real browser', () => {
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

  /** From the app to the consent page, as it is at first. */
  const arrive = async (page: Page, { scope = all, member = 'maria', patient = '' } = {}) => {
    const { verifier, challenge } = pkce()
    const app = { ...demoApp(server.url), redirectUri: `${other.origin}/callback` }
    await page.goto(authorizationUrl(app, challenge, { scope }))
    await signIn(page, member)
    if (patient) await choosePatient(page, patient)
    await tickEverything(page)
    return async () => {
      await page.waitForURL(`${other.origin}/callback*`)
      return (await exchange(app, new URL(page.url()).searchParams.get('code') ?? '', verifier)).body
    }
  }
  const stateOf = async (page: Page, group: string) =>
    (await page.locator('details', { hasText: group }).locator('.state:visible').textContent())?.trim()
  const duration = (page: Page, value: string) => page.locator(`[name=duration][value=${value}]`)
  const lastEnd = (): number => {
    const database = new DatabaseSync(join(server.folder, 'latchkey.db'), { readOnly: true })
    const row = database.prepare('select ends_at from consents order by decided_at desc limit 1').get()
    database.close()
    return Number(row?.ends_at)
  }
  const story =
    (tell: (page: Page) => Promise<void>, options: PersonOptions = {}) =>
    () =>
      withPerson(browser, options, ({ page }) => tell(page))

  it(
    'shares everything that was asked, and nothing sensitive',
    story(async (page) => {
      const tokens = await arrive(page)
      expect(await stateOf(page, 'Tests and results')).toBe('All 7')
      await shareButton(page).click()
      const { scope, access_token } = await tokens()
      expect(scope.split(' ')).toContain('patient/*.rs')
      expect(claimsOf(access_token)).not.toHaveProperty('sensitivities')
    }),
  )

  it(
    'shares what is left of types and categories, and says so as boxes are unticked (R22)',
    story(async (page) => {
      const tokens = await arrive(page)
      await (await boxOf(page, 'ExplanationOfBenefit')).uncheck()
      for (const key of ['survey', 'sdoh', 'social-history']) await (await boxOf(page, `Observation/${key}`)).uncheck()
      expect(await stateOf(page, 'Tests and results')).toBe('Some')
      for (const key of ['encounter-diagnosis', 'problem-list-item', 'health-concern'])
        await (await boxOf(page, `Condition/${key}`)).uncheck()
      expect(await stateOf(page, 'Health problems')).toBe('None')
      await shareButton(page).click()
      const { scope } = await tokens()
      expect(scope).not.toMatch(/ExplanationOfBenefit|patient\/Condition|survey|sdoh|social-history|\*/)
      expect(scope.match(/patient\/Observation\.rs\?category=/g)).toHaveLength(3)
    }),
  )

  it.each([
    ['once', 1 / 24, false],
    ['P3M', 92, true],
    ['P1Y', 366, true],
  ])('shares for %s (R8, R23)', (value, days, ongoing) =>
    story(async (page) => {
      const tokens = await arrive(page)
      await duration(page, value).check()
      await shareButton(page).click()
      const { refresh_token } = await tokens()
      expect(refresh_token !== undefined).toBe(ongoing)
      expect((lastEnd() - Date.now()) / 86_400_000).toBeLessThanOrEqual(days)
      expect((lastEnd() - Date.now()) / 86_400_000).toBeGreaterThan(days * 0.95)
    })(),
  )

  it(
    'asks for a day only of those who want one, says what is wrong with it, and keeps the rest (R23)',
    story(
      async (page) => {
        const tokens = await arrive(page)
        const day = page.getByLabel('Last day of sharing')
        expect(await day.isVisible()).toBe(false)
        await duration(page, 'date').check()
        await (await boxOf(page, 'Coverage')).uncheck()
        await shareButton(page).click()
        await page.getByRole('alert').getByRole('link', { name: 'Choose the last day of sharing.' }).click()
        expect(await page.evaluate('document.activeElement.id')).toBe('until')
        expect(await (await boxOf(page, 'Coverage')).isChecked()).toBe(false)
        await day.fill('2020-01-01')
        await shareButton(page).click()
        await page.getByRole('alert').getByText('That day is too early.').waitFor()
        const wanted = new Date(Date.now() + 40 * 86_400_000).toISOString().slice(0, 10)
        await day.fill(wanted)
        await shareButton(page).click()
        expect((await tokens()).refresh_token).toBeTruthy()
        expect(Math.round((lastEnd() - Date.parse(wanted)) / 3_600_000)).toBeGreaterThanOrEqual(29)
      },
      { expects: [/status of 400/] },
    ),
  )

  it(
    'never lets a wrong day that is hidden again stand in the way',
    story(async (page) => {
      const tokens = await arrive(page)
      await duration(page, 'date').check()
      await page.getByLabel('Last day of sharing').fill('2020-01-01')
      await duration(page, 'P3M').check()
      await shareButton(page).click()
      expect((await tokens()).refresh_token).toBeTruthy()
    }),
  )

  it(
    'asks nothing of how long where the app wants it once only (R23)',
    story(async (page) => {
      const tokens = await arrive(page, { scope: 'launch/patient patient/Coverage.rs' })
      expect(await page.locator('[name=duration]').count()).toBe(0)
      await page.getByText('You share just once: for 60 minutes').waitFor()
      await shareButton(page).click()
      expect((await tokens()).refresh_token).toBeUndefined()
    }),
  )

  it(
    'releases sensitive records one by one, and does not remember it (R25)',
    story(async (page) => {
      const tokens = await arrive(page)
      const group = page.getByRole('group', { name: 'Sensitive records' })
      expect(await group.getByRole('checkbox', { checked: true }).count()).toBe(0)
      await group.getByRole('checkbox', { name: 'HIV' }).check()
      await shareButton(page).click()
      expect(claimsOf((await tokens()).access_token).sensitivities).toEqual(['hiv'])
      await page.context().clearCookies()
      await arrive(page)
      expect(await group.getByRole('checkbox', { checked: true }).count()).toBe(0)
    }),
  )

  it(
    'keeps three people apart for whoever acts for them, each with what was decided last (R29, R32)',
    story(async (page) => {
      for (const [patient, fhirId, type] of [
        ['David Okafor', 'david', 'Coverage'],
        ['Elena Okafor', 'elena', 'Immunization'],
        ['Lucy Okafor', 'lucy', 'Procedure'],
      ] as const) {
        const tokens = await arrive(page, { member: 'david', patient })
        await (await boxOf(page, type)).uncheck()
        await shareButton(page).click()
        const { scope, patient: told } = await tokens()
        expect(told).toBe(fhirId)
        expect(scope).not.toContain(type)
        await page.context().clearCookies()
      }
      const { challenge } = pkce()
      await page.goto(authorizationUrl({ ...demoApp(server.url), redirectUri: `${other.origin}/callback` }, challenge))
      await signIn(page, 'david')
      await choosePatient(page, 'Lucy Okafor')
      expect(await page.locator('h1').textContent()).toContain('Share Lucy Okafor’s health records')
      await page.getByText('We filled in the same choices.').waitFor()
      await page.getByText('your new choices replace the old ones').waitFor()
      expect(await (await boxOf(page, 'Procedure')).isChecked()).toBe(false)
      for (const type of ['Coverage', 'Immunization']) expect(await (await boxOf(page, type)).isChecked()).toBe(true)
    }),
  )

  describe('a switch of language (R31)', () => {
    const switching = async (page: Page) => {
      const tokens = await arrive(page)
      for (const box of ['Coverage', 'Observation/laboratory']) await (await boxOf(page, box)).uncheck()
      await page.getByRole('checkbox', { name: 'Mental health' }).check()
      await duration(page, 'P3M').check()
      await page.getByRole('button', { name: 'Español' }).click()
      await page.locator('html[lang=es]').waitFor()
      expect(await page.locator('h1').textContent()).toMatch(/^¿Compartir su información/)
      for (const box of ['Coverage', 'Observation/laboratory'])
        expect(await (await boxOf(page, box)).isChecked()).toBe(false)
      expect(await (await boxOf(page, 'Observation/survey')).isChecked()).toBe(true)
      expect(await page.getByRole('checkbox', { name: 'Salud mental' }).isChecked()).toBe(true)
      expect(await duration(page, 'P3M').isChecked()).toBe(true)
      return tokens
    }

    it(
      'keeps everything that was ticked, both ways, and shares just that',
      story(async (page) => {
        const tokens = await switching(page)
        await page.getByRole('button', { name: 'English' }).click()
        await page.locator('html[lang=en]').waitFor()
        await shareButton(page).click()
        const { scope, access_token } = await tokens()
        expect(scope).not.toMatch(/Coverage|laboratory/)
        expect(claimsOf(access_token).sensitivities).toEqual(['mental-health'])
      }),
    )

    it(
      'works without JavaScript',
      story(async (page) => void (await switching(page)), { javaScriptEnabled: false }),
    )

    it(
      'of a page that was left by Back counts as that page was',
      story(
        async (page) => {
          const tokens = await arrive(page)
          await page.getByRole('button', { name: 'Español' }).click()
          await page.locator('html[lang=es]').waitFor()
          await page.goBack()
          await page.locator('html[lang=en]').or(page.locator('html[lang=es]')).waitFor()
          await shareButton(page).click()
          expect((await tokens()).access_token).toBeTruthy()
        },
        { locale: 'en-US' },
      ),
    )
  })

  describe('without JavaScript (R30)', () => {
    it(
      'shares a part, for a day of one’s own, with something sensitive',
      story(
        async (page) => {
          const tokens = await arrive(page)
          await (await boxOf(page, 'Condition/health-concern')).uncheck()
          await page.getByRole('checkbox', { name: 'Alcohol and drug use' }).check()
          await duration(page, 'date').check()
          await page.getByLabel('Last day of sharing').fill(new Date(Date.now() + 9e9).toISOString().slice(0, 10))
          await shareButton(page).click()
          const { scope, access_token } = await tokens()
          expect(scope).toContain('problem-list-item')
          expect(scope).not.toContain('health-concern')
          expect(claimsOf(access_token).sensitivities).toEqual(['substance-use'])
        },
        { javaScriptEnabled: false },
      ),
    )
  })

  describe('by keyboard alone (R30)', () => {
    it(
      'decides nothing by Enter in a box or a field, and shares by the button',
      story(async (page) => {
        const tokens = await arrive(page)
        const stay = page.url()
        await page.getByRole('checkbox', { name: 'HIV' }).focus()
        await page.keyboard.press('Enter')
        await duration(page, 'P1Y').focus()
        await page.keyboard.press('ArrowDown')
        expect(await duration(page, 'date').isChecked()).toBe(true)
        await page.keyboard.press('Enter')
        await page.keyboard.press('Tab')
        expect(await page.evaluate('document.activeElement.id')).toBe('until')
        await page.keyboard.type('12312027')
        await page.keyboard.press('Enter')
        await page.waitForTimeout(300)
        expect(page.url()).toBe(stay)
        expect(await page.locator('html').getAttribute('lang')).toBe('en')
        expect(await page.locator('#until').inputValue()).toBe('2027-12-31')
        await shareButton(page).focus()
        await page.keyboard.press('Enter')
        expect((await tokens()).refresh_token).toBeTruthy()
        expect(new Date(lastEnd()).toISOString()).toBe('2028-01-01T05:59:59.999Z')
      }),
    )
  })

  describe('read aloud (R30)', () => {
    it(
      'names every group, box and button, in the order of the page',
      story(async (page) => {
        await arrive(page, { scope: 'openid offline_access patient/Coverage.rs patient/Condition.rs' })
        await page.locator('.bundles summary').click()
        const said = await page.locator('#share').ariaSnapshot()
        // What a reader stops at or announces; words between them are the stories of the other tests.
        const stops = said
          .split('\n')
          .flatMap((line) => /^\s*- ((?:heading|checkbox|radio|button|link|region|group) .*?):?$/.exec(line)?.[1] ?? [])
        expect(stops).toEqual([
          'region "What you share"',
          'heading "What you share" [level=2]',
          'checkbox "Health coverage Plan name, member number, and dates of coverage" [checked]',
          'group "Health problems"',
          'checkbox "Found at a visit What a doctor found or treated at one visit or hospital stay" [checked]',
          'checkbox "Problem list Long-term problems that doctors keep an eye on" [checked]',
          'checkbox "Health concerns Worries and risks that you or a doctor wrote down" [checked]',
          'region "Sensitive records"',
          'heading "Sensitive records" [level=2]',
          'group "Sensitive records"',
          'checkbox "Alcohol and drug use Tests, care, and medicines for alcohol or drug use"',
          'checkbox "Mental health Care for the mind and mood, such as talk therapy, and medicines for it"',
          'checkbox "Sexual and reproductive health Birth control, pregnancy, and infections that are passed on by sex"',
          'checkbox "HIV HIV tests, their results, and treatment"',
          'region "What is not shared"',
          'heading "What is not shared" [level=2]',
          'region "How long"',
          'heading "How long" [level=2]',
          'group "How long"',
          expect.stringMatching(/^radio "Just once For 60 minutes, on \w+ \d+, \d{4}\./),
          expect.stringMatching(/^radio "For 3 months Until \w+ \d+, \d{4}"$/),
          expect.stringMatching(/^radio "For 1 year Until \w+ \d+, \d{4}" \[checked\]$/),
          'radio "Until a day that you choose"',
          'region "How to stop"',
          'heading "How to stop" [level=2]',
          expect.stringMatching(/^link "[^"]*\/prairie\/sandbox\/connections \(opens in a new tab\)"$/),
          'link "1-800-555-0142"',
          'region "What the app says"',
          'heading "What the app says" [level=2]',
          'region "Good to know before you share"',
          'heading "Good to know before you share" [level=2]',
          'link "How to choose an app and keep your records safe (opens in a new tab)"',
          'group "Your decision"',
          'button "Deny"',
          'button "Share"',
        ])
      }),
    )
  })

  it.each([
    ['320 px', 320, 1],
    ['200% zoom', 640, 2],
  ])('fits at %s, every group open, and axe finds nothing', (_what, width, deviceScaleFactor) =>
    story(
      async (page) => {
        await arrive(page)
        await page.evaluate(`document.querySelectorAll('details').forEach((each) => { each.open = true })`)
        await duration(page, 'date').check()
        expect(await overflow(page)).toEqual([])
        expect(await accessibilityFaults(page)).toEqual([])
        const small = `[...document.querySelectorAll('button:not([hidden]), summary, .tick, input.field')]
          .filter((each) => { const { width, height } = each.getBoundingClientRect(); return width < 24 || height < 24 })
          .map((each) => each.outerHTML.slice(0, 80))`
        expect(await page.evaluate(small), 'targets (WCAG 2.2, 2.5.8)').toEqual([])
      },
      { width, deviceScaleFactor },
    )(),
  )

  it(
    'keeps edges and states in forced colours',
    story(
      async (page) => {
        await arrive(page)
        expect(await accessibilityFaults(page)).toEqual([])
        const edges = `[...document.querySelectorAll('.bundles, .button.choice, .note, .know')].filter((each) => {
          const { borderTopWidth, borderTopStyle } = getComputedStyle(each)
          return borderTopWidth === '0px' || borderTopStyle === 'none'
        }).map((each) => each.className)`
        expect(await page.evaluate(edges)).toEqual([])
        expect(await stateOf(page, 'Medicines')).toBe('All 4')
      },
      { forcedColors: 'active' },
    ),
  )

  it(
    'denies as easily: the same size, the same look, one press (R27)',
    story(async (page) => {
      await arrive(page)
      const looks = await Promise.all(
        [denyButton(page), shareButton(page)].map(async (button) => {
          const { width = 0, height = 0 } = (await button.boundingBox()) ?? {}
          return [Math.round(width), Math.round(height), await button.getAttribute('class')]
        }),
      )
      expect(looks[0]).toEqual(looks[1])
      await denyButton(page).click()
      await page.waitForURL(`${other.origin}/callback?error=access_denied*`)
    }),
  )
})
