/** `POST {issuer}/launches`: who may make a launch, and of what (SMART "Scopes and Launch Context"). */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createLog } from '../../src/log.ts'
import { type Database, openDatabase } from '../../src/storage/database.ts'
import { demoApp, obtainTokens, redirectUri } from '../support/authorize.ts'
import { demonstrationApp } from '../support/demonstration-app.ts'
import { ehr, postLaunch, serviceToken } from '../support/launches.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { post } from '../support/wire.ts'

let server: TestServer
let database: Database
let token: string
let skew = 0

beforeAll(async () => {
  server = await startServer({
    now: () => Date.now() + skew,
    change: (settings) => {
      const sandbox = settings.plans[0]?.environments[0]
      if (sandbox) sandbox.endpoints.launches.aliases.push('/ehr/launches')
      sandbox?.demonstration?.apps.push(
        demonstrationApp({
          clientId: 'one',
          redirectUris: [redirectUri],
          launchUrls: ['https://app.example/launch?x=1'],
        }),
        demonstrationApp({
          clientId: 'two',
          redirectUris: [redirectUri],
          launchUrls: ['https://app.example/a', 'https://app.example/b'],
        }),
        demonstrationApp({ clientId: 'none', redirectUris: [redirectUri] }),
        demonstrationApp({ clientId: 'unapproved', redirectUris: [redirectUri], scopes: ['patient/*.rs'] }),
      )
    },
  })
  database = await openDatabase({ ...server.settings.database, log: createLog({ level: 'error' }) })
  token = await serviceToken(server.url)
})
afterAll(async () => {
  await database.close()
  await server.close()
})

const sound = { client_id: 'none', user: 'maria', patient: 'maria' }
const send = (body: unknown, by: string | null = token) => postLaunch(server.url, by, body)
const address = () => `${server.url}/prairie/sandbox/launches`

describe('a launch that is made', () => {
  it('is an opaque value of 256 random bits that lives for five minutes and is kept by nobody', async () => {
    const { status, headers, body } = await send(sound)
    expect(status).toBe(200)
    expect(headers.get('cache-control')).toBe('no-store')
    expect(body).toEqual({ launch: expect.stringMatching(/^[\w-]{43}$/), expires_in: 300 })
    const rows = await database.db.selectFrom('short_lived').selectAll().where('kind', '=', 'Launch').execute()
    expect(rows.length).toBeGreaterThan(0)
    expect(JSON.stringify(rows)).not.toContain(body.launch)
    expect((await send(sound)).body.launch).not.toBe(body.launch)
    expect(server.log()).not.toContain(body.launch)
  })

  it('opens an app at its one launch address, with iss and launch [SMART app-launch.ehr-launch-url]', async () => {
    const { body } = await send({ ...sound, client_id: 'one' })
    const url = new URL(body.launch_url)
    expect(url.origin + url.pathname).toBe('https://app.example/launch')
    expect(Object.fromEntries(url.searchParams)).toEqual({
      x: '1',
      iss: `${server.url}/prairie/sandbox/fhir`,
      launch: body.launch,
    })
  })

  it('names no address where the app has several', async () => {
    expect((await send({ ...sound, client_id: 'two' })).body.launch_url).toBeUndefined()
  })

  it('is in the audit trail, by whom, for whom and of whom, without its value', async () => {
    const { body } = await send({ ...sound, intent: 'private-matter' })
    const entries = await database.db.selectFrom('audit').selectAll().where('type', '=', 'launch.made').execute()
    const last = entries.at(-1)
    expect(last).toMatchObject({ actor: 'client:demo-ehr', outcome: 'success', issuer: 'prairie/sandbox' })
    for (const id of [last?.member_id, last?.patient_id, last?.app_id]) expect(id).toEqual(expect.any(String))
    expect(JSON.stringify(entries)).not.toMatch(new RegExp(`${body.launch}|private-matter`))
  })

  it('can be made at an alias too (R41)', async () => {
    const answer = await fetch(`${server.url}/ehr/launches`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify(sound),
    })
    expect(answer.status).toBe(200)
  })

  it.each<[string, Record<string, unknown>]>([
    ['a reference', { reference: 'ImagingStudy/17' }],
    ['a reference with its type', { reference: 'ImagingStudy/17', type: 'ImagingStudy', role: 'launch' }],
    ['a canonical', { canonical: 'http://example.org/Questionnaire/1|2', type: 'Questionnaire' }],
    ['an identifier', { identifier: { system: 'urn:x', value: '17' }, type: 'Task' }],
    ['a role of our own', { reference: 'Task/1', role: 'https://example.org/roles/follow-up' }],
    ['another patient in another role', { reference: 'Patient/lucy', role: 'https://example.org/roles/sibling' }],
    ['another encounter in another role', { reference: 'Encounter/1', role: 'urn:example:previous' }],
  ])('fhirContext may have %s [SMART scopes.fhir-context]', async (_what, item) => {
    expect((await send({ ...sound, fhirContext: [item] })).status).toBe(200)
  })
})

