/**
 * Every change of the tables, oldest first. Forward only: what is released is never edited, and there is no way down.
 *
 * The previous release runs on the new tables, so that nodes can be replaced one after the other, and back: a release
 * first expands, and a later one contracts what nobody needs any more. Each name says which migration a server must know
 * to run on the store (`0002-….needs-0001`), because an older one cannot look into those that it does not have.
 */
import { type Kysely, sql } from 'kysely'
import { type Migration, Migrator } from 'kysely/migration'
import { Unavailable } from '../../errors.ts'
import type { Engine } from '../engine.ts'
import type { Tables } from '../tables.ts'
import { up as first } from './0001-first.ts'
import { up as keyChanges } from './0002-key-changes.needs-0001.ts'
import { up as recovery } from './0003-recovery.needs-0001.ts'
import { up as usedBy } from './0004-used-by.needs-0001.ts'
import { up as auditSearch } from './0005-audit-search.needs-0001.ts'
import { up as choices } from './0006-choices.needs-0001.ts'
import { up as protocol } from './0007-protocol.needs-0001.ts'
import { up as brands } from './0008-brands.needs-0001.ts'
import { byteOrder } from './byte-order.ts'

const MIGRATIONS: Record<string, (db: Kysely<Tables>, engine: Engine) => Promise<void>> = {
  '0001-first': first,
  '0002-key-changes.needs-0001': keyChanges,
  '0003-recovery.needs-0001': recovery,
  '0004-used-by.needs-0001': usedBy,
  '0005-audit-search.needs-0001': auditSearch,
  '0006-choices.needs-0001': choices,
  '0007-protocol.needs-0001': protocol,
  '0008-brands.needs-0001': brands,
}

const newest = Math.max(...Object.keys(MIGRATIONS).map((name) => Number(name.slice(0, 4))))

/** Brings the tables up to date, in one transaction; several processes may try at once, older and newer ones too. */
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
  // A newer server was here: whatever we would do it has done, and we may run if its tables still have what we need.
  if (error instanceof Error && /previously executed migration \S+ is missing/.test(error.message))
    return checkTables(db)
  throw new Unavailable(`the database cannot be brought up to date: ${error}`, { cause: error })
}

/**
 * Can this server run on the tables as they are now? A newer one may have changed them since it started.
 * @throws Unavailable if not
 */
export async function checkTables(db: Kysely<Tables>): Promise<void> {
  const { rows } = await sql<{ name: string }>`select name from kysely_migration`.execute(db)
  for (const { name } of rows) {
    if (name in MIGRATIONS) continue
    const needs = /\.needs-(\d{4})$/.exec(name)?.[1]
    if (needs === undefined || Number(needs) > newest)
      throw new Unavailable(
        `the database was written by a newer Latchkey (${name}), on whose tables this one cannot run`,
      )
  }
}
