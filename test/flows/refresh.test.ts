import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createLog } from '../../src/log.ts'
import { openDatabase } from '../../src/storage/database.ts'
import { sweep } from '../../src/storage/sweep.ts'
import { confidentialApp, demoApp, obtainTokens, refresh } from '../support/authorize.ts'
import { startServer, type TestServer } from '../support/server.ts'

let server: TestServer
let skew = 0
const later = (seconds: number) => {
  skew += seconds * 1000
}

beforeAll(async () => {
  server = await startServer({ now: () => Date.now() + skew })
})
afterAll(() => server.close())

const publicApp = () => demoApp(server.url)
const claimsOf = (jwt: string) => JSON.parse(Buffer.from(jwt.split('.')[1] ?? '', 'base64url').toString())

describe('refresh (R3, R8)', () => {
  it.each(['demo-public', 'demo-confidential'])(
    'gives %s a new pair with the same context [SMART app-launch.refresh-response, app-launch.refresh-same-scope, app-launch.offline-access] [capability permission-offline]',
    async (clientId) => {
      const app = clientId === 'demo-public' ? publicApp() : confidentialApp(server.url)
      const first = await obtainTokens(app, { member: 'david', patient: 'Lucy' })
      const { status, body, headers } = await refresh(app, first.refresh_token)
      expect(status).toBe(200)
      expect(body).toMatchObject({ token_type: 'Bearer', expires_in: 600, patient: 'lucy', scope: first.scope })
      expect(body.refresh_token).not.toBe(first.refresh_token)
      expect(claimsOf(body.access_token)).toMatchObject({ patient: 'lucy', patient_id: 'lucy', scope: first.scope })
      expect(headers.get('cache-control')).toBe('no-store')
      expect(headers.get('pragma')).toBe('no-cache')
    },
  )

  it('makes no ID token on refresh unless the operator wants it', async () => {
    const first = await obtainTokens(publicApp())
    expect(first.id_token).toBeTypeOf('string')
    expect((await refresh(publicApp(), first.refresh_token)).body.id_token).toBeUndefined()
  })

  it('narrows to what is asked, in the words asked, and widens back to what was granted [SMART app-launch.refresh-scope-subset, scopes.v1-returned]', async () => {
    const first = await obtainTokens(publicApp(), {
      params: { scope: 'launch/patient offline_access patient/Observation.rs patient/Coverage.read' },
    })
    const narrow = await refresh(publicApp(), first.refresh_token, { scope: 'patient/Observation.r' })
    expect(narrow.body.scope).toBe('patient/Observation.r')
    expect(claimsOf(narrow.body.access_token).scope).toBe('patient/Observation.r')
    const whole = await refresh(publicApp(), narrow.body.refresh_token)
    expect(whole.body.scope.split(' ').sort()).toEqual(first.scope.split(' ').sort())
  })

  it.each(['patient/Condition.rs', 'patient/*.rs', 'patient/Observation.cruds', 'user/Observation.rs', 'openid'])(
    'never widens to %s [SMART app-launch.refresh-scope-subset, app-launch.refresh-subset] [RFC 9700 8]',
    async (scope) => {
      const first = await obtainTokens(publicApp(), { params: { scope: 'offline_access patient/Observation.rs' } })
      const wider = await refresh(publicApp(), first.refresh_token, { scope })
      expect(wider.status).toBe(400)
      expect(wider.body).toMatchObject({ error: 'invalid_scope', scope })
      expect((await refresh(publicApp(), first.refresh_token)).status, 'the token is still good').toBe(200)
    },
  )

  it('is refused to another client, which ends nothing [SMART app-launch.refresh-client]', async () => {
    const first = await obtainTokens(publicApp())
    expect((await refresh(confidentialApp(server.url), first.refresh_token)).body.error).toBe('invalid_grant')
    expect((await refresh(publicApp(), first.refresh_token)).status).toBe(200)
  })
})

