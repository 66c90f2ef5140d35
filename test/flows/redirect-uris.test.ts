/** Redirect URIs match exactly, but for the port of a loopback address (R12; RFC 9700 §2.1, RFC 8252 §7). */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { authorizationUrl, demoApp, pkce, walkToConsent } from '../support/authorize.ts'
import { demonstrationApp } from '../support/demonstration-app.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { Visitor } from '../support/visitor.ts'

let server: TestServer
const { challenge } = pkce()

const registered: Record<string, string[]> = {
  'loopback-only': ['http://127.0.0.1/callback'],
  'loopback-query': ['http://127.0.0.1/callback?tenant=1'],
  'loopback-v6': ['http://[::1]/callback'],
  localhost: ['http://localhost/callback'],
  'https-web': ['https://app.example/callback', 'https://app.example/other?x=1'],
  'native-scheme': ['com.example.app:/callback', 'http://127.0.0.1/callback', 'https://claimed.example/callback'],
  'https-loopback': ['https://localhost/demo/', 'http://127.0.0.1:5000/callback'],
}

beforeAll(async () => {
  server = await startServer({
    change: ({ plans }) => {
      const apps = plans[0]?.environments[0]?.demonstration?.apps
      for (const [clientId, redirectUris] of Object.entries(registered))
        apps?.push(demonstrationApp({ clientId, redirectUris }))
    },
  })
})
afterAll(() => server.close())

const ask = (clientId: string, redirectUri: string, params: Record<string, string | null> = {}): Promise<Response> =>
  new Visitor().send(authorizationUrl({ ...demoApp(server.url, clientId), redirectUri }, challenge, params))

describe('accepted [RFC 8252 loopback, private-use, claimed-https]', () => {
  it.each([
    ['loopback-only', 'http://127.0.0.1/callback'],
    ['loopback-only', 'http://127.0.0.1:1/callback'],
    ['loopback-only', 'http://127.0.0.1:49152/callback'],
    ['loopback-only', 'http://127.0.0.1:65535/callback'],
    ['loopback-query', 'http://127.0.0.1:8080/callback?tenant=1'],
    ['loopback-v6', 'http://[::1]:8080/callback'],
    ['localhost', 'http://localhost:8080/callback'],
    ['https-web', 'https://app.example/callback'],
    ['https-web', 'https://app.example/other?x=1'],
    ['native-scheme', 'com.example.app:/callback'],
    ['native-scheme', 'http://127.0.0.1:5000/callback'],
    ['native-scheme', 'https://claimed.example/callback'],
    ['https-loopback', 'https://localhost/demo/'],
    ['https-loopback', 'http://127.0.0.1:5000/callback'],
  ])('%s: %s', async (clientId, redirectUri) => {
    const response = await ask(clientId, redirectUri)
    expect(response.headers.get('location')).toContain('/prairie/sandbox/interaction/')
  })
})

