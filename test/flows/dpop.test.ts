/** Tokens that are bound to a key (DPoP, RFC 9449): of no use to whoever has the token alone. */
import { SignJWT } from 'jose'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import {
  type App,
  confidentialApp,
  demoApp,
  exchange,
  pkce,
  redirectUri,
  refresh,
  summitApp,
  type TokenAnswer,
  tokenRequest,
  walk,
} from '../support/authorize.ts'
import { demonstrationApp } from '../support/demonstration-app.ts'
import { type ProofKey, proofKey } from '../support/proofs.ts'
import { named, push, requestOf } from '../support/pushed.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { basic, claimsOf, post } from '../support/wire.ts'

let server: TestServer
let key: ProofKey
let other: ProofKey
beforeAll(async () => {
  server = await startServer({
    // As the engine does, it lives by the clock that a test sets.
    now: () => Date.now(),
    change: ({ plans }) =>
      plans[0]?.environments[0]?.demonstration?.apps.push(
        demonstrationApp({ clientId: 'bound', dpop: true, redirectUris: ['http://127.0.0.1/callback'] }),
      ),
  })
  key = await proofKey()
  other = await proofKey()
})
afterAll(() => server.close())
afterEach(() => {
  vi.useRealTimers()
})

const app = () => demoApp(server.url)
const bound = () => demoApp(server.url, 'bound')
const resourceServer = basic('demo-resource-server', 'demo-resource-server-secret')

const codeFor = async (of: App, params: Record<string, string | null> = {}, member = 'maria') => {
  const { verifier, challenge } = pkce()
  const { callback } = await walk(of, challenge, { params, member })
  return { code: callback.searchParams.get('code') ?? '', verifier }
}

type More = NonNullable<Parameters<ProofKey['proof']>[2]>
const redeem = async (of: App, code: { code: string; verifier: string }, by?: ProofKey, more?: More) => {
  const headers: Record<string, string> = by ? { DPoP: await by.proof('POST', of.token, more) } : {}
  return tokenRequest(
    of,
    {
      grant_type: 'authorization_code',
      code: code.code,
      redirect_uri: of.redirectUri,
      code_verifier: code.verifier,
    },
    headers,
  )
}
const renew = async (of: App, token: string, by?: ProofKey, more?: More): Promise<TokenAnswer> => {
  const headers: Record<string, string> = by ? { DPoP: await by.proof('POST', of.token, more) } : {}
  return tokenRequest(of, { grant_type: 'refresh_token', refresh_token: token }, headers)
}
const obtain = async (of: App, by?: ProofKey) => {
  const answer = await redeem(of, await codeFor(of), by)
  expect(answer.status, JSON.stringify(answer.body)).toBe(200)
  return answer.body
}
const introspect = (token: string) => post(`${app().issuer}/introspect`, { token }, resourceServer)

describe('a token by a proof (RFC 9449 §5)', () => {
  it.each([
    ['a public app that may', app],
    ['a public app that must', bound],
    ['a confidential app that may', () => confidentialApp(server.url)],
    ['an app of the plan that moved in', () => summitApp(server.url)],
  ])('is bound to the key, for %s; so it is told everywhere', async (_what, of) => {
    const moved = of().clientId === 'summit-demo'
    const answer = await redeem(of(), await codeFor(of(), {}, moved ? 'sam' : 'maria'), key)
    expect(answer.status, JSON.stringify(answer.body)).toBe(200)
    expect(answer.body.token_type).toBe('DPoP')
    expect(claimsOf(answer.body.access_token)).toMatchObject({ cnf: { jkt: key.jkt } })
    if (moved) return
    expect((await introspect(answer.body.access_token)).body).toMatchObject({
      active: true,
      token_type: 'DPoP',
      cnf: { jkt: key.jkt },
      patient: 'maria',
    })
    const renewed = await renew(of(), answer.body.refresh_token, key)
    expect(renewed.body).toMatchObject({ token_type: 'DPoP', patient: 'maria' })
    expect(claimsOf(renewed.body.access_token)).toMatchObject({ cnf: { jkt: key.jkt } })
    const { body } = await introspect(renewed.body.refresh_token)
    expect(body.active).toBe(true)
    // A confidential app proves itself by its credentials, and may change its key (RFC 9449 §5).
    expect(body.cnf).toEqual(of().secret ? undefined : { jkt: key.jkt })
  })

  it.each(['ES256', 'ES384', 'PS256', 'Ed25519'])('signed by %s', async (alg) => {
    const mine = await proofKey(alg)
    expect(claimsOf((await obtain(app(), mine)).access_token)).toMatchObject({ cnf: { jkt: mine.jkt } })
  })

  it('is a bearer token without one, where the app may', async () => {
    const tokens = await obtain(app())
    expect(tokens.token_type).toBe('Bearer')
    expect(claimsOf(tokens.access_token)).not.toHaveProperty('cnf')
    expect((await introspect(tokens.access_token)).body).not.toHaveProperty('cnf')
  })

  it('at an alias the proof is for the alias (RFC 9449 §4.3)', async () => {
    const of = { ...summitApp(server.url), token: `${server.url}/v3/oauth/token` }
    const tokens = await redeem(of, await codeFor(summitApp(server.url), {}, 'sam'), key)
    expect(tokens.status).toBe(200)
    expect((await renew(of, tokens.body.refresh_token, key)).status).toBe(200)
  })
})

