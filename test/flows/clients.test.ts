/** The flow with client libraries that others wrote: what they accept, an app's developer gets for nothing. */
import { createServer, type Server as HttpServer } from 'node:http'
import smart from 'fhirclient'
import * as oauth from 'oauth4webapi'
import * as openid from 'openid-client'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createVerifier } from '../../src/resource-server/index.ts'
import { everythingOn, password, redirectUri } from '../support/authorize.ts'
import { freePort, startServer, type TestServer } from '../support/server.ts'
import { Visitor } from '../support/visitor.ts'

let server: TestServer
beforeAll(async () => {
  server = await startServer()
})
afterAll(() => server.close())

const issuer = () => new URL(`${server.url}/prairie/sandbox`)
const fhirBase = () => `${server.url}/prairie/sandbox/fhir`
const scope = 'openid fhirUser launch/patient offline_access patient/Coverage.rs patient/Patient.rs'

/** Maria walks through an authorization request of a library, and shares all of it whatever she shared before. */
const share = async (address: string): Promise<URL> => {
  const visitor = new Visitor()
  const signIn = await visitor.open(address)
  const consent = await visitor.submit(signIn, '/sign-in', { username: 'maria', password })
  return new URL((await visitor.submit(consent, '/consent', everythingOn(consent))).url)
}

const verifier = () => createVerifier({ issuer: issuer().href, audience: fhirBase(), jwksUri: `${issuer()}/jwks` })

describe('openid-client', () => {
  it.each([
    ['demo-public', undefined, openid.None()],
    ['demo-confidential', 'demo-confidential-secret', openid.ClientSecretBasic('demo-confidential-secret')],
    ['demo-confidential', 'demo-confidential-secret', openid.ClientSecretPost('demo-confidential-secret')],
  ])(
    'walks the code flow as %s, with nonce, state and iss checked (R1, R2, R13) [SMART app-launch.get-authorize, app-launch.pkce-s256] [RFC 9207 success] [capability client-public] [capability client-confidential-symmetric] [capability sso-openid-connect]',
    async (clientId, secret, authentication) => {
      const config = await openid.discovery(issuer(), clientId, secret, authentication, {
        execute: [openid.allowInsecureRequests],
      })
      const code_verifier = openid.randomPKCECodeVerifier()
      const state = openid.randomState()
      const nonce = openid.randomNonce()
      const address = openid.buildAuthorizationUrl(config, {
        redirect_uri: redirectUri,
        scope,
        state,
        nonce,
        aud: fhirBase(),
        code_challenge: await openid.calculatePKCECodeChallenge(code_verifier),
        code_challenge_method: 'S256',
      })
      const tokens = await openid.authorizationCodeGrant(config, await share(address.href), {
        pkceCodeVerifier: code_verifier,
        expectedState: state,
        expectedNonce: nonce,
        idTokenExpected: true,
      })
      expect(tokens.claims()?.fhirUser).toBe(`${fhirBase()}/Patient/maria`)
      expect(tokens.patient).toBe('maria')
      expect(tokens.expires_in).toBe(600)
      expect((await verifier().verify(tokens.access_token)).patient).toBe('maria')

      const subject = tokens.claims()?.sub ?? ''
      expect(await openid.fetchUserInfo(config, tokens.access_token, subject)).toMatchObject({ sub: subject })

      const refreshed = await openid.refreshTokenGrant(config, tokens.refresh_token ?? '')
      expect(refreshed.patient).toBe('maria')
      await openid.tokenRevocation(config, refreshed.refresh_token ?? '')
      await expect(openid.refreshTokenGrant(config, refreshed.refresh_token ?? '')).rejects.toMatchObject({
        error: 'invalid_grant',
      })
    },
  )
})

