/** Revocation that resource servers feel (R11): what a member ends, an app gives back or a thief is caught with is refused within a second. */
import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { AccessError, createVerifier, type Verifier } from '../../src/resource-server/index.ts'
import { type App, demoApp, exchange, obtainTokens, pkce, refresh, walk } from '../support/authorize.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { Visitor } from '../support/visitor.ts'
import { claimsOf, post, resourceServer } from '../support/wire.ts'

/** R11 names it. */
const SECOND = 1_000

let server: TestServer
let skew = 0
let app: App
/** One that follows the feed, which it found by discovery, and one that knows the keys alone. */
let following: Verifier
let byKeys: Verifier
const problems: string[] = []

beforeAll(async () => {
  server = await startServer({ now: () => Date.now() + skew })
  app = demoApp(server.url)
  const of = { issuer: app.issuer, audience: app.fhirBase }
  byKeys = createVerifier(of)
  following = createVerifier({
    ...of,
    revocations: {
      ...{ clientId: 'demo-resource-server', clientSecret: 'demo-resource-server-secret', whenAway: 'refuse' },
      onProblem: (problem) => problems.push(problem),
    },
  })
  await following.follow()
})
afterAll(async () => {
  following.close()
  byKeys.close()
  await server.close()
})

const judged = async (verifier: Verifier, token: string): Promise<string> => {
  try {
    await verifier.verify(token)
    return 'good'
  } catch (error) {
    return error instanceof AccessError ? `${error.status} ${error.reason}` : Promise.reject(error)
  }
}
const bySandbox = async (token: string, path = '/Patient/maria') => {
  const response = await fetch(app.fhirBase + path, { headers: { authorization: `Bearer ${token}` } })
  // biome-ignore lint/suspicious/noExplicitAny: a test reads what the wire says
  const body: any = await response.json()
  return response.status === 200 ? 'good' : `${response.status} ${body.issue?.[0]?.details?.coding?.[0]?.code}`
}
/** How long after `happen` a token was refused, in milliseconds. */
const feltAfter = async (happen: () => Promise<unknown>, ask: () => Promise<string>): Promise<number> => {
  await happen()
  const from = performance.now()
  while ((await ask()) !== '401 revoked') {
    if (performance.now() - from > 10 * SECOND) throw new Error(`still ${await ask()}`)
    await pause(5)
  }
  return performance.now() - from
}
const listed = async (grantId: string) => {
  const response = await fetch(`${app.issuer}/revocations`, { headers: resourceServer })
  // biome-ignore lint/suspicious/noExplicitAny: a test reads what the wire says
  const { entries }: any = await response.json()
  return entries.find((entry: { grant_id: string }) => entry.grant_id === grantId)
}
/** On the member's own page, with the newest of their connections. */
const press = async (visitor: Visitor, what: string, fields = {}) => {
  const page = await visitor.open(`${app.issuer}/connections`)
  const [, href] = /href="([^"]*\/connections\/[\w-]+)"/.exec(page.html) ?? []
  const detail = await visitor.open(new URL(href ?? '', app.issuer).href)
  if (what === '/end') return visitor.submit(detail, what)
  return visitor.submit(await visitor.open(`${detail.url}${what}`), what, fields)
}
const introspected = async (token: string) =>
  (await post(`${app.issuer}/introspect`, { token }, resourceServer)).body.active
const tokens = async (options: Parameters<typeof obtainTokens>[1] = {}) => {
  const visitor = new Visitor()
  const answer = await obtainTokens(app, { ...options, visitor })
  expect(await judged(following, answer.access_token)).toBe('good')
  return { ...answer, visitor, grantId: claimsOf(answer.access_token).grant_id as string }
}

describe('a connection that its member ends on their page', () => {
  it('is over for the resource server within a second, at introspection and refresh at once (R9, R11) [ASVS 7.4.1]', async () => {
    const { access_token, refresh_token, visitor, grantId } = await tokens()
    const felt = await feltAfter(
      async () => {
        await press(visitor, '/end')
        expect(await introspected(access_token)).toBe(false)
        expect((await refresh(app, refresh_token)).body).toMatchObject({
          ...{ error: 'invalid_grant', error_subcode: 'revoked_by_member' },
        })
      },
      () => judged(following, access_token),
    )
    expect(felt).toBeLessThan(SECOND)
    expect(await listed(grantId)).toMatchObject({ revision: null, reason: 'revoked_by_member' })
    // The figure for one that knows the keys alone is the token's life.
    expect(await judged(byKeys, access_token)).toBe('good')
  })

  it('is over at the sandbox too, which follows its issuer by the same library (R11)', async () => {
    const { access_token, visitor } = await tokens()
    expect(await bySandbox(access_token)).toBe('good')
    const felt = await feltAfter(
      () => press(visitor, '/end'),
      () => bySandbox(access_token),
    )
    expect(felt).toBeLessThan(SECOND)
  })

  it('touches no other connection', async () => {
    const [mine, theirs] = [await tokens(), await tokens({ member: 'david', patient: 'David' })]
    await feltAfter(
      () => press(mine.visitor, '/end'),
      () => judged(following, mine.access_token),
    )
    expect(await judged(following, theirs.access_token)).toBe('good')
    expect(await listed(theirs.grantId)).toBeUndefined()
  })
})

