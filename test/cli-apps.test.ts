/** The commands about apps: what an operator may say, and that a running server takes it at once (R18). */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { authorizationUrl, demoApp, password, pkce } from './support/authorize.ts'
import { runAt } from './support/command.ts'
import { startServer, type TestServer } from './support/server.ts'
import { Visitor } from './support/visitor.ts'

let server: TestServer
beforeAll(async () => {
  server = await startServer()
})
afterAll(() => server.close())

const run = (...args: string[]) => runAt(server, ...args)
const file = (answers: unknown): string => {
  const path = join(server.folder, `answers-${Math.random()}.json`)
  writeFileSync(path, typeof answers === 'string' ? answers : JSON.stringify(answers))
  return path
}
const good = {
  sold: 'never',
  shared: 'never',
  used: 'service',
  consent: 'yes',
  device: 'no',
  kept: 'device',
  deleted: 'yes',
  policy: 'no',
  stop: 'Delete the app.',
}
const attest = (clientId: string, ...more: string[]) =>
  run('apps', 'attest', clientId, '--issuer', 'prairie/sandbox', '--person', 'Sam Steps', ...more)

/** Where a member of the running server arrives after signing in: at a warning, or at the consent page. */
const arrives = async (clientId: string): Promise<'warning' | 'consent'> => {
  const visitor = new Visitor()
  const page = await visitor.open(authorizationUrl(demoApp(server.url, clientId), pkce().challenge))
  const next = await visitor.submit(page, '/sign-in', { username: 'maria', password })
  return next.url.endsWith('/warning') ? 'warning' : 'consent'
}

describe('apps list and apps show', () => {
  it('say where each app stands, at every issuer or at one', async () => {
    const { status, out } = await run('apps', 'list')
    expect(status).toBe(0)
    expect(out).toMatch(/^prairie\/sandbox {2}http/m)
    expect(out).toMatch(/^ {2}demo-public {2}Prairie Sandbox Viewer {2}attested on \d{4}-\d\d-\d\d$/m)
    expect(out).toMatch(/^ {2}demo-declined {2}Coupon Health {2}declined on /m)
    expect(out).toMatch(/^ {2}demo-unanswered {2}Quick Steps Tracker {2}unanswered$/m)
    expect(out).toMatch(/^ {2}demo-resource-server {2}Prairie FHIR server {2}resource server$/m)
    const { out: one } = await run('apps', 'list', 'summit/sandbox')
    expect(one).toContain('summit-demo')
    expect(one).not.toContain('demo-public')
  })

  it('show the answers as they were given', async () => {
    const { out } = await run('apps', 'show', 'demo-confidential', '--issuer', 'prairie/sandbox')
    expect(out).toContain('Family Health Binder, made by Binder Example Inc.\nattested on ')
    expect(out).toMatch(/^ {2}sold +consent$/m)
    expect(out).toMatch(/^ {2}policy +yes {2}https:\/\/binder\.example\.com\/privacy$/m)
  })
})

