/**
 * The audit trail (R35): who did what, to whose record, by which app, and how it ended.
 *
 * Owns: the kinds of events, and writing an entry in the same transaction as the change that it records, chained to the
 * one before it by the same writer. One chain per writer (node): a single one would serialize every token of every node.
 * Does not own: reading (export.ts), proving (chain.ts), or what happens to the trail after six years.
 * Never in it: tokens, codes, secrets, health data.
 */
import type { Transaction } from 'kysely'
import type { Log } from '../log.ts'
import { type Named, prepared } from '../storage/prepared.ts'
import type { AuditRow, Tables } from '../storage/tables.ts'
import { afterCommit, afterEnd, beforeCommit, lockByName } from '../storage/transaction-hooks.ts'
import { canonicalJson, entryHash, GENESIS } from './chain.ts'
import { openStream } from './stream.ts'

export type AuditType =
  | 'member.signed-in'
  | 'member.sign-in-refused'
  | 'member.sign-in-throttled'
  | 'member.signed-out'
  | 'launch.made'
  | 'launch.redeemed'
  | 'launch.refused'
  | 'patient.chosen'
  | 'encounter.chosen'
  | 'access.no-coverage'
  | 'access.left'
  | 'app.attested'
  | 'app.declined'
  | 'app.attestation-lapsed'
  | 'client.registered'
  | 'client.updated'
  | 'client.removed'
  | 'registration-token.made'
  | 'registration-token.revoked'
  | 'warning.shown'
  | 'warning.passed'
  | 'warning.left'
  | 'consent.shown'
  | 'consent.shared'
  | 'consent.denied'
  | 'code.issued'
  | 'code.reused'
  | 'token.issued'
  | 'token.refreshed'
  | 'token.refused'
  | 'token.reused'
  | 'token.revoked'
  | 'token.adopted'
  | 'grant.narrowed'
  | 'grant.ended'
  | 'connection.narrowed'
  | 'connection.extended'
  | 'connection.ended'
  | 'connection.reminded'
  | 'key.created'
  | 'key.rotated'
  | 'key.removed'
  | 'key.revoked'
  | 'secret.created'
  | 'secret.rotated'
  | 'secret.removed'
  | 'keys.sealed-again'
  | 'store.recovered'
  | 'server.started'
  | 'server.stopped'
  | 'brand.changed'
  | 'self-test.finished'
  | 'demonstration.loaded'

export interface AuditEvent {
  type: AuditType
  /** `refused`: a rule of ours said no. `fault`: something of ours failed. Default `success`. */
  outcome?: AuditRow['outcome']
  plan?: string
  /** The issuer's id, `{plan}/{environment}`; it names the plan too. */
  issuer?: string
  /** `member:{id}`, `client:{client_id}`, `staff:{id}`, `system` or `anonymous`. */
  actor: string
  memberId?: string
  patientId?: string
  appId?: string
  grantId?: string
  requestId?: string
  details?: Record<string, string | number | boolean | null | string[]>
}

export interface Audit {
  /**
   * Writes the entry if and only if the transaction commits, as the last thing in it: so the chain is held for a moment
   * only, and always after everything else, so that nobody waits in a circle.
   */
  record(trx: Transaction<Tables>, event: AuditEvent): Promise<void>
  /** Closes the stream. */
  close(): void
}

/** The most chains that a node can have. */
export const MOST_CHAINS = 8

/** The writers of a node's server, by chain: `node`, `node/2`, and so on. */
export const writersOf = (node: string, chains = MOST_CHAINS): string[] =>
  Array.from({ length: chains }, (_, chain) => (chain === 0 ? node : `${node}/${chain + 1}`))

/** Writers beside a server: their entries do not say up to when a server knew the store (R46). */
export const ASIDE = { cli: '/cli', recovery: '/recovery' } as const

/** An entry that has no place in the chain yet. */
type Entry = Omit<AuditRow, 'writer' | 'sequence' | 'previous_hash' | 'hash'>

const findHead = prepared((db, value: Named<{ writer: string }>) =>
  db
    .selectFrom('audit')
    .select(['sequence', 'hash'])
    .where('writer', '=', value('writer'))
    .orderBy('sequence', 'desc')
    .limit(1),
)

const append = prepared((db, value: Named<AuditRow>) =>
  db.insertInto('audit').values({
    writer: value('writer'),
    sequence: value('sequence'),
    time: value('time'),
    plan: value('plan'),
    issuer: value('issuer'),
    type: value('type'),
    outcome: value('outcome'),
    actor: value('actor'),
    member_id: value('member_id'),
    patient_id: value('patient_id'),
    app_id: value('app_id'),
    grant_id: value('grant_id'),
    request_id: value('request_id'),
    details: value('details'),
    previous_hash: value('previous_hash'),
    hash: value('hash'),
  }),
)

/**
 * @param options.node the writer's name. Servers that share a database should each have their own: those that have the
 * same are correct, and wait for each other
 * @param options.chains how many transactions may record at one time: a chain is held until its commit is on the disk, so
 * where transactions run side by side a single one would slow them all. `node`, `node/2`, and so on; a quiet node has one
 * @param options.streamFile a file that gets each committed entry as a JSON line: ship it elsewhere, and it proves what
 * the database's chain alone cannot, namely that its end was not cut off
 */
export function createAudit(options: {
  node: string
  chains?: number
  now: () => number
  streamFile?: string | null
  log: Log
}): Audit {
  const stream = options.streamFile ? openStream(options.streamFile, options.log) : undefined

  const writers = writersOf(options.node, options.chains ?? 1)
  /** Transactions that hold each chain or wait for it. */
  const busy = writers.map(() => 0)
  const freest = () => busy.indexOf(Math.min(...busy))

  const entriesOf = new WeakMap<Transaction<Tables>, Entry[]>()

  /** Chains the entries of one transaction to the last one that is committed. */
  async function link(trx: Transaction<Tables>, entries: readonly Entry[]): Promise<void> {
    const chain = freest()
    const writer = writers[chain] ?? options.node
    busy[chain] = (busy[chain] ?? 0) + 1
    afterEnd(trx, () => {
      busy[chain] = (busy[chain] ?? 0) - 1
    })
    await lockByName(trx, `audit:${writer}`)
    const [head] = await findHead(trx, { writer })
    let { sequence, hash } = head ?? { sequence: 0, hash: GENESIS }
    const rows = entries.map((entry): AuditRow => {
      sequence += 1
      const linked = { ...entry, writer, sequence, previous_hash: hash }
      hash = entryHash(linked)
      return { ...linked, hash }
    })
    for (const row of rows) await append(trx, row)
    if (stream) afterCommit(trx, () => rows.forEach(stream.write))
  }

  return {
    async record(trx, event) {
      const known = entriesOf.get(trx)
      const entries = known ?? []
      if (!known) {
        entriesOf.set(trx, entries)
        beforeCommit(trx, () => link(trx, entries))
      }
      entries.push({
        time: options.now(),
        plan: event.plan ?? event.issuer?.split('/')[0] ?? null,
        issuer: event.issuer ?? null,
        type: event.type,
        outcome: event.outcome ?? 'success',
        actor: event.actor,
        member_id: event.memberId ?? null,
        patient_id: event.patientId ?? null,
        app_id: event.appId ?? null,
        grant_id: event.grantId ?? null,
        request_id: event.requestId ?? null,
        details: canonicalJson({ v: 1, ...event.details }),
      })
    },

    close: () => stream?.close(),
  }
}
