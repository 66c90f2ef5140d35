/** Copies of the store, and back (docs/operating.md, "Backup and restore"). */
import { statSync } from 'node:fs'
import { loadSettings } from '../config/load.ts'
import { InputFaults } from '../errors.ts'
import { dumpPostgres } from '../recovery/postgres-dump.ts'
import { copyStore, restoreStore } from '../recovery/sqlite-copy.ts'
import { engineOf } from '../storage/engine.ts'
import { lockServer } from '../storage/server-lock.ts'
import { sqliteFile } from '../storage/sqlite-file.ts'
import type { CommandOptions, Terminal } from './command.ts'

/** Copies the store while the server runs. */
export const backUp = async ({ config, operand = '' }: CommandOptions, { env, out }: Terminal): Promise<number> => {
  const { settings } = loadSettings({ file: config, env })
  const { url } = settings.database
  process.umask(0o077)
  if (engineOf(url) === 'postgres') await dumpPostgres(settings.database, operand)
  else await copyStore(onDisk(url), operand, Date.now)
  out.write(
    `${operand}: ${statSync(operand).size} bytes. Keep it apart from the sealing keys and the log of endings.\n`,
  )
  return 0
}

/** Puts a copy of a SQLite store in its place; the server must be stopped. */
export const restore = async ({ config, operand = '' }: CommandOptions, { env, out }: Terminal): Promise<number> => {
  const { settings } = loadSettings({ file: config, env })
  const { url } = settings.database
  if (engineOf(url) === 'postgres')
    throw new InputFaults([
      {
        path: 'database.url',
        message: 'is PostgreSQL: restore with pg_restore into a new database (docs/operating.md)',
      },
    ])
  process.umask(0o077)
  const store = onDisk(url)
  const lock = lockServer(url)
  try {
    const kept = await restoreStore(operand, store, Date.now)
    if (kept) out.write(`The store that was there is kept as ${kept}\n`)
  } finally {
    lock.release()
  }
  out.write(`${store} is the copy ${operand}. Start the server: it replays what has ended since.\n`)
  return 0
}

function onDisk(url: string): string {
  const file = sqliteFile(url)
  if (file === ':memory:') throw new InputFaults([{ path: 'database.url', message: 'is in memory: there is no file' }])
  return file
}
