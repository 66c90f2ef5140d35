/** `online_access`: new tokens for as long as the member is signed in, and no longer. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import {
  type App,
  confidentialApp,
  demoApp,
  exchange,
  obtainTokens,
  password,
  pkce,
  refresh,
  walk,
  walkToConsent,
} from '../support/authorize.ts'
import { connectionLinks, textOf, visitPages } from '../support/member-pages.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { Visitor } from '../support/visitor.ts'
import { claimsOf, post, resourceServer } from '../support/wire.ts'

const HOUR = 3_600_000
const online = 'openid fhirUser launch/patient online_access patient/*.rs'
const both = `${online} offline_access`

let server: TestServer
let app: App
let skew = 0

beforeAll(async () => {
  server = await startServer({ now: () => Date.now() + skew })
  app = demoApp(server.url)
})
afterAll(() => server.close())
beforeEach(() => {
  skew = 0
})

const connect = async (scope = online, more: Parameters<typeof obtainTokens>[1] = {}) => {
  const visitor = new Visitor()
  const tokens = await obtainTokens(app, { visitor, params: { scope }, ...more })
  return { visitor, tokens }
}

const signOut = async (visitor: Visitor): Promise<void> => {
  const page = await visitor.open(`${app.issuer}/sign-out`)
  expect((await visitor.submit(page, '/sign-out')).status).toBe(200)
}

const isActive = async (token: string): Promise<boolean> =>
  (await post(`${app.issuer}/introspect`, { token }, resourceServer)).body.active

const ended = { error: 'invalid_grant', error_subcode: 'session_ended' }

describe('online_access', () => {
  it('gives a refresh token until the absolute end of the session [SMART app-launch.online-access]', async () => {
    const { tokens } = await connect()
    expect(tokens.scope.split(' ')).toContain('online_access')
    const left = tokens.grant_expires_at * 1000 - Date.now()
    const { absoluteHours } = server.settings.session
    expect(left).toBeGreaterThan((absoluteHours - 0.02) * HOUR)
    expect(left).toBeLessThanOrEqual(absoluteHours * HOUR)
    const again = await refresh(app, tokens.refresh_token)
    expect(again.status).toBe(200)
    expect(again.body.grant_expires_at).toBe(tokens.grant_expires_at)
  })

  it('goes on while the session idles, and ends at its absolute end [SMART app-launch.online-access]', async () => {
    const { tokens } = await connect()
    const { idleMinutes, absoluteHours } = server.settings.session
    skew = (idleMinutes + 5) * 60_000
    const again = await refresh(app, tokens.refresh_token)
    expect(again.status).toBe(200)
    skew = absoluteHours * HOUR + 60_000
    const late = await refresh(app, again.body.refresh_token)
    expect(late.status).toBe(400)
    expect(late.body).toMatchObject({ error: 'invalid_grant', error_subcode: 'expired' })
  })

  it('ends when the member signs out, for refreshing and for introspection [SMART app-launch.online-access]', async () => {
    const { visitor, tokens } = await connect()
    expect(await isActive(tokens.access_token)).toBe(true)
    await signOut(visitor)
    expect((await refresh(app, tokens.refresh_token)).body).toMatchObject(ended)
    expect(await isActive(tokens.access_token)).toBe(false)
  })

  it('spends a code that was not redeemed before the member signed out', async () => {
    const { verifier, challenge } = pkce()
    const visitor = new Visitor()
    const { callback } = await walk(app, challenge, { visitor, params: { scope: online } })
    await signOut(visitor)
    const answer = await exchange(app, callback.searchParams.get('code') ?? '', verifier)
    expect(answer.status).toBe(400)
    expect(answer.body).toMatchObject({ error: 'invalid_grant' })
  })

  it('ends when another member signs in at the same browser, on the way to an app', async () => {
    const { visitor, tokens } = await connect()
    const { page } = await walkToConsent(app, pkce().challenge, { visitor })
    const signIn = await visitor.submit(page, '/switch')
    await visitor.submit(signIn, '/sign-in', { username: 'david', password })
    expect((await refresh(app, tokens.refresh_token)).body).toMatchObject(ended)
  })

  it('ends when somebody signs in anew on the member’s own pages', async () => {
    const visitor = new Visitor()
    const page = await visitor.open(`${app.issuer}/connections`)
    const { tokens } = await connect(online, { visitor })
    await visitor.submit(page, '/sign-in', { username: 'david', password })
    expect((await refresh(app, tokens.refresh_token)).body).toMatchObject(ended)
  })

  it('does not end with another browser’s session of the same member', async () => {
    const { tokens } = await connect()
    const other = await connect()
    await signOut(other.visitor)
    expect((await refresh(app, other.tokens.refresh_token)).body).toMatchObject(ended)
    expect((await refresh(app, tokens.refresh_token)).status).toBe(200)
  })

  it('is told to the member as the end of a visit, and nothing longer is offered', async () => {
    const { page } = await walkToConsent(app, pkce().challenge, { params: { scope: online } })
    expect(page.html).not.toContain('name="duration"')
    expect(textOf(page)).toContain('It ends when you sign out, or on ')
    expect(textOf(page)).not.toContain('for 60 minutes')
  })

  it('does not come of a form that asks for a year all the same', async () => {
    const { tokens } = await connect(online, { consent: { duration: 'P1Y' } })
    expect(tokens.grant_expires_at * 1000 - Date.now()).toBeLessThanOrEqual(
      server.settings.session.absoluteHours * HOUR,
    )
  })

  it('cannot be put off to a later day', async () => {
    const binder = confidentialApp(server.url)
    const visitor = new Visitor()
    const tokens = await obtainTokens(binder, { visitor, params: { scope: online } })
    const list = await visitPages(app.issuer, 'maria', { visitor })
    const pages = await Promise.all(connectionLinks(list.page).map((link) => visitor.open(link)))
    const connection = pages.find((page) => textOf(page).includes('Family Health Binder'))
    expect(connection?.html).toContain('/narrow')
    expect(connection?.html).not.toContain('/extend')
    await signOut(visitor)
    expect((await refresh(binder, tokens.refresh_token)).body).toMatchObject(ended)
  })
})

describe('without online_access', () => {
  it('there is no refresh token for an app that asked for neither', async () => {
    const { tokens } = await connect('openid launch/patient patient/*.rs')
    expect(tokens.refresh_token).toBeUndefined()
  })

  it('signing out ends nothing that was shared with offline access [SMART app-launch.online-access]', async () => {
    const { visitor, tokens } = await connect('launch/patient offline_access patient/*.rs')
    await signOut(visitor)
    expect((await refresh(app, tokens.refresh_token)).status).toBe(200)
  })
})

describe('offline_access and online_access together', () => {
  it('are offline for whoever shares for longer', async () => {
    const { visitor, tokens } = await connect(both)
    expect(tokens.scope.split(' ')).toContain('offline_access')
    await signOut(visitor)
    expect((await refresh(app, tokens.refresh_token)).status).toBe(200)
  })

  it('are online for whoever shares for the visit', async () => {
    const { visitor, tokens } = await connect(both, { consent: { duration: 'once' } })
    expect(tokens.scope.split(' ')).toContain('online_access')
    expect(tokens.scope.split(' ')).not.toContain('offline_access')
    const again = await refresh(app, tokens.refresh_token)
    expect(again.status).toBe(200)
    await signOut(visitor)
    expect((await refresh(app, again.body.refresh_token)).body).toMatchObject(ended)
  })

  it('say so on the page', async () => {
    const { page } = await walkToConsent(app, pkce().challenge, { params: { scope: both } })
    expect(textOf(page)).toContain('Only while you are signed in')
    expect(textOf(page)).not.toContain('Just once')
  })

  it('carry the session in no token', async () => {
    const { tokens } = await connect()
    expect(claimsOf(tokens.access_token)).not.toHaveProperty('session')
  })
})
