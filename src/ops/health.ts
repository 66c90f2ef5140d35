/**
 * Health for orchestrators: `/healthz` (the process lives) and `/readyz` (it can serve).
 *
 * Owns: the two answers. Does not own: draining (server.ts). Reasons go to the log, never to the caller.
 */
import { sql } from 'kysely'
import type { Log } from '../log.ts'
import type { Database } from '../storage/database.ts'

export interface Health {
  /** False as soon as the store does not answer, or the server is going down. */
  ready(): Promise<boolean>
  /** From now on `ready` is false. */
  drain(): void
}

export const createHealth = ({ database, log }: { database: Database; log: Log }): Health => {
  let draining = false
  return {
    async ready() {
      if (draining) return false
      try {
        await sql`select 1`.execute(database.db)
        return true
      } catch (error) {
        log.error({ err: error }, 'not ready: the store does not answer')
        return false
      }
    },
    drain() {
      draining = true
    },
  }
}