describe('a connection that its member narrows', () => {
  it('ends the tokens that say too much, and none that the app gets from then on (R11, R22)', async () => {
    const { access_token, refresh_token, visitor, grantId } = await tokens()
    const felt = await feltAfter(
      () => press(visitor, '/narrow', { type: ['Patient', 'Coverage'], category: null }),
      () => judged(following, access_token),
    )
    expect(felt).toBeLessThan(SECOND)
    expect(await listed(grantId)).toMatchObject({ revision: 1, reason: 'narrowed' })
    const next = await refresh(app, refresh_token)
    expect(next.status).toBe(200)
    expect(claimsOf(next.body.access_token).grant_revision).toBe(1)
    expect(await judged(following, next.body.access_token)).toBe('good')
    expect(await bySandbox(next.body.access_token)).toBe('good')
    expect(await bySandbox(next.body.access_token, '/Immunization')).toBe('403 scope_missing')
  })
})

describe('whatever else ends a grant', () => {
  it.each<[string, (of: { refresh_token: string; visitor: Visitor }) => Promise<unknown>, string]>([
    [
      'the app gives its refresh token back',
      ({ refresh_token }) => post(`${app.issuer}/revoke`, { token: refresh_token, client_id: app.clientId }),
      'revoked_by_app',
    ],
    [
      'a refresh token is presented that was spent long ago',
      async ({ refresh_token }) => {
        await refresh(app, refresh_token)
        // When the grace for a lost answer is over.
        skew += 31_000
        const { body } = await refresh(app, refresh_token)
        expect(body).toMatchObject({ error: 'invalid_grant', error_subcode: 'token_reused' })
      },
      'token_reused',
    ],
  ])('%s: felt within a second', async (_how, happen, reason) => {
    const made = await tokens()
    const felt = await feltAfter(
      () => happen(made),
      () => judged(following, made.access_token),
    )
    expect(felt).toBeLessThan(SECOND)
    expect(await listed(made.grantId)).toMatchObject({ revision: null, reason })
  })

  it('a code that is redeemed twice: felt within a second', async () => {
    const { verifier, challenge } = pkce()
    const { callback } = await walk(app, challenge)
    const code = callback.searchParams.get('code') ?? ''
    const { body } = await exchange(app, code, verifier)
    expect(await judged(following, body.access_token)).toBe('good')
    const felt = await feltAfter(
      () => exchange(app, code, verifier),
      () => judged(following, body.access_token),
    )
    expect(felt).toBeLessThan(SECOND)
    expect(await listed(claimsOf(body.access_token).grant_id)).toMatchObject({ reason: 'code_reused' })
  })
})

describe('where it is (R1)', () => {
  it.each(['prairie/sandbox', 'prairie/production', 'v5/summit'])('%s says so in all its documents', async (path) => {
    const issuer = `${server.url}/${path}`
    const names = ['openid-configuration', 'oauth-authorization-server', 'smart-configuration']
    for (const name of names) {
      const document = (await (await fetch(`${issuer}/.well-known/${name}`)).json()) as Record<string, string>
      expect(document.revocation_feed_endpoint, name).toBe(`${issuer}/revocations`)
      const answer = await fetch(document.revocation_feed_endpoint ?? '')
      expect(answer.status).toBe(401)
      expect(answer.headers.get('www-authenticate')).toBe(`Basic realm="${issuer}", charset="UTF-8"`)
    }
  })

  it('a resource server of one issuer learns nothing at another', async () => {
    for (const path of ['prairie/production', 'v5/summit'])
      expect((await fetch(`${server.url}/${path}/revocations`, { headers: resourceServer })).status).toBe(401)
  })

  it('the log tells of who was refused, and never a secret', async () => {
    const wrong = { authorization: `Basic ${Buffer.from('demo-resource-server:not-the-secret').toString('base64')}` }
    await fetch(`${app.issuer}/revocations`, { headers: wrong })
    const log = server.log()
    expect(log).toMatch(/"route":"revocations","error":"invalid_client"/)
    for (const secret of ['not-the-secret', 'demo-resource-server-secret', wrong.authorization.slice(6)])
      expect(log).not.toContain(secret)
  })
})

describe('a server that goes', () => {
  it('is not held up by those who follow it, and they are told nothing wrong', async () => {
    const other = await startServer()
    const there = demoApp(other.url)
    const verifier = createVerifier({
      ...{ issuer: there.issuer, audience: there.fhirBase },
      revocations: { clientId: 'demo-resource-server', clientSecret: 'demo-resource-server-secret' },
    })
    const { access_token } = await obtainTokens(there)
    await verifier.verify(access_token)
    const sandbox = await fetch(`${there.fhirBase}/Patient/maria`, {
      headers: { authorization: `Bearer ${access_token}` },
    })
    await sandbox.text()
    await pause(500)
    const from = performance.now()
    await other.server.close(5_000)
    expect(performance.now() - from).toBeLessThan(2 * SECOND)
    expect(await judged(verifier, access_token)).toBe('good')
    verifier.close()
    await other.close()
  })

  it('nothing went wrong on the way of those who followed', () => {
    expect(problems).toEqual([])
    expect(following.feedState()).toBe('following')
  })
})
