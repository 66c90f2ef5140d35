/**
 * An app's credential at one issuer, as the engine wants its clients.
 *
 * Owns: from rows to client metadata, which APIs and scopes a client may have, whether a secret is right.
 * Does not own: registration and review (portal), or who may introspect (introspection.ts).
 */
import type { Environment } from '../config/settings.ts'
import { linkable } from '../config/urls.ts'
import { secretMatches } from '../secrets.ts'
import type { Database } from '../storage/database.ts'
import { type Named, prepared } from '../storage/prepared.ts'
import type { AppRow, CredentialRow } from '../storage/tables.ts'
import type { ClientMetadata } from './engine.ts'

/** What a page or a rule wants to know of a client. */
export interface ClientRecord {
  clientId: string
  credentialId: string
  kind: CredentialRow['kind']
  redirectUris: string[]
  /** Null: every scope of its APIs. */
  scopes: string[] | null
  apis: string[]
  secretHashes: string[]
  app: Pick<AppRow, 'id' | 'name' | 'website' | 'privacy_policy_url' | 'terms_url'> & { developer: string }
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

/** The engine's metadata of a client; `client_secret` holds the hashes, which `secretIsRight` knows to compare. */
export const metadataOf = (client: ClientRecord): ClientMetadata => ({
  client_id: client.clientId,
  client_name: client.app.name,
  application_type: isNative(client.redirectUris) ? 'native' : 'web',
  redirect_uris: client.redirectUris,
  grant_types: client.kind === 'resource-server' ? [] : ['authorization_code', 'refresh_token'],
  response_types: client.kind === 'resource-server' ? [] : ['code'],
  response_modes: ['query'],
  token_endpoint_auth_method: client.kind === 'public' ? 'none' : 'client_secret_basic',
  ...(client.kind === 'public' ? {} : { client_secret: client.secretHashes.join(' ') }),
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

/** The clients of one issuer. */
export const createClients = (deps: { database: Database; environment: Environment; now: () => number }) => {
  const { database, environment, now } = deps

  /** An active client by its id, or undefined. Read each time, so that a suspension is felt at once. */
  const find = async (clientId: string): Promise<ClientRecord | undefined> => {
    // No id has it, and no store takes it: a guess must not become a fault of ours.
    if (clientId.includes('\0')) return undefined
    const [row] = await findCredential(database.db, { issuer: environment.id, clientId })
    if (!row) return undefined
    const secrets =
      row.kind === 'public' ? [] : await findSecrets(database.db, { credentialId: row.credentialId, now: now() })
    const { credentialId, kind, redirect_uris, scopes, apis, ...app } = row
    return {
      clientId,
      credentialId,
      kind,
      redirectUris: JSON.parse(redirect_uris),
      scopes: scopes === null ? null : JSON.parse(scopes),
      apis: JSON.parse(apis),
      secretHashes: secrets.map((s) => s.hash),
      app: {
        ...app,
        website: linkable(app.website),
        privacy_policy_url: linkable(app.privacy_policy_url),
        terms_url: linkable(app.terms_url),
      },
    }
  }

  return { find }
}

export type Clients = ReturnType<typeof createClients>
