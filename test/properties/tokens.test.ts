/**
 * Tokens that somebody changed are worth nothing anywhere, and forms of every shape at the endpoints of apps get an answer
 * in JSON, no token that is not theirs, and use up nothing that is good.
 */
import { createHmac } from 'node:crypto'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  confidentialApp,
  demoApp,
  exchange,
  obtainTokens,
  pkce,
  refresh,
  summitApp,
  walk,
} from '../support/authorize.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { basic, claimsOf, headerOf, post, resourceServer } from '../support/wire.ts'
import { anyText, changed, mostly } from './generators.ts'
import { createSecrets, expectSound, hold, timeLimit } from './property.ts'

let server: TestServer
const secrets = createSecrets()

beforeAll(async () => {
  server = await startServer()
})
afterAll(() => server.close())

const app = () => demoApp(server.url)
const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')

/** Claims and header members that would open more, or lead elsewhere. */
const claimChanges = fc.constantFrom<Record<string, unknown>>(
  ...[{ patient: 'lucy' }, { scope: 'patient/*.cruds' }, { exp: 9_999_999_999 }, { client_id: 'demo-confidential' }],
  ...[{ iss: 'https://evil.example' }, { aud: ['x', 'y'] }, { sub: 'somebody' }, { grant_id: 'x' }, { nbf: 0 }, {}],
  ...[{ sensitivities: ['hiv'] }, { cnf: { jkt: 'x' } }, { jti: 'x' }, { fhirUser: 'Practitioner/1' }],
)
const headerChanges = fc.constantFrom<Record<string, unknown>>(
  ...[
    { alg: 'none' },
    { alg: 'HS256' },
    { alg: 'RS256' },
    { alg: 'ES384' },
    { alg: '' },
    { typ: 'JWT' },
    { typ: 'dpop+jwt' },
  ],
  ...[{ kid: '../../dev/null' }, { kid: "' or 1=1 --" }, { kid: 'x'.repeat(5000) }, { kid: 7 }, { crit: ['exp'] }],
  ...[
    { jku: 'http://127.0.0.1:1/keys' },
    { x5u: 'http://127.0.0.1:1/x' },
    { b64: false, crit: ['b64'] },
    { zip: 'DEF' },
  ],
  { jwk: { kty: 'oct', k: 'AA' } },
)

/** A change of a token's text. */
type Change = (token: string) => string
const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=+/ .\n'
const changes: fc.Arbitrary<Change> = fc.oneof(
  fc.tuple(fc.nat(), fc.constantFrom(...alphabet)).map(
    ([at, letter]): Change =>
      (token) => {
        const place = at % token.length
        return token.slice(0, place) + letter + token.slice(place + 1)
      },
  ),
  fc.tuple(fc.nat(), fc.constantFrom(...alphabet)).map(
    ([at, letter]): Change =>
      (token) => {
        const place = at % (token.length + 1)
        return token.slice(0, place) + letter + token.slice(place)
      },
  ),
  fc.nat().map(
    (at): Change =>
      (token) =>
        token.slice(0, at % token.length),
  ),
  fc.tuple(claimChanges, headerChanges, fc.constantFrom('keep', 'drop', 'hmac')).map(
    ([claims, header, signature]): Change =>
      (token) => {
        const [, , signed = ''] = token.split('.')
        const head = `${encode({ ...headerOf(token), ...header })}.${encode({ ...claimsOf(token), ...claims })}`
        const hmac = () => createHmac('sha256', 'demo-resource-server-secret').update(head).digest('base64url')
        return `${head}.${signature === 'keep' ? signed : signature === 'drop' ? '' : hmac()}`
      },
  ),
  // The last letter of a signature has bits that mean nothing: another spelling of the same bytes is another token.
  fc.integer({ min: 1, max: 15 }).map(
    (more): Change =>
      (token) => {
        const known = alphabet.indexOf(token.at(-1) ?? '')
        return token.slice(0, -1) + alphabet[(known & ~15) | ((known + more) & 15)]
      },
  ),
  fc.constantFrom<Change>(
    (token) => `${token}.`,
    (token) => `${token}=`,
    (token) => `.${token}`,
    (token) => `${token}.${token}`,
    (token) => token.split('.').reverse().join('.'),
    (token) => token.toUpperCase(),
    (token) => encodeURIComponent(token).replaceAll('.', '%2E'),
    (token) => Buffer.from(token).toString('base64url'),
  ),
)

