/**
 * The first tables; `../tables.ts` says what their columns mean.
 *
 * Ids that the engine makes (`grant_id`) are no foreign keys: the engine saves and destroys its records one by one.
 * Times are `bigint`, since they are milliseconds; SQLite does not mind.
 */
import { type ColumnDefinitionBuilder, type CreateTableBuilder, type Kysely, sql } from 'kysely'
import type { Engine } from '../engine.ts'
import type { Tables } from '../tables.ts'

type Db = Kysely<Tables>
type Column = (column: ColumnDefinitionBuilder) => ColumnDefinitionBuilder

const id: Column = (column) => column.primaryKey().notNull()
const required: Column = (column) => column.notNull()
const references =
  (table: keyof Tables): Column =>
  (column) =>
    column.notNull().references(`${table}.id`)

/** A column that holds one of a few words. */
function oneOf<T extends string>(table: CreateTableBuilder<T>, column: string, words: string[]): CreateTableBuilder<T> {
  const list = sql.join(words.map((word) => sql.lit(word)))
  return table
    .addColumn(column, 'text', required)
    .addCheckConstraint(`${column}_known`, sql`${sql.ref(column)} in (${list})`) as CreateTableBuilder<T>
}

export async function up(db: Db, engine: Engine): Promise<void> {
  await developers(db)
  await people(db)
  await connections(db)
  await secrets(db)
  await background(db)
  await shortLived(db)
  await audit(db, engine)
}

async function developers(db: Db): Promise<void> {
  await oneOf(db.schema.createTable('organizations').addColumn('id', 'text', id), 'kind', [
    'organization',
    'individual',
  ])
    .addColumn('plan', 'text', required)
    .addColumn('name', 'text', required)
    .addColumn('website', 'text')
    .addColumn('created_at', 'bigint', required)
    .execute()
  await db.schema.createIndex('organizations_plan').on('organizations').column('plan').execute()

  await db.schema
    .createTable('apps')
    .addColumn('id', 'text', id)
    .addColumn('plan', 'text', required)
    .addColumn('organization_id', 'text', references('organizations'))
    .addColumn('name', 'text', required)
    .addColumn('website', 'text')
    .addColumn('privacy_policy_url', 'text')
    .addColumn('terms_url', 'text')
    .addColumn('support_email', 'text')
    .addColumn('created_at', 'bigint', required)
    .execute()
  await db.schema.createIndex('apps_plan').on('apps').column('plan').execute()
  await db.schema.createIndex('apps_organization').on('apps').column('organization_id').execute()

  let credentials = db.schema.createTable('credentials').addColumn('id', 'text', id)
  credentials = oneOf(credentials, 'kind', ['public', 'confidential', 'resource-server'])
  credentials = oneOf(credentials, 'status', ['active', 'suspended'])
  await credentials
    .addColumn('issuer', 'text', required)
    .addColumn('client_id', 'text', required)
    .addColumn('app_id', 'text', references('apps'))
    .addColumn('redirect_uris', 'text', required)
    .addColumn('scopes', 'text')
    .addColumn('apis', 'text', required)
    .addColumn('created_at', 'bigint', required)
    .addColumn('updated_at', 'bigint', required)
    .addUniqueConstraint('credentials_client', ['issuer', 'client_id'])
    .execute()
  await db.schema.createIndex('credentials_app').on('credentials').column('app_id').execute()

  await db.schema
    .createTable('credential_secrets')
    .addColumn('id', 'text', id)
    .addColumn('credential_id', 'text', (column) => references('credentials')(column).onDelete('cascade'))
    .addColumn('hash', 'text', required)
    .addColumn('created_at', 'bigint', required)
    .addColumn('expires_at', 'bigint')
    .execute()
  await db.schema.createIndex('credential_secrets_of').on('credential_secrets').column('credential_id').execute()
}

