/**
 * Puts a function around every step that Kysely asks of a driver. The database translates errors with it; a test makes
 * a store that fails on command.
 */
import type { CompiledQuery, DatabaseConnection, Dialect, Driver, QueryResult, TransactionSettings } from 'kysely'

/** What is about to be asked of the driver; `sql` for a query. */
export type Step =
  | { kind: 'init' | 'acquire' | 'begin' | 'commit' | 'rollback' | 'release' | 'destroy' }
  | { kind: 'query'; sql: string }

/** Calls `work` or throws in its place; may translate what `work` throws. */
export type Around = <T>(step: Step, work: () => Promise<T>) => Promise<T>

export function dialectAround(dialect: Dialect, around: Around): Dialect {
  return {
    createDriver: () => driverAround(dialect.createDriver(), around),
    createQueryCompiler: () => dialect.createQueryCompiler(),
    createAdapter: () => dialect.createAdapter(),
    createIntrospector: (db) => dialect.createIntrospector(db),
  }
}

function driverAround(driver: Driver, around: Around): Driver {
  const step = <T>(kind: Exclude<Step['kind'], 'query'>, work: () => Promise<T>) => around({ kind }, work)
  return {
    init: () => step('init', () => driver.init()),
    acquireConnection: () =>
      step('acquire', async () => new ConnectionAround(await driver.acquireConnection(), around)),
    beginTransaction: (connection, settings: TransactionSettings) =>
      step('begin', () => driver.beginTransaction(innerOf(connection), settings)),
    commitTransaction: (connection) => step('commit', () => driver.commitTransaction(innerOf(connection))),
    rollbackTransaction: (connection) => step('rollback', () => driver.rollbackTransaction(innerOf(connection))),
    releaseConnection: (connection) => step('release', () => driver.releaseConnection(innerOf(connection))),
    destroy: () => step('destroy', () => driver.destroy()),
  }
}

class ConnectionAround implements DatabaseConnection {
  readonly inner: DatabaseConnection
  readonly #around: Around

  constructor(inner: DatabaseConnection, around: Around) {
    this.inner = inner
    this.#around = around
  }

  executeQuery<R>(query: CompiledQuery): Promise<QueryResult<R>> {
    return this.#around({ kind: 'query', sql: query.sql }, () => this.inner.executeQuery<R>(query))
  }

  /** A slow reader would keep the connection from everybody else. Read long results in pages, by key. */
  streamQuery<R>(): AsyncIterableIterator<QueryResult<R>> {
    throw new TypeError('queries are not streamed; read in pages')
  }
}

/** A driver gets its own connection back, with whatever it keeps on it. */
function innerOf(connection: DatabaseConnection): DatabaseConnection {
  return connection instanceof ConnectionAround ? connection.inner : connection
}
