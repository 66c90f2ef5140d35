/** Who may read the revocation feed, and that no reader, slow, greedy or hostile, costs more than it may (R11). */
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import Koa from 'koa'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { loadSettings } from '../../src/config/load.ts'
import { createClients } from '../../src/oidc/clients.ts'
import { createRevocationFeed, type RevocationFeed } from '../../src/oidc/revocation-feed.ts'
import { createRevocations } from '../../src/oidc/revocations.ts'
import { chunksOf } from '../../src/resource-server/documents.ts'
import { hashSecret, newId } from '../../src/secrets.ts'
import type { CredentialRow } from '../../src/storage/tables.ts'
import { createWorld, ISSUER, OTHER_ISSUER, type World } from '../members/world.ts'
import { quiet } from '../support/stores.ts'
import { basic } from '../support/wire.ts'

const secret = 'the secret of the server'
const good = basic('server', secret)
const sse = { accept: 'text/event-stream' }
const found = loadSettings({ file: 'config/development.yaml', env: {} }).settings.plans[0]?.environments[0]
if (found?.id !== ISSUER) throw new Error('the demonstration has moved')
const environment = found

let world: World
let feed: RevocationFeed
let http: Server
let sockets: Set<Socket>
let url: string
let memberId: string
let patientId: string

beforeEach(async () => {
  world = await createWorld()
  memberId = (await world.member('maria')).id
  patientId = await world.patient('maria')
  await world.owns(memberId, patientId)
  await credential('server')
  const { database, now } = world
  feed = createRevocationFeed({
    ...{ environment, log: quiet, now, heartbeatMillis: 100, stallMillis: 3_000 },
    clients: createClients({ database, environment, now }),
    // Nobody comes with a token here; test/flows/introspection-bearer.test.ts has those who do.
    introspection: { liveServiceToken: async () => undefined },
    revocations: createRevocations({ database, issuer: ISSUER, log: quiet, now }),
  })
  const app = new Koa()
  app.silent = true
  app.use(async (ctx) => {
    await feed.handle(ctx).catch((error: { status: number }) => {
      ctx.status = error.status
      ctx.body = ''
    })
  })
  http = createServer(app.callback()).listen(0, '127.0.0.1')
  sockets = new Set()
  http.on('connection', (socket) => sockets.add(socket.once('close', () => sockets.delete(socket))))
  await once(http, 'listening')
  url = `http://127.0.0.1:${(http.address() as AddressInfo).port}/revocations`
})
afterEach(async () => {
  http.close()
  http.closeAllConnections()
  await pause(300)
  await world.close()
})

async function credential(clientId: string, more: Partial<CredentialRow> = {}, secrets: string[] = [secret]) {
  const at = { created_at: world.now() }
  const row = {
    ...{ id: newId(world.now()), issuer: ISSUER, client_id: clientId, app_id: world.app(ISSUER).id, ...at },
    ...{ kind: 'resource-server' as const, status: 'active' as const, redirect_uris: '[]', scopes: null },
    ...{ apis: '["fhir"]', updated_at: world.now(), ...more },
  }
  await world.db.insertInto('credentials').values(row).execute()
  for (const each of secrets)
    await world.db
      .insertInto('credential_secrets')
      .values({ id: newId(), credential_id: row.id, hash: hashSecret(each), expires_at: null, ...at })
      .execute()
  return row.id
}
const change = (clientId: string, values: Partial<CredentialRow>) =>
  world.db.updateTable('credentials').set(values).where('client_id', '=', clientId).execute()

const share = async () => (await world.share(memberId, patientId)).grantId
const end = async () => {
  const grantId = await share()
  await world.connections.endGrant(null, {
    ...{ issuer: ISSUER, grantId, reason: 'revoked_by_member', actor: 'system', requestId: null },
  })
  return grantId
}
/** Rows as a mass ending leaves them. */
const endMany = async (count: number) => {
  const template = await world.grantRow(await end())
  for (let from = 0; from < count; from += 500)
    await world.db
      .insertInto('grants')
      .values(Array.from({ length: Math.min(500, count - from) }, () => ({ ...template, id: newId() })))
      .execute()
}

