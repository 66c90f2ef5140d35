/** What an app is handed (R3, R32, R41, R42): the answer, the access token, the ID token. */
import { createRemoteJWKSet, jwtVerify } from 'jose'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  type App,
  confidentialApp,
  demoApp,
  exchange,
  obtainTokens,
  pkce,
  refresh,
  walk,
} from '../support/authorize.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { basic, claimsOf, headerOf, post } from '../support/wire.ts'

let server: TestServer
const { verifier, challenge } = pkce()

beforeAll(async () => {
  server = await startServer()
})
afterAll(() => server.close())

const app = () => demoApp(server.url)
const jwks = (of: App, path = `${of.issuer}/jwks`) => createRemoteJWKSet(new URL(path))

const everyClaim = [
  ...['iss', 'sub', 'aud', 'client_id', 'scope', 'jti', 'iat', 'exp'],
  ...['patient', 'patient_id', 'fhirUser', 'grant_id'],
].sort()

describe('the answer of the token endpoint (R3)', () => {
  it.each(['demo-public', 'demo-confidential'])(
    '%s gets every member, and no cache keeps it [SMART app-launch.token-response, app-launch.no-store, app-launch.expires-in, scopes.context-parameters, scopes.context-types] [RFC 9700 17]',
    async (clientId) => {
      const of = clientId === 'demo-public' ? app() : confidentialApp(server.url)
      const { callback } = await walk(of, challenge, {
        params: { scope: 'openid fhirUser launch/patient offline_access patient/Coverage.rs', nonce: 'n-1' },
      })
      const { body, headers } = await exchange(of, callback.searchParams.get('code') ?? '', verifier)
      expect(body).toEqual({
        token_type: 'Bearer',
        access_token: expect.any(String),
        id_token: expect.any(String),
        refresh_token: expect.stringMatching(/^rt_/),
        expires_in: 600,
        scope: 'openid fhirUser launch/patient offline_access patient/Coverage.rs',
        patient: 'maria',
        grant_expires_at: expect.any(Number),
      })
      expect(Number.isInteger(body.expires_in)).toBe(true)
      expect(headers.get('content-type')).toContain('application/json')
      expect(headers.get('cache-control')).toBe('no-store')
      expect(headers.get('pragma')).toBe('no-cache')
      expect(headers.get('set-cookie')).toBeNull()
    },
  )

  it('brings no refresh token without offline_access, and no ID token without openid', async () => {
    const body = await obtainTokens(app(), { params: { scope: 'patient/Coverage.rs' } })
    expect(body).not.toHaveProperty('refresh_token')
    expect(body).not.toHaveProperty('id_token')
    expect(body.patient).toBe('maria')
  })

  it('a grant without offline access ends within the hour that the member saw', async () => {
    const once = await obtainTokens(app(), { params: { scope: 'patient/Coverage.rs' } })
    const { onceMinutes } = server.settings.consent
    const soon = Math.floor(Date.now() / 1000)
    expect(once.grant_expires_at).toBeLessThanOrEqual(soon + onceMinutes * 60)
    const long = await obtainTokens(app())
    expect(long.grant_expires_at).toBeGreaterThan(soon + 364 * 86_400)
  })
})

describe('the access token', () => {
  it('has exactly the claims that verifiers are told of, in the body and in the JWT alike [RFC 9700 9] [RFC 8725 claims]', async () => {
    const body = await obtainTokens(app())
    const claims = claimsOf(body.access_token)
    expect(Object.keys(claims).sort()).toEqual(everyClaim)
    expect(claims).toMatchObject({
      iss: app().issuer,
      aud: app().fhirBase,
      client_id: 'demo-public',
      scope: body.scope,
      patient: 'maria',
      patient_id: 'maria',
      fhirUser: `${app().fhirBase}/Patient/maria`,
    })
    expect(claims.exp - claims.iat).toBe(600)
    expect(claims.sub, 'opaque').not.toContain('maria')
    expect(headerOf(body.access_token)).toEqual({ typ: 'at+jwt', alg: 'ES256', kid: expect.any(String) })
    await jwtVerify(body.access_token, jwks(app()), { issuer: app().issuer, audience: app().fhirBase, typ: 'at+jwt' })
  })

  it('each has an id of its own, and a grant of its own [RFC 8725 jti]', async () => {
    const [one, two] = [await obtainTokens(app()), await obtainTokens(app())]
    const [a, b] = [claimsOf(one.access_token), claimsOf(two.access_token)]
    expect(a.jti).not.toBe(b.jti)
    expect(a.grant_id).not.toBe(b.grant_id)
    expect(a.sub).toBe(b.sub)
  })
})