describe('oauth4webapi', () => {
  it('walks the code flow and introspects, by RFC 8414 metadata (R1, R10)', async () => {
    const insecure = { [oauth.allowInsecureRequests]: true }
    const found = await oauth.discoveryRequest(issuer(), { algorithm: 'oauth2', ...insecure })
    const as = await oauth.processDiscoveryResponse(issuer(), found)
    const client: oauth.Client = { client_id: 'demo-confidential' }
    const authentication = oauth.ClientSecretBasic('demo-confidential-secret')
    const code_verifier = oauth.generateRandomCodeVerifier()
    const state = oauth.generateRandomState()
    const address = new URL(as.authorization_endpoint ?? '')
    address.search = new URLSearchParams({
      client_id: client.client_id,
      redirect_uri: redirectUri,
      response_type: 'code',
      scope: 'launch/patient offline_access patient/*.read',
      state,
      aud: fhirBase(),
      code_challenge: await oauth.calculatePKCECodeChallenge(code_verifier),
      code_challenge_method: 'S256',
    }).toString()
    // Checks `iss` as well: the metadata says that it is always there (RFC 9207).
    const callback = oauth.validateAuthResponse(as, client, await share(address.href), state)
    const answer = await oauth.authorizationCodeGrantRequest(
      as,
      client,
      authentication,
      callback,
      redirectUri,
      code_verifier,
      insecure,
    )
    const tokens = await oauth.processAuthorizationCodeResponse(as, client, answer)
    expect(tokens).toMatchObject({ patient: 'maria', scope: 'launch/patient offline_access patient/*.read' })

    const resourceServer: oauth.Client = { client_id: 'demo-resource-server' }
    const asked = await oauth.introspectionRequest(
      as,
      resourceServer,
      oauth.ClientSecretPost('demo-resource-server-secret'),
      tokens.access_token,
      insecure,
    )
    expect(await oauth.processIntrospectionResponse(as, resourceServer, asked)).toMatchObject({
      active: true,
      client_id: 'demo-confidential',
      patient: 'maria',
      scope: tokens.scope,
    })
  })
})

describe('fhirclient', () => {
  let app: HttpServer | undefined
  afterAll(() => app?.close())

  it('launches standalone from a server of its own, reads, pages and refreshes (R2, R3) [capability launch-standalone] [capability context-standalone-patient]', async () => {
    const port = await freePort()
    const session = new Map<string, unknown>()
    const storage = {
      get: async (key: string) => session.get(key),
      set: async (key: string, value: unknown) => session.set(key, value),
      unset: async (key: string) => session.delete(key),
    }
    app = createServer((request, response) => {
      // biome-ignore lint/suspicious/noExplicitAny: fhirclient takes any storage with these methods
      const client = smart(request, response, storage as any)
      const { pathname } = new URL(request.url ?? '/', `http://127.0.0.1:${port}`)
      const work =
        pathname === '/launch'
          ? client.authorize({
              iss: fhirBase(),
              clientId: 'demo-confidential',
              clientSecret: 'demo-confidential-secret',
              redirectUri: `http://127.0.0.1:${port}/callback`,
              scope,
              pkceMode: 'required',
            })
          : client.ready().then(async (ready) => {
              const patient = await ready.patient.read()
              const coverage = await ready.request('Coverage?patient=maria', { flat: true })
              const before = ready.state.tokenResponse?.access_token
              await ready.refresh()
              const after = await ready.request('Coverage?patient=maria', { flat: true })
              response.end(
                JSON.stringify({
                  patient: patient.id,
                  fhirUser: ready.user.fhirUser,
                  coverages: coverage.length,
                  again: after.length,
                  renewed: ready.state.tokenResponse?.access_token !== before,
                }),
              )
            })
      work.catch((error: Error) => {
        response.statusCode = 500
        response.end(error.message)
      })
    })
    await new Promise<void>((resolve) => app?.listen(port, '127.0.0.1', resolve))
    const launch = await fetch(`http://127.0.0.1:${port}/launch`, { redirect: 'manual' })
    const callback = await share(launch.headers.get('location') ?? '')
    const seen = await fetch(callback)
    expect(seen.status, await seen.clone().text()).toBe(200)
    const { coverages, ...rest } = await seen.json()
    expect(coverages).toBeGreaterThan(0)
    expect(rest).toEqual({ patient: 'maria', fhirUser: 'Patient/maria', again: coverages, renewed: true })
  })
})