describe('a proof that is refused: invalid_dpop_proof, and nothing is used up (RFC 9449 §4.3) [RFC 9449 proof]', () => {
  const now = () => Math.floor(Date.now() / 1000)
  const at = (path: string) => `${server.url}${path}`
  it.each<[string, () => More]>([
    ['for another method', () => ({ claims: { htm: 'GET' } })],
    ['in small letters', () => ({ claims: { htm: 'post' } })],
    ['for another endpoint', () => ({ claims: { htu: at('/prairie/sandbox/par') } })],
    ['for another issuer', () => ({ claims: { htu: at('/v5/oauth/token') } })],
    ['for another host', () => ({ claims: { htu: 'https://evil.example/prairie/sandbox/token' } })],
    ['for no URL', () => ({ claims: { htu: '/prairie/sandbox/token' } })],
    ['without htm', () => ({ claims: { htm: undefined } })],
    ['without htu', () => ({ claims: { htu: undefined } })],
    ['without jti', () => ({ claims: { jti: undefined } })],
    ['with an empty jti', () => ({ claims: { jti: '' } })],
    ['with a jti that is no text', () => ({ claims: { jti: 7 } })],
    ['without iat', () => ({ claims: { iat: undefined } })],
    ['with an iat that is no number', () => ({ claims: { iat: 'now' } })],
    ['that has expired', () => ({ claims: { exp: now() - 10 } })],
    ['that is not yet good', () => ({ claims: { nbf: now() + 300 } })],
    ['of another type', () => ({ header: { typ: 'JWT' } })],
    ['of no type', () => ({ header: { typ: undefined } })],
    ['without its key', () => ({ header: { jwk: undefined } })],
    ['with another key than that which signed', () => ({ header: { jwk: other.jwk } })],
    ['with a private key [RFC 9449 private-key]', () => ({ header: { jwk: { ...key.jwk, d: key.jwk.x } } })],
    ['with a shared secret for a key', () => ({ header: { jwk: { kty: 'oct', k: 'c2VjcmV0' } } })],
  ])('%s', async (_what, more) => {
    const tokens = await obtain(bound(), key)
    const answer = await renew(bound(), tokens.refresh_token, key, more())
    expect(answer).toMatchObject({ status: 400, body: { error: 'invalid_dpop_proof' } })
    expect(answer.body).not.toHaveProperty('access_token')
    expect((await renew(bound(), tokens.refresh_token, key)).status).toBe(200)
  })

  it('signed by an algorithm that no profile accepts, or by none', async () => {
    const { refresh_token } = await obtain(bound(), key)
    const weak = await proofKey('RS256')
    expect((await renew(bound(), refresh_token, weak)).body.error).toBe('invalid_dpop_proof')
    const claims = { jti: 'a', htm: 'POST', htu: app().token, iat: now() }
    const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')
    const unsigned = `${part({ alg: 'none', typ: 'dpop+jwt', jwk: key.jwk })}.${part(claims)}.`
    const shared = await new SignJWT(claims)
      .setProtectedHeader({ alg: 'HS256', typ: 'dpop+jwt', jwk: key.jwk })
      .sign(new TextEncoder().encode(JSON.stringify(key.jwk)))
    for (const proof of [unsigned, shared, 'garbage', 'a.b.c', `${await key.proof('POST', app().token)}x`]) {
      const answer = await tokenRequest(bound(), { grant_type: 'refresh_token', refresh_token }, { DPoP: proof })
      expect(answer).toMatchObject({ status: 400, body: { error: 'invalid_dpop_proof' } })
    }
    expect((await renew(bound(), refresh_token, key)).status).toBe(200)
  })

  it('two of them [RFC 9449 two-headers]', async () => {
    const { refresh_token } = await obtain(bound(), key)
    const headers = new Headers()
    for (let i = 0; i < 2; i++) headers.append('DPoP', await key.proof('POST', app().token))
    const body = new URLSearchParams({ grant_type: 'refresh_token', refresh_token, client_id: 'bound' })
    const answer = await fetch(app().token, { method: 'POST', body, headers })
    expect([answer.status, (await answer.json()).error]).toEqual([400, 'invalid_dpop_proof'])
  })

  it('none, of an app that must: its code and its token are as good as before', async () => {
    const code = await codeFor(bound())
    const without = await redeem(bound(), code)
    expect(without).toMatchObject({ status: 400, body: { error: 'invalid_dpop_proof' } })
    const { body } = await redeem(bound(), code, key)
    expect(await renew(bound(), body.refresh_token)).toMatchObject({
      status: 400,
      body: { error: 'invalid_dpop_proof' },
    })
    expect((await renew(bound(), body.refresh_token, key)).status).toBe(200)
  })
})

