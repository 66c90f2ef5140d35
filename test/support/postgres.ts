/**
 * A real PostgreSQL, thrown away afterwards: one cluster for a test file, as many databases in it as the file wants.
 *
 *     const postgres = await startPostgres()
 *     const { url, dispose } = await postgres.database()
 *     await postgres.stop()
 *
 * Its own order of text is that of a language, so that tests notice whoever relies on a server's locale. What a test
 * writes need not survive a power cut, so nothing is synchronized, unless the test asks for it.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chownSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { openDatabase } from '../../src/storage/database.ts'
import { initdb } from './machine.ts'
import { freePort } from './port.ts'
import { type Backend, quiet } from './stores.ts'

/** How a cluster is reached, in words that can be handed to another process. */
export interface ClusterPlace {
  port: number
  /** The folder of its socket. */
  sockets: string
  /** Of the superuser, `latchkey`. */
  password: string
}

export interface PostgresCluster {
  place: ClusterPlace
  /** The URL of a database, over TCP; more of a URL's query may follow. */
  url(database: string, query?: string): string
  /** A new database, empty or with our tables: the same as opening an empty one, sooner. */
  database(options?: { empty: boolean }): Promise<Backend>
  /** Runs a statement as the superuser. */
  run(statement: string, database?: string): Promise<pg.QueryResult>
}

export interface OwnPostgres extends PostgresCluster {
  /** Where its files are. */
  folder: string
  /** Sends a signal to the server and to every process of a connection: SIGKILL, SIGSTOP, SIGCONT. */
  signal(name: NodeJS.Signals): void
  /** Starts it again on what it wrote, after it was killed. */
  start(): Promise<void>
  /** Ends it and removes its files. */
  stop(): Promise<void>
}

/** What is acknowledged survives a power cut, as PostgreSQL comes. */
export const durable = { fsync: 'on', synchronous_commit: 'on', full_page_writes: 'on' }

/** `initdb` refuses root, so files and processes then belong to this account, `nobody` on Debian. */
const UNPRIVILEGED = 65534

/** Where PostgreSQL may not run as root, its files are nobody's. */
export function ownedByNobody(file: string): void {
  if (process.getuid?.() === 0) chownSync(file, UNPRIVILEGED, UNPRIVILEGED)
}

/** One of PostgreSQL's programs. */
export const programOf = (name: string): string => join(initdb ?? '', '..', name)

export interface PostgresOptions {
  /** Further settings of the server, as in postgresql.conf. */
  settings?: Record<string, string>
  /** Lines of pg_hba.conf; by default whoever comes is believed, which is soon done. */
  access?: string[]
  /** Writes files into the cluster's folder before it starts. */
  prepare?: (folder: string, own: (file: string) => void) => void
}

export async function startPostgres(options: PostgresOptions = {}): Promise<OwnPostgres> {
  if (!initdb) throw new Error('PostgreSQL is missing')
  const sockets = mkdtempSync(join(tmpdir(), 'latchkey-postgres-'))
  const folder = join(sockets, 'data')
  const own = ownedByNobody
  own(sockets)
  const place = { port: await freePort(), sockets, password: 'tiger-of-the-tests' }
  const passwordFile = join(sockets, 'password')
  writeFileSync(passwordFile, place.password)
  own(passwordFile)

  await ended(
    asNobody(initdb, [
      ...['--pgdata', folder, '--username', 'latchkey', '--pwfile', passwordFile, '--auth', 'scram-sha-256'],
      ...[
        '--encoding',
        'UTF8',
        '--locale',
        'C.UTF-8',
        '--locale-provider',
        'icu',
        '--icu-locale',
        'en-US',
        '--no-sync',
      ],
    ]),
  )
  const access = join(folder, 'pg_hba.conf')
  writeFileSync(access, `${(options.access ?? ['local all all trust', 'host all all all trust']).join('\n')}\n`)
  options.prepare?.(folder, own)

  const settings = {
    port: String(place.port),
    listen_addresses: '127.0.0.1',
    unix_socket_directories: sockets,
    shared_buffers: '32MB',
    max_connections: '120',
    fsync: 'off',
    synchronous_commit: 'off',
    full_page_writes: 'off',
    ...options.settings,
  }
  const program = programOf('postgres')
  const launch = () =>
    asNobody(program, [
      '-D',
      folder,
      ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
    ])
  let server = launch()
  const cluster = clusterAt(place)
  await answering(cluster.run, server)
  const ran = () => server.exitCode === null && server.signalCode === null

  return {
    ...cluster,
    folder,
    signal(name) {
      const family = [...childrenOf(server.pid ?? 0), server.pid ?? 0]
      // The server first, or it would notice what becomes of its children.
      for (const pid of family.reverse()) process.kill(pid, name)
    },
    async start() {
      if (ran()) await once(server, 'close')
      server = launch()
      await answering(cluster.run, server)
    },
    async stop() {
      if (ran()) {
        const closed = once(server, 'close')
        // A fast shutdown: it waits for nobody.
        server.kill('SIGINT')
        await closed
      }
      rmSync(sockets, { recursive: true, force: true })
    },
  }
}

