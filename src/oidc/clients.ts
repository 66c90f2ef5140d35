/**
 * An app's credential at one issuer, as the engine wants its clients.
 *
 * Owns: from rows to client metadata, which APIs and scopes a client may have, whether a secret is right.
 * Does not own: registration and review (portal), or who may introspect (introspection.ts).
 */
import type { Jwk } from '../config/public-keys.ts'
import type { Environment } from '../config/settings.ts'
import { linkable } from '../config/urls.ts'
import { secretMatches } from '../secrets.ts'
import type { Database } from '../storage/database.ts'
import { type Named, prepared } from '../storage/prepared.ts'
import type { AppRow, CredentialRow } from '../storage/tables.ts'
import type { ClientMetadata } from './engine.ts'
import { acceptsMethod, acceptsRedirect, isProfile, type ProfileName, profiles } from './profiles.ts'

/** What a page or a rule wants to know of a client. */
export interface ClientRecord {
  clientId: string
  credentialId: string
  /** A `service` has tokens of its own and asks no members (SMART "Backend Services"). */
  kind: CredentialRow['kind'] | 'service'
  profile: ProfileName
  authMethod: AuthMethod
  /** Public keys, inline or by address; both null where it authenticates otherwise. */
  jwks: { keys: Record<string, unknown>[] } | null
  jwksUri: string | null
  /** Must all of its tokens be bound to a key? */
  dpop: boolean
  redirectUris: string[]
  launchUrls: string[]
  logoutUris: string[]
  /** Null: every scope of its APIs. */
  scopes: string[] | null
  apis: string[]
  secretHashes: string[]
  app: Pick<AppRow, 'id' | 'name' | 'website' | 'privacy_policy_url' | 'terms_url'> & { developer: string }
}

export type AuthMethod = 'none' | 'client_secret_basic' | 'private_key_jwt'

const grantTypes: Record<ClientRecord['kind'], string[]> = {
  public: ['authorization_code', 'refresh_token'],
  confidential: ['authorization_code', 'refresh_token'],
  service: ['client_credentials'],
  'resource-server': [],
}

const loopback = new Set(['localhost', '127.0.0.1', '[::1]'])

/**
 * Native apps redirect to loopback on any port or to a scheme of their own (RFC 8252 §7); all others are web apps. The engine
 * refuses a native app with https on loopback, as a demonstration behind a proxy on this machine has: it is a web app
 * then, whose ports are exact.
 */
const isNative = (uris: readonly string[]): boolean => {
  const parsed = uris.map((uri) => new URL(uri))
  if (parsed.some(({ protocol, hostname }) => protocol === 'https:' && loopback.has(hostname))) return false
  return parsed.some(({ protocol, hostname }) =>
    protocol === 'http:' ? loopback.has(hostname) : protocol !== 'https:',
  )
}

/**
 * The engine's metadata of a client; `client_secret` holds the hashes, which `secretIsRight` knows to compare. With `key` that is
 * the one key with which it may authenticate now (client-assertions.ts).
 */
export const metadataOf = (client: ClientRecord, key?: Jwk): ClientMetadata => ({
  client_id: client.clientId,
  client_name: client.app.name,
  application_type: isNative(client.redirectUris) ? 'native' : 'web',
  redirect_uris: client.redirectUris,
  grant_types: grantTypes[client.kind],
  response_types: grantTypes[client.kind].includes('authorization_code') ? ['code'] : [],
  response_modes: ['query'],
  token_endpoint_auth_method: client.authMethod,
  require_pushed_authorization_requests: profiles[client.profile].pushedRequests === 'required',
  dpop_bound_access_tokens: client.dpop,
  ...(client.authMethod === 'client_secret_basic' ? { client_secret: client.secretHashes.join(' ') } : {}),
  // The engine wants one or the other; without a key for this request none must fit.
  ...(client.authMethod === 'private_key_jwt' ? { jwks: { keys: key ? [key] : [] } as ClientMetadata['jwks'] } : {}),
  id_token_signed_response_alg: 'RS256',
  resource_server: client.kind === 'resource-server',
})

/** Compares a presented secret with the hashes in a client's metadata, in constant time. */
export const secretIsRight = (presented: string, hashes: string | undefined): boolean =>
  secretMatches(presented, hashes?.split(' ') ?? [])

