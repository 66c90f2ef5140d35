/**
 * SQLite, as Node brings it, behind Kysely.
 *
 * Owns: the one connection and its queue, how it is opened, which values it takes.
 * Does not own: what an error means (faults.ts), what is stored (tables.ts).
 *
 * Kysely's dialect expects the interface of better-sqlite3. Five things differ on purpose. Every transaction begins
 * IMMEDIATE: a deferred one that turns to writing gets SQLITE_BUSY at once, whatever the timeout. Where another writer
 * is busy we wait in between, not inside SQLite: its busy timeout would freeze the event loop, and with it any other
 * connection of this process that could end the wait. The queue for the one connection is ours: Kysely's is never
 * unlocked when a driver refuses a connection. And a transaction that was neither committed nor rolled back ends when
 * its connection is given back, so that it cannot swallow later writes. And the disk is waited for outside of SQLite
 * (log-sync.ts).
 */

import { DatabaseSync, type StatementSync } from 'node:sqlite'
import { setTimeout } from 'node:timers/promises'
import {
  type CompiledQuery,
  type DatabaseConnection,
  type Dialect,
  type QueryResult,
  type SelectModifierNode,
  SqliteAdapter,
  type SqliteDatabase,
  SqliteDialect,
  SqliteDriver,
  SqliteQueryCompiler,
  type SqliteStatement,
} from 'kysely'
import { Unavailable } from '../errors.ts'
import { createLogSync, type LogSync, syncLogOf } from './log-sync.ts'
import { storable } from './storable.ts'

/** How long others may keep writing before we give up. */
const BUSY_MS = 5000
/** At opening there is nothing yet that could wait without freezing. */
const BUSY_AT_OPENING_MS = 5000
/** https://www.sqlite.org/rescode.html#busy */
const SQLITE_BUSY = 5
/** More than the product has; only a query built from input could reach it. */
const CACHED_STATEMENTS = 500

/** @param sync how what was written gets to the disk; a test may hold that up */
export function createSqliteDialect(file: string, sync: LogSync = syncOf(file)): Dialect {
  return new NodeSqliteDialect(file, sync)
}

const syncOf = (file: string): LogSync => (file === ':memory:' ? createLogSync(async () => {}) : syncLogOf(file))

class NodeSqliteDialect extends SqliteDialect {
  readonly #file: string
  readonly #sync: LogSync

  constructor(file: string, sync: LogSync) {
    super({ database: () => Promise.reject(new Error('the driver brings its own database')) })
    this.#file = file
    this.#sync = sync
  }

