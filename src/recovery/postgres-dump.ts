/** A dump of a PostgreSQL store, by `pg_dump`, which knows best (R46). */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, rmSync } from 'node:fs'
import { type PostgresPlace, readPostgresUrl } from '../config/postgres-url.ts'
import { InputFaults, LatchkeyError } from '../errors.ts'

/** Writes a dump in the custom format, for `pg_restore`; an existing file is never overwritten. */
export async function dumpPostgres(database: { url: string; password: string | null }, target: string): Promise<void> {
  const place = readPostgresUrl(database.url)
  if ('fault' in place) throw new InputFaults([{ path: 'database.url', message: place.fault }])
  if (existsSync(target))
    throw new InputFaults([{ path: 'FILE', message: `${target} exists, and is not overwritten; give another name` }])
  try {
    await run('pg_dump', ['--format=custom', '--no-owner', '--no-privileges', `--file=${target}`], {
      ...placeVariables({ ...place, password: database.password ?? place.password }),
    })
  } catch (error) {
    rmSync(target, { force: true })
    throw error
  }
}

/** Variables rather than arguments: whoever lists processes sees those. */
function placeVariables({ host, port, database, user, password, sslmode, sslrootcert }: PostgresPlace) {
  return {
    PGHOST: host,
    PGPORT: String(port),
    PGDATABASE: database,
    ...(user === undefined ? {} : { PGUSER: user }),
    ...(password === undefined ? {} : { PGPASSWORD: password }),
    PGSSLMODE: sslmode,
    // As here: the authorities that the system trusts, where no file is named.
    ...(sslmode.startsWith('verify-') ? { PGSSLROOTCERT: sslrootcert ?? 'system' } : {}),
    PGCONNECT_TIMEOUT: '10',
    PGAPPNAME: 'latchkey backup',
  }
}

async function run(program: string, args: string[], variables: Record<string, string>): Promise<void> {
  const { PATH, HOME, LANG } = process.env
  const env = { ...Object.fromEntries(Object.entries({ PATH, HOME, LANG }).filter(([, value]) => value)), ...variables }
  const child = spawn(program, args, { env, stdio: ['ignore', 'ignore', 'pipe'] })
  let said = ''
  child.stderr.on('data', (chunk) => {
    said += String(chunk)
  })
  const [code] = await once(child, 'close').catch((error: NodeJS.ErrnoException) => {
    const message =
      error.code === 'ENOENT'
        ? `${program} is not here: install PostgreSQL’s client programs, of the server’s version or later`
        : `${program} cannot be run: ${error.message}`
    throw new LatchkeyError('backup_failed', 500, { message })
  })
  if (code !== 0) throw new LatchkeyError('backup_failed', 500, { message: `${program} failed: ${said.trim()}` })
}
