/** The stories' own watchman: what it must not let pass. */
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { accessibilityFaults, launchBrowser, overflow, withPerson } from '../support/browser.ts'
import { chromium } from '../support/machine.ts'
import { startServer, type TestServer } from '../support/server.ts'

describe.skipIf(!chromium)('a story in a real browser', () => {
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

  const told = (tell: (page: Page) => Promise<unknown>) =>
    withPerson(browser, {}, async ({ page }) => {
      await page.goto(server.url)
      await tell(page)
    })

  it.each<[string, (page: Page) => Promise<unknown>, RegExp]>([
    [
      'a script that the content policy forbids',
      (page) => page.evaluate(`document.body.append(Object.assign(document.createElement('script'), { text: '1' }))`),
      /Content Security Policy/,
    ],
    [
      'an error of a script',
      (page) => page.evaluate(`new Promise((done) => { setTimeout(() => { done(); throw new Error('broken') }) })`),
      /script: Error: broken/,
    ],
    ['a page that is not there', (page) => page.goto(`${server.url}/nowhere`), /status of 404/],
    [
      'a request to another machine',
      (page) => page.goto('https://elsewhere.example/').catch(() => undefined),
      /request to elsewhere\.example/,
    ],
  ])('fails on %s', async (_, tell, problem) => {
    await expect(told(tell)).rejects.toThrow(problem)
  })

  it('finds what is wrong with a page', () =>
    told(async (page) => {
      expect(await accessibilityFaults(page)).toEqual([])
      expect(await overflow(page)).toEqual([])
      await page.evaluate(`document.querySelector('main').append(document.createElement('button'))`)
      await page.evaluate(`document.querySelector('h1').style.cssText = 'color: #ccc; width: 3000px'`)
      const found = (await accessibilityFaults(page)).join('\n')
      expect(found).toContain('button-name')
      expect(found).toContain('color-contrast')
      expect((await overflow(page))[0]).toMatch(/^3\d\d\d > 1280$/)
    }))
})
