/**
 * Refresh tokens that are newer than the store (R46): it was restored from a copy, or promoted from a replica that was
 * behind. Their MAC says that we made them, and family and generation say where they belong.
 *
 * Owns: what an unknown token is worth, and adopting it. Does not own: when a window is open (recovery/lives.ts), or the
 * rule of rotation, by which an adopted token is judged like any other from then on (rotation.ts).
 */
import type { Kysely, Transaction } from 'kysely'
import type { GrantContext } from '../members/grants.ts'
import { type RecoveryWindow, readWindows } from '../recovery/lives.ts'
import { sha256 } from '../secrets.ts'
import type { GrantRow, Tables } from '../storage/tables.ts'
import { payloadVersion } from './adapter-request.ts'
import type { AdapterPayload } from './engine.ts'
import type { RefreshTokens } from './refresh-tokens.ts'
import type { TokenName } from './rotation.ts'

/** Longer than a code lives (a minute), by as much as clocks may differ. */
const CODE_MILLIS = 600_000

/** What is known of the family of a token that has no row; its grant is live. */
export interface Family {
  grantCreatedAt: number
  /** The newest token that has a row. */
  newest: { generation: number; createdAt: number } | null
}

/**
 * - `spent`: older than the newest, so it was used before.
 * - `adopted`: issued in an earlier life of the store, and nothing newer of the family came back since.
 * - `forked`: somebody else's line of the family came back first. Two parties hold tokens of it: it ends.
 * - `ahead`: newer than the store, of which nobody has said that it is an older one. A fault of ours.
 * - `expired`: its row was swept away, or the window in which it could have been adopted has closed.
 * - `unknown`: none of these.
 */
export type Worth =
  | { is: 'spent' | 'forked' | 'ahead' | 'expired' | 'unknown' }
  | { is: 'adopted'; window: RecoveryWindow }

/** Judges a token of ours that has no row. Pure. */
export function worthOf(
  { generation }: Pick<TokenName, 'generation'>,
  { newest, grantCreatedAt }: Family,
  windows: readonly RecoveryWindow[],
  now: number,
): Worth {
  const isOpen = ({ endsAt }: RecoveryWindow) => now < endsAt
  if (newest === null) {
    // Where the copy knows a grant and no token, its code was not yet redeemed; of any other family all have expired.
    const window = windows
      .filter(isOpen)
      .find(({ since, openedAt }) => grantCreatedAt < openedAt && grantCreatedAt > since - CODE_MILLIS)
    return window ? { is: 'adopted', window } : { is: 'expired' }
  }
  if (generation < newest.generation) return { is: 'spent' }
  const later = windows.filter(({ openedAt }) => newest.createdAt < openedAt)
  const window = later.find(isOpen)
  if (window) return { is: 'adopted', window }
  if (later.length > 0) return { is: 'expired' }
  if (windows.some(isOpen)) return { is: 'forked' }
  return { is: generation > newest.generation ? 'ahead' : 'unknown' }
}

/** A token that the running request presents, and that is to be adopted. */
export interface Adopting {
  token: string
  payload: AdapterPayload
  grant: GrantRow
}

export const createAdoption = (deps: { issuer: string; refreshTokens: RefreshTokens; now: () => number }) => {
  const { issuer, refreshTokens, now } = deps

  /** What a token of a live grant is worth that has no row. */
  const judge = async (
    db: Kysely<Tables>,
    name: TokenName,
    grant: { created_at: number },
  ): Promise<{ worth: Worth; newest: AdapterPayload | undefined }> => {
    const row = await refreshTokens.newest(name.family, db)
    const newest = row ? { generation: row.generation, createdAt: row.created_at } : null
    const settled = newest !== null && name.generation < newest.generation
    const windows = settled ? [] : await readWindows(db)
    const worth = worthOf(name, { newest, grantCreatedAt: grant.created_at }, windows, now())
    return { worth, newest: row && JSON.parse(row.payload) }
  }

  /** What the engine reads of an adopted token: what a token of its grant has, and no more time than it can have had. */
  const payloadOf = (
    name: TokenName,
    { row, memberSubject }: GrantContext,
    window: RecoveryWindow,
    newest: AdapterPayload | undefined,
  ): AdapterPayload => ({
    kind: 'RefreshToken',
    clientId: row.client_id,
    accountId: memberSubject,
    resource: Object.keys(JSON.parse(row.payload).resources ?? {})[0],
    iiat: Math.floor(row.created_at / 1000),
    ...newest,
    gty: name.generation === 0 ? 'authorization_code' : 'authorization_code refresh_token',
    grantId: row.id,
    scope: row.scope,
    rotations: name.generation,
    iat: Math.floor(now() / 1000),
    exp: Math.floor(Math.min(window.endsAt, row.expires_at) / 1000),
    v: payloadVersion,
  })

  /**
   * Gives the token its row, and takes those of older generations away: they are spent, and their names say so. The
   * caller holds the family. What had a row by now has kept it.
   * @returns whether the token is the family's; false where another line of it came first
   */
  const adopt = async (
    trx: Transaction<Tables>,
    name: TokenName,
    { token, payload, grant }: Adopting,
  ): Promise<boolean> => {
    const stored = await trx
      .selectFrom('refresh_tokens')
      .select('token_hash')
      .where('token_hash', '=', sha256(token))
      .executeTakeFirst()
    if (stored) return true
    const { worth } = await judge(trx, name, grant)
    if (worth.is !== 'adopted') return false
    await trx
      .deleteFrom('refresh_tokens')
      .where('issuer', '=', issuer)
      .where('grant_id', '=', name.family)
      .where('generation', '<', name.generation)
      .execute()
    const { jti: _, ...rest } = payload
    await refreshTokens.add(trx, token, name, JSON.stringify(rest), (payload.exp ?? 0) * 1000)
    return true
  }

  return { judge, payloadOf, adopt }
}