const childrenOf = (pid: number): number[] =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number)

/** A cluster that runs already. */
export function clusterAt(place: ClusterPlace): PostgresCluster {
  const { port, sockets, password } = place
  const url = (database: string, query = '') => `postgres://latchkey:${password}@127.0.0.1:${port}/${database}${query}`
  const run = async (statement: string, database = 'postgres') => {
    const client = new pg.Client({ host: sockets, port, user: 'latchkey', password, database })
    await client.connect()
    try {
      return await client.query(statement)
    } finally {
      await client.end()
    }
  }
  const template = `migrated_${process.pid}`
  let ready: Promise<void> | undefined
  let databases = 0
  const wiped: string[] = []
  return {
    place,
    url,
    run,
    async database({ empty } = { empty: false }) {
      const used = empty ? undefined : wiped.pop()
      const name = used ?? `test_${process.pid}_${databases++}`
      if (!empty) {
        ready ??= makeTemplate(run, template, url(template))
        await ready
      }
      if (!used) await run(`create database ${name} template ${empty ? 'template0' : template}`)
      return {
        url: url(name),
        async dispose() {
          if (empty) await run(`drop database ${name} with (force)`)
          else wiped.push(await wipe(run, name))
        },
      }
    },
  }
}

/** Starts a program that ends with this process, whatever ends that, and under an account that may run PostgreSQL. */
export function asNobody(program: string, args: string[]): ChildProcess & { output(): string } {
  const account =
    process.getuid?.() === 0 ? [`--reuid=${UNPRIVILEGED}`, `--regid=${UNPRIVILEGED}`, '--clear-groups'] : []
  const child = spawn('setpriv', [...account, '--pdeathsig', 'INT', program, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: process.env.PATH, LANG: 'C.UTF-8' },
    cwd: '/',
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += String(chunk)))
  return Object.assign(child, { output: () => output })
}

export async function ended(child: ReturnType<typeof asNobody>): Promise<void> {
  const [code] = await once(child, 'close')
  if (code !== 0) throw new Error(`PostgreSQL could not be set up: ${child.output()}`)
}

async function makeTemplate(run: PostgresCluster['run'], name: string, url: string): Promise<void> {
  await run(`create database ${name} template template0`)
  await (await openDatabase({ url, log: quiet })).close()
}

/** Ends what is still connected and deletes every row, the audit trail's too: sooner done than a new database. */
async function wipe(run: PostgresCluster['run'], name: string): Promise<string> {
  await run(
    `set session_replication_role = replica;
     select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid();
     delete from kysely_migration where name like '9999-%';
     do $$ declare name text; begin
       for name in select tablename from pg_tables where schemaname = 'public' and tablename not like 'kysely%'
       loop execute format('delete from %I', name); end loop;
     end $$`,
    name,
  )
  return name
}

export async function answering(run: PostgresCluster['run'], server: ReturnType<typeof asNobody>): Promise<void> {
  for (;;) {
    try {
      await run('select 1')
      return
    } catch (error) {
      if (server.exitCode !== null) throw new Error(`PostgreSQL did not start: ${server.output()}`, { cause: error })
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }
}
