import { createHash, createHmac } from 'node:crypto'
import { base64url, type CryptoKey, calculateJwkThumbprint, exportJWK, generateKeyPair, type JWK, SignJWT } from 'jose'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  AccessError,
  createVerifier,
  decide,
  parseRequest,
  type VerifierOptions,
} from '../../src/resource-server/index.ts'
import { createMemoryReplays } from '../../src/resource-server/proof.ts'
import { startIssuer, type TestIssuer } from './issuer.ts'

const audience = 'https://fhir.example/r4'
const url = `${audience}/Observation`
const algs = 'ES256 ES384 ES512 PS256 PS384 PS512 EdDSA Ed25519'
let issuer: TestIssuer
let app: { key: CryptoKey; jwk: JWK; privateJwk: JWK; jkt: string }
let token: string

const keyPair = async (alg = 'ES256') => {
  const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true })
  const jwk = await exportJWK(publicKey)
  return { key: privateKey, jwk, privateJwk: await exportJWK(privateKey), jkt: await calculateJwkThumbprint(jwk) }
}

beforeAll(async () => {
  issuer = await startIssuer()
  app = await keyPair()
  token = await issuer.sign({ cnf: { jkt: app.jkt } })
})
afterAll(() => issuer.close())

const verifier = (options: Partial<VerifierOptions> = {}) =>
  createVerifier({ issuer: issuer.issuer, audience, jwksUri: `${issuer.issuer}/jwks`, dpop: 'accepted', ...options })

const hash = (text: string) => createHash('sha256').update(text).digest('base64url')
const seconds = () => Math.floor(Date.now() / 1000)

/** A good proof for a GET of `url`, but for what is changed. */
const proof = (claims: object = {}, header: object = {}, key: CryptoKey = app.key, of = token) =>
  new SignJWT({ jti: crypto.randomUUID(), htm: 'GET', htu: url, iat: seconds(), ath: hash(of), ...claims })
    .setProtectedHeader({ typ: 'dpop+jwt', alg: 'ES256', jwk: app.jwk, ...header })
    .sign(key)

const get = (given: string | string[] | undefined, at = url) => ({ proof: given, method: 'GET', url: at })

const refusal = async (work: Promise<unknown>): Promise<AccessError> => {
  const error = await work.then(
    () => new Error('it was accepted'),
    (thrown: unknown) => thrown,
  )
  if (!(error instanceof AccessError)) throw error
  return error
}