describe('a token with anything changed', () => {
  it(
    'opens nothing: not at introspection, userinfo, revocation or the FHIR API [RFC 8725 algorithms, typ, kid, no-foreign-keys, encoding] [ASVS 9.1.2, 9.1.3, 9.2.4]',
    async () => {
      const own = await obtainTokens(app(), { params: { scope: 'openid fhirUser offline_access patient/*.rs' } })
      const elsewhere = await obtainTokens(summitApp(server.url), { member: 'sam' })
      const at = app().issuer
      const tokens = fc.constantFrom(
        own.access_token,
        own.access_token,
        own.access_token,
        own.id_token,
        elsewhere.access_token,
      )
      await hold(fc.tuple(tokens, changes, fc.boolean()), 250, async ([token, change, asIs]) => {
        const tried = asIs && token !== own.access_token ? token : change(token)
        if (tried === own.access_token) return
        const told = await post(`${at}/introspect`, { token: tried }, resourceServer)
        expectSound(told, tried)
        if (tried !== '') expect(told.body, tried).toEqual({ active: false })
        const bearer: Record<string, string> = /^[\x21-\x7e]*$/.test(tried) ? { authorization: `Bearer ${tried}` } : {}
        for (const url of [`${at}/userinfo`, `${at}/fhir/Patient/maria`]) {
          const response = await fetch(url, { headers: bearer })
          expectSound(response, tried)
          expect([400, 401, 431], `${url} ${tried}`).toContain(response.status)
          await response.arrayBuffer()
        }
        const revoked = await post(`${at}/revoke`, { token: tried, client_id: 'demo-public' })
        expectSound(revoked, tried)
      })
      // And the good one is as good as before.
      expect((await post(`${at}/introspect`, { token: own.access_token }, resourceServer)).body.active).toBe(true)
      secrets.keep(own.access_token, own.refresh_token, own.id_token)
      secrets.expectNoneIn(server)
    },
    timeLimit,
  )
})

const ways = ['public', 'confidential', 'stranger', 'wrong-secret', 'both', 'none'] as const
const names = [
  ...['grant_type', 'code', 'redirect_uri', 'code_verifier', 'refresh_token', 'scope', 'client_id', 'client_secret'],
  ...['resource', 'aud', 'client_assertion', 'client_assertion_type', 'audience', 'username', 'password', 'token'],
]
const types = ['application/x-www-form-urlencoded', 'application/json', 'text/plain', 'multipart/form-data', '']
const errors =
  /^(?:invalid_(?:request|client|grant|scope|target|dpop_proof)|unsupported_grant_type|unauthorized_client)$/

