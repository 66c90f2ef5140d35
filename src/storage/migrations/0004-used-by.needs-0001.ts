/** By whom a short-lived record was used, so that exactly that use can be taken back when its outcome was never heard. */
import type { Kysely } from 'kysely'
import type { Tables } from '../tables.ts'

export async function up(db: Kysely<Tables>): Promise<void> {
  await db.schema.alterTable('short_lived').addColumn('used_by', 'text').execute()
}
