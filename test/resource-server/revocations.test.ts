/** A resource server that follows the revocation feed (R11), and feeds that are away, slow, wrong or hostile. */
import { setTimeout as pause } from 'node:timers/promises'
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { AccessError, createVerifier, type RevocationOptions, type Verifier } from '../../src/resource-server/index.ts'
import { ready, said, startFeed, type TestFeed } from './feed.ts'
import { startIssuer, type TestIssuer } from './issuer.ts'

const secret = 'a secret of the resource server'
const seconds = () => Math.floor(Date.now() / 1000)
const ended = (grant_id: string, more: object = {}) => ({
  ...{ grant_id, revision: null, reason: 'revoked_by_member', at: seconds(), until: seconds() + 600 },
  ...more,
})

let issuer: TestIssuer
let feed: TestFeed
let problems: string[]
const verifiers: Verifier[] = []

beforeAll(async () => {
  issuer = await startIssuer()
  return () => issuer.close()
})
beforeEach(async () => {
  feed = await startFeed()
  problems = []
  issuer.state.discovery = {}
})
afterEach(async () => {
  for (const verifier of verifiers.splice(0)) verifier.close()
  await feed.close()
})

const follow = (more: Partial<RevocationOptions> = {}, options: Partial<Parameters<typeof createVerifier>[0]> = {}) => {
  const verifier = createVerifier({
    ...{ issuer: issuer.issuer, audience: 'https://fhir.example/r4', ...options },
    revocations: {
      ...{ clientId: 'the server', clientSecret: secret, url: feed.url, onProblem: (text) => problems.push(text) },
      ...more,
    },
  })
  verifiers.push(verifier)
  return verifier
}

const answerTo = async (verifier: Verifier, claims: object = {}): Promise<string> => {
  try {
    await verifier.verify(await issuer.sign({ ...claims }))
    return 'good'
  } catch (error) {
    if (!(error instanceof AccessError)) throw error
    return `${error.status} ${error.reason}`
  }
}
const streaming = () => vi.waitFor(() => expect(feed.streams()).toBe(1), { timeout: 5_000, interval: 5 })
const becomes = (verifier: Verifier, answer: string, claims: object = {}) =>
  vi.waitFor(async () => expect(await answerTo(verifier, claims)).toBe(answer), { timeout: 15_000, interval: 10 })

describe('what the feed says (R11)', () => {
  it('refuses a token of a grant that has ended, from the very first one on, and no other', async () => {
    feed.entries = [ended('grant-1')]
    const verifier = follow()
    expect(await answerTo(verifier)).toBe('401 revoked')
    expect(await answerTo(verifier, { grant_id: 'grant-2' })).toBe('good')
    expect(problems).toEqual([])
  })

  it('tells the app by a challenge that its token is no good any more, and no secret', async () => {
    feed.entries = [ended('grant-1')]
    const refusal = await follow()
      .verify(await issuer.sign())
      .catch((error: AccessError) => error)
    expect(refusal).toMatchObject({
      ...{ status: 401, reason: 'revoked' },
      headers: { 'WWW-Authenticate': expect.stringContaining('error="invalid_token"') },
    })
    expect(JSON.stringify(refusal)).not.toContain(secret)
  })

  it('refuses within a moment of the word, in the middle of a stream', async () => {
    const verifier = follow()
    expect(await answerTo(verifier)).toBe('good')
    await streaming()
    const from = performance.now()
    feed.send(said(ended('grant-1')))
    await becomes(verifier, '401 revoked')
    expect(performance.now() - from).toBeLessThan(200)
  })

  it('of a grant that was narrowed refuses the tokens of earlier revisions only (R11)', async () => {
    feed.entries = [ended('grant-1', { revision: 2, reason: 'narrowed' })]
    const verifier = follow()
    expect(await answerTo(verifier)).toBe('401 revoked')
    expect(await answerTo(verifier, { grant_revision: 1 })).toBe('401 revoked')
    expect(await answerTo(verifier, { grant_revision: 2 })).toBe('good')
    expect(await answerTo(verifier, { grant_revision: 3 })).toBe('good')
  })

  it.each([
    ['an end after a narrowing', [ended('grant-1', { revision: 1 }), ended('grant-1')]],
    ['a narrowing that is heard after the end', [ended('grant-1'), ended('grant-1', { revision: 1 })]],
    ['an earlier narrowing heard last', [ended('grant-1', { revision: 9 }), ended('grant-1', { revision: 1 })]],
  ])('%s takes nothing back', async (_what, entries) => {
    feed.entries = entries
    expect(await answerTo(follow(), { grant_revision: 5 })).toBe('401 revoked')
  })

  it('forgets nothing that the issuer has forgotten, until no token of it lives (R46)', async () => {
    feed.entries = [ended('grant-1')]
    const verifier = follow()
    expect(await answerTo(verifier)).toBe('401 revoked')
    await streaming()
    feed.entries = []
    feed.cut()
    await streaming()
    expect(await answerTo(verifier)).toBe('401 revoked')
  })

  it('keeps an entry no longer than it counts', async () => {
    let clock = Date.now()
    const verifier = follow({}, { now: () => clock })
    feed.entries = [ended('grant-1', { until: seconds() + 60 })]
    expect(await answerTo(verifier)).toBe('401 revoked')
    await streaming()
    clock += 120_000
    feed.send(':\n\n')
    await becomes(verifier, 'good')
  })

  it.each([{ grant_id: undefined }, { grant_revision: '1' }, { grant_revision: 1.5 }])(
    'a token that does not say which grant it is of is refused: %j',
    async (claims) => {
      expect(await answerTo(follow(), claims)).toBe('401 malformed_claims')
    },
  )

  it('sends its credential by HTTP Basic, form-encoded, and only there (RFC 6749 2.3.1)', async () => {
    const verifier = follow({ clientId: 'a:b', clientSecret: 'ü & more' })
    await verifier.follow()
    await streaming()
    const sent = new Set(feed.asked.map(({ authorization }) => authorization))
    expect([...sent]).toEqual([`Basic ${Buffer.from('a%3Ab:%C3%BC%20%26%20more').toString('base64')}`])
  })

  it('finds the feed in the issuer’s discovery document', async () => {
    const asked: string[] = []
    const verifier = follow(
      { url: undefined },
      {
        fetch: (input, init) => {
          asked.push(String(input))
          return fetch(String(input).startsWith(`${issuer.issuer}/feed`) ? feed.url : input, init)
        },
      },
    )
    issuer.state.discovery = { revocation_feed_endpoint: `${issuer.issuer}/feed` }
    feed.entries = [ended('grant-1')]
    expect(await answerTo(verifier)).toBe('401 revoked')
    expect(asked).toContain(`${issuer.issuer}/feed`)
  })

  it('takes its secret to no other host, whatever the discovery document says', async () => {
    issuer.state.discovery = { revocation_feed_endpoint: feed.url.replace('127.0.0.1', 'localhost') }
    const verifier = follow({ url: undefined, whenAway: 'refuse' })
    expect(await answerTo(verifier)).toBe('503 revocations_unavailable')
    expect(feed.asked).toEqual([])
    expect(problems).toEqual(['the feed is not at the issuer’s own host'])
  })

  it('follows no redirect with its secret', async () => {
    feed.answer = (request, response) => {
      if (request.url !== '/revocations') return false
      response.writeHead(302, { location: '/elsewhere' }).end()
      return true
    }
    const verifier = follow()
    expect(await answerTo(verifier)).toBe('good')
    expect(problems.join()).toContain('fetch failed')
    expect(problems.join()).not.toContain(secret)
  })
})