async function people(db: Db): Promise<void> {
  await oneOf(db.schema.createTable('members').addColumn('id', 'text', id), 'status', ['active', 'locked'])
    .addColumn('issuer', 'text', required)
    .addColumn('username', 'text', required)
    .addColumn('name', 'text', required)
    .addColumn('email', 'text')
    .addColumn('locale', 'text')
    .addColumn('password_hash', 'text')
    .addColumn('subject', 'text', required)
    .addColumn('created_at', 'bigint', required)
    .addColumn('updated_at', 'bigint', required)
    .addUniqueConstraint('members_username', ['issuer', 'username'])
    .addUniqueConstraint('members_subject', ['issuer', 'subject'])
    .execute()

  await db.schema
    .createTable('patients')
    .addColumn('id', 'text', id)
    .addColumn('issuer', 'text', required)
    .addColumn('fhir_id', 'text', required)
    .addColumn('name', 'text', required)
    .addColumn('birth_date', 'text')
    .addColumn('coverage_label', 'text')
    .addColumn('created_at', 'bigint', required)
    .addUniqueConstraint('patients_fhir_id', ['issuer', 'fhir_id'])
    .execute()

  await db.schema
    .createTable('own_records')
    .addColumn('id', 'text', id)
    .addColumn('issuer', 'text', required)
    .addColumn('member_id', 'text', references('members'))
    .addColumn('patient_id', 'text', references('patients'))
    .addColumn('created_at', 'bigint', required)
    .addUniqueConstraint('own_records_once', ['member_id', 'patient_id'])
    .execute()
  await db.schema.createIndex('own_records_patient').on('own_records').column('patient_id').execute()

  const bases = ['parent', 'guardian', 'power-of-attorney', 'member-designated']
  await oneOf(db.schema.createTable('delegations').addColumn('id', 'text', id), 'basis', bases)
    .addColumn('issuer', 'text', required)
    .addColumn('member_id', 'text', references('members'))
    .addColumn('patient_id', 'text', references('patients'))
    .addColumn('related_person', 'text', required)
    .addColumn('mask', 'text')
    .addColumn('starts_at', 'bigint', required)
    .addColumn('ends_at', 'bigint')
    .addColumn('created_at', 'bigint', required)
    .execute()
  await db.schema.createIndex('delegations_member').on('delegations').column('member_id').execute()
  await db.schema.createIndex('delegations_patient').on('delegations').column('patient_id').execute()
}

async function connections(db: Db): Promise<void> {
  await db.schema
    .createTable('connections')
    .addColumn('id', 'text', id)
    .addColumn('issuer', 'text', required)
    .addColumn('member_id', 'text', references('members'))
    .addColumn('patient_id', 'text', references('patients'))
    .addColumn('app_id', 'text', references('apps'))
    .addColumn('created_at', 'bigint', required)
    .addColumn('last_used_at', 'bigint')
    .addColumn('ended_at', 'bigint')
    .addColumn('end_reason', 'text')
    .execute()
  await db.schema
    .createIndex('connections_open_once')
    .unique()
    .on('connections')
    .columns(['issuer', 'member_id', 'patient_id', 'app_id'])
    .where(sql.ref('ended_at'), 'is', null)
    .execute()
  await db.schema.createIndex('connections_member').on('connections').column('member_id').execute()
  await db.schema.createIndex('connections_patient').on('connections').column('patient_id').execute()
  await db.schema.createIndex('connections_app').on('connections').column('app_id').execute()

  await db.schema
    .createTable('grants')
    .addColumn('id', 'text', id)
    .addColumn('issuer', 'text', required)
    .addColumn('client_id', 'text', required)
    .addColumn('connection_id', 'text', (column) => column.references('connections.id'))
    .addColumn('member_id', 'text', references('members'))
    .addColumn('patient_id', 'text', (column) => column.references('patients.id'))
    .addColumn('scope', 'text', required)
    .addColumn('context', 'text')
    .addColumn('payload', 'text', required)
    .addColumn('expires_at', 'bigint', required)
    .addColumn('created_at', 'bigint', required)
    .addColumn('ended_at', 'bigint')
    .addColumn('end_reason', 'text')
    .execute()
  await db.schema.createIndex('grants_connection').on('grants').column('connection_id').execute()
  await db.schema.createIndex('grants_member').on('grants').columns(['issuer', 'member_id']).execute()
  await db.schema.createIndex('grants_patient').on('grants').column('patient_id').execute()
  await db.schema.createIndex('grants_client').on('grants').columns(['issuer', 'client_id']).execute()

  await oneOf(db.schema.createTable('consents').addColumn('id', 'text', id), 'decision', ['shared', 'denied'])
    .addColumn('issuer', 'text', required)
    .addColumn('member_id', 'text', references('members'))
    .addColumn('patient_id', 'text', references('patients'))
    .addColumn('app_id', 'text', references('apps'))
    .addColumn('grant_id', 'text')
    .addColumn('requested_scope', 'text', required)
    .addColumn('granted_scope', 'text')
    .addColumn('text_hash', 'text', required)
    .addColumn('language', 'text', required)
    .addColumn('ends_at', 'bigint')
    .addColumn('decided_at', 'bigint', required)
    .execute()
  await db.schema.createIndex('consents_member').on('consents').column('member_id').execute()
  await db.schema.createIndex('consents_patient').on('consents').column('patient_id').execute()
  await db.schema.createIndex('consents_app').on('consents').column('app_id').execute()
  await db.schema.createIndex('consents_grant').on('consents').column('grant_id').execute()

  await db.schema
    .createTable('refresh_tokens')
    .addColumn('token_hash', 'text', id)
    .addColumn('issuer', 'text', required)
    .addColumn('grant_id', 'text', required)
    .addColumn('generation', 'integer', required)
    .addColumn('payload', 'text', required)
    .addColumn('expires_at', 'bigint', required)
    .addColumn('created_at', 'bigint', required)
    .addColumn('used_at', 'bigint')
    .addColumn('uses', 'integer', required)
    .addColumn('killed_at', 'bigint')
    .execute()
  await db.schema.createIndex('refresh_tokens_grant').on('refresh_tokens').column('grant_id').execute()
  await db.schema.createIndex('refresh_tokens_expiry').on('refresh_tokens').column('expires_at').execute()
}

