/** The token endpoint with bad input: nothing is lost, nothing is issued, every answer is OAuth JSON. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { confidentialApp, demoApp, exchange, pkce, refresh, tokenRequest, walk } from '../support/authorize.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { basic, claimsOf, post } from '../support/wire.ts'

let server: TestServer
let skew = 0

beforeAll(async () => {
  server = await startServer({ now: () => Date.now() + skew })
})
afterAll(() => server.close())

const app = () => demoApp(server.url)
const { verifier, challenge } = pkce()

/** A fresh code for our one challenge. */
const newCode = async (of = app(), params: Record<string, string | null> = {}): Promise<string> => {
  const { callback } = await walk(of, challenge, { params })
  return callback.searchParams.get('code') ?? ''
}

const fields = (code: string, of = app()): Record<string, string> => ({
  grant_type: 'authorization_code',
  code,
  redirect_uri: of.redirectUri,
  code_verifier: verifier,
  client_id: of.clientId,
})

const expectError = (answer: Awaited<ReturnType<typeof post>>, error: string, status = 400): void => {
  expect(answer.body).toMatchObject({
    error,
    error_description: expect.stringMatching(/^[\x20-\x21\x23-\x5b\x5d-\x7e]+$/),
  })
  expect(answer.status).toBe(status)
  expect(answer.headers.get('content-type')).toContain('application/json')
  expect(answer.headers.get('cache-control')).toBe('no-store')
  expect(answer.headers.get('pragma')).toBe('no-cache')
  expect(JSON.stringify(answer.body)).not.toContain(verifier)
}

describe('a wrong parameter does not burn the code', () => {
  const long = 'x'.repeat(5000)
  const wrong: [name: string, what: string, value: string | null | [string, string], error: string][] = [
    ['grant_type', 'missing', null, 'invalid_request'],
    ['grant_type', 'doubled', ['authorization_code', 'authorization_code'], 'invalid_request'],
    ['grant_type', 'too long', long, 'unsupported_grant_type'],
    ['grant_type', 'with a NUL', 'authorization_code\u0000', 'unsupported_grant_type'],
    ['grant_type', 'a name that every object has', '__proto__', 'unsupported_grant_type'],
    ['code', 'missing', null, 'invalid_request'],
    ['code', 'empty', '', 'invalid_request'],
    ['code', 'unknown', 'nonsense', 'invalid_grant'],
    ['code', 'too long', long, 'invalid_grant'],
    ['code', 'with a NUL', 'a\u0000b', 'invalid_grant'],
    ['code', 'unicode', '健康', 'invalid_grant'],
    ['redirect_uri', 'missing', null, 'invalid_request'],
    [
      'redirect_uri',
      'doubled',
      ['http://127.0.0.1:8123/callback', 'http://127.0.0.1:8123/callback'],
      'invalid_request',
    ],
    ['redirect_uri', 'of another port', 'http://127.0.0.1:8124/callback', 'invalid_grant'],
    ['redirect_uri', 'with a slash', 'http://127.0.0.1:8123/callback/', 'invalid_grant'],
    ['redirect_uri', 'too long', `http://127.0.0.1:8123/callback?${long}`, 'invalid_grant'],
    ['code_verifier', 'missing (downgrade)', null, 'invalid_grant'],
    ['code_verifier', 'empty (downgrade)', '', 'invalid_grant'],
    ['code_verifier', 'doubled', [verifier, verifier], 'invalid_request'],
    ['code_verifier', 'another', pkce().verifier, 'invalid_grant'],
    ['code_verifier', 'the challenge itself', challenge, 'invalid_grant'],
    ['code_verifier', 'too short', verifier.slice(0, 42), 'invalid_request'],
    ['code_verifier', 'too long', 'x'.repeat(129), 'invalid_request'],
    ['code_verifier', 'with a NUL', `${verifier}\u0000`, 'invalid_request'],
    ['client_id', 'missing', null, 'invalid_request'],
    ['client_id', 'doubled', ['demo-public', 'demo-public'], 'invalid_request'],
    ['client_id', 'with a NUL', 'demo-public\u0000', 'invalid_client'],
    ['client_id', 'unknown', 'nobody', 'invalid_client'],
    ['client_id', 'too long', long, 'invalid_client'],
    ['client_id', 'of an app with a secret', 'demo-confidential', 'invalid_client'],
    ['client_id', 'of another plan', 'summit-demo', 'invalid_client'],
    ['client_secret', 'of a public app', 'a-secret', 'invalid_client'],
    ['resource', 'of another server', 'https://fhir.other.example/r4', 'invalid_target'],
  ]

  it('each is refused, and the right request works afterwards [SMART app-launch.pkce-verifier] [RFC 9700 5] [RFC 7636 wrong-verifier, verifier]', async () => {
    const code = await newCode()
    for (const [name, what, value, error] of wrong) {
      const body = Object.entries(fields(code)).filter(([key]) => key !== name)
      for (const each of value === null ? [] : [value].flat()) body.push([name, each])
      const answer = await post(app().token, body)
      expect(answer.body.error, `${name} ${what}: ${JSON.stringify(answer.body)}`).toBe(error)
      expectError(answer, error, error === 'invalid_client' ? 401 : 400)
    }
    expect((await exchange(app(), code, verifier)).status).toBe(200)
  })

  it('a verifier for a code without a challenge cannot come about: the challenge is required [RFC 9700 5]', async () => {
    const { callback } = await walk(app(), challenge, {}).catch(() => ({ callback: new URL('about:blank') }))
    expect(callback.searchParams.get('code')).toBeTruthy()
    await expect(walk(app(), '', { params: { code_challenge: null, code_challenge_method: null } })).rejects.toThrow(
      'invalid_request',
    )
  })

  it('doubled code', async () => {
    const code = await newCode()
    expectError(await post(app().token, [...Object.entries(fields(code)), ['code', code]]), 'invalid_request')
    expect((await exchange(app(), code, verifier)).status).toBe(200)
  })

  it('another app cannot redeem it, public or confidential, and does not burn it [FAPI code-client]', async () => {
    const code = await newCode()
    expectError(await exchange(confidentialApp(server.url), code, verifier), 'invalid_grant')
    const other = {
      ...app(),
      issuer: `${server.url}/v5/summit`,
      clientId: 'summit-demo',
      token: `${server.url}/v5/oauth/token`,
    }
    expectError(await exchange(other, code, verifier), 'invalid_grant')
    expect((await exchange(app(), code, verifier)).status).toBe(200)
  })

  it('a code is no refresh token, and a refresh token no code', async () => {
    const code = await newCode()
    expectError(await refresh(app(), code), 'invalid_grant')
    const { body } = await exchange(app(), code, verifier)
    expectError(await exchange(app(), body.refresh_token, verifier), 'invalid_grant')
    expect((await refresh(app(), body.refresh_token)).status).toBe(200)
  })
})

