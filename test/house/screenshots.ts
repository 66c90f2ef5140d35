/** Writes docs/screenshots: the pages of the way from an app to its data, by telephone and by desktop, and all in a row. */
import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Page } from 'playwright-core'
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
const server = await startServer()
const browser = await launchBrowser()
for (const [width, height] of [
  [390, 1180],
  [1280, 860],
] as const)
  await withPerson(browser, { width, height }, ({ page }) =>
    walk(page, server.url, async (step) => {
      await page.screenshot({ path: fileOf(`${step}-${width}`), animations: 'disabled' })
    }),
  )
await withPerson(browser, { width: 1268, height: 926 }, async ({ page }) => {
  await page.setContent(row())
  await page.screenshot({ path: fileOf('flow') })
})
await browser.close()
await server.close()
