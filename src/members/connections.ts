/**
 * What members share with apps: connections, the grants in them, and the record of each decision.
 *
 * Owns: deciding, and what a new decision does to older ones (R29): grants of the same connection and API never allow more
 * than the newest one, and one that allows no more is left alone, so that another device lives on.
 * Does not own: who may share what (directory.ts), what is written down of a decision (consents.ts), what members change
 * later (changes.ts), tokens and the engine's payload (oidc), or the words of letters.
 * Hands to: oidc, which asks for the context and the standing of a grant whenever it issues, refreshes or introspects.
 */
import type { Kysely, Transaction } from 'kysely'
import type { Audit } from '../audit/audit.ts'
import { LatchkeyError } from '../errors.ts'
import type { EndingsLog } from '../recovery/endings-log.ts'
import type { Database } from '../storage/database.ts'
import { type Named, prepared } from '../storage/prepared.ts'
import type { ConnectionRow, GrantRow, Tables } from '../storage/tables.ts'
import { lockByName } from '../storage/transaction-hooks.ts'
import { type Changes, createChanges } from './changes.ts'
import { type Decision, insertConsent, type LastDecision, readLastDecision, type SharedPart } from './consents.ts'
import { readChoices, readVouchedChoice } from './directory.ts'
import { createEndings, type Endings } from './endings.ts'
import {
  type GrantContext,
  type GrantStanding,
  parseContext,
  readContext,
  readStanding,
  type StoredContext,
} from './grants.ts'
import { type ConnectionLetter, type Outbox, postLetter } from './letters.ts'
import { createNarrowing, leftOf } from './narrowing.ts'
import { createOverview, type Overview } from './overview.ts'

/** A decision to share: all scopes, `openid fhirUser launch/patient offline_access` too; its end is the date that the member saw. */
export interface SharedDecision extends Decision, SharedPart {
  /** What tokens say beside the patient and the person, which come from `choice`. */
  context: Pick<StoredContext, 'api' | 'launch' | 'session'>
  offline: boolean
  letter: ConnectionLetter | null
}

export interface Connections extends Endings, Changes, Overview {
  /**
   * Records that a member shared: consent, connection, grant, audit and letter, all or nothing. Older grants of the same
   * connection and API are narrowed to it, and end as `replaced` where nothing is left (R29). Throws `authority_ended`
   * (403) when the record is no longer theirs to share, and `already_decided` (409) when the grant does not wait for
   * this member's answer to this app: decided before, ended or unknown.
   */
  recordShared(decision: SharedDecision): Promise<{ connectionId: string; consentId: string }>
  recordDenied(decision: Decision): Promise<{ consentId: string }>
  /** Notes that a connection was used just now. */
  touch(trx: Transaction<Tables>, connectionId: string): Promise<void>
  /** What a member decided last about one app and one patient, less what they took away since; undefined: never asked. */
  lastDecision(
    issuer: string,
    about: { memberId: string; patientId: string; appId: string },
  ): Promise<LastDecision | undefined>
  /** Is a grant of theirs live at this API, so that a new decision replaces it (R29)? */
  isConnected(
    issuer: string,
    about: { memberId: string; patientId: string; appId: string; api: string },
  ): Promise<boolean>
  /** What tokens of a grant say, and its standing now; undefined: no such grant, or not decided yet. */
  grantContext(issuer: string, grantId: string): Promise<GrantContext | undefined>
  /** May tokens of this grant be issued and honoured at `now` (milliseconds)? One query (R34). */
  grantStatus(issuer: string, grantId: string, now: number): Promise<GrantStanding>
}

export interface ConnectionsDeps {
  database: Database
  audit: Audit
  mail: Outbox
  /** Left out where no log of endings is kept. */
  endingsLog?: EndingsLog | undefined
  /** How long a refresh token lives unused, in milliseconds. */
  tokenMillis: number
  now: () => number
  newId: () => string
}

const noteUse = prepared((db, value: Named<{ connectionId: string; at: number }>) =>
  db
    .updateTable('connections')
    .set({ last_used_at: value('at') })
    .where('id', '=', value('connectionId')),
)

/** Is it a launch alone that opens the record? */
const isVouched = ({ relation }: Decision['choice']): boolean => relation === 'practitioner'

