/**
 * PostgreSQL, by `pg`, behind Kysely.
 *
 * Owns: the pool, how a connection is opened, and by which server. Does not own: what a connection does
 * (postgres-connection.ts), what an error means (faults.ts, postgres-faults.ts), what a URL says (config/postgres-url.ts).
 *
 * Kysely's driver is not used, only its compiler: see postgres-connection.ts. The error of a connection in use is heard:
 * `pg` emits it besides rejecting, and without a listener that ends the process.
 */
import { readFileSync } from 'node:fs'
import { userInfo } from 'node:os'
import {
  type DatabaseConnection,
  type Dialect,
  type Driver,
  OperationNodeTransformer,
  PostgresAdapter,
  PostgresIntrospector,
  PostgresQueryCompiler,
  ValueNode,
} from 'kysely'
import pg from 'pg'
import { POOL_DEFAULTS, type PoolSettings, type PostgresPlace, readPostgresUrl } from '../config/postgres-url.ts'
import { InputFaults, Unavailable } from '../errors.ts'
import type { Log } from '../log.ts'
import { PooledConnection } from './postgres-connection.ts'
import { addressOf, postgresFault } from './postgres-faults.ts'
import { rewriting } from './rewriting.ts'
import { storeName } from './store-name.ts'

/** As settings have it; without a number of `statementSeconds` a statement may take as long as it likes. */
export type PoolOptions = Omit<PoolSettings, 'statementSeconds'> & { statementSeconds: number | null }

/** How much longer than the server's own limit we wait for its word: then it does not answer at all. */
const SILENCE_MS = 500
/** Who waits longer for a lock makes others wait behind it: a migration at a table in use, for one. */
const LOCK_MS = 2_000
/** A transaction that asks for nothing more has lost its owner. */
const IDLE_IN_TRANSACTION_MS = 10_000
/** An idle connection is closed after this time, so that a pool shrinks after a rush. */
const IDLE_MS = 60_000
const OLDEST_VERSION = 13

export interface PostgresOptions {
  url: string
  password?: string | null | undefined
  pool?: Partial<PoolOptions> | undefined
  log: Log
  /**
   * Called when a connection turns out to be to another store than the first one was: a promoted replica, a restored
   * database. Nothing is asked of that store by way of this dialect before it is fulfilled.
   */
  onOtherStore?: (() => Promise<void>) | undefined
}

export function createPostgresDialect(options: PostgresOptions): Dialect {
  const place = readPostgresUrl(options.url)
  if ('fault' in place) throw new InputFaults([{ path: 'database.url', message: place.fault }])
  const config = clientConfig({ ...place, password: options.password ?? place.password })
  const pool = { ...POOL_DEFAULTS, ...options.pool }
  return {
    createDriver: () => new PooledDriver(place, createPool(place, config, pool, options)),
    createAdapter: () => new PostgresAdapter(),
    createQueryCompiler: () => new PostgresQueryCompiler(),
    createIntrospector: (db) => new PostgresIntrospector(db.withPlugin(rewriting(new SpeltBooleans()))),
  }
}

/** Kysely's questions about tables have booleans as parameters; ours have none, and those are refused (storable.ts). */
class SpeltBooleans extends OperationNodeTransformer {
  protected override transformValue(node: ValueNode): ValueNode {
    return typeof node.value === 'boolean' ? ValueNode.createImmediate(node.value) : node
  }
}

function clientConfig(place: PostgresPlace): pg.ClientConfig {
  const { host, port, database, user = userInfo().username, password } = place
  return { host, port, database, user, password, ssl: tlsOptions(place) }
}

function tlsOptions({ host, sslmode, sslrootcert }: PostgresPlace): pg.ClientConfig['ssl'] {
  if (sslmode === 'disable') return false
  if (sslmode === 'require') return { rejectUnauthorized: false }
  return {
    // Without it an address would be compared with `localhost`.
    host,
    ...(sslrootcert === undefined ? {} : { ca: readCertificates(sslrootcert) }),
    ...(sslmode === 'verify-ca' ? { checkServerIdentity: () => undefined } : {}),
  }
}

function readCertificates(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unreadable'
    throw new InputFaults([{ path: 'database.url', message: `has an sslrootcert that cannot be read (${code})` }])
  }
}

