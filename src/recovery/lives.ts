/**
 * The lives of a store, and the recovery windows among them (R46).
 *
 * A store that was restored from a copy or promoted from a replica that was behind lacks the newest refresh tokens of
 * its families. While a window is open such tokens are adopted (oidc/adoption.ts). A window is opened by what nobody but
 * the operator can bring about: the store is another PostgreSQL than at the last start, the file is a copy that
 * `latchkey backup` made, or `latchkey recover --since` says so. It closes when no token of before lives any more.
 */
import type { Kysely, Transaction } from 'kysely'
import { ASIDE } from '../audit/audit.ts'
import { newId } from '../secrets.ts'
import type { Tables } from '../storage/tables.ts'

/** A life in which newer tokens may turn up than the store knows. */
export interface RecoveryWindow {
  /** Since when the store may lack what was done, in milliseconds. */
  since: number
  /** When this life began: tokens stored later are of this life. */
  openedAt: number
  /** When the last token of before has ended. */
  endsAt: number
}

/** The windows that ever were; hardly ever more than one. */
export async function readWindows(db: Kysely<Tables>): Promise<RecoveryWindow[]> {
  const rows = await db
    .selectFrom('lives')
    .select(['since', 'opened_at', 'ends_at'])
    .where('since', 'is not', null)
    .where('opened_at', 'is not', null)
    .execute()
  return rows.map((row) => ({ since: row.since ?? 0, openedAt: row.opened_at ?? 0, endsAt: row.ends_at ?? 0 }))
}

/**
 * Notes in which life the store is, and opens the windows that this brings. Of several nodes the first one does.
 * @param known.store which PostgreSQL it is now, or null
 * @param known.tokenMillis how long a refresh token lives unused
 * @returns the windows that this call opened
 */
export async function noteLife(
  trx: Transaction<Tables>,
  known: { store: string | null; now: number; tokenMillis: number },
): Promise<RecoveryWindow[]> {
  const { store, now } = known
  const lives = await trx.selectFrom('lives').selectAll().orderBy('id').forUpdate().execute()
  const opened: RecoveryWindow[] = []
  for (const { id, since } of lives.filter((life) => life.opened_at === null)) {
    const window = { since: since ?? now, openedAt: now, endsAt: now + known.tokenMillis }
    await trx
      .updateTable('lives')
      .set({ opened_at: window.openedAt, ends_at: window.endsAt })
      .where('id', '=', id)
      .execute()
    opened.push(window)
  }
  if (opened.length > 0) await forgetVisits(trx)
  if (store === null || lives.some((life) => life.store === store)) return opened

  const before = lives.findLast((life) => life.store !== null)
  if (!before) {
    await insertLife(trx, { store, since: null, opened_at: now, ends_at: null })
    return opened
  }
  const window = await openWindow(trx, { ...known, since: await newestEntry(trx, now) })
  // A promoted replica is the same cluster and was seconds behind: nobody is signed out for that.
  if (clusterOf(before.store) !== clusterOf(store)) await forgetVisits(trx)
  return [...opened, window]
}

/** Opens a window that the operator declares. */
export async function declareWindow(
  trx: Transaction<Tables>,
  known: { since: number; now: number; tokenMillis: number },
): Promise<RecoveryWindow> {
  await forgetVisits(trx)
  return openWindow(trx, { ...known, store: null })
}

async function openWindow(
  trx: Transaction<Tables>,
  { store, since, now, tokenMillis }: { store: string | null; since: number; now: number; tokenMillis: number },
): Promise<RecoveryWindow> {
  const window = { since, openedAt: now, endsAt: now + tokenMillis }
  await insertLife(trx, { store, since, opened_at: window.openedAt, ends_at: window.endsAt })
  return window
}

async function insertLife(trx: Transaction<Tables>, life: Omit<Tables['lives'], 'id'>): Promise<void> {
  await trx
    .insertInto('lives')
    .values({ id: newId(), ...life })
    .execute()
}

/** The last thing that a server did on the store: what commands did may have been done after it was restored. */
async function newestEntry(trx: Transaction<Tables>, now: number): Promise<number> {
  const newest = await trx
    .selectFrom('audit')
    .select('time')
    .where('writer', 'not like', `%${ASIDE.cli}`)
    .where('writer', 'not like', `%${ASIDE.recovery}`)
    .orderBy('time', 'desc')
    .limit(1)
    .executeTakeFirst()
  return newest?.time ?? now
}

/** What was begun or ended in the browser since is not known: members sign in again, and no code of before works. */
async function forgetVisits(trx: Transaction<Tables>): Promise<void> {
  await trx.deleteFrom('short_lived').where('kind', 'in', ['Session', 'Interaction', 'AuthorizationCode']).execute()
}

/** The name of a PostgreSQL begins with that of its cluster and database (storage/store-name.ts). */
const clusterOf = (store: string | null): string | undefined => store?.split('/').slice(0, 2).join('/')