describe('a code is used once, and soon', () => {
  it('after a minute it is expired, which ends nothing else [SMART app-launch.code-short-lived] [ASVS 10.4.3]', async () => {
    const code = await newCode()
    skew += 61_000
    expectError(await exchange(app(), code, verifier), 'invalid_grant')
    expect((await exchange(app(), await newCode(), verifier)).status).toBe(200)
  })

  it('used again, it ends what it brought (RFC 6749 §4.1.2) [RFC 9700 10] [ASVS 10.4.2]', async () => {
    const code = await newCode()
    const first = await exchange(app(), code, verifier)
    const again = await exchange(app(), code, verifier)
    expectError(again, 'invalid_grant')
    expect(again.body.error_subcode).toBe('code_reused')
    const after = await refresh(app(), first.body.refresh_token)
    expectError(after, 'invalid_grant')
    expect(after.body.error_subcode).toBe('code_reused')
  })

  it('used again by another client, it ends nothing, and that client learns nothing of it (R9)', async () => {
    const code = await newCode()
    const first = await exchange(app(), code, verifier)
    const stolen = await exchange(confidentialApp(server.url), code, verifier)
    expectError(stolen, 'invalid_grant')
    expect(stolen.body).not.toHaveProperty('error_subcode')
    expect((await refresh(app(), first.body.refresh_token)).status).toBe(200)
  })

  it('of 100 redemptions at once exactly one succeeds [RFC 9700 10]', async () => {
    const code = await newCode()
    const answers = await Promise.all(Array.from({ length: 100 }, () => exchange(app(), code, verifier)))
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1)
    for (const other of answers.filter(({ status }) => status !== 200)) expect(other.body.error).toBe('invalid_grant')
  })
})