function createPool(
  place: PostgresPlace,
  client: pg.ClientConfig,
  options: PoolOptions,
  { log, onOtherStore }: PostgresOptions,
): pg.Pool {
  const isSameStore = onOtherStore && storeGuard(place, log, onOtherStore)
  const limits =
    options.statementSeconds === null
      ? {}
      : {
          statement_timeout: options.statementSeconds * 1000,
          query_timeout: options.statementSeconds * 1000 + SILENCE_MS,
        }
  const pool = new pg.Pool({
    ...client,
    max: options.size,
    connectionTimeoutMillis: options.waitSeconds * 1000,
    idleTimeoutMillis: IDLE_MS,
    ...limits,
    lock_timeout: LOCK_MS,
    idle_in_transaction_session_timeout: IDLE_IN_TRANSACTION_MS,
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
    application_name: 'latchkey',
    types: { getTypeParser: parserOf },
    verify: (fresh, done) =>
      void examine(fresh, place)
        .then(() => isSameStore?.(fresh))
        .then(() => done(), done),
  })
  pool.on('connect', (fresh) => fresh.on('error', () => {}))
  // Whatever is wrong is told to the next one who wants a connection. The error drags its client along: not into the log.
  pool.on('error', ({ message }) => log.warn({ reason: message }, 'an idle connection to the database was lost'))
  return pool
}

/** What could bend or lose records is refused before the first query: an old server, another encoding, a replica. */
async function examine(client: pg.ClientBase, place: PostgresPlace): Promise<void> {
  const at = `PostgreSQL at ${addressOf(place)}`
  const { rows } = await client.query<{ replica: boolean; encoding: string; version: number }>(
    `select pg_is_in_recovery() as replica, current_setting('server_encoding') as encoding,
            current_setting('server_version_num')::integer / 10000 as version`,
  )
  const [found] = rows
  if (!found || found.version < OLDEST_VERSION)
    throw new Unavailable(`${at} is version ${found?.version}; ${OLDEST_VERSION} or later is needed`)
  if (found.encoding !== 'UTF8')
    throw new Unavailable(
      `the database ${place.database} at ${addressOf(place)} has the encoding ${found.encoding}; create one with encoding 'UTF8'`,
    )
  if (found.replica)
    throw new Unavailable(`${at} is a read-only replica; point database.url to the primary, or promote this one`)
}

/** Lets nobody by who comes from another store than the first one did, until that is seen to. */
function storeGuard(
  place: PostgresPlace,
  log: Log,
  onOtherStore: () => Promise<void>,
): (client: pg.ClientBase) => Promise<void> {
  let known: string | undefined
  let busy = false
  return async (client) => {
    const name = await storeName((question) => client.query(question))
    known ??= name ?? undefined
    if (name === null || name === known) return
    if (!busy) {
      busy = true
      void onOtherStore()
        .then(() => {
          known = name
        })
        .catch((error: unknown) => log.error({ err: error }, 'the other store is not ready to be used'))
        .finally(() => {
          busy = false
        })
    }
    throw new Unavailable(`PostgreSQL at ${addressOf(place)} was promoted or restored; what it lacks is replayed first`)
  }
}

/** Whole numbers come as text, since some are larger than JavaScript's; ours never are (tables.ts). */
const parserOf = ((oid: number, format?: 'text') =>
  oid === pg.types.builtins.INT8 || oid === pg.types.builtins.NUMERIC
    ? toNumber
    : pg.types.getTypeParser(oid, format)) as pg.CustomTypesConfig['getTypeParser']

function toNumber(text: string): number {
  const number = Number(text)
  if (Math.abs(number) > Number.MAX_SAFE_INTEGER) throw new RangeError('a stored number is larger than any of ours')
  return number
}

class PooledDriver implements Driver {
  readonly #place: PostgresPlace
  readonly #pool: pg.Pool

  constructor(place: PostgresPlace, pool: pg.Pool) {
    this.#place = place
    this.#pool = pool
  }

  async init(): Promise<void> {}

  async acquireConnection(): Promise<PooledConnection> {
    try {
      return new PooledConnection(this.#pool, await this.#pool.connect(), this.#place)
    } catch (error) {
      throw postgresFault(error, this.#place, this.#pool.options.max)
    }
  }

  beginTransaction(connection: DatabaseConnection): Promise<void> {
    return ours(connection).begin()
  }

  commitTransaction(connection: DatabaseConnection): Promise<void> {
    return ours(connection).commit()
  }

  rollbackTransaction(connection: DatabaseConnection): Promise<void> {
    return ours(connection).rollback()
  }

  async releaseConnection(connection: DatabaseConnection): Promise<void> {
    ours(connection).release()
  }

  /** Waits for connections in use. */
  async destroy(): Promise<void> {
    await this.#pool.end()
  }
}

function ours(connection: DatabaseConnection): PooledConnection {
  if (!(connection instanceof PooledConnection)) throw new TypeError('another driver’s connection')
  return connection
}
