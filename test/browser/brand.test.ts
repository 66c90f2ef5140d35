/** Whatever colour a plan has, its pages can be read, on screens in both schemes and on paper (R30). */
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { mixed } from '../../src/config/contrast.ts'
import { authorizationUrl, demoApp, pkce } from '../support/authorize.ts'
import { accessibilityFaults, launchBrowser, withPerson } from '../support/browser.ts'
import { chromium } from '../support/machine.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { signIn } from '../support/steps.ts'

const colours = ['#000000', '#767676', '#7a0000']

describe.skipIf(!chromium)('a plan’s colour', () => {
  let server: TestServer | undefined
  let browser: Browser
  beforeAll(async () => {
    browser = await launchBrowser()
  })
  afterAll(async () => {
    await browser?.close()
    await server?.close()
  })

  const start = async (color: string): Promise<TestServer> => {
    await server?.close()
    server = await startServer({
      change: ({ plans }) => {
        for (const plan of plans) {
          plan.brand.color = color
          plan.languageAssistance.push(
            { language: 'ar', text: 'نقدم مساعدة مجانية بلغتك.', url: 'https://plan.example.org/ar' },
            { language: 'zh-Hant', text: '我們免費提供您的語言的協助。', url: null },
          )
        }
      },
    })
    return server
  }
  const toConsent = async (page: Page, { url }: TestServer) => {
    await page.goto(authorizationUrl(demoApp(url), pkce().challenge))
    await signIn(page, 'maria')
    await page.locator('#share').waitFor()
  }

  it.each(colours)('%s: axe finds nothing, in light and in dark', async (color) => {
    const at = await start(color)
    for (const colorScheme of ['light', 'dark'] as const)
      await withPerson(browser, { colorScheme }, async ({ page }) => {
        await toConsent(page, at)
        expect(await accessibilityFaults(page)).toEqual([])
      })
  })

  it('is mixed as the browser mixes it', async () => {
    const at = await start('#1f5a8a')
    await withPerson(browser, {}, async ({ page }) => {
      await page.goto(at.url)
      for (const [color, share, other] of [
        ['#1f5a8a', 40, '#ffffff'],
        ['#7a0000', 6, '#ffffff'],
        ['#4b0082', 8, '#1b2127'],
      ] as const) {
        const painted = await page.evaluate((css) => {
          const canvas = new OffscreenCanvas(1, 1).getContext('2d')
          if (!canvas) return []
          canvas.fillStyle = css
          canvas.fillRect(0, 0, 1, 1)
          return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3)
        }, `color-mix(in oklab, ${color} ${share}%, ${other})`)
        const own = mixed(color, share / 100, other)
          .match(/[0-9a-f]{2}/g)
          ?.map((part) => Number.parseInt(part, 16))
        painted.forEach((part, at_) => {
          expect(Math.abs(part - (own?.[at_] ?? -9)), `${color}: ${painted} and ${own}`).toBeLessThanOrEqual(1)
        })
      }
    })
  })

  it('is black on paper: all groups open, and nothing to press', async () => {
    const at = await start('#7a0000')
    await withPerson(browser, { colorScheme: 'dark' }, async ({ page }) => {
      await toConsent(page, at)
      await page.emulateMedia({ media: 'print', colorScheme: 'dark' })
      const seen = await page.evaluate(() => {
        const shown = (element: Element) => element.getBoundingClientRect().height > 1
        return {
          buttons: Array.from(document.querySelectorAll('button, .languages')).filter(shown).length,
          hidden: Array.from(document.querySelectorAll('details label')).filter((label) => !shown(label)).length,
          labels: document.querySelectorAll('details label').length,
          link: getComputedStyle(document.querySelector('main a') as Element).color,
          paper: getComputedStyle(document.body).backgroundColor,
        }
      })
      expect(seen).toMatchObject({ buttons: 0, hidden: 0, link: 'rgb(0, 0, 0)', paper: 'rgb(255, 255, 255)' })
      expect(seen.labels).toBeGreaterThan(10)
    })
  })
})