describe('a lost answer and a thief (house rule of rotation)', () => {
  it('honours a token three times within 30 s, then refuses without ending anything', async () => {
    const { refresh_token } = await obtainTokens(publicApp())
    const answers = []
    for (let i = 0; i < 4; i += 1) answers.push(await refresh(publicApp(), refresh_token))
    expect(answers.map((each) => each.status)).toEqual([200, 200, 200, 400])
    expect(answers[3]?.body).toMatchObject({ error: 'invalid_grant', error_subcode: 'already_used' })
    expect((await refresh(publicApp(), answers[2]?.body.refresh_token)).status).toBe(200)
  })

  it('kills the other siblings when one is used', async () => {
    const { refresh_token } = await obtainTokens(publicApp())
    const one = await refresh(publicApp(), refresh_token)
    const two = await refresh(publicApp(), refresh_token)
    const next = await refresh(publicApp(), one.body.refresh_token)
    expect(next.status).toBe(200)
    expect((await refresh(publicApp(), two.body.refresh_token)).body.error).toBe('invalid_grant')
    expect((await refresh(publicApp(), refresh_token)).body.error).toBe('invalid_grant')
    expect((await refresh(publicApp(), next.body.refresh_token)).status, 'the family lives').toBe(200)
  })

  it('ends the family when a spent token comes back after 30 s [RFC 9700 7] [ASVS 10.4.5]', async () => {
    const { refresh_token } = await obtainTokens(publicApp())
    const next = await refresh(publicApp(), refresh_token)
    later(31)
    expect((await refresh(publicApp(), refresh_token)).body).toMatchObject({
      error: 'invalid_grant',
      error_subcode: 'token_reused',
    })
    expect((await refresh(publicApp(), next.body.refresh_token)).body.error).toBe('invalid_grant')
  })

  it('ends the family also when the spent token asks for a scope that was never granted', async () => {
    const { refresh_token } = await obtainTokens(publicApp())
    const next = await refresh(publicApp(), refresh_token)
    later(31)
    const reused = await refresh(publicApp(), refresh_token, { scope: 'user/Patient.rs' })
    expect(reused.body).toMatchObject({ error: 'invalid_grant', error_subcode: 'token_reused' })
    expect((await refresh(publicApp(), next.body.refresh_token)).body.error).toBe('invalid_grant')
  })

  it('ends the family when a killed sibling comes back later: two parties held one', async () => {
    const { refresh_token } = await obtainTokens(publicApp())
    const mine = await refresh(publicApp(), refresh_token)
    const stolen = await refresh(publicApp(), refresh_token)
    later(31)
    const thief = await refresh(publicApp(), stolen.body.refresh_token)
    expect(thief.status).toBe(200)
    expect((await refresh(publicApp(), mine.body.refresh_token)).body.error_subcode).toBe('token_reused')
    expect((await refresh(publicApp(), thief.body.refresh_token)).status).toBe(400)
  })

  it('knows a spent token whose tombstone is gone by its MAC (R46)', async () => {
    const tokens = [(await obtainTokens(publicApp())).refresh_token]
    for (let i = 0; i < 3; i += 1) {
      later(31)
      tokens.push((await refresh(publicApp(), tokens.at(-1))).body.refresh_token)
    }
    expect((await refresh(publicApp(), tokens[0])).body).toMatchObject({
      error: 'invalid_grant',
      error_subcode: 'token_reused',
    })
    expect((await refresh(publicApp(), tokens[3])).status).toBe(400)
  })

  it('of 100 presentations at once honours one to three, in one family, and one of their answers survives', async () => {
    const { refresh_token } = await obtainTokens(publicApp())
    const answers = await Promise.all(Array.from({ length: 100 }, () => refresh(publicApp(), refresh_token)))
    const honoured = answers.filter((each) => each.status === 200)
    expect(honoured.length).toBeGreaterThanOrEqual(1)
    expect(honoured.length).toBeLessThanOrEqual(3)
    expect(new Set(honoured.map((each) => claimsOf(each.body.access_token).grant_id)).size).toBe(1)
    // A hundred who wait for one row are more than a small machine serves in time: who is told so may come again (R43).
    for (const { status, body } of answers.filter((each) => each.status !== 200))
      expect(body.error).toBe(status === 503 ? 'temporarily_unavailable' : 'invalid_grant')
    const statuses = []
    for (const each of honoured) statuses.push((await refresh(publicApp(), each.body.refresh_token)).status)
    expect(statuses.filter((status) => status === 200)).toHaveLength(1)
  })
})

describe('a refresh token that nobody used for too long (R8, R9)', () => {
  const day = 86_400

  it('is refused as expired, before its row is swept away and after [ASVS 10.4.8]', async () => {
    const { refresh_token } = await obtainTokens(publicApp())
    later(181 * day)
    expect((await refresh(publicApp(), refresh_token)).body).toMatchObject({
      error: 'invalid_grant',
      error_subcode: 'expired',
    })
    const database = await openDatabase({ url: server.settings.database.url, log: createLog({ level: 'silent' }) })
    await sweep({ database, now: () => Date.now() + skew })
    await database.close()
    expect((await refresh(publicApp(), refresh_token)).body.error_subcode).toBe('expired')
    expect((await refresh(confidentialApp(server.url), refresh_token)).body).not.toHaveProperty('error_subcode')
  })
})