describe('what a launch may not say: each fault with its path', () => {
  const faultsOf = async (body: unknown) => {
    const answer = await send(body)
    expect(answer.status).toBe(400)
    expect(answer.headers.get('content-type')).toContain('application/json')
    expect(answer.body.error).toBe('invalid_request')
    expect(answer.body.launch).toBeUndefined()
    const paths = answer.body.faults.map(({ path }: { path: string }) => path)
    for (const path of paths) expect(answer.body.error_description).toContain(path)
    return paths
  }

  it.each<[string, unknown, string[]]>([
    ['nothing', {}, ['client_id', 'user']],
    ['no object', [], ['body']],
    ['null', null, ['body']],
    ['what is not known here', { ...sound, scope: 'patient/*.rs', __proto__x: 1 }, ['scope', '__proto__x']],
    ['an unknown app', { ...sound, client_id: 'nobody' }, ['client_id']],
    ['an app with NUL', { ...sound, client_id: 'no\u0000ne' }, ['client_id']],
    ['a resource server', { ...sound, client_id: 'demo-resource-server' }, ['client_id']],
    ['a service', { ...sound, client_id: 'demo-ehr' }, ['client_id']],
    ['an app that may not ask for launch', { ...sound, client_id: 'unapproved' }, ['client_id']],
    ['an unknown user', { ...sound, user: 'nobody' }, ['user']],
    ['a user with NUL', { ...sound, user: 'mar\u0000ia' }, ['user']],
    ['half a surrogate', { ...sound, user: 'maria\ud800' }, ['user']],
    ['a user that is no text', { ...sound, user: { $ne: null } }, ['user']],
    ['an unknown patient', { ...sound, patient: 'nobody' }, ['patient']],
    ['a patient by reference', { ...sound, patient: 'Patient/maria' }, ['patient']],
    ['a patient that the member may not share', { ...sound, patient: 'lucy' }, ['patient']],
    ['a practitioner without a patient', { client_id: 'none', user: 'dr.testwell' }, ['patient']],
    ['an encounter without a patient', { client_id: 'none', user: 'maria', encounter: 'e1' }, ['patient']],
    ['an encounter that is no id', { ...sound, encounter: 'Encounter/1' }, ['encounter']],
    ['an encounter that is too long', { ...sound, encounter: 'e'.repeat(65) }, ['encounter']],
    ['a banner that is text', { ...sound, need_patient_banner: 'true' }, ['need_patient_banner']],
    ['an empty intent', { ...sound, intent: '' }, ['intent']],
    ['a long tenant', { ...sound, tenant: 't'.repeat(201) }, ['tenant']],
    ['a style that is a script', { ...sound, smart_style_url: 'javascript:alert(1)' }, ['smart_style_url']],
    ['a style without TLS', { ...sound, smart_style_url: 'http://p.example/s.json' }, ['smart_style_url']],
    ['fhirContext that is no list', { ...sound, fhirContext: {} }, ['fhirContext']],
    ['an empty fhirContext', { ...sound, fhirContext: [] }, ['fhirContext']],
    ['an item that names nothing', { ...sound, fhirContext: [{ type: 'Task' }] }, ['fhirContext.0']],
    [
      'an absolute reference',
      { ...sound, fhirContext: [{ reference: 'https://x.example/Task/1' }] },
      ['fhirContext.0.reference'],
    ],
    ['a reference to no type', { ...sound, fhirContext: [{ reference: 'Nothing/1' }] }, ['fhirContext.0.reference']],
    [
      'a type that differs',
      { ...sound, fhirContext: [{ reference: 'Task/1', type: 'Patient' }] },
      ['fhirContext.0.type'],
    ],
    [
      'an identifier of who knows what',
      { ...sound, fhirContext: [{ identifier: { value: '1' } }] },
      ['fhirContext.0.type'],
    ],
  ])('%s', async (_what, body, paths) => expect(await faultsOf(body)).toEqual(paths))

  it.each([['Patient/maria'], ['Encounter/1']])(
    'fhirContext with %s as what was launched for [SMART scopes.fhir-context-no-patient]',
    async (reference) => {
      for (const role of [{}, { role: 'launch' }])
        expect(await faultsOf({ ...sound, fhirContext: [{ reference, ...role }] })).toEqual(['fhirContext.0.role'])
      const named = { identifier: { value: '1' }, type: reference.split('/')[0] }
      expect(await faultsOf({ ...sound, fhirContext: [named] })).toEqual(['fhirContext.0.role'])
    },
  )

  it.each(['', 'follow-up', '/follow-up', 'Launch', ' '])(
    'the role "%s" [SMART scopes.fhir-context-role]',
    async (role) => {
      expect(new Set(await faultsOf({ ...sound, fhirContext: [{ reference: 'Task/1', role }] }))).toEqual(
        new Set(['fhirContext.0.role']),
      )
    },
  )

  it('all of them at once', async () => {
    const body = {
      client_id: 'nobody',
      user: 'nobody',
      patient: '??',
      fhirContext: [{ reference: 'Task/1', role: '' }],
    }
    expect(new Set(await faultsOf(body))).toEqual(new Set(['client_id', 'user', 'patient', 'fhirContext.0.role']))
  })

  it('a locked user', async () => {
    const lock = (status: 'active' | 'locked') =>
      database.db.updateTable('members').set({ status }).where('username', '=', 'maria').execute()
    await lock('locked')
    try {
      expect(await faultsOf(sound)).toEqual(['user'])
    } finally {
      await lock('active')
    }
  })

  it('is in the trail without what was said', async () => {
    await faultsOf({ ...sound, user: 'some-guess' })
    const entries = await database.db.selectFrom('audit').selectAll().where('type', '=', 'launch.refused').execute()
    expect(entries.at(-1)).toMatchObject({ actor: 'client:demo-ehr', outcome: 'refused', member_id: null })
    expect(JSON.stringify(entries)).not.toContain('some-guess')
  })
})