type ConnectionKey = Pick<ConnectionRow, 'issuer' | 'member_id' | 'patient_id' | 'app_id'>
type OpenGrant = Pick<GrantRow, 'id' | 'context' | 'scope' | 'expires_at'>

/** The grants of the open connection of member, patient and app that have not ended. */
const readOpenGrants = (db: Kysely<Tables>, key: ConnectionKey, now: number): Promise<OpenGrant[]> =>
  db
    .selectFrom('connections as c')
    .innerJoin('grants as g', 'g.connection_id', 'c.id')
    .select(['g.id', 'g.context', 'g.scope', 'g.expires_at'])
    .where('c.issuer', '=', key.issuer)
    .where('c.member_id', '=', key.member_id)
    .where('c.patient_id', '=', key.patient_id)
    .where('c.app_id', '=', key.app_id)
    .where('c.ended_at', 'is', null)
    .where('g.ended_at', 'is', null)
    .where('g.expires_at', '>', now)
    .execute()

export function createConnections(deps: ConnectionsDeps): Connections {
  const { database, audit, mail, now, newId } = deps
  const endings = createEndings(deps)
  const narrowGrant = createNarrowing({ ...deps, endings })

  const keyOf = ({ issuer, memberId, choice, app }: Decision): ConnectionKey => ({
    issuer,
    member_id: memberId,
    patient_id: choice.patientId,
    app_id: app.id,
  })

  /**
   * The live grants of which the new decision leaves less, locked by id: whoever launches an app every day has many, and nearly
   * all of them stay as they are. Decisions about one connection come one after the other, so that none is added meanwhile.
   */
  async function holdWider(trx: Transaction<Tables>, decision: SharedDecision): Promise<string[]> {
    const key = keyOf(decision)
    await lockByName(trx, `connection ${Object.values(key).join(' ')}`)
    const isWider = ({ context, scope, expires_at }: OpenGrant): boolean => {
      const { api, sensitivities = [] } = context === null ? { api: null } : parseContext(context)
      if (api !== decision.context.api) return false
      const left = leftOf({ scope, sensitivities, endsAt: expires_at }, { ...decision, scope: decision.grantedScope })
      return left === undefined || left.cut || left.endsAt < expires_at
    }
    const wider = (await readOpenGrants(trx, key, now())).filter(isWider).map(({ id }) => id)
    if (wider.length > 0)
      await trx.selectFrom('grants').select('id').where('id', 'in', wider).orderBy('id').forUpdate().execute()
    return wider.sort()
  }

  /** The open connection of member, patient and app; a new one where there is none. Nobody ends it meanwhile. */
  async function openConnection(trx: Transaction<Tables>, decision: Decision): Promise<string> {
    const key = keyOf(decision)
    // Inserted first, so that of two decisions at once the second finds what the first made.
    await trx
      .insertInto('connections')
      .values({ id: newId(), ...key, created_at: now(), last_used_at: null, ended_at: null, end_reason: null })
      .onConflict((conflict) => conflict.doNothing())
      .execute()
    const open = await trx
      .selectFrom('connections')
      .select('id')
      .where((eb) => eb.and(key))
      .where('ended_at', 'is', null)
      .forUpdate()
      .executeTakeFirst()
    // Ended between the two: the next try makes a new one.
    return open?.id ?? openConnection(trx, decision)
  }

  async function completeGrant(
    trx: Transaction<Tables>,
    decision: SharedDecision,
    connectionId: string,
  ): Promise<void> {
    const context: StoredContext = {
      v: 1,
      patient: decision.choice.fhirId,
      fhirUser: decision.choice.fhirUser,
      ...decision.context,
      ...(decision.sensitivities.length > 0 ? { sensitivities: decision.sensitivities } : {}),
    }
    const completed = await trx
      .updateTable('grants')
      .set({
        connection_id: connectionId,
        patient_id: decision.choice.patientId,
        scope: decision.grantedScope,
        context: JSON.stringify(context),
        expires_at: decision.endsAt,
        ...(isVouched(decision.choice) ? { vouched: 1 as const } : {}),
      })
      .where('id', '=', decision.grantId)
      .where('issuer', '=', decision.issuer)
      .where('member_id', '=', decision.memberId)
      .where('client_id', '=', decision.app.clientId)
      .where('connection_id', 'is', null)
      .where('ended_at', 'is', null)
      .executeTakeFirst()
    if (completed.numUpdatedRows !== 1n) {
      throw new LatchkeyError('already_decided', 409, {
        detail: `grant ${decision.grantId} does not wait for an answer`,
      })
    }
  }

  /** The choice as it stands at this moment: what a page offered an hour ago may have ended since (R34). */
  async function confirmChoice(trx: Transaction<Tables>, decision: Decision): Promise<void> {
    const { issuer, memberId, choice } = decision
    const about = { issuer, memberId, patientId: choice.patientId }
    const [current] = isVouched(choice)
      ? [await readVouchedChoice(trx, about)]
      : await readChoices(trx, { ...about, now: now() })
    if (current?.fhirId !== choice.fhirId || current.fhirUser !== choice.fhirUser) {
      throw new LatchkeyError('authority_ended', 403, { detail: `member ${memberId}, patient ${choice.patientId}` })
    }
  }

  function auditOf(decision: Decision) {
    return {
      plan: decision.plan,
      issuer: decision.issuer,
      actor: `member:${decision.memberId}`,
      memberId: decision.memberId,
      patientId: decision.choice.patientId,
      appId: decision.app.id,
      requestId: decision.requestId ?? undefined,
    }
  }

  function auditDetails(decision: Decision, consentId: string) {
    return {
      consentId,
      clientId: decision.app.clientId,
      relation: decision.choice.relation,
      delegationId: decision.choice.delegationId,
      requestedScope: decision.requestedScope,
      textHash: decision.textHash,
      textVersion: decision.textVersion,
      language: decision.language,
    }
  }

  /** What an older decision allowed beyond this one is over (R29). */
  async function narrowOlder(trx: Transaction<Tables>, decision: SharedDecision, older: readonly string[]) {
    const { issuer, requestId, grantedScope: scope, sensitivities, endsAt } = decision
    const narrowing = { issuer, requestId, allowed: { scope, sensitivities, endsAt } }
    const actor = `member:${decision.memberId}`
    for (const grantId of older) await narrowGrant(trx, { ...narrowing, grantId, reason: 'replaced', actor })
  }

  return {
    ...endings,
    ...createChanges({ ...deps, endings, narrowGrant }),
    ...createOverview(deps),

    async recordShared(decision) {
      return database.transaction(async (trx) => {
        await confirmChoice(trx, decision)
        const older = await holdWider(trx, decision)
        const connectionId = await openConnection(trx, decision)
        await completeGrant(trx, decision, connectionId)
        // Completed before: the connection does not end with the last of the older ones.
        await narrowOlder(trx, decision, older)
        const consentId = newId()
        await insertConsent(trx, decision, { ...decision, connectionId }, { id: consentId, at: now() })
        const letter = await postLetter(trx, mail, decision, decision.letter)
        await audit.record(trx, {
          ...auditOf(decision),
          type: 'consent.shared',
          grantId: decision.grantId,
          details: {
            ...auditDetails(decision, consentId),
            connectionId,
            grantedScope: decision.grantedScope,
            sensitivities: decision.sensitivities,
            duration: decision.duration,
            offline: decision.offline,
            endsAt: decision.endsAt,
            letter,
          },
        })
        return { connectionId, consentId }
      })
    },

    async recordDenied(decision) {
      return database.transaction(async (trx) => {
        const consentId = newId()
        await insertConsent(trx, decision, null, { id: consentId, at: now() })
        await audit.record(trx, {
          ...auditOf(decision),
          type: 'consent.denied',
          details: auditDetails(decision, consentId),
        })
        return { consentId }
      })
    },

    async touch(trx, connectionId) {
      await noteUse(trx, { connectionId, at: now() })
    },

    lastDecision: (issuer, about) => readLastDecision(database.db, { issuer, ...about }),

    async isConnected(issuer, { memberId, patientId, appId, api }) {
      const key = { issuer, member_id: memberId, patient_id: patientId, app_id: appId }
      for (const { id: grantId, context } of await readOpenGrants(database.db, key, now())) {
        if (context === null || parseContext(context).api !== api) continue
        if ((await readStanding(database.db, { issuer, grantId, now: now() })) === 'live') return true
      }
      return false
    },

    grantContext: (issuer, grantId) => readContext(database.db, { issuer, grantId, now: now() }),

    grantStatus: (issuer, grantId, at) => readStanding(database.db, { issuer, grantId, now: at }),
  }
}