describe('a feed that is away', () => {
  const refusing = (request: unknown, response: { writeHead(status: number): { end(): void } }) => {
    response.writeHead(503).end()
    return request !== undefined
  }

  it('is no reason to refuse, where tokens may be honoured for their life', async () => {
    feed.answer = refusing
    const verifier = follow()
    expect(await answerTo(verifier)).toBe('good')
    expect(verifier.feedState()).toBe('starting')
    // Once, however often it is tried.
    await pause(1500)
    expect(problems).toHaveLength(2)
  })

  it('is 503 with Retry-After and never 401, where they may not (R43)', async () => {
    feed.answer = refusing
    const verifier = follow({ whenAway: 'refuse' })
    const refusal = await verifier.verify(await issuer.sign()).catch((error: AccessError) => error)
    expect(refusal).toMatchObject({
      ...{ status: 503, reason: 'revocations_unavailable', headers: { 'Retry-After': '5' }, wwwAuthenticate: '' },
    })
    feed.answer = undefined
    await becomes(verifier, 'good')
    expect(verifier.feedState()).toBe('following')
  })

  it('is away once it has said nothing for as long as was told, and what it said before still counts', async () => {
    feed.entries = [ended('grant-1')]
    const verifier = follow({ whenAway: 'refuse', awaySeconds: 1 })
    await verifier.follow()
    await streaming()
    expect(await answerTo(verifier, { grant_id: 'grant-2' })).toBe('good')
    await pause(1200)
    expect(verifier.feedState()).toBe('away')
    expect(await answerTo(verifier, { grant_id: 'grant-2' })).toBe('503 revocations_unavailable')
    expect(await answerTo(verifier)).toBe('401 revoked')
    feed.send(':\n\n')
    await becomes(verifier, 'good', { grant_id: 'grant-2' })
  })

  it('is followed again by itself after a cut, and what ended meanwhile is known', async () => {
    const verifier = follow()
    await verifier.follow()
    await streaming()
    feed.entries = [ended('grant-1')]
    feed.cut()
    await becomes(verifier, '401 revoked')
    await streaming()
  })

  it('whose stream does not come through is read as a list', async () => {
    feed.answer = (request, response) => {
      if (!request.headers.accept?.includes('event-stream')) return false
      // A proxy that keeps the stream until it is over.
      response.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders()
      return true
    }
    const verifier = follow({ whenAway: 'refuse' })
    expect(await answerTo(verifier)).toBe('good')
    await vi.waitFor(() => expect(problems).toContain('the feed was silent'), { timeout: 10_000 })
    feed.entries = [ended('grant-1')]
    const from = performance.now()
    await becomes(verifier, '401 revoked')
    expect(performance.now() - from).toBeLessThan(1_000)
  }, 20_000)

  it('does not hear from one that was closed, and the process is free to end', async () => {
    const verifier = follow()
    await verifier.follow()
    await streaming()
    verifier.close()
    await vi.waitFor(() => expect(feed.streams()).toBe(0))
    const asked = feed.asked.length
    await pause(1500)
    expect(feed.asked).toHaveLength(asked)
  })

  it('is not asked before a token comes', async () => {
    const verifier = follow()
    await pause(100)
    expect(verifier.feedState()).toBe('off')
    expect(feed.asked).toEqual([])
    await verifier.follow()
    expect(verifier.feedState()).toBe('following')
  })
})

