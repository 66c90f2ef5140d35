/** `launch/encounter` for an app that a member opened by themselves: they choose the visit, or go on without one. */
import { createServer, type RequestListener, type Server } from 'node:http'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type App, demoApp, everythingOn, exchange, pkce, refresh, walkToConsent } from '../support/authorize.ts'
import { textOf } from '../support/member-pages.ts'
import { freePort, startServer, type TestServer } from '../support/server.ts'
import { type Page, Visitor } from '../support/visitor.ts'
import { claimsOf, headerOf, post, resourceServer } from '../support/wire.ts'

const scope = 'openid fhirUser launch/patient launch/encounter offline_access patient/*.rs'

let server: TestServer
let app: App

/** A FHIR server elsewhere, which says whatever a test wants. */
let fhir: Server
let fhirUrl: string
let answer: RequestListener
let asked: { url: string; authorization: string }[] = []

beforeAll(async () => {
  const port = await freePort()
  fhirUrl = `http://127.0.0.1:${port}/r4`
  fhir = createServer((request, response) => {
    asked.push({ url: request.url ?? '', authorization: request.headers.authorization ?? '' })
    answer(request, response)
  }).listen(port, '127.0.0.1')
  server = await startServer()
  app = demoApp(server.url)
})
afterAll(async () => {
  await server.close()
  fhir.closeAllConnections()
  fhir.close()
})
beforeEach(() => {
  asked = []
})

const choicesOf = ({ html }: Page): string[] =>
  [...html.matchAll(/name="encounter"[^>]* value="([^"]*)"/g)].map(([, value = '']) => value)

const start = (of: App = app, more: Parameters<typeof walkToConsent>[2] = {}, params: Record<string, string> = {}) => {
  const { verifier, challenge } = pkce()
  const walked = walkToConsent(of, challenge, { params: { scope, ...params }, ...more })
  return walked.then((found) => ({ ...found, verifier }))
}

const finish = async (visitor: Visitor, page: Page, verifier: string, of: App = app) => {
  const done = await visitor.submit(page, '/consent', everythingOn(page))
  const code = new URL(done.url).searchParams.get('code') ?? ''
  const tokens = await exchange(of, code, verifier)
  expect(tokens.status).toBe(200)
  return tokens.body
}

