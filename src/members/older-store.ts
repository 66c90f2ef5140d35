/**
 * What is done on a store before it is used (R46): a window is opened where it is an older one, and what has ended since
 * is ended again. At a usual start that is a few queries and the last hour of the log.
 *
 * The log is replayed from this node's last entry in the audit trail on: a store that was restored has that of its time,
 * so the mark is always as old as the store. What is done here and by commands has chains of its own (`{node}/recovery`,
 * `{node}/cli`), or a replay that is cut off, and a command before the server starts, would move the mark.
 */
import { existsSync } from 'node:fs'
import type { Kysely } from 'kysely'
import { ASIDE, type Audit, createAudit, writersOf } from '../audit/audit.ts'
import { LatchkeyError } from '../errors.ts'
import type { Log } from '../log.ts'
import { MARGIN_MS } from '../recovery/endings.ts'
import { readEndings } from '../recovery/endings-reader.ts'
import { declareWindow, noteLife, type RecoveryWindow } from '../recovery/lives.ts'
import type { Database } from '../storage/database.ts'
import type { ShortLived } from '../storage/short-lived.ts'
import { nameOfStore } from '../storage/store-name.ts'
import type { Tables } from '../storage/tables.ts'
import { lockByName } from '../storage/transaction-hooks.ts'
import { createEndings } from './endings.ts'
import { createNarrowing } from './narrowing.ts'
import { type Replayed, replay } from './replay.ts'

export interface RecoveryDeps {
  database: Database
  /** `audit.node` and `audit.stream`. */
  audit: { node: string; stream: string | null }
  /** How long a refresh token lives unused. */
  tokenMillis: number
  shortLived: (issuer: string) => ShortLived
  /** Revokes again a key that was revoked at `at`, and writes so in the given trail. */
  revokeKey: (audit: Audit) => (kid: string, at: number) => Promise<boolean>
  log: Log
  now: () => number
}

export function createRecovery(deps: RecoveryDeps) {
  const { database, log, now, tokenMillis } = deps
  const audit = createAudit({ node: deps.audit.node + ASIDE.recovery, now, streamFile: deps.audit.stream, log })
  const endings = createEndings({ database, audit, now })
  const narrowGrant = createNarrowing({ audit, endings, now })

  const recorded = (open: (trx: Parameters<typeof noteLife>[0]) => Promise<RecoveryWindow[]>) =>
    database.transaction(async (trx) => {
      await lockByName(trx, 'lives')
      const windows = await open(trx)
      for (const { since, endsAt } of windows)
        await audit.record(trx, {
          type: 'store.recovered',
          actor: 'system',
          details: { since: new Date(since).toISOString(), adoptsUntil: new Date(endsAt).toISOString() },
        })
      return windows
    })

  /** Replays a log from a time on, in milliseconds, and a little before it. */
  const replayLog = async (file: string, since: number): Promise<Replayed> => {
    const { shortLived } = deps
    const entries = readEndings(file, since - MARGIN_MS)
    const revokeKey = deps.revokeKey(audit)
    const replayed = await replay(entries, { database, endings, narrowGrant, shortLived, revokeKey, now })
    if (replayed.unreadable > 0)
      log.warn({ file, lines: replayed.unreadable }, 'the log of endings has unreadable lines')
    return replayed
  }

  return {
    replayLog,

    /** Before this node uses the store: opens the windows that are due, and replays the node's own log. */
    async begin(logFile: string | null): Promise<void> {
      const store = await nameOfStore(database)
      const logKept = await keepsEndings(database.db, deps.audit.node, logFile)
      const mark = await lastEntry(database.db, deps.audit.node)
      const windows = await recorded((trx) => noteLife(trx, { store, now: now(), tokenMillis }))
      for (const { since, endsAt } of windows)
        log.warn(
          { since: new Date(since), adoptsUntil: new Date(endsAt) },
          'the store was restored or promoted: newer refresh tokens than it knows are adopted',
        )
      if (windows.length > 0 && !logKept)
        log.error(
          { file: logFile },
          'this node has no log of endings of before: replay those there are, with latchkey recover --log',
        )
      if (logFile === null || !logKept) return
      const replayed = await replayLog(logFile, mark ?? 0)
      if (replayed.ended > 0) log.warn({ ...replayed, file: logFile }, 'the store lacked endings, which were replayed')
    },

    /** The operator says that the store is one of `since`, in milliseconds. */
    async declare(since: number): Promise<RecoveryWindow> {
      const [window] = await recorded(async (trx) => [await declareWindow(trx, { since, now: now(), tokenMillis })])
      return window as RecoveryWindow
    },

    close: () => audit.close(),
  }
}

/**
 * Is there a log of endings of before?
 * @throws LatchkeyError where there is none although this node kept one: what members have ended may live again
 */
export async function keepsEndings(db: Kysely<Tables>, node: string, file: string | null): Promise<boolean> {
  if (file === null) return false
  if (existsSync(file)) return true
  const started = await db
    .selectFrom('audit')
    .select('details')
    .where('type', '=', 'server.started')
    .where('writer', 'in', writersOf(node))
    .orderBy('time', 'desc')
    .limit(1)
    .executeTakeFirst()
  if (!started || JSON.parse(started.details).endingsLog !== true) return false
  throw new LatchkeyError('endings_log_missing', 500, {
    message:
      `${node} kept a log of endings, and ${file} is not there: without it, what members have ended may live again. ` +
      'Is its disk mounted, and recovery.endingsLog right? If the file is lost, replay copies of it with ' +
      'latchkey recover --log FILE, and put an empty file in its place.',
  })
}

/** The time of the last thing that this node did on this store. */
async function lastEntry(db: Kysely<Tables>, node: string): Promise<number | undefined> {
  const times: number[] = []
  for (const writer of writersOf(node)) {
    const last = await db
      .selectFrom('audit')
      .select('time')
      .where('writer', '=', writer)
      .orderBy('sequence', 'desc')
      .limit(1)
      .executeTakeFirst()
    if (last) times.push(last.time)
  }
  return times.length > 0 ? Math.max(...times) : undefined
}
