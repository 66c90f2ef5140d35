/**
 * Copies of a SQLite store: made while the server runs, and put in its place again (R46).
 *
 * A copy says that it is one (a row in `lives`), so that the server that starts on it knows since when it lacks what was
 * done. Never a plain copy of the file: what was committed last is in the write-ahead log beside it.
 */
import {
  chmodSync,
  closeSync,
  copyFileSync,
  existsSync,
  fsyncSync,
  linkSync,
  openSync,
  renameSync,
  rmSync,
} from 'node:fs'
import { dirname } from 'node:path'
import { backup, DatabaseSync } from 'node:sqlite'
import { InputFaults, LatchkeyError } from '../errors.ts'
import { newId } from '../secrets.ts'
import { storeFault } from '../storage/faults.ts'

/** All pages in one step: between two steps a busy server would make it begin anew, again and again. */
const ALL = 2 ** 31 - 1
const BUSY_MS = 5000

/** Makes a copy that is checked, whole and on the disk; an existing file is never overwritten. */
export async function copyStore(store: string, target: string, now: () => number): Promise<void> {
  refuseMissing(store, 'database.url')
  if (existsSync(target)) throw exists(target)
  const part = `${target}.part`
  rmSync(part, { force: true })
  try {
    const since = now()
    await opened(store, async (source) => {
      await backup(source, part, { rate: ALL })
    })
    await opened(part, async (copy) => {
      // One file, without a log beside it.
      copy.exec('pragma journal_mode = delete')
      markCopy(copy, () => since)
      check(copy, store)
    })
    chmodSync(part, 0o600)
    sync(part)
    try {
      linkSync(part, target)
    } catch (error) {
      throw (error as NodeJS.ErrnoException).code === 'EEXIST' ? exists(target) : error
    }
    sync(dirname(target))
  } finally {
    rmSync(part, { force: true })
  }
}

/**
 * Puts a copy in the place of the store; the caller holds the server's lock. The store that was there is kept beside it.
 * @returns the name under which it is kept; undefined where there was none
 */
export async function restoreStore(copy: string, store: string, now: () => number): Promise<string | undefined> {
  refuseMissing(copy, 'FILE')
  const part = `${store}.part`
  for (const rest of ['', '-wal', '-shm', '-journal']) rmSync(part + rest, { force: true })
  copyFileSync(copy, part)
  // A copy that was made by other means may have its log beside it.
  if (existsSync(`${copy}-wal`)) copyFileSync(`${copy}-wal`, `${part}-wal`)
  chmodSync(part, 0o600)
  await opened(part, async (database) => {
    database.exec('pragma journal_mode = delete')
    check(database, copy)
    markCopy(database, () => newestEntry(database) ?? now())
  })
  sync(part)
  const kept = `${store}.replaced-${new Date(now()).toISOString().replaceAll(':', '')}`
  const replaced = existsSync(store)
  if (replaced) await foldLog(store)
  // Where the log could not be folded in, it goes with the file: beside another one it would spoil that.
  for (const rest of ['-wal', '-shm', '']) if (existsSync(store + rest)) renameSync(store + rest, kept + rest)
  renameSync(part, store)
  sync(dirname(store))
  return replaced ? kept : undefined
}

/**
 * Brings everything that was committed into the file itself, so that no moment of the exchange leaves it without its log.
 * A store that is too damaged for that is kept as it is.
 */
async function foldLog(store: string): Promise<void> {
  await opened(store, async (database) => {
    database.exec('pragma wal_checkpoint(truncate)')
  }).catch(() => {})
}

/** Notes in a copy that it is one, unless it says so already. A store of before the table has nowhere to say it. */
function markCopy(database: DatabaseSync, since: () => number): void {
  const known = database.prepare("select 1 from sqlite_master where type = 'table' and name = 'lives'").get()
  if (!known || database.prepare('select 1 from lives where opened_at is null').get()) return
  database.prepare('insert into lives (id, since) values (?, ?)').run(newId(), since())
}

function newestEntry(database: DatabaseSync): number | undefined {
  const newest = database.prepare('select max(time) as time from audit').get()?.time
  return typeof newest === 'number' ? newest : undefined
}

function check(database: DatabaseSync, file: string): void {
  const found = database.prepare('pragma integrity_check').all()
  if (found.length !== 1 || found[0]?.integrity_check !== 'ok')
    throw new LatchkeyError('store_damaged', 500, { message: `${file} is damaged: ${found[0]?.integrity_check}` })
  if (!database.prepare("select 1 from sqlite_master where name = 'kysely_migration'").get())
    throw new LatchkeyError('no_store', 500, { message: `${file} is no store of Latchkey’s` })
}

async function opened(file: string, work: (database: DatabaseSync) => Promise<void>): Promise<void> {
  let database: DatabaseSync | undefined
  try {
    database = new DatabaseSync(file, { timeout: BUSY_MS })
    await work(database)
  } catch (error) {
    throw storeFault(error)
  } finally {
    database?.close()
  }
}

function sync(file: string): void {
  const handle = openSync(file, 'r')
  try {
    fsyncSync(handle)
  } finally {
    closeSync(handle)
  }
}

function refuseMissing(file: string, path: string): void {
  if (!existsSync(file)) throw new InputFaults([{ path, message: `names ${file}, which does not exist` }])
}

const exists = (file: string) =>
  new InputFaults([{ path: 'FILE', message: `${file} exists, and is not overwritten; give another name` }])
