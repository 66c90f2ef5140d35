import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type AccessError, createVerifier, type VerifierOptions } from '../../src/resource-server/index.ts'
import { startIssuer, type TestIssuer } from './issuer.ts'

let issuer: TestIssuer
let ahead = 0

beforeEach(async () => {
  issuer = await startIssuer()
  ahead = 0
})
afterEach(() => issuer.close())

/** A verifier whose clock the test moves, in seconds. */
function verifier(options: Partial<VerifierOptions> = {}) {
  return createVerifier({
    issuer: issuer.issuer,
    audience: 'https://fhir.example/r4',
    jwksUri: `${issuer.issuer}/jwks`,
    now: () => Date.now() + ahead * 1000,
    ...options,
  })
}

const longLived = () => issuer.sign({ exp: Math.floor(Date.now() / 1000) + 86_400 })
const reasonOf = (work: Promise<unknown>) =>
  work.then(
    () => 'accepted',
    (error: AccessError) => `${error.status} ${error.reason}`,
  )

describe('the keys of an issuer', () => {
  it('are fetched once for many tokens, also at the same moment', async () => {
    const api = verifier()
    const tokens = await Promise.all(Array.from({ length: 20 }, () => issuer.sign()))
    await Promise.all(tokens.map((token) => api.verify(token)))
    await api.verify(await issuer.sign())
    expect(issuer.state.fetches).toBe(1)
  })

  it('are fetched again when the cache is old', async () => {
    const api = verifier({ jwksCacheSeconds: 60 })
    const token = await longLived()
    await api.verify(token)
    ahead = 59
    await api.verify(token)
    expect(issuer.state.fetches).toBe(1)
    ahead = 61
    await api.verify(token)
    expect(issuer.state.fetches).toBe(2)
  })

  it('are fetched again for a key that is new: rotation needs no restart', async () => {
    const api = verifier()
    await api.verify(await issuer.sign())
    await issuer.addKey('key-2')
    ahead = 31
    await expect(api.verify(await issuer.sign({}, {}, 'key-2'))).resolves.toBeDefined()
    await expect(api.verify(await issuer.sign())).resolves.toBeDefined()
    expect(issuer.state.fetches).toBe(2)
  })

  it('are not fetched more than once in a cooldown, however many unknown keys are named [RFC 8725 kid]', async () => {
    const api = verifier()
    await api.verify(await issuer.sign())
    for (let at = 0; at < 10; at += 1) {
      expect(await reasonOf(api.verify(await issuer.sign({}, { kid: `guess-${at}` })))).toBe('401 unknown_key')
    }
    expect(issuer.state.fetches).toBe(1)
    ahead = 31
    const guesses = await Promise.all(Array.from({ length: 10 }, (_, at) => issuer.sign({}, { kid: `more-${at}` })))
    await Promise.all(guesses.map((token) => reasonOf(api.verify(token))))
    expect(issuer.state.fetches).toBe(2)
  })

  it('stop counting once the issuer has withdrawn them', async () => {
    const api = verifier({ jwksCacheSeconds: 60 })
    const token = await longLived()
    await api.verify(token)
    issuer.published.length = 0
    ahead = 61
    expect(await reasonOf(api.verify(token))).toBe('401 unknown_key')
  })

  it('are found through discovery when no address is given', async () => {
    await expect(verifier({ jwksUri: undefined }).verify(await issuer.sign())).resolves.toBeDefined()
  })

  it('never include a shared secret', async () => {
    issuer.published.push({ kty: 'oct', kid: 'shared', k: 'c2VjcmV0' })
    expect(await reasonOf(verifier().verify(await issuer.sign({}, { kid: 'shared' })))).toBe('401 unknown_key')
  })
})

describe('keys that cannot be had: 503, never 401 (R43)', () => {
  it.each([
    ['the issuer answers 500', () => Object.assign(issuer.state, { status: 500 })],
    ['the issuer answers 404', () => Object.assign(issuer.state, { status: 404 })],
    ['the issuer answers HTML', () => Object.assign(issuer.state, { body: '<html>' })],
    ['the issuer answers null', () => Object.assign(issuer.state, { body: 'null' })],
    ['the answer has a key that is null', () => Object.assign(issuer.state, { body: '{"keys":[null]}' })],
    ['the answer has no keys', () => Object.assign(issuer.state, { body: '{}' })],
    ['the answer is too long', () => Object.assign(issuer.state, { body: `{"keys":[],"x":"${'x'.repeat(300_000)}"}` })],
    ['the key is broken', () => Object.assign(issuer.published[0] ?? {}, { x: 'AA' })],
    ['two keys have one name', () => issuer.published.push({ ...issuer.published[0] })],
  ])('when %s', async (_what, damage) => {
    damage()
    const error = await verifier()
      .verify(await issuer.sign())
      .catch((thrown: unknown) => thrown as AccessError)
    expect(error).toMatchObject({
      status: 503,
      reason: 'keys_unavailable',
      wwwAuthenticate: '',
      headers: { 'Retry-After': '5' },
    })
  })

  it.each([
    ['names another issuer', { issuer: 'https://evil.example' }],
    ['has no address of keys', { jwks_uri: undefined }],
  ])('when the discovery document %s', async (_what, discovery) => {
    issuer.state.discovery = discovery
    expect(await reasonOf(verifier({ jwksUri: undefined }).verify(await issuer.sign()))).toBe('503 keys_unavailable')
  })

  it('when nobody listens, and the token works once somebody does', async () => {
    let reachable = false
    const api = verifier({
      fetch: (input, init) => (reachable ? fetch(input, init) : Promise.reject(new TypeError('fetch failed'))),
    })
    const token = await issuer.sign()
    expect(await reasonOf(api.verify(token))).toBe('503 keys_unavailable')
    reachable = true
    expect(await reasonOf(api.verify(token))).toBe('503 keys_unavailable')
    ahead = 6
    expect(await reasonOf(api.verify(token))).toBe('accepted')
  })

  it('without hammering an issuer that is down', async () => {
    issuer.state.status = 500
    const api = verifier()
    for (let at = 0; at < 10; at += 1) await reasonOf(api.verify(await issuer.sign()))
    expect(issuer.state.fetches).toBe(1)
  })

  it('but keys that are known serve on for one more cache period, and no longer', async () => {
    const api = verifier({ jwksCacheSeconds: 60 })
    const token = await longLived()
    await api.verify(token)
    issuer.state.status = 500
    ahead = 100
    expect(await reasonOf(api.verify(token))).toBe('accepted')
    ahead = 121
    expect(await reasonOf(api.verify(token))).toBe('503 keys_unavailable')
  })

  it('also for an unknown key while the issuer is away: it may be the new one', async () => {
    const api = verifier()
    await api.verify(await issuer.sign())
    issuer.state.status = 500
    ahead = 31
    expect(await reasonOf(api.verify(await issuer.sign({}, { kid: 'key-2' })))).toBe('503 keys_unavailable')
    expect(await reasonOf(api.verify(await issuer.sign()))).toBe('accepted')
  })

  it('and redirects of the key address are not followed', async () => {
    const modes: (string | undefined)[] = []
    await verifier({
      fetch: (input, init) => {
        modes.push(init?.redirect)
        return fetch(input, init)
      },
    }).verify(await issuer.sign())
    expect(modes).toEqual(['error'])
  })
})