describe('a proof counts once (RFC 9449 §11.1) [RFC 9449 replay]', () => {
  const replay = async (of: App, token: string, proof: string) =>
    tokenRequest(of, { grant_type: 'refresh_token', refresh_token: token }, { DPoP: proof })

  it('whatever it comes with the second time, and that is not used up', async () => {
    const [one, two] = [await obtain(bound(), key), await obtain(bound(), key)]
    const proof = await key.proof('POST', app().token)
    expect((await replay(bound(), one.refresh_token, proof)).status).toBe(200)
    const again = await replay(bound(), two.refresh_token, proof)
    expect(again).toMatchObject({ status: 400, body: { error: 'invalid_dpop_proof' } })
    expect((await renew(bound(), two.refresh_token, key)).status).toBe(200)
  })

  it('of many at once one is answered', async () => {
    const all = await Promise.all(Array.from({ length: 8 }, () => obtain(bound(), key)))
    const proof = await key.proof('POST', app().token)
    const answers = await Promise.all(all.map(({ refresh_token }) => replay(bound(), refresh_token, proof)))
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1)
    for (const { status, body } of answers) if (status !== 200) expect(body.error).toBe('invalid_dpop_proof')
  })

  it('for as long as it could be accepted, made ahead of our time or not', async () => {
    const [one, two] = [await obtain(bound(), key), await obtain(bound(), key)]
    const start = Date.now()
    const proof = await key.proof('POST', app().token, { claims: { iat: Math.floor(start / 1000) + 55 } })
    expect((await replay(bound(), one.refresh_token, proof)).status).toBe(200)
    for (const seconds of [100, 299, 301, 350, 400]) {
      vi.useFakeTimers({ toFake: ['Date'], now: start + seconds * 1000 })
      expect((await replay(bound(), two.refresh_token, proof)).status, `${seconds} s later`).toBe(400)
    }
  })

  it('at the endpoint for pushed requests as well', async () => {
    const { challenge } = pkce()
    const proof = await key.proof('POST', `${app().issuer}/par`)
    expect((await push(app(), requestOf(app(), challenge), { DPoP: proof })).status).toBe(201)
    const again = await push(app(), requestOf(app(), challenge), { DPoP: proof })
    expect(again).toMatchObject({ status: 400, body: { error: 'invalid_dpop_proof' } })
  })
})

