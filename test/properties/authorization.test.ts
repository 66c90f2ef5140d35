/** Whatever an authorization request says: an answer, no redirect to anything unregistered, and no code that nobody agreed to. */
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { authorizationUrl, demoApp, everything, password, pkce, redirectUri } from '../support/authorize.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { Visitor } from '../support/visitor.ts'
import { anyText, changed, mostly, redirectText, scopeList } from './generators.ts'
import { createSecrets, expectSound, hold, timeLimit } from './property.ts'

let server: TestServer
let visitor: Visitor
const secrets = createSecrets()

beforeAll(async () => {
  server = await startServer()
  visitor = new Visitor()
  const page = await visitor.open(authorizationUrl(demoApp(server.url), pkce().challenge))
  await visitor.submit(page, '/sign-in', { username: 'maria', password })
})
afterAll(() => server.close())

/** What the demonstration's apps have registered, written down once more; a port may be empty (RFC 3986 3.2.3). */
const isRegistered = (address: string): boolean =>
  /^http:\/\/127\.0\.0\.1(?::\d{0,5})?\/callback$/.test(address) || address === `${server.url}/prairie/sandbox/demo/`

const names = [
  ...['response_type', 'client_id', 'redirect_uri', 'scope', 'state', 'aud', 'resource', 'code_challenge', 'prompt'],
  ...['code_challenge_method', 'response_mode', 'nonce', 'max_age', 'request', 'request_uri', 'claims', 'launch'],
  ...['id_token_hint', 'login_hint', 'ui_locales', 'acr_values', 'display', 'registration', 'dpop_jkt', 'x'],
]

const requests = fc.record({
  fields: changed(
    {
      response_type: mostly('code', fc.constantFrom('token', 'id_token', 'code token', 'none', '')),
      client_id: mostly('demo-public', fc.constantFrom('demo-confidential', 'demo-resource-server', 'nobody', '')),
      redirect_uri: fc.oneof(fc.constant(redirectUri), redirectText),
      scope: fc.oneof(fc.constant(everything), scopeList),
      state: fc.oneof(fc.string({ minLength: 16, maxLength: 40 }), anyText),
      code_challenge: mostly(pkce().challenge, fc.constantFrom('short', '')),
      code_challenge_method: mostly('S256', fc.constantFrom('plain', '')),
    },
    names,
  ),
  post: fc.boolean(),
  aud: mostly('right', fc.constantFrom('wrong', 'none')),
})

describe('an authorization request', () => {
  it(
    'of any kind is answered, leads to registered addresses only, and never to a code without consent (R12) [RFC 9700 1, 2, 3, 6] [SMART app-launch.redirect-exact]',
    async () => {
      const app = demoApp(server.url)
      const ends = { asked: 0, sentBack: 0, refused: 0 }
      await hold(requests, 400, async ({ fields, post, aud }) => {
        const form = new URLSearchParams(fields)
        if (aud !== 'none') form.append('aud', aud === 'right' ? app.fhirBase : 'https://elsewhere.example/fhir')
        const page = post
          ? await visitor.open(app.authorize, { method: 'POST', body: form })
          : await visitor.open(`${app.authorize}?${form}`)
        expectSound(page, fields)
        const arrived = new URL(page.url)
        if (arrived.origin === server.url && !arrived.pathname.endsWith('/demo/')) {
          ends[page.html.includes('name="shown"') ? 'asked' : 'refused'] += 1
          return
        }
        ends.sentBack += 1
        const asked = form.getAll('redirect_uri')
        expect(asked.filter(isRegistered), `${page.url} for ${JSON.stringify(fields)}`).toHaveLength(1)
        expect(asked.map((each) => new URL(each).href)).toEqual([`${arrived.origin}${arrived.pathname}`])
        expect(arrived.searchParams.has('code')).toBe(false)
        expect(arrived.hash).toBe('')
        expect(arrived.searchParams.get('iss')).toBe(app.issuer)
        const states = form.getAll('state')
        if (states.length === 1 && arrived.searchParams.has('state'))
          expect(arrived.searchParams.get('state')).toBe(states[0])
        secrets.keep(states.length === 1 ? states[0]?.trim() : undefined, form.get('code_challenge'))
      })
      secrets.expectNoneIn(server)
      for (const [end, count] of Object.entries(ends)) expect(count, end).toBeGreaterThan(20)
    },
    timeLimit,
  )
})
