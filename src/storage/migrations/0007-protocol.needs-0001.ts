/** What more kinds of clients need: keys, profiles, launch addresses, registration; practitioners; results of self-tests. */
import type { Kysely } from 'kysely'
import type { Tables } from '../tables.ts'

export async function up(db: Kysely<Tables>): Promise<void> {
  const texts = ['profile', 'grant_types', 'auth_method', 'jwks', 'jwks_uri', 'launch_urls', 'logout_uris'] as const
  for (const column of [...texts, 'registration', 'registration_token_hash'] as const)
    await db.schema.alterTable('credentials').addColumn(column, 'text').execute()
  await db.schema.alterTable('credentials').addColumn('dpop', 'integer').execute()

  await db.schema.alterTable('members').addColumn('fhir_user', 'text').execute()
  await db.schema.alterTable('grants').addColumn('vouched', 'integer').execute()

  await db.schema
    .createTable('registration_tokens')
    .addColumn('id', 'text', (column) => column.primaryKey().notNull())
    .addColumn('issuer', 'text', (column) => column.notNull())
    .addColumn('hash', 'text', (column) => column.notNull().unique())
    .addColumn('label', 'text', (column) => column.notNull())
    .addColumn('uses_left', 'integer', (column) => column.notNull())
    .addColumn('expires_at', 'bigint', (column) => column.notNull())
    .addColumn('created_at', 'bigint', (column) => column.notNull())
    .addColumn('last_used_at', 'bigint')
    .execute()
  await db.schema.createIndex('registration_tokens_issuer').on('registration_tokens').column('issuer').execute()

  await db.schema
    .createTable('self_tests')
    .addColumn('id', 'text', (column) => column.primaryKey().notNull())
    .addColumn('issuer', 'text', (column) => column.notNull())
    .addColumn('outcome', 'text', (column) => column.notNull())
    .addColumn('report', 'text', (column) => column.notNull())
    .addColumn('started_at', 'bigint', (column) => column.notNull())
    .addColumn('finished_at', 'bigint', (column) => column.notNull())
    .execute()
  await db.schema.createIndex('self_tests_issuer').on('self_tests').columns(['issuer', 'started_at']).execute()
}
