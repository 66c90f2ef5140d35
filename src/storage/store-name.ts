/**
 * Which PostgreSQL this is: `{cluster}/{database}/{timeline}`. A replica that is promoted begins a new timeline, so does a
 * recovery to a point in time; a dump is restored into another database or cluster.
 */
import { sql } from 'kysely'
import pg from 'pg'
import { Unavailable } from '../errors.ts'
import type { Database } from './database.ts'

const QUESTION = `
  select (select system_identifier::text from pg_control_system()) || '/' ||
         (select oid::text from pg_database where datname = current_database()) || '/' ||
         substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) as name`

type Ask = (question: string) => Promise<{ rows: { name: string }[] }>

/** Null where the server does not say, as some hosted ones do. Not for a replica. */
export async function storeName(ask: Ask): Promise<string | null> {
  try {
    const { rows } = await ask(QUESTION)
    return rows[0]?.name ?? null
  } catch (error) {
    const cause = error instanceof Unavailable ? error.cause : error
    // A question that PostgreSQL does not answer; whatever else failed is the connection's fault.
    if (cause instanceof pg.DatabaseError && /^(0A|42)/.test(cause.code ?? '')) return null
    throw error
  }
}

/** The same of an open store; null for SQLite. */
export const nameOfStore = ({ db, engine }: Database): Promise<string | null> =>
  engine === 'sqlite' ? Promise.resolve(null) : storeName((question) => sql.raw<{ name: string }>(question).execute(db))
