/**
 * The rows of jobs: taking one under a lease, keeping the lease, giving the job back.
 *
 * A lease is one statement, so that one of several processes gets it. Each has a name of its own: a holder whose lease
 * ran out can touch the job no more, even if the next holder lives in the same process.
 */
import type { Kysely } from 'kysely'
import { newId } from '../secrets.ts'
import { isUniqueViolation } from './faults.ts'
import type { JobRow, Tables } from './tables.ts'

/** The longest error text that is kept. */
const ERROR_LENGTH = 500

export interface JobLeases {
  /** Leases the due job that has waited longest, if any. Its `attempts` counts this one. */
  take(kinds: readonly string[]): Promise<JobRow | undefined>
  /** Prolongs the lease; false if it is lost. */
  renew(job: JobRow): Promise<boolean>
  done(job: JobRow): Promise<void>
  /** Back among the waiting, to run at `runAt`. A job that waits under the same unique key already takes its place. */
  again(job: JobRow, runAt: number, change?: { attempts: number; error: string | null }): Promise<void>
  /** Out of the way until a person looks. */
  park(job: JobRow, error: string): Promise<void>
}

export function createJobLeases(options: {
  db: Kysely<Tables>
  now: () => number
  holder: string
  leaseMs: number
}): JobLeases {
  const { db, now, holder, leaseMs } = options

  const held = (job: JobRow) => db.updateTable('jobs').where('id', '=', job.id).where('leased_by', '=', job.leased_by)

  return {
    take(kinds) {
      const at = now()
      return db
        .updateTable('jobs')
        .set((eb) => ({
          leased_by: `${holder}/${newId()}`,
          leased_until: at + leaseMs,
          attempts: eb('attempts', '+', 1),
        }))
        .where((eb) =>
          eb(
            'id',
            '=',
            eb
              .selectFrom('jobs')
              .select('id')
              .where('kind', 'in', kinds)
              .where('parked_at', 'is', null)
              .where('run_at', '<=', at)
              .where((free) => free.or([free('leased_until', 'is', null), free('leased_until', '<=', at)]))
              .orderBy('run_at')
              .orderBy('id')
              .limit(1)
              .forUpdate()
              .skipLocked(),
          ),
        )
        .where((free) => free.or([free('leased_until', 'is', null), free('leased_until', '<=', at)]))
        .returningAll()
        .executeTakeFirst()
    },

    async renew(job) {
      const { numUpdatedRows } = await held(job)
        .set({ leased_until: now() + leaseMs })
        .executeTakeFirstOrThrow()
      return numUpdatedRows > 0n
    },

    async done(job) {
      await db.deleteFrom('jobs').where('id', '=', job.id).where('leased_by', '=', job.leased_by).execute()
    },

    async again(job, runAt, change = { attempts: job.attempts, error: job.last_error }) {
      try {
        await held(job)
          .set({
            leased_by: null,
            leased_until: null,
            run_at: runAt,
            attempts: change.attempts,
            last_error: change.error?.slice(0, ERROR_LENGTH) ?? null,
          })
          .execute()
      } catch (error) {
        if (!isUniqueViolation(error)) throw error
        await this.done(job)
      }
    },

    async park(job, error) {
      await held(job)
        .set({ leased_by: null, leased_until: null, parked_at: now(), last_error: error.slice(0, ERROR_LENGTH) })
        .execute()
    },
  }
}
