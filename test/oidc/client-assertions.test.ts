/** What an assertion must be, by profile, and which key must have signed it: rules alone, without a server. */
import { describe, expect, it } from 'vitest'
import { keySetFaults, keySetUrlFault, publicKeyFault } from '../../src/config/public-keys.ts'
import { assertionAlgorithms, assertionFault } from '../../src/oidc/client-assertions.ts'
import { createClientKeys, keptMillis } from '../../src/oidc/client-keys.ts'
import { FetchRefused } from '../../src/web/guarded-fetch.ts'
import { type AnyJwk, makeKey } from '../support/key-client.ts'

const issuer = 'https://plan.example/prairie/sandbox'
const token = `${issuer}/token`
const alias = 'https://plan.example/v3/oauth/token'
const now = 1_800_000_000
const smart = {
  clientId: 'app-1',
  profile: 'smart' as const,
  jwksUri: 'https://app.example/jwks',
  issuer,
  endpoints: new Set([token, alias]),
  now,
}
const fapi2 = { ...smart, profile: 'fapi2' as const }
const header = { alg: 'ES384', kid: 'k1', typ: 'JWT' }
const claims = { iss: 'app-1', sub: 'app-1', aud: token, exp: now + 240, jti: 'one' }
const fault = (
  over: { header?: AnyJwk; claims?: AnyJwk } = {},
  judging: Parameters<typeof assertionFault>[1] = smart,
) => assertionFault({ header: { ...header, ...over.header }, claims: { ...claims, ...over.claims } }, judging)
const asFapi2 = (over: { header?: AnyJwk; claims?: AnyJwk } = {}) =>
  fault({ header: { alg: 'ES256', ...over.header }, claims: { aud: issuer, ...over.claims } }, fapi2)

describe('an assertion that is right (RFC 7523 §3)', () => {
  it.each([
    ['as SMART has it', {}],
    ['RS384', { header: { alg: 'RS384' } }],
    ['without typ', { header: { typ: undefined } }],
    ['typ client-authentication+jwt', { header: { typ: 'client-authentication+jwt' } }],
    ['the registered jku', { header: { jku: 'https://app.example/jwks' } }],
    ['the issuer as audience', { claims: { aud: issuer } }],
    ['an alias of the token endpoint', { claims: { aud: alias } }],
    ['a list of both', { claims: { aud: [token, issuer] } }],
    ['five minutes ahead', { claims: { exp: now + 300 } }],
    ['iat and nbf', { claims: { iat: now - 1, nbf: now - 1 } }],
    ['a clock that is a little ahead', { claims: { iat: now + 10, nbf: now + 10, exp: now + 310 } }],
  ])('%s', (_what, over) => {
    expect(fault(over)).toBeUndefined()
  })

  it.each(['PS256', 'ES256', 'EdDSA', 'Ed25519'])('%s for a client of fapi2, for the issuer alone', (alg) => {
    expect(asFapi2({ header: { alg } })).toBeUndefined()
  })
})

