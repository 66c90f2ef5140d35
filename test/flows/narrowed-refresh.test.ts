/** What apps are handed after their grant was narrowed or extended: no refresh brings back what was taken away (R8, R29). */
import { setTimeout } from 'node:timers/promises'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { createAudit } from '../../src/audit/audit.ts'
import { createLog } from '../../src/log.ts'
import { type Connections, createConnections } from '../../src/members/connections.ts'
import { createNarrowing } from '../../src/members/narrowing.ts'
import { createMail } from '../../src/ops/mail.ts'
import { newId } from '../../src/secrets.ts'
import { type Database, openDatabase } from '../../src/storage/database.ts'
import { createJobs } from '../../src/storage/jobs.ts'
import { type App, confidentialApp, demoApp, obtainTokens, refresh } from '../support/authorize.ts'
import { patient } from '../support/backend.ts'
import { startServer, type TestServer } from '../support/server.ts'

const DAY = 86_400_000
const issuer = 'prairie/sandbox'
let server: TestServer
let database: Database
let connections: Connections
let skew = 0
const now = () => Date.now() + skew

/** A member's own pages, on another node of the same store. */
beforeAll(async () => {
  server = await startServer({ now })
  const log = createLog({ level: 'silent' })
  database = await openDatabase({ url: server.settings.database.url, log, pool: patient })
  const audit = createAudit({ node: 'pages', now, log })
  const jobs = createJobs({ database, log, now, holder: 'pages' })
  const mail = createMail({ database, jobs, from: 'plan@example.org', smtpUrl: null, now })
  connections = createConnections({ database, audit, mail, tokenMillis: 180 * DAY, now, newId })
})
afterAll(async () => {
  await database.close()
  await server.close()
})

const claimsOf = (jwt: string) => JSON.parse(Buffer.from(jwt.split('.')[1] ?? '', 'base64url').toString())
const scope = 'openid fhirUser launch/patient offline_access patient/Coverage.rs patient/Observation.rs'

interface Held {
  app: App
  grantId: string
  refreshToken: string
  change: { issuer: string; plan: string; memberId: string; connectionId: string; shown: null; requestId: null }
}

const connect = async (
  app: App = demoApp(server.url),
  more: Parameters<typeof obtainTokens>[1] = {},
): Promise<Held> => {
  const tokens = await obtainTokens(app, { params: { scope }, ...more })
  const grantId = claimsOf(tokens.access_token).grant_id
  const row = await database.db.selectFrom('grants').selectAll().where('id', '=', grantId).executeTakeFirstOrThrow()
  const change = {
    ...{ issuer, plan: 'prairie', memberId: row.member_id, connectionId: row.connection_id ?? '' },
    ...{ shown: null, requestId: null },
  }
  return { app, grantId, refreshToken: tokens.refresh_token, change }
}
const narrow = (held: Held, to: string) => connections.narrow({ ...held.change, scope: to, sensitivities: [] })
const sorted = (text: string) => text.split(' ').sort()

describe('after a member narrowed a connection', () => {
  let held: Held
  beforeEach(async () => {
    held = await connect()
    await narrow(held, 'patient/Coverage.rs')
  })
  const left = 'openid fhirUser launch/patient offline_access patient/Coverage.rs'

  it('a refresh gives what is left, in the answer and in the token, and so does the next', async () => {
    let token = held.refreshToken
    for (let i = 0; i < 2; i += 1) {
      const { status, body } = await refresh(held.app, token)
      expect(status).toBe(200)
      expect(sorted(body.scope)).toEqual(sorted(left))
      const claims = claimsOf(body.access_token)
      expect(sorted(claims.scope)).toEqual(sorted(left))
      expect(claims).toMatchObject({ grant_id: held.grantId, grant_revision: 1 })
      token = body.refresh_token
    }
  })

  it('an app that names all that it was once granted goes on with what is left', async () => {
    const { status, body } = await refresh(held.app, held.refreshToken, { scope })
    expect(status).toBe(200)
    expect(body.scope.split(' ')).not.toContain('patient/Observation.rs')
    expect(claimsOf(body.access_token).scope).toBe(body.scope)
    expect(body.scope).toContain('patient/Coverage.rs')
  })

  it.each([
    ['', 'patient/Observation.rs'],
    ['in other words', 'patient/Observation.r'],
    ['by category', 'patient/Observation.rs?category=laboratory'],
    ['of another context', 'user/Coverage.rs'],
  ])('what was cut is refused %s, and the token is still good', async (_, asked) => {
    const cut = await refresh(held.app, held.refreshToken, { scope: asked })
    expect(cut.status).toBe(400)
    expect(cut.body).toMatchObject({ error: 'invalid_scope' })
    expect((await refresh(held.app, held.refreshToken)).status).toBe(200)
  })

  it('a wildcard brings back no more than what is left', async () => {
    const { body } = await refresh(held.app, held.refreshToken, { scope: 'patient/*.rs' })
    expect(body.scope).toBe('patient/Coverage.rs')
    expect(claimsOf(body.access_token).scope).toBe('patient/Coverage.rs')
  })
})