describe('clocks that differ, and nonces (RFC 9449 §8) [RFC 9449 nonce]', () => {
  const now = () => Math.floor(Date.now() / 1000)

  it.each([-290, -10, 0, 10, 55])('%i seconds are no matter', async (seconds) => {
    const { refresh_token } = await obtain(bound(), key)
    expect((await renew(bound(), refresh_token, key, { claims: { iat: now() + seconds } })).status).toBe(200)
  })

  it.each([-86_400, -310, 70, 290, 86_400])(
    'with %i seconds the app is told a nonce, and gets on by it',
    async (seconds) => {
      const { refresh_token } = await obtain(bound(), key)
      const first = await renew(bound(), refresh_token, key, { claims: { iat: now() + seconds } })
      expect(first).toMatchObject({ status: 400, body: { error: 'use_dpop_nonce' } })
      const nonce = first.headers.get('dpop-nonce') ?? ''
      expect(nonce).toMatch(/^[\w-]{43}$/)
      const second = await renew(bound(), refresh_token, key, { claims: { iat: now() + seconds, nonce } })
      expect(second.status).toBe(200)
    },
  )

  it('a nonce of nobody, or of long ago, is answered by a new one', async () => {
    const { refresh_token } = await obtain(bound(), key)
    const told = await renew(bound(), refresh_token, key, { claims: { iat: 1 } })
    const old = told.headers.get('dpop-nonce') ?? ''
    for (const nonce of ['x', 'x'.repeat(43), `${old.slice(1)}x`]) {
      const answer = await renew(bound(), refresh_token, key, { claims: { nonce } })
      expect(answer).toMatchObject({ status: 400, body: { error: 'use_dpop_nonce' } })
      expect(answer.headers.get('dpop-nonce')).toBe(old)
    }
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 600_000 })
    const answer = await renew(bound(), refresh_token, key, { claims: { nonce: old } })
    expect(answer.body.error).toBe('use_dpop_nonce')
    expect(answer.headers.get('dpop-nonce')).not.toBe(old)
  })

  it('a script of the app reads the nonce, and may send the proof (R5)', async () => {
    const origin = 'http://127.0.0.1:5173'
    const preflight = await fetch(app().token, {
      method: 'OPTIONS',
      headers: { origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'dpop' },
    })
    expect(preflight.headers.get('access-control-allow-headers')).toContain('dpop')
    const DPoP = await key.proof('POST', app().token, { claims: { iat: 1 } })
    const fields = { grant_type: 'refresh_token', refresh_token: 'x' }
    const { headers } = await tokenRequest(bound(), fields, { DPoP, origin })
    expect(headers.get('access-control-expose-headers')).toContain('DPoP-Nonce')
    expect(headers.get('access-control-allow-origin')).toBe(origin)
  })
})

describe('the refresh token of a public app is bound to the key (RFC 9449 §5) [RFC 9449 refresh-binding] [RFC 9700 7]', () => {
  it('another key, or none, is refused and ends nothing', async () => {
    const { refresh_token } = await obtain(app(), key)
    for (const by of [other, undefined]) {
      const answer = await renew(app(), refresh_token, by)
      expect(answer).toMatchObject({ status: 400, body: { error: 'invalid_grant', error_subcode: 'wrong_key' } })
    }
    expect((await renew(app(), refresh_token, key)).status).toBe(200)
  })

  it('through every generation, and for siblings of the grace (R44)', async () => {
    let { refresh_token } = await obtain(app(), key)
    for (let i = 0; i < 3; i++) {
      expect((await renew(app(), refresh_token, other)).body.error_subcode).toBe('wrong_key')
      refresh_token = (await renew(app(), refresh_token, key)).body.refresh_token
    }
    const siblings = [await renew(app(), refresh_token, key), await renew(app(), refresh_token, key)]
    for (const { status, body } of siblings) {
      expect(status).toBe(200)
      expect((await renew(app(), body.refresh_token, other)).body.error_subcode).toBe('wrong_key')
      expect((await renew(app(), body.refresh_token)).body.error_subcode).toBe('wrong_key')
    }
    expect((await renew(app(), siblings[1]?.body.refresh_token, key)).status).toBe(200)
  })

  it('whoever has a spent one without the key cannot end the connection by it', async () => {
    const { refresh_token } = await obtain(app(), key)
    const next = await renew(app(), refresh_token, key)
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 31_000 })
    expect((await renew(app(), refresh_token, other)).body.error_subcode).toBe('wrong_key')
    expect((await renew(app(), refresh_token)).body.error_subcode).toBe('wrong_key')
    expect((await renew(app(), next.body.refresh_token, key)).status).toBe(200)
    expect((await renew(app(), refresh_token, key)).body.error_subcode).toBe('token_reused')
  })

  it('a bearer token’s family gets no key by a later proof', async () => {
    const { refresh_token } = await obtain(app())
    const renewed = await renew(app(), refresh_token, key)
    expect(renewed.body.token_type).toBe('DPoP')
    expect((await refresh(app(), renewed.body.refresh_token)).body.token_type).toBe('Bearer')
  })
})

