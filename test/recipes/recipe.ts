/** Runs the recipes of docs/connecting.md: their very text, in processes of their own, against a running Latchkey. */
import { type ChildProcess, spawn } from 'node:child_process'
import { createHmac } from 'node:crypto'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import type { Settings } from '../../src/config/settings.ts'
import { demoApp, obtainTokens, summitApp } from '../support/authorize.ts'
import { startServer } from '../support/server.ts'
import { claimsOf } from '../support/wire.ts'

const root = resolve(import.meta.dirname, '../..')
const page = readFileSync(join(root, 'docs/connecting.md'), 'utf8')

/** The code below a heading of the page, in a language, in order. */
export const codeBelow = (heading: string, language: string): string[] => {
  const section = page.split(/^#{2,3} /m).find((text) => text.startsWith(`${heading}\n`))
  const found = [...(section ?? '').matchAll(/^```(\w+)\n(.*?)^```/gms)].filter(([, name]) => name === language)
  if (found.length === 0) throw new Error(`no ${language} below ${heading}`)
  return found.map(([, , code = '']) => code)
}

/** A program until it is stopped. */
export interface Program {
  stop(): Promise<void>
}

/** Starts a program; settles when `isUp` does, and tells what it wrote where that never happens. */
export const start = async (
  command: string,
  args: string[],
  options: object,
  isUp: () => Promise<boolean>,
): Promise<Program> => {
  const child: ChildProcess = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], ...options })
  let written = ''

  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (text) => (written += String(text)))
  const ended = new Promise<void>((done) => child.once('close', () => done()))
  // A test that fails before it stops the program leaves none behind.
  process.once('exit', () => child.kill())
  child.once('error', (error) => (written += error.message))
  for (let attempt = 0; !(await isUp()); attempt += 1) {
    if (attempt === 100) child.kill()
    if (attempt === 100 || child.exitCode !== null) throw new Error(`${command} does not answer: ${written}`)
    await new Promise((wait) => setTimeout(wait, 100))
  }
  return {
    async stop() {
      child.kill()
      await ended
    },
  }
}

/** Whether anybody answers there, whatever. */
export const answers = (url: string) => async (): Promise<boolean> =>
  fetch(url).then(
    () => true,
    () => false,
  )

/** A folder of files in which imports find this project's packages, and the library by its name. */
export const folderOf = (files: Record<string, string>): { folder: string; remove(): void } => {
  const folder = mkdtempSync(join(tmpdir(), 'latchkey-recipe-'))
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'))
  const library = JSON.stringify(join(root, 'src/resource-server/index.ts'))
  for (const [name, text] of Object.entries({ 'package.json': '{"type":"module"}', ...files })) {
    mkdirSync(join(folder, name, '..'), { recursive: true })
    writeFileSync(join(folder, name), text.replaceAll("'latchkey/resource-server'", library))
  }
  return { folder, remove: () => rmSync(folder, { recursive: true, force: true }) }
}

/** What stands behind a gateway: tells what it was sent. */
export const startUpstream = async () => {
  const server = createServer((request, response) => {
    response.setHeader('content-type', 'application/json')
    response.end(JSON.stringify({ url: request.url, headers: request.headers }))
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  return {
    port: (server.address() as AddressInfo).port,
    close: () => new Promise<void>((done) => server.close(() => done())),
  }
}

const scope = 'openid fhirUser launch/patient offline_access patient/Patient.rs patient/Observation.rs'
const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')

/** A running Latchkey, a good token of it, and wrong ones. */
export const startIssuing = async (change?: (settings: Settings) => void) => {
  const server = await startServer({ change })
  const app = demoApp(server.url)
  const tokens = await obtainTokens(app, { params: { scope } })
  const narrow = await obtainTokens(app, { params: { scope: 'openid patient/Coverage.rs' } })
  const others = await obtainTokens(demoApp(server.url), { member: 'david', params: { scope } })
  const summit = await obtainTokens(summitApp(server.url), { member: 'sam' })
  const good = tokens.access_token
  const claims = claimsOf(good)
  const [header = '', payload = '', signature = ''] = good.split('.')
  const unsigned = `${encode({ alg: 'none', typ: 'at+jwt' })}.${payload}`
  const { keys } = await (await fetch(`${app.issuer}/jwks`)).json()
  const shared = `${encode({ alg: 'HS256', typ: 'at+jwt', kid: keys[0].kid })}.${payload}`
  const bySecret = createHmac('sha256', JSON.stringify(keys[0])).update(shared).digest('base64url')
  const wrong: [string, string][] = [
    ['that is garbage', 'garbage'],
    ['of three empty parts', '..'],
    ['that was changed to another patient', `${header}.${encode({ ...claims, patient: 'david' })}.${signature}`],
    ['that was changed to more scopes', `${header}.${encode({ ...claims, scope: 'patient/*.cruds' })}.${signature}`],
    ['whose signature was changed', `${header}.${payload}.${signature.slice(0, -8)}AAAAAAAA`],
    ['without a signature', `${unsigned}.`],
    ['whose signature was cut off', `${header}.${payload}.`],
    ['that is signed with the public key as a secret', `${shared}.${bySecret}`],
    ['that is an ID token', tokens.id_token ?? ''],
    ['that is a refresh token', tokens.refresh_token],
    ['of another issuer', summit.access_token],
  ]
  return { server, app, good, narrow: narrow.access_token, others: others.access_token, wrong }
}

export type Issuing = Awaited<ReturnType<typeof startIssuing>>