describe('a member whom an app asks for a visit', () => {
  it('chooses one, and every token says it [SMART scopes.context-parameters]', async () => {
    const { visitor, page, verifier } = await start()
    expect(textOf(page)).toContain('Which visit is this about?')
    const choices = choicesOf(page)
    expect(choices.length).toBeGreaterThan(3)
    const consent = await visitor.submit(page, '/encounter', { encounter: choices[1] ?? '' })
    const tokens = await finish(visitor, consent, verifier)
    expect(tokens.encounter).toBe(choices[1])
    expect(tokens.scope.split(' ')).toContain('launch/encounter')
    expect(claimsOf(tokens.access_token).encounter).toBe(choices[1])
    const seen = await post(`${app.issuer}/introspect`, { token: tokens.access_token }, resourceServer)
    expect(seen.body.encounter).toBe(choices[1])
    const again = await refresh(app, tokens.refresh_token)
    expect(again.body.encounter).toBe(choices[1])
    const read = await fetch(`${app.fhirBase}/Encounter/${tokens.encounter}`, {
      headers: { authorization: `Bearer ${tokens.access_token}` },
    })
    expect((await read.json()).subject.reference).toBe(`Patient/${tokens.patient}`)
  })

  it('sees the latest first, and none that is sensitive', async () => {
    const { page } = await start()
    const read = await fetch(`${app.fhirBase}/Encounter`, {
      headers: { authorization: 'Bearer none' },
    })
    expect(read.status).toBe(401)
    expect(textOf(page)).not.toMatch(/counseling/i)
  })

  it('goes on without one, and the app is told of none', async () => {
    const { visitor, page, verifier } = await start()
    const consent = await visitor.submit(page, '/encounter', { without: '1' })
    const tokens = await finish(visitor, consent, verifier)
    expect(tokens).not.toHaveProperty('encounter')
    expect(tokens.scope.split(' ')).not.toContain('launch/encounter')
    expect(claimsOf(tokens.access_token)).not.toHaveProperty('encounter')
  })

  it('is not asked by an app that does not ask', async () => {
    const { page } = await start(app, {}, { scope: 'launch/patient patient/*.rs' })
    expect(page.html).not.toContain('name="encounter"')
    expect(page.html).toContain('name="type"')
  })

  it('must choose: nothing, a foreign visit or a made-up one shows the page again', async () => {
    const { visitor, page } = await start()
    const davids = await start(app, { member: 'david', patient: 'David' })
    const [foreign = ''] = choicesOf(davids.page)
    expect(choicesOf(page)).not.toContain(foreign)
    for (const encounter of [null, foreign, 'made-up', 'a\0b', '../Patient/david']) {
      const again = await visitor.submit(page, '/encounter', { encounter })
      expect(again.status, String(encounter)).toBe(400)
      expect(textOf(again)).toContain('Choose a visit, or go on without one.')
    }
  })

  it('chooses again for another patient [SMART scopes.patient-in-context]', async () => {
    const { visitor, page, verifier } = await start(app, { member: 'david', patient: 'David' })
    const [first = ''] = choicesOf(page)
    const consent = await visitor.submit(page, '/encounter', { encounter: first })
    const picker = await visitor.open(`${consent.url}/patient`)
    const other = await visitor.submit(picker, '/patient', { patient: Visitor.choiceNamed(picker, 'Lucy') })
    expect(textOf(other)).toContain('Which visit of Lucy Okafor is this about?')
    expect(choicesOf(other)).not.toContain(first)
    const again = await visitor.submit(other, '/encounter', { without: '1' })
    const tokens = await finish(visitor, again, verifier)
    expect(tokens.patient).toBe('lucy')
    expect(tokens).not.toHaveProperty('encounter')
  })

  it('cannot skip the page by the address of the next one', async () => {
    const { visitor, page } = await start()
    const skipped = await visitor.open(`${page.url}/consent`, {
      method: 'POST',
      body: new URLSearchParams({ csrf: /name="csrf" value="([^"]+)"/.exec(page.html)?.[1] ?? '' }),
    })
    expect(skipped.url).not.toContain('code=')
  })

  it('can turn back', async () => {
    const { visitor, page } = await start()
    expect(new URL((await visitor.submit(page, '/deny')).url).searchParams.get('error')).toBe('access_denied')
  })
})

describe('an API that offers no visits', () => {
  it('does not list the scope, and drops it', async () => {
    const of = (path: string) => fetch(`${server.url}${path}/.well-known/smart-configuration`).then((r) => r.json())
    const [sandbox, production] = await Promise.all([of('/prairie/sandbox'), of('/prairie/production')])
    expect(sandbox.scopes_supported).toContain('launch/encounter')
    expect(sandbox.capabilities).toContain('context-standalone-encounter')
    expect(production.scopes_supported).not.toContain('launch/encounter')
    expect(production.capabilities).not.toContain('context-standalone-encounter')
  })
})