/** The origins that a client's browser apps run at: those of its redirect URIs (R5). */
export const allowedOrigin = (origin: string, redirectUris: readonly string[]): boolean => {
  const asked = URL.parse(origin)
  if (!asked || asked.origin !== origin) return false
  return redirectUris.some((uri) => {
    const registered = new URL(uri)
    // A loopback redirect may use any port (RFC 8252 §7.3), so its page may too.
    if (registered.protocol === 'http:' && loopback.has(registered.hostname))
      return asked.protocol === 'http:' && asked.hostname === registered.hostname
    return registered.origin === origin
  })
}

const findCredential = prepared((db, value: Named<{ issuer: string; clientId: string }>) =>
  db
    .selectFrom('credentials')
    .innerJoin('apps', 'apps.id', 'credentials.app_id')
    .innerJoin('organizations', 'organizations.id', 'apps.organization_id')
    .select([
      'credentials.id as credentialId',
      'credentials.kind',
      'credentials.grant_types',
      'credentials.profile',
      'credentials.auth_method',
      'credentials.jwks',
      'credentials.jwks_uri',
      'credentials.dpop',
      'credentials.launch_urls',
      'credentials.logout_uris',
      'credentials.redirect_uris',
      'credentials.scopes',
      'credentials.apis',
      'apps.id',
      'apps.name',
      'apps.website',
      'apps.privacy_policy_url',
      'apps.terms_url',
      'organizations.name as developer',
    ])
    .where('credentials.issuer', '=', value('issuer'))
    .where('credentials.client_id', '=', value('clientId'))
    .where('credentials.status', '=', 'active'),
)

const findSecrets = prepared((db, value: Named<{ credentialId: string; now: number }>) =>
  db
    .selectFrom('credential_secrets')
    .select('hash')
    .where('credential_id', '=', value('credentialId'))
    .where((eb) => eb.or([eb('expires_at', 'is', null), eb('expires_at', '>', value('now'))]))
    .orderBy('created_at', 'desc'),
)

const listOf = (text: string | null): string[] => (text === null ? [] : JSON.parse(text))

const isAuthMethod = (name: string): name is AuthMethod =>
  name === 'none' || name === 'client_secret_basic' || name === 'private_key_jwt'

/** The clients of one issuer. */
export const createClients = (deps: { database: Database; environment: Environment; now: () => number }) => {
  const { database, environment, now } = deps

  /** An active client by its id, or undefined. Read each time, so that a suspension is felt at once. */
  const find = async (clientId: string): Promise<ClientRecord | undefined> => {
    // No id has it, and no store takes it: a guess must not become a fault of ours.
    if (clientId.includes('\0')) return undefined
    const [row] = await findCredential(database.db, { issuer: environment.id, clientId })
    if (!row) return undefined
    const profile = row.profile ?? 'smart'
    const authMethod = row.auth_method ?? (row.kind === 'public' ? 'none' : 'client_secret_basic')
    // A newer server may have written it: better nobody's client than one by softer rules.
    if (!isProfile(profile) || !isAuthMethod(authMethod) || !acceptsMethod(profile, authMethod)) return undefined
    const secrets =
      authMethod === 'client_secret_basic'
        ? await findSecrets(database.db, { credentialId: row.credentialId, now: now() })
        : []
    return {
      clientId,
      credentialId: row.credentialId,
      kind: listOf(row.grant_types).includes('client_credentials') ? 'service' : row.kind,
      profile,
      authMethod,
      jwks: row.jwks === null ? null : JSON.parse(row.jwks),
      jwksUri: row.jwks_uri,
      dpop: row.dpop === 1 || profiles[profile].dpop === 'required',
      redirectUris: listOf(row.redirect_uris).filter((uri) => acceptsRedirect(profile, uri)),
      launchUrls: listOf(row.launch_urls),
      logoutUris: listOf(row.logout_uris),
      scopes: row.scopes === null ? null : listOf(row.scopes),
      apis: listOf(row.apis),
      secretHashes: secrets.map((s) => s.hash),
      app: {
        id: row.id,
        name: row.name,
        developer: row.developer,
        website: linkable(row.website),
        privacy_policy_url: linkable(row.privacy_policy_url),
        terms_url: linkable(row.terms_url),
      },
    }
  }

  return { find }
}

export type Clients = ReturnType<typeof createClients>
