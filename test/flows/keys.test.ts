/** Keys that change under a running server, as apps, members and FHIR servers notice it: not at all (R41, R43). */
import { createRemoteJWKSet, jwtVerify } from 'jose'
import type { Transaction } from 'kysely'
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { createAudit } from '../../src/audit/audit.ts'
import { createKeyRotation, type KeyRotation } from '../../src/oidc/key-rotation.ts'
import { tellServers } from '../../src/oidc/keys.ts'
import { localSigner } from '../../src/oidc/signer.ts'
import { createVerifier } from '../../src/resource-server/index.ts'
import { createSealer } from '../../src/secrets.ts'
import { type Database, openDatabase } from '../../src/storage/database.ts'
import type { Tables } from '../../src/storage/tables.ts'
import {
  authorizationUrl,
  demoApp,
  exchange,
  obtainTokens,
  pkce,
  refresh,
  walkToConsent,
} from '../support/authorize.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { quiet } from '../support/stores.ts'
import { Visitor } from '../support/visitor.ts'
import { headerOf, post, resourceServer } from '../support/wire.ts'

const issuerId = 'prairie/sandbox'
const day = 86_400_000
let server: TestServer
let database: Database
let rotation: KeyRotation
let skew = 0
/** What the key service is doing. */
let signing: 'well' | 'away' = 'well'
const now = () => Date.now() + skew

beforeAll(async () => {
  server = await startServer({
    now,
    openSigner: (jwk) => {
      const signer = localSigner(jwk)
      return {
        ...signer,
        sign: (bytes) =>
          signing === 'well' ? signer.sign(bytes) : Promise.reject(new Error('the key service is away')),
      }
    },
  })
  database = await openDatabase({ url: server.settings.database.url, log: quiet })
  const sealer = createSealer(server.settings.sealingKeys)
  rotation = createKeyRotation({ database, sealer, audit: createAudit({ node: 'test', now, log: quiet }), now })
})
afterAll(async () => {
  await database.close()
  await server.close()
})
beforeEach(() => {
  skew = 0
  signing = 'well'
})

const app = () => demoApp(server.url)
const jwks = async (): Promise<{ keys: { kid: string; alg: string }[] }> =>
  (await fetch(`${app().issuer}/jwks`)).json() as Promise<{ keys: { kid: string; alg: string }[] }>
const kids = async () => (await jwks()).keys.map(({ kid }) => kid)
const introspect = async (token: string) =>
  (await post(`${app().issuer}/introspect`, { token }, resourceServer)).body as { active: boolean }
const userinfo = (token: string) => fetch(`${app().issuer}/userinfo`, { headers: { authorization: `Bearer ${token}` } })
const verifier = () => createVerifier({ issuer: app().issuer, audience: app().fhirBase })
const turn = (begin: boolean) => rotation.turn(issuerId, { rotateDays: null, begin })

/** Everything of a rotation that a day would bring, in a moment. The keys that wait are older than they say. */
const rotate = async () => {
  await turn(true)
  const before = now() - day
  await database.db.updateTable('signing_keys').set({ created_at: before }).where('state', '=', 'next').execute()
  await database.db
    .updateTable('sealed_secrets')
    .set({ created_at: before })
    .where('purpose', 'like', 'next %')
    .execute()
  await turn(false)
  // Whoever reads the keys makes this server look.
  await jwks()
}

describe('a rotation', () => {
  it('publishes the next key before it signs, and the retired one as long as what it signed lives [FAPI key-rotation]', async () => {
    const before = await obtainTokens(app())
    const verify = verifier()
    await verify.verify(before.access_token)
    const known = await kids()

    await turn(true)
    expect(await kids()).toEqual([...known, ...(await kids()).slice(2)])
    expect(await kids()).toHaveLength(4)
    const between = await refresh(app(), before.refresh_token)
    expect(headerOf(between.body.access_token).kid).toBe(headerOf(before.access_token).kid)

    await rotate()
    const after = await obtainTokens(app())
    expect(known).not.toContain(headerOf(after.access_token).kid)
    expect(known).not.toContain(headerOf(after.id_token).kid)
    for (const token of [before.access_token, between.body.access_token, after.access_token]) {
      await verifier().verify(token)
      expect(await introspect(token)).toMatchObject({ active: true })
      expect((await userinfo(token)).status).toBe(200)
    }
    const idTokens = createRemoteJWKSet(new URL(`${app().issuer}/jwks`))
    for (const { id_token } of [before, after]) await jwtVerify(id_token, idTokens, { issuer: app().issuer })
  })

  it('leaves refresh tokens, sign-ins and pages on the way as they are, twice over', async () => {
    const { verifier: secret, challenge } = pkce()
    const visitor = new Visitor()
    const tokens = await obtainTokens(app(), { visitor })
    const { page } = await walkToConsent(app(), challenge, { visitor })
    expect(page.url).toContain('/interaction/')
    await rotate()
    await rotate()
    const done = await visitor.submit(page, '/consent')
    const code = new URL(done.url).searchParams.get('code') ?? ''
    expect((await exchange(app(), code, secret)).status).toBe(200)
    const next = await refresh(app(), tokens.refresh_token)
    expect(next.status).toBe(200)
    expect((await refresh(app(), next.body.refresh_token)).status).toBe(200)
    // Still signed in: the next authorization begins with the consent page.
    const again = await walkToConsent(app(), pkce().challenge, { visitor, member: 'nobody' })
    expect(again.page.html).toContain('/consent')
  })

  it('a code of before it is redeemed after it, and a refresh token is refused with its reason (R9)', async () => {
    const { verifier: secret, challenge } = pkce()
    const visitor = new Visitor()
    const { page } = await walkToConsent(app(), challenge, { visitor })
    const code = new URL((await visitor.submit(page, '/consent')).url).searchParams.get('code') ?? ''
    await rotate()
    const { status, body } = await exchange(app(), code, secret)
    expect(status).toBe(200)
    await post(`${app().issuer}/revoke`, { token: body.refresh_token, client_id: app().clientId })
    await rotate()
    expect((await refresh(app(), body.refresh_token)).body).toMatchObject({
      error: 'invalid_grant',
      error_subcode: 'revoked_by_app',
    })
  })
})

