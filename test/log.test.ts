import { Writable } from 'node:stream'
import { describe, expect, it } from 'vitest'
import { LatchkeyError, Unavailable } from '../src/errors.ts'
import { createLog, type Log, redact, scrub } from '../src/log.ts'

/** A value that must never come out. */
const SECRET = 'Xk29-tiger_71'

function lines(work: (log: Log) => void, level = 'trace'): { text: string; entries: Record<string, unknown>[] } {
  let text = ''
  const destination = new Writable({
    write(chunk, _, done) {
      text += String(chunk)
      done()
    },
  })
  work(createLog({ level, destination }))
  const entries = text
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Record<string, unknown>)
  return { text, entries }
}

describe('the log', () => {
  it('is one line of JSON per entry, with time and level in words', () => {
    const { entries } = lines((log) => log.info({ issuer: 'prairie/sandbox', count: 3 }, 'hello %s', 'world'))
    expect(entries).toEqual([
      expect.objectContaining({ level: 'info', issuer: 'prairie/sandbox', count: 3, msg: 'hello world' }),
    ])
    expect(entries[0]?.time).toMatch(/^\d{4}-\d\d-\d\dT/)
  })

  it('keeps to its level', () => {
    expect(lines((log) => log.debug('quiet'), 'info').entries).toEqual([])
    expect(lines((log) => log.error('loud'), 'silent').entries).toEqual([])
  })

  it.each([
    ...['authorization', 'Authorization', 'proxy-authorization', 'cookie', 'Cookie', 'set-cookie', 'Set-Cookie'],
    ...['password', 'new_password', 'code', 'code_verifier', 'codeVerifier', 'refresh_token', 'refreshToken'],
    ...['access_token', 'id_token', 'id_token_hint', 'client_secret', 'clientSecret', 'client_assertion', 'token'],
    ...['state', 'nonce', 'assertion', 'request_uri', 'launch', 'login_hint', 'username', 'email', 'recipient'],
    ...['secret', 'jti', 'csrf', 'body', 'query', 'rawHeaders', 'payload', 'parameters', 'sealed_jwk', 'jwk'],
  ])('never shows the field %s, at any depth, of any kind', (name) => {
    const { text } = lines((log) => {
      log.info({ [name]: SECRET })
      log.info({ a: { b: [{ c: { [name]: SECRET } }] } })
      log.info({ [name]: { inner: SECRET } })
      log.info({ [name]: [SECRET] })
      log.info({ entries: new Map([[name, SECRET]]) })
      log.child({ [name]: SECRET }).info('child')
      log.child({ a: { [name]: SECRET } }).info('child')
      log.info('with an object: %j', { [name]: SECRET })
      log.error({ err: new Error('failed', { cause: { [name]: SECRET } }) })
      log.error(Object.assign(new Error('failed'), { response: { [name]: SECRET } }))
    })
    expect(text).not.toContain(SECRET)
    expect(text.split('\n')).toHaveLength(11)
  })

  it.each([
    `https://plan.example/callback?code=${SECRET}&state=x`,
    `https://plan.example/callback?error=x&state=${SECRET}`,
    `/prairie/sandbox/auth?client_id=a&state=${SECRET}`,
    `app.example:/callback#access_token=${SECRET}`,
    `?code=${SECRET}`,
    `https://user:${SECRET}@plan.example/`,
    `smtps://latchkey:${SECRET}@mail.example:465`,
    `grant_type=authorization_code&code=${SECRET}&code_verifier=${SECRET}`,
    `refresh_token=${SECRET}`,
    `Bearer ${SECRET}`,
    `authorization: Basic ${SECRET}`,
    `{"access_token":"${SECRET}","expires_in":600}`,
    `{"access_token" : "${SECRET}"}`,
    `eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJtYXJpYSJ9.${SECRET}`,
  ])('never shows the credential in the text %j', (text) => {
    const logged = lines((log) => {
      log.info(text)
      log.info({ url: text })
      log.info({ list: [text] }, text)
      log.info('%s', text)
      log.error(new Error(text))
      log.error({ err: new Error('outer', { cause: new Error(text) }) })
      log.error({ err: new Unavailable(text) })
      log.error({ err: new AggregateError([new Error(text)], 'several') })
      log.child({ url: text }).info('child')
    })
    expect(logged.text).not.toContain(SECRET)
    expect(logged.entries).toHaveLength(9)
  })

  it('shows a live request by method and path only', () => {
    const request = {
      method: 'GET',
      url: `/prairie/sandbox/auth?state=${SECRET}`,
      headers: { 'x-anything': SECRET },
      socket: { remoteAddress: SECRET },
    }
    const { text, entries } = lines((log) =>
      log.info({ req: request, ctx: { req: request, res: {}, anything: SECRET } }),
    )
    expect(text).not.toContain(SECRET)
    expect(entries[0]?.req).toEqual({ method: 'GET', url: '/prairie/sandbox/auth?[redacted]' })
  })

  it('shows of an error what helps, and nothing that hangs on it', () => {
    const error = new LatchkeyError('busy', 503, {
      message: 'too many',
      detail: 'queue of 64',
      cause: new RangeError('inner'),
    })
    const { entries } = lines((log) =>
      log.error({ err: Object.assign(error, { config: { anything: SECRET } }) }, 'failed'),
    )
    expect(entries[0]).toMatchObject({
      msg: 'failed',
      err: {
        type: 'LatchkeyError',
        message: 'too many',
        code: 'busy',
        status: 503,
        detail: 'queue of 64',
        cause: { type: 'RangeError', message: 'inner' },
      },
    })
    expect(JSON.stringify(entries)).not.toContain(SECRET)
  })

  it('tells an error’s kind from an authorization code', () => {
    expect(redact(Object.assign(new Error('x'), { code: 'ECONNREFUSED' }))).toMatchObject({ code: 'ECONNREFUSED' })
    expect(redact(Object.assign(new Error('x'), { code: SECRET }))).not.toMatchObject({ code: SECRET })
    expect(redact({ message: 'error-like', code: SECRET })).toEqual({ message: 'error-like', code: '[redacted]' })
  })

  it('says the message of a bare error', () => {
    const { entries } = lines((log) => log.error(new Error('it broke')))
    expect(entries[0]).toMatchObject({ msg: 'it broke', err: { message: 'it broke' } })
  })
})

