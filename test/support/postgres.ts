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
import { freePort } from './server.ts'
import { type Backend, quiet } from './stores.ts'

export interface PostgresCluster {
  port: number
  /** Of the superuser; TLS and TCP need it, the socket does too. */
  password: string
  /** Where its files are. */
  folder: string
  /** The main process. */
  pid: number
  /** The URL of a database, over TCP; more of a URL's query may follow. */
  url(database: string, query?: string): string
  /** A new database, empty or with our tables: the same as opening an empty one, sooner. */
  database(options?: { empty: boolean }): Promise<Backend>
  /** Runs a statement as the superuser. */
  run(statement: string, database?: string): Promise<pg.QueryResult>
  /** Ends it and removes its files. */
  stop(): Promise<void>
}

/** `initdb` refuses root, so files and processes then belong to this account, `nobody` on Debian. */
const UNPRIVILEGED = 65534

export interface PostgresOptions {
  /** Further settings of the server, as in postgresql.conf. */
  settings?: Record<string, string>
  /** Lines for the head of pg_hba.conf. */
  access?: string[]
  /** Writes files into the cluster's folder before it starts. */
  prepare?: (folder: string, own: (file: string) => void) => void
}

export async function startPostgres(options: PostgresOptions = {}): Promise<PostgresCluster> {
  if (!initdb) throw new Error('PostgreSQL is missing')
  const folder = mkdtempSync(join(tmpdir(), 'latchkey-postgres-'))
  const data = join(folder, 'data')
  const own = (file: string) => {
    if (process.getuid?.() === 0) chownSync(file, UNPRIVILEGED, UNPRIVILEGED)
  }
  own(folder)
  const password = 'tiger-of-the-tests'
  writeFileSync(join(folder, 'password'), password)
  own(join(folder, 'password'))

  await ended(
    asNobody(initdb, [
      ...['--pgdata', data, '--username', 'latchkey', '--pwfile', join(folder, 'password'), '--auth', 'scram-sha-256'],
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
  if (options.access) {
    const file = join(data, 'pg_hba.conf')
    writeFileSync(file, `${options.access.join('\n')}\n${readFileSync(file, 'utf8')}`)
  }
  options.prepare?.(data, own)

  const port = await freePort()
  const settings = {
    port: String(port),
    listen_addresses: '127.0.0.1',
    unix_socket_directories: folder,
    shared_buffers: '32MB',
    max_connections: '120',
    fsync: 'off',
    synchronous_commit: 'off',
    full_page_writes: 'off',
    timezone: 'UTC',
    ...options.settings,
  }
  const server = asNobody(join(initdb, '../postgres'), [
    '-D',
    data,
    ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
  ])

  const run = async (statement: string, database = 'postgres') => {
    const client = new pg.Client({ host: folder, port, user: 'latchkey', password, database })
    await client.connect()
    try {
      return await client.query(statement)
    } finally {
      await client.end()
    }
  }
  await answering(run, server)

  let databases = 0
  let template: Promise<void> | undefined
  const url = (database: string, query = '') => `postgres://latchkey:${password}@127.0.0.1:${port}/${database}${query}`
  return {
    port,
    password,
    folder: data,
    pid: server.pid ?? 0,
    url,
    run,
    async database({ empty } = { empty: false }) {
      const name = `test_${databases++}`
      template ??= empty ? undefined : migrated(run, url('migrated'))
      await template
      await run(`create database ${name} template ${empty ? 'template0' : 'migrated'}`)
      return { url: url(name), dispose: async () => void (await run(`drop database ${name} with (force)`)) }
    },
    async stop() {
      if (server.exitCode === null && server.signalCode === null) {
        const closed = once(server, 'close')
        // A fast shutdown: it waits for nobody.
        server.kill('SIGINT')
        await closed
      }
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** Starts a program that ends with this process, whatever ends that, and under an account that may run PostgreSQL. */
function asNobody(program: string, args: string[]): ChildProcess & { output(): string } {
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

async function ended(child: ReturnType<typeof asNobody>): Promise<void> {
  const [code] = await once(child, 'close')
  if (code !== 0) throw new Error(`PostgreSQL could not be set up: ${child.output()}`)
}

async function migrated(run: PostgresCluster['run'], url: string): Promise<void> {
  await run('create database migrated template template0')
  await (await openDatabase({ url, log: quiet })).close()
}

async function answering(run: PostgresCluster['run'], server: ReturnType<typeof asNobody>): Promise<void> {
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
