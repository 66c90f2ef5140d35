/** The lives of a store: what is noted when it is promoted, or restored from a copy (R46). */
import type { Kysely } from 'kysely'
import type { Tables } from '../tables.ts'

export async function up(db: Kysely<Tables>): Promise<void> {
  await db.schema
    .createTable('lives')
    .addColumn('id', 'text', (column) => column.primaryKey().notNull())
    .addColumn('store', 'text', (column) => column.unique())
    .addColumn('since', 'bigint')
    .addColumn('opened_at', 'bigint')
    .addColumn('ends_at', 'bigint')
    .execute()
}