describe('a form at the token endpoint', () => {
  it(
    'of any kind is answered in JSON, brings no tokens but to who is right in everything, and uses nothing up [SMART app-launch.pkce-verifier, app-launch.refresh-client] [RFC 7636 wrong-verifier, verifier] [FAPI code-client] [ASVS 10.4.4, 10.4.10]',
    async () => {
      const { verifier, challenge } = pkce()
      const { callback } = await walk(app(), challenge)
      const code = callback.searchParams.get('code') ?? ''
      const mine = await obtainTokens(app())
      const theirs = await obtainTokens(confidentialApp(server.url))
      secrets.keep(code, verifier, mine.refresh_token, theirs.refresh_token, mine.access_token)
      const forms = fc.record({
        fields: changed(
          {
            grant_type: fc.constantFrom(
              ...['authorization_code', 'refresh_token', 'authorization_code', 'refresh_token', 'password', ''],
              ...['client_credentials', 'implicit', 'urn:ietf:params:oauth:grant-type:jwt-bearer', '__proto__'],
            ),
            code: mostly(code, anyText),
            redirect_uri: mostly(app().redirectUri, anyText),
            code_verifier: mostly(verifier, fc.constantFrom(pkce().verifier, verifier.slice(1), 'short', '')),
            refresh_token: fc.constantFrom(theirs.refresh_token, `${mine.refresh_token}x`, mine.access_token, code, ''),
            scope: mostly('patient/*.rs', anyText),
          },
          names,
        ),
        way: fc.constantFrom(...ways),
        type: mostly(types[0] ?? '', fc.constantFrom(...types)),
        accept: fc.constantFrom('application/json', 'text/html', '*/*'),
      })
      let refused = 0
      await hold(forms, 250, async ({ fields, way, type, accept }) => {
        const form = new URLSearchParams(fields)
        const headers: Record<string, string> = { accept, ...(type && { 'content-type': type }) }
        const id = { public: 'demo-public', both: 'demo-confidential', stranger: 'nobody' }[way as string]
        if (id) form.set('client_id', id)
        const secret = { confidential: 'demo-confidential-secret', both: 'demo-confidential-secret' }[way as string]
        if (way !== 'public' && way !== 'stranger' && way !== 'none')
          Object.assign(headers, basic('demo-confidential', secret ?? 'wrong'))
        // What is right in everything is for the end of this test.
        const right =
          way === 'public' && form.get('grant_type') === 'authorization_code' && form.get('code_verifier') === verifier
        const theirRefresh = way === 'confidential' && form.get('grant_type') === 'refresh_token'
        if (right || theirRefresh || way === 'both') return
        refused += 1
        const response = await fetch(app().token, { method: 'POST', body: type ? form.toString() : form, headers })
        expectSound(response, fields)
        const body = await response.json()
        expect([400, 401, 413, 415], JSON.stringify([fields, way, body])).toContain(response.status)
        expect(response.headers.get('cache-control')).toBe('no-store')
        expect(body.error).toMatch(errors)
        expect(Object.keys(body).filter((name) => /token/.test(name))).toEqual([])
      })
      expect(refused).toBeGreaterThan(100)
      expect((await exchange(app(), code, verifier)).status).toBe(200)
      expect((await refresh(app(), mine.refresh_token)).status).toBe(200)
      expect((await refresh(confidentialApp(server.url), theirs.refresh_token)).status).toBe(200)
      secrets.expectNoneIn(server)
    },
    timeLimit,
  )
})

describe('a form at introspection and revocation', () => {
  it(
    'of any kind is answered, tells nothing to whom it is not for, and ends nothing that is not theirs (R10) [ASVS 10.4.10]',
    async () => {
      const at = app().issuer
      const mine = await obtainTokens(app())
      const theirs = await obtainTokens(confidentialApp(server.url))
      const held = [mine.access_token, mine.refresh_token, theirs.access_token, theirs.refresh_token]
      secrets.keep(...held)
      const forms = fc.record({
        endpoint: fc.constantFrom('introspect', 'revoke'),
        fields: changed(
          {
            token: fc.oneof(fc.constantFrom(...held), anyText),
            token_type_hint: fc.oneof(fc.constant('access_token'), anyText),
          },
          ['token', 'token_type_hint', 'client_id', 'client_secret', 'x'],
        ),
        // Nobody who may introspect, nor the client of either token with the right credential.
        who: fc.constantFrom<Record<string, string>>(
          ...[basic('demo-confidential', 'wrong'), basic('demo-declined', ''), {}, { authorization: 'Basic x' }],
          ...[{ authorization: 'Bearer x' }, { authorization: `Bearer ${mine.access_token}` }, basic('', '')],
          basic('summit-demo', ''),
        ),
      })
      await hold(forms, 150, async ({ endpoint, fields, who }) => {
        if (fields.some(([name, value]) => name === 'client_id' && value.startsWith('demo-'))) return
        const answer = await post(`${at}/${endpoint}`, fields, who)
        expectSound(answer, fields)
        expect(answer.headers.get('content-type')).toContain('application/json')
        expect(JSON.stringify(answer.body)).not.toContain('"active":true')
      })
      for (const token of held)
        expect((await post(`${at}/introspect`, { token }, resourceServer)).body.active, token).toBe(true)
      secrets.expectNoneIn(server)
    },
    timeLimit,
  )
})
