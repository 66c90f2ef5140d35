/** The member's own pages in a real browser: in both languages, by keyboard alone, without JavaScript, small, large and printed (R28, R30, R31). */
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { authorizationUrl, confidentialApp, demoApp, obtainTokens, pkce } from '../support/authorize.ts'
import { accessibilityFaults, launchBrowser, overflow, type PersonOptions, withPerson } from '../support/browser.ts'
import { chromium } from '../support/machine.ts'
import { connectionLinks, visitPages } from '../support/member-pages.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { signIn } from '../support/steps.ts'
import { formOf } from '../support/visitor.ts'

describe.skipIf(!chromium)('the member’s own pages', () => {
  let server: TestServer
  let browser: Browser
  /** Of David: Lucy's, narrowed; his own; and one that has ended. */
  const links = { lucy: '', own: '', ended: '' }

  beforeAll(async () => {
    server = await startServer({
      change: ({ plans }) => {
        const members = plans[0]?.environments[0]?.demonstration?.members ?? []
        const [first] = members
        for (const name of ['keys', 'plain', 'nobody', 'late'])
          if (first)
            members.push({
              ...first,
              username: name,
              name: 'Ana Example',
              patients: [{ fhirId: name, name: 'Ana Example', birthDate: null, coverageLabel: null }],
              delegations: [],
            })
      },
    })
    browser = await launchBrowser()
    await obtainTokens(demoApp(server.url), { member: 'david', patient: 'Lucy', consent: { duration: 'P3M' } })
    await obtainTokens(confidentialApp(server.url), { member: 'david', patient: 'David' })
    await obtainTokens(confidentialApp(server.url), { member: 'david', patient: 'Elena' })
    const { visitor, page } = await visitPages(demoApp(server.url).issuer, 'david')
    for (const link of connectionLinks(page)) {
      const { html } = await visitor.open(link)
      if (html.includes('Records of Lucy')) links.lucy = link
      else if (html.includes('Records of Elena')) links.ended = link
      else links.own = link
    }
    const narrow = await visitor.open(`${links.lucy}/narrow`)
    const category = formOf(narrow, '/narrow').fields.getAll('category')
    await visitor.submit(narrow, '/narrow', { category: category.filter((each) => !each.includes('survey')) })
    await visitor.submit(await visitor.open(links.ended), '/end')
  })
  afterAll(async () => {
    await browser?.close()
    await server?.close()
  })

  const list = (): string => `${server.url}/prairie/sandbox/connections`
  const enter = async (page: Page, address: string, member = 'david'): Promise<void> => {
    await page.goto(address)
    await signIn(page, member)
  }

  const pages: { name: string; open: (page: Page) => Promise<unknown>; sign: string; status?: number }[] = [
    { name: 'sign-in', open: (page) => page.goto(list()), sign: '[name=password]' },
    { name: 'the list', open: (page) => enter(page, list()), sign: 'article + article, section + section article' },
    { name: 'an empty list', open: (page) => enter(page, list(), 'nobody'), sign: '.intro .lead' },
    { name: 'a connection', open: (page) => enter(page, links.lucy), sign: '.bundles' },
    { name: 'a connection that has ended', open: (page) => enter(page, links.ended), sign: '.done' },
    { name: 'sharing less', open: (page) => enter(page, `${links.lucy}/narrow`), sign: '[name=category]' },
    { name: 'sharing longer', open: (page) => enter(page, `${links.lucy}/extend`), sign: '[name=duration]' },
    {
      name: 'sharing longer, with a fault',
      open: async (page) => {
        await enter(page, `${links.lucy}/extend`)
        await page.locator('[name=duration][value=date]').check()
        await page.locator('form[action$="/extend"] button').click()
      },
      sign: '#fault',
      status: 400,
    },
    {
      name: 'a form that came too late',
      open: async (page) => {
        await obtainTokens(demoApp(server.url), { member: 'late' })
        await enter(page, list(), 'late')
        await page.locator('article a[href$="/narrow"]').click()
        const elsewhere = await visitPages(demoApp(server.url).issuer, 'late')
        await elsewhere.visitor.submit(elsewhere.page, '/end')
        await page.locator('form[action$="/narrow"] button').click()
      },
      sign: '.over',
      status: 409,
    },
    { name: 'a receipt', open: (page) => enter(page, `${links.lucy}/receipt`), sign: '.receipt' },
  ]

  describe.each([
    ['en', 'en-US'],
    ['es', 'es-MX'],
  ])('in %s', (language, locale) => {
    it.each(pages)('$name: fits, and axe finds nothing, light and dark', ({ open, sign, status }) =>
      withPerson(browser, { locale, expects: status ? [new RegExp(`status of ${status}`)] : [] }, async ({ page }) => {
        await open(page)
        await page.locator(sign).first().waitFor()
        expect(await page.locator('html').getAttribute('lang')).toBe(language)
        // 640 is 200% zoom of 1280, and 320 is 400% (WCAG 2.2, 1.4.4 and 1.4.10).
        for (const width of [1280, 640, 320, 390]) {
          await page.setViewportSize({ width, height: 900 })
          expect(await overflow(page), `${width} px`).toEqual([])
        }
        expect(await accessibilityFaults(page), 'light').toEqual([])
        await page.emulateMedia({ colorScheme: 'dark' })
        await page.setViewportSize({ width: 1280, height: 900 })
        expect(await accessibilityFaults(page, 'contrast'), 'dark').toEqual([])
      }),
    )
  })

  it('are told by a screen reader in order: whose records, which app, what, who, until when, and how to stop', () =>
    withPerson(browser, {}, async ({ page }) => {
      await enter(page, list())
      const tree = await page.locator('main').ariaSnapshot()
      const order = [
        'Signed in as David Okafor.',
        'heading "Connected apps" [level=1]',
        'region "Your own records',
        'article "Family Health Binder"',
        'heading "Family Health Binder" [level=3]',
        'term: Can read',
        'term: Approved by',
        'term: Ends on',
        'button "Stop sharing with Family Health Binder"',
        'link "Share less with Family Health Binder"',
        'link "Share longer with Family Health Binder"',
        'region "Records of Lucy Okafor',
        'button "Stop sharing with Prairie Sandbox Viewer"',
        'region "No longer connected"',
      ]
      let from = 0
      for (const part of order) {
        const at = tree.indexOf(part, from)
        expect(at, `${part} in\n${tree}`).toBeGreaterThanOrEqual(from)
        from = at
      }
    }))

  /** Presses Tab until the focus is there, as somebody does who has no mouse. */
  const tabTo = async (page: Page, selector: string): Promise<void> => {
    for (let presses = 0; presses < 120; presses += 1) {
      if (await page.evaluate(`document.activeElement.matches(${JSON.stringify(selector)})`)) {
        const outline = await page.evaluate('getComputedStyle(document.activeElement).outlineStyle')
        expect(outline, `the focus on ${selector} is seen`).not.toBe('none')
        return
      }
      await page.keyboard.press('Tab')
    }
    throw new Error(`no way to ${selector}`)
  }
  const heading = (page: Page) => page.locator('h1').textContent()

  const wholeWay = async (page: Page, member: string, press: (selector: string) => Promise<void>): Promise<void> => {
    await obtainTokens(demoApp(server.url), { member, consent: { duration: 'P3M' } })
    await enter(page, list(), member)
    await press('article a[href$="/narrow"]')
    await press('[name=type][value=Coverage]')
    await press('form[action$="/narrow"] button')
    expect(await page.locator('[role=status]').textContent()).toContain('You now share less')
    expect(await page.locator('.bundles').textContent()).not.toContain('Health coverage')
    await press('a[href$="/extend"]')
    await press('[name=duration][value=P1Y]')
    await press('form[action$="/extend"] button')
    expect(await page.locator('[role=status]').textContent()).toContain('The new end date counts')
    await press('a[href*="/receipt"]')
    expect(await heading(page)).toBe('Receipt of your decision to share')
    await page.goBack()
    await press('form[action$="/end"] button')
    expect(await heading(page)).toContain('has ended')
    await press('a[href$="/connections"]')
    expect(await page.locator('section.tinted').textContent()).toContain('Prairie Sandbox Viewer')
  }

  it('share less, longer, and stop, by keyboard alone', () =>
    withPerson(browser, {}, async ({ page }) =>
      wholeWay(page, 'keys', async (selector) => {
        if (selector.includes('[value=P1Y]')) {
          // Radio buttons are one stop, and the arrows go on from the chosen one.
          await tabTo(page, '[name=duration]')
          for (let presses = 0; presses < 5 && !(await page.locator(selector).isChecked()); presses += 1)
            await page.keyboard.press('ArrowDown')
          return
        }
        await tabTo(page, selector)
        if (selector.startsWith('[name')) return page.keyboard.press('Space')
        await Promise.all([page.waitForEvent('framenavigated'), page.keyboard.press('Enter')])
        await page.waitForLoadState()
      }),
    ))

  it('share less, longer, and stop, without JavaScript and at 320 px', () => {
    const small: PersonOptions = { javaScriptEnabled: false, width: 320 }
    return withPerson(browser, small, async ({ page }) =>
      wholeWay(page, 'plain', (selector) => page.locator(selector).first().click()),
    )
  })

  it('keep edges and focus visible in forced colours', () =>
    withPerson(browser, { forcedColors: 'active' }, async ({ page }) => {
      const bare = `[...document.querySelectorAll('.button, input.field, .choice, .done')].filter((each) => {
        const { borderTopWidth, borderTopStyle } = getComputedStyle(each)
        return borderTopWidth === '0px' || borderTopStyle === 'none'
      }).length`
      await enter(page, list())
      for (const address of [list(), links.lucy, links.ended, `${links.lucy}/narrow`, `${links.lucy}/extend`]) {
        await page.goto(address)
        expect(await page.evaluate(bare), address).toBe(0)
        expect(await accessibilityFaults(page), address).toEqual([])
      }
    }))

  it('print a receipt without what only a screen needs, whole and in black on white', () =>
    withPerson(browser, { width: 700 }, async ({ page }) => {
      await enter(page, `${links.lucy}/receipt`)
      await page.emulateMedia({ media: 'print', colorScheme: 'dark' })
      for (const hidden of ['.skip', '.languages', '.no-print'])
        for (const each of await page.locator(hidden).all()) expect(await each.isVisible(), hidden).toBe(false)
      for (const part of ['.place', '#what', '#rights', '#signature'])
        expect(await page.locator(part).isVisible()).toBe(true)
      const [paper, ink] = await page.evaluate<string[]>(`(() => {
        const { backgroundColor, color } = getComputedStyle(document.body)
        return [backgroundColor, color]
      })()`)
      expect(paper).toBe('rgb(255, 255, 255)')
      expect(ink).toBe('rgb(0, 0, 0)')
      expect(await overflow(page)).toEqual([])
      expect((await page.pdf({ format: 'Letter' })).subarray(0, 5).toString()).toBe('%PDF-')
    }))

  it('are reached from the page on which an app’s members sign in, and from the letter of a new connection', () =>
    withPerson(browser, {}, async ({ page }) => {
      await page.goto(authorizationUrl(demoApp(server.url), pkce().challenge))
      await page.getByRole('link', { name: 'See the apps that you connected' }).click()
      await signIn(page, 'david')
      expect(page.url()).toBe(list())
      await page.goto(`${server.url}/prairie/sandbox/letters`)
      expect(await page.locator('.letter').first().textContent()).toContain(list())
    }))

  it('come back to where a letter led, also after signing in, and in the language that was chosen', () =>
    withPerson(browser, {}, async ({ page }) => {
      await page.goto(`${links.lucy}/extend`)
      await page.getByRole('link', { name: 'Español' }).click()
      await signIn(page, 'david')
      expect(page.url()).toBe(`${links.lucy}/extend`)
      expect(await page.locator('h1').textContent()).toContain('Compartir por más tiempo')
    }))

  it('hand the receipt over as a file', () =>
    withPerson(browser, {}, async ({ page }) => {
      await enter(page, `${links.lucy}/receipt`)
      const [download] = await Promise.all([page.waitForEvent('download'), page.locator('a[download]').click()])
      expect(download.suggestedFilename()).toMatch(/^consent-[\da-f-]{36}\.json$/)
    }))
})