describe('a token that is bound to a key (DPoP, RFC 9449)', () => {
  it('is accepted with a proof for this request', async () => {
    const verified = await verifier().authenticate(`DPoP ${token}`, get(await proof()))
    expect(verified).toMatchObject({ keyThumbprint: app.jkt, patient: 'maria' })
  })

  it.each([
    ['a query', `${url}?patient=maria#top`],
    ['capitals in the host', url.replace('fhir', 'FHIR')],
    ['the default port', url.replace('.example', '.example:443')],
    ['dots in the path', url.replace('/r4', '/r4/./x/..')],
  ])('does not mind %s in the address of either', async (_what, address) => {
    await expect(verifier().authenticate(`dpop ${token}`, get(await proof({ htu: address })))).resolves.toBeDefined()
    await expect(verifier().authenticate(`DPoP ${token}`, get(await proof(), address))).resolves.toBeDefined()
  })

  it.each(['ES384', 'PS256', 'Ed25519'])('may be proven by a key of %s', async (alg) => {
    const other = await keyPair(alg)
    const bound = await issuer.sign({ cnf: { jkt: other.jkt } })
    const made = await proof({}, { alg, jwk: other.jwk }, other.key, bound)
    await expect(verifier().authenticate(`DPoP ${bound}`, get(made))).resolves.toBeDefined()
  })

  it('is refused as a bearer token, whatever the options and with a proof beside it too (RFC 9449 section 7.2)', async () => {
    for (const dpop of ['accepted', 'required', undefined] as const) {
      const api = verifier({ dpop })
      for (const work of [
        api.verify(token),
        api.authenticate(`Bearer ${token}`),
        api.authenticate(`Bearer ${token}`, get(await proof())),
      ]) {
        const error = await refusal(work)
        expect(error).toMatchObject({ status: 401, reason: 'wrong_scheme' })
        expect(error.wwwAuthenticate).toMatch(/^DPoP realm="[^"]+", error="invalid_token", .*algs="ES256 /)
      }
    }
  })

  it.each([
    ['by certificate', { 'x5t#S256': 'x' }],
    ['by two things', { jkt: 'x', 'x5t#S256': 'x' }],
    ['to nothing', {}],
    ['to an empty key', { jkt: '' }],
    ['to a number', { jkt: 1 }],
    ['in words', 'jkt'],
    ['to null', null],
  ])('is refused when it is bound %s, in any scheme', async (_what, cnf) => {
    const odd = await issuer.sign({ cnf })
    expect((await refusal(verifier().verify(odd))).reason).toBe('malformed_claims')
    const made = await proof({}, {}, app.key, odd)
    expect((await refusal(verifier().authenticate(`DPoP ${odd}`, get(made)))).reason).toBe('malformed_claims')
  })

  it('is judged like any other, in challenges of its own scheme', async () => {
    const expired = await issuer.sign({ cnf: { jkt: app.jkt }, exp: 1 })
    const error = await refusal(verifier().authenticate(`DPoP ${expired}`, get(await proof({}, {}, app.key, expired))))
    expect(error.reason).toBe('expired')
    expect(error.wwwAuthenticate).toMatch(/^DPoP realm="[^"]+", error="invalid_token"/)
    const verified = await verifier().authenticate(`DPoP ${token}`, get(await proof()))
    const decision = decide(verified, parseRequest({ method: 'GET', url: '/r4/Condition', baseUrl: audience }))
    expect(!decision.allowed && decision.error.wwwAuthenticate).toMatch(/^DPoP error="insufficient_scope"/)
  })
})

describe('a proof that is refused', () => {
  const attempts: [string, () => Promise<string | string[] | undefined> | string | string[] | undefined][] = [
    ['is not there', () => undefined],
    ['is empty', () => ''],
    ['is no JWT', () => 'a.b.c'],
    ['is sent twice', async () => [await proof(), await proof()]],
    ['is sent twice in one header', async () => `${await proof()}, ${await proof()}`],
    ['is of another type', () => proof({}, { typ: 'JWT' })],
    ['has no type', () => proof({}, { typ: undefined })],
    ['carries no key', () => proof({}, { jwk: undefined })],
    ['carries a private key', () => proof({}, { jwk: app.privateJwk })],
    ['carries the key of somebody else', async () => proof({}, { jwk: (await keyPair()).jwk })],
    [
      'is signed by another key that it carries',
      async () => {
        const other = await keyPair()
        return proof({}, { jwk: other.jwk }, other.key)
      },
    ],
    [
      'is signed in a way that is not on the list',
      async () => {
        const other = await keyPair('RS256')
        return proof({}, { alg: 'RS256', jwk: other.jwk }, other.key)
      },
    ],
    ['is not signed', () => unsigned({ alg: 'none' })],
    ['is signed with a shared secret', () => bySecret()],
    ['has a critical extension', () => proof({}, { crit: ['b64'], b64: true })],
    ['has a member twice', () => twice()],
    ['has no jti', () => proof({ jti: undefined })],
    ['has an empty jti', () => proof({ jti: '' })],
    ['has a number as jti', () => proof({ jti: 1 })],
    ['has no time', () => proof({ iat: undefined })],
    ['has its time in words', () => proof({ iat: 'now' })],
    ['is old', () => proof({ iat: seconds() - 65 })],
    ['is of the future', () => proof({ iat: seconds() + 65 })],
    ['has expired', () => proof({ exp: seconds() - 65 })],
    ['is for another method', () => proof({ htm: 'POST' })],
    ['has its method in small letters', () => proof({ htm: 'get' })],
    ['has no method', () => proof({ htm: undefined })],
    ['has no address', () => proof({ htu: undefined })],
    ['is for another address', () => proof({ htu: `${audience}/Condition` })],
    ['is for another server', () => proof({ htu: url.replace('fhir.', 'evil.') })],
    ['is for another port', () => proof({ htu: url.replace('.example', '.example:444') })],
    ['is for another scheme', () => proof({ htu: url.replace('https', 'http') })],
    ['is for an address with a user', () => proof({ htu: url.replace('fhir.', 'a@fhir.') })],
    ['is for a path only', () => proof({ htu: '/r4/Observation' })],
    ['is for several addresses', () => proof({ htu: [url] })],
    ['is for another access token', async () => proof({ ath: hash(await issuer.sign()) })],
    ['is for no access token, as at the token endpoint', () => proof({ ath: undefined })],
    ['is too long', () => proof({ more: 'x'.repeat(9_000) })],
  ]

  const parts = (
    header: object,
    claims = `{"jti":"1","htm":"GET","htu":"${url}","iat":${seconds()},"ath":"${hash(token)}"}`,
  ) => `${base64url.encode(JSON.stringify({ typ: 'dpop+jwt', jwk: app.jwk, ...header }))}.${base64url.encode(claims)}`
  const unsigned = (header: object) => `${parts(header)}.`
  const bySecret = () => {
    const text = parts({ alg: 'HS256', jwk: { kty: 'oct', k: base64url.encode('secret') } })
    return `${text}.${createHmac('sha256', 'secret').update(text).digest('base64url')}`
  }
  const twice = async () => {
    const text = parts(
      { alg: 'ES256' },
      `{"htm":"GET","htm":"GET","htu":"${url}","jti":"1","iat":${seconds()},"ath":"${hash(token)}"}`,
    )
    const signature = await crypto.subtle.sign(
      { name: 'ECDSA', hash: 'SHA-256' },
      app.key,
      new TextEncoder().encode(text),
    )
    return `${text}.${base64url.encode(new Uint8Array(signature))}`
  }

  it.each(attempts)('because it %s', async (_what, attempt) => {
    const error = await refusal(verifier().authenticate(`DPoP ${token}`, get(await attempt())))
    expect(error).toMatchObject({ status: 401, reason: 'invalid_proof' })
    expect(error.wwwAuthenticate).toMatch(
      new RegExp(`^DPoP realm="${audience}", error="invalid_dpop_proof", error_description="[^"]+", algs="${algs}"$`),
    )
    expect(error.message).not.toContain(token.slice(0, 20))
  })
})

