import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { freePort } from './support/server.ts'

const folder = mkdtempSync(join(tmpdir(), 'latchkey-main-'))
const store = join(folder, 'data', 'latchkey.db')
const children: ChildProcess[] = []

afterEach(async () => {
  for (const child of children.splice(0)) {
    child.kill('SIGKILL')
    if (child.exitCode === null && child.signalCode === null) await new Promise((done) => child.once('exit', done))
  }
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

/** `npm start` without npm: the program and what it says, until it says `until` or ends. */
const start = (
  env: Record<string, string>,
  until: string,
): Promise<{ child: ChildProcess; said: string; code: number | null }> =>
  new Promise((resolve) => {
    const child = spawn(process.execPath, ['src/main.ts'], { env: { PATH: process.env.PATH, ...env } })
    children.push(child)
    let said = ''
    const hear = (chunk: Buffer) => {
      said += chunk.toString()
      if (said.includes(until)) resolve({ child, said, code: null })
    }
    child.stdout.on('data', hear)
    child.stderr.on('data', hear)
    child.once('exit', (code) => resolve({ child, said, code }))
  })

const issuerAt = async (port: number) =>
  (await (await fetch(`http://localhost:${port}/prairie/sandbox/.well-known/openid-configuration`)).json()).issuer

describe('npm start', () => {
  it('prints where to go, moves everything with PORT, also on an old store, and stops on SIGTERM', async () => {
    const first = await freePort()
    const { child, said } = await start({ PORT: String(first), DATABASE_URL: `sqlite:${store}` }, 'leads to everything')
    expect(said).toContain(`Latchkey is at http://localhost:${first}`)
    expect(await issuerAt(first)).toBe(`http://localhost:${first}/prairie/sandbox`)
    const ended = new Promise((done) => child.once('exit', done))
    child.kill('SIGTERM')
    expect(await ended).toBe(0)

    const second = await freePort()
    await start({ PORT: String(second), DATABASE_URL: `sqlite:${store}` }, 'leads to everything')
    expect(await issuerAt(second)).toBe(`http://localhost:${second}/prairie/sandbox`)
    const moved = new URL(`http://localhost:${second}/prairie/sandbox/authorize`)
    moved.search = new URLSearchParams({
      client_id: 'demo-public',
      response_type: 'code',
      scope: 'launch/patient patient/*.rs',
      redirect_uri: `http://localhost:${second}/prairie/sandbox/demo/`,
      code_challenge: 'x'.repeat(43),
      code_challenge_method: 'S256',
      state: 's',
    }).toString()
    const answer = await fetch(moved, { redirect: 'manual' })
    expect(answer.headers.get('location')).toMatch(/\/prairie\/sandbox\/interaction\//)
  })

  it('keeps the store for the eyes of its own user', async () => {
    const port = await freePort()
    await start({ PORT: String(port), DATABASE_URL: `sqlite:${store}` }, 'leads to everything')
    for (const file of [store, `${store}-wal`]) expect((statSync(file).mode & 0o077).toString(8)).toBe('0')
  })

  it('refuses a second server on the same store, and says what to do', async () => {
    const port = await freePort()
    await start({ PORT: String(port), DATABASE_URL: `sqlite:${store}` }, 'leads to everything')
    const second = await start(
      { PORT: String(await freePort()), DATABASE_URL: `sqlite:${store}` },
      'leads to everything',
    )
    expect(second.code).toBe(1)
    expect(second.said).toMatch(/Another Latchkey server is using .*latchkey\.db.*database\.url/s)
    expect(await issuerAt(port), 'the first one goes on').toBeTypeOf('string')
  })

  it('says every fault of its configuration, without a stack, and ends', async () => {
    const file = join(tmpdir(), 'latchkey-main-bad.yaml')
    writeFileSync(file, 'publicUrl: ftp://nowhere\nplans: {}\n')
    const { code, said } = await start({ LATCHKEY_CONFIG: file }, 'leads to everything')
    rmSync(file)
    expect(code).toBe(1)
    expect(said).toMatch(/^publicUrl/m)
    expect(said).toMatch(/^plans/m)
    expect(said).toMatch(/^sealingKeys/m)
    expect(said).not.toContain('    at ')
  })

  it('says so when somebody else listens on its port', async () => {
    const port = await freePort()
    await start({ PORT: String(port), DATABASE_URL: `sqlite:${store}` }, 'leads to everything')
    const other = await start(
      { PORT: String(port), DATABASE_URL: `sqlite:${join(folder, 'other.db')}` },
      'leads to everything',
    )
    expect(other.code).toBe(1)
    expect(other.said).toMatch(new RegExp(`port ${port}`))
    expect(other.said).not.toContain('    at ')
  })
})