describe('a code that is bound to a key (RFC 9449 §10) [RFC 9449 code-binding]', () => {
  it.each([
    ['by dpop_jkt in the address', () => codeFor(app(), { dpop_jkt: key.jkt })],
    [
      'by dpop_jkt that was pushed',
      async () => {
        const { verifier, challenge } = pkce()
        const answer = await push(app(), requestOf(app(), challenge, { dpop_jkt: key.jkt }))
        const { callback } = await walk(app(), challenge, { params: named(answer.body.request_uri) })
        return { code: callback.searchParams.get('code') ?? '', verifier }
      },
    ],
    [
      'by a proof beside what was pushed',
      async () => {
        const { verifier, challenge } = pkce()
        const DPoP = await key.proof('POST', `${app().issuer}/par`)
        const answer = await push(app(), requestOf(app(), challenge), { DPoP })
        const { callback } = await walk(app(), challenge, {
          params: named(answer.body.request_uri, { dpop_jkt: other.jkt }),
        })
        return { code: callback.searchParams.get('code') ?? '', verifier }
      },
    ],
  ])('%s is redeemed by that key alone', async (_what, obtained) => {
    const code = await obtained()
    for (const by of [other, undefined])
      expect(await redeem(app(), code, by)).toMatchObject({ status: 400, body: { error: 'invalid_grant' } })
    const answer = await redeem(app(), code, key)
    expect(answer.status, JSON.stringify(answer.body)).toBe(200)
    expect(claimsOf(answer.body.access_token)).toMatchObject({ cnf: { jkt: key.jkt } })
  })

  it('a proof by another key than dpop_jkt names is refused when it is pushed', async () => {
    const { challenge } = pkce()
    const DPoP = await key.proof('POST', `${app().issuer}/par`)
    const answer = await push(app(), requestOf(app(), challenge, { dpop_jkt: other.jkt }), { DPoP })
    expect(answer).toMatchObject({ status: 400, body: { error: 'invalid_request' } })
  })

  it('a proof for the token endpoint is none for pushed requests', async () => {
    const { challenge } = pkce()
    const DPoP = await key.proof('POST', app().token)
    const answer = await push(app(), requestOf(app(), challenge), { DPoP })
    expect(answer).toMatchObject({ status: 400, body: { error: 'invalid_dpop_proof' } })
  })
})