const ask = async (headers: Record<string, string> = good, init: RequestInit = {}) => {
  const response = await fetch(url, { ...init, headers, redirect: 'manual' })
  const text = await response.text()
  // biome-ignore lint/suspicious/noExplicitAny: a test reads what the wire says
  return { status: response.status, headers: response.headers, text, body: (text && JSON.parse(text)) as any }
}

/** A reader of the stream, and what it has heard. */
const follow = async (headers: Record<string, string> = good) => {
  const leave = new AbortController()
  const response = await fetch(url, { headers: { ...headers, ...sse }, signal: leave.signal })
  let text = ''
  let over = false
  const reading = (async () => {
    for await (const chunk of chunksOf(response)) text += Buffer.from(chunk).toString()
  })()
  reading
    .catch(() => {})
    .finally(() => {
      over = true
    })
  const entries = () =>
    [...text.matchAll(/^event: revocation\ndata: (.*)\n\n/gm)].map(([, data]) => JSON.parse(data ?? '').grant_id)
  return { response, entries, text: () => text, over: () => over, leave: () => leave.abort() }
}
const waitFor = (check: () => void, timeout = 3_000) => vi.waitFor(check, { timeout, interval: 5 })
const isReady = (reader: { text(): string }) => waitFor(() => expect(reader.text()).toContain('event: ready\n'))

describe('the list', () => {
  it('has what ended of the APIs that the resource server was approved for, and is kept by nobody', async () => {
    const grantId = await end()
    const { status, headers, body } = await ask()
    expect(status).toBe(200)
    expect(headers.get('cache-control')).toBe('no-store')
    expect(headers.get('content-type')).toContain('application/json')
    expect(body).toEqual({
      as_of: Math.floor(world.now() / 1000),
      entries: [
        {
          ...{ grant_id: grantId, revision: null, reason: 'revoked_by_member' },
          ...{ at: expect.any(Number), until: expect.any(Number) },
        },
      ],
    })
  })

  it('has nothing of other APIs, in either form', async () => {
    await end()
    await credential('elsewhere', { apis: '["claims"]' })
    expect((await ask(basic('elsewhere', secret))).body.entries).toEqual([])
    const reader = await follow(basic('elsewhere', secret))
    await isReady(reader)
    expect(reader.entries()).toEqual([])
    await end()
    await pause(600)
    expect(reader.entries()).toEqual([])
  })

  it('says nothing of any person', async () => {
    await end()
    const { text } = await ask()
    for (const private_ of ['maria', memberId, patientId, 'Binder', 'binder', 'Coverage'])
      expect(text).not.toContain(private_)
  })
})

