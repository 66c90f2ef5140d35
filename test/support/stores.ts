/** Stores for tests: real ones, each in a folder of its own. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Dialect } from 'kysely'
import { createLog, type Log } from '../../src/log.ts'
import { type Database, openDatabase } from '../../src/storage/database.ts'
import type { ShortLived } from '../../src/storage/short-lived.ts'
import { createSqlShortLived } from '../../src/storage/short-lived-sql.ts'

export const quiet: Log = createLog({ level: 'silent' })

/** A backend that several connections and processes can open by its URL. */
export interface Backend {
  url: string
  dispose(): Promise<void>
}

/** An empty SQLite file. */
export async function sqliteBackend(): Promise<Backend & { file: string }> {
  const folder = await mkdtemp(join(tmpdir(), 'latchkey-'))
  const file = join(folder, 'latchkey.db')
  return { url: `sqlite:${file}`, file, dispose: () => rm(folder, { recursive: true, force: true }) }
}

/** A database in memory, for tests of what is built on it. */
export function memoryDatabase(wrapDialect?: (dialect: Dialect) => Dialect): Promise<Database> {
  return openDatabase({ url: 'sqlite::memory:', log: quiet, wrapDialect })
}

/** One more connection to the short-lived records behind `url`, whatever they live in. */
export async function openShortLived(
  url: string,
  options: { issuer?: string; now?: () => number; wrapDialect?: (dialect: Dialect) => Dialect } = {},
): Promise<{ store: ShortLived; close: () => Promise<void> }> {
  const { issuer = 'prairie/sandbox', now = Date.now, wrapDialect } = options
  const database = await openDatabase({ url, log: quiet, wrapDialect })
  return { store: createSqlShortLived({ database, issuer, now }), close: () => database.close() }
}
