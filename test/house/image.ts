/**
 * Proves the Dockerfile's steps as far as a machine without Docker can: copies exactly what its COPY lines and .dockerignore
 * let in, installs as it installs, starts the server as its CMD starts it, with a configuration as a plan would mount it,
 * and asks its HEALTHCHECK's address. Run by `npm run image:check`.
 */
import { execFileSync, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { freePort } from '../support/server.ts'

const root = join(import.meta.dirname, '../..')
const image = mkdtempSync(join(tmpdir(), 'latchkey-image-'))
const instructions = readFileSync(join(root, 'Dockerfile'), 'utf8')
  .replaceAll('\\\n', ' ')
  .split('\n')
  .map((line) => line.trim())
  .filter((line) => line !== '' && !line.startsWith('#'))

const excluded = new Set(['config/development.yaml'])
const ignored = readFileSync(join(root, '.dockerignore'), 'utf8')
for (const path of excluded) if (!ignored.includes(path)) throw new Error(`.dockerignore lets ${path} into the image`)

const copy = (from: string, to: string): void =>
  cpSync(join(root, from), join(image, to), {
    recursive: true,
    filter: (path) => !excluded.has(path.slice(root.length + 1)),
  })

for (const line of instructions) {
  const [verb, ...words] = line.split(/\s+/)
  if (verb === 'COPY' && !words[0]?.startsWith('--from'))
    for (const source of words.slice(0, -1)) copy(source, words.at(-1) === './' ? source : (words.at(-1) ?? source))
  if (verb === 'RUN' && words.join(' ').startsWith('npm ci'))
    execFileSync('npm', [...words.slice(1), '--no-audit', '--no-fund', '--loglevel=error'], {
      cwd: image,
      stdio: 'inherit',
    })
}

const developmentOnly = ['fhirclient', 'vitest', 'playwright-core', 'typescript', 'node']
const strays = developmentOnly.filter((name) => existsSync(join(image, 'node_modules', name)))
if (strays.length > 0) throw new Error(`development packages in the image: ${strays.join(', ')}`)

const port = await freePort()
const config = join(image, 'plan.yaml')
writeFileSync(join(image, 'sealing.key'), randomBytes(32).toString('base64url'))
writeFileSync(config, readFileSync(join(root, 'test/house/image.yaml'), 'utf8').replaceAll('FOLDER', image))

const command = JSON.parse(instructions.findLast((line) => line.startsWith('CMD '))?.slice(4) ?? '[]') as string[]
const child = spawn(process.execPath, command.slice(1), {
  cwd: image,
  env: {
    PATH: process.env.PATH,
    NODE_ENV: 'production',
    HOST: '127.0.0.1',
    PORT: String(port),
    LATCHKEY_CONFIG: config,
  },
  stdio: ['ignore', 'inherit', 'inherit'],
})

const answersWithin = async (seconds: number): Promise<boolean> => {
  for (let tries = 0; tries < seconds * 5 && child.exitCode === null; tries += 1) {
    const well = await fetch(`http://127.0.0.1:${port}/healthz`).then(
      ({ ok }) => ok,
      () => false,
    )
    if (well) return true
    await wait(200)
  }
  return false
}

try {
  if (!(await answersWithin(20))) throw new Error('the image does not answer at /healthz')
  child.kill('SIGTERM')
  const [code] = await new Promise<[number | null]>((resolve) => child.once('exit', (status) => resolve([status])))
  if (code !== 0) throw new Error(`SIGTERM ended the server with ${code}`)
  console.log(
    `image: ${readdirSync(join(image, 'node_modules')).length} package folders, starts, answers, stops on SIGTERM`,
  )
} finally {
  child.kill('SIGKILL')
  rmSync(image, { recursive: true, force: true })
}
