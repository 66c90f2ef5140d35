import { mkdir, stat, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { sql } from 'kysely'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { InputFaults, Unavailable } from '../../src/errors.ts'
import { openDatabase } from '../../src/storage/database.ts'
import { quiet, sqliteBackend } from '../support/stores.ts'
import { durableConformance, shortLivedConformance } from './conformance.ts'

durableConformance('SQLite', sqliteBackend)
shortLivedConformance('SQLite', sqliteBackend)

describe('an SQLite file', () => {
  let backend: Awaited<ReturnType<typeof sqliteBackend>>
  beforeEach(async () => {
    backend = await sqliteBackend()
  })
  afterEach(() => backend.dispose())

  it('gets its folder made, for our eyes only', async () => {
    const file = join(dirname(backend.file), 'a', 'b', 'latchkey.db')
    await (await openDatabase({ url: `sqlite:${file}`, log: quiet })).close()
    expect((await stat(dirname(file))).mode & 0o777).toBe(0o700)
  })

  it('is opened with a write-ahead log, synchronization of our own and foreign keys', async () => {
    const database = await openDatabase({ url: backend.url, log: quiet })
    const pragma = async (name: string) =>
      Object.values((await sql.raw<object>(`pragma ${name}`).execute(database.db)).rows[0] ?? {})[0]
    expect(await pragma('journal_mode')).toBe('wal')
    expect(await pragma('synchronous')).toBe(1)
    expect(await pragma('foreign_keys')).toBe(1)
    await database.close()
  })

  it.each(['', 'sqlite:', 'mysql://localhost/x', 'data/latchkey.db', 'sqlite:a\0b', 'SQLITE:x'])(
    'is not what the URL %j names',
    async (url) => {
      await expect(openDatabase({ url, log: quiet })).rejects.toThrow(InputFaults)
    },
  )

  it('may be reached by a link', async () => {
    const link = join(dirname(backend.file), 'elsewhere')
    await mkdir(link)
    await symlink(backend.file, join(link, 'linked.db'))
    await (await openDatabase({ url: backend.url, log: quiet })).close()
    const database = await openDatabase({ url: `sqlite:${join(link, 'linked.db')}`, log: quiet })
    await database.transaction((trx) => sql`delete from organizations`.execute(trx))
    await database.close()
  })

  it('is refused when it is something else', async () => {
    await writeFile(backend.file, 'this is a letter, and a long one at that. '.repeat(100))
    await expect(openDatabase({ url: backend.url, log: quiet })).rejects.toThrow(Unavailable)
  })

  it('is refused when it is a folder', async () => {
    await mkdir(backend.file)
    await expect(openDatabase({ url: backend.url, log: quiet })).rejects.toThrow(Unavailable)
  })

  it('is waited for, while this process goes on with other things, and then Unavailable (R43)', async () => {
    const database = await openDatabase({ url: backend.url, log: quiet })
    const other = new DatabaseSync(backend.file)
    other.exec('begin immediate')
    let turns = 0
    const clock = setInterval(() => turns++, 10)
    await expect(database.transaction(async () => 1)).rejects.toThrow(Unavailable)
    clearInterval(clock)
    expect(turns).toBeGreaterThan(50)

    const patient = database.transaction(async () => 1)
    setTimeout(() => other.exec('rollback'), 100)
    expect(await patient).toBe(1)
    other.close()
    await database.close()
  }, 20_000)

  it('takes more different statements than it remembers', async () => {
    const database = await openDatabase({ url: backend.url, log: quiet })
    for (let i = 0; i < 600; i++) await sql.raw(`select ${i} as x`).execute(database.db)
    expect((await sql.raw('select 1 as x').execute(database.db)).rows).toEqual([{ x: 1 }])
    await database.close()
  })

  it('does not stream: a slow reader would keep everybody out', async () => {
    const database = await openDatabase({ url: backend.url, log: quiet })
    const read = async () => {
      for await (const _ of database.db.selectFrom('apps').selectAll().stream()) break
    }
    await expect(read()).rejects.toThrow(TypeError)
    expect(await database.db.selectFrom('apps').selectAll().execute()).toEqual([])
    await database.close()
  })
})
