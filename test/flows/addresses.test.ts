/** Addresses that are almost an issuer's: nothing answers there, or exactly what answers at the right one (R41). */
import { request } from 'node:http'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { authorizationUrl, demoApp, password, pkce } from '../support/authorize.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { Visitor } from '../support/visitor.ts'

const { challenge } = pkce()

/** The Host header as it is given, which fetch would set by itself. */
const statusOf = (server: TestServer, path: string, host: string): Promise<number | undefined> =>
  new Promise((resolve, reject) => {
    const { port } = new URL(server.url)
    request({ host: 'localhost', port, path, headers: { host } }, (answer) => {
      answer.resume()
      resolve(answer.statusCode)
    })
      .on('error', reject)
      .end()
  })

describe('below the authorization endpoint', () => {
  let server: TestServer
  beforeAll(async () => {
    server = await startServer()
  })
  afterAll(() => server.close())

  const search = (params: Record<string, string | null> = {}): string =>
    new URL(authorizationUrl(demoApp(server.url), challenge, params)).search
  const at = (rest: string): string => `${server.url}/prairie/sandbox/authorize/${rest}`

  it.each(['', '/', 'a/b', '%2e', 'session/end'])('there is nothing at “/%s”, whatever comes with it', async (rest) => {
    for (const response_mode of [null, 'form_post', 'fragment']) {
      const response = await new Visitor().send(`${at(rest)}${search({ response_mode })}`)
      expect(response.status).toBe(404)
      expect(response.headers.get('location')).toBeNull()
      expect(await response.text()).not.toContain('Submitting Callback')
    }
  })

  it('the way back from our pages takes no request: what comes with it leads nowhere', async () => {
    const response = await new Visitor().send(`${at('a-step')}${search()}`)
    expect(response.status).toBe(400)
    expect(response.headers.get('location')).toBeNull()
    expect(await response.text()).toContain('This page is no longer open')
  })

  it.each(['POST', 'PUT', 'DELETE', 'OPTIONS'])('the way back from our pages is no address for %s', async (method) => {
    const response = await new Visitor().send(at('a-step'), { method })
    expect([response.status, response.headers.get('allow')]).toEqual([405, 'GET'])
  })

  it('a host name has no case, and no other spelling is ours', async () => {
    const { host } = new URL(server.url)
    expect(await statusOf(server, '/prairie/sandbox/jwks', host.toUpperCase())).toBe(200)
    expect(await statusOf(server, '/prairie/sandbox/jwks', `${host}.`)).toBe(421)
  })

  it('a probe may come with any Host', async () => {
    expect(await statusOf(server, '/healthz', 'no[host')).toBe(200)
  })
})

describe('two issuers with one path on two hosts', () => {
  let server: TestServer
  const other = (): string => server.url.replace('localhost', '127.0.0.1')

  beforeAll(async () => {
    server = await startServer({
      change: ({ plans, publicUrl }) => {
        const { port } = new URL(publicUrl)
        const summit = plans.flatMap((plan) => plan.environments).find(({ id }) => id === 'summit/sandbox')
        if (!summit) throw new Error('the demonstration has no second plan')
        summit.issuer = `http://127.0.0.1:${port}/prairie/sandbox`
        for (const api of summit.apis) api.baseUrl = `${summit.issuer}/fhir`
        for (const [name, endpoint] of Object.entries(summit.endpoints)) {
          endpoint.path = `/prairie/sandbox/${name === 'authorization' ? 'authorize' : name}`
          endpoint.aliases = []
        }
      },
    })
  })
  afterAll(() => server.close())

  it('each shows pages of its own, and its members can sign in', async () => {
    const app = { ...demoApp(other(), 'summit-demo'), redirectUri: redirectUriOf(server) }
    const visitor = new Visitor()
    const signIn = await visitor.open(authorizationUrl(app, challenge, { scope: 'openid patient/*.rs' }))
    expect(signIn.html).toContain('Summit')
    const consent = await visitor.submit(signIn, '/sign-in', { username: 'sam', password })
    expect(consent.html).toMatch(/action="[^"]*\/consent"/)
    const signOut = await visitor.open(`${other()}/prairie/sandbox/sign-out`)
    expect(signOut.html).toContain('Sam')
    expect((await visitor.submit(signOut, '/sign-out')).status).toBe(200)
  })
})

const redirectUriOf = (server: TestServer): string => {
  const apps = server.settings.plans
    .flatMap((plan) => plan.environments)
    .flatMap((each) => each.demonstration?.apps ?? [])
  return apps.find(({ clientId }) => clientId === 'summit-demo')?.redirectUris[0] ?? ''
}
