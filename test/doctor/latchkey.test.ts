/** The doctor before Latchkey itself, as an operator types it: all is well, for everybody and at every plan (R40, R1). */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { exportJWK, generateKeyPair, type JWK } from 'jose'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { runCommand } from '../../src/cli.ts'
import { standardCapabilities } from '../../src/doctor/capabilities.ts'
import { groups, type Report } from '../../src/doctor/doctor.ts'
import { openDatabase } from '../../src/storage/database.ts'
import { password } from '../support/authorize.ts'
import { demonstrationApp } from '../support/demonstration-app.ts'
import { startServer, type TestServer } from '../support/server.ts'

let server: TestServer
let fhir: string
const file = (name: string, text: string): string => {
  const path = join(server.folder, name)
  writeFileSync(path, text)
  return path
}
const doctor = async (args: string[], env: Record<string, string> = {}) => {
  let out = ''
  let err = ''
  const terminal = { out: { write: (text: string) => (out += text) }, err: { write: (text: string) => (err += text) } }
  const status = await runCommand(['doctor', ...args], { env, ...terminal })
  return { status, out, err }
}
const reportOf = async (args: string[], env: Record<string, string> = {}) => {
  const { status, out } = await doctor([...args, '--json'], env)
  return { status, out, report: JSON.parse(out) as Report }
}
const notPassed = ({ results }: Report) =>
  results.filter(({ outcome }) => outcome === 'failed' || outcome === 'warned').map(({ id, seen }) => `${id}: ${seen}`)
const stateOf = ({ capabilities }: Report, name: string) => capabilities.find((each) => each.name === name)?.state

let key: JWK
beforeAll(async () => {
  const pair = await generateKeyPair('ES384', { extractable: true })
  const named = { kid: 'doctor', alg: 'ES384' }
  key = { ...(await exportJWK(pair.privateKey)), ...named }
  const jwks = { keys: [{ ...(await exportJWK(pair.publicKey)), ...named }] }
  server = await startServer({
    change: ({ plans }) =>
      plans[0]?.environments[0]?.demonstration?.apps.push(
        demonstrationApp({
          clientId: 'keyed',
          kind: 'confidential',
          secret: null,
          jwks,
          redirectUris: ['http://127.0.0.1/callback'],
        }),
        demonstrationApp({
          clientId: 'night',
          kind: 'service',
          secret: null,
          jwks,
          redirectUris: [],
          scopes: ['system/*.rs'],
        }),
      ),
  })
  fhir = `${server.url}/prairie/sandbox/fhir`
})
afterAll(() => server.close())

const asMaria = ['--username', 'maria', '--other-patient', 'david']
const env = { LATCHKEY_DOCTOR_PASSWORD: password }

