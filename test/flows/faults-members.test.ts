/** Faults of ours (R43) on the member's own pages and at the warning: try again, and nothing is done by half. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { authorizationUrl, demoApp, obtainTokens, password, pkce, refresh } from '../support/authorize.ts'
import { failingStore } from '../support/failing-store.ts'
import { atEveryStep, modes } from '../support/faults.ts'
import { connectionLinks, textOf, visitPages } from '../support/member-pages.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { formOf, type Page, Visitor } from '../support/visitor.ts'

let server: TestServer
const store = failingStore()

beforeAll(async () => {
  server = await startServer({ wrapDialect: store.wrapDialect })
})
afterAll(() => server.close())

const app = (clientId?: string) => demoApp(server.url, clientId)
const pages = () => `${app().issuer}/connections`

/** A page, a way on, or a page that says to try again: never a way on of which nothing came, and no error for the app. */
const expectPageOr503 = async (response: Response): Promise<{ status: number; location: string }> => {
  const location = response.headers.get('location') ?? ''
  const html = await response.text()
  if (response.status === 503) {
    expect(location).toBe('')
    expect(Number(response.headers.get('retry-after'))).toBeGreaterThan(0)
    expect(html).toContain('not available right now')
    return { status: 503, location: '' }
  }
  expect([200, 303], html.slice(0, 500)).toContain(response.status)
  expect(location).not.toContain('error=')
  return { status: response.status, location }
}

const post = (visitor: Visitor, page: Page, part: string, more: Record<string, string | string[]> = {}) => {
  const form = formOf(page, part)
  for (const [name, value] of Object.entries(more)) {
    form.fields.delete(name)
    for (const each of [value].flat()) form.fields.append(name, each)
  }
  return visitor.send(form.action, { method: 'POST', body: form.fields })
}

/** A connection of its own: nothing was done to it yet. */
const connected = async () => {
  const before = await visitPages(app().issuer, 'maria')
  if (before.page.html.includes('/end"')) await before.visitor.submit(before.page, '/end')
  const tokens = await obtainTokens(app(), { consent: { duration: 'P3M' } })
  const { visitor, page } = await visitPages(app().issuer, 'maria')
  return { tokens, visitor, link: connectionLinks(page)[0] ?? '' }
}

describe.each(modes)('the member’s own pages, the store %s', { timeout: 120_000 }, (mode) => {
  it.each(['', '/narrow', '/extend', '/receipt', '/receipt.json'])('a page %s is opened again', async (path) => {
    const { visitor, link } = await connected()
    const refused = await atEveryStep(
      store,
      mode,
      async () => undefined,
      async () => expectPageOr503(await visitor.send(link + path)),
      async () => void expect((await visitor.open(link + path)).status).toBe(200),
    )
    expect(refused).toBeGreaterThan(2)
  })

  it('signing in is done again, and leads on', async () => {
    const refused = await atEveryStep(
      store,
      mode,
      async () => {
        const visitor = new Visitor()
        return { visitor, page: await visitor.open(pages()) }
      },
      async ({ visitor, page }) =>
        expectPageOr503(await post(visitor, page, '/sign-in', { username: 'maria', password })),
      async ({ visitor, page }) => {
        const done = await visitor.submit(page, '/sign-in', { username: 'maria', password })
        expect(textOf(done)).toContain('Maria Alvarez')
      },
    )
    expect(refused).toBeGreaterThan(5)
  })

  it('the warning is passed, and turned back from, at the next press', async () => {
    const { visitor } = await connected()
    const declined = app('demo-declined')
    const warned = () => visitor.open(authorizationUrl(declined, pkce().challenge))
    const passed = await atEveryStep(
      store,
      mode,
      warned,
      async (page) => expectPageOr503(await post(visitor, page, '/warning')),
      async (page) => void expect((await visitor.submit(page, '/warning')).html).toContain('name="duration"'),
    )
    const left = await atEveryStep(
      store,
      mode,
      warned,
      async (page) => expectPageOr503(await post(visitor, page, '/leave')),
      async (page) => void expect((await visitor.submit(page, '/leave')).url).toContain('error=access_denied'),
    )
    expect(Math.min(passed, left)).toBeGreaterThan(3)
  })
})

// With the store gone from each step on, and no more: every try needs a connection of its own.
describe('what members change, the store gone', { timeout: 120_000 }, () => {
  it('what is stopped is stopped at the next press', async () => {
    const refused = await atEveryStep(
      store,
      'down',
      async () => {
        const { visitor, link, tokens } = await connected()
        return { visitor, tokens, page: await visitor.open(link) }
      },
      async ({ visitor, page }) => expectPageOr503(await post(visitor, page, '/end')),
      async ({ visitor, page, tokens }) => {
        await visitor.submit(page, '/end')
        expect((await refresh(app(), tokens.refresh_token)).status).toBe(400)
      },
    )
    expect(refused).toBeGreaterThan(5)
  })

  it('less is shared at the next press, in the token and in the history', async () => {
    const refused = await atEveryStep(
      store,
      'down',
      async () => {
        const { visitor, link, tokens } = await connected()
        return { visitor, tokens, link, page: await visitor.open(`${link}/narrow`) }
      },
      async ({ visitor, page }) => expectPageOr503(await post(visitor, page, '/narrow', { type: 'Coverage' })),
      async ({ visitor, page, link, tokens }) => {
        await post(visitor, page, '/narrow', { type: 'Coverage' })
        const { scope } = (await refresh(app(), tokens.refresh_token)).body
        expect(scope.match(/patient\/\S+/g)).toEqual(['patient/Coverage.rs'])
        expect(textOf(await visitor.open(link)).match(/You chose to share less/g)).toHaveLength(1)
      },
    )
    expect(refused).toBeGreaterThan(5)
  })

  it('it is shared longer at the next press, once', async () => {
    const refused = await atEveryStep(
      store,
      'down',
      async () => {
        const { visitor, link } = await connected()
        return { visitor, link, page: await visitor.open(`${link}/extend`) }
      },
      async ({ visitor, page }) => expectPageOr503(await post(visitor, page, '/extend', { duration: 'P1Y' })),
      async ({ visitor, page, link }) => {
        expect((await visitor.submit(page, '/extend', { duration: 'P1Y' })).status).toBe(200)
        expect(textOf(await visitor.open(link)).match(/You chose to share longer/g)).toHaveLength(1)
      },
    )
    expect(refused).toBeGreaterThan(5)
  })
})
