/** Every change of the tables, oldest first. Forward only: what is released is never edited, and there is no way down. */
import type { Kysely } from 'kysely'
import { type Migration, Migrator } from 'kysely/migration'
import { Unavailable } from '../../errors.ts'
import type { Engine } from '../engine.ts'
import type { Tables } from '../tables.ts'
import { up as first } from './0001-first.ts'
import { byteOrder } from './byte-order.ts'

const MIGRATIONS: Record<string, (db: Kysely<Tables>, engine: Engine) => Promise<void>> = {
  '0001-first': first,
}

/** Brings the tables up to date, in one transaction; several processes may try at once. */
export async function migrate(db: Kysely<Tables>, engine: Engine): Promise<void> {
  const ordered = engine === 'postgres' ? db.withPlugin(byteOrder) : db
  const steps = Object.entries(MIGRATIONS).map(([name, up]): [string, Migration] => [
    name,
    { up: (trx: Kysely<Tables>) => up(trx, engine) },
  ])
  const migrator = new Migrator({ db: ordered, provider: { getMigrations: async () => Object.fromEntries(steps) } })
  const { error } = await migrator.migrateToLatest()
  if (error === undefined) return
  if (error instanceof Unavailable) throw error
  const newer = error instanceof Error && /previously executed migration \S+ is missing/.test(error.message)
  const reason = newer ? 'it was written by a newer Latchkey' : String(error)
  throw new Unavailable(`the database cannot be brought up to date: ${reason}`, { cause: error })
}
