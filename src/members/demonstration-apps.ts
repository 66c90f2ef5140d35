/** The demonstration's developers, apps, credentials and secrets. */
import type { Transaction } from 'kysely'
import { optionOf } from '../config/addresses.ts'
import type { DemonstrationApp } from '../config/settings.ts'
import { hashSecret } from '../secrets.ts'
import type { AttestationRow, Tables } from '../storage/tables.ts'
import { type Desk, demonstrationId, differs, isDemonstrationId, leftOver } from './demonstration-desk.ts'
import { endOfDay } from './durations.ts'

/** What this part needs of `portal`: keeps what a developer said. Faults of the answers are told below the option `at`. */
export type Attest = (
  trx: Transaction<Tables>,
  said: {
    id: string
    actor: string
    issuer: string
    appId: string
    state: AttestationRow['state']
    answers: unknown
    person: string
    evidence: string | null
    expiresAt: number | null
  },
  at: string,
) => Promise<unknown>

/** Makes the apps as the file says, and suspends those that it no longer names. */
export async function putApps(desk: Desk, apps: readonly DemonstrationApp[], attest: Attest): Promise<void> {
  const named = new Set<string>()
  for (const app of apps) {
    const appId = await putApp(desk, app)
    await putAttestation(desk, app, appId, attest)
    const credentialId = await putCredential(desk, app, appId)
    await putSecret(desk, credentialId, app)
    named.add(credentialId)
  }
  for (const id of await leftOver(desk, 'credentials', named)) await retire(desk, id)
}

async function putOrganization({ trx, environment, at, change }: Desk, name: string): Promise<string> {
  const plan = environment.plan.id
  const id = demonstrationId('organization', plan, name)
  const stored = await trx.selectFrom('organizations').select('id').where('id', '=', id).executeTakeFirst()
  if (!stored) {
    const row = { id, plan, kind: 'organization' as const, name, website: null, created_at: at }
    await change(trx.insertInto('organizations').values(row))
  }
  return id
}

async function putApp(desk: Desk, app: DemonstrationApp): Promise<string> {
  const { trx, environment, at, change } = desk
  const id = demonstrationId('app', environment.id, app.clientId)
  const row = {
    organization_id: await putOrganization(desk, app.developer),
    name: app.name,
    website: app.website,
    privacy_policy_url: app.privacyPolicyUrl,
  }
  const stored = await trx.selectFrom('apps').selectAll().where('id', '=', id).executeTakeFirst()
  if (!stored) {
    const rest = { id, plan: environment.plan.id, terms_url: null, support_email: null, created_at: at }
    await change(trx.insertInto('apps').values({ ...row, ...rest }))
  } else if (differs(stored, row)) {
    await change(trx.updateTable('apps').set(row).where('id', '=', id))
  }
  return id
}

/** What the file says that the developer said; an answer that was given since, by command, stays in force. */
async function putAttestation(desk: Desk, app: DemonstrationApp, appId: string, attest: Attest): Promise<void> {
  const { trx, environment, change } = desk
  const said = app.attestation
  const id = said && demonstrationId('attestation', appId, JSON.stringify(said))
  const rows = await trx.selectFrom('attestations').select('id').where('app_id', '=', appId).execute()
  const stored = rows.map((row) => row.id).filter(isDemonstrationId)
  for (const old of stored.filter((one) => one !== id))
    await change(trx.deleteFrom('attestations').where('id', '=', old))
  if (!said || !id || stored.includes(id)) return
  const { timeZone } = environment.plan
  const expiresAt = said.expiresAt === null ? null : endOfDay(said.expiresAt, timeZone)
  const { state, answers } = said
  const row = { id, actor: 'system', issuer: environment.id, appId, state, answers, person: app.developer, expiresAt }
  const at = `${optionOf(environment)}.demonstration.apps.${app.clientId}.attestation.answers`
  await change({ execute: () => attest(trx, { ...row, evidence: null }, at) })
}

async function putCredential({ trx, environment, at, change }: Desk, app: DemonstrationApp, appId: string) {
  const row = {
    app_id: appId,
    kind: app.kind === 'service' ? ('confidential' as const) : app.kind,
    grant_types: app.kind === 'service' ? '["client_credentials"]' : null,
    profile: app.profile,
    auth_method: app.jwks || app.jwksUri ? 'private_key_jwt' : null,
    jwks: app.jwks && JSON.stringify(app.jwks),
    jwks_uri: app.jwksUri,
    dpop: app.dpop ? (1 as const) : (0 as const),
    launch_urls: JSON.stringify(app.launchUrls),
    logout_uris: JSON.stringify(app.logoutUris),
    status: 'active' as const,
    redirect_uris: JSON.stringify(app.redirectUris),
    scopes: app.scopes === null ? null : JSON.stringify(app.scopes),
    apis: JSON.stringify(environment.apis.map((api) => api.id)),
  }
  const stored = await trx
    .selectFrom('credentials')
    .selectAll()
    .where('issuer', '=', environment.id)
    .where('client_id', '=', app.clientId)
    .executeTakeFirst()
  const id = stored?.id ?? demonstrationId('credential', environment.id, app.clientId)
  if (!stored) {
    const rest = { id, issuer: environment.id, client_id: app.clientId, created_at: at, updated_at: at }
    await change(trx.insertInto('credentials').values({ ...row, ...rest }))
  } else if (differs(stored, row)) {
    await change(
      trx
        .updateTable('credentials')
        .set({ ...row, updated_at: at })
        .where('id', '=', id),
    )
  }
  return id
}

/** The published secret, beside any that was added since; one that the file gave before stops working. */
async function putSecret({ trx, at, change }: Desk, credentialId: string, app: DemonstrationApp): Promise<void> {
  const hash = app.secret === null ? null : hashSecret(app.secret)
  const stored = await trx
    .selectFrom('credential_secrets')
    .select(['id', 'hash'])
    .where('credential_id', '=', credentialId)
    .execute()
  for (const secret of stored.filter((one) => isDemonstrationId(one.id) && one.hash !== hash)) {
    await change(trx.deleteFrom('credential_secrets').where('id', '=', secret.id))
  }
  if (hash === null || stored.some((one) => one.hash === hash)) return
  const id = demonstrationId('secret', credentialId, hash)
  const row = { id, credential_id: credentialId, hash, created_at: at, expires_at: null }
  await change(trx.insertInto('credential_secrets').values(row))
}

/** Suspended, not deleted: what was shared with it stays on record. Its published secret goes. */
async function retire({ trx, at, changeIf }: Desk, id: string): Promise<void> {
  await changeIf(
    trx
      .updateTable('credentials')
      .set({ status: 'suspended', updated_at: at })
      .where('id', '=', id)
      .where('status', '=', 'active'),
  )
  await changeIf(trx.deleteFrom('credential_secrets').where('credential_id', '=', id))
}