it('a type that was cut to a category is refreshed as that category, whatever is asked', async () => {
  const held = await connect(confidentialApp(server.url))
  const category = 'http://terminology.hl7.org/CodeSystem/observation-category|laboratory'
  const labs = `patient/Observation.rs?category=${category}`
  await narrow(held, labs)
  const first = await refresh(held.app, held.refreshToken, { scope: 'patient/Observation.rs' })
  expect(first.body.scope).toBe(labs)
  const second = await refresh(held.app, first.body.refresh_token)
  expect(second.body.scope.split(' ')).toContain(labs)
  expect(second.body.scope.split(' ')).not.toContain('patient/Observation.rs')
})

it('narrowed while it is refreshed: whatever is handed out says what is left, or is of the earlier revision', async () => {
  for (let round = 0; round < 8; round += 1) {
    const held = await connect()
    const answers = await Promise.all([
      refresh(held.app, held.refreshToken),
      narrow(held, 'patient/Coverage.rs'),
      refresh(held.app, held.refreshToken),
    ])
    for (const answer of [answers[0], answers[2]]) {
      expect(answer.status).toBe(200)
      const claims = claimsOf(answer.body.access_token)
      expect(claims.scope.includes('Observation')).toBe((claims.grant_revision ?? 0) < 1)
    }
    const { body } = await refresh(held.app, answers[2].body.refresh_token)
    if (body.access_token) expect(claimsOf(body.access_token)).toMatchObject({ grant_revision: 1 })
    expect(body.scope ?? '').not.toContain('Observation')
  }
})

it('given an earlier end while it is refreshed: no token outlives it', async () => {
  const held = await connect()
  const endsAt = now() + 60_000
  const audit = createAudit({ node: 'elsewhere', now, log: createLog({ level: 'silent' }) })
  const narrowGrant = createNarrowing({ audit, endings: connections, now })
  const overtaken = await database.transaction(async (trx) => {
    const allowed = { scope, sensitivities: [], endsAt }
    const why = { reason: 'replaced' as const, actor: 'system', requestId: null }
    await narrowGrant(trx, { issuer, grantId: held.grantId, allowed, ...why })
    const answer = refresh(held.app, held.refreshToken)
    // It has seen the grant by then, and waits for what is done here.
    await setTimeout(1_000)
    return { answer }
  })
  const { status, body } = await overtaken.answer
  expect(status).toBe(200)
  expect(claimsOf(body.access_token)).toMatchObject({ grant_revision: 1 })
  expect(claimsOf(body.access_token).exp * 1000).toBeLessThanOrEqual(endsAt)
})

it('a narrower consent cuts another device’s tokens; that device goes on with what is left (R29)', async () => {
  const phone = await connect()
  const tablet = await connect()
  const before = await refresh(phone.app, phone.refreshToken)
  expect(sorted(before.body.scope), 'an equal consent changes nothing').toEqual(sorted(scope))
  await connect(demoApp(server.url), { consent: { type: ['Coverage'] } })
  for (const { app, refreshToken } of [tablet, { ...phone, refreshToken: before.body.refresh_token }]) {
    const { status, body } = await refresh(app, refreshToken)
    expect(status).toBe(200)
    expect(body.scope).not.toContain('Observation')
    expect(claimsOf(body.access_token).grant_revision).toBe(1)
  }
})

describe('after a member extended a connection (R8)', () => {
  const expiresAt = async ({ app, refreshToken }: Held) => {
    const { status, body } = await refresh(app, refreshToken)
    expect(status).toBe(200)
    return { token: body.refresh_token, end: body.grant_expires_at * 1000 }
  }

  it('the app’s token goes on past the first end, and it is told the new one', async () => {
    const held = await connect()
    // As if the member had chosen three months, and the app had come back shortly before their end.
    const firstEnd = now() + 90 * DAY
    await connections.narrow({ ...held.change, scope, sensitivities: [], endsAt: firstEnd })
    skew += 80 * DAY
    const { token, end } = await expiresAt(held)
    expect(end).toBe(Math.floor(firstEnd / 1000) * 1000)
    const endsAt = now() + 365 * DAY
    await connections.extend({ ...held.change, endsAt })
    skew += 20 * DAY
    expect((await expiresAt({ ...held, refreshToken: token })).end).toBe(Math.floor(endsAt / 1000) * 1000)
  })

  it('a token that lay unused for too long has ended all the same', async () => {
    const held = await connect()
    await connections.extend({ ...held.change, endsAt: now() + 700 * DAY })
    skew += 181 * DAY
    expect((await refresh(held.app, held.refreshToken)).body).toMatchObject({
      error: 'invalid_grant',
      error_subcode: 'expired',
    })
  })
})
