/** The judge of the failure tests must be able to condemn: each breach in a log made for it, beside one that is sound. */
import { describe, expect, it } from 'vitest'
import { type Attempt, breaches, type OracleOptions } from '../support/oracle.ts'

/** A log whose attempts follow each other, a second apart unless they say otherwise. */
const logOf = (...attempts: Partial<Attempt>[]): Attempt[] =>
  attempts.map((attempt, i) => {
    const startedAt = attempt.startedAt ?? i * 1000
    return {
      connection: 'c',
      kind: 'refresh',
      presented: 'r0',
      honest: true,
      startedAt,
      endedAt: startedAt + 10,
      status: 200,
      error: null,
      retryAfter: false,
      received: null,
      afterwards: false,
      ...attempt,
    }
  })

const exchanged: Partial<Attempt> = { kind: 'exchange', presented: 'code', received: 'r0', startedAt: 0 }
const refreshed = (presented: string, received: string): Partial<Attempt> => ({ presented, received })
const refused: Partial<Attempt> = { status: 400, error: 'invalid_grant' }
const unanswered: Partial<Attempt> = { status: null }
const away: Partial<Attempt> = { status: 503, error: 'temporarily_unavailable', retryAfter: true }
const revoked: Partial<Attempt> = { kind: 'revoke', presented: 'r0' }
const active: Partial<Attempt> = { kind: 'introspect', presented: 'at' }
const inactive: Partial<Attempt> = { ...active, error: 'inactive' }
const replayed: Partial<Attempt> = { ...exchanged, honest: false, received: null, startedAt: 1000, ...refused }
const end = (presented: string): Partial<Attempt> => ({
  presented,
  received: 'last',
  afterwards: true,
  startedAt: 100_000,
})

/** The first words of what is found. */
const found = (options: OracleOptions, ...attempts: Partial<Attempt>[]): string[] =>
  breaches(logOf(...attempts), options).map((breach) => breach.replace(/:.*/s, ''))

describe('nothing is said of', () => {
  it.each<[string, Partial<Attempt>[]]>([
    ['a connection that is refreshed', [exchanged, refreshed('r0', 'r1'), refreshed('r1', 'r2'), end('r2')]],
    ['a 503, and its repetition', [exchanged, away, refreshed('r0', 'r1'), end('r1')]],
    [
      'a lost answer, and two siblings',
      [exchanged, unanswered, refreshed('r0', 'r1'), refreshed('r0', 's1'), end('s1')],
    ],
    [
      'a spent token that is refused to others',
      [exchanged, refreshed('r0', 'r1'), { ...refused, honest: false }, end('r1')],
    ],
    ['a revocation that holds', [exchanged, revoked, inactive, refused, { ...end('r0'), ...refused }]],
    ['a revocation of which nobody knows', [exchanged, { ...revoked, ...unanswered }, inactive, refused]],
    [
      'a code that is refused to others, and ends its grant',
      [exchanged, replayed, refused, { ...end('r0'), ...refused }],
    ],
    [
      'a code whose answer was lost',
      [
        { ...exchanged, ...unanswered, received: null },
        { ...exchanged, startedAt: 500, ...refused, received: null },
      ],
    ],
    ['a page that was away', [{ kind: 'page', presented: '/authorize', status: 503, retryAfter: true }]],
    ['a connection that ended without an answer', [{ kind: 'page', presented: '/authorize', status: null }]],
  ])('%s', (_, attempts) => {
    expect(breaches(logOf(...attempts))).toEqual([])
  })
})

describe('blamed:', () => {
  it.each<[string, Partial<Attempt>]>([
    ['invalid_grant for a live token', refused],
    ['invalid_client for a good one', { status: 401, error: 'invalid_client' }],
    ['a 503 without Retry-After', { ...away, retryAfter: false }],
    ['a 503 of another name', { ...away, error: 'server_error' }],
    ['a 500', { ...away, status: 500 }],
    ['active: false for a live token', inactive],
    ['introspection refused', { ...active, status: 401, error: 'invalid_client' }],
    ['a code refused', { kind: 'exchange', presented: 'another', ...refused }],
    ['a revocation refused', { ...revoked, status: 400, error: 'invalid_request' }],
    ['a page that says the member did wrong', { kind: 'page', presented: '/consent', status: 400 }],
    ['a page that fails', { kind: 'page', presented: '/consent', status: 500, retryAfter: true }],
    ['a 503 when everything runs again', { ...away, afterwards: true }],
    ['no answer when everything runs again', { ...unanswered, afterwards: true }],
  ])('%s', (_, attempt) => {
    // What is no fault of ours while the connection is being ended is one before that.
    expect(found({}, exchanged, attempt, end('r0')).slice(0, 1)).toEqual(['blamed'])
  })

  it('invalid_client also for a token whose connection has ended', () => {
    expect(
      found({}, exchanged, revoked, { status: 401, error: 'invalid_client' }, { ...end('r0'), ...refused }),
    ).toEqual(['blamed'])
  })

  it('a refusal before the end began', () => {
    expect(found({}, exchanged, refused, revoked, { ...end('r0'), ...refused })).toEqual(['blamed'])
  })
})

