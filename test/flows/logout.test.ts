/** An app sends people to sign out (OpenID Connect RP-Initiated Logout 1.0): it asks, they decide, and it gets nobody to an address of its own making. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type App, demoApp, obtainTokens, pkce, refresh, walkToConsent } from '../support/authorize.ts'
import { demonstrationApp } from '../support/demonstration-app.ts'
import { textOf, visitPages } from '../support/member-pages.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { type Page, Visitor } from '../support/visitor.ts'

const back = 'https://portal.example.org/bye'
const scheme = 'org.example.portal:/bye'
const online = 'openid launch/patient online_access patient/*.rs'
const offline = 'openid launch/patient offline_access patient/*.rs'

let server: TestServer
let app: App

beforeAll(async () => {
  server = await startServer({
    change: ({ plans }) => {
      const sandbox = plans[0]?.environments[0]
      sandbox?.endpoints.endSession.aliases.push('/v3/bye')
      sandbox?.demonstration?.apps.push(
        demonstrationApp({
          clientId: 'portal',
          name: 'Portal App',
          redirectUris: ['http://127.0.0.1/callback'],
          logoutUris: [back, scheme, 'http://[::1]/bye'],
          attestation: { state: 'declined', answers: null, expiresAt: null },
        }),
        demonstrationApp({
          clientId: 'other',
          redirectUris: ['http://127.0.0.1/callback'],
          logoutUris: ['https://other.example.org/bye'],
        }),
      )
    },
  })
  app = demoApp(server.url, 'portal')
})
afterAll(() => server.close())

const connect = async (scope = online) => {
  const visitor = new Visitor()
  return { visitor, tokens: await obtainTokens(app, { visitor, params: { scope } }) }
}

const logoutUrl = (params: Record<string, string> = {}): string => `${app.issuer}/logout?${new URLSearchParams(params)}`

const isSignedIn = async (visitor: Visitor): Promise<boolean> =>
  !(await visitor.open(`${app.issuer}/connections`)).html.includes('name="password"')

const asksWhether = (page: Page): boolean => page.html.includes('name="csrf"') && textOf(page).includes('Sign out?')

describe('an app that sends people to sign out', () => {
  it('has them asked, and back at its registered address with its state [FAPI logout]', async () => {
    const { visitor, tokens } = await connect()
    const page = await visitor.open(
      logoutUrl({ id_token_hint: tokens.id_token, post_logout_redirect_uri: back, state: 'a b&c=d' }),
    )
    expect(page.status).toBe(200)
    expect(textOf(page)).toContain('Portal App asks you to sign out here.')
    expect(await isSignedIn(visitor), 'until they say so').toBe(true)
    const done = await visitor.submit(page, '/logout')
    expect(done.status).toBe(303)
    const address = new URL(done.url)
    expect(`${address.origin}${address.pathname}`).toBe(back)
    expect([...address.searchParams]).toEqual([['state', 'a b&c=d']])
    expect(await isSignedIn(visitor)).toBe(false)
  })

  it('loses what it has for the visit, and keeps what was shared for longer', async () => {
    const { visitor, tokens } = await connect()
    const binder = demoApp(server.url, 'demo-public')
    const kept = await obtainTokens(binder, { visitor, params: { scope: offline } })
    const once = await obtainTokens(demoApp(server.url, 'other'), {
      visitor,
      params: { scope: 'launch/patient patient/*.rs' },
    })
    const page = await visitor.open(logoutUrl({ client_id: 'portal' }))
    await visitor.submit(page, '/logout')
    expect((await refresh(app, tokens.refresh_token)).body).toMatchObject({ error_subcode: 'session_ended' })
    expect((await refresh(binder, kept.refresh_token)).status).toBe(200)
    const seen = await fetch(`${app.fhirBase}/Patient/${once.patient}`, {
      headers: { authorization: `Bearer ${once.access_token}` },
    })
    expect(seen.status, 'shared once, until the end that the page named').toBe(200)
  })

  it('may ask by POST from its own site, and nothing ends by that', async () => {
    const { visitor, tokens } = await connect()
    const page = await visitor.open(`${app.issuer}/logout`, {
      method: 'POST',
      body: new URLSearchParams({ id_token_hint: tokens.id_token, post_logout_redirect_uri: back }),
      headers: { 'sec-fetch-site': 'cross-site', origin: 'https://portal.example.org' },
    })
    expect(asksWhether(page)).toBe(true)
    expect(await isSignedIn(visitor)).toBe(true)
    expect(new URL((await visitor.submit(page, '/logout')).url).origin).toBe('https://portal.example.org')
  })

  it('finds the endpoint at its aliases too', async () => {
    const { visitor } = await connect()
    expect(asksWhether(await visitor.open(`${server.url}/v3/bye`))).toBe(true)
  })

  it('gets those back at once who are not signed in', async () => {
    const done = await new Visitor().open(
      logoutUrl({ client_id: 'portal', post_logout_redirect_uri: back, state: 's' }),
    )
    expect(done.url).toBe(`${back}?state=s`)
  })

  it('gets people back to a scheme of its own, and to an address for which browsers have no rule by a link', async () => {
    const { visitor } = await connect()
    const page = await visitor.open(logoutUrl({ client_id: 'portal', post_logout_redirect_uri: scheme }))
    expect(page.headers.get('content-security-policy')).toContain("form-action 'self' org.example.portal:")
    expect((await visitor.submit(page, '/logout')).url).toBe(scheme)
    const last = await new Visitor().open(
      logoutUrl({ client_id: 'portal', post_logout_redirect_uri: 'http://[::1]/bye' }),
    )
    expect(last.status).toBe(200)
    expect(last.html).toContain('href="http://[::1]/bye"')
  })

  it('may name an ID token that has expired', async () => {
    const { visitor, tokens } = await connect()
    // The engine made it an instant ago; the hint's age is not asked for.
    const page = await visitor.open(logoutUrl({ id_token_hint: tokens.id_token, post_logout_redirect_uri: back }))
    expect(page.status).toBe(200)
  })
})

describe('a request to sign out that is not right [FAPI logout]', () => {
  const lying: [string, (hint: string) => Record<string, string>][] = [
    [
      'an address that is not registered',
      () => ({ client_id: 'portal', post_logout_redirect_uri: 'https://evil.example.org/' }),
    ],
    ['one below a registered address', () => ({ client_id: 'portal', post_logout_redirect_uri: `${back}/more` })],
    ['one with a query more', () => ({ client_id: 'portal', post_logout_redirect_uri: `${back}?x=1` })],
    ['one in other letters', () => ({ client_id: 'portal', post_logout_redirect_uri: back.replace('bye', 'BYE') })],
    [
      'the redirect URI of its authorizations',
      () => ({ client_id: 'portal', post_logout_redirect_uri: app.redirectUri }),
    ],
    [
      'another app’s address',
      () => ({ client_id: 'portal', post_logout_redirect_uri: 'https://other.example.org/bye' }),
    ],
    ['an address and no app', () => ({ post_logout_redirect_uri: back })],
    ['an app that is not there', () => ({ client_id: 'nobody', post_logout_redirect_uri: back })],
    [
      'an app that is not the hint’s',
      (hint) => ({ id_token_hint: hint, client_id: 'other', post_logout_redirect_uri: back }),
    ],
    [
      'a hint that is no token',
      () => ({ id_token_hint: 'nonsense', client_id: 'portal', post_logout_redirect_uri: back }),
    ],
    [
      'a hint with a signature of somebody else',
      (hint) => ({ id_token_hint: `${hint.slice(0, -8)}AAAAAAAA`, post_logout_redirect_uri: back }),
    ],
    [
      'a hint without a signature',
      (hint) => ({
        id_token_hint: `${Buffer.from('{"alg":"none"}').toString('base64url')}.${hint.split('.')[1]}.`,
        post_logout_redirect_uri: back,
      }),
    ],
  ]
  it.each(lying)('%s: leads nowhere, signed in or not, and people can sign out all the same', async (_name, params) => {
    const { visitor, tokens } = await connect()
    const url = logoutUrl(params(tokens.id_token))
    const stranger = await new Visitor().open(url)
    expect(stranger.status).toBe(400)
    expect(stranger.url).toBe(url)
    const page = await visitor.open(url)
    expect(page.status).toBe(400)
    expect(asksWhether(page)).toBe(true)
    const done = await visitor.submit(page, '/logout')
    expect(new URL(done.url).origin).toBe(server.url)
    expect(await isSignedIn(visitor)).toBe(false)
  })

  it('with an access token for a hint leads nowhere', async () => {
    const { tokens } = await connect()
    const page = await new Visitor().open(
      logoutUrl({ id_token_hint: tokens.access_token, client_id: 'portal', post_logout_redirect_uri: back }),
    )
    expect(page.status).toBe(400)
  })

  it.each(['id_token_hint', 'client_id', 'post_logout_redirect_uri', 'state'])(
    'with two of %s is refused',
    async (name) => {
      const page = await new Visitor().open(`${logoutUrl({ client_id: 'portal' })}&${name}=a&${name}=b`)
      expect(page.status).toBe(400)
    },
  )

  it('by another method is refused', async () => {
    const answer = await fetch(logoutUrl(), { method: 'DELETE' })
    expect(answer.status).toBe(405)
  })
})

describe('signing out cannot be forced upon people [ASVS 10.6.2] [FAPI logout]', () => {
  it.each([
    [
      'by opening the address',
      async (visitor: Visitor) => void (await visitor.open(logoutUrl({ client_id: 'portal' }))),
    ],
    [
      'by a form without our token',
      async (visitor: Visitor) => {
        const answer = await visitor.send(`${app.issuer}/logout`, {
          method: 'POST',
          body: new URLSearchParams({ csrf: 'guess' }),
        })
        expect(answer.status).toBe(403)
      },
    ],
    [
      'by our form from another site',
      async (visitor: Visitor) => {
        const page = await visitor.open(logoutUrl())
        const csrf = /name="csrf" value="([^"]+)"/.exec(page.html)?.[1] ?? ''
        const answer = await visitor.send(`${app.issuer}/logout`, {
          method: 'POST',
          body: new URLSearchParams({ csrf }),
          headers: { 'sec-fetch-site': 'cross-site' },
        })
        expect(answer.status).toBe(403)
      },
    ],
    [
      'by another person’s form',
      async (visitor: Visitor) => {
        const { visitor: other } = await visitPages(app.issuer, 'david')
        const page = await other.open(logoutUrl())
        const csrf = /name="csrf" value="([^"]+)"/.exec(page.html)?.[1] ?? ''
        const answer = await visitor.send(`${app.issuer}/logout`, {
          method: 'POST',
          body: new URLSearchParams({ csrf }),
        })
        expect(answer.status).toBe(403)
      },
    ],
  ])('%s', async (_name, force) => {
    const { visitor, tokens } = await connect()
    await force(visitor)
    expect(await isSignedIn(visitor)).toBe(true)
    expect((await refresh(app, tokens.refresh_token)).status).toBe(200)
  })

  it('and an authorization under way is not led elsewhere by it', async () => {
    const visitor = new Visitor()
    const { page } = await walkToConsent(app, pkce().challenge, { visitor, params: { scope: online } })
    const asked = await visitor.open(logoutUrl({ client_id: 'portal' }))
    await visitor.submit(asked, '/logout')
    const late = await visitor.submit(page, '/consent')
    expect(late.url).not.toContain('code=')
  })
})
