/**
 * Apps that register themselves (R20; RFC 7591, RFC 7592): who may, and the rows that come of it.
 *
 * Owns: the order of checks, the credential of such an app and its tokens, what it may change of itself later.
 * Does not own: what metadata is accepted (client-metadata.ts), initial access tokens and statements (files of their own),
 * HTTP (registration-routes.ts), or ending what was shared with an app (handed in). Members are warned of such an app like of
 * any other that has answered nothing (R24).
 */
import type { Transaction } from 'kysely'
import type { Audit } from '../audit/audit.ts'
import type { Environment, Registration } from '../config/settings.ts'
import { InputFaults, LatchkeyError } from '../errors.ts'
import { hashSecret, newId, randomToken, secretMatches } from '../secrets.ts'
import type { Database } from '../storage/database.ts'
import type { CredentialRow, Tables } from '../storage/tables.ts'
import type { Attestations } from './attestation.ts'
import { type ClientDraft, type MetadataRules, type ProfileRules, readClientMetadata } from './client-metadata.ts'
import {
  asText,
  type ClientInformation,
  changeApp,
  columnsOf,
  informationOf,
  kindOf,
  putApp,
  putSecret,
  type Stored,
} from './registration-rows.ts'
import type { RegistrationTokens } from './registration-tokens.ts'
import type { SoftwareStatements, Statement } from './software-statements.ts'

/** Ends everything that members shared with a client. */
export type EndGrants = (
  trx: Transaction<Tables>,
  end: { issuer: string; clientId: string; actor: string; requestId: string | null },
) => Promise<unknown>

export interface RegistrationDeps {
  environment: Environment
  registration: Registration
  /** Where registrations are managed: a client's id follows after a slash. */
  address: string
  profiles: Readonly<Record<'smart' | 'fapi2', ProfileRules>>
  tokens: Pick<RegistrationTokens, 'find' | 'use'>
  statements: SoftwareStatements
  attestations: Pick<Attestations, 'lapse'>
  endGrants: EndGrants
  database: Database
  audit: Audit
  now: () => number
}

/** A request that nothing lets in, or that presents something worthless. */
export const unauthorized = (message: string): LatchkeyError => new LatchkeyError('invalid_token', 401, { message })

/** What lets somebody register, in the words of a refusal. */
const credentials = {
  'initial-access-token': 'Authorization: Bearer with an initial access token',
  'software-statement': 'a software_statement',
}

/** What the server says of a registration; an app that sends it back has not understood it (RFC 7592 section 2.2). */
const ours = ['registration_access_token', 'registration_client_uri', 'client_secret_expires_at', 'client_id_issued_at']

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