describe('client authentication (R13)', () => {
  const secret = 'demo-confidential-secret'
  const id = 'demo-confidential'
  const ask = (more: Record<string, string>, headers: Record<string, string> = {}) =>
    post(app().token, { grant_type: 'refresh_token', refresh_token: 'nonsense', ...more }, headers)

  it.each([
    ['basic', {}, basic(id, secret)],
    ['basic, url-encoded (RFC 6749 §2.3.1)', {}, basic('demo%2Dconfidential', 'demo%2Dconfidential%2Dsecret')],
    ['basic, in lower case', {}, { authorization: basic(id, secret).authorization.replace('Basic', 'basic') }],
    ['basic, with the same client_id in the form', { client_id: id }, basic(id, secret)],
    ['post', { client_id: id, client_secret: secret }, {}],
  ])('%s is accepted [SMART symmetric.basic]', async (_what, more, headers) => {
    expectError(await ask(more, headers), 'invalid_grant')
  })

  it.each([
    ['a wrong secret by basic', {}, basic(id, 'wrong'), 'invalid_client'],
    ['a wrong secret by post', { client_id: id, client_secret: 'wrong' }, {}, 'invalid_client'],
    ['a longer secret', {}, basic(id, `${secret}x`), 'invalid_client'],
    ['a very long secret', {}, basic(id, 'x'.repeat(4000)), 'invalid_client'],
    ['a hash in place of the secret', {}, basic(id, 'sha256:abc'), 'invalid_client'],
    ['an unknown client', {}, basic('nobody', secret), 'invalid_client'],
    ['no secret of a confidential app', { client_id: id }, {}, 'invalid_client'],
    ['a secret of a public app', {}, basic('demo-public', 'x'), 'invalid_client'],
    ['an assertion', { client_id: id, client_assertion: 'x' }, {}, 'invalid_client'],
    ['basic and post at once', { client_id: id, client_secret: secret }, basic(id, secret), 'invalid_request'],
    ['another client_id beside basic', { client_id: 'demo-public' }, basic(id, secret), 'invalid_request'],
    ['an empty secret', {}, basic(id, ''), 'invalid_request'],
    ['no colon', {}, { authorization: `Basic ${btoa(id)}` }, 'invalid_request'],
    ['no base64', {}, { authorization: 'Basic ***' }, 'invalid_request'],
    ['a NUL in it', {}, basic(id, 'a%00b'), 'invalid_request'],
    ['half a percent sign', {}, basic(id, 'a%zz'), 'invalid_request'],
    ['a bearer token', {}, { authorization: 'Bearer abc' }, 'invalid_request'],
    ['nothing', {}, {}, 'invalid_request'],
  ])('%s is refused [SMART symmetric.wrong-refused] [ASVS 10.4.10]', async (_what, more, headers, error) => {
    const answer = await ask(more as Record<string, string>, headers as Record<string, string>)
    expectError(answer, error, error === 'invalid_client' ? 401 : 400)
    const challenged = error === 'invalid_client' && 'authorization' in headers
    expect(answer.headers.get('www-authenticate') ?? '').toMatch(challenged ? /^Basic realm="/ : /^$/)
  })

  it('a wrong secret and an unknown client are told in the same words', async () => {
    const [known, unknown] = [await ask({}, basic(id, 'wrong')), await ask({}, basic('nobody', 'wrong'))]
    expect(known.body).toEqual(unknown.body)
  })
})

describe('the shape of requests and answers', () => {
  it.each(['password', 'implicit', 'urn:ietf:params:oauth:grant-type:device_code'])(
    'grant type %s is not supported [RFC 9700 6] [ASVS 10.4.4]',
    async (grant_type) => {
      expectError(await tokenRequest(app(), { grant_type, username: 'maria', password: 'x' }), 'unsupported_grant_type')
      const answer = await tokenRequest(confidentialApp(server.url), { grant_type })
      expectError(answer, 'unsupported_grant_type')
      expect(answer.body.error_description).toMatch(/^grant_type must be .* or client_credentials$/)
    },
  )

  it.each([
    ['JSON', 'application/json', (code: string) => JSON.stringify(fields(code))],
    ['text', 'text/plain', (code: string) => new URLSearchParams(fields(code)).toString()],
    ['multipart', 'multipart/form-data; boundary=x', () => '--x--'],
  ])('a body in %s is refused in words, and burns nothing', async (_what, type, body) => {
    const code = await newCode()
    const response = await fetch(app().token, { method: 'POST', headers: { 'content-type': type }, body: body(code) })
    expect(response.status).toBe(400)
    expect(await response.json()).toMatchObject({
      error: 'invalid_request',
      error_description: expect.stringContaining('application/x-www-form-urlencoded'),
    })
    expect((await exchange(app(), code, verifier)).status).toBe(200)
  })

  it.each([
    ['empty', ''],
    ['nonsense', '%%%=%zz&&&=='],
    ['too large', `grant_type=authorization_code&client_id=demo-public&code=${'x'.repeat(70_000)}`],
  ])('a body that is %s is invalid_request', async (_what, body) => {
    const headers = { 'content-type': 'application/x-www-form-urlencoded' }
    const response = await fetch(app().token, { method: 'POST', headers, body })
    expect(response.status).toBe(400)
    expect(await response.json()).toMatchObject({ error: 'invalid_request' })
  })

  it('parameters in the address are not read [RFC 9700 17]', async () => {
    const code = await newCode()
    const response = await fetch(`${app().token}?${new URLSearchParams(fields(code))}`, { method: 'POST' })
    expect(await response.json()).toMatchObject({ error: 'invalid_request' })
    expect((await exchange(app(), code, verifier)).status).toBe(200)
  })

  it('answers JSON whatever Accept says, tokens and errors alike', async () => {
    const code = await newCode()
    const wrong = await exchange(app(), code, pkce().verifier)
    expectError(wrong, 'invalid_grant')
    const right = await post(app().token, fields(code), { accept: 'text/html' })
    expect(right.status).toBe(200)
    expect(claimsOf(right.body.access_token).patient).toBe('maria')
    expectError(await post(app().token, fields(code), { accept: 'text/html' }), 'invalid_grant')
  })

  it.each(['GET', 'PUT', 'DELETE', 'HEAD'])('%s is 405, in JSON', async (method) => {
    const response = await fetch(app().token, { method, headers: { accept: 'text/html' } })
    expect(response.status).toBe(405)
    expect(response.headers.get('content-type')).toContain('application/json')
    expect(response.headers.get('allow')).toBe('POST, OPTIONS')
    if (method !== 'HEAD') expect(await response.json()).toMatchObject({ error: 'method_not_allowed' })
  })
})
