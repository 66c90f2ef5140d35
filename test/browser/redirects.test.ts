/** Apps elsewhere: every kind of redirect that the server knows, through a real browser that holds it to its own content policy. */
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { authorizationUrl, demoApp, exchange, pkce } from '../support/authorize.ts'
import { launchBrowser, withPerson } from '../support/browser.ts'
import { type BrowserApp, startBrowserApp } from '../support/browser-app.ts'
import { demonstrationApp } from '../support/demonstration-app.ts'
import { chromium } from '../support/machine.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { denyButton, shareButton, signIn } from '../support/steps.ts'

const native = (clientId: string, redirectUri: string) =>
  demonstrationApp({ clientId, name: 'Pocket Record', developer: 'Pocket Example LLC', redirectUris: [redirectUri] })

const claimed = 'https://pocket.example.com/callback'
const privateUse = 'com.example.pocket:/callback'
const six = 'http://[::1]/callback'

/** These apps did not answer the plan's questions, so their members are warned first. */
const pass = (page: Page): Promise<void> => page.locator('button[form=pass]').click()
const turnBack = (page: Page): Promise<void> => page.locator('button[form=leave]').click()

describe.skipIf(!chromium)('redirects to apps in a real browser (R12)', () => {
  let server: TestServer
  let browser: Browser
  let other: BrowserApp

  beforeAll(async () => {
    server = await startServer({
      change: ({ plans }) => {
        const apps = plans[0]?.environments[0]?.demonstration?.apps
        apps?.push(native('claimed', claimed), native('private-use', privateUse), native('six', six))
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

  /** Answers for an address that no machine here has; its requests stay requests of the page. */
  const standIn = async (page: Page, pattern: string): Promise<void> => {
    const session = await page.context().newCDPSession(page)
    session.on('Fetch.requestPaused', ({ requestId }) => {
      void session.send('Fetch.fulfillRequest', {
        requestId,
        responseCode: 200,
        responseHeaders: [{ name: 'content-type', value: 'text/html' }],
        body: Buffer.from('<link rel="icon" href="data:,"><h1>Back in the app</h1>').toString('base64'),
      })
    })
    await session.send('Fetch.enable', { patterns: [{ urlPattern: pattern }] })
  }

  const askFor = (clientId: string, redirectUri: string) => {
    const { verifier, challenge } = pkce()
    const app = { ...demoApp(server.url, clientId), redirectUri }
    return { app, verifier, url: authorizationUrl(app, challenge) }
  }

  it.each([
    ['by default', () => `${server.url}/prairie/sandbox/fhir`, 'demo-public', 'maria'],
    ['with paths of its own', () => `${server.url}/v5/summit/fhir`, 'summit-demo', 'sam'],
  ])(
    'serves an app on another origin from its own page to the end, at an issuer %s (R5, R41)',
    (_, iss, client, member) =>
      withPerson(browser, { expects: [/status of 400 .*\/token/] }, async ({ page }) => {
        const scope = 'openid fhirUser launch/patient offline_access patient/*.rs'
        await page.goto(`${other.origin}/?${new URLSearchParams({ iss: iss(), client_id: client, scope })}`)
        await signIn(page, member)
        await shareButton(page).click()
        await page.waitForURL(`${other.origin}/callback*`)
        const said = page.locator('#said:not(:empty)')
        expect(JSON.parse((await said.textContent()) ?? '')).toEqual({
          patient: member,
          claims: 2,
          renewed: true,
          revoked: 200,
          ended: expect.stringContaining('invalid_grant'),
        })
      }),
  )

  it('is reached by a form of another site, and still knows who is signed in [SMART app-launch.post-authorize]', () =>
    withPerson(browser, {}, async ({ page }) => {
      const { app, verifier, url } = askFor('demo-public', `${other.origin}/callback`)
      const post = async (): Promise<void> => {
        await page.goto(`${other.origin}/callback?error=none`)
        await page.evaluate((address) => {
          const { origin, pathname, searchParams } = new URL(address)
          const form = document.createElement('form')
          form.method = 'post'
          form.action = origin + pathname
          for (const [name, value] of searchParams) {
            const input = document.createElement('input')
            input.name = name
            input.value = value
            form.append(input)
          }
          document.body.append(form)
          form.submit()
        }, url)
      }
      await post()
      await signIn(page, 'maria')
      await shareButton(page).waitFor()
      await post()
      // Our Lax cookies do not come with such a post, and do with the hop after it: nobody is asked to sign in again.
      await shareButton(page).click()
      await page.waitForURL(`${other.origin}/callback*code=*`)
      const code = new URL(page.url()).searchParams.get('code') ?? ''
      expect((await exchange(app, code, verifier)).status).toBe(200)
    }))

  it('tells an app on another origin that the member denied', () =>
    withPerson(browser, {}, async ({ page }) => {
      const { url } = askFor('demo-public', `${other.origin}/callback`)
      await page.goto(url)
      await signIn(page, 'maria')
      await denyButton(page).click()
      await page.waitForURL(`${other.origin}/callback*`)
      expect(JSON.parse((await page.locator('#said:not(:empty)').textContent()) ?? '')).toMatchObject({
        error: 'access_denied',
        state: 'a-state-of-the-app',
        iss: `${server.url}/prairie/sandbox`,
      })
    }))

  it('reaches an app by its claimed HTTPS address', () =>
    withPerson(browser, { expects: [/^request to pocket\.example\.com$/] }, async ({ page }) => {
      const { app, verifier, url } = askFor('claimed', claimed)
      await standIn(page, `${claimed}*`)
      await page.goto(url)
      await signIn(page, 'maria')
      await pass(page)
      await shareButton(page).click()
      await page.getByRole('heading', { name: 'Back in the app' }).waitFor()
      const code = new URL(page.url()).searchParams.get('code') ?? ''
      expect((await exchange(app, code, verifier)).status).toBe(200)
    }))

  it('needs the word for it in the content policy: the browser holds the server to it', () =>
    withPerson(browser, { expects: [/violates the following Content Security Policy/] }, async ({ page, requests }) => {
      await page.route('**/interaction/*', async (route) => {
        const response = await route.fetch({ maxRedirects: 0 })
        const headers = response.headers()
        const policy = headers['content-security-policy']
        if (policy) headers['content-security-policy'] = policy.replace(' com.example.pocket:', '')
        await route.fulfill({ response, headers })
      })
      await page.goto(askFor('private-use', privateUse).url)
      // The browser's first answer came by a redirect, which `route` does not see.
      await page.reload()
      const violation = page.waitForEvent('console', (message) => /Content Security Policy/.test(message.text()))
      await page.getByRole('button', { name: 'Cancel and return' }).click()
      await violation
      expect(requests.filter((url) => url.startsWith('com.example'))).toEqual([])
    }))

  // A person for each: the browser holds back an app that one page has opened before.
  it.each(['error', 'code'])('reaches a native app by its private-use scheme, with %s', (what) =>
    withPerson(browser, {}, async ({ page, requests }) => {
      const { app, verifier, url } = askFor('private-use', privateUse)
      // The browser may ask for a picture of the page after it.
      const toApp = () => requests.findLast((request) => request.startsWith('com.example.pocket:'))
      await page.goto(url)
      await signIn(page, 'maria')
      await pass(page)
      await (what === 'error' ? denyButton(page) : shareButton(page)).click()
      await expect.poll(toApp, { timeout: 10_000 }).toContain(`${what}=`)
      const answer = new URL(toApp() ?? '').searchParams
      if (what === 'error') expect(answer.get('error')).toBe('access_denied')
      else expect((await exchange(app, answer.get('code') ?? '', verifier)).status).toBe(200)
    }),
  )

  it('reaches a native app from the warning too, where the member turns back', () =>
    withPerson(browser, {}, async ({ page, requests }) => {
      await page.goto(askFor('private-use', privateUse).url)
      await signIn(page, 'maria')
      await turnBack(page)
      const toApp = () => requests.find((request) => request.startsWith('com.example.pocket:'))
      await expect.poll(toApp, { timeout: 10_000 }).toContain('error=access_denied')
    }))

  it('ends in a page with a link where the content policy has no word for the address', () =>
    withPerson(browser, {}, async ({ page }) => {
      const redirectUri = 'http://[::1]:9417/callback'
      const { app, verifier, url } = askFor('six', redirectUri)
      await standIn(page, '*:9417/*')
      await page.goto(url)
      await signIn(page, 'maria')
      await turnBack(page)
      await page.getByRole('heading', { name: 'You are done here' }).waitFor()
      await page.goto(url)
      await pass(page)
      await shareButton(page).click()
      await page.getByRole('heading', { name: 'You are done here' }).waitFor()
      await page.getByRole('link', { name: 'Go back to Pocket Record' }).click()
      await page.getByRole('heading', { name: 'Back in the app' }).waitFor()
      expect(page.url()).toContain(redirectUri)
      const code = new URL(page.url()).searchParams.get('code') ?? ''
      expect((await exchange(app, code, verifier)).status).toBe(200)
    }))
})
