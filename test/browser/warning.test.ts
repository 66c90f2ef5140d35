/** The warning before consent, as people meet it: what it says, both ways on, going back, by keyboard, without JavaScript (R24, R30, R31). */
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { authorizationUrl, demoApp, exchange, pkce } from '../support/authorize.ts'
import { accessibilityFaults, launchBrowser, overflow, withPerson } from '../support/browser.ts'
import { type BrowserApp, startBrowserApp } from '../support/browser-app.ts'
import { chromium } from '../support/machine.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { choosePatient, denyButton, shareButton, signIn } from '../support/steps.ts'

describe.skipIf(!chromium)('the warning in a real browser', () => {
  let server: TestServer
  let browser: Browser
  let other: BrowserApp

  beforeAll(async () => {
    server = await startServer({
      change: ({ plans }) => {
        const apps = plans[0]?.environments[0]?.demonstration?.apps ?? []
        const binder = apps.find(({ clientId }) => clientId === 'demo-confidential')
        for (const name of ['Zinnia Notes', 'Yarrow Diary', 'A very long name that somebody gave to a quite small app'])
          if (binder) apps.push({ ...binder, clientId: name.slice(0, 4).trim(), name })
      },
    })
    other = await startBrowserApp()
    browser = await launchBrowser()
  })
  afterAll(async () => {
    await browser?.close()
    other?.close()
    await server?.close()
  })

  const ask = (clientId: string, more: Record<string, string> = {}) => {
    const { verifier, challenge } = pkce()
    const app = { ...demoApp(server.url, clientId), redirectUri: `${other.origin}/callback` }
    return { url: authorizationUrl(app, challenge, more), tokens: (code: string) => exchange(app, code, verifier) }
  }
  const answerAt = async (page: Page): Promise<URLSearchParams> => {
    await page.waitForURL(`${other.origin}/callback*`)
    return new URL(page.url()).searchParams
  }
  const toWarning = async (page: Page, clientId = 'demo-unanswered', member = 'maria'): Promise<void> => {
    await page.goto(ask(clientId).url)
    await signIn(page, member)
    await passButton(page).waitFor()
  }
  const passButton = (page: Page) => page.locator('button[form=pass]')
  const leaveButton = (page: Page) => page.locator('button[form=leave]')

  it('says what is not known, names who did answer, and lets the member go on', () =>
    withPerson(browser, {}, async ({ page }) => {
      const { url, tokens } = ask('demo-unanswered')
      await page.goto(url)
      await signIn(page, 'maria')
      expect(await page.title()).toBe('Before you share – Prairie Health Plan')
      expect(
        (await page.locator('main').ariaSnapshot()).replaceAll(/localhost:\d+/g, 'localhost'),
      ).toMatchInlineSnapshot(`
        "- main:
          - text: Signed in as Maria Alvarez. Not you?
          - button "Switch account"
          - heading "We do not know what Quick Steps Tracker does with health records" [level=1]
          - paragraph: Prairie Health Plan asked the people who make this app, Quick Steps Example, what they do with health records. They have not answered.
          - region "What this means":
            - heading "What this means" [level=2]
            - list:
              - listitem: We cannot tell you if the app sells the records or gives them to others.
              - listitem: We cannot tell you if the app deletes the records when you stop.
              - listitem:
                - text: It does not mean that the app is bad. You can ask the people who make it.
                - link "Privacy policy (opens in a new tab)":
                  - /url: https://steps.example.com/privacy
          - region "Apps that did answer":
            - heading "Apps that did answer" [level=2]
            - paragraph: These apps can read records from Prairie Health Plan too, and they told us what they do with them. We have not checked what they say.
            - list:
              - listitem:
                - strong: A very long name that somebody gave to a quite small app
                - text: Made by Binder Example Inc.
                - link "binder.example.com (opens in a new tab)":
                  - /url: https://binder.example.com
              - listitem:
                - strong: Clinic Companion
                - text: Made by Companion Example Inc.
                - link "companion.example.com (opens in a new tab)":
                  - /url: https://companion.example.com
              - listitem:
                - strong: Family Health Binder
                - text: Made by Binder Example Inc.
                - link "binder.example.com (opens in a new tab)":
                  - /url: https://binder.example.com
            - group: 4 more apps
          - region "The choice is yours":
            - heading "The choice is yours" [level=2]
            - paragraph: You can go back, and nothing is shared. Or you can go on, and see what Quick Steps Tracker asks for before you decide.
            - button "Go back to Quick Steps Tracker"
            - button "Go on""
      `)
      await passButton(page).click()
      await shareButton(page).waitFor()
      await page.getByText('They have not answered').waitFor({ state: 'detached' })
      await page.getByText('It has not answered.').waitFor()
      await shareButton(page).click()
      expect((await tokens((await answerAt(page)).get('code') ?? '')).status).toBe(200)
    }))

  it('says of an app that declined that it did, and tells the app when the member goes back', () =>
    withPerson(browser, {}, async ({ page }) => {
      await toWarning(page, 'demo-declined')
      await page.getByText('They chose not to answer.').waitFor()
      await leaveButton(page).click()
      expect((await answerAt(page)).get('error')).toBe('access_denied')
    }))

  it('both ways on are buttons of one look and size, the way back first (R27)', () =>
    withPerson(browser, { width: 390 }, async ({ page }) => {
      await toWarning(page)
      const look = (selector: string) =>
        page.evaluate<string>(`(() => {
          const { color, backgroundColor, borderTopColor, fontSize, fontWeight } = getComputedStyle(document.querySelector('${selector}'))
          const { width } = document.querySelector('${selector}').getBoundingClientRect()
          return [color, backgroundColor, borderTopColor, fontSize, fontWeight, width].join()
        })()`)
      expect(await look('button[form=leave]')).toBe(await look('button[form=pass]'))
    }))

  it('in Spanish, by the switch, to the answers on the consent page (R31)', () =>
    withPerson(browser, {}, async ({ page }) => {
      await toWarning(page, 'demo-declined', 'maria')
      await page.getByRole('link', { name: 'Español' }).click()
      await page.getByRole('heading', { name: 'No sabemos qué hace Coupon Health' }).waitFor()
      await page.getByText('Prefirieron no responder').waitFor()
      expect(await page.locator('html').getAttribute('lang')).toBe('es')
      expect(await accessibilityFaults(page)).toEqual([])
      await passButton(page).click()
      await page.getByText('Prefirió no responder').waitFor()
    }))

  it.each([
    ['en-US', 'It sells the records only if you agree.', 'has not checked the answers', 'Read the policy'],
    [
      'es-MX',
      'Solo vende la información si usted está de acuerdo.',
      'no ha comprobado las respuestas',
      'Leer la política',
    ],
  ])('an app that answered is not warned of; consent says its answers: %s', (locale, answer, unchecked, policy) =>
    withPerson(browser, { locale }, async ({ page }) => {
      await page.goto(ask('demo-confidential').url)
      await signIn(page, 'maria')
      await shareButton(page).waitFor()
      const section = page.locator('section[aria-labelledby=answers]')
      await section.getByText(answer).waitFor()
      await section.getByText(unchecked).waitFor()
      expect(await section.getByRole('listitem').count(), 'sold, and given to others, before all').toBe(2)
      await section.locator('summary').click()
      const link = section.getByRole('link', { name: policy })
      expect(await link.getAttribute('href')).toBe('https://binder.example.com/privacy')
      expect(await link.getAttribute('rel')).toBe('noopener noreferrer')
      expect(await section.getByRole('listitem').count()).toBe(9)
    }),
  )

  it('a developer’s own words stay text, in quotation marks', () =>
    withPerson(browser, {}, async ({ page }) => {
      await page.goto(ask('demo-public').url)
      await signIn(page, 'maria')
      expect(await page.locator('section[aria-labelledby=answers] q').textContent()).toBe(
        'Choose Disconnect in the app.',
      )
    }))

  it('more than three suggestions open on wish; all of it fits 320 px, and axe finds nothing (R30)', () =>
    withPerson(browser, { width: 320 }, async ({ page }) => {
      await toWarning(page, 'demo-declined')
      expect(await page.locator('.others li:visible').count()).toBe(3)
      await page.getByText('4 more apps').click()
      expect(await page.locator('.others li:visible').count()).toBe(7)
      expect(await page.locator('.others').getByText('Coupon').count()).toBe(0)
      expect(await overflow(page)).toEqual([])
      expect(await accessibilityFaults(page)).toEqual([])
    }))

  it('without JavaScript: on to consent and a refusal, or back at once (R30)', () =>
    withPerson(browser, { javaScriptEnabled: false }, async ({ page }) => {
      await toWarning(page)
      await passButton(page).click()
      await denyButton(page).click()
      expect((await answerAt(page)).get('error')).toBe('access_denied')
      await page.goto(ask('demo-unanswered').url)
      await leaveButton(page).click()
      expect((await answerAt(page)).get('error')).toBe('access_denied')
    }))

  it('by keyboard alone, in the order in which the page is read, with the focus in sight (R30)', () =>
    withPerson(browser, { height: 700 }, async ({ page }) => {
      await toWarning(page)
      const stops: string[] = []
      while (stops.at(-1) !== 'Go on') {
        await page.keyboard.press('Tab')
        const { name, seen } = await page.evaluate<{ name: string; seen: boolean }>(`(() => {
          const { outlineStyle, outlineWidth } = getComputedStyle(document.activeElement)
          const { top, bottom } = document.activeElement.getBoundingClientRect()
          const seen = outlineStyle !== 'none' && parseFloat(outlineWidth) >= 2 && top >= 0 && bottom <= innerHeight
          return { name: document.activeElement.textContent.replace(/\\s+/g, ' ').trim(), seen }
        })()`)
        expect(seen, name).toBe(true)
        stops.push(name)
        expect(stops.length).toBeLessThan(30)
      }
      expect(stops).toEqual([
        'Skip to main content',
        'Español',
        'Switch account',
        'Privacy policy (opens in a new tab)',
        'binder.example.com (opens in a new tab)',
        'companion.example.com (opens in a new tab)',
        'binder.example.com (opens in a new tab)',
        '4 more apps',
        'Go back to Quick Steps Tracker',
        'Go on',
      ])
      await page.keyboard.press('Enter')
      await shareButton(page).waitFor()
    }))

  it('Back leads from consent to the warning, and forward again without asking twice', () =>
    withPerson(browser, {}, async ({ page }) => {
      await toWarning(page)
      await passButton(page).click()
      await shareButton(page).waitFor()
      await page.goBack()
      await passButton(page).waitFor()
      await passButton(page).click()
      await shareButton(page).click()
      expect((await answerAt(page)).has('code')).toBe(true)
    }))

  it('pressing twice goes on once', () =>
    withPerson(browser, {}, async ({ page }) => {
      await toWarning(page)
      await passButton(page).dblclick()
      await shareButton(page).waitFor()
    }))

  it('whoever is not Maria signs in as themselves, and is warned too', () =>
    withPerson(browser, {}, async ({ page }) => {
      await toWarning(page)
      await passButton(page).click()
      await page.getByRole('button', { name: 'Switch account' }).click()
      await signIn(page, 'david')
      await choosePatient(page, 'Lucy Okafor')
      await passButton(page).waitFor()
      await page.getByText('Signed in as David Okafor').waitFor()
    }))
})
