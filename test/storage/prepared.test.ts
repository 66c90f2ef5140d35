import { sql } from 'kysely'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type Database, openDatabase } from '../../src/storage/database.ts'
import { type Named, prepared } from '../../src/storage/prepared.ts'
import { openBackend, patient } from '../support/backend.ts'
import { type Backend, quiet, sqliteBackend } from '../support/stores.ts'

const add = prepared((db, value: Named<{ id: string; name: string; at: number }>) =>
  db.insertInto('organizations').values({
    id: value('id'),
    plan: 'prairie',
    kind: 'organization',
    name: value('name'),
    website: null,
    created_at: value('at'),
  }),
)

const named = prepared((db, value: Named<{ name: string; since: number }>) =>
  db
    .selectFrom('organizations')
    .select(['id', 'name', 'website'])
    .where('name', '=', value('name'))
    .where('created_at', '>=', value('since'))
    .orderBy('id')
    .limit(10),
)

describe('a prepared query', () => {
  let backend: Backend
  let database: Database
  beforeEach(async () => {
    backend = await openBackend()
    database = await openDatabase({ url: backend.url, log: quiet, pool: patient })
  })
  afterEach(async () => {
    await database.close()
    await backend.dispose()
  })

  it('is run with the values of each call, outside of transactions and in them', async () => {
    await add(database.db, { id: 'a', name: 'x', at: 1 })
    await database.transaction((trx) => add(trx, { id: 'b', name: "x'; drop table", at: 2 }))
    await add(database.db, { id: 'c', name: 'x', at: 3 })
    expect(await named(database.db, { name: 'x', since: 0 })).toEqual([
      { id: 'a', name: 'x', website: null },
      { id: 'c', name: 'x', website: null },
    ])
    expect(await named(database.db, { name: 'x', since: 2 })).toMatchObject([{ id: 'c' }])
    expect(await named(database.db, { name: "x'; drop table", since: 2 })).toMatchObject([{ id: 'b' }])
  })

  it('is rolled back with its transaction', async () => {
    const failed = database.transaction(async (trx) => {
      await add(trx, { id: 'a', name: 'x', at: 1 })
      throw new Error('changed my mind')
    })
    await expect(failed).rejects.toThrow('changed my mind')
    expect(await named(database.db, { name: 'x', since: 0 })).toEqual([])
  })

  it('goes on when a newer release adds a column under it', async () => {
    await add(database.db, { id: 'a', name: 'x', at: 1 })
    expect(await named(database.db, { name: 'x', since: 0 })).toHaveLength(1)
    await sql`alter table organizations add column later text`.execute(database.db)
    try {
      await add(database.db, { id: 'b', name: 'x', at: 1 })
      expect(await named(database.db, { name: 'x', since: 0 })).toHaveLength(2)
    } finally {
      await sql`alter table organizations drop column later`.execute(database.db)
    }
  })

  it('speaks the language of each engine in one process', async () => {
    const other = await sqliteBackend()
    const sqlite = await openDatabase({ url: other.url, log: quiet })
    for (const { db } of [database, sqlite, database]) await named(db, { name: 'x', since: 0 })
    await sqlite.close()
    await other.dispose()
  })

  it('must name its columns', async () => {
    const all = prepared((db, value: Named<{ id: string }>) =>
      db.selectFrom('organizations').selectAll().where('id', '=', value('id')),
    )
    await expect(all(database.db, { id: 'a' })).rejects.toThrow(TypeError)
  })
})