  override createDriver(): SqliteDriver {
    return new NodeSqliteDriver(openFile(this.#file), this.#sync)
  }

  override createAdapter(): SqliteAdapter {
    return new NodeSqliteAdapter()
  }

  override createQueryCompiler(): SqliteQueryCompiler {
    return new LocklessQueryCompiler()
  }
}

/** A transaction here has the whole database to itself: what other engines lock by `for update` nobody else can change. */
class LocklessQueryCompiler extends SqliteQueryCompiler {
  protected override visitSelectModifier(node: SelectModifierNode): void {
    if (node.modifier === 'ForUpdate' || node.modifier === 'SkipLocked') return
    super.visitSelectModifier(node)
  }
}

class NodeSqliteAdapter extends SqliteAdapter {
  /** There is one connection, and our driver queues for it. */
  override get supportsMultipleConnections(): boolean {
    return true
  }

  /** A migration happens as a whole or not at all, and once however many processes start together. */
  override get supportsTransactionalDdl(): boolean {
    return true
  }
}

class NodeSqliteDriver extends SqliteDriver {
  readonly #raw: DatabaseSync
  readonly #sync: LogSync
  readonly #queue = new Queue()
  /** Whoever has the one connection now. */
  #taken: PatientConnection | undefined

  constructor(raw: DatabaseSync, sync: LogSync) {
    super({ database: prepared(raw) })
    this.#raw = raw
    this.#sync = sync
  }

  override async acquireConnection(): Promise<DatabaseConnection> {
    await this.#queue.enter()
    this.#taken = new PatientConnection(await super.acquireConnection())
    return this.#taken
  }

  /** The next one may begin while who has written waits for the disk. */
  override async releaseConnection(): Promise<void> {
    let kept = this.#taken?.hasWritten === true
    try {
      if (this.#raw.isOpen && this.#raw.isTransaction) {
        kept = false
        this.#raw.exec('rollback')
      }
    } finally {
      this.#queue.leave()
    }
    if (kept) await this.#sync.synced()
  }

  /** SQLite itself ends a transaction on some faults (disk full, for one): then there is nothing to roll back. */
  override async rollbackTransaction(connection: DatabaseConnection): Promise<void> {
    if (this.#raw.isTransaction) await super.rollbackTransaction(connection)
  }

  /** Waits for what is running. */
  override async destroy(): Promise<void> {
    await this.#queue.enter()
    try {
      await this.#sync.close()
      if (this.#raw.isOpen) this.#raw.close()
    } finally {
      this.#queue.leave()
    }
  }
}

/** A transaction's begin and end write nothing by themselves. */
const onlyReads = /^(select|begin|commit|rollback)\b/

/** Tries again while another writer is busy. A statement that meets SQLITE_BUSY has done nothing. */
class PatientConnection implements DatabaseConnection {
  readonly #inner: DatabaseConnection
  /** Was anything asked but to read? */
  hasWritten = false

  constructor(inner: DatabaseConnection) {
    this.#inner = inner
  }

  async executeQuery<R>(query: CompiledQuery): Promise<QueryResult<R>> {
    this.hasWritten ||= !onlyReads.test(query.sql)
    const deadline = performance.now() + BUSY_MS
    for (let pause = 1; ; pause = Math.min(pause * 2, 32)) {
      try {
        return await this.#inner.executeQuery<R>(query)
      } catch (error) {
        if (!isBusy(error) || performance.now() > deadline) throw error
        await setTimeout(pause)
      }
    }
  }

  streamQuery<R>(query: CompiledQuery, chunkSize: number): AsyncIterableIterator<QueryResult<R>> {
    return this.#inner.streamQuery<R>(query, chunkSize)
  }
}

function isBusy(error: unknown): boolean {
  const code = (error as { errcode?: unknown }).errcode
  return typeof code === 'number' && (code & 0xff) === SQLITE_BUSY
}

/** First come, first served, one at a time. */
class Queue {
  readonly #waiting: (() => void)[] = []
  #busy = false

  async enter(): Promise<void> {
    if (this.#busy) await new Promise<void>((resolve) => this.#waiting.push(resolve))
    this.#busy = true
  }

  leave(): void {
    const next = this.#waiting.shift()
    if (next) next()
    else this.#busy = false
  }
}

function openFile(file: string): DatabaseSync {
  const raw = new DatabaseSync(file, { timeout: BUSY_AT_OPENING_MS, enableForeignKeyConstraints: true })
  try {
    refuseOldLibrary(raw)
    raw.exec('pragma journal_mode = wal')
    raw.exec('pragma synchronous = normal')
    raw.exec('pragma trusted_schema = off')
    raw.exec('pragma busy_timeout = 0')
  } catch (error) {
    raw.close()
    throw error
  }
  return raw
}

/** 3.7.0 to 3.51.2 can corrupt a WAL that several connections use: https://www.sqlite.org/changes.html */
function refuseOldLibrary(raw: DatabaseSync): void {
  const version = String(raw.prepare('select sqlite_version() as version').get()?.version)
  const [major = 0, minor = 0, patch = 0] = version.split('.').map(Number)
  const fine = major > 3 || (major === 3 && (minor > 51 || (minor === 51 && patch >= 3)))
  if (!fine) throw new Unavailable(`SQLite ${version} can corrupt a database; 3.51.3 or later is needed`)
}

function prepared(raw: DatabaseSync): SqliteDatabase {
  const statements = new Map<string, SqliteStatement>()
  return {
    close: () => raw.close(),
    prepare(text) {
      const sql = text === 'begin' ? 'begin immediate' : text
      const known = statements.get(sql)
      if (known) return known
      const statement = asKyselyWants(raw.prepare(sql))
      if (statements.size >= CACHED_STATEMENTS) statements.clear()
      statements.set(sql, statement)
      return statement
    },
  }
}

function asKyselyWants(statement: StatementSync): SqliteStatement {
  return {
    reader: statement.columns().length > 0,
    all: (parameters) => statement.all(...storable(parameters)),
    run: (parameters) => statement.run(...storable(parameters)),
    iterate: (parameters) => statement.iterate(...storable(parameters)),
  }
}
