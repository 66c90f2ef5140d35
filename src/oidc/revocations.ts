/**
 * What resource servers must refuse before it expires by itself: tokens of grants that ended or were narrowed (R11).
 *
 * Owns: reading it from the grants, and hearing of what is new soon after its commit, at whichever node that was.
 * Does not own: what ends or is narrowed (members), or who is told (revocation-feed.ts).
 *
 * There is no table of its own: the grants say it. They are asked only while somebody listens, about four times a second.
 */
import { setTimeout } from 'node:timers/promises'
import type { Log } from '../log.ts'
import { longestAccessMillis, type StoredContext } from '../members/grants.ts'
import type { Database } from '../storage/database.ts'
import { withPatience } from '../storage/patience.ts'
import { type Named, prepared } from '../storage/prepared.ts'
import type { GrantRow } from '../storage/tables.ts'

/** As the feed says it; times in seconds since the epoch. */
export interface Revocation {
  grant_id: string
  /** Tokens of an earlier revision are to be refused; null: all of the grant. */
  revision: number | null
  /** R9's sub-code, or `narrowed`. */
  reason: string
  at: number
  /** From then on no token that this is about can be alive. */
  until: number
}

/** One that was heard of: for which API, and as the how manieth. */
export interface Heard {
  order: number
  api: string
  revocation: Revocation
}

/** By how much a resource server's clock may differ, and more. */
const clockMillis = 60_000
const windowMillis = longestAccessMillis + clockMillis
/** A commit comes after the time that its rows say, and another node's clock is another. */
const overlapMillis = 20_000
const pollMillis = 250
/** Now and then everything is read again, for what was committed later than anybody should. */
const wholeMillis = 60_000
/** A read that takes long is no more than a fifth of the time. */
const restPerWork = 4
const longestRestMillis = 2_000
const staleMillis = 5_000

const columns = ['id', 'revision', 'context', 'ended_at', 'end_reason', 'narrowed_at'] as const
type Row = Pick<GrantRow, (typeof columns)[number]>

const changedSince = prepared((db, value: Named<{ issuer: string; since: number }>) => {
  const after = (column: 'ended_at' | 'narrowed_at') =>
    db
      .selectFrom('grants')
      .select(columns)
      .where('issuer', '=', value('issuer'))
      .where(column, '>', value('since'))
      .where('context', 'is not', null)
  return after('ended_at').unionAll(after('narrowed_at'))
})

const revocationOf = (row: Row): Revocation => {
  // What ended by replay says when it was asked for; that it came later to this store stands in `narrowed_at` (R46).
  const at = Math.max(row.ended_at ?? 0, row.narrowed_at ?? 0)
  const ended = row.ended_at !== null
  return {
    grant_id: row.id,
    revision: ended ? null : row.revision,
    reason: ended ? (row.end_reason ?? 'expired') : 'narrowed',
    at: Math.floor(at / 1000),
    until: Math.ceil((at + windowMillis) / 1000),
  }
}

export const createRevocations = (deps: {
  database: Database
  issuer: string
  log: Log
  now: () => number
  /** Milliseconds that no change of the clock touches. */
  elapsed?: () => number
}) => {
  const { database, issuer, log, now, elapsed = () => performance.now() } = deps
  const watchers = new Set<() => void>()
  let heard: Heard[] = []
  let known = new Set<string>()
  let order = 0
  let readTo = 0
  let readAt = Number.NEGATIVE_INFINITY
  let wholeAt = Number.NEGATIVE_INFINITY
  let silent = false

  const rowsSince = (since: number): Promise<Row[]> =>
    // A stream is no request: whoever opened it has no patience to spend on what is read for hours.
    withPatience(() => changedSince(database.db, { issuer, since }))

  const hear = (rows: Row[]): void => {
    for (const row of rows) {
      const key = `${row.id} ${row.ended_at === null ? row.revision : 'ended'}`
      if (known.has(key)) continue
      known.add(key)
      const { api } = JSON.parse(row.context ?? '{}') as StoredContext
      heard.push({ order: ++order, api, revocation: revocationOf(row) })
    }
  }

  const forgetAll = (): void => {
    heard = []
    known = new Set()
    wholeAt = Number.NEGATIVE_INFINITY
  }

  const read = async (): Promise<void> => {
    const startedAt = elapsed()
    const to = now()
    const whole = startedAt - wholeAt > wholeMillis
    const rows = await rowsSince(whole ? to - windowMillis : Math.min(to, readTo) - overlapMillis)
    hear(rows)
    readTo = to
    readAt = startedAt
    if (!whole) return
    wholeAt = startedAt
    heard = heard.filter(({ revocation }) => revocation.until * 1000 > to)
    if (known.size > 2 * heard.length + 1000)
      known = new Set(heard.map(({ revocation: r }) => `${r.grant_id} ${r.revision ?? 'ended'}`))
  }

  const tryToRead = async (): Promise<void> => {
    try {
      await read()
      if (silent) log.info({ issuer }, 'what ends can be told to resource servers again')
      silent = false
    } catch (error) {
      if (!silent) log.warn({ err: error, issuer }, 'what ends cannot be told to resource servers')
      silent = true
      // Nobody knows how long it will last: what was missed is found by reading everything.
      wholeAt = Number.NEGATIVE_INFINITY
    }
  }

  let running = false
  const run = async (): Promise<void> => {
    running = true
    while (watchers.size > 0) {
      const startedAt = elapsed()
      await tryToRead()
      for (const notify of watchers) notify()
      const rest = Math.min(longestRestMillis, restPerWork * (elapsed() - startedAt))
      await setTimeout(Math.max(pollMillis, rest), undefined, { ref: false })
    }
    running = false
    forgetAll()
  }

  return {
    /** Everything that counts now, with the API that it is about. */
    async list(): Promise<Pick<Heard, 'api' | 'revocation'>[]> {
      const found = new Map<string, Row>()
      for (const row of await rowsSince(now() - windowMillis)) found.set(row.id, row)
      return [...found.values()].map((row) => ({
        api: (JSON.parse(row.context ?? '{}') as StoredContext).api,
        revocation: revocationOf(row),
      }))
    },

    /**
     * Calls `notify` after each reading, until the answered function is called. Settles when everything that counts was
     * read; throws Unavailable where it cannot be.
     */
    async watch(notify: () => void): Promise<() => void> {
      watchers.add(notify)
      try {
        // Not what was read last: whoever comes now hears of all that has ended by now.
        await read()
      } catch (error) {
        watchers.delete(notify)
        throw error
      }
      if (!running) void run()
      return () => watchers.delete(notify)
    },

    /** The next of what was heard after `after`; 0 is before everything. */
    next(after: number, most: number): Heard[] {
      const from = heard.findLastIndex((each) => each.order <= after) + 1
      return heard.slice(from, from + most)
    },

    /** Was the store read a moment ago? Nobody is told that all is well on the word of a store that is away. */
    fresh: (): boolean => elapsed() - readAt < staleMillis,
  }
}

export type Revocations = ReturnType<typeof createRevocations>