describe('a proof counts once', () => {
  it('even when it comes several times at once', async () => {
    const api = verifier()
    const made = await proof()
    const answers = await Promise.allSettled(
      Array.from({ length: 8 }, () => api.authenticate(`DPoP ${token}`, get(made))),
    )
    expect(answers.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
    const again = await refusal(api.authenticate(`DPoP ${token}`, get(made)))
    expect(again).toMatchObject({ status: 401, reason: 'proof_replayed' })
    expect(again.wwwAuthenticate).toContain('error="invalid_dpop_proof"')
  })

  it('also with other claims and the same jti, but each key has its own', async () => {
    const api = verifier()
    const other = await keyPair()
    const theirs = await issuer.sign({ cnf: { jkt: other.jkt } })
    await api.authenticate(`DPoP ${token}`, get(await proof({ jti: 'same' })))
    expect((await refusal(api.authenticate(`DPoP ${token}`, get(await proof({ jti: 'same', more: 1 }))))).reason).toBe(
      'proof_replayed',
    )
    const fromOther = await proof({ jti: 'same' }, { jwk: other.jwk }, other.key, theirs)
    await expect(api.authenticate(`DPoP ${theirs}`, get(fromOther))).resolves.toBeDefined()
  })

  it('and is not used up by a request that is refused', async () => {
    const api = verifier()
    const made = await proof()
    await refusal(api.authenticate(`DPoP ${token}`, get(made, `${audience}/Condition`)))
    await expect(api.authenticate(`DPoP ${token}`, get(made))).resolves.toBeDefined()
  })

  it('across the processes of one API, by a store that they share', async () => {
    const seen = new Map<string, number>()
    const replays = {
      async remember(key: string, seconds: number) {
        return !seen.has(key) && seen.set(key, seconds).size > 0
      },
    }
    const made = await proof({ iat: seconds() + 50 })
    await verifier({ replays }).authenticate(`DPoP ${token}`, get(made))
    expect([...seen.values()]).toEqual([120])
    expect((await refusal(verifier({ replays }).authenticate(`DPoP ${token}`, get(made)))).reason).toBe(
      'proof_replayed',
    )
  })

  it('and where that cannot be told, the answer is no 401', async () => {
    const replays = { remember: () => Promise.reject(new Error('away')) }
    const error = await refusal(verifier({ replays }).authenticate(`DPoP ${token}`, get(await proof())))
    expect(error).toMatchObject({ status: 503, reason: 'proofs_unavailable', wwwAuthenticate: '' })
  })

  it('is remembered for as long as it could be good, in bounded room, and nothing is forgotten for another', () => {
    const clock = { now: 0 }
    const replays = createMemoryReplays(() => clock.now, 2)
    expect([replays.remember('a', 120), replays.remember('b', 120), replays.remember('a', 120)]).toEqual([
      true,
      true,
      false,
    ])
    expect(() => replays.remember('c', 120)).toThrow('too many')
    expect(replays.remember('b', 120)).toBe(false)
    clock.now = 120_000
    expect([replays.remember('c', 120), replays.remember('a', 120)]).toEqual([true, true])
  })
})

describe('an API that accepts both', () => {
  it('takes bearer tokens as ever, whatever proof lies beside them', async () => {
    await expect(verifier().authenticate(`Bearer ${await issuer.sign()}`, get('nonsense'))).resolves.toBeDefined()
  })

  it('refuses a token that is bound to no key in the scheme DPoP', async () => {
    const plain = await issuer.sign()
    const error = await refusal(verifier().authenticate(`DPoP ${plain}`, get(await proof({}, {}, app.key, plain))))
    expect(error).toMatchObject({ status: 401, reason: 'wrong_scheme' })
    expect(error.wwwAuthenticate).toMatch(/^Bearer /)
  })

  it('says so to whoever sends nothing', async () => {
    const error = await refusal(verifier({ realm: 'prairie' }).authenticate(undefined, get(undefined)))
    expect(error.wwwAuthenticate).toBe(`Bearer realm="prairie", DPoP realm="prairie", algs="${algs}"`)
  })

  it.each(['DPoP', 'DPoP a b', 'DPoP a, DPoP b', 'DPoP "a"'])(
    'finds a malformed header malformed: %s',
    async (header) => {
      const error = await refusal(verifier().authenticate(header, get(undefined)))
      expect(error).toMatchObject({ status: 400, reason: 'malformed_authorization' })
      expect(error.wwwAuthenticate).toMatch(/^DPoP .*error="invalid_request"/)
    },
  )

  it('must be told of the request, and its whole address', async () => {
    await expect(verifier().authenticate(`DPoP ${token}`)).rejects.toThrow(TypeError)
    await expect(verifier().authenticate(`DPoP ${token}`, get(await proof(), '/r4/Observation'))).rejects.toThrow(
      TypeError,
    )
  })
})

describe('an API that requires them', () => {
  it('takes bound tokens only, in both ways of asking', async () => {
    const api = verifier({ dpop: 'required' })
    await expect(api.authenticate(`DPoP ${token}`, get(await proof()))).resolves.toBeDefined()
    const plain = await issuer.sign()
    for (const work of [
      api.verify(plain),
      api.authenticate(`Bearer ${plain}`),
      api.authenticate(`DPoP ${plain}`, get(await proof({}, {}, app.key, plain))),
    ]) {
      const error = await refusal(work)
      expect(error).toMatchObject({ status: 401, reason: 'wrong_scheme' })
      expect(error.wwwAuthenticate).toMatch(/^DPoP /)
    }
    expect((await refusal(api.authenticate(undefined))).wwwAuthenticate).toMatch(/^DPoP realm="[^"]+", algs="[^"]+"$/)
  })
})

describe('an API that knows nothing of proofs', () => {
  it('asks for a bearer token, and takes no other', async () => {
    const error = await refusal(verifier({ dpop: undefined }).authenticate(`DPoP ${token}`))
    expect(error).toMatchObject({ status: 401, reason: 'missing_token' })
    expect(error.wwwAuthenticate).toBe(`Bearer realm="${audience}"`)
  })
})
