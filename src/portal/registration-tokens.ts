/**
 * Initial access tokens (RFC 7591 section 3): what an operator hands to a developer who may register apps.
 *
 * Owns: making, listing, revoking, and counting down, so that no number of requests at once gets one use more than there are.
 * Does not own: what may be registered with one (registration.ts). A token is printed once and kept as a hash.
 */
import type { Transaction } from 'kysely'
import type { Audit } from '../audit/audit.ts'
import { hashSecret, newId, randomToken } from '../secrets.ts'
import type { Database } from '../storage/database.ts'
import type { RegistrationTokenRow, Tables } from '../storage/tables.ts'

const dayMillis = 86_400_000

/** What opens the door: whose it was made for. */
export type UsableToken = Pick<RegistrationTokenRow, 'id' | 'label'>

export const createRegistrationTokens = (deps: { database: Database; audit: Audit; now: () => number }) => {
  const { database, audit, now } = deps

  return {
    /** Makes one; the answer has the token itself, which nobody can be told again. */
    async make(made: { issuer: string; label: string; uses: number; days: number }) {
      const token = `lkr_${randomToken()}`
      const row: RegistrationTokenRow = {
        id: newId(now()),
        issuer: made.issuer,
        hash: hashSecret(token),
        label: made.label,
        uses_left: made.uses,
        expires_at: now() + made.days * dayMillis,
        created_at: now(),
        last_used_at: null,
      }
      await database.transaction(async (trx) => {
        await trx.insertInto('registration_tokens').values(row).execute()
        await audit.record(trx, {
          type: 'registration-token.made',
          issuer: row.issuer,
          actor: 'system',
          details: { tokenId: row.id, label: row.label, uses: row.uses_left, expiresAt: row.expires_at },
        })
      })
      return { id: row.id, token, expiresAt: row.expires_at }
    },

    /** Every token of an issuer, the oldest first. */
    list: (issuer: string): Promise<RegistrationTokenRow[]> =>
      database.db.selectFrom('registration_tokens').selectAll().where('issuer', '=', issuer).orderBy('id').execute(),

    /** Ends a token now. The issuer that it was for; undefined where there is none by this id. */
    revoke: (id: string): Promise<string | undefined> =>
      database.transaction(async (trx) => {
        const row = await trx
          .deleteFrom('registration_tokens')
          .where('id', '=', id)
          .returning(['issuer', 'label', 'uses_left'])
          .executeTakeFirst()
        if (!row) return undefined
        await audit.record(trx, {
          type: 'registration-token.revoked',
          issuer: row.issuer,
          actor: 'system',
          details: { tokenId: id, label: row.label, usesLeft: row.uses_left },
        })
        return row.issuer
      }),

    /** The token, if one may register with it now. Nothing is counted yet. */
    find: (issuer: string, token: string): Promise<UsableToken | undefined> =>
      database.db
        .selectFrom('registration_tokens')
        .select(['id', 'label'])
        .where('issuer', '=', issuer)
        .where('hash', '=', hashSecret(token))
        .where('uses_left', '>', 0)
        .where('expires_at', '>', now())
        .executeTakeFirst(),

    /** Counts one use, in the transaction of what it is used for. False where none is left, or it was revoked meanwhile. */
    async use(trx: Transaction<Tables>, id: string): Promise<boolean> {
      // The condition and the change are one statement: of any number of callers as many get in as there are uses.
      const counted = await trx
        .updateTable('registration_tokens')
        .set((eb) => ({ uses_left: eb('uses_left', '-', 1), last_used_at: now() }))
        .where('id', '=', id)
        .where('uses_left', '>', 0)
        .where('expires_at', '>', now())
        .executeTakeFirst()
      return counted.numUpdatedRows === 1n
    },
  }
}

export type RegistrationTokens = ReturnType<typeof createRegistrationTokens>
