/**
 * What those who make an app said when the plan asked how they treat records: attested, declined, or nothing (R18).
 *
 * Owns: keeping answers, which of them counts, which apps may be suggested in another's place (R24). An app's newest row counts
 * until it expires; one that was replaced never counts again.
 * Does not own: the questions (attestation-questions.ts), pages, or whether an app may do anything: a missing attestation is no
 * ground for refusing (R17), so nothing here is asked before a token is issued.
 */
import type { Transaction } from 'kysely'
import type { Audit } from '../audit/audit.ts'
import { linkable } from '../config/urls.ts'
import { newId } from '../secrets.ts'
import type { Database } from '../storage/database.ts'
import type { AttestationRow, CredentialRow, Tables } from '../storage/tables.ts'
import { type Answer, answersOf, parseAnswers, QUESTIONNAIRE_VERSION } from './attestation-questions.ts'

export type AttestationState = AttestationRow['state'] | 'unanswered'

/** Where an app stands now. */
export interface Attestation {
  state: AttestationState
  /** Of the row that counts; null where nobody answered, or the answers have expired. */
  id: string | null
  /** Milliseconds. */
  answeredAt: number | null
  /** Milliseconds; null: until they answer anew. */
  expiresAt: number | null
  /** Empty unless attested, and where the answers are to questions that this release does not know. */
  answers: Answer[]
}

/** What a developer said, as it is handed in. */
export interface Said {
  /** Made where it is left out. */
  id?: string
  /** By whom the record is made, as in the audit trail. */
  actor: string
  issuer: string
  appId: string
  state: AttestationRow['state']
  /** By question, unparsed; null where they declined. */
  answers: unknown
  /** Who answered. */
  person: string
  /** Where it can be looked up: an address or a reference. */
  evidence: string | null
  /** Milliseconds. */
  expiresAt: number | null
}

/** An app that a page names as one that has attested. */
export interface AttestedApp {
  name: string
  developer: string
  website: string | null
}

/** An app at an issuer, for lists. */
export interface ListedApp {
  clientId: string
  appId: string
  name: string
  developer: string
  /** A resource server and a service ask no members for anything. */
  kind: CredentialRow['kind'] | 'service'
  status: CredentialRow['status']
  /** API ids that it is approved for. */
  apis: string[]
  website: string | null
  attestation: Attestation
}

/** Those who do answer questions of the plan, for members. */
export const asksMembers = (kind: ListedApp['kind']): boolean => kind === 'public' || kind === 'confidential'

const unanswered: Attestation = { state: 'unanswered', id: null, answeredAt: null, expiresAt: null, answers: [] }