describe('who may make one', () => {
  it.each([
    ['no token', null, 401, null],
    ['a token that is none', 'not-a-token', 401, 'invalid_token'],
    ['a token of nobody', 'eyJhbGciOiJub25lIn0.e30.', 401, 'invalid_token'],
  ])('not %s', async (_what, by, status, error) => {
    const answer = await send(sound, by)
    expect(answer.status).toBe(status)
    expect(answer.headers.get('www-authenticate')).toMatch(/^Bearer /)
    if (error) expect(answer.headers.get('www-authenticate')).toContain(`error="${error}"`)
    expect(answer.body.launch).toBeUndefined()
  })

  it('not an app with a member’s token', async () => {
    const { access_token } = await obtainTokens(demoApp(server.url))
    expect((await send(sound, access_token)).status).toBe(401)
  })

  it('not a service without the scope', async () => {
    const keyed = demonstrationServiceToken()
    const answer = await send(sound, await keyed)
    expect(answer.status).toBe(403)
    expect(answer.body.error).toBe('insufficient_scope')
    expect(answer.headers.get('www-authenticate')).toContain('scope="launches"')
  })

  it('not with a token that was revoked, or is older than five minutes', async () => {
    const own = await serviceToken(server.url)
    expect((await send(sound, own)).status).toBe(200)
    skew = 6 * 60_000
    try {
      expect((await send(sound, own)).status).toBe(401)
    } finally {
      skew = 0
    }
    await post(`${server.url}/prairie/sandbox/revoke`, { token: own }, ehr)
    expect((await send(sound, own)).status).toBe(401)
  })

  it('not a service that is suspended', async () => {
    const own = await serviceToken(server.url)
    const set = (status: 'active' | 'suspended') =>
      database.db.updateTable('credentials').set({ status }).where('client_id', '=', 'demo-ehr').execute()
    await set('suspended')
    try {
      expect((await send(sound, own)).status).toBe(401)
    } finally {
      await set('active')
    }
  })

  it('not a page of another origin: there is no CORS here', async () => {
    const headers = {
      origin: 'https://evil.example',
      authorization: `Bearer ${token}`,
      'content-type': 'application/json',
    }
    const asked = await fetch(address(), {
      method: 'OPTIONS',
      headers: { ...headers, 'access-control-request-method': 'POST' },
    })
    expect(asked.status).toBe(405)
    const made = await fetch(address(), { method: 'POST', headers, body: JSON.stringify(sound) })
    for (const answer of [asked, made])
      for (const name of ['origin', 'methods', 'headers', 'credentials'])
        expect(answer.headers.has(`access-control-allow-${name}`), name).toBe(false)
  })
})

describe('the request itself', () => {
  const raw = (init: RequestInit) =>
    fetch(address(), {
      method: 'POST',
      ...init,
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', ...init.headers },
    })

  it.each(['GET', 'PUT', 'DELETE'])('%s is not answered', async (method) => {
    const answer = await raw({ method })
    expect(answer.status).toBe(405)
    expect(answer.headers.get('allow')).toBe('POST')
  })

  it('another type than JSON is 415, no JSON 400, more than 16 KB 413; each as JSON', async () => {
    const answers = await Promise.all([
      raw({ body: 'user=maria', headers: { 'content-type': 'application/x-www-form-urlencoded' } }),
      raw({ body: '{"user":' }),
      raw({ body: JSON.stringify({ ...sound, intent: 'x'.repeat(20_000) }) }),
    ])
    expect(answers.map(({ status }) => status)).toEqual([415, 400, 413])
    const bodies = await Promise.all(answers.map((answer) => answer.json()))
    expect(bodies.map(({ error_description }) => error_description)).toEqual([
      'send the launch as application/json',
      'the body is no JSON',
      'the body must have at most 16384 bytes',
    ])
    for (const answer of answers) expect(answer.headers.get('content-type')).toContain('application/json')
  })

  it('is answered in JSON whatever Accept says', async () => {
    const answer = await raw({ body: '{}', headers: { accept: 'text/html' } })
    expect(answer.headers.get('content-type')).toContain('application/json')
  })
})

/** A token of a service that was approved for something else. */
const demonstrationServiceToken = async (): Promise<string> => {
  await database.db
    .updateTable('credentials')
    .set({ scopes: JSON.stringify(['launches', 'introspect']) })
    .where('client_id', '=', 'demo-ehr')
    .execute()
  return serviceToken(server.url, 'introspect')
}
