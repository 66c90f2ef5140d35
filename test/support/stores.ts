/** Stores for tests: real ones, each in a folder of its own. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Dialect } from 'kysely'
import { createLog, type Log } from '../../src/log.ts'
import { type Database, openDatabase } from '../../src/storage/database.ts'
import { openRedis } from '../../src/storage/redis.ts'
import type { ShortLived } from '../../src/storage/short-lived.ts'
import { createRedisShortLived } from '../../src/storage/short-lived-redis.ts'
import { createSqlShortLived } from '../../src/storage/short-lived-sql.ts'
import type { failingStore } from './failing-store.ts'
import { redisSettingsOf } from './redis-settings.ts'
import { startProxy } from './tcp-proxy.ts'

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
  options: { issuer?: string; now?: () => number; failing?: ReturnType<typeof failingStore> } = {},
): Promise<{ store: ShortLived; close: () => Promise<void> }> {
  const { issuer = 'prairie/sandbox', now = Date.now, failing } = options
  if (url.startsWith('redis')) return openRedisShortLived(url, { issuer, now, ...(failing ? { failing } : {}) })
  const database = await openDatabase({ url, log: quiet, wrapDialect: failing?.wrapDialect })
  return { store: createSqlShortLived({ database, issuer, now }), close: () => database.close() }
}

async function openRedisShortLived(
  url: string,
  options: { issuer: string; now: () => number; failing?: ReturnType<typeof failingStore> },
): Promise<{ store: ShortLived; close: () => Promise<void> }> {
  const settings = redisSettingsOf(url)
  const proxy = options.failing && (await startProxy(settings.nodes[0]?.port ?? 0))
  if (proxy) settings.nodes = [{ host: '127.0.0.1', port: proxy.port }]
  options.failing?.watch((failing) => proxy?.set(failing ? 'refusing' : 'through'))
  const hasty = { operationMs: 1000, knownAwayMs: 300, reconnectMs: 50 }
  const redis = await openRedis({ settings, log: quiet, ...(options.failing ? { limits: hasty } : {}) })
  return {
    store: createRedisShortLived({ redis, ...options }),
    async close() {
      await redis.close()
      await proxy?.close()
    },
  }
}
