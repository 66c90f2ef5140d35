/**
 * compose.yaml, as far as a machine without Docker can hold it: everything it names is there, what it sets is known, and
 * its servers accept their configuration. That its containers start is not shown here.
 */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { loadSettings, VARIABLES } from '../../src/config/load.ts'
import { InputFaults } from '../../src/errors.ts'
import { openssl } from '../support/machine.ts'

interface Service {
  image: string
  environment?: Record<string, string>
  networks: string[]
  volumes?: string[]
  secrets?: string[]
  configs?: { source: string; target: string }[]
  depends_on?: Record<string, unknown>
  healthcheck?: { test: string[] }
  stop_grace_period?: string
}

interface Compose {
  services: Record<string, Service>
  networks: Record<string, { internal?: boolean } | null>
  volumes: Record<string, null>
  configs: Record<string, { file: string }>
  secrets: Record<string, { file: string }>
}

const root = join(import.meta.dirname, '../..')
const text = readFileSync(join(root, 'compose.yaml'), 'utf8')
const caddyfile = readFileSync(join(root, 'config/Caddyfile'), 'utf8')
const dockerfile = readFileSync(join(root, 'Dockerfile'), 'utf8')
const compose: Compose = parse(text, { merge: true })
const all = Object.values(compose.services)
const servers = Object.entries(compose.services).filter(([, { image }]) => image.startsWith('latchkey:'))

/** As Compose reads `${NAME:-default}`. */
const interpolated = (value: string, env: Record<string, string>): string =>
  value.replace(/\$\{(\w+):-([^}]*)\}/g, (_, name, otherwise) => env[name] || otherwise)

describe('compose.yaml', () => {
  it('names nothing that is not there, and has nothing that is not named', () => {
    const kinds = {
      networks: all.flatMap(({ networks }) => networks),
      volumes: all.flatMap(({ volumes = [] }) => volumes.map((each) => each.split(':')[0])),
      secrets: all.flatMap(({ secrets = [] }) => secrets),
      configs: all.flatMap(({ configs = [] }) => configs.map(({ source }) => source)),
    }
    for (const [kind, used] of Object.entries(kinds))
      expect([...new Set(used)].sort(), kind).toEqual(Object.keys(compose[kind as keyof typeof kinds]).sort())
    for (const { depends_on = {} } of all)
      for (const name of Object.keys(depends_on)) expect(compose.services).toHaveProperty([name])
    for (const { file } of Object.values(compose.configs)) expect(existsSync(join(root, file)), file).toBe(true)
  })

  it('pins every image, its own by this version', () => {
    for (const { image } of all) expect(image).toMatch(/^[a-z]+:\d+\.\d+(\.\d+)?$/)
    const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
    for (const [, { image }] of servers) expect(image).toBe(`latchkey:${version}`)
  })

  it('has two servers, each with a name and a disk of its own, behind a proxy that asks each for its readiness', () => {
    expect(servers).toHaveLength(2)
    const port = /\bPORT=(\d+)/.exec(dockerfile)?.[1]
    expect(/reverse_proxy (.*) \{/.exec(caddyfile)?.[1]?.split(' ')).toEqual(servers.map(([name]) => `${name}:${port}`))
    expect(caddyfile).toContain('health_uri /readyz')
    for (const [name, server] of servers) {
      expect(server.environment?.LATCHKEY_NODE).toBe(name)
      expect(server.volumes).toEqual([`${name}:/app/data`])
      expect(server.healthcheck?.test.join(' ')).toContain(`http://127.0.0.1:${port}/readyz`)
    }
    expect(dockerfile).toContain('VOLUME /app/data')
  })

  it('keeps the stores where only the servers are', () => {
    expect(compose.networks.stores).toEqual({ internal: true })
    const there = Object.entries(compose.services).filter(([, { networks }]) => networks.includes('stores'))
    expect(there.map(([name]) => name).sort()).toEqual(['postgres', 'redis', ...servers.map(([name]) => name)].sort())
    for (const name of ['postgres', 'redis']) expect(compose.services[name]).toMatchObject({ networks: ['stores'] })
    const redis = JSON.stringify(compose.services.redis)
    for (const setting of ['appendonly yes', 'maxmemory-policy noeviction', 'requirepass'])
      expect(redis).toContain(`--${setting}`)
  })

  it('sets variables that the server knows', () => {
    const known = ['LATCHKEY_CONFIG', ...VARIABLES.map(({ name }) => name)]
    for (const [, { environment = {} }] of servers)
      for (const name of Object.keys(environment)) expect(known).toContain(name)
  })
})

describe.skipIf(!openssl)('the configuration of compose.yaml', () => {
  let folder: string
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'latchkey-compose-'))
    // The commands in its head.
    const commands = [...text.matchAll(/^# {3}(.*)$/gm)].map(([, line]) => line as string)
    for (const line of commands.filter((each) => !each.startsWith('docker')))
      execFileSync('sh', ['-c', line], { cwd: folder })
  })
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  const load = (host: string | undefined) => {
    const [, server] = servers[0] as [string, Service]
    const mounted = server.configs?.find(({ target }) => target === server.environment?.LATCHKEY_CONFIG)
    const { file } = compose.configs[mounted?.source ?? ''] as { file: string }
    const copy = join(folder, 'latchkey.yaml')
    const secrets = (server.secrets ?? []).map((name) => [name, compose.secrets[name]?.file ?? ''] as const)
    const config = secrets.reduce(
      (so, [name, from]) => so.replaceAll(`{ file: /run/secrets/${name} }`, `{ file: '${join(folder, from)}' }`),
      readFileSync(join(root, file), 'utf8'),
    )
    writeFileSync(copy, config)
    const given: Record<string, string> = host === undefined ? {} : { LATCHKEY_HOST: host }
    const environment = Object.entries(server.environment ?? {}).filter(([name]) => name !== 'LATCHKEY_CONFIG')
    const env = Object.fromEntries(environment.map(([name, value]) => [name, interpolated(value, given)]))
    return loadSettings({ file: copy, env: { ...env, NODE_ENV: 'production' } })
  }

  it('finds its secrets where the commands in its head have put them', () => {
    for (const { file } of Object.values(compose.secrets)) {
      expect(readFileSync(join(folder, file), 'utf8').trim(), file).toMatch(/^[0-9a-f]{64}$/)
      // Readable for the users of the containers; the folder is not for others on the machine.
      expect(statSync(join(folder, file)).mode & 0o777).toBe(0o644)
    }
    expect(statSync(join(folder, 'secrets')).mode & 0o777).toBe(0o700)
    expect(readFileSync(join(root, '.gitignore'), 'utf8').split('\n')).toContain('/secrets/')
  })

  it('is sound at localhost, and warns only of what it says a reason for', () => {
    const { settings, warnings } = load(undefined)
    expect(settings).toMatchObject({ publicUrl: 'https://localhost', listen: { host: '0.0.0.0' } })
    expect(warnings.map(({ path }) => path).sort()).toEqual(['database.url', 'redis.tls'])
    // Docker kills later than the server ends by itself, and the proxy notices before it stops answering.
    const grace = Number.parseInt(servers[0]?.[1].stop_grace_period ?? '', 10)
    expect(grace).toBeGreaterThan(settings.listen.drainSeconds + 5)
  })

  it('lacks a mail server at any other address, and nothing else', () => {
    const faults = (() => {
      try {
        load('login.example.org')
      } catch (error) {
        if (error instanceof InputFaults) return error.faults.map(({ path }) => path)
        throw error
      }
    })()
    expect(faults).toEqual(['mail.smtpUrl'])
  })
})