describe('the ID token (SMART "Identity data")', () => {
  it('is RS256, for this app, with nonce and fhirUser, and verifies against the published keys [SMART scopes.id-token-rs256, scopes.id-token, scopes.fhir-user, scopes.id-token-keys]', async () => {
    const body = await obtainTokens(app(), { params: { nonce: 'a-nonce' } })
    const { payload, protectedHeader } = await jwtVerify(body.id_token, jwks(app()), {
      issuer: app().issuer,
      audience: 'demo-public',
      algorithms: ['RS256'],
    })
    expect(protectedHeader.alg).toBe('RS256')
    expect(payload).toMatchObject({ nonce: 'a-nonce', fhirUser: `${app().fhirBase}/Patient/maria` })
    expect(payload.sub).toBe(claimsOf(body.access_token).sub)
    expect(payload).not.toHaveProperty('patient')
  })

  it('says nothing of fhirUser where only openid was granted [SMART scopes.id-token]', async () => {
    const body = await obtainTokens(app(), { params: { scope: 'openid patient/Coverage.rs' } })
    expect(claimsOf(body.id_token)).not.toHaveProperty('fhirUser')
    expect(claimsOf(body.access_token).scope).not.toContain('fhirUser')
  })

  it('carries auth_time where max_age was asked [FAPI max-age]', async () => {
    const body = await obtainTokens(app(), { params: { max_age: '3600' } })
    expect(claimsOf(body.id_token).auth_time).toBeGreaterThan(Date.now() / 1000 - 60)
  })
})

describe('delegates (R32)', () => {
  it.each([
    ['Elena', 'elena', 'RelatedPerson/david-elena'],
    ['Lucy', 'lucy', 'RelatedPerson/david-lucy'],
    ['David', 'david', 'Patient/david'],
  ])('for %s: the patient is theirs, the person is David [SMART scopes.fhir-user]', async (name, patient, fhirUser) => {
    const body = await obtainTokens(app(), { member: 'david', patient: name })
    expect(body.patient).toBe(patient)
    expect(claimsOf(body.access_token)).toMatchObject({
      patient,
      patient_id: patient,
      fhirUser: `${app().fhirBase}/${fhirUser}`,
    })
    expect(claimsOf(body.id_token).fhirUser).toBe(`${app().fhirBase}/${fhirUser}`)
    const next = await refresh(app(), body.refresh_token)
    expect(next.body.patient).toBe(patient)
  })

  it('one token, one patient: a second authorization for another patient leaves the first as it is (R33)', async () => {
    const lucy = await obtainTokens(app(), { member: 'david', patient: 'Lucy' })
    const elena = await obtainTokens(app(), { member: 'david', patient: 'Elena' })
    expect((await refresh(app(), lucy.refresh_token)).body.patient).toBe('lucy')
    expect((await refresh(app(), elena.refresh_token)).body.patient).toBe('elena')
  })
})

describe('an issuer of another shape (R41, R42)', () => {
  const summit = (version: 'v3' | 'v5'): App => ({
    ...demoApp(server.url, 'summit-demo'),
    issuer: `${server.url}/v5/summit`,
    fhirBase: version === 'v3' ? `${server.url}/v3/summit/fhir` : `${server.url}/v5/summit/fhir`,
    authorize: `${server.url}/${version}/oauth/authorize`,
    token: `${server.url}/${version}/oauth/token`,
  })

  it.each(['v5', 'v3'] as const)(
    'the addresses of %s lead to a token in the shape its verifier knows',
    async (version) => {
      const of = summit(version)
      const { callback } = await walk(of, challenge, { member: 'sam' })
      expect(callback.searchParams.get('iss')).toBe(of.issuer)
      const { body } = await exchange(of, callback.searchParams.get('code') ?? '', verifier)
      expect(body).toMatchObject({ expires_in: 600, patient: 'sam', scope: expect.stringContaining('patient/*.rs') })
      const { payload, protectedHeader } = await jwtVerify(body.access_token, jwks(of), {
        issuer: of.issuer,
        audience: `${server.url}/v5/summit/fhir`,
      })
      expect(protectedHeader).toMatchObject({ alg: 'RS256', typ: 'JWT' })
      expect(payload.scp).toEqual(body.scope.split(' '))
      expect(payload).not.toHaveProperty('scope')
      expect(payload).toMatchObject({ patient: 'sam', patient_id: 'sam', mpiid: 'sam', contract: 'H0000' })
      const next = await refresh(of, body.refresh_token)
      expect(next.body).toMatchObject({ patient: 'sam', scope: body.scope })
      expect(claimsOf(next.body.access_token).scp).toEqual(body.scope.split(' '))
      expect(headerOf(next.body.access_token)).toMatchObject({ alg: 'RS256', typ: 'JWT' })
    },
  )

  it('its keys, members and apps are its own', async () => {
    const kids = async (issuer: string) =>
      ((await (await fetch(`${issuer}/jwks`)).json()) as { keys: { kid: string; d?: string }[] }).keys
    const [prairie, other] = [await kids(app().issuer), await kids(summit('v5').issuer)]
    expect(prairie.every(({ kid, d }) => d === undefined && !other.some((key) => key.kid === kid))).toBe(true)
    const wrongApp = await post(
      `${server.url}/v5/oauth/token`,
      { grant_type: 'refresh_token', refresh_token: 'x' },
      basic('demo-confidential', 'demo-confidential-secret'),
    )
    expect(wrongApp.body.error).toBe('invalid_client')
    const stranger = await obtainTokens(summit('v5'), { member: 'maria' }).catch((error: Error) => error.message)
    expect(stranger, 'still at the sign-in page').toContain('/sign-in (')
  })

  it('sessions of two issuers on one host do not meet', async () => {
    const { visitor } = await walk(app(), challenge)
    const { callback } = await walk(summit('v5'), challenge, { member: 'sam', visitor })
    expect(callback.searchParams.has('code')).toBe(true)
    const again = await walk(app(), challenge, { visitor, member: 'nobody' })
    expect(again.callback.searchParams.has('code'), 'still signed in at the first').toBe(true)
  })
})
