import { spawnSync } from 'node:child_process'
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, it } from 'vitest'
import { runCommand } from '../src/cli.ts'

const checkout = fileURLToPath(new URL('..', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'latchkey-cli-'))
afterAll(() => rmSync(folder, { recursive: true }))

async function run(args: string[], env: Record<string, string> = {}) {
  const said = { out: '', err: '' }
  const terminal = (name: 'out' | 'err') => ({ write: (text: string) => (said[name] += text) })
  const status = await runCommand(args, { env, out: terminal('out'), err: terminal('err') })
  return { status, ...said }
}

function file(name: string, text: string): string {
  const path = join(folder, name)
  writeFileSync(path, text)
  return path
}

describe('latchkey check', () => {
  it('says that a configuration is sound, and where its issuers are', async () => {
    const { status, out, err } = await run(['check'], { PORT: '4000' })
    expect(status).toBe(0)
    expect(err).toBe('')
    expect(out).toContain('The server is at http://localhost:4000')
    expect(out).toMatch(/summit\/sandbox +http:\/\/localhost:4000\/v5\/summit/)
    expect(out).not.toMatch(/secret|published/)
  })

  it('tells every fault with its path, and none of the secrets', async () => {
    const config = file(
      'bad.yaml',
      'publicUrl: https://login.example.org\nsealingKeys: [{ id: a, secret: hunter2 }]\nplanes: {}\n',
    )
    const { status, out, err } = await run(['check', '--config', config])
    expect(status).toBe(1)
    expect(out).toBe('')
    expect(err).toMatch(/^\d+ faults\n/)
    expect(err).toContain('  planes\n    is no option here; did you mean plans?\n')
    expect(err).toContain('  plans\n    must name at least one\n')
    expect(err).not.toContain('hunter2')
  })

  it('tells warnings and is content', async () => {
    const { status, err } = await run(['check'], { LOG_LEVEL: 'trace' })
    expect(status).toBe(0)
    expect(err).toMatch(/^1 warning\n {2}log\.level\n {4}trace writes/)
  })

  it('takes the file from --config before LATCHKEY_CONFIG', async () => {
    const config = file('empty.yaml', '')
    expect((await run(['check'], { LATCHKEY_CONFIG: config })).status).toBe(1)
    expect(
      (await run(['check', '--config', join(checkout, 'config/development.yaml')], { LATCHKEY_CONFIG: config })).status,
    ).toBe(0)
  })
})

describe('wrong use', () => {
  it.each([
    [[], 'a command is needed'],
    [['chekc'], 'there is no command chekc'],
    [['check', 'x.yaml'], 'check takes no x.yaml'],
    [['check', '--file', 'x'], '--file'],
    [['check', '--config'], '--config'],
  ])('%j is answered with the usage and status 2', async (args, message) => {
    const { status, out, err } = await run(args)
    expect(status).toBe(2)
    expect(out).toBe('')
    expect(err).toContain(message)
    expect(err).toContain('Usage: latchkey <command>')
  })

  it('--help prints the usage', async () => {
    expect(await run(['--help'])).toMatchObject({ status: 0, err: '', out: expect.stringContaining('check') })
  })
})

describe('the program', () => {
  const program = join(checkout, 'bin/latchkey.js')
  const start = (path: string, args: string[], env: Record<string, string> = {}) =>
    spawnSync(process.execPath, [path, ...args], { encoding: 'utf8', env: { PATH: process.env.PATH, ...env } })

  it('checks, with the exit status 0 or 1', () => {
    const good = start(program, ['check'])
    expect(good).toMatchObject({ status: 0, stderr: '' })
    expect(good.stdout).toContain('is sound')
    const bad = start(program, ['check'], { PUBLIC_URL: 'https://login.example.org' })
    expect(bad).toMatchObject({ status: 1, stdout: '' })
    expect(bad.stderr).toMatch(/sealingKeys\.0\n {4}is a published development key/)
    expect(bad.stderr).not.toMatch(/latchkey-development-sealing|prairie-sandbox-1|demo-confidential-secret/)
  })

  it('runs by npx in a checkout', { timeout: 60_000 }, () => {
    const line = ['--no', 'latchkey', 'check']
    const { status, stdout } = spawnSync('npx', line, { cwd: checkout, encoding: 'utf8' })
    expect(stdout).toContain('is sound')
    expect(status).toBe(0)
  })

  it('says so when the package holds the library only', () => {
    mkdirSync(join(folder, 'package/bin'), { recursive: true })
    writeFileSync(join(folder, 'package/package.json'), '{"type": "module"}')
    copyFileSync(program, join(folder, 'package/bin/latchkey.js'))
    const { status, stderr } = start(join(folder, 'package/bin/latchkey.js'), ['check'])
    expect(status).toBe(1)
    expect(stderr).toMatch(/^latchkey: this package holds the resource-server library only/)
  })

  it('says so when Node.js is too old', () => {
    const old = file('old.mjs', "Object.defineProperty(process, 'versions', { value: { node: '20.20.2' } })\n")
    const { status, stderr } = spawnSync(process.execPath, ['--import', old, program, 'check'], { encoding: 'utf8' })
    expect(status).toBe(1)
    expect(stderr).toMatch(/^latchkey needs Node\.js 24\.15 or later; this is 20\.20\.2/)
  })
})
