/**
 * What is compared: Latchkey on each of its stores, and the raw engine; each started the way an operator would.
 *
 * Owns: starting and stopping, configuration, members for the load. Does not own: what is measured.
 * PostgreSQL and Redis are durable here, unlike in tests: what an answer acknowledged is on the disk.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parse, stringify } from 'yaml'
import { freePort } from '../test/support/port.ts'
import { type OwnPostgres, startPostgres } from '../test/support/postgres.ts'
import { type RedisProcess, startRedis } from '../test/support/redis.ts'
import { createWire, type Wire } from './client.ts'
import { createMember, type Member, type Place, password, redirectUri, resourceServer } from './member.ts'
import { familyCpu, type ServerProcess, startServerProcess } from './processes.ts'

export type SystemName = 'raw' | 'sqlite' | 'postgres' | 'postgres-redis'

export const labels: Record<SystemName, string> = {
  raw: 'raw engine, memory',
  sqlite: 'Latchkey, SQLite',
  postgres: 'Latchkey, PostgreSQL',
  'postgres-redis': 'Latchkey, PostgreSQL + Redis',
}

export interface System {
  name: SystemName
  label: string
  place: Place
  /** Of its server processes. */
  ports: readonly number[]
  wire: Wire
  members: Member[]
  /** The URL of its database; empty where it has none. */
  database: string
  /** Microseconds of processor time so far: of the server's processes, and of PostgreSQL and Redis. */
  cpu(): Promise<{ server: number; store: number }>
  stop(): Promise<void>
}

const namesOf = (members: number): string[] =>
  Array.from({ length: members }, (_, index) => `bench-${String(index).padStart(3, '0')}`)

/** The demonstration's configuration with one issuer, one app, and as many members as the load has. */
const writeConfiguration = (folder: string, members: number): string => {
  const config = parse(readFileSync(new URL('../config/development.yaml', import.meta.url), 'utf8'))
  const { prairie } = config.plans
  config.plans = { prairie }
  prairie.environments = { sandbox: prairie.environments.sandbox }
  const person = (name: string) => ({
    name: `Member ${name}`,
    password,
    email: `${name}@example.org`,
    patients: { [name]: { name: `Member ${name}`, birthDate: '1980-01-01', coverageLabel: 'Bench' } },
  })
  const { apps } = prairie.environments.sandbox.demonstration
  const [app] = Object.values<{ attestation: object }>(apps)
  prairie.environments.sandbox.demonstration = {
    apps: {
      'bench-app': {
        name: 'Bench',
        kind: 'public',
        developer: 'Bench',
        website: 'https://bench.example.com',
        privacyPolicyUrl: 'https://bench.example.com/privacy',
        redirectUris: [redirectUri],
        // Members meet the consent page, and no warning before it.
        attestation: app?.attestation,
      },
      'demo-service': apps['demo-service'],
      'bench-service': {
        name: 'Bench service',
        kind: 'service',
        secret: 'bench-secret',
        developer: 'Bench',
        scopes: ['system/*.rs'],
      },
      [resourceServer.id]: {
        name: 'Bench FHIR server',
        kind: 'resource-server',
        secret: resourceServer.secret,
        developer: 'Bench',
      },
    },
    members: Object.fromEntries(namesOf(members).map((name) => [name, person(name)])),
  }
  const file = join(folder, 'latchkey.yaml')
  writeFileSync(file, stringify(config))
  return file
}

const latchkeyPlace = (port: number): Place => {
  const issuer = `http://127.0.0.1:${port}/prairie/sandbox`
  const api = { aud: `${issuer}/fhir` }
  return {
    host: `127.0.0.1:${port}`,
    issuer,
    authorize: '/prairie/sandbox/authorize',
    token: '/prairie/sandbox/token',
    introspect: '/prairie/sandbox/introspect',
    jwks: `${issuer}/jwks`,
    clientId: 'bench-app',
    api,
    introspectedApi: api,
    refresh: {},
  }
}

const rawPlace = (port: number): Place => {
  const issuer = `http://127.0.0.1:${port}`
  return {
    host: `127.0.0.1:${port}`,
    issuer,
    authorize: '/authorize',
    token: '/token',
    introspect: '/introspect',
    jwks: `${issuer}/jwks`,
    clientId: 'bench-app',
    api: { resource: `${issuer}/fhir`, prompt: 'consent' },
    introspectedApi: { resource: `${issuer}/opaque`, prompt: 'consent' },
    // Without openid: this engine makes an ID token whenever it reads that.
    refresh: { scope: 'launch/patient patient/*.rs' },
  }
}

