/** What a person does on the pages, step by step; in no language, so that a story can be told in any. */
import type { Page } from 'playwright-core'
import { password } from './authorize.ts'

export const demoOf = (url: string): string => `${url}/prairie/sandbox/demo/`

export const signIn = async (page: Page, username: string, secret: string = password): Promise<void> => {
  await page.locator('[name=username]').fill(username)
  await page.locator('[name=password]').fill(secret)
  await page.locator('form[action*="/sign-in"] button').click()
}

export const choosePatient = async (page: Page, name: string): Promise<void> => {
  await page.getByRole('radio', { name }).check()
  await page.locator('form[action$="/patient"] button:not([form])').click()
}

export const shareButton = (page: Page) => page.locator('form[action$="/consent"] button:not([form])')
export const denyButton = (page: Page) => page.locator('button[form=deny]')

/** The box of a resource type, or of one of its categories (`Observation/laboratory`), on the consent page, in an open group. */
export const boxOf = async (page: Page, value: string) => {
  const box = page.locator(`[name=${value.includes('/') ? 'category' : 'type'}][value="${value}"]`)
  const group = page.locator('details:not([open])').filter({ has: box })
  if ((await group.count()) > 0) await group.locator('summary').click()
  return box
}

/** The consent page as it is at first, also for a member whose last decision it has filled in. */
export const tickEverything = async (page: Page): Promise<void> => {
  await shareButton(page).waitFor()
  await page.evaluate(`document.querySelectorAll('[name=type], [name=category], [name=duration][value=P1Y]')
    .forEach((each) => { each.checked = true })`)
}

/** From the demonstration app to the plan's sign-in page. */
export const connect = async (page: Page): Promise<void> => {
  await page.locator('[data-choice] button[type=submit]').click()
  await page.waitForURL(/\/interaction\//)
}

/** Until the record is there, all of it. */
export const recordShown = async (page: Page): Promise<void> => {
  await page.locator('[data-person-details] dl').waitFor()
  await page.locator('[aria-busy]').first().waitFor({ state: 'detached' })
}

/** From the demonstration app to the record of a member who shares everything. */
export const connectAs = async (page: Page, url: string, username: string, patient?: string): Promise<void> => {
  await page.goto(demoOf(url))
  await connect(page)
  await signIn(page, username)
  if (patient) await choosePatient(page, patient)
  await tickEverything(page)
  await shareButton(page).click()
  await recordShown(page)
}

export interface Stored {
  access_token: string
  refresh_token?: string
  scope: string
  patient: string
}

/** The token answer that the demonstration app keeps. */
export const tokensOf = async (page: Page): Promise<Stored> => {
  const text: string = await page.evaluate('sessionStorage.getItem(JSON.parse(sessionStorage.getItem("SMART_KEY")))')
  return JSON.parse(text).tokenResponse
}
