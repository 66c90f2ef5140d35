/** The server tests itself on a schedule, over its public address, and keeps what it found (R40). */
import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Environment, SelfTest as Wish } from '../../src/config/settings.ts'
import type { Report } from '../../src/doctor/doctor.ts'
import { addSelfTests, listSelfTests } from '../../src/ops/self-tests.ts'
import { openDatabase } from '../../src/storage/database.ts'
import type { JobHandler } from '../../src/storage/jobs.ts'
import { password } from '../support/authorize.ts'
import { runAt } from '../support/command.ts'
import { startServer, type TestServer } from '../support/server.ts'

const wish: Wish = {
  everyHours: 24,
  clientId: 'demo-confidential',
  clientSecret: 'demo-confidential-secret',
  clientKey: null,
  redirectUri: null,
  member: { username: 'maria', password, patient: null },
  otherPatient: 'david',
  service: null,
}
const quiet = { warn() {}, info() {}, error() {} } as never

let server: TestServer
beforeAll(async () => {
  server = await startServer({
    change: ({ plans }) => {
      for (const { environments } of plans)
        for (const environment of environments) {
          if (environment.id === 'prairie/sandbox') environment.selfTest = wish
          if (environment.id === 'summit/sandbox')
            environment.selfTest = { ...wish, clientSecret: 'wrong-secret-1234', member: null }
        }
    },
  })
})
afterAll(() => server.close())

const found = async (count: number) => {
  const database = await openDatabase({ ...server.settings.database, log: quiet })
  try {
    for (let waited = 0; waited < 200; waited++) {
      const tests = await listSelfTests(database)
      if (tests.length >= count)
        return {
          tests,
          audited: await database.db.selectFrom('audit').selectAll().where('type', '=', 'self-test.finished').execute(),
        }
      await pause(100)
    }
    throw new Error(`no ${count} self-tests: ${server.log().slice(-2000)}`)
  } finally {
    await database.close()
  }
}

describe('a self-test on a schedule', () => {
  it('runs once the server answers: what is well passed, what is wrong failed, both are kept and audited', async () => {
    const { tests, audited } = await found(2)
    const [prairie, summit] = ['prairie/sandbox', 'summit/sandbox'].map((id) =>
      tests.find(({ issuer }) => issuer === id),
    )
    expect(prairie?.report.results.filter(({ outcome }) => outcome === 'failed')).toEqual([])
    expect(prairie).toMatchObject({ outcome: 'passed', report: { target: `${server.url}/prairie/sandbox/fhir` } })
    expect(prairie?.report.counts.passed).toBeGreaterThan(110)
    expect(summit?.outcome).toBe('failed')
    expect(summit?.report.results.find(({ id }) => id === 'R13.accepted')).toMatchObject({ outcome: 'failed' })
    expect(audited.map(({ issuer, outcome }) => [issuer, outcome]).sort()).toEqual([
      ['prairie/sandbox', 'success'],
      ['summit/sandbox', 'fault'],
    ])
    const line = server
      .log()
      .split('\n')
      .find((each) => each.includes('the self-test failed'))
    expect(JSON.parse(line ?? '{}')).toMatchObject({ level: expect.anything(), issuer: 'summit/sandbox' })
    expect(line).toContain('R13.accepted')
    expect(JSON.stringify(tests) + JSON.stringify(audited)).not.toMatch(
      /wrong-secret-1234|demo-confidential-secret|eyJ[\w-]{10}/,
    )
  })

  it('is listed by command, with status 1 where the newest failed', async () => {
    await found(2)
    const good = await runAt(server, 'self-tests', '--issuer', 'prairie/sandbox')
    expect(good.out).toMatch(/^\d{4}-\d\d-\d\dT.* passed +prairie\/sandbox/)
    expect(good.status).toBe(0)
    const bad = await runAt(server, 'self-tests', '--issuer', 'summit/sandbox', '--json')
    expect(bad.status).toBe(1)
    expect(JSON.parse(bad.out)).toMatchObject([{ issuer: 'summit/sandbox', outcome: 'failed' }])
    expect((await runAt(server, 'self-tests')).out).toContain('failed: R13.accepted')
  })
})

describe('when it runs', () => {
  const report = (outcome: Report['outcome']): Report => ({
    v: 1,
    target: 'https://fhir.example.org',
    issuer: null,
    startedAt: '2026-01-01T00:00:00.000Z',
    finishedAt: '2026-01-01T00:00:01.000Z',
    outcome,
    reason: outcome === 'unable' ? 'nobody listens there' : null,
    counts: { passed: 1, failed: 0, warned: 0, skipped: 0 },
    results: [],
    capabilities: [],
    leftBehind: 0,
  })

  const setUp = async () => {
    const database = await openDatabase({
      url: 'sqlite::memory:',
      password: null,
      pool: server.settings.database.pool,
      log: quiet,
    })
    let time = Date.parse('2026-01-01T00:00:00Z')
    let outcome: Report['outcome'] = 'passed'
    const looked: string[] = []
    let handler: JobHandler | undefined
    const environment = {
      id: 'plan/production',
      plan: { id: 'plan' },
      selfTest: { ...wish, clientId: null, clientSecret: null, member: null },
      apis: [{ baseUrl: 'https://one.example/fhir' }, { baseUrl: 'https://two.example/fhir' }],
    } as unknown as Environment
    addSelfTests({
      database,
      jobs: { handle: (_kind: string, work: JobHandler) => (handler = work), every: () => {} } as never,
      environments: [environment, { ...environment, id: 'plan/other', selfTest: null }],
      audit: { record: async () => {}, close: () => {} },
      log: quiet,
      now: () => time,
      look: async ({ target }) => {
        looked.push(target)
        return report(outcome)
      },
    })
    return {
      database,
      looked,
      run: async (hours: number, next: Report['outcome'] = 'passed', signal = new AbortController().signal) => {
        time += hours * 3_600_000
        outcome = next
        await handler?.({ id: 'x', kind: 'self-test', payload: null, attempt: 1, signal })
        return looked.splice(0).length
      },
    }
  }

  it('at each API, when its hours have passed, and for no environment that wishes none', async () => {
    const { database, run } = await setUp()
    expect([await run(0), await run(1), await run(22), await run(1), await run(1)]).toEqual([2, 0, 0, 2, 0])
    await database.close()
  })

  it('again soon where nobody could be asked, which is a failure', async () => {
    const { database, run } = await setUp()
    expect([await run(0, 'unable'), await run(0.1, 'passed'), await run(0.1)]).toEqual([2, 2, 0])
    expect((await listSelfTests(database)).map(({ outcome }) => outcome)).toEqual([
      'passed',
      'passed',
      'failed',
      'failed',
    ])
    await database.close()
  })

  it('keeps results for 90 days', async () => {
    const { database, run } = await setUp()
    await run(0)
    await run(24 * 89)
    expect(await listSelfTests(database)).toHaveLength(4)
    await run(24 * 2)
    expect(await listSelfTests(database)).toHaveLength(4)
    await database.close()
  })

  it('says nothing where the server stopped meanwhile', async () => {
    const { database, run } = await setUp()
    const stopping = new AbortController()
    stopping.abort()
    await run(0, 'failed', stopping.signal)
    expect(await listSelfTests(database)).toEqual([])
    await database.close()
  })
})
