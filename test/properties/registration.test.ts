/** Whatever an app says of itself, or pushes: an answer, a client no wider than policy, and redirects to nothing unregistered. */
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { demoApp, pkce, redirectUri } from '../support/authorize.ts'
import { push } from '../support/pushed.ts'
import { initialToken, send, steps } from '../support/registration.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { Visitor } from '../support/visitor.ts'
import { anyText, changed, mostly, redirectText, scopeList } from './generators.ts'
import { createSecrets, expectSound, hold, timeLimit } from './property.ts'

let server: TestServer
const secrets = createSecrets()

beforeAll(async () => {
  server = await startServer()
})
afterAll(() => server.close())

const issuer = () => `${server.url}/prairie/sandbox`

const anything = fc.oneof(anyText, fc.jsonValue())
const metadata = fc
  .tuple(
    fc.record({
      client_name: mostly<unknown>(steps.client_name, anything),
      redirect_uris: mostly<unknown>(steps.redirect_uris, fc.oneof(fc.array(redirectText, { maxLength: 3 }), anything)),
      token_endpoint_auth_method: mostly<unknown>('none', fc.oneof(fc.constant('client_secret_basic'), anything)),
      grant_types: mostly<unknown>(steps.grant_types, fc.oneof(fc.constant(['client_credentials']), anything)),
      scope: mostly<unknown>('launch/patient patient/*.rs', fc.oneof(scopeList, anything)),
    }),
    fc.option(
      fc.tuple(
        fc.constantFrom(
          'client_id',
          'client_secret',
          'jwks',
          'jwks_uri',
          'logo_uri',
          'response_types',
          'contacts',
          'x',
        ),
        anything,
      ),
      { freq: 1 },
    ),
  )
  .map(([said, more]) => ({ ...said, ...(more ? { [more[0]]: more[1] } : {}) }))

describe('a registration', () => {
  it(
    'of any kind is answered, gives what policy allows and no address that could not be registered [ASVS 10.4.7] [SMART app-launch.register-redirect-uris]',
    async () => {
      const token = await initialToken(server, { uses: '100' })
      secrets.keep(token)
      const seen = { made: 0, refused: 0 }
      await hold(
        fc.oneof({ weight: 12, arbitrary: metadata }, { weight: 1, arbitrary: anything }),
        60,
        async (body) => {
          const answer = await send(`${issuer()}/register`, { token, body: body === undefined ? '' : body })
          expectSound(answer, body)
          if (answer.status !== 201) {
            expect([400, 401, 413, 415], JSON.stringify(answer.body)).toContain(answer.status)
            expect(Object.keys(answer.body)).not.toContain('client_id')
            seen.refused += 1
            return
          }
          seen.made += 1
          const { client_id, client_secret, registration_access_token, redirect_uris, scope } = answer.body
          secrets.keep(client_secret, registration_access_token)
          expect(client_id).not.toBe((body as { client_id?: unknown }).client_id)
          expect(String(scope ?? '')).not.toMatch(/system\/|introspect|launches/)
          for (const uri of redirect_uris ?? [])
            expect(uri).toMatch(
              /^https:\/\/|^http:\/\/(?:127\.0\.0\.1|\[::1\]|localhost)(?::\d+)?\/|^[a-z][a-z0-9+-]*\.[a-z0-9.+-]*:\//,
            )
          for (const uri of redirect_uris ?? [])
            expect(new URL(uri).href === uri || new URL(uri).pathname === '/').toBe(true)
        },
      )
      secrets.expectNoneIn(server)
      for (const [what, count] of Object.entries(seen)) expect(count, what).toBeGreaterThan(8)
    },
    timeLimit,
  )
})

const pushedFields = changed(
  {
    response_type: mostly('code', fc.constantFrom('token', '')),
    redirect_uri: fc.oneof(fc.constant(redirectUri), redirectText),
    scope: fc.oneof(fc.constant('launch/patient patient/*.rs'), scopeList),
    state: fc.string({ minLength: 16, maxLength: 40 }),
    code_challenge: mostly(pkce().challenge, anyText),
    code_challenge_method: mostly('S256', fc.constantFrom('plain', '')),
  },
  [
    'response_type',
    'redirect_uri',
    'scope',
    'state',
    'aud',
    'resource',
    'prompt',
    'request_uri',
    'launch',
    'dpop_jkt',
    'x',
  ],
)

describe('a pushed request', () => {
  it(
    'of any kind is answered, and its name leads no further than the request itself would [RFC 9700 1, 2]',
    async () => {
      const seen = { named: 0, refused: 0 }
      await hold(fc.tuple(pushedFields, fc.boolean()), 100, async ([fields, own]) => {
        const app = demoApp(server.url)
        const answer = await push(app, new URLSearchParams([['client_id', app.clientId], ...fields]))
        expectSound(answer, fields)
        if (answer.status !== 201) {
          expect(answer.body).not.toHaveProperty('request_uri')
          seen.refused += 1
          return
        }
        seen.named += 1
        const { request_uri } = answer.body
        expect(fields.filter(([name]) => name === 'redirect_uri').map(([, uri]) => uri)).toEqual([
          expect.stringMatching(/^http:\/\/127\.0\.0\.1(?::\d{0,5})?\/callback$|\/prairie\/sandbox\/demo\/$/),
        ])
        const opened = new URL(app.authorize)
        opened.searchParams.set('client_id', own ? app.clientId : 'demo-confidential')
        opened.searchParams.set('request_uri', request_uri)
        const page = await new Visitor().open(opened.href)
        expectSound(page, fields)
        expect(page.url).not.toMatch(/[?&]code=/)
        if (!own) expect(page.html).not.toContain('name="password"')
      })
      secrets.expectNoneIn(server)
      for (const [what, count] of Object.entries(seen)) expect(count, what).toBeGreaterThan(15)
    },
    timeLimit,
  )
})
