/** What a connected app takes of each store: as much after 90 days of daily refresh as after the first day. */
import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Database, openDatabase } from '../../src/storage/database.ts'
import { engineOf } from '../../src/storage/engine.ts'
import { sweep } from '../../src/storage/sweep.ts'
import { demoApp, obtainTokens, refresh } from '../support/authorize.ts'
import { patient } from '../support/backend.ts'
import { initdb, redisServer } from '../support/machine.ts'
import { type OwnPostgres, startPostgres } from '../support/postgres.ts'
import { type RedisProcess, startRedis } from '../support/redis.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { type Backend, quiet, sqliteBackend } from '../support/stores.ts'

const day = 86_400_000
/** The trail grows with every refresh, by its purpose; jobs are no app's. */
const notOfApps = new Set(['audit', 'jobs'])

type Sizes = Record<string, { rows: number; bytes: number }>

/** Rows and bytes of every table. */
const sizesOf = async ({ db }: Database, url: string): Promise<Sizes> => {
  const sizes: Sizes = {}
  for (const { name, columns } of await db.introspection.getTables()) {
    if (notOfApps.has(name)) continue
    const row =
      engineOf(url) === 'postgres'
        ? sql`pg_column_size(t.*)`
        : sql.join(
            columns.map((column) => sql`coalesce(length(cast(${sql.ref(column.name)} as blob)), 0)`),
            sql` + `,
          )
    const { rows } = await sql<{ rows: number; bytes: number }>`
      select count(*) as rows, coalesce(sum(${row}), 0) as bytes from ${sql.table(name)} as t`.execute(db)
    sizes[name] = { rows: Number(rows[0]?.rows), bytes: Number(rows[0]?.bytes) }
  }
  return sizes
}

const redisSize = async (redis: RedisProcess): Promise<{ rows: number; bytes: number }> => {
  const keys = (await redis.command('keys', 'lk:prairie/*')).split('\n').filter((key) => key !== '')
  const sizes = await Promise.all(keys.map((key) => redis.command('memory', 'usage', key)))
  return { rows: keys.length, bytes: sizes.reduce((sum, size) => sum + Number(size), 0) }
}

interface Stores {
  open: () => Promise<Backend>
  redis?: RedisProcess
}

const stays = (name: string, present: unknown, prepare: () => Promise<Stores & { end?: () => Promise<void> }>) =>
  describe.skipIf(!present)(name, { timeout: 120_000 }, () => {
    let stores: Awaited<ReturnType<typeof prepare>>
    let backend: Backend
    let server: TestServer
    let database: Database
    let skew = 0
    const now = () => Date.now() + skew

    beforeAll(async () => {
      stores = await prepare()
      backend = await stores.open()
      server = await startServer({
        now,
        change: (settings) => {
          settings.database = { ...settings.database, url: backend.url, pool: patient }
          // Keys come and go with time, whether or not anybody is connected.
          settings.keys.rotateDays = null
          if (stores.redis) settings.redis = stores.redis.settings
        },
      })
      database = await openDatabase({ url: backend.url, log: quiet, pool: patient })
    })
    afterAll(async () => {
      await database?.close()
      await server?.close()
      await backend?.dispose()
      await stores?.redis?.stop()
      await stores?.end?.()
    })

    it('is as large after 90 days of daily refresh as after the first, lost answers and all', async () => {
      const app = demoApp(server.url)
      let token: string = (await obtainTokens(app)).refresh_token
      /** The app did not hear the first answer, and asks again. */
      const aDay = async () => {
        expect((await refresh(app, token)).status).toBe(200)
        const again = await refresh(app, token)
        expect(again.status).toBe(200)
        token = again.body.refresh_token
        await sweep({ database, now })
      }
      const measured = async () => ({
        ...(await sizesOf(database, backend.url)),
        ...(stores.redis ? { redis: await redisSize(stores.redis) } : {}),
      })

      await aDay()
      skew += day
      await aDay()
      const first: Sizes = await measured()
      for (let days = 2; days <= 90; days += 1) {
        skew += day
        await aDay()
      }
      const last: Sizes = await measured()

      for (const table of ['connections', 'grants', 'consents', 'refresh_tokens'])
        expect(first[table]?.rows, table).toBeGreaterThan(0)
      for (const [table, { rows, bytes }] of Object.entries(last)) {
        expect(rows, `rows of ${table}`).toBeLessThanOrEqual(first[table]?.rows ?? 0)
        // A generation of two digits in place of one.
        expect(bytes, `bytes of ${table}`).toBeLessThanOrEqual((first[table]?.bytes ?? 0) + 8 * rows)
      }
    })
  })

let postgres: OwnPostgres
const postgresDatabase = async () => {
  postgres = await startPostgres()
  return { open: () => postgres.database(), end: () => postgres.stop() }
}

describe('the record of a connected app (R8)', () => {
  stays('on SQLite', true, async () => ({ open: sqliteBackend }))
  stays('on PostgreSQL', initdb, postgresDatabase)
  stays('on PostgreSQL and Redis', initdb && redisServer, async () => ({
    ...(await postgresDatabase()),
    redis: await startRedis(),
  }))
})