describe('honoured again:', () => {
  const overuse = (...attempts: Partial<Attempt>[]) => found({}, exchanged, ...attempts, end('z'))

  it('a refresh token a fourth time', () => {
    const three = [refreshed('r0', 'a'), refreshed('r0', 'b'), refreshed('r0', 'c')]
    expect(overuse(...three)).toEqual([])
    expect(overuse(...three, refreshed('r0', 'd'))).toEqual(['honoured again'])
  })

  it('a refresh token after its grace', () => {
    expect(overuse(refreshed('r0', 'a'), { ...refreshed('r0', 'b'), startedAt: 30_500 })).toEqual([])
    expect(overuse(refreshed('r0', 'a'), { ...refreshed('r0', 'b'), startedAt: 31_500 })).toEqual(['honoured again'])
  })

  it('a refresh token whose successor was used', () => {
    expect(overuse(refreshed('r0', 'a'), refreshed('a', 'b'), refreshed('r0', 'c'))).toEqual(['honoured again'])
  })

  it('a sibling of one that was used', () => {
    const siblings = [refreshed('r0', 'a'), refreshed('r0', 'b'), refreshed('a', 'c')]
    expect(overuse(...siblings, refreshed('b', 'd'))).toEqual(['honoured again'])
  })

  it('a code a second time', () => {
    expect(overuse({ ...exchanged, startedAt: 1000 })).toEqual(['honoured again'])
  })

  it('a code after its minute, also where uses were forgotten', () => {
    const again = (startedAt: number) =>
      found({ codesForgotten: true }, exchanged, { ...exchanged, startedAt }, end('r0')).filter(Boolean)
    expect(again(50_000)).toEqual([])
    expect(again(70_000)).toEqual(['honoured again'])
  })
})

describe('honoured after its end:', () => {
  it.each([
    ['a refresh', refreshed('r0', 'r1')],
    ['an introspection', active],
  ])('%s after the revocation was acknowledged', (_, attempt) => {
    expect(found({}, exchanged, revoked, attempt, { ...end('r0'), ...refused })).toEqual(['honoured after its end'])
  })

  it('a refresh after the code was presented again', () => {
    expect(
      found({}, exchanged, replayed, { ...refreshed('r0', 'r1'), startedAt: 2000 }, { ...end('r0'), ...refused }),
    ).toEqual(['honoured after its end'])
  })

  it('no introspection that began before', () => {
    const late = { ...active, startedAt: 900, endedAt: 1500 }
    expect(found({}, exchanged, revoked, late, { ...end('r0'), ...refused })).toEqual([])
  })
})

describe('lost:', () => {
  it('tokens that are refused in the end', () => {
    expect(found({}, exchanged, { ...end('r0'), ...refused })).toEqual(['blamed', 'lost'])
  })

  it('tokens that nobody asked for in the end', () => {
    expect(found({}, exchanged, refreshed('r0', 'r1'))).toEqual(['lost'])
  })

  it('a revocation, where tokens are good in the end', () => {
    expect(found({}, exchanged, revoked, end('r0'))).toEqual(['honoured after its end', 'lost'])
  })
})

describe('hung:', () => {
  const slow = { ...refreshed('r0', 'r1'), startedAt: 1000, endedAt: 6500 }

  it('more than five seconds', () => {
    expect(found({}, exchanged, slow, end('r1'))).toEqual(['hung'])
    expect(found({}, exchanged, { ...slow, ...unanswered }, end('r0'))).toEqual(['hung'])
    expect(found({}, exchanged, { ...slow, endedAt: 5900 }, end('r1'))).toEqual([])
  })

  it('not what the machine slept through', () => {
    expect(found({ stalls: [{ from: 0, to: 1600 }] }, exchanged, slow, end('r1'))).toEqual([])
    expect(found({ stalls: [{ from: 0, to: 1400 }] }, exchanged, slow, end('r1'))).toEqual(['hung'])
  })
})
