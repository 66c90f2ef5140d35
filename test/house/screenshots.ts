/** Writes docs/screenshots: the way from an app to its data and the member's own pages, by telephone and by desktop, and the way in a row. */
import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Page } from 'playwright-core'
import { authorizationUrl, demoApp, pkce } from '../support/authorize.ts'
import { launchBrowser, withPerson } from '../support/browser.ts'
import { startServer } from '../support/server.ts'
import { choosePatient, connect, demoOf, recordShown, shareButton, signIn } from '../support/steps.ts'

const folder = join(import.meta.dirname, '../../docs/screenshots')
const steps = ['sign-in', 'patient', 'consent', 'connected'] as const
const fileOf = (name: string): string => join(folder, `${name}.png`)

const walk = async (page: Page, url: string, shoot: (step: (typeof steps)[number]) => Promise<void>): Promise<void> => {
  await page.goto(demoOf(url))
  await connect(page)
  await shoot('sign-in')
  await signIn(page, 'david')
  await page.getByRole('radio', { name: 'Lucy Okafor' }).check()
  await shoot('patient')
  await choosePatient(page, 'Lucy Okafor')
  await shareButton(page).waitFor()
  await shoot('consent')
  await shareButton(page).click()
  await recordShown(page)
  await shoot('connected')
}

/** What else a member meets: a warning, and what they see of it all afterwards. */
const others = ['warning', 'connections', 'connection', 'share-less', 'share-longer', 'receipt'] as const

const look = async (
  page: Page,
  url: string,
  shoot: (name: (typeof others)[number]) => Promise<void>,
): Promise<void> => {
  await page.goto(authorizationUrl(demoApp(url, 'demo-unanswered'), pkce().challenge))
  await choosePatient(page, 'Lucy Okafor')
  await page.locator('button[form=pass]').waitFor()
  await shoot('warning')
  await page.goto(`${url}/prairie/sandbox/connections`)
  await shoot('connections')
  await page.locator('main a[href*="/connections/"]').first().click()
  await page.locator('a[href$="/narrow"]').waitFor()
  const connection = page.url()
  await shoot('connection')
  await page.goto(`${connection}/narrow`)
  await shoot('share-less')
  await page.goto(`${connection}/extend`)
  await shoot('share-longer')
  await page.goto(`${connection}/receipt`)
  await shoot('receipt')
}

/** The four pages side by side, as the README shows them. */
const row = (): string => {
  const images = steps.map((step) => {
    const data = readFileSync(fileOf(`${step}-390`)).toString('base64')
    return `<img src="data:image/png;base64,${data}" width="292" alt="">`
  })
  return `<style>body { display: flex; gap: 20px; margin: 0; padding: 20px; background: #d9dde2 }
    img { border: 1px solid #aab2bb; border-radius: 14px }</style>${images.join('')}`
}

mkdirSync(folder, { recursive: true })
const browser = await launchBrowser()
for (const [width, height] of [
  [390, 1180],
  [1280, 860],
] as const) {
  // To each the pages are new: a last decision would be filled in.
  const server = await startServer()
  await withPerson(browser, { width, height }, async ({ page }) => {
    const shoot = async (name: string): Promise<void> => {
      await page.screenshot({ path: fileOf(`${name}-${width}`), animations: 'disabled' })
    }
    await walk(page, server.url, shoot)
    await look(page, server.url, shoot)
  })
  await server.close()
}
await withPerson(browser, { width: 1268, height: 926 }, async ({ page }) => {
  await page.setContent(row())
  await page.screenshot({ path: fileOf('flow') })
})
await browser.close()