async function secrets(db: Db): Promise<void> {
  let keys = db.schema.createTable('signing_keys').addColumn('kid', 'text', id)
  keys = oneOf(keys, 'algorithm', ['ES256', 'RS256'])
  keys = oneOf(keys, 'state', ['next', 'current', 'retired'])
  await keys
    .addColumn('issuer', 'text', required)
    .addColumn('sealed_jwk', 'text', required)
    .addColumn('created_at', 'bigint', required)
    .addColumn('retired_at', 'bigint')
    .execute()
  await db.schema
    .createIndex('signing_keys_one_current')
    .unique()
    .on('signing_keys')
    .columns(['issuer', 'algorithm'])
    .where(sql.ref('state'), '=', sql.lit('current'))
    .execute()

  await db.schema
    .createTable('sealed_secrets')
    .addColumn('issuer', 'text', required)
    .addColumn('purpose', 'text', required)
    .addColumn('id', 'text', required)
    .addColumn('sealed_value', 'text', required)
    .addColumn('created_at', 'bigint', required)
    .addPrimaryKeyConstraint('sealed_secrets_key', ['issuer', 'purpose', 'id'])
    .execute()
}

async function background(db: Db): Promise<void> {
  await db.schema
    .createTable('jobs')
    .addColumn('id', 'text', id)
    .addColumn('kind', 'text', required)
    .addColumn('unique_key', 'text')
    .addColumn('payload', 'text', required)
    .addColumn('run_at', 'bigint', required)
    .addColumn('attempts', 'integer', required)
    .addColumn('leased_by', 'text')
    .addColumn('leased_until', 'bigint')
    .addColumn('last_error', 'text')
    .addColumn('parked_at', 'bigint')
    .execute()
  await db.schema.createIndex('jobs_due').on('jobs').column('run_at').where(sql.ref('parked_at'), 'is', null).execute()
  await db.schema
    .createIndex('jobs_waiting_once')
    .unique()
    .on('jobs')
    .column('unique_key')
    .where(sql<boolean>`unique_key is not null and leased_by is null and parked_at is null`)
    .execute()

  await db.schema
    .createTable('letters')
    .addColumn('id', 'text', id)
    .addColumn('plan', 'text', required)
    .addColumn('issuer', 'text')
    .addColumn('recipient', 'text', required)
    .addColumn('subject', 'text', required)
    .addColumn('body', 'text', required)
    .addColumn('language', 'text', required)
    .addColumn('created_at', 'bigint', required)
    .addColumn('sent_at', 'bigint')
    .execute()
  await db.schema.createIndex('letters_issuer').on('letters').columns(['issuer', 'created_at']).execute()
  await db.schema.createIndex('letters_sent').on('letters').column('sent_at').execute()
}