describe('who may read it', () => {
  const refused = async (headers: Record<string, string>, status = 401, error = 'invalid_client') => {
    for (const form of [{}, sse]) {
      const answer = await ask({ ...headers, ...form })
      expect(answer.status).toBe(status)
      expect(answer.body).toEqual({ error, error_description: expect.any(String) })
      expect(answer.text).not.toContain(secret)
      expect(answer.headers.get('access-control-allow-origin')).toBeNull()
      expect(answer.headers.get('cache-control')).toBe('no-store')
      if (status === 401) expect(answer.headers.get('www-authenticate')).toMatch(/^Basic realm="http/)
    }
  }
  const encoded = (text: string | Buffer) => ({ authorization: `Basic ${Buffer.from(text).toString('base64')}` })

  it.each<[string, Record<string, string>]>([
    ['nobody', {}],
    ['an unknown client', basic('nobody', secret)],
    ['a wrong secret', basic('server', 'wrong')],
    ['no secret', basic('server', '')],
    ['the hash of the secret', basic('server', hashSecret(secret))],
    ['a secret with something before it', basic('server', `x${secret}`)],
    ['a name in another case', basic('SERVER', secret)],
    ['no colon', encoded('server')],
    ['a percent sign that encodes nothing', encoded('server:%zz')],
    ['a NUL', encoded('ser\0ver:x')],
    ['bytes that are no text', encoded(Buffer.of(0xff, 0xfe, 0x3a, 0xff))],
    ['a bearer token', { authorization: `Bearer ${secret}` }],
    ['two schemes', { authorization: `Basic x, ${good.authorization}` }],
  ])('%s is refused', async (_who, headers) => {
    await end()
    await refused(headers)
  })

  it('whoever sent none is told how, and whoever sent a wrong one that it is wrong, and not in which half', async () => {
    const told = async (headers: Record<string, string>) => (await ask(headers)).body.error_description
    expect(await told({})).toContain('Authorization: Basic')
    const wrong = await told(basic('server', 'wrong'))
    expect(wrong).toBe('the client_id or the client_secret is wrong')
    expect(await told(basic('nobody', secret))).toBe(wrong)
  })

  it('a credential in the address or a form is none', async () => {
    const at = url
    url = `${at}?client_id=server&client_secret=${encodeURIComponent(secret)}`
    await refused({})
    url = at
  })

  it('an app is refused however right its secret is: what others shared is none of its business', async () => {
    await credential('app', { kind: 'confidential' })
    await refused(basic('app', secret), 403, 'unauthorized_client')
    await refused(basic('app', 'wrong'))
    await credential('public', { kind: 'public' })
    await refused(basic('public', secret))
  })

  it('a resource server of another issuer is a stranger', async () => {
    await credential('theirs', { issuer: OTHER_ISSUER, app_id: world.app(OTHER_ISSUER).id })
    await refused(basic('theirs', secret))
  })

  it('one that is suspended is refused, and each of several secrets is good until its end', async () => {
    const id = await credential('rotating', {}, ['old', 'new'])
    expect((await ask(basic('rotating', 'old'))).status).toBe(200)
    expect((await ask(basic('rotating', 'new'))).status).toBe(200)
    await world.db
      .updateTable('credential_secrets')
      .set({ expires_at: world.now() })
      .where('credential_id', '=', id)
      .where('hash', '=', hashSecret('old'))
      .execute()
    await refused(basic('rotating', 'old'))
    await change('rotating', { status: 'suspended' })
    await refused(basic('rotating', 'new'))
  })

  it('a secret with any characters arrives, form-encoded as RFC 6749 §2.3.1 has it', async () => {
    await credential('odd', {}, ['a:b%c+d é'])
    expect((await ask(basic('odd', encodeURIComponent('a:b%c+d é')))).status).toBe(200)
    expect((await ask(basic('odd', 'a%3Ab%25c%2Bd+%C3%A9'))).status).toBe(200)
  })

  it.each(['POST', 'PUT', 'DELETE', 'HEAD', 'OPTIONS'])(
    '%s is 405, and no browser’s script is let in',
    async (method) => {
      const preflight = { origin: 'https://evil.example', 'access-control-request-method': 'GET' }
      const { status, headers } = await fetch(url, { method, headers: { ...good, ...preflight } })
      expect(status).toBe(405)
      expect(headers.get('allow')).toBe('GET')
      headers.forEach((_value, name) => {
        expect(name).not.toContain('access-control')
      })
    },
  )

  it('a store that is away is a fault of ours, for whoever asks (R43)', async () => {
    world.store.fail(true)
    for (const headers of [good, { ...good, ...sse }, basic('server', 'wrong')])
      expect((await fetch(url, { headers })).status).toBe(503)
    world.store.fail(false)
    expect((await ask()).status).toBe(200)
    await isReady(await follow())
  })
})

describe('the stream', () => {
  it('begins with all that counts, says when that was it, and goes on within half a second', async () => {
    const before = await end()
    const reader = await follow()
    expect(reader.response.headers.get('content-type')).toBe('text/event-stream; charset=utf-8')
    expect(reader.response.headers.get('cache-control')).toBe('no-store')
    expect(reader.response.headers.get('x-accel-buffering')).toBe('no')
    await isReady(reader)
    expect(reader.text()).toMatch(/^retry: 1000\n\nevent: revocation\n.*\n\nevent: ready\ndata: \{"as_of":\d+\}\n\n/s)
    const from = performance.now()
    const after = await end()
    await waitFor(() => expect(reader.entries()).toEqual([before, after]))
    expect(performance.now() - from).toBeLessThan(500)
  })

  it('says that it is there, for as long as it knows that nothing has ended', async () => {
    const reader = await follow()
    await isReady(reader)
    const beats = () =>
      reader
        .text()
        .split('\n')
        .filter((line) => line === ':').length
    await waitFor(() => expect(beats()).toBeGreaterThan(2))
  })

  it('whoever comes back has missed nothing', async () => {
    const first = await follow()
    await isReady(first)
    first.leave()
    const grantId = await end()
    const second = await follow()
    await isReady(second)
    expect(second.entries()).toEqual([grantId])
  })

  it.each<[string, () => Promise<unknown>]>([
    ['a client that is suspended', () => change('server', { status: 'suspended' })],
    ['a client that becomes an app', () => change('server', { kind: 'confidential' })],
    ['a client of other APIs', () => change('server', { apis: '["claims"]' })],
    ['a secret that was taken back', () => world.db.deleteFrom('credential_secrets').execute()],
  ])('ends soon for %s', async (_whom, happen) => {
    const reader = await follow()
    await isReady(reader)
    await happen()
    await waitFor(() => expect(reader.over()).toBe(true))
  })

  it('outlives a store that is away for a moment', async () => {
    const reader = await follow()
    await isReady(reader)
    world.store.fail(true)
    await pause(700)
    world.store.fail(false)
    const grantId = await end()
    await waitFor(() => expect(reader.entries()).toEqual([grantId]))
    expect(reader.over()).toBe(false)
  })

  it('is there twenty times for one client, and no more; others are not disturbed', async () => {
    await credential('other')
    const readers = await Promise.all(Array.from({ length: 20 }, () => follow()))
    await Promise.all(readers.map(isReady))
    const one = await ask({ ...good, ...sse })
    expect(one).toMatchObject({ status: 429, body: { error: 'temporarily_unavailable' } })
    expect(one.headers.get('retry-after')).toBe('30')
    expect((await ask()).status).toBe(200)
    await isReady(await follow(basic('other', secret)))
    readers[0]?.leave()
    await pause(100)
    await isReady(await follow())
  })

  it('twenty places are not taken by twenty-one who come at once', async () => {
    const answers = await Promise.all(Array.from({ length: 30 }, () => follow()))
    const statuses = answers.map(({ response }) => response.status)
    expect(statuses.filter((status) => status === 200)).toHaveLength(20)
    expect(statuses.filter((status) => status === 429)).toHaveLength(10)
  })

  it('ends with the server, at once', async () => {
    const reader = await follow()
    await isReady(reader)
    const from = performance.now()
    feed.close()
    http.close()
    await once(http, 'close')
    expect(performance.now() - from).toBeLessThan(500)
    await waitFor(() => expect(reader.over()).toBe(true))
  })

  it('ten thousand that ended at once reach every reader whole, and in good time', async () => {
    await endMany(10_000)
    const readers = await Promise.all([follow(), follow(), follow()])
    await Promise.all(readers.map((reader) => waitFor(() => expect(reader.text()).toContain('event: ready'), 10_000)))
    for (const reader of readers) expect(new Set(reader.entries()).size).toBe(10_001)
    const from = performance.now()
    const last = await end()
    await waitFor(() => expect(readers.every((reader) => reader.entries().at(-1) === last)).toBe(true), 5_000)
    expect(performance.now() - from).toBeLessThan(3_000)
  })

  it('waits for a reader that takes nothing, keeps nothing for it, and serves the others', async () => {
    // More than the kernel takes for a connection.
    await endMany(100_000)
    const { port } = new URL(url)
    const deaf = connect(Number(port), '127.0.0.1')
    deaf.pause()
    deaf.write(
      `GET /revocations HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\nAuthorization: ${good.authorization}\r\n\r\n`,
    )
    await waitFor(() => expect([...sockets][0]?.writableLength).toBeGreaterThan(0), 10_000)
    await pause(500)
    // One batch at most is on its way, beside what the kernel holds.
    const [socket] = sockets
    expect(socket?.writableLength).toBeLessThan(200_000)
    const reader = await follow()
    await waitFor(() => expect(reader.text()).toContain('event: ready'), 20_000)
    // And it waits for so long only.
    await waitFor(() => expect(socket?.destroyed).toBe(true), 5_000)
    expect(reader.over()).toBe(false)
    deaf.destroy()
  })
})
