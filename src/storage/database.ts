/**
 * The durable store: one Kysely for every part, opened by URL.
 *
 * Owns: opening, migrating, transactions and what is done after them, errors as `ConstraintViolation` or `Unavailable`.
 * Does not own: what the rows mean (each part asks for its own) or who may be the one server on a file (server-lock.ts).
 * Hands to: sqlite-dialect.ts for `sqlite:` URLs.
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import { type Dialect, Kysely, type Transaction } from 'kysely'
import type { Log } from '../log.ts'
import { collectHooks } from './after-commit.ts'
import { dialectAround } from './dialect-around.ts'
import { storeFault } from './faults.ts'
import { migrate } from './migrations/index.ts'
import { createSqliteDialect } from './sqlite-dialect.ts'
import { makeFolder, sqliteFile } from './sqlite-file.ts'
import type { Tables } from './tables.ts'

export { afterCommit } from './after-commit.ts'
export { isUniqueViolation } from './faults.ts'

export interface Database {
  /** For single statements outside transactions. Refused with a `TypeError` inside one: pass `trx` on. */
  db: Kysely<Tables>
  /**
   * All of `work` or nothing. Transactions of one process queue; those of several wait up to 5 s for each other.
   * Keep them short, and await nothing in them but their own queries. What must happen only if the commit does is
   * registered with `afterCommit(trx, …)`.
   */
  transaction<T>(work: (trx: Transaction<Tables>) => Promise<T>): Promise<T>
  /** Waits for the running transaction. */
  close(): Promise<void>
}

/**
 * Opens the store, makes its folder and brings its tables up to date.
 * @param options.url `sqlite:{path}`, relative to the working directory, or `sqlite::memory:`; otherwise `InputFaults`
 * @param options.wrapDialect puts something between the store and everything else: a test's store that fails on command
 * @throws Unavailable if the file cannot be opened, is no database, or was written by a newer Latchkey
 */
export async function openDatabase(options: {
  url: string
  log: Log
  wrapDialect?: (dialect: Dialect) => Dialect
}): Promise<Database> {
  const file = sqliteFile(options.url)
  const inTransaction = new AsyncLocalStorage<{ active: boolean }>()

  let db: Kysely<Tables>
  try {
    makeFolder(file)
    const plain = createSqliteDialect(file)
    const dialect = guarded(options.wrapDialect?.(plain) ?? plain, () => inTransaction.getStore()?.active === true)
    db = new Kysely<Tables>({ dialect })
  } catch (error) {
    throw storeFault(error)
  }

  try {
    await migrate(db)
  } catch (error) {
    await db.destroy()
    throw error
  }

  return {
    db,

    async transaction(work) {
      const scope = { active: true }
      let hooks: readonly (() => void)[] = []
      try {
        const result = await db.transaction().execute((trx) => {
          hooks = collectHooks(trx)
          return inTransaction.run(scope, () => work(trx))
        })
        scope.active = false
        runHooks(hooks, options.log)
        return result
      } finally {
        scope.active = false
      }
    },

    close: () => db.destroy(),
  }
}

function guarded(dialect: Dialect, insideTransaction: () => boolean): Dialect {
  return dialectAround(dialect, async (step, work) => {
    // Waiting here would be waiting for ever (one connection), or reading past the transaction (several).
    if (step.kind === 'acquire' && insideTransaction()) {
      throw new TypeError('inside a transaction only its own handle (trx) may be used')
    }
    try {
      return await work()
    } catch (error) {
      throw storeFault(error)
    }
  })
}

/** The commit is done: whatever a hook throws must not look like a failure of it. */
function runHooks(hooks: readonly (() => void)[], log: Log): void {
  for (const hook of hooks) {
    try {
      hook()
    } catch (error) {
      log.error({ err: error }, 'work after a commit failed')
    }
  }
}
