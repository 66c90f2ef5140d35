/**
 * Background work that survives a crash: one table, leased rows, any number of processes.
 *
 * Owns: when a job runs, how often it is tried, who runs it. Does not own: what a job does (handlers of other parts).
 * A job runs at least once, and again if its holder dies before saying that it is done: handlers must bear that.
 * Hands to: job-lease.ts for the rows, retry.ts for the waiting.
 */
import type { Transaction } from 'kysely'
import type { Log } from '../log.ts'
import { newId } from '../secrets.ts'
import type { Database } from './database.ts'
import { createJobLeases } from './job-lease.ts'
import { MAX_ATTEMPTS, retryDelay } from './retry.ts'
import type { JobRow, Tables } from './tables.ts'
import { afterCommit } from './transaction-hooks.ts'

export interface Job {
  id: string
  kind: string
  /** As it was enqueued, by way of JSON. It comes from the store: parse it. */
  payload: unknown
  /** 1 at the first attempt. */
  attempt: number
  /** Aborted when the server stops, or when another process has taken the job over. */
  signal: AbortSignal
}

export type JobHandler = (job: Job) => Promise<void>

/** Thrown by a handler: trying again is of no use. */
export class HopelessJob extends Error {
  override name = 'HopelessJob'
}

export interface Jobs {
  /** Says how jobs of a kind are done. Kinds without a handler are left to other processes. */
  handle(kind: string, handler: JobHandler): void
  /** Runs a kind again and again: one row for all processes, the next time counted from the end of the last. */
  every(kind: string, intervalMs: number): void
  /**
   * Adds a job if the transaction commits; it then runs at once, or at `runAt` (milliseconds). While one with the same
   * `uniqueKey` waits, nothing is added; while one runs, the next may wait already.
   */
  enqueue(
    trx: Transaction<Tables>,
    job: { kind: string; payload: unknown; runAt?: number; uniqueKey?: string },
  ): Promise<void>
  /** Runs everything that is due, with what becomes due meanwhile, and answers how many runs that took. */
  runDue(): Promise<number>
  /** Looks for due jobs from now on. */
  start(): void
  /** Takes no more jobs, tells the running ones, and waits for them. */
  stop(): Promise<void>
}

/**
 * @param options.holder names this process in leases, for people who look at the table
 * @param options.random from 0 (inclusive) to 1, for the waiting between attempts
 * @param options.leaseMs how long after the death of a holder its job is taken by another
 */
