/**
 * A connection to PostgreSQL from when it is taken out of the pool until it is given back.
 *
 * Three things differ from Kysely's own on purpose. A connection whose state is not certain (an answer that did not come,
 * a server that goes down or has become a replica, a transaction that could not be ended) is never given to anybody
 * again. Every transaction is READ COMMITTED whatever the server's default: what is read in order to be changed is locked
 * by the query that reads it. And only statements that name their columns are kept by the server (prepared.ts).
 */
import { setTimeout } from 'node:timers/promises'
import type { DatabaseConnection, QueryResult } from 'kysely'
import type pg from 'pg'
import type { PostgresPlace } from '../config/postgres-url.ts'
import { Unavailable } from '../errors.ts'
import { addressOf, endsConnection, isClosed, mayRepeat, postgresFault } from './postgres-faults.ts'
import type { NamedQuery } from './prepared.ts'
import { storable } from './storable.ts'

/** How often a statement outside of any transaction is tried. */
const TRIES = 3

type Answer = pg.QueryResult<pg.QueryResultRow>

export class PooledConnection implements DatabaseConnection {
  readonly #pool: pg.Pool
  readonly #place: PostgresPlace
  #client: pg.PoolClient
  #inTransaction = false
  #uncertain = false
  #released = false

  constructor(pool: pg.Pool, client: pg.PoolClient, place: PostgresPlace) {
    this.#pool = pool
    this.#client = client
    this.#place = place
  }

  async executeQuery<R>({ sql: text, parameters, name }: NamedQuery): Promise<QueryResult<R>> {
    const query = { text, values: storable(parameters), ...(name === undefined ? {} : { name }) }
    const { command, rowCount, rows } = await (this.#inTransaction
      ? this.#ask(query)
      : this.#askAgain(query, text.startsWith('select ')))
    const changes = command === 'INSERT' || command === 'UPDATE' || command === 'DELETE'
    return { rows: (rows ?? []) as R[], ...(changes ? { numAffectedRows: BigInt(rowCount ?? 0) } : {}) }
  }

  /** A cursor would keep the connection from everybody else for as long as its reader likes. */
  streamQuery<R>(): AsyncIterableIterator<QueryResult<R>> {
    throw new TypeError('queries are not streamed; read in pages')
  }

  async begin(): Promise<void> {
    await this.#askAgain({ text: 'start transaction isolation level read committed' }, true)
    this.#inTransaction = true
  }

  async commit(): Promise<void> {
    const { command } = await this.#ask({ text: 'commit' })
    this.#inTransaction = false
    if (command === 'ROLLBACK')
      throw new Unavailable('a statement of the transaction had failed, so it was rolled back')
  }

  /** A connection that was thrown away takes its transaction along. */
  async rollback(): Promise<void> {
    if (this.#uncertain) return
    try {
      await this.#ask({ text: 'rollback' })
      this.#inTransaction = false
    } catch {
      this.#uncertain = true
    }
  }

  release(): void {
    if (!this.#released) this.#client.release(this.#uncertain || this.#inTransaction)
  }

  /**
   * What is in no transaction is asked again where that is certain to do it once: after a deadlock, which undid the
   * statement; and on another connection, if it `changesNothing` and the server has closed this one, as it closes all
   * when it restarts. A transaction is begun anew as a whole: database.ts.
   */
  async #askAgain(query: pg.QueryConfig, changesNothing: boolean): Promise<Answer> {
    for (let tried = 1; ; tried++) {
      try {
        return await this.#ask(query)
      } catch (error) {
        const closed = changesNothing && isClosed(error)
        if (tried === TRIES || !(closed || mayRepeat(error))) throw error
        await setTimeout(Math.random() * 20 * tried)
        if (closed) await this.#renew()
      }
    }
  }

  async #renew(): Promise<void> {
    // Given back first: where there is one connection only, its place is the one to take.
    this.release()
    this.#released = true
    try {
      this.#client = await this.#pool.connect()
      this.#released = false
      this.#uncertain = false
    } catch (error) {
      throw postgresFault(error, this.#place, this.#pool.options.max)
    }
  }

  async #ask(query: pg.QueryConfig): Promise<Answer> {
    if (this.#uncertain) throw new Unavailable(`the connection to PostgreSQL at ${addressOf(this.#place)} was lost`)
    try {
      return await this.#client.query(query)
    } catch (error) {
      if (endsConnection(error)) this.#uncertain = true
      throw postgresFault(error, this.#place)
    }
  }
}