describe('an assertion that is wrong in itself', () => {
  it.each([
    ...['RS256', 'ES256', 'PS256', 'PS384', 'ES512', 'EdDSA', 'HS256', 'HS384', 'none', 'rs384'].map((alg) => [
      `alg ${alg}`,
      { header: { alg } },
      'it must be signed by RS384 or ES384',
    ]),
    ['another typ', { header: { typ: 'at+jwt' } }, /^typ must/],
    ['typ of a DPoP proof', { header: { typ: 'dpop+jwt' } }, /^typ must/],
    ...['jwk', 'x5u', 'x5c', 'crit'].map((name) => [name, { header: { [name]: ['x'] } }, /not accepted in its header/]),
    ['crit that is empty', { header: { crit: undefined } }, /not accepted in its header/],
    ['no kid', { header: { kid: undefined } }, /kid/],
    ['an empty kid', { header: { kid: '' } }, /kid/],
    ['a kid that is a number', { header: { kid: 7 } }, /kid/],
    ['a kid that is too long', { header: { kid: 'k'.repeat(257) } }, /kid/],
    ['another jku', { header: { jku: 'https://evil.example/jwks' } }, /jku/],
    ['jku with a slash more', { header: { jku: 'https://app.example/jwks/' } }, /jku/],
    ['jku that is null', { header: { jku: null } }, /jku/],
    ['another iss', { claims: { iss: 'app-2' } }, /iss and sub/],
    ['another sub', { claims: { sub: 'app-2' } }, /iss and sub/],
    ['no sub', { claims: { sub: undefined } }, /iss and sub/],
    ['another audience', { claims: { aud: 'https://evil.example/token' } }, /^aud/],
    ['one good audience and another', { claims: { aud: [token, 'https://evil.example/token'] } }, /^aud/],
    ['an empty list', { claims: { aud: [] } }, /^aud/],
    ['no audience', { claims: { aud: undefined } }, /^aud/],
    ['the token endpoint with a slash', { claims: { aud: `${token}/` } }, /^aud/],
    ['the FHIR base', { claims: { aud: `${issuer}/fhir` } }, /^aud/],
    ['no exp', { claims: { exp: undefined } }, 'exp is missing'],
    ['exp as text', { claims: { exp: String(now + 60) } }, 'exp is missing'],
    ['exp without end', { claims: { exp: Number.POSITIVE_INFINITY } }, 'exp is missing'],
    ['exp in the past', { claims: { exp: now - 16 } }, /expired/],
    ['exp of six minutes', { claims: { exp: now + 360 } }, /five minutes/],
    ['exp of ten years', { claims: { exp: now + 315_360_000 } }, /five minutes/],
    ['exp in milliseconds', { claims: { exp: (now + 60) * 1000 } }, /five minutes/],
    ['iat in the future', { claims: { iat: now + 60 } }, /future/],
    ['nbf in the future', { claims: { nbf: now + 60 } }, /future/],
    ['iat as text', { claims: { iat: 'now' } }, /future/],
    ['no jti', { claims: { jti: undefined } }, /^jti/],
    ['an empty jti', { claims: { jti: '' } }, /^jti/],
    ['a jti that is too long', { claims: { jti: 'j'.repeat(257) } }, /^jti/],
    ['a jti that is a number', { claims: { jti: 1 } }, /^jti/],
  ] as [string, object, string | RegExp][])('%s', (_what, over, why) => {
    expect(fault(over)).toMatch(why)
  })

  it('jku of a client whose keys are registered inline', () => {
    expect(fault({ header: { jku: 'https://app.example/jwks' } }, { ...smart, jwksUri: null })).toMatch(/jku/)
  })

  it.each([
    ['the token endpoint', { claims: { aud: token } }, /as a single string/],
    ['the issuer in a list', { claims: { aud: [issuer] } }, /as a single string/],
    ['RS384, which SMART wants', { header: { alg: 'RS384' } }, /PS256 or ES256/],
    ['ES384, which SMART wants', { header: { alg: 'ES384' } }, /PS256 or ES256/],
  ] as [string, object, RegExp][])('no profile softens the other: %s is nothing for fapi2', (_what, over, why) => {
    expect(asFapi2(over)).toMatch(why)
  })

  it('what discovery lists is what some profile accepts, and nothing symmetric', () => {
    expect([...assertionAlgorithms].sort()).toEqual(['ES256', 'ES384', 'Ed25519', 'EdDSA', 'PS256', 'RS384'])
  })
})

describe('registered keys [SMART asymmetric.jwk-members]', () => {
  it.each(['RS384', 'ES384', 'ES256', 'PS256', 'Ed25519'])('one for %s is good', async (alg) => {
    expect(publicKeyFault((await makeKey(alg)).publicJwk)).toBeNull()
  })

  it.each([
    ['the private half', { d: 'AAAA' }, /without d/],
    ['an empty private half', { d: '' }, /without d/],
    ['a secret', { kty: 'oct', k: 'c2VjcmV0' }, /without k/],
    ['no kid', { kid: undefined }, /kid/],
    ['a kid that is no text', { kid: 1 }, /kid/],
    ['one for encryption', { use: 'enc' }, /use/],
    ['one that may not verify', { key_ops: ['sign'] }, /key_ops/],
    ['a kind that nobody knows', { kty: 'XX' }, /must be an RSA key/],
    ['a curve that no profile has', { crv: 'secp256k1' }, /must be an RSA key/],
    ['a point off the curve', { x: 'AAAA' }, /no key/],
    ['half a point', { y: undefined }, /no key/],
  ])('%s is refused', async (_what, over, why) => {
    const { publicJwk } = await makeKey('ES384')
    expect(publicKeyFault({ ...publicJwk, ...over })).toMatch(why)
  })

  it('RSA of 1024 bits is refused, and one of endless bits', async () => {
    const short = { kty: 'RSA', kid: 'k', e: 'AQAB', n: Buffer.alloc(128, 0xff).toString('base64url') }
    expect(publicKeyFault(short)).toMatch(/2048/)
    expect(publicKeyFault({ ...short, n: Buffer.alloc(2048, 0xff).toString('base64url') })).toMatch(/8192/)
  })

  it('two of one kid and kty are refused; of another kty they are told apart', async () => {
    const [one, two] = [(await makeKey('ES384', 'k')).publicJwk, (await makeKey('ES384', 'k')).publicJwk]
    expect(keySetFaults({ keys: [one, two] })).toEqual([
      { path: 'keys.1.kid', message: expect.stringContaining('kty') },
    ])
    expect(keySetFaults({ keys: [one, (await makeKey('RS384', 'k')).publicJwk] })).toEqual([])
  })

  it.each([
    ['http://app.example/jwks', /https/],
    ['https://user:secret@app.example/jwks', /user name/],
    ['https://app.example/jwks#k', /fragment/],
    ['jwks', /https/],
  ])('an address of keys: %s is refused', (url, why) => {
    expect(keySetUrlFault(url, { loopback: false })).toMatch(why)
  })

  it('plain http is for an issuer on this machine', () => {
    expect(keySetUrlFault('http://127.0.0.1:1/jwks', { loopback: true })).toBeNull()
    expect(keySetUrlFault('http://127.0.0.1:1/jwks', { loopback: false })).toMatch(/https/)
  })
})