describe('a FHIR server that is asked for visits', () => {
  let other: TestServer
  beforeAll(async () => {
    other = await startServer({
      change: ({ plans }) => {
        const api = plans[0]?.environments[0]?.apis[0]
        if (api) Object.assign(api, { baseUrl: fhirUrl, sandbox: false, encounters: true })
      },
    })
  })
  afterAll(() => other.close())

  const bundle =
    (...resources: unknown[]): RequestListener =>
    (_request, response) => {
      response.setHeader('Content-Type', 'application/fhir+json')
      response.end(
        JSON.stringify({
          resourceType: 'Bundle',
          type: 'searchset',
          entry: resources.map((resource) => ({ resource })),
        }),
      )
    }
  const encounter = (id: unknown, more: Record<string, unknown> = {}) => ({
    resourceType: 'Encounter',
    id,
    status: 'finished',
    subject: { reference: 'Patient/maria' },
    ...more,
  })
  const arrive = () => start({ ...demoApp(other.url), fhirBase: fhirUrl })

  it('gets a token for a minute, of a backend service that is the issuer, for encounters alone', async () => {
    answer = bundle(encounter('one'))
    await arrive()
    const [{ url, authorization } = { url: '', authorization: '' }] = asked
    expect(url).toMatch(/^\/r4\/Encounter\?patient=maria&/)
    const token = authorization.replace('Bearer ', '')
    const issuer = `${other.url}/prairie/sandbox`
    const claims = claimsOf(token)
    expect(claims).toMatchObject({
      iss: issuer,
      sub: issuer,
      client_id: issuer,
      aud: fhirUrl,
      scope: 'system/Encounter.rs',
    })
    expect(claims.exp - claims.iat).toBe(60)
    for (const name of ['patient', 'fhirUser', 'grant_id']) expect(claims).not.toHaveProperty(name)
    expect(headerOf(token)).toMatchObject({ alg: 'ES256', typ: 'at+jwt', kid: expect.any(String) })
  })

  it('is believed about this very patient alone', async () => {
    answer = bundle(
      encounter('good', { period: { start: '2026-03-01' } }),
      encounter('absolute', { subject: { reference: `${fhirUrl}/Patient/maria` } }),
      encounter('newest', { period: { start: '2026-05-01T10:00:00Z' } }),
      encounter('other-patient', { subject: { reference: 'Patient/david' } }),
      encounter('other-server', { subject: { reference: 'https://evil.example.org/r4/Patient/maria' } }),
      encounter('no-subject', { subject: undefined }),
      encounter('cancelled', { status: 'cancelled' }),
      encounter('"><script>'),
      encounter(17),
      { ...encounter('patient'), resourceType: 'Patient' },
      null,
      'text',
      [encounter('in-a-list')],
    )
    const { page } = await arrive()
    expect(choicesOf(page)).toEqual(['newest', 'good', 'absolute'])
  })

  it('is shown as text, whatever it says', async () => {
    answer = bundle(
      encounter('one', {
        type: [{ text: '<img src=x onerror=alert(1)>' }],
        serviceProvider: { display: '<b>Clinic</b>' },
        period: { start: 'yesterday' },
      }),
    )
    const { page } = await arrive()
    expect(page.html).not.toContain('<img src=x')
    expect(page.html).toContain('&lt;b&gt;Clinic&lt;/b&gt;')
    expect(textOf(page)).toContain('Day not known')
  })

  it('may have none: the member goes on', async () => {
    answer = bundle()
    const { page, visitor } = await arrive()
    expect(textOf(page)).toContain('No visits found')
    expect((await visitor.submit(page, '/encounter', { without: '1' })).html).toContain('name="type"')
  })

  const faults: [string, RequestListener][] = [
    ['says 500', (_request, response) => response.writeHead(500).end()],
    ['says 401', (_request, response) => response.writeHead(401).end()],
    ['sends elsewhere', (_request, response) => response.writeHead(302, { location: 'http://127.0.0.1:1/' }).end()],
    ['says no JSON', (_request, response) => response.end('<html>')],
    ['says no Bundle', (_request, response) => response.end('{"resourceType":"Encounter","id":"one"}')],
    ['cuts the line', (request) => request.socket.destroy()],
    [
      'talks without end',
      (_request, response) => response.end(`{"resourceType":"Bundle","x":"${'x'.repeat(1_100_000)}"}`),
    ],
  ]
  it.each(faults)('%s: a fault of ours, and the page works afterwards (R43)', async (_name, listener) => {
    answer = listener
    const { page, visitor } = await arrive()
    expect(page.status).toBe(503)
    expect(page.headers.get('retry-after')).toBeTruthy()
    answer = bundle(encounter('one'))
    expect(choicesOf(await visitor.open(page.url))).toEqual(['one'])
  })
})
