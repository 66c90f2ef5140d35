/** What the demonstration's apps and people have in common: their ids, and a count of what was changed. */
import { createHash } from 'node:crypto'
import type { Transaction } from 'kysely'
import type { Environment } from '../config/settings.ts'
import type { Tables } from '../storage/tables.ts'

/** One environment's demonstration, brought up to date within one transaction. */
export interface Desk {
  trx: Transaction<Tables>
  environment: Environment
  /** Milliseconds. */
  at: number
  /** Inserts, or does whatever changes something for certain. */
  change(work: { execute(): Promise<unknown> }): Promise<void>
  /** Updates or deletes under a condition: counted if a row met it. */
  changeIf(work: { executeTakeFirst(): Promise<Changed | undefined> }): Promise<void>
  changes(): number
}

type Changed = { numUpdatedRows: bigint } | { numDeletedRows: bigint }

export function createDesk(trx: Transaction<Tables>, environment: Environment, at: number): Desk {
  let changes = 0
  return {
    trx,
    environment,
    at,
    async change(work) {
      await work.execute()
      changes += 1
    },
    async changeIf(work) {
      const result = await work.executeTakeFirst()
      if (!result) return
      const rows = 'numUpdatedRows' in result ? result.numUpdatedRows : result.numDeletedRows
      if (rows > 0n) changes += 1
    },
    changes: () => changes,
  }
}

/** Every demonstration record's id lies between these two, and no UUIDv7 that was made after 1970 does. */
const FIRST_ID = '00000000-'
const END_OF_IDS = '00000001-'

/** A UUIDv8 (RFC 9562, 5.8) out of what the record is called. */
export function demonstrationId(...parts: string[]): string {
  const hex = createHash('sha256').update(JSON.stringify(parts)).digest('hex')
  return `00000000-0000-8${hex.slice(0, 3)}-8${hex.slice(3, 6)}-${hex.slice(6, 18)}`
}

export function isDemonstrationId(id: string): boolean {
  return id.startsWith(FIRST_ID)
}

/** The demonstration's rows at this issuer that the file no longer names. Found by their ids, so real rows are not read. */
export async function leftOver(
  { trx, environment }: Desk,
  table: 'credentials' | 'members' | 'own_records' | 'delegations',
  named: ReadonlySet<string>,
): Promise<string[]> {
  const rows = await trx
    .selectFrom(table)
    .select('id')
    .where('issuer', '=', environment.id)
    .where('id', '>=', FIRST_ID)
    .where('id', '<', END_OF_IDS)
    .execute()
  return rows.map((row) => row.id).filter((id) => !named.has(id))
}

export function differs<T extends object>(stored: T, wanted: Partial<T>): boolean {
  return (Object.keys(wanted) as (keyof T)[]).some((key) => stored[key] !== wanted[key])
}