export interface Stores {
  postgres(): Promise<OwnPostgres>
  redis(): Promise<RedisProcess>
  stop(): Promise<void>
}

/** PostgreSQL and Redis for this run, started when the first system wants them. */
export const createStores = (): Stores => {
  let postgres: Promise<OwnPostgres> | undefined
  const redises: Promise<RedisProcess>[] = []
  return {
    postgres() {
      const settings = { fsync: 'on', synchronous_commit: 'on', full_page_writes: 'on', shared_buffers: '512MB' }
      postgres ??= startPostgres({ settings: { ...settings, max_wal_size: '4GB' } })
      return postgres
    },
    redis() {
      const started = startRedis({ lines: ['appendfsync everysec'] })
      redises.push(started)
      return started
    },
    async stop() {
      for (const redis of redises) await (await redis).stop()
      await (await postgres)?.stop()
    },
  }
}

export interface SystemOptions {
  /** How many the configuration makes. */
  members: number
  /** Members that the database has already, to be used instead of those. */
  usernames?: readonly string[]
  /** Server processes that share the store and take turns. */
  processes?: number
  /** A database that exists already, for PostgreSQL. */
  database?: string
  /** A folder for a processor profile of each server. */
  profile?: string | undefined
}

const backendOf = async (name: SystemName, stores: Stores, folder: string, options: SystemOptions) => {
  const env: Record<string, string> = {}
  const storeCpu: (() => number)[] = []
  if (name === 'sqlite') env.DATABASE_URL = `sqlite:${join(folder, 'latchkey.db')}`
  else {
    const postgres = await stores.postgres()
    env.DATABASE_URL = options.database ?? (await postgres.database({ empty: true })).url
    const pid = Number(readFileSync(join(postgres.folder, 'postmaster.pid'), 'utf8').split('\n')[0])
    storeCpu.push(() => familyCpu(pid))
  }
  if (name === 'postgres-redis') {
    const redis = await stores.redis()
    env.REDIS_NODES = `127.0.0.1:${redis.port}`
    storeCpu.push(() => familyCpu(redis.pid()))
  }
  return { env, storeCpu: () => storeCpu.reduce((sum, each) => sum + each(), 0) }
}

/** Starts one system with members that are there and not signed in. */
export const startSystem = async (name: SystemName, stores: Stores, options: SystemOptions): Promise<System> => {
  const folder = mkdtempSync(join(tmpdir(), 'latchkey-bench-'))
  const ports = await Promise.all(Array.from({ length: options.processes ?? 1 }, freePort))
  const [first = 0] = ports
  const place = name === 'raw' ? rawPlace(first) : latchkeyPlace(first)
  const servers: ServerProcess[] = []
  let storeCpu = () => 0
  let database = ''
  if (name === 'raw') {
    const ready = '/.well-known/openid-configuration'
    servers.push(
      await startServerProcess({
        script: 'raw-engine.ts',
        args: [String(first)],
        port: first,
        host: place.host,
        ready,
      }),
    )
  } else {
    const backend = await backendOf(name, stores, folder, options)
    storeCpu = backend.storeCpu
    database = backend.env.DATABASE_URL ?? ''
    const file = writeConfiguration(folder, options.members)
    for (const [index, port] of ports.entries())
      servers.push(
        await startServerProcess({
          script: '../src/main.ts',
          env: {
            LATCHKEY_CONFIG: file,
            PUBLIC_URL: `http://${place.host}`,
            PORT: String(port),
            LATCHKEY_NODE: `bench-${index + 1}`,
            ...backend.env,
          },
          port,
          host: place.host,
          ready: '/readyz',
          profile: options.profile,
        }),
      )
  }
  const wire = createWire(ports, place.host)
  return {
    name,
    label: labels[name],
    place,
    ports,
    wire,
    members: (options.usernames ?? namesOf(options.members)).map((username) => createMember(wire, place, username)),
    database,
    async cpu() {
      const used = await Promise.all(servers.map((server) => server.cpu()))
      return { server: used.reduce((sum, each) => sum + each, 0), store: storeCpu() }
    },
    async stop() {
      wire.close()
      await Promise.all(servers.map((server) => server.stop()))
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
