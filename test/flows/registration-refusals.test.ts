/** Who may not register, and what nobody may: each refused before anything is kept (R20, RFC 7591 sections 3.2.2 and 5). */
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { redirectUri } from '../support/authorize.ts'
import { runAt } from '../support/command.ts'
import { initialToken, registration, send, steps } from '../support/registration.ts'
import { startServer, type TestServer } from '../support/server.ts'

let server: TestServer
let clock = 0
beforeAll(async () => {
  server = await startServer({
    now: () => Date.now() + clock,
    change: ({ plans }) => {
      const summit = plans.find(({ id }) => id === 'summit')?.environments[0]
      if (summit) summit.registration = registration()
    },
  })
})
afterAll(() => server.close())

const address = () => `${server.url}/prairie/sandbox/register`
const count = (table: string): number => {
  const db = new DatabaseSync(join(server.folder, 'latchkey.db'), { readOnly: true, timeout: 5000 })
  try {
    return Number(db.prepare(`select count(*) as n from ${table}`).get()?.n)
  } finally {
    db.close()
  }
}
/** Runs what must be refused, and sees that nothing was kept of it. */
const keptNothing = async <T>(work: () => Promise<T>): Promise<T> => {
  const tables = ['credentials', 'apps', 'organizations', 'credential_secrets']
  const before = tables.map(count)
  const answer = await work()
  expect(tables.map(count)).toEqual(before)
  return answer
}

describe('who may not register [ASVS 10.4.7]', () => {
  it('without a token: 401 that names no error, as who presented nothing is told (RFC 6750 section 3.1)', async () => {
    const { status, headers, body } = await keptNothing(() => send(address(), { body: steps }))
    expect(status).toBe(401)
    expect(headers.get('www-authenticate')).toBe('Bearer')
    expect(body.error).toBe('invalid_token')
  })

  it.each(['nonsense', 'lkr_', `lkr_${'a'.repeat(43)}`, "' or 1=1 --"])('with the token %j: 401', async (token) => {
    const { status, headers, body } = await keptNothing(() => send(address(), { body: steps, token }))
    expect(status).toBe(401)
    expect(headers.get('www-authenticate')).toContain('error="invalid_token"')
    expect(body.error).toBe('invalid_token')
  })

  it('a stranger is told nothing of what is wrong with the metadata', async () => {
    const { status, body } = await keptNothing(() => send(address(), { body: {}, token: 'nonsense' }))
    expect(status).toBe(401)
    expect(body).not.toHaveProperty('faults')
  })

  it('with a token of another issuer, of an app, or of a registration', async () => {
    const token = await initialToken(server)
    expect((await keptNothing(() => send(`${server.url}/v5/summit/register`, { body: steps, token }))).status).toBe(401)
    const { body } = await send(address(), { body: steps, token })
    for (const other of [body.registration_access_token, 'demo-confidential-secret'])
      expect((await keptNothing(() => send(address(), { body: steps, token: other }))).status).toBe(401)
  })

  it('with a token that is used up, expired or revoked', async () => {
    const once = await initialToken(server)
    expect((await send(address(), { body: steps, token: once })).status).toBe(201)
    expect((await keptNothing(() => send(address(), { body: steps, token: once }))).status).toBe(401)

    const short = await initialToken(server, { days: '1' })
    clock = 86_400_000 + 1000
    expect((await keptNothing(() => send(address(), { body: steps, token: short }))).status).toBe(401)
    clock = 0

    const revoked = await initialToken(server, { label: 'Revoked Ltd' })
    const { out } = await runAt(server, 'registration-token', 'list', 'prairie/sandbox')
    const id = /^ {2}(\S+) {2}Revoked Ltd/m.exec(out)?.[1] ?? ''
    expect((await runAt(server, 'registration-token', 'revoke', id)).status).toBe(0)
    expect((await keptNothing(() => send(address(), { body: steps, token: revoked }))).status).toBe(401)
  })

  it('of twenty requests at once with a token for three, three', async () => {
    const token = await initialToken(server, { uses: '3' })
    const answers = await Promise.all(Array.from({ length: 20 }, () => send(address(), { body: steps, token })))
    const statuses = answers.map(({ status }) => status)
    expect(statuses.filter((status) => status === 201)).toHaveLength(3)
    expect(statuses.filter((status) => status === 401)).toHaveLength(17)
    expect(new Set(answers.flatMap(({ body }) => body.client_id ?? [])).size).toBe(3)
  })

  it('what was refused uses nothing up', async () => {
    const token = await initialToken(server)
    expect((await keptNothing(() => send(address(), { body: {}, token }))).status).toBe(400)
    expect((await send(address(), { body: steps, token })).status).toBe(201)
  })

  it('a software statement opens nothing where only tokens do', async () => {
    const body = { ...steps, software_statement: 'eyJhbGciOiJub25lIn0.eyJpc3MiOiJhIn0.' }
    expect((await keptNothing(() => send(address(), { body }))).status).toBe(401)
  })
})

