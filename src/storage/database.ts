/**
 * The durable store: one Kysely for every part, opened by URL.
 *
 * Owns: opening, migrating, transactions and what is done after them, errors as `ConstraintViolation` or `Unavailable`.
 * Does not own: what the rows mean (each part asks for its own) or who may be the one server on a file (server-lock.ts).
 * Hands to: sqlite-dialect.ts for `sqlite:` URLs, postgres-dialect.ts for `postgres://` ones.
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import { setTimeout } from 'node:timers/promises'
import { type Dialect, Kysely, type Transaction } from 'kysely'
import type { Log } from '../log.ts'
import { dialectAround } from './dialect-around.ts'
import { type Engine, engineOf } from './engine.ts'
import { storeFault } from './faults.ts'
import { migrate } from './migrations/index.ts'
import { patiently } from './patience.ts'
import { createPostgresDialect, type PoolOptions } from './postgres-dialect.ts'
import { mayRepeat } from './postgres-faults.ts'
import { createSqliteDialect } from './sqlite-dialect.ts'
import { makeFolder, sqliteFile } from './sqlite-file.ts'
import type { Tables } from './tables.ts'
import { collectHooks } from './transaction-hooks.ts'

export { isUniqueViolation } from './faults.ts'
export { afterCommit } from './transaction-hooks.ts'

export interface Database {
  /** For single statements outside transactions. Refused with a `TypeError` inside one: pass `trx` on. */
  db: Kysely<Tables>
  /**
   * All of `work` or nothing. On SQLite transactions run one after the other; on PostgreSQL side by side, READ COMMITTED:
   * what is read in order to be decided upon is read `forUpdate()`, or behind `lockByName` where there is no row yet.
   * Keep them short, and await nothing in them but their own queries. What must happen only if the commit does is
   * registered with `afterCommit(trx, …)`: PostgreSQL may undo a transaction to end a deadlock, and then `work` runs
   * again, so it changes nothing but by `trx`. After a statement that failed nothing more can be done in a transaction.
   * `Unavailable` from a commit leaves open whether it was done: the answer may be what was lost.
   */
  transaction<T>(work: (trx: Transaction<Tables>) => Promise<T>): Promise<T>
  engine: Engine
  /** Waits for running transactions. */
  close(): Promise<void>
}

export interface DatabaseOptions {
  /** `sqlite:{path}`, relative to the working directory, `sqlite::memory:`, or `postgres://{user}@{host}/{database}`. */
  url: string
  /** Where it does not stand in the URL. */
  password?: string | null
  pool?: Partial<PoolOptions>
  log: Log
  /** PostgreSQL was promoted or restored while it was in use: what must be done before this store is used again. */
  onOtherStore?: (() => Promise<void>) | undefined
  /** Puts something between the store and everything else: a test's store that fails on command. */
  wrapDialect?: ((dialect: Dialect) => Dialect) | undefined
}

/** How often a transaction is run that PostgreSQL undid for the sake of others. */
const TRIES = 3

/**
 * Opens the store, makes the folder of a file, and brings the tables up to date; several processes may do so at once.
 * @throws InputFaults for a URL that names no store
 * @throws Unavailable if it cannot be opened, is no database, or was written by a newer Latchkey
 */
export async function openDatabase(options: DatabaseOptions): Promise<Database> {
  const engine = engineOf(options.url)
  const inTransaction = new AsyncLocalStorage<{ active: boolean }>()
  const open = (change: Partial<DatabaseOptions> = {}): Kysely<Tables> => {
    const plain = dialectOf({ ...options, ...change })
    const dialect = guarded(options.wrapDialect?.(plain) ?? plain, () => inTransaction.getStore()?.active === true)
    return new Kysely<Tables>({ dialect })
  }

  let db: Kysely<Tables>
  try {
    db = open()
  } catch (error) {
    throw storeFault(error)
  }
  // A migration may take its time, and so may waiting for another node's.
  const migrating = engine === 'postgres' ? open({ pool: { ...options.pool, size: 1, statementSeconds: null } }) : db
  try {
    await migrate(migrating, engine)
  } catch (error) {
    await db.destroy()
    throw error
  } finally {
    if (migrating !== db) await migrating.destroy()
  }

  async function attempt<T>(work: (trx: Transaction<Tables>) => Promise<T>): Promise<T> {
    const scope = { active: true }
    let after: readonly (() => void)[] = []
    let ended: readonly (() => void)[] = []
    try {
      const result = await db.transaction().execute((trx) => {
        const hooks = collectHooks(trx, engine)
        after = hooks.after
        ended = hooks.ended
        return inTransaction.run(scope, async () => {
          const answer = await work(trx)
          for (const list of [hooks.before, hooks.last]) for (const hook of list) await hook()
          return answer
        })
      })
      scope.active = false
      runHooks(after, options.log)
      return result
    } finally {
      scope.active = false
      runHooks(ended, options.log)
    }
  }

  return {
    db,
    engine,

    async transaction(work) {
      for (let tried = 1; ; tried++) {
        try {
          return await attempt(work)
        } catch (error) {
          if (tried === TRIES || !mayRepeat(error)) throw error
          await setTimeout(Math.random() * 20 * tried)
        }
      }
    },

    close: () => db.destroy(),
  }
}

function dialectOf({ url, password, pool, log, onOtherStore }: DatabaseOptions): Dialect {
  if (engineOf(url) === 'postgres') return createPostgresDialect({ url, password, pool, log, onOtherStore })
  const file = sqliteFile(url)
  makeFolder(file)
  return createSqliteDialect(file)
}

function guarded(dialect: Dialect, insideTransaction: () => boolean): Dialect {
  return dialectAround(dialect, async (step, work) => {
    // Waiting here would be waiting for ever (one connection), or reading past the transaction (several).
    if (step.kind === 'acquire' && insideTransaction()) {
      throw new TypeError('inside a transaction only its own handle (trx) may be used')
    }
    try {
      // What has been begun is ended in any case.
      return await patiently(work, { always: step.kind === 'rollback' || step.kind === 'release' })
    } catch (error) {
      throw storeFault(error)
    }
  })
}

/** The transaction is over: whatever a hook throws must not look like a failure of it. */
function runHooks(hooks: readonly (() => void)[], log: Log): void {
  for (const hook of hooks) {
    try {
      hook()
    } catch (error) {
      log.error({ err: error }, 'work after a transaction failed')
    }
  }
}