export const createAttestations = (deps: { database: Database; audit: Audit; now: () => number }) => {
  const { database, audit, now } = deps

  const attestationOf = (row: AttestationRow | undefined): Attestation =>
    row && (row.expires_at === null || row.expires_at > now())
      ? {
          state: row.state,
          id: row.id,
          answeredAt: row.attested_at,
          expiresAt: row.expires_at,
          answers: row.state === 'attested' ? answersOf(row.version, row.answers) : [],
        }
      : unanswered

  /** The newest row of each app, by app. */
  const newest = async (appIds: readonly string[]): Promise<Map<string, AttestationRow>> => {
    if (appIds.length === 0) return new Map()
    const rows = await database.db
      .selectFrom('attestations')
      .innerJoin('apps', (join) =>
        join.onRef('apps.id', '=', 'attestations.app_id').onRef('apps.plan', '=', 'attestations.plan'),
      )
      .selectAll('attestations')
      .where('app_id', 'in', appIds)
      .orderBy('attestations.created_at')
      .orderBy('attestations.id')
      .execute()
    return new Map(rows.map((row) => [row.app_id, row]))
  }

  /** Where an app stands now. Read each time, so that an answer is taken at once. */
  const stateOf = async (appId: string): Promise<Attestation> => attestationOf((await newest([appId])).get(appId))

  /** Every credential of an issuer, by the name of its app. */
  const list = async (issuer: string): Promise<ListedApp[]> => {
    const rows = await database.db
      .selectFrom('credentials')
      .innerJoin('apps', 'apps.id', 'credentials.app_id')
      .innerJoin('organizations', 'organizations.id', 'apps.organization_id')
      .select([
        'credentials.client_id as clientId',
        'credentials.app_id as appId',
        'credentials.kind',
        'credentials.grant_types as grantTypes',
        'credentials.status',
        'credentials.apis',
        'apps.name',
        'apps.website',
        'organizations.name as developer',
      ])
      .where('credentials.issuer', '=', issuer)
      .orderBy('apps.name')
      .orderBy('credentials.client_id')
      .execute()
    const said = await newest([...new Set(rows.map(({ appId }) => appId))])
    return rows.map(({ apis, kind, grantTypes, ...row }) => ({
      ...row,
      kind: grantTypes !== null && JSON.parse(grantTypes).includes('client_credentials') ? 'service' : kind,
      website: linkable(row.website),
      apis: JSON.parse(apis),
      attestation: attestationOf(said.get(row.appId)),
    }))
  }

  return {
    stateOf,
    list,

    /**
     * The apps that a member can take in place of `appId`: they have attested, are approved for the same API of the issuer, and
     * are not suspended.
     */
    async attestedApps(issuer: string, apiId: string, appId: string): Promise<AttestedApp[]> {
      const apps = new Map<string, AttestedApp>()
      for (const { appId: id, kind, status, apis, attestation, name, developer, website } of await list(issuer)) {
        const fit = asksMembers(kind) && status === 'active' && apis.includes(apiId)
        if (fit && attestation.state === 'attested' && id !== appId) apps.set(id, { name, developer, website })
      }
      return [...apps.values()]
    },

    /** Ends what counts for an app that says of itself that it is another now: its people must answer anew. */
    async lapse(
      trx: Transaction<Tables>,
      of: { issuer: string; actor: string; appId: string; requestId?: string | undefined },
    ) {
      const { issuer, actor, appId, requestId } = of
      const { numUpdatedRows } = await trx
        .updateTable('attestations')
        .set({ expires_at: now() })
        .where('app_id', '=', appId)
        .where((eb) => eb.or([eb('expires_at', 'is', null), eb('expires_at', '>', now())]))
        .executeTakeFirst()
      if (numUpdatedRows === 0n) return
      await audit.record(trx, {
        type: 'app.attestation-lapsed',
        issuer,
        actor,
        appId,
        ...(requestId ? { requestId } : {}),
      })
    },

    /** Keeps what a developer said, and records who said so; the answer is the row's id. Throws `InputFaults` for answers. */
    async put(trx: Transaction<Tables>, said: Said, at?: string): Promise<string> {
      const answers = said.state === 'declined' ? null : parseAnswers(said.answers, at)
      const [plan = ''] = said.issuer.split('/')
      const row: AttestationRow = {
        id: said.id ?? newId(now()),
        plan,
        app_id: said.appId,
        state: said.state,
        version: QUESTIONNAIRE_VERSION,
        answers: answers && JSON.stringify({ v: QUESTIONNAIRE_VERSION, ...answers }),
        person: said.person,
        evidence: said.evidence,
        attested_at: now(),
        expires_at: said.expiresAt,
        created_at: now(),
      }
      await trx.insertInto('attestations').values(row).execute()
      await audit.record(trx, {
        type: said.state === 'attested' ? 'app.attested' : 'app.declined',
        issuer: said.issuer,
        actor: said.actor,
        appId: said.appId,
        details: {
          attestationId: row.id,
          version: row.version,
          person: row.person,
          evidence: row.evidence,
          expiresAt: row.expires_at,
        },
      })
      return row.id
    },
  }
}

export type Attestations = ReturnType<typeof createAttestations>