describe('how long a set is kept [SMART asymmetric.cache-control]', () => {
  it.each([
    [{ 'cache-control': 'max-age=60' }, 60_000],
    [{ 'cache-control': 'public, Max-Age=5, must-revalidate' }, 5_000],
    [{ 'cache-control': 'max-age=60', age: '50' }, 10_000],
    [{ 'cache-control': 'max-age=60', age: '90' }, 0],
    [{ 'cache-control': 'max-age=0' }, 0],
    [{ 'cache-control': 'no-store' }, 0],
    [{ 'cache-control': 'no-cache, max-age=600' }, 0],
    [{ 'cache-control': 'max-age=31536000' }, 3_600_000],
    [{ 'cache-control': 's-maxage=7' }, 300_000],
    [{}, 300_000],
  ])('%j: %i ms', (headers, millis) => {
    expect(keptMillis(new Headers(headers as Record<string, string>))).toBe(millis)
  })

  const uri = 'https://app.example/jwks'
  const set = (kids: string[], control = 'max-age=100') => ({
    body: { keys: kids.map((kid) => ({ kid })) },
    headers: new Headers({ 'cache-control': control }),
  })
  const world = (...answers: (ReturnType<typeof set> | Error)[]) => {
    const state = { now: 0, asked: 0 }
    const find = createClientKeys({
      now: () => state.now,
      fetchJson: async () => {
        const answer = answers[Math.min(state.asked, answers.length - 1)]
        state.asked += 1
        await Promise.resolve()
        if (answer instanceof Error) throw answer
        return answer as ReturnType<typeof set>
      },
    })
    return { state, find: (kid: string) => find(uri, (jwk) => jwk.kid === kid).then((found) => found.length) }
  }

  it('for its time and no longer, and many at once ask once', async () => {
    const { state, find } = world(set(['a']))
    expect(await Promise.all(Array.from({ length: 20 }, () => find('a')))).toEqual(Array(20).fill(1))
    expect(state.asked).toBe(1)
    state.now = 99_999
    await find('a')
    expect(state.asked).toBe(1)
    state.now = 100_000
    await find('a')
    expect(state.asked).toBe(2)
  })

  it('no-store is asked each time', async () => {
    const { state, find } = world(set(['a'], 'no-store'))
    for (let i = 0; i < 3; i += 1) expect(await find('a')).toBe(1)
    expect(state.asked).toBe(3)
  })

  it('a new key is found at once, and whoever names one that is not there makes us ask once in ten seconds', async () => {
    const { state, find } = world(set(['a']), set(['a', 'b']))
    await find('a')
    state.now = 20_000
    expect(await find('b')).toBe(1)
    expect(state.asked).toBe(2)
    for (let i = 0; i < 50; i += 1) expect(await find('nobody')).toBe(0)
    expect(state.asked).toBe(2)
    state.now = 31_000
    await find('nobody')
    expect(state.asked).toBe(3)
  })

  it('while the host is away a set goes on to its end, and not a moment longer', async () => {
    const away = new FetchRefused('away')
    const { state, find } = world(set(['a']), away)
    await find('a')
    state.now = 50_000
    await expect(find('b')).rejects.toBe(away)
    expect(await find('a')).toBe(1)
    state.now = 100_000
    await expect(find('a')).rejects.toBe(away)
    const { asked } = state
    for (let i = 0; i < 20; i += 1) await expect(find('a')).rejects.toBe(away)
    expect(state.asked, 'nor is it asked all the time').toBe(asked)
  })

  it.each([null, [], {}, { keys: null }, { keys: ['a'] }, { keys: [null] }, { keys: Array(51).fill({}) }])(
    '%j is no set',
    async (body) => {
      const find = createClientKeys({ now: () => 0, fetchJson: async () => ({ body, headers: new Headers() }) })
      await expect(find(uri, () => true)).rejects.toThrow(FetchRefused)
    },
  )
})