export function createJobs(options: {
  database: Database
  log: Log
  now: () => number
  holder: string
  random?: () => number
  leaseMs?: number
  pollMs?: number
  concurrency?: number
}): Jobs {
  const { database, log, now, random = Math.random, leaseMs = 60_000, pollMs = 1_000, concurrency = 4 } = options
  const leases = createJobLeases({ db: database.db, now, holder: options.holder, leaseMs })
  const handlers = new Map<string, JobHandler>()
  const intervals = new Map<string, number>()
  const running = new Set<Promise<void>>()
  const stopping = new AbortController()
  let filling: Promise<number> | undefined
  let ensured = false
  let started = false
  let timer: NodeJS.Timeout | undefined

  const recurring = (job: JobRow) => (job.id === recurringId(job.kind) ? intervals.get(job.kind) : undefined)

  /** The primary key is what makes a recurring job one for all processes. */
  async function ensureRecurring(): Promise<void> {
    if (ensured) return
    for (const [kind, intervalMs] of intervals) {
      const soonest = { ...waiting(kind, null, now()), id: recurringId(kind) }
      await database.db
        .insertInto('jobs')
        .values(soonest)
        .onConflict((conflict) => conflict.column('id').doNothing())
        .execute()
      // A shorter interval than at the last start counts from now on.
      await database.db
        .updateTable('jobs')
        .set({ run_at: now() + intervalMs })
        .where('id', '=', soonest.id)
        .where('run_at', '>', now() + intervalMs)
        .execute()
    }
    ensured = true
  }

  /** Starts as many due jobs as there is room for; answers how many. */
  async function takeAndStart(): Promise<number> {
    await ensureRecurring()
    let taken = 0
    while (running.size < concurrency && handlers.size > 0 && !stopping.signal.aborted) {
      const job = await leases.take([...handlers.keys()])
      if (!job) break
      taken++
      const run = runOne(job).catch((error: unknown) => {
        log.error({ err: error, job: job.id, kind: job.kind }, 'a job could not be given back; its lease will run out')
      })
      running.add(run)
      void run.then(() => {
        running.delete(run)
        look(0)
      })
    }
    return taken
  }

  function fill(): Promise<number> {
    filling ??= takeAndStart().finally(() => {
      filling = undefined
    })
    return filling
  }

  async function runOne(job: JobRow): Promise<void> {
    const handler = handlers.get(job.kind)
    if (!handler) return
    if (job.attempts > MAX_ATTEMPTS && recurring(job) === undefined) {
      return leases.park(job, job.last_error ?? 'every holder died')
    }
    const lost = new AbortController()
    const renewal = setInterval(() => void keep(job, lost), leaseMs / 3)
    try {
      const signal = AbortSignal.any([stopping.signal, lost.signal])
      const { id, kind, attempts: attempt } = job
      await handler({ id, kind, payload: JSON.parse(job.payload), attempt, signal })
    } catch (error) {
      return await failed(job, error)
    } finally {
      clearInterval(renewal)
    }
    const interval = recurring(job)
    if (interval === undefined) await leases.done(job)
    else await leases.again(job, now() + interval, { attempts: 0, error: null })
  }

  async function keep(job: JobRow, lost: AbortController): Promise<void> {
    try {
      if (!(await leases.renew(job))) lost.abort(new Error('the lease is lost'))
    } catch (error) {
      log.warn({ err: error, job: job.id, kind: job.kind }, 'a lease could not be renewed')
    }
  }

  async function failed(job: JobRow, error: unknown): Promise<void> {
    const { attempts } = job
    if (stopping.signal.aborted) return leases.again(job, now(), { attempts: attempts - 1, error: job.last_error })

    const text = error instanceof Error ? error.message : String(error)
    const interval = recurring(job)
    const hopeless = interval === undefined && (error instanceof HopelessJob || attempts >= MAX_ATTEMPTS)
    log[hopeless ? 'error' : 'warn'](
      { err: error, job: job.id, kind: job.kind, attempts, parked: hopeless },
      'a job failed',
    )
    if (hopeless) return leases.park(job, text)
    const delay = Math.min(retryDelay(attempts, random()), interval ?? Number.POSITIVE_INFINITY)
    return leases.again(job, now() + delay, { attempts, error: text })
  }

  /** Looks for work after `delay`, if started. */
  function look(delay: number): void {
    if (!started || stopping.signal.aborted) return
    clearTimeout(timer)
    timer = setTimeout(async () => {
      await fill().catch((error: unknown) => log.error({ err: error }, 'jobs cannot be read'))
      look(pollMs)
    }, delay)
  }

  return {
    handle: (kind, handler) => void handlers.set(kind, handler),

    every(kind, intervalMs) {
      intervals.set(kind, intervalMs)
      ensured = false
    },

    async enqueue(trx, { kind, payload, runAt, uniqueKey }) {
      await trx
        .insertInto('jobs')
        .values({ ...waiting(kind, payload, runAt ?? now()), unique_key: uniqueKey ?? null })
        .onConflict((conflict) => conflict.doNothing())
        .execute()
      afterCommit(trx, () => look(0))
    },

    async runDue() {
      let runs = 0
      for (;;) {
        const taken = await fill()
        runs += taken
        if (running.size > 0) await Promise.race(running)
        else if (taken === 0) return runs
      }
    },

    start() {
      started = true
      look(0)
    },

    async stop() {
      stopping.abort(new Error('the server stops'))
      clearTimeout(timer)
      await filling?.catch(() => {})
      await Promise.all(running)
    },
  }
}

const recurringId = (kind: string) => `every:${kind}`

function waiting(kind: string, payload: unknown, runAt: number): JobRow {
  const free = { unique_key: null, leased_by: null, leased_until: null, last_error: null, parked_at: null }
  return { id: newId(), kind, payload: JSON.stringify(payload), run_at: runAt, attempts: 0, ...free }
}