describe('UserInfo (RFC 9449 §7) [RFC 9449 proof]', () => {
  const address = () => `${app().issuer}/userinfo`
  const ask = async (authorization: string, proof?: string, init: RequestInit = {}) => {
    const headers = { authorization, ...(proof ? { DPoP: proof } : {}) }
    const response = await fetch(address(), { ...init, headers })
    const challenge = response.headers.get('www-authenticate') ?? ''
    return { status: response.status, challenge, body: await response.json() }
  }

  it('answers a bound token with its proof, once', async () => {
    const { access_token: token } = await obtain(bound(), key)
    const proof = await key.proof('GET', address(), { token })
    expect(await ask(`DPoP ${token}`, proof)).toMatchObject({ status: 200, body: { sub: expect.any(String) } })
    expect(await ask(`DPoP ${token}`, proof)).toMatchObject({ status: 401, body: { error: 'invalid_dpop_proof' } })
    const posted = await key.proof('POST', address(), { token })
    expect((await ask(`dpop ${token}`, posted, { method: 'POST' })).status).toBe(200)
  })

  it('never takes a bound token as a bearer token, proof or not', async () => {
    const { access_token: token } = await obtain(bound(), key)
    for (const proof of [undefined, await key.proof('GET', address(), { token })]) {
      const answer = await ask(`Bearer ${token}`, proof)
      expect(answer).toMatchObject({ status: 401, body: { error: 'invalid_token' } })
      expect(answer.challenge).toMatch(/^DPoP realm="userinfo", algs="[^"]*ES256/)
    }
    const form = await fetch(address(), { method: 'POST', body: new URLSearchParams({ access_token: token }) })
    expect(form.status).toBe(401)
  })

  it('never takes a bearer token as a bound one', async () => {
    const { access_token: token } = await obtain(app())
    const answer = await ask(`DPoP ${token}`, await key.proof('GET', address(), { token }))
    expect(answer).toMatchObject({ status: 401, body: { error: 'invalid_token' } })
    expect(answer.challenge).toMatch(/^Bearer /)
  })

  it.each<[string, (token: string) => Promise<string | undefined>]>([
    ['no proof', async () => undefined],
    ['a proof by another key', (token) => other.proof('GET', address(), { token })],
    ['a proof without ath', () => key.proof('GET', address())],
    ['a proof for another token', () => key.proof('GET', address(), { token: 'another' })],
    ['a proof for another method', (token) => key.proof('POST', address(), { token })],
    ['a proof for another address', (token) => key.proof('GET', `${app().issuer}/token`, { token })],
    ['a proof of yesterday', (token) => key.proof('GET', address(), { token, claims: { iat: 1 } })],
    ['garbage', async () => 'garbage'],
  ])('refuses %s', async (_what, proofOf) => {
    const { access_token: token } = await obtain(bound(), key)
    const answer = await ask(`DPoP ${token}`, await proofOf(token))
    expect(answer).toMatchObject({ status: 401, body: { error: 'invalid_dpop_proof' } })
    expect(answer.challenge).toMatch(/^DPoP .*error="invalid_dpop_proof"/)
    expect(answer.body).not.toHaveProperty('sub')
  })
})

describe('what a key changes nothing about', () => {
  it('a code of another app, and a wrong verifier', async () => {
    const code = await codeFor(app())
    const stolen = await redeem({ ...bound(), redirectUri }, code, key)
    expect(stolen).toMatchObject({ status: 400, body: { error: 'invalid_grant' } })
    expect((await redeem(app(), { ...code, verifier: 'x'.repeat(43) }, key)).body.error).toBe('invalid_grant')
    expect((await redeem(app(), code, key)).status).toBe(200)
    expect((await exchange(app(), code.code, code.verifier)).body.error).toBe('invalid_grant')
  })

  it('nothing of a proof is logged', async () => {
    const proof = await key.proof('POST', app().token, { claims: { htm: 'GET' } })
    await tokenRequest(bound(), { grant_type: 'refresh_token', refresh_token: 'x' }, { DPoP: proof })
    expect(server.log()).not.toContain(proof.split('.')[2])
  })
})

it('another server on the same store tells the same nonces, and another issuer others [RFC 9449 nodes]', async () => {
  const told = async (of: App) => {
    const DPoP = await key.proof('POST', of.token, { claims: { iat: 1 } })
    const { headers } = await tokenRequest(of, { grant_type: 'refresh_token', refresh_token: 'x' }, { DPoP })
    return headers.get('dpop-nonce')
  }
  const first = await startServer()
  // Beside the issuer's secret they depend on the minute.
  vi.useFakeTimers({ toFake: ['Date'], now: Math.floor(Date.now() / 60_000) * 60_000 + 1_000 })
  const nonce = await told(demoApp(first.url))
  expect(nonce).toMatch(/^[\w-]{43}$/)
  expect(await told(summitApp(first.url))).not.toBe(nonce)
  await first.server.close(1000)
  const { database, recovery } = first.settings
  const second = await startServer({
    change: (settings) => {
      settings.database.url = database.url
      settings.recovery.endingsLog = recovery.endingsLog
    },
  })
  expect(await told(demoApp(second.url))).toBe(nonce)
  expect(await told(demoApp(server.url)), 'of another store').not.toBe(nonce)
  await second.close()
  await first.close()
})
