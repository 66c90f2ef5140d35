/** Faults of ours (R43), as members meet them: a page that says to try again, and trying again works. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { authorizationUrl, demoApp, exchange, password, pkce, walkToConsent } from '../support/authorize.ts'
import { failingStore } from '../support/failing-store.ts'
import { atEveryStep, modes } from '../support/faults.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { formOf, type Page, Visitor } from '../support/visitor.ts'

let server: TestServer
const store = failingStore()
const { verifier, challenge } = pkce()

beforeAll(async () => {
  server = await startServer({ wrapDialect: store.wrapDialect })
})
afterAll(() => server.close())

const app = () => demoApp(server.url)

/** An answer for a person: a step on, or a page that says to try again, with a reference. */
const expectStepOr503 = async (response: Response): Promise<{ status: number; location: string }> => {
  const location = response.headers.get('location')
  const html = await response.text()
  if (response.status !== 503) {
    expect([200, 303], html.slice(0, 500)).toContain(response.status)
    expect(location ?? '').not.toContain('error=')
    return { status: response.status, location: location ? new URL(location, server.url).href : '' }
  }
  expect(location).toBeNull()
  expect(Number(response.headers.get('retry-after'))).toBeGreaterThan(0)
  expect(html).toContain(response.headers.get('x-request-id'))
  expect(html).toContain('not available right now')
  return { status: 503, location: '' }
}

describe.each(modes)('people, the store %s', { timeout: 120_000 }, (mode) => {
  const signedIn = async (): Promise<Visitor> => {
    const visitor = new Visitor()
    await walkToConsent(app(), challenge, { visitor })
    return visitor
  }
  const finish = async (visitor: Visitor, page: Page): Promise<void> => {
    const done = await visitor.submit(page, '/consent')
    const code = new URL(done.url).searchParams.get('code') ?? ''
    expect((await exchange(app(), code, verifier)).status, `${done.url} ${done.html}`).toBe(200)
  }
  const send = (visitor: Visitor, page: Page, part: string, fields: Record<string, string> = {}) => {
    const form = formOf(page, part)
    for (const [name, value] of Object.entries(fields)) form.fields.set(name, value)
    return visitor.send(form.action, { method: 'POST', body: form.fields })
  }

  it('an authorization request that failed at any step is made again', async () => {
    const visitor = await signedIn()
    const refused = await atEveryStep(
      store,
      mode,
      async () => undefined,
      async () => expectStepOr503(await visitor.send(authorizationUrl(app(), challenge))),
      async () =>
        void expect((await visitor.open(authorizationUrl(app(), challenge))).html).toContain('name="duration"'),
    )
    expect(refused).toBeGreaterThan(2)
  })

  it('a sign-in that failed at any step is sent again', async () => {
    const maria = { username: 'maria', password }
    const refused = await atEveryStep(
      store,
      mode,
      async () => {
        const visitor = new Visitor()
        return { visitor, page: await visitor.open(authorizationUrl(app(), challenge)) }
      },
      async ({ visitor, page }) => expectStepOr503(await send(visitor, page, '/sign-in', maria)),
      async ({ visitor, page }) =>
        void expect((await visitor.submit(page, '/sign-in', maria)).html).toContain('name="duration"'),
    )
    expect(refused).toBeGreaterThan(5)
  })

  it.each([
    ['after signing in', '/sign-in'],
    ['after the decision', '/consent'],
  ])('the way on %s is taken again', async (_what, part) => {
    const known = await signedIn()
    const refused = await atEveryStep(
      store,
      mode,
      async () => {
        const visitor = part === '/sign-in' ? new Visitor() : known
        const page = await visitor.open(authorizationUrl(app(), challenge))
        const { location } = await expectStepOr503(await send(visitor, page, part, { username: 'maria', password }))
        return { visitor, location }
      },
      async ({ visitor, location }) => expectStepOr503(await visitor.send(location)),
      async ({ visitor, location }) => {
        const page = await visitor.open(location)
        if (part === '/sign-in') return void expect(page.html).toContain('name="duration"')
        const code = new URL(page.url).searchParams.get('code') ?? ''
        expect((await exchange(app(), code, verifier)).status, `${page.url} ${page.html}`).toBe(200)
      },
    )
    expect(refused).toBeGreaterThan(2)
  })

  it('a consent page that failed at any step is opened again, and a decision sent again', async () => {
    const visitor = await signedIn()
    const reach = async () => (await walkToConsent(app(), challenge, { visitor })).page
    const shown = await atEveryStep(
      store,
      mode,
      reach,
      async (page) => expectStepOr503(await visitor.send(page.url)),
      async (page) => void expect((await visitor.open(page.url)).html).toContain('name="duration"'),
    )
    const decided = await atEveryStep(
      store,
      mode,
      reach,
      async (page) => expectStepOr503(await send(visitor, page, '/consent')),
      async (page) => finish(visitor, page),
    )
    expect(Math.min(shown, decided)).toBeGreaterThan(5)
  })
})
