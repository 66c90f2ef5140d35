/**
 * Deletes what has expired, a little at a time, so that nobody waits for it.
 *
 * Owns: which rows are of no more use, and when. Does not own: the audit trail and consents (kept six years and more),
 * or grants (their end is history that members see).
 */
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Database } from './database.ts'
import type { Jobs } from './jobs.ts'

/** Rows per statement: each is a transaction of its own, and others get their turn between two. What is in use waits. */
const BATCH = 500
/** How long a letter that was sent can still be looked up. */
const LETTER_DAYS = 30
const INTERVAL_MS = 60_000

/** Registers the recurring job `sweep`. */
export function addSweep(options: { database: Database; jobs: Jobs; now: () => number; batch?: number }): void {
  options.jobs.handle('sweep', async ({ signal }) => {
    await sweep({ ...options, signal })
  })
  options.jobs.every('sweep', INTERVAL_MS)
}

/** One sweep; answers how many rows went. */
export async function sweep(options: {
  database: Database
  now: () => number
  signal?: AbortSignal
  batch?: number
}): Promise<number> {
  const { now, signal, batch = BATCH } = options
  const { db } = options.database
  // In a recovery window they show which tokens are newer than the store (R46).
  const { kept } = await db
    .selectFrom('lives')
    .select(({ fn }) => fn.max<number | null>('opened_at').as('kept'))
    .where('ends_at', '>', now())
    .executeTakeFirstOrThrow()
  const letterEnd = now() - LETTER_DAYS * 86_400_000

  const deletions = [
    () =>
      db
        .deleteFrom('short_lived')
        .where((eb) =>
          eb(
            eb.refTuple('issuer', 'kind', 'key'),
            'in',
            eb
              .selectFrom('short_lived')
              .select(['issuer', 'kind', 'key'])
              .where('expires_at', '<=', now())
              .limit(batch)
              .forUpdate()
              .skipLocked()
              .$asTuple('issuer', 'kind', 'key'),
          ),
        ),
    () =>
      db
        .deleteFrom('counters')
        .where((eb) =>
          eb(
            eb.refTuple('issuer', 'kind', 'key'),
            'in',
            eb
              .selectFrom('counters')
              .select(['issuer', 'kind', 'key'])
              .where('expires_at', '<=', now())
              .limit(batch)
              .forUpdate()
              .skipLocked()
              .$asTuple('issuer', 'kind', 'key'),
          ),
        ),
    // What is older in a family is spent, however long it was made to live: left over, it would be the newest.
    () =>
      db.deleteFrom('refresh_tokens').where('token_hash', 'in', (eb) =>
        eb
          .selectFrom('refresh_tokens as expired')
          .innerJoin('refresh_tokens as older', (join) =>
            join
              .onRef('older.grant_id', '=', 'expired.grant_id')
              .onRef('older.issuer', '=', 'expired.issuer')
              .onRef('older.generation', '<', 'expired.generation'),
          )
          .select('older.token_hash')
          .where('expired.expires_at', '<=', now())
          .where('older.created_at', '>=', kept ?? 0)
          .limit(batch)
          .forUpdate('older')
          .skipLocked(),
      ),
    () =>
      db.deleteFrom('refresh_tokens').where('token_hash', 'in', (eb) =>
        eb
          .selectFrom('refresh_tokens as expired')
          .select('token_hash')
          .where('expires_at', '<=', now())
          .where('created_at', '>=', kept ?? 0)
          .where((where) =>
            where.not(
              where.exists(
                where
                  .selectFrom('refresh_tokens as older')
                  .select('older.token_hash')
                  .whereRef('older.grant_id', '=', 'expired.grant_id')
                  .whereRef('older.issuer', '=', 'expired.issuer')
                  .whereRef('older.generation', '<', 'expired.generation'),
              ),
            ),
          )
          .limit(batch)
          .forUpdate('expired')
          .skipLocked(),
      ),
    () =>
      db
        .deleteFrom('letters')
        .where('id', 'in', (eb) =>
          eb.selectFrom('letters').select('id').where('sent_at', '<=', letterEnd).limit(batch).forUpdate().skipLocked(),
        ),
  ]

  let total = 0
  for (const deletion of deletions) {
    let deleted: number
    do {
      if (signal?.aborted) return total
      deleted = Number((await deletion().executeTakeFirstOrThrow()).numDeletedRows)
      total += deleted
      await nextTurn()
    } while (deleted === batch)
  }
  return total
}