describe('latchkey doctor, at the demonstration', () => {
  it('needs nothing to look at what anybody may see, at a FHIR base and at an issuer', async () => {
    for (const address of [fhir, `${server.url}/prairie/sandbox`]) {
      const { status, report } = await reportOf([address])
      expect(notPassed(report)).toEqual([])
      expect(status).toBe(0)
      expect(report.counts.passed).toBeGreaterThan(40)
      expect(report.issuer).toBe(`${server.url}/prairie/sandbox`)
    }
  })

  it('passes for a public app with a member, tells no secret, and leaves no grant behind', async () => {
    const { status, report, out } = await reportOf([fhir, '--client-id', 'demo-public', ...asMaria], env)
    expect(notPassed(report)).toEqual([])
    expect(status).toBe(0)
    expect(report.counts.passed).toBeGreaterThan(110)
    for (const each of report.capabilities.filter(({ advertised }) => advertised))
      if (!/^client-confidential|^launch-ehr|^context-(ehr|banner|style)/.test(each.name))
        expect(each, each.name).toMatchObject({ state: 'checked' })
    expect(out).not.toMatch(/eyJ[\w-]{10}|rt_[\w-]{10}/)
    expect(out).not.toContain(password)
    expect(report.leftBehind).toBe(0)
    const database = await openDatabase({
      ...server.settings.database,
      log: { warn() {}, info() {}, error() {} } as never,
    })
    const alive = await database.db
      .selectFrom('grants')
      .select('id')
      .where('client_id', '=', 'demo-public')
      .where('ended_at', 'is', null)
      .where('connection_id', 'is not', null)
      .execute()
    await database.close()
    expect(alive).toEqual([])
  })

  it('passes again, whatever the member decided the last time', async () => {
    const { report } = await reportOf([fhir, '--client-id', 'demo-public', ...asMaria], env)
    expect(notPassed(report)).toEqual([])
    expect(stateOf(report, 'permission-offline')).toBe('checked')
  })

  it('passes for an app with a secret, which it reads from a file', async () => {
    const secret = file('secret', 'demo-confidential-secret\n')
    const line = [fhir, '--client-id', 'demo-confidential', '--client-secret-file', secret, ...asMaria]
    const { report, out } = await reportOf([...line, '--password-file', file('password', password)])
    expect(notPassed(report)).toEqual([])
    expect(stateOf(report, 'client-confidential-symmetric')).toBe('checked')
    expect(out).not.toContain('demo-confidential-secret')
  })

  it('passes for an app and a service with a key', async () => {
    const path = file('key.json', JSON.stringify(key))
    const line = ['--client-id', 'keyed', '--key', path, '--service-client-id', 'night', '--service-key', path]
    const { report, out } = await reportOf([fhir, ...line, ...asMaria], env)
    expect(notPassed(report)).toEqual([])
    expect(stateOf(report, 'client-confidential-asymmetric')).toBe('checked')
    expect(report.results.filter(({ id, outcome }) => id.startsWith('service.') && outcome === 'passed')).toHaveLength(
      6,
    )
    expect(out).not.toContain(key.d)
  })

  it('passes a delegate, who chooses a patient by name, past a warning', async () => {
    const line = [
      '--client-id',
      'demo-declined',
      '--username',
      'david',
      '--patient',
      'Elena',
      '--only',
      'launch,R3,fhir',
    ]
    const { report } = await reportOf([fhir, ...line], env)
    expect(notPassed(report)).toEqual([])
    expect(report.results.find(({ id }) => id === 'fhir.read')?.outcome).toBe('passed')
  })

  it('passes at a plan with other addresses and another shape of token (R41, R42)', async () => {
    const line = ['--client-id', 'summit-demo', '--username', 'sam']
    const { report } = await reportOf([`${server.url}/v5/summit/fhir`, ...line], env)
    // Its FHIR server has no credential with which it could follow the feed of revocations, and that is told.
    expect(notPassed(report)).toEqual([expect.stringMatching(/^R11\.fhir: honoured after 3 s/)])
    expect(report.outcome).toBe('passed')
    expect(report.counts.passed).toBeGreaterThan(100)
  })
})