describe('refused, on a page of ours and with no Location [SMART app-launch.redirect-exact] [RFC 9700 1, 3] [RFC 8252 ipv6, loopback, private-use, claimed-https] [FAPI redirect-variants] [ASVS 10.4.1]', () => {
  it.each([
    ['loopback-only', 'http://127.0.0.1/callback/'],
    ['loopback-only', 'http://127.0.0.1/Callback'],
    ['loopback-only', 'http://127.0.0.1/callback?x=1'],
    ['loopback-only', 'http://127.0.0.1/callback?'],
    ['loopback-only', 'http://127.0.0.1/callback#'],
    ['loopback-only', 'http://127.0.0.1/callback#fragment'],
    ['loopback-only', 'http://127.0.0.1/./callback'],
    ['loopback-only', 'http://127.0.0.1/a/../callback'],
    ['loopback-only', 'http://127.0.0.1/%63allback'],
    ['loopback-only', 'http://127.0.0.1//callback'],
    ['loopback-only', 'http://127.0.0.1\\callback'],
    ['loopback-only', 'HTTP://127.0.0.1/callback'],
    ['loopback-only', 'https://127.0.0.1/callback'],
    ['loopback-only', 'http://127.0.0.1:0x1F90/callback'],
    ['loopback-only', 'http://127.0.0.1:99999/callback'],
    ['loopback-only', 'http://127.0.0.1:80:80/callback'],
    ['loopback-only', 'http://user@127.0.0.1/callback'],
    ['loopback-only', 'http://user:pass@127.0.0.1:8080/callback'],
    ['loopback-only', 'http://127.0.0.1@evil.example/callback'],
    ['loopback-only', 'http://evil.example@127.0.0.1:8080/callback'],
    ['loopback-only', 'http://127.0.0.1.evil.example/callback'],
    ['loopback-only', 'http://127.1/callback'],
    ['loopback-only', 'http://2130706433/callback'],
    ['loopback-only', 'http://0x7f000001/callback'],
    ['loopback-only', 'http://127.0.0.2/callback'],
    ['loopback-only', 'http://localhost/callback'],
    ['loopback-only', 'http://localhost.evil/callback'],
    ['loopback-only', 'http://[::1]/callback'],
    ['loopback-only', 'http://[::ffff:127.0.0.1]/callback'],
    ['loopback-only', ' http://127.0.0.1/callback'],
    ['loopback-only', 'http://127.0.0.1/callback\t'],
    ['loopback-only', 'http://127.0.0.1/call\nback'],
    ['loopback-query', 'http://127.0.0.1:8080/callback'],
    ['loopback-query', 'http://127.0.0.1:8080/callback?tenant=2'],
    ['loopback-query', 'http://127.0.0.1:8080/callback?tenant=1&x=1'],
    ['loopback-v6', 'http://127.0.0.1:8080/callback'],
    ['loopback-v6', 'http://[0:0:0:0:0:0:0:1]:8080/callback'],
    ['loopback-v6', 'http://[::1%25lo]:8080/callback'],
    ['localhost', 'http://localhost.evil:8080/callback'],
    ['localhost', 'http://LOCALHOST:8080/callback'],
    ['localhost', 'http://127.0.0.1:8080/callback'],
    ['localhost', 'http://localhost.:8080/callback'],
    ['https-web', 'https://app.example:443/callback'],
    ['https-web', 'https://app.example:8443/callback'],
    ['https-web', 'https://APP.example/callback'],
    ['https-web', 'https://app.example./callback'],
    ['https-web', 'http://app.example/callback'],
    ['https-web', 'https://app.example.evil/callback'],
    ['https-web', 'https://app.example@evil.example/callback'],
    ['https-web', 'https://app.example/callback/..'],
    ['https-web', 'https://app.example/other'],
    ['https-web', 'https://app.example/other?x=1&y=2'],
    ['https-web', 'https://app.example/other?x=1#y'],
    ['https-web', 'http://127.0.0.1/callback'],
    ['https-loopback', 'https://localhost:8443/demo/'],
    ['native-scheme', 'com.example.app://callback'],
    ['native-scheme', 'com.example.app:/callback/'],
    ['native-scheme', 'com.example.app:/callback?x=1'],
    ['native-scheme', 'COM.example.app:/callback'],
    ['native-scheme', 'com.example.app2:/callback'],
    ['native-scheme', 'https://claimed.example:8443/callback'],
  ])('%s: %s', async (clientId, redirectUri) => {
    // With a second fault in it, so that the check cannot be passed by on another way out.
    const faults: Record<string, string | null>[] = [
      {},
      { prompt: 'none' },
      { scope: null },
      { response_type: 'token' },
    ]
    for (const params of faults) {
      const response = await ask(clientId, redirectUri, params)
      expect(response.status).toBe(400)
      expect(response.headers.get('location')).toBeNull()
      const html = await response.text()
      expect(html).toContain(response.headers.get('x-request-id'))
      expect(html, 'no link to it either').not.toMatch(/(?:href|action|src)="[^"/]*\/\/[^"/]*evil/)
    }
  })
})

describe('the way back', () => {
  it.each([
    ['https-web', 'https://app.example/other?x=1', /^https:\/\/app\.example\/other\?x=1&code=/],
    ['native-scheme', 'com.example.app:/callback', /^com\.example\.app:\/callback\?code=/],
    [
      'loopback-query',
      'http://127.0.0.1:8080/callback?tenant=1',
      /^http:\/\/127\.0\.0\.1:8080\/callback\?tenant=1&code=/,
    ],
  ])('%s: the code goes to %s, whose own query stays', async (clientId, redirectUri, expected) => {
    const app = { ...demoApp(server.url, clientId), redirectUri }
    const { visitor, page } = await walkToConsent(app, challenge)
    const done = await visitor.submit(page, '/consent')
    expect(done.url).toMatch(expected)
  })

  it('an IPv6 loopback, for which CSP has no word, is reached by a link', async () => {
    const app = { ...demoApp(server.url, 'loopback-v6'), redirectUri: 'http://[::1]:8080/callback' }
    const { visitor, page } = await walkToConsent(app, challenge)
    const done = await visitor.submit(page, '/consent')
    expect(done.status).toBe(200)
    const resume = /href="([^"]*\/authorize\/[^"]*)"/.exec(done.html)?.[1] ?? ''
    expect((await visitor.open(new URL(resume, server.url).href)).url).toMatch(
      /^http:\/\/\[::1\]:8080\/callback\?code=/,
    )
  })
})