describe('what nobody may', () => {
  const refused = async (body: unknown, type?: string) => {
    const token = await initialToken(server)
    return keptNothing(() => send(address(), { body, token, ...(type ? { type } : {}) }))
  }

  it('every fault is told at once, with its field and what is accepted', async () => {
    const { status, body, headers } = await refused({
      client_name: 'Steps\u202eand',
      redirect_uris: ['http://steps.example.com/cb', 'https://*.example.com'],
      token_endpoint_auth_method: 'client_secret_jwt',
      grant_types: ['implicit'],
      response_types: ['token'],
      client_uri: 'javascript:alert(1)',
      jwks_uri: 'http://169.254.169.254/latest',
    })
    expect(status).toBe(400)
    expect(headers.get('cache-control')).toBe('no-store')
    expect(body.error).toBe('invalid_client_metadata')
    expect(body.error_description).toMatch(/^[\x20-\x21\x23-\x5b\x5d-\x7e]+$/)
    expect(body.faults.map(({ path }: { path: string }) => path).sort()).toEqual([
      'client_name',
      'client_uri',
      'grant_types',
      'jwks_uri',
      'jwks_uri',
      'redirect_uris.0',
      'redirect_uris.1',
      'response_types',
      'token_endpoint_auth_method',
    ])
  })

  it('a redirect address that is none: invalid_redirect_uri [SMART app-launch.register-redirect-uris]', async () => {
    const { status, body } = await refused({ ...steps, redirect_uris: ['https://steps.example.com/#here'] })
    expect([status, body.error]).toEqual([400, 'invalid_redirect_uri'])
  })

  it.each<[string, unknown, string | undefined, number]>([
    ['a form', 'client_name=Steps', 'application/x-www-form-urlencoded', 415],
    ['text', JSON.stringify(steps), 'text/plain', 415],
    ['what is no JSON', '{"client_name":', undefined, 400],
    ['a list', [steps], undefined, 400],
    ['text in JSON', '"steps"', undefined, 400],
    ['null', 'null', undefined, 400],
    ['more than 16 KiB', { ...steps, software_version: 'x'.repeat(16_384) }, undefined, 413],
  ])('%s is refused in OAuth’s form', async (_, body, type, status) => {
    const answer = await refused(body, type)
    expect(answer.status).toBe(status)
    expect(answer.headers.get('content-type')).toContain('application/json')
    expect(answer.body.error).toMatch(/^invalid_(request|client_metadata)$/)
  })

  it.each(['GET', 'PUT', 'DELETE', 'OPTIONS'])(
    '%s is not for the endpoint, and no script of a page is let in',
    async (method) => {
      const response = await fetch(address(), { method, headers: { origin: 'https://steps.example.com' } })
      expect(response.status).toBe(405)
      expect(response.headers.get('allow')).toBe('POST')
      expect(response.headers.has('access-control-allow-origin')).toBe(false)
    },
  )
})

describe('somebody else’s registration [ASVS 10.4.7]', () => {
  const registered = async () => (await send(address(), { body: steps, token: await initialToken(server) })).body

  it.each(['GET', 'PUT', 'DELETE'])(
    '%s with another client’s token, with none, with an initial access token: 401',
    async (method) => {
      const [one, two] = [await registered(), await registered()]
      const body = method === 'PUT' ? { ...steps, client_id: one.client_id } : undefined
      for (const token of [
        two.registration_access_token,
        undefined,
        await initialToken(server),
        'demo-confidential-secret',
      ]) {
        const answer = await send(one.registration_client_uri, { method, token, body })
        expect(answer.status).toBe(401)
        expect(answer.headers.get('www-authenticate')).toMatch(/^Bearer/)
      }
      const still = await send(one.registration_client_uri, { method: 'GET', token: one.registration_access_token })
      expect(still.status).toBe(200)
    },
  )

  it('a client that is not there, or did not register itself, is told in the same way', async () => {
    const { registration_access_token: token } = await registered()
    const answers = await Promise.all(
      ['demo-public', 'nobody', '%00', '..%2fdemo-public', ''].map((id) =>
        send(`${address()}/${id}`, { method: 'GET', token }),
      ),
    )
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([401]))
    expect(new Set(answers.map(({ body }) => JSON.stringify(body))).size).toBe(1)
  })

  it('the token of one issuer’s client opens nothing at another issuer', async () => {
    const { registration_access_token: token, client_id } = await registered()
    const answer = await send(`${server.url}/v5/summit/register/${client_id}`, { method: 'GET', token })
    expect(answer.status).toBe(401)
  })

  it.each<[string, object]>([
    ['no client_id', { client_id: undefined }],
    ['another client_id', { client_id: 'demo-public' }],
    ['what the server says', { registration_client_uri: 'https://evil.example.com' }],
    ['a token of its own choice', { registration_access_token: 'lkm_mine' }],
    ['a secret of its own choice', { client_secret: 'mine' }],
    ['another kind of app', { token_endpoint_auth_method: 'client_secret_basic' }],
    ['a redirect address that is none', { redirect_uris: ['http://evil.example.com'] }],
    ['a statement that it did not begin with', { software_statement: 'a.b.c' }],
  ])('PUT with %s is refused, and nothing changes [SMART asymmetric.jwks-protected]', async (_, over) => {
    const { registration_client_uri: url, registration_access_token: token, client_id } = await registered()
    const answer = await send(url, { method: 'PUT', token, body: { ...steps, client_id, ...over } })
    expect(answer.status).toBe(400)
    expect(answer.body.error).toMatch(/^invalid_(client_metadata|redirect_uri)$/)
    const still = (await send(url, { method: 'GET', token })).body
    expect(still).toMatchObject({ client_id, client_name: 'Steps and Stairs', redirect_uris: [redirectUri] })
  })

  it('a client that an operator suspended manages nothing', async () => {
    const { registration_client_uri: url, registration_access_token: token, client_id } = await registered()
    const db = new DatabaseSync(join(server.folder, 'latchkey.db'), { timeout: 5000 })
    db.prepare("update credentials set status = 'suspended' where client_id = ?").run(client_id)
    db.close()
    for (const method of ['GET', 'DELETE']) expect((await send(url, { method, token })).status).toBe(401)
    const body = { ...steps, client_id }
    expect((await send(url, { method: 'PUT', token, body })).status).toBe(401)
  })
})
