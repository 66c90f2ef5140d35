/** Letters to members about what they share: what one is, and posting it. */
import type { Transaction } from 'kysely'
import { InputFaults } from '../errors.ts'
import type { Tables } from '../storage/tables.ts'

/** A letter in the plan's words; the caller wrote them. */
export interface ConnectionLetter {
  recipient: string
  subject: string
  body: string
  language: string
}

/** Where letters are posted: the outbox of `ops`. */
export interface Outbox {
  post(trx: Transaction<Tables>, letter: ConnectionLetter & { plan: string; issuer: string | null }): Promise<void>
}

/**
 * Posts a letter, or none. An address that nothing can be sent to is no reason to refuse what the member decided, or to keep
 * anybody else's letter from being written; the trail says so.
 */
export async function postLetter(
  trx: Transaction<Tables>,
  mail: Outbox,
  { plan, issuer }: { plan: string; issuer: string },
  letter: ConnectionLetter | null,
): Promise<'posted' | 'none' | 'refused'> {
  if (!letter) return 'none'
  try {
    await mail.post(trx, { plan, issuer, ...letter })
    return 'posted'
  } catch (error) {
    if (error instanceof InputFaults) return 'refused'
    throw error
  }
}