describe('a compromised key', () => {
  it('is unpublished at once; what it signed fails verification, introspection and userinfo; apps refresh', async () => {
    const { access_token, refresh_token } = await obtainTokens(app())
    const { kid } = headerOf(access_token)
    await verifier().verify(access_token)
    expect(await introspect(access_token)).toMatchObject({ active: true })

    const { signs } = await rotation.revoke(kid)
    expect(await kids()).not.toContain(kid)
    expect(await kids()).toContain(signs)
    expect(await introspect(access_token)).toEqual({ active: false })
    expect((await userinfo(access_token)).status).toBe(401)
    await expect(verifier().verify(access_token)).rejects.toMatchObject({ status: 401 })
    await expect(jwtVerify(access_token, createRemoteJWKSet(new URL(`${app().issuer}/jwks`)))).rejects.toMatchObject({
      code: 'ERR_JWKS_NO_MATCHING_KEY',
    })

    const { status, body } = await refresh(app(), refresh_token)
    expect(status).toBe(200)
    expect(headerOf(body.access_token).kid).toBe(signs)
    await verifier().verify(body.access_token)
    expect(await introspect(body.access_token)).toMatchObject({ active: true })
  })
})

describe('an issuer whose keys cannot be used (R43)', () => {
  it('answers 503 everywhere, is not ready, and recovers without a restart; other issuers go on', async () => {
    const { access_token, refresh_token } = await obtainTokens(app())
    const held = await database.db
      .selectFrom('signing_keys')
      .selectAll()
      .where('issuer', '=', issuerId)
      .where('state', '=', 'current')
      .where('algorithm', '=', 'RS256')
      .executeTakeFirstOrThrow()
    const change = (work: (trx: Transaction<Tables>) => Promise<unknown>) =>
      database.transaction(async (trx) => {
        await work(trx)
        await tellServers(trx)
      })
    const asked = async (url = `${app().issuer}/jwks`) => (await fetch(url)).status
    await change((trx) => trx.deleteFrom('signing_keys').where('kid', '=', held.kid).execute())
    expect(await asked()).toBe(503)
    for (const answer of [
      await refresh(app(), refresh_token),
      await post(`${app().issuer}/introspect`, { token: access_token }, resourceServer),
      await post(`${app().issuer}/revoke`, { token: refresh_token, client_id: app().clientId }),
    ]) {
      expect(answer.status).toBe(503)
      expect(answer.body).toMatchObject({ error: 'temporarily_unavailable' })
      expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0)
    }
    expect((await userinfo(access_token)).status).toBe(503)
    expect((await new Visitor().open(authorizationUrl(app(), pkce().challenge))).status).toBe(503)
    expect(await asked(`${server.url}/prairie/production/jwks`)).toBe(200)
    expect(await asked(`${server.url}/readyz`)).toBe(503)

    await change((trx) => trx.insertInto('signing_keys').values(held).execute())
    expect(await asked()).toBe(200)
    await vi.waitFor(async () => expect(await asked(`${server.url}/readyz`)).toBe(200), { timeout: 5000 })
    expect((await refresh(app(), refresh_token)).status).toBe(200)
    expect(await introspect(access_token)).toMatchObject({ active: true })
  })
})

describe('a signer that does not sign (R43)', () => {
  it('is 503 that says when to come back, and what was presented works afterwards', async () => {
    const { verifier: secret, challenge } = pkce()
    const visitor = new Visitor()
    const { page } = await walkToConsent(app(), challenge, { visitor })
    const { refresh_token } = await obtainTokens(app())
    const code = new URL((await visitor.submit(page, '/consent')).url).searchParams.get('code') ?? ''
    signing = 'away'
    for (const answer of [
      await exchange(app(), code, secret),
      await refresh(app(), refresh_token),
      await exchange(app(), code, secret),
      await refresh(app(), refresh_token),
    ]) {
      expect(answer.status).toBe(503)
      expect(answer.body).toMatchObject({ error: 'temporarily_unavailable' })
      expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0)
    }
    signing = 'well'
    expect((await exchange(app(), code, secret)).status).toBe(200)
    expect((await refresh(app(), refresh_token)).status).toBe(200)
  })

  it('turns readiness, with the reason in the log only, and back without a restart', async () => {
    const ready = async () => fetch(`${server.url}/readyz`)
    const turned = async (status: number) =>
      expect.poll(async () => (await ready()).status, { timeout: 5000, interval: 100 }).toBe(status)
    expect((await ready()).status).toBe(200)
    signing = 'away'
    await turned(503)
    expect(await (await ready()).text()).not.toMatch(/key/)
    expect(server.log()).toContain('not ready: the keys does not serve')
    signing = 'well'
    await turned(200)
  })
})
