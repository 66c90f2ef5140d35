/** A session ends by itself: after idling, and at its absolute end however busy it is (ASVS 7.3.1, 7.3.2). */
import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, describe, expect, it } from 'vitest'
import { authorizationUrl, demoApp, pkce, walk } from '../support/authorize.ts'
import { visitPages } from '../support/member-pages.ts'
import { startServer, type TestServer } from '../support/server.ts'
import type { Visitor } from '../support/visitor.ts'

/** Each story waits for seconds, so all wait at once. */
const servers: TestServer[] = []
afterAll(() => Promise.all(servers.map((server) => server.close())))

const startWith = async (session: { idleMinutes: number; absoluteHours: number }): Promise<TestServer> => {
  const server = await startServer({ change: (settings) => Object.assign(settings, { session }) })
  servers.push(server)
  return server
}

/** Signs Maria in at a server whose sessions live for seconds, and answers how the next request finds her. */
const signedIn = async (session: { idleMinutes: number; absoluteHours: number }) => {
  const server = await startWith(session)
  const { challenge } = pkce()
  const { visitor } = await walk(demoApp(server.url), challenge)
  return { server, visitor, challenge }
}

const asks = async (server: TestServer, visitor: Visitor, challenge: string): Promise<'password' | 'consent'> => {
  const page = await visitor.open(authorizationUrl(demoApp(server.url), challenge))
  return page.html.includes('name="password"') ? 'password' : 'consent'
}

describe.concurrent('the end of a session', () => {
  it('comes after idling [ASVS 7.3.1]', async () => {
    const { server, visitor, challenge } = await signedIn({ idleMinutes: 6 / 60, absoluteHours: 8 })
    expect(await asks(server, visitor, challenge)).toBe('consent')
    await pause(7500)
    expect(await asks(server, visitor, challenge)).toBe('password')
  })

  it('is put off by visits to the member’s own pages, and comes after idling there', async () => {
    const { server, visitor, challenge } = await signedIn({ idleMinutes: 6 / 60, absoluteHours: 8 })
    const { issuer } = demoApp(server.url)
    const isIn = async () => !(await visitor.open(`${issuer}/connections`)).html.includes('name="password"')
    for (let visits = 0; visits < 5; visits += 1) {
      await pause(2000)
      expect(await isIn()).toBe(true)
    }
    expect(await asks(server, visitor, challenge), 'and so for apps').toBe('consent')
    await pause(7500)
    expect(await isIn()).toBe(false)
  })

  it('comes at the absolute end on the member’s own pages too', async () => {
    const server = await startWith({ idleMinutes: 15, absoluteHours: 8 / 3600 })
    const { issuer } = demoApp(server.url)
    const { visitor, page } = await visitPages(issuer, 'maria')
    expect(page.html).not.toContain('name="password"')
    let signedOut = false
    for (let seconds = 0; seconds < 13 && !signedOut; seconds += 1) {
      await pause(1000)
      signedOut = (await visitor.open(`${issuer}/connections`)).html.includes('name="password"')
    }
    expect(signedOut).toBe(true)
  })

  it('comes at the absolute end, however busy the session was [ASVS 7.3.2]', async () => {
    const { server, visitor, challenge } = await signedIn({ idleMinutes: 15, absoluteHours: 10 / 3600 })
    let answer = await asks(server, visitor, challenge)
    expect(answer).toBe('consent')
    for (let seconds = 0; seconds < 15 && answer === 'consent'; seconds += 1) {
      await pause(1000)
      answer = await asks(server, visitor, challenge)
    }
    expect(answer).toBe('password')
  })
})