describe('apps attest', () => {
  it('keeps answers, which a running server shows instead of the warning from then on; a refusal brings it back', async () => {
    expect(await arrives('demo-unanswered')).toBe('warning')
    const { status, out } = await attest(
      'demo-unanswered',
      '--answers',
      file(good),
      '--evidence',
      'ticket 12',
      '--expires',
      '2099-12-31',
    )
    expect(status).toBe(0)
    expect(out).toMatch(
      /^Quick Steps Tracker: attested on \S+, until 2099-12-31\. Members see its answers from now on\.\n$/,
    )
    expect(await arrives('demo-unanswered')).toBe('consent')

    expect((await attest('demo-unanswered', '--declined')).out).toContain('Members are warned of it from now on')
    expect(await arrives('demo-unanswered')).toBe('warning')
    expect((await run('apps', 'list', 'prairie/sandbox')).out).toContain('Quick Steps Tracker  declined on')
  })

  it('writes to the audit trail and its stream who answered, and what proves it (R35)', async () => {
    await attest('demo-declined', '--answers', file(good), '--evidence', 'https://desk.example.org/7')
    const { out } = await run('audit-export', 'prairie/sandbox')
    const entry = out
      .split('\n')
      .filter((line) => line.includes('"app.attested"'))
      .at(-1)
    expect(entry).toContain('Sam Steps')
    expect(entry).toContain('https://desk.example.org/7')
    await attest('demo-declined', '--declined')
    expect((await run('audit-export', 'prairie/sandbox')).out).toContain('"app.declined"')
    expect((await run('audit-verify')).out).toContain('whole')
  })

  it('tells every fault at once, and keeps nothing', async () => {
    const rows = () => {
      const db = new DatabaseSync(join(server.folder, 'latchkey.db'), { readOnly: true })
      const { count } = db.prepare('select count(*) as count from attestations').get() ?? {}
      db.close()
      return count
    }
    const before = rows()
    const { status, out, err } = await run(
      ...['apps', 'attest', 'demo-unanswered', '--answers', file({ ...good, sold: 'maybe', price: '1' })],
      ...['--expires', '2020-01-01', '--evidence', '', '--issuer', 'prairie/sandbox'],
    )
    expect({ status, out }).toEqual({ status: 1, out: '' })
    expect(err).toMatch(/^5 faults\n/)
    for (const path of ['answers.sold', 'answers.price', '--expires', '--evidence', '--person'])
      expect(err).toContain(`  ${path}\n`)
    expect(err).not.toContain('maybe')
    expect(rows()).toBe(before)
  })

  it.each<[string, string[], number, string]>([
    ['without an app', ['apps', 'attest'], 2, 'apps attest needs CLIENT'],
    ['without an issuer', ['apps', 'attest', 'demo-public', '--person', 'A', '--declined'], 1, '--issuer'],
    [
      'with neither way',
      ['apps', 'attest', 'demo-public', '--issuer', 'prairie/sandbox', '--person', 'A'],
      1,
      'needs --answers',
    ],
    [
      'at an issuer that there is not',
      ['apps', 'show', 'demo-public', '--issuer', 'prairie/staging'],
      1,
      'must be one of',
    ],
    ['an option of another command', ['apps', 'list', '--person', 'A'], 2, 'apps list takes no --person'],
    ['an option of these elsewhere', ['check', '--declined'], 2, 'check takes no --declined'],
    ['apps alone', ['apps'], 2, 'there is no command apps'],
  ])('%s ends with the fault', async (_what, args, status, message) => {
    expect(await run(...args)).toMatchObject({ status, out: '', err: expect.stringContaining(message) })
  })

  it.each<[string, string, string[], string]>([
    ['both ways', 'demo-public', ['--declined', '--answers', 'a.json'], 'needs --answers FILE, or --declined'],
    ['a refusal that expires', 'demo-public', ['--declined', '--expires', '2099-01-01'], 'goes with --answers'],
    [
      'a day that there is not',
      'demo-public',
      ['--answers', 'none', '--expires', '2099-02-30'],
      'must be a day to come',
    ],
    ['a file that is not there', 'demo-public', ['--answers', '/nowhere.json'], '/nowhere.json must be a file'],
    ['an app that is not there', 'no-such-app', ['--declined'], 'must be a client id'],
    ['an app of another plan', 'summit-demo', ['--declined'], 'must be a client id'],
    ['a resource server', 'demo-resource-server', ['--declined'], 'is a resource server'],
    ['a person of two lines', 'demo-public', ['--declined', '--person', 'A\nB'], '--person'],
  ])('refuses %s', async (_what, clientId, more, message) => {
    const { status, err } = await attest(clientId, ...more)
    expect(status).toBe(1)
    expect(err).toContain(message)
  })

  it('refuses what is no JSON object', async () => {
    for (const text of ['', '{', '[]', 'null', '"yes"'])
      expect(await attest('demo-public', '--answers', file(text))).toMatchObject({ status: 1 })
  })
})