async function shortLived(db: Db): Promise<void> {
  await db.schema
    .createTable('short_lived')
    .addColumn('issuer', 'text', required)
    .addColumn('kind', 'text', required)
    .addColumn('key', 'text', required)
    .addColumn('value', 'text', required)
    .addColumn('expires_at', 'bigint', required)
    .addColumn('used_at', 'bigint')
    .addColumn('uid', 'text')
    .addColumn('grant_id', 'text')
    .addColumn('member_id', 'text')
    .addPrimaryKeyConstraint('short_lived_key', ['issuer', 'kind', 'key'])
    .execute()
  await db.schema.createIndex('short_lived_expiry').on('short_lived').column('expires_at').execute()
  for (const column of ['uid', 'grant_id', 'member_id'] as const) {
    await db.schema
      .createIndex(`short_lived_${column}`)
      .on('short_lived')
      .columns(['issuer', column])
      .where(sql.ref(column), 'is not', null)
      .execute()
  }

  await db.schema
    .createTable('counters')
    .addColumn('issuer', 'text', required)
    .addColumn('kind', 'text', required)
    .addColumn('key', 'text', required)
    .addColumn('count', 'integer', required)
    .addColumn('expires_at', 'bigint', required)
    .addPrimaryKeyConstraint('counters_key', ['issuer', 'kind', 'key'])
    .execute()
  await db.schema.createIndex('counters_expiry').on('counters').column('expires_at').execute()
}

async function audit(db: Db, engine: Engine): Promise<void> {
  await oneOf(db.schema.createTable('audit'), 'outcome', ['success', 'refused', 'fault'])
    .addColumn('writer', 'text', required)
    .addColumn('sequence', 'bigint', required)
    .addColumn('time', 'bigint', required)
    .addColumn('plan', 'text')
    .addColumn('issuer', 'text')
    .addColumn('type', 'text', required)
    .addColumn('actor', 'text', required)
    .addColumn('member_id', 'text')
    .addColumn('patient_id', 'text')
    .addColumn('app_id', 'text')
    .addColumn('grant_id', 'text')
    .addColumn('request_id', 'text')
    .addColumn('details', 'text', required)
    .addColumn('previous_hash', 'text', required)
    .addColumn('hash', 'text', required)
    .addPrimaryKeyConstraint('audit_place', ['writer', 'sequence'])
    .execute()
  await db.schema.createIndex('audit_time').on('audit').columns(['time', 'writer', 'sequence']).execute()
  await db.schema.createIndex('audit_member').on('audit').columns(['member_id', 'time']).execute()
  await db.schema.createIndex('audit_request').on('audit').column('request_id').execute()

  if (engine === 'sqlite') await appendOnlySqlite(db)
  else await appendOnlyPostgres(db)
}

// R35: rows are added at the end of a writer's chain, and that is all.

/** The rule on insertion also keeps `insert or replace` out: no delete triggers run for the rows which that removes. */
async function appendOnlySqlite(db: Db): Promise<void> {
  for (const change of ['update', 'delete']) {
    await sql`
      create trigger ${sql.ref(`audit_no_${change}`)} before ${sql.raw(change)} on audit
      begin select raise(abort, 'the audit trail is append-only'); end
    `.execute(db)
  }
  await sql`
    create trigger audit_in_order before insert on audit
    when new.sequence <> (select coalesce(max(sequence), 0) + 1 from audit where writer = new.writer)
    begin select raise(abort, 'the audit trail is append-only'); end
  `.execute(db)
}

/** Error code 23000: an integrity constraint was violated. */
async function appendOnlyPostgres(db: Db): Promise<void> {
  const refusal = sql`raise exception 'the audit trail is append-only' using errcode = '23000'`
  await sql`
    create function audit_refuse() returns trigger language plpgsql as $$ begin ${refusal}; end $$
  `.execute(db)
  await sql`
    create function audit_in_order() returns trigger language plpgsql as $$
    begin
      if new.sequence <> (select coalesce(max(sequence), 0) + 1 from audit where writer = new.writer) then
        ${refusal};
      end if;
      return new;
    end $$
  `.execute(db)
  await sql`
    create trigger audit_no_change before update or delete or truncate on audit
    for each statement execute function audit_refuse()
  `.execute(db)
  await sql`
    create trigger audit_in_order before insert on audit for each row execute function audit_in_order()
  `.execute(db)
}
