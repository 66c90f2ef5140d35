/** The commands of initial access tokens: made and printed once, looked at, taken back; never told again (R20). */
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { runAt } from './support/command.ts'
import { initialToken, send, steps } from './support/registration.ts'
import { startServer, type TestServer } from './support/server.ts'

let server: TestServer
beforeAll(async () => {
  server = await startServer()
})
afterAll(() => server.close())

const run = (...args: string[]) => runAt(server, ...args)
const make = (...more: string[]) => run('registration-token', 'make', ...more)
const register = (token: string) => send(`${server.url}/prairie/sandbox/register`, { body: steps, token })

describe('registration-token make', () => {
  it('prints a token once, with what it is for; a running server takes it at once', async () => {
    const { status, out, err } = await make(
      '--issuer',
      'prairie/sandbox',
      '--label',
      'Binder Example Inc.',
      '--uses',
      '2',
    )
    expect([status, err]).toEqual([0, ''])
    const [token = ''] = out.split('\n')
    expect(token).toMatch(/^lkr_[\w-]{43}$/)
    expect(out).toContain(`2 apps of Binder Example Inc. at ${server.url}/prairie/sandbox/register`)
    expect((await register(token)).status).toBe(201)
    const db = new DatabaseSync(join(server.folder, 'latchkey.db'), { readOnly: true })
    const kept = JSON.stringify([
      db.prepare('select * from registration_tokens').all(),
      db.prepare("select * from audit where type like 'registration-token.%'").all(),
    ])
    db.close()
    expect(kept).toContain('registration-token.made')
    expect(kept).not.toContain(token)
    expect(kept).not.toContain(token.slice(4))
  })

  it('takes the issuer by its URL too, and lives for a week unless told', async () => {
    const { out } = await make('--issuer', `${server.url}/prairie/sandbox`, '--label', 'One')
    const until = Date.parse(/until (\S+)\./.exec(out)?.[1] ?? '')
    expect(Math.round((until - Date.now()) / 86_400_000)).toBe(7)
    expect(out).toContain('one app of One')
  })

  it.each<[string, string[], RegExp]>([
    ['no issuer', ['--label', 'A'], /--issuer\n {4}is required, and must be one of prairie\/sandbox/],
    [
      'an issuer that there is not',
      ['--issuer', 'x/y', '--label', 'A'],
      /--issuer\n {4}is required, and must be one of/,
    ],
    [
      'an issuer where it is off',
      ['--issuer', 'prairie/production', '--label', 'A'],
      /--issuer\n {4}must be an issuer at which apps register with a token/,
    ],
    ['no label', ['--issuer', 'prairie/sandbox'], /--label\n {4}is required/],
    ['a label of two lines', ['--issuer', 'prairie/sandbox', '--label', 'A\nB'], /--label\n {4}is required/],
    [
      'a label that runs the other way',
      ['--issuer', 'prairie/sandbox', '--label', 'A\u202eB'],
      /--label\n {4}is required/,
    ],
    [
      'no uses',
      ['--issuer', 'prairie/sandbox', '--label', 'A', '--uses', '0'],
      /--uses\n {4}must be a whole number from 1 to 10000/,
    ],
    ['uses that are no number', ['--issuer', 'prairie/sandbox', '--label', 'A', '--uses', '1e3'], /--uses/],
    [
      'more than a year',
      ['--issuer', 'prairie/sandbox', '--label', 'A', '--days', '400'],
      /--days\n {4}must be a whole number from 1 to 366/,
    ],
  ])('%s is refused', async (_, args, message) => {
    const { status, out, err } = await make(...args)
    expect([status, out]).toEqual([1, ''])
    expect(err).toMatch(message)
  })

  it('tells every fault at once', async () => {
    const { err } = await make('--uses', 'many', '--days=-1')
    for (const option of ['--issuer', '--label', '--uses', '--days']) expect(err).toContain(`  ${option}\n`)
  })
})

describe('registration-token list and revoke', () => {
  it('tell where each stands, and never a token', async () => {
    const token = await initialToken(server, { label: 'Listed Ltd', uses: '2' })
    const listed = async () =>
      /^ {2}(?<id>\S+) {2}Listed Ltd {2}(?<state>.+)$/m.exec((await run('registration-token', 'list')).out)?.groups
    expect((await listed())?.state).toMatch(/^2 left until \d{4}-/)
    await register(token)
    expect((await listed())?.state).toMatch(/^1 left until .+, last used \d{4}-/)
    await register(token)
    expect((await listed())?.state).toMatch(/^used up, last used /)
    expect((await run('registration-token', 'list')).out).not.toContain('lkr_')
    const elsewhere = await run('registration-token', 'list', 'summit/sandbox')
    expect(elsewhere.out).not.toContain('Listed Ltd')
  })

  it('end a token at once, once', async () => {
    const token = await initialToken(server, { label: 'Taken Back', uses: '9' })
    const { out } = await run('registration-token', 'list', 'prairie/sandbox')
    const id = /^ {2}(\S+) {2}Taken Back/m.exec(out)?.[1] ?? ''
    const revoked = await run('registration-token', 'revoke', id)
    expect([revoked.status, revoked.out]).toEqual([
      0,
      'It registers nothing at prairie/sandbox from now on. Apps that it registered stay.\n',
    ])
    expect((await register(token)).status).toBe(401)
    expect(await run('registration-token', 'revoke', id)).toMatchObject({ status: 1, out: '' })
    expect((await run('registration-token', 'revoke')).status).toBe(2)
  })
})