describe('what it says where something is wrong', () => {
  it('a wrong password is told as such, by one check', async () => {
    const line = [fhir, '--client-id', 'demo-public', '--username', 'maria', '--only', 'launch,R3']
    const { status, report, out } = await reportOf(line, { LATCHKEY_DOCTOR_PASSWORD: 'not-the-password' })
    expect(status).toBe(1)
    expect(notPassed(report)).toEqual([expect.stringMatching(/^launch\.standalone: .*password is not accepted/)])
    expect(out).not.toContain('not-the-password')
  })

  it('an unknown client and an address that is not registered too', async () => {
    for (const args of [
      ['--client-id', 'nobody'],
      ['--client-id', 'demo-public', '--redirect-uri', 'https://app.example/'],
    ]) {
      const { status, out } = await doctor([fhir, ...args, '--only', 'launch'])
      expect(status).toBe(1)
      expect(out).toMatch(/FAILED +launch\.request/)
      expect(out).toMatch(/do +Check --client-id/)
    }
  })

  it('nobody there is status 2', async () => {
    const { status, out } = await doctor(['http://127.0.0.1:9/fhir'])
    expect(status).toBe(2)
    expect(out).toMatch(/Nobody could be asked: (nobody listens there|bad port)/)
  })

  it.each([
    [[], /Usage: latchkey doctor ADDRESS[^$]*variable LATCHKEY_DOCTOR_CLIENT_SECRET[^$]*$/],
    [['ftp://example.org'], /ADDRESS must be an https address/],
    [['https://example.org', '--only', 'R99'], /--only there is no check R99/],
    [['https://example.org', '--client-id', 'x', '--username', 'y'], /needs a password/],
    [['https://example.org', '--username', 'y'], /--client-id is required/],
    [['https://example.org', '--client-id', 'x', '--key', '/nowhere'], /cannot be read \(ENOENT\)/],
    [['https://example.org', '--service-client-id', 'x'], /--service-key go together/],
    [
      ['https://example.org', '--client-id', 'x', '--interactive', '--redirect-uri', 'https://a.example/'],
      /must be http on this machine/,
    ],
  ])('%j is wrong use: status 2', async (args, message) => {
    const { status, err } = await doctor(args)
    expect(status).toBe(2)
    expect(err).toMatch(message)
  })

  it('takes no secret on the line', async () => {
    expect((await doctor(['https://example.org', '--client-secret', 'x'])).status).toBe(2)
    expect((await doctor(['https://example.org', '--password', 'x'])).status).toBe(2)
  })
})

describe('docs/doctor.md', () => {
  it('has exactly the checks of --list, with what each needs and where it is written', async () => {
    const [, page = ''] = readFileSync('docs/doctor.md', 'utf8').split('## The checks\n')
    const rows = page.split('\n').filter((line) => /^\| `[\w.-]+` \|/.test(line))
    expect(rows).toEqual(
      groups.flatMap(({ checks }) =>
        checks.map(({ id, title, needs, section }) => `| \`${id}\` | ${title} | ${needs ?? ''} | ${section} |`),
      ),
    )
    const { out, status } = await doctor(['--list'])
    expect(status).toBe(0)
    for (const { checks } of groups)
      for (const { id, title } of checks) expect(out).toMatch(new RegExp(`${id} .*${title.slice(0, 20)}`))
  })

  it('gives no two checks one name', () => {
    const ids = groups.flatMap(({ checks }) => checks.map(({ id }) => id))
    expect(new Set(ids).size).toBe(ids.length)
  })

  it('names checks that exist as what shows a capability', () => {
    const ids = groups.flatMap(({ checks }) => checks.map(({ id }) => id))
    for (const { name, shownBy } of standardCapabilities) for (const id of shownBy) expect(ids, name).toContain(id)
  })
})

describe('how it says it', () => {
  it('in colour for a terminal, unless that is not wished', async () => {
    const run = async (env: Record<string, string>) => {
      let text = ''
      const out = { isTTY: true, write: (more: string) => (text += more) }
      await runCommand(['doctor', fhir, '--only', 'jwks'], { env, out, err: { write: () => true } })
      return text
    }
    expect(await run({})).toContain('\u001b[32m')
    expect(await run({ NO_COLOR: '1' })).not.toContain('\u001b')
    expect((await doctor([fhir, '--only', 'jwks'])).out).not.toContain('\u001b')
  })

  it('nothing that could be looked at is no success (status 2)', async () => {
    const { status, out } = await doctor([fhir, '--only', 'R6'])
    expect(status).toBe(2)
    expect(out).toContain('R6')
  })

  it('only what is wished is looked at', async () => {
    const { report } = await reportOf([fhir, '--only', 'R12,jwks.form'])
    expect(new Set(report.results.map(({ id }) => id.split('.')[0]))).toEqual(new Set(['R12', 'jwks']))
    expect(report.results.filter(({ id }) => id.startsWith('jwks'))).toHaveLength(1)
  })
})
