/** The rows of an app that registered itself, and what it is told of them (RFC 7591 section 3.2.1). */
import type { Transaction } from 'kysely'
import { hashSecret, newId, randomToken } from '../secrets.ts'
import type { CredentialRow, Tables } from '../storage/tables.ts'
import type { ClientDraft } from './client-metadata.ts'
import type { UsableToken } from './registration-tokens.ts'

/** What an app is answered (RFC 7591 section 3.2.1). */
export type ClientInformation = Record<string, unknown>

/** What is kept beside the columns. */
export interface Stored {
  v: 1
  metadata: Record<string, unknown>
  /** What an issuer of statements said of the app: it cannot say otherwise itself. */
  statement: { text: string; issuer: string; claims: Record<string, unknown> } | null
  /** Of the initial access token. */
  tokenId: string | null
}

export const asText = (list: readonly string[]): string => JSON.stringify(list)

/**
 * Who members read behind an app: whom the operator made the token for; else every host that its answers may go to, so that
 * none stands for another.
 */
const developerOf = (label: string | undefined, { redirectUris, name }: ClientDraft): string => {
  const secure = redirectUris.map((uri) => new URL(uri)).filter(({ protocol }) => protocol === 'https:')
  const hosts = [...new Set(secure.map(({ hostname }) => hostname))]
  return label ?? (hosts.length > 0 ? hosts.join(', ') : name)
}

/** What stands in its credential. */
export const columnsOf = (draft: ClientDraft, stored: Stored) => ({
  kind: draft.kind === 'service' ? ('confidential' as const) : draft.kind,
  grant_types: draft.kind === 'service' ? asText(['client_credentials']) : null,
  profile: draft.profile,
  auth_method: draft.authMethod,
  jwks: draft.jwks && JSON.stringify(draft.jwks),
  jwks_uri: draft.jwksUri,
  dpop: draft.dpop ? (1 as const) : (0 as const),
  launch_urls: asText(draft.launchUrls),
  logout_uris: asText(draft.logoutUris),
  redirect_uris: asText(draft.redirectUris),
  scopes: draft.scopes && asText(draft.scopes),
  apis: asText(draft.apis),
  registration: JSON.stringify(stored),
})

/** What stands in its app. */
const appColumnsOf = ({ name, website, privacyPolicyUrl, termsUrl, supportEmail }: ClientDraft) => ({
  name,
  website,
  privacy_policy_url: privacyPolicyUrl,
  terms_url: termsUrl,
  support_email: supportEmail,
})

/** Which kind of app a credential is of. */
export const kindOf = ({ kind, grant_types }: Pick<CredentialRow, 'kind' | 'grant_types'>): ClientDraft['kind'] =>
  grant_types === null && kind !== 'resource-server' ? kind : 'service'

/** What an app is told. `once`: its registration access token, and its secret where one was made just now. */
export const informationOf = (
  row: Pick<CredentialRow, 'client_id' | 'created_at'>,
  { metadata, statement }: Stored,
  once: { address: string; token: string; secret: string | null },
): ClientInformation => ({
  client_id: row.client_id,
  client_id_issued_at: Math.floor(row.created_at / 1000),
  ...(once.secret === null ? {} : { client_secret: once.secret, client_secret_expires_at: 0 }),
  ...metadata,
  ...(statement ? { software_statement: statement.text } : {}),
  registration_access_token: once.token,
  registration_client_uri: `${once.address}/${row.client_id}`,
})

/** A new secret of a credential; only its hash is kept. */
export const putSecret = async (trx: Transaction<Tables>, credentialId: string, at: number): Promise<string> => {
  const secret = randomToken()
  const row = { id: newId(at), credential_id: credentialId, hash: hashSecret(secret), created_at: at, expires_at: null }
  await trx.insertInto('credential_secrets').values(row).execute()
  return secret
}

/** The app, and who is behind it; the answer is its id. */
export const putApp = async (
  trx: Transaction<Tables>,
  { plan, draft, token, at }: { plan: string; draft: ClientDraft; token: UsableToken | undefined; at: number },
): Promise<string> => {
  const organization = { id: newId(at), plan, kind: 'organization' as const, website: null, created_at: at }
  await trx
    .insertInto('organizations')
    .values({ ...organization, name: developerOf(token?.label, draft) })
    .execute()
  const app = { id: newId(at), plan, organization_id: organization.id, created_at: at }
  await trx
    .insertInto('apps')
    .values({ ...app, ...appColumnsOf(draft) })
    .execute()
  return app.id
}

/** The app and who is behind it after a change; an operator's word for who that is stays. */
export const changeApp = async (
  trx: Transaction<Tables>,
  { appId, draft, tokenId }: { appId: string; draft: ClientDraft; tokenId: string | null },
): Promise<void> => {
  const { organization_id: id } = await trx
    .updateTable('apps')
    .set(appColumnsOf(draft))
    .where('id', '=', appId)
    .returning('organization_id')
    .executeTakeFirstOrThrow()
  if (tokenId !== null) return
  const name = developerOf(undefined, draft)
  await trx.updateTable('organizations').set({ name }).where('id', '=', id).execute()
}