export const createRegistration = (deps: RegistrationDeps) => {
  const { environment, registration, address, tokens, statements, attestations, database, audit, now } = deps
  const { id: issuer } = environment
  const rules: MetadataRules = { environment, policy: registration.policy, profiles: deps.profiles }

  /** What lets a request in. Asked before anything that it says is looked at. */
  const admit = async (given: unknown, bearer: string | undefined) => {
    const token =
      bearer !== undefined && registration.by.includes('initial-access-token')
        ? await tokens.find(issuer, bearer)
        : undefined
    if (bearer !== undefined && !token) throw unauthorized('the initial access token is unknown, expired or used up')
    const said = isObject(given) ? (given.software_statement ?? undefined) : undefined
    if (!token && (said === undefined || !registration.by.includes('software-statement')))
      throw unauthorized(`send ${registration.by.map((each) => credentials[each]).join(' or ')}`)
    return { token, statement: said === undefined ? undefined : await statements.read(said) }
  }

  /** A statement's claims stand in the place of what the app says itself (RFC 7591 section 2.3). */
  const draftOf = (given: unknown, statement: Pick<Statement, 'claims'> | null | undefined): ClientDraft => {
    if (!isObject(given))
      throw new InputFaults([{ path: 'body', message: 'must be an object' }], 'invalid_client_metadata')
    return readClientMetadata({ ...given, ...statement?.claims }, rules)
  }

  /** Takes up a statement; what it was taken up for may fail by our fault, and then it is as good as before (R43). */
  const withStatement = async <T>(statement: Statement | undefined, work: () => Promise<T>): Promise<T> => {
    if (!statement) return work()
    if (!(await statement.use()))
      throw new LatchkeyError('invalid_software_statement', 400, {
        message: 'the software statement was used before: each registers one app',
      })
    try {
      return await work()
    } catch (error) {
      await statement.giveBack()
      throw error
    }
  }

  /** The credential of a registration access token; 401 for every other, and for a client that is gone. */
  const held = async (clientId: string, bearer: string | undefined) => {
    const row = await database.db
      .selectFrom('credentials')
      .selectAll()
      .where('issuer', '=', issuer)
      .where('client_id', '=', clientId)
      .where('status', '=', 'active')
      .executeTakeFirst()
    const hash = row?.registration_token_hash
    if (bearer === undefined || !row || !hash || !secretMatches(bearer, [hash]) || row.registration === null)
      throw unauthorized('the registration access token is not that of this client')
    return { row, token: bearer, stored: JSON.parse(row.registration) as Stored }
  }

  /** The statement that counts for an update: the one of before, or a new one of the same issuer. */
  const statementOfUpdate = async (given: unknown, before: Stored['statement']) => {
    const said = isObject(given) ? (given.software_statement ?? undefined) : undefined
    if (said === undefined || said === before?.text) return undefined
    const statement = await statements.read(said)
    if (before && before.issuer !== statement.issuer)
      throw new LatchkeyError('unapproved_software_statement', 400, {
        message: 'this app was registered by a statement of another issuer',
      })
    return statement
  }

  const identityFaults = (given: unknown, { row, stored }: { row: CredentialRow; stored: Stored }): void => {
    if (!isObject(given)) return
    const faults = ours
      .filter((name) => given[name] !== undefined)
      .map((path) => ({ path, message: 'must be left out: it is the server’s to say' }))
    if (given.client_id !== row.client_id)
      faults.push({ path: 'client_id', message: 'is required, and must be that of this client' })
    if (stored.statement === null && given.software_statement !== undefined && given.software_statement !== null)
      faults.push({ path: 'software_statement', message: 'must be left out: this app was registered without one' })
    if (faults.length > 0) throw new InputFaults(faults, 'invalid_client_metadata')
  }

  /** A secret that an app sends along must be its own (RFC 7592 section 2.2). */
  const checkSecret = async (given: unknown, credentialId: string): Promise<void> => {
    const secret = isObject(given) ? (given.client_secret ?? undefined) : undefined
    if (secret === undefined) return
    const rows = await database.db
      .selectFrom('credential_secrets')
      .select('hash')
      .where('credential_id', '=', credentialId)
      .execute()
    const hashes = rows.map(({ hash }) => hash)
    if (typeof secret !== 'string' || !secretMatches(secret, hashes))
      throw new InputFaults(
        [{ path: 'client_secret', message: 'must be this client’s own, or left out' }],
        'invalid_client_metadata',
      )
  }

  const entry = (clientId: string, requestId: string | null) => ({
    issuer,
    actor: `client:${clientId}`,
    requestId: requestId ?? undefined,
  })

  return {
    /** Registers an app. `bearer`: what stood in the Authorization header. */
    async register(given: unknown, bearer: string | undefined, requestId: string | null): Promise<ClientInformation> {
      const { token, statement } = await admit(given, bearer)
      const draft = draftOf(given, statement)
      return withStatement(statement, () =>
        database.transaction(async (trx) => {
          if (token && !(await tokens.use(trx, token.id)))
            throw unauthorized('the initial access token is unknown, expired or used up')
          const appId = await putApp(trx, { plan: environment.plan.id, draft, token, at: now() })
          const stored: Stored = {
            v: 1,
            metadata: draft.metadata,
            statement: statement ? { text: statement.text, issuer: statement.issuer, claims: statement.claims } : null,
            tokenId: token?.id ?? null,
          }
          const accessToken = `lkm_${randomToken()}`
          const row: CredentialRow = {
            ...columnsOf(draft, stored),
            id: newId(now()),
            issuer,
            // Never of the app's choice (RFC 9700 section 4.15): it could be somebody's sub, or another app's id.
            client_id: `app-${randomToken(16)}`,
            app_id: appId,
            registration_token_hash: hashSecret(accessToken),
            status: 'active',
            created_at: now(),
            updated_at: now(),
          }
          await trx.insertInto('credentials').values(row).execute()
          const secret = draft.authMethod === 'client_secret_basic' ? await putSecret(trx, row.id, now()) : null
          await audit.record(trx, {
            ...entry(row.client_id, requestId),
            type: 'client.registered',
            appId,
            details: {
              name: draft.name,
              kind: draft.kind,
              profile: draft.profile,
              authMethod: draft.authMethod,
              redirectUris: draft.redirectUris,
              tokenId: stored.tokenId,
              statementOf: statement?.issuer ?? null,
            },
          })
          return informationOf(row, stored, { address, token: accessToken, secret })
        }),
      )
    },

    /** What is registered. A secret is told once, so not here. */
    async read(clientId: string, bearer: string | undefined): Promise<ClientInformation> {
      const { row, stored, token } = await held(clientId, bearer)
      return informationOf(row, stored, { address, token, secret: null })
    },

    /** Puts what is said now in the place of all that was said. The registration access token stays. */
    async update(clientId: string, given: unknown, bearer: string | undefined, requestId: string | null) {
      const known = await held(clientId, bearer)
      const { row, token } = known
      identityFaults(given, known)
      await checkSecret(given, row.id)
      const statement = await statementOfUpdate(given, known.stored.statement)
      const draft = draftOf(given, statement ?? known.stored.statement)
      if (draft.kind !== kindOf(row))
        throw new InputFaults(
          [
            {
              path: 'grant_types',
              message: `must be those of a ${kindOf(row)} app, which this one is: register another`,
            },
          ],
          'invalid_client_metadata',
        )
      const stored: Stored = {
        ...known.stored,
        metadata: draft.metadata,
        statement: statement
          ? { text: statement.text, issuer: statement.issuer, claims: statement.claims }
          : known.stored.statement,
      }
      return withStatement(statement, () =>
        database.transaction(async (trx) => {
          const before = await trx
            .selectFrom('apps')
            .select(['name', 'website', 'privacy_policy_url', 'terms_url'])
            .where('id', '=', row.app_id)
            .executeTakeFirstOrThrow()
          const changed = await trx
            .updateTable('credentials')
            .set({ ...columnsOf(draft, stored), updated_at: now() })
            .where('id', '=', row.id)
            .where('status', '=', 'active')
            .executeTakeFirst()
          // Removed meanwhile.
          if (changed.numUpdatedRows !== 1n)
            throw unauthorized('the registration access token is not that of this client')
          await changeApp(trx, { appId: row.app_id, draft, tokenId: stored.tokenId })
          const isAnother =
            before.name !== draft.name ||
            before.website !== draft.website ||
            before.privacy_policy_url !== draft.privacyPolicyUrl ||
            before.terms_url !== draft.termsUrl ||
            row.redirect_uris !== asText(draft.redirectUris)
          // What was answered, was answered of another app.
          if (isAnother) await attestations.lapse(trx, { ...entry(clientId, requestId), appId: row.app_id })
          const hadSecret = row.auth_method === 'client_secret_basic'
          const needsSecret = draft.authMethod === 'client_secret_basic'
          if (hadSecret && !needsSecret)
            await trx.deleteFrom('credential_secrets').where('credential_id', '=', row.id).execute()
          const secret = needsSecret && !hadSecret ? await putSecret(trx, row.id, now()) : null
          await audit.record(trx, {
            ...entry(clientId, requestId),
            type: 'client.updated',
            appId: row.app_id,
            details: { name: draft.name, authMethod: draft.authMethod, redirectUris: draft.redirectUris },
          })
          return informationOf(row, stored, { address, token, secret })
        }),
      )
    },

    /** Suspends the client, for good, and ends what was shared with it. What was shared stays on record. */
    async remove(clientId: string, bearer: string | undefined, requestId: string | null): Promise<void> {
      const { row } = await held(clientId, bearer)
      await database.transaction(async (trx) => {
        const removed = await trx
          .updateTable('credentials')
          .set({ status: 'suspended', registration_token_hash: null, updated_at: now() })
          .where('id', '=', row.id)
          .where('status', '=', 'active')
          .executeTakeFirst()
        if (removed.numUpdatedRows !== 1n) return
        await trx.deleteFrom('credential_secrets').where('credential_id', '=', row.id).execute()
        await deps.endGrants(trx, { issuer, clientId, actor: `client:${clientId}`, requestId })
        await audit.record(trx, { ...entry(clientId, requestId), type: 'client.removed', appId: row.app_id })
      })
    },
  }
}

export type RegistrationOf = ReturnType<typeof createRegistration>
