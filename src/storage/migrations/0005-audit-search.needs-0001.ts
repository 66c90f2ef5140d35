/** The audit trail is searched by grant and by patient too: without an index each search would read all of it. */
import { type Kysely, sql } from 'kysely'
import type { Tables } from '../tables.ts'

export async function up(db: Kysely<Tables>): Promise<void> {
  for (const column of ['grant_id', 'patient_id'] as const)
    await db.schema
      .createIndex(`audit_${column}`)
      .on('audit')
      .columns([column, 'time'])
      .where(sql.ref(column), 'is not', null)
      .execute()
}