describe('redact', () => {
  it('bears what cannot be written down', () => {
    const circle: Record<string, unknown> = { name: 'a' }
    circle.self = circle
    let deep: object = {}
    for (let i = 0; i < 100; i++) deep = { deep }
    expect(redact(circle)).toEqual({ name: 'a', self: '[circular]' })
    expect(JSON.stringify(redact(deep))).toContain('[deep]')
    expect(
      redact({ a: 1n, b: Symbol('b'), c: () => 1, d: undefined, e: new Date(0), f: new Date(Number.NaN) }),
    ).toEqual({
      ...{ a: '1', b: '[symbol]', c: '[function]', d: undefined, e: '1970-01-01T00:00:00.000Z', f: 'invalid date' },
    })
    expect(redact({ a: Buffer.from(SECRET), b: new Uint8Array(3) })).toEqual({ a: '[bytes]', b: '[bytes]' })
    expect(redact(new URL(`https://a.example/b?c=${SECRET}`))).toBe('https://a.example/b?[redacted]')
    expect(redact(new URLSearchParams({ code: SECRET, client_id: 'a' }))).toEqual({
      code: '[redacted]',
      client_id: 'a',
    })
    expect(redact(new Headers({ authorization: SECRET, accept: '*/*' }))).toEqual({
      authorization: '[redacted]',
      accept: '*/*',
    })
    expect(redact(new Set(['a']))).toEqual(['a'])
    expect(redact(Object.create(null))).toEqual({})
  })

  it('shows one object twice, if it is no circle', () => {
    const shared = { name: 'a' }
    expect(redact({ a: shared, b: shared })).toEqual({ a: { name: 'a' }, b: { name: 'a' } })
  })

  it('cuts what is very long', () => {
    expect(scrub('x'.repeat(1_000_000)).length).toBeLessThan(5_000)
    expect(redact(Array.from({ length: 10_000 }, () => 1))).toHaveLength(100)
  })

  it('does not change what it is given', () => {
    const given = { password: SECRET, inner: { token: SECRET } }
    redact(given)
    expect(given).toEqual({ password: SECRET, inner: { token: SECRET } })
  })

  it('leaves plain words alone', () => {
    for (const text of [
      'Is it well? Yes.',
      'a = b',
      'client demo-public at prairie/sandbox',
      'a bearer of news',
      '3 < 4 #5',
    ]) {
      expect(scrub(text)).toBe(text)
    }
  })

  it('takes no time for texts made to take it', () => {
    const started = performance.now()
    for (const text of [
      '?'.repeat(100_000),
      '"code"'.repeat(20_000),
      'ey'.repeat(50_000),
      '://'.repeat(30_000),
      'code='.repeat(20_000),
    ])
      scrub(text)
    expect(performance.now() - started).toBeLessThan(3000)
  })
})