describe('a feed that is wrong or hostile', () => {
  it.each([
    ['no JSON', 'event: revocation\ndata: {"grant_id"\n\n'],
    ['no object', 'event: revocation\ndata: null\n\n'],
    ['no grant', said({ revision: null, until: seconds() + 60 })],
    ['a grant that is no text', said({ grant_id: 7, revision: null, until: seconds() + 60 })],
    ['no end', said({ grant_id: 'grant-1', revision: null })],
    ['a revision of 0', said({ grant_id: 'grant-1', revision: 0, until: seconds() + 60 })],
    ['a revision that is no number', said({ grant_id: 'grant-1', revision: '1', until: seconds() + 60 })],
    ['another event', `event: other\ndata: ${JSON.stringify(ended('grant-1'))}\n\n`],
    ['no event by name', `data: ${JSON.stringify(ended('grant-1'))}\n\n`],
  ])('an entry that is none ends nothing, and the next one counts: %s', async (_what, text) => {
    const verifier = follow()
    await verifier.follow()
    await streaming()
    feed.send(text)
    feed.send(said(ended('grant-2')))
    await becomes(verifier, '401 revoked', { grant_id: 'grant-2' })
    expect(await answerTo(verifier)).toBe('good')
  })

  it('reads events whatever their line ends are, and however they are cut into pieces', async () => {
    const verifier = follow()
    await verifier.follow()
    await streaming()
    const text = said(ended('grant-1')).replaceAll('\n', '\r\n') + said(ended('grant-ü')).replaceAll('\n', '\r')
    for (const byte of Buffer.from(`${text}:`)) {
      feed.send(Buffer.of(byte))
      await pause(1)
    }
    await becomes(verifier, '401 revoked', { grant_id: 'grant-ü' })
    expect(await answerTo(verifier)).toBe('401 revoked')
  })

  it.each([
    ['a line without an end', 'data: '.padEnd(50_000, 'x')],
    ['an event without an end', 'data: x\n'.repeat(5_000)],
  ])('%s fills no memory: the stream is left', async (_what, text) => {
    const verifier = follow()
    await verifier.follow()
    await streaming()
    feed.send(text)
    await vi.waitFor(() => expect(problems.join()).toMatch(/too long/))
    expect(await answerTo(verifier)).toBe('good')
  })

  it.each([
    ['a page', 200, 'text/html', '<h1>Sign in</h1>'],
    ['wrong credentials', 401, 'application/json', '{"error":"invalid_client"}'],
    ['something that is no list', 200, 'application/json', '[1]'],
    ['JSON of nothing', 200, 'application/json', 'null'],
    ['a list of nothing', 200, 'application/json', '{"entries":{}}'],
  ])('%s in its place is told, and asked for ever less often', async (_what, status, type, body) => {
    feed.answer = (_request, response) => {
      response.writeHead(status, { 'content-type': type }).end(body)
      return true
    }
    const verifier = follow({ whenAway: 'refuse' })
    expect(await answerTo(verifier)).toBe('503 revocations_unavailable')
    await pause(1000)
    expect(problems.length).toBeGreaterThan(0)
    expect(problems.join()).not.toContain(secret)
    // Three seconds of waiting, and one more.
    expect(feed.asked.length).toBeLessThan(16)
  })

  it('a listener that throws stops nobody', async () => {
    feed.answer = (_request, response) => response.writeHead(500).end() !== undefined
    const verifier = follow({
      onProblem: () => {
        throw new Error('of the listener')
      },
    })
    expect(await answerTo(verifier)).toBe('good')
    feed.answer = undefined
    feed.entries = [ended('grant-1')]
    await becomes(verifier, '401 revoked')
  })

  it('tens of thousands of entries come whole, and soon', async () => {
    feed.entries = Array.from({ length: 20_000 }, (_, i) => ended(`grant-${i}`))
    const from = performance.now()
    const verifier = follow()
    expect(await answerTo(verifier, { grant_id: 'grant-19999' })).toBe('401 revoked')
    expect(performance.now() - from).toBeLessThan(3_000)
    await streaming()
    feed.send(said(ended('one more')) + ready)
    await becomes(verifier, '401 revoked', { grant_id: 'one more' })
  })
})
