import { sql } from 'kysely'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { Unavailable } from '../../src/errors.ts'
import { openDatabase } from '../../src/storage/database.ts'
import { createLogSync } from '../../src/storage/log-sync.ts'
import { createSqliteDialect } from '../../src/storage/sqlite-dialect.ts'
import { quiet, sqliteBackend } from '../support/stores.ts'

/** A disk that answers when the test says so. */
const slowDisk = () => {
  const asked: PromiseWithResolvers<void>[] = []
  const disk = { slow: true }
  const sync = async () => {
    if (!disk.slow) return
    const answer = Promise.withResolvers<void>()
    asked.push(answer)
    await answer.promise
  }
  return { asked, disk, log: createLogSync(sync) }
}

const turns = async () => {
  for (let i = 0; i < 20; i++) await new Promise(setImmediate)
}

describe('bringing the log to the disk', () => {
  it('is done once for all who wait, and anew for those who came while it was under way', async () => {
    const { asked, log } = slowDisk()
    const done: string[] = []
    const wait = (name: string) => log.synced().then(() => done.push(name))
    wait('a')
    await turns()
    wait('b')
    wait('c')
    await turns()
    expect(asked).toHaveLength(1)
    asked[0]?.resolve()
    await turns()
    expect(done).toEqual(['a'])
    expect(asked).toHaveLength(2)
    asked[1]?.resolve()
    await turns()
    expect(done).toEqual(['a', 'b', 'c'])
  })

  it('that failed once is certain never again: the system forgets what it could not write', async () => {
    const { asked, log } = slowDisk()
    const first = log.synced()
    await turns()
    const second = log.synced()
    asked[0]?.reject(new Error('the disk is gone'))
    await expect(first).rejects.toThrow('the disk is gone')
    await expect(second).rejects.toThrow('the disk is gone')
    await expect(log.synced()).rejects.toThrow('the disk is gone')
    expect(asked).toHaveLength(1)
    await log.close()
  })
})

describe('a store whose disk is slow', () => {
  let backend: Awaited<ReturnType<typeof sqliteBackend>>
  beforeEach(async () => {
    backend = await sqliteBackend()
    await (await openDatabase({ url: backend.url, log: quiet })).close()
  })
  afterEach(() => backend.dispose())

  const open = async () => {
    const { asked, disk, log } = slowDisk()
    disk.slow = false
    const database = await openDatabase({
      url: backend.url,
      log: quiet,
      wrapDialect: () => createSqliteDialect(backend.file, log),
    })
    disk.slow = true
    const insert = (id: string) =>
      sql`insert into organizations (id, plan, kind, name, created_at) values (${id}, 'prairie', 'organization', 'x', 0)`
    const settled: string[] = []
    const note = (name: string) => (result: unknown) => {
      settled.push(result instanceof Unavailable ? `${name} is unavailable` : name)
    }
    const write = (id: string) => database.transaction((trx) => insert(id).execute(trx)).then(note(id), note(id))
    return { asked, database, insert, settled, note, write }
  }

  it('tells nobody of a transaction before it is on the disk, and lets others go on meanwhile', async () => {
    const { asked, database, settled, write } = await open()
    const first = write('first')
    await turns()
    const second = write('second')
    await turns()
    expect(settled).toEqual([])
    expect((await sql<{ n: number }>`select count(*) as n from organizations`.execute(database.db)).rows[0]?.n).toBe(2)
    asked[0]?.resolve()
    await first
    expect(settled).toEqual(['first'])
    asked[1]?.resolve()
    await second
    expect(settled).toEqual(['first', 'second'])
    await database.close()
  })

  it('waits for single statements that write as well, and not for those that read', async () => {
    const { asked, database, insert, settled, note } = await open()
    const write = insert('single').execute(database.db).then(note('single'))
    await turns()
    expect(settled).toEqual([])
    asked[0]?.resolve()
    await write
    await database.transaction((trx) => sql`select 1`.execute(trx))
    expect(asked).toHaveLength(1)
    await database.close()
  })

  it('is at fault for what did not get to the disk (R43)', async () => {
    const { asked, database, settled, write } = await open()
    const lost = write('lost')
    await turns()
    asked[0]?.reject(new Error('EIO'))
    await lost
    expect(settled).toEqual(['lost is unavailable'])
    await write('later')
    expect(settled).toEqual(['lost is unavailable', 'later is unavailable'])
    await database.close()
  })
})
