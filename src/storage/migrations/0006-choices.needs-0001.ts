/** What members choose and change: narrowed grants, changes of connections, what a consent said, attestations of apps. */
import { type Kysely, sql } from 'kysely'
import type { Tables } from '../tables.ts'

export async function up(db: Kysely<Tables>): Promise<void> {
  await db.schema
    .alterTable('grants')
    .addColumn('revision', 'integer', (column) => column.notNull().defaultTo(0))
    .execute()
  await db.schema.alterTable('grants').addColumn('narrowed_at', 'bigint').execute()
  // The revocation feed asks for what ended or was narrowed since a moment.
  for (const column of ['ended_at', 'narrowed_at'] as const)
    await db.schema
      .createIndex(`grants_${column}`)
      .on('grants')
      .columns(['issuer', column])
      .where(column, 'is not', null)
      .execute()

  // What is live in a connection is found however many grants of it expired over the years.
  await db.schema
    .createIndex('grants_open')
    .on('grants')
    .columns(['connection_id', 'expires_at'])
    .where(sql.ref('ended_at'), 'is', null)
    .execute()

  await db.schema.alterTable('connections').addColumn('reminded_for', 'bigint').execute()

  for (const column of ['connection_id', 'sensitivities', 'text_version', 'record'] as const)
    await db.schema.alterTable('consents').addColumn(column, 'text').execute()
  await db.schema.createIndex('consents_connection').on('consents').column('connection_id').execute()
  await db.schema
    .createIndex('consents_decided')
    .on('consents')
    .columns(['issuer', 'member_id', 'patient_id', 'app_id', 'decided_at'])
    .execute()

  await db.schema
    .createTable('connection_changes')
    .addColumn('id', 'text', (column) => column.primaryKey().notNull())
    .addColumn('issuer', 'text', (column) => column.notNull())
    .addColumn('connection_id', 'text', (column) => column.notNull().references('connections.id'))
    .addColumn('member_id', 'text', (column) => column.notNull().references('members.id'))
    .addColumn('kind', 'text', (column) => column.notNull())
    .addColumn('details', 'text', (column) => column.notNull())
    .addColumn('text_hash', 'text')
    .addColumn('language', 'text')
    .addColumn('text_version', 'text')
    .addColumn('changed_at', 'bigint', (column) => column.notNull())
    .execute()
  await db.schema
    .createIndex('connection_changes_connection')
    .on('connection_changes')
    .column('connection_id')
    .execute()

  await db.schema
    .createTable('attestations')
    .addColumn('id', 'text', (column) => column.primaryKey().notNull())
    .addColumn('plan', 'text', (column) => column.notNull())
    .addColumn('app_id', 'text', (column) => column.notNull().references('apps.id'))
    .addColumn('state', 'text', (column) => column.notNull())
    .addColumn('version', 'integer', (column) => column.notNull())
    .addColumn('answers', 'text')
    .addColumn('person', 'text', (column) => column.notNull())
    .addColumn('evidence', 'text')
    .addColumn('attested_at', 'bigint', (column) => column.notNull())
    .addColumn('expires_at', 'bigint')
    .addColumn('created_at', 'bigint', (column) => column.notNull())
    .execute()
  await db.schema.createIndex('attestations_app').on('attestations').columns(['app_id', 'created_at']).execute()
}
