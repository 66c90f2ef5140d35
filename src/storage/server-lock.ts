/**
 * One server per SQLite file: a second one would sign with keys and count failures that the first does not know of, and a
 * file is for one machine. Command-line tools do not ask for the lock; the store itself is correct with several processes.
 * PostgreSQL is for several servers, and there is no lock.
 */
import { existsSync, realpathSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { LatchkeyError } from '../errors.ts'
import { engineOf } from './engine.ts'
import { storeFault } from './faults.ts'
import { makeFolder, sqliteFile } from './sqlite-file.ts'

export interface ServerLock {
  release(): void
}

/** https://www.sqlite.org/rescode.html#busy */
const SQLITE_BUSY = 5

/** Held locks. Without a reference the handle would be collected as garbage, and the lock with it. */
const held = new Set<DatabaseSync>()

/**
 * Takes the lock of a database URL, or throws `LatchkeyError` (`server_already_running`) that says what to do. It is an
 * exclusive transaction on `{file}.lock`, so that it ends with the process, however that ends, and is never stale.
 */
export function lockServer(url: string): ServerLock {
  if (engineOf(url) === 'postgres') return { release() {} }
  const file = sqliteFile(url)
  if (file === ':memory:') return { release() {} }

  return holdFile(`${realFile(file)}.lock`, (cause) => {
    const message =
      `Another Latchkey server is using ${file} (it holds ${file}.lock). ` +
      'Stop it first, or give this one a database of its own with the option database.url.'
    return new LatchkeyError('server_already_running', 500, { message, cause })
  })
}

/**
 * Holds a file of locks, which is made where there is none.
 * @param taken what is thrown where another holds it
 */
export function holdFile(file: string, taken: (cause: unknown) => LatchkeyError): ServerLock {
  const lock = openLock(file)
  try {
    lock.exec('begin exclusive')
  } catch (cause) {
    lock.close()
    throw (cause as { errcode?: unknown }).errcode === SQLITE_BUSY ? taken(cause) : storeFault(cause)
  }
  held.add(lock)
  return {
    release() {
      if (held.delete(lock)) lock.close()
    },
  }
}

/** The same file by another name has the same lock. */
function realFile(file: string): string {
  return existsSync(file) ? realpathSync(file) : file
}

function openLock(file: string): DatabaseSync {
  try {
    makeFolder(file)
    return new DatabaseSync(file, { timeout: 0 })
  } catch (error) {
    throw storeFault(error)
  }
}
