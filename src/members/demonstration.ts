/**
 * The demonstration's people and apps: made from the settings, and kept as they say at every start.
 *
 * Their ids are derived from their names and begin in a way that no UUIDv7 does. So they, and every `sub`, stay the same
 * even when `data/` is thrown away, and records that left the file are found without looking at anybody else's.
 * `config` decides where a demonstration is allowed. Where there is none, an older one in the database is taken out of
 * use: its passwords are published.
 */
import type { Audit } from '../audit/audit.ts'
import type { DemonstrationMember, Settings } from '../config/settings.ts'
import type { Database } from '../storage/database.ts'
import { lockByName } from '../storage/transaction-hooks.ts'
import { type Attest, putApps } from './demonstration-apps.ts'
import { createDesk } from './demonstration-desk.ts'
import { putMembers } from './demonstration-people.ts'

/** What this part needs of `accounts`. */
interface PasswordWork {
  hash(password: string): Promise<string>
  verify(password: string, hash: string | null): Promise<boolean>
  needsRehash(hash: string): boolean
}

export interface DemonstrationDeps {
  database: Database
  settings: Pick<Settings, 'plans'>
  passwords: PasswordWork
  attest: Attest
  audit: Audit
  now: () => number
}

/** Brings the stored demonstration in line with the settings. Done again, it changes nothing. */
export async function loadDemonstration({
  database,
  settings,
  passwords,
  attest,
  audit,
  now,
}: DemonstrationDeps): Promise<void> {
  for (const environment of settings.plans.flatMap((plan) => plan.environments)) {
    const { apps, members } = environment.demonstration ?? { apps: [], members: [] }
    // Before the transaction: hashing takes long, and everybody waits for a transaction.
    const hashes = await hashesOf(database, passwords, environment.id, members)
    await database.transaction(async (trx) => {
      // One name for all environments: those of a plan share developers.
      await lockByName(trx, 'demonstration')
      const desk = createDesk(trx, environment, now())
      await putApps(desk, apps, attest)
      await putMembers(desk, members, hashes)
      if (desk.changes() === 0) return
      await audit.record(trx, {
        type: 'demonstration.loaded',
        issuer: environment.id,
        actor: 'system',
        details: { apps: apps.length, members: members.length, changes: desk.changes() },
      })
    })
  }
}

/** By username, the hash to store: the stored one where it verifies, so that a later start makes none. */
async function hashesOf(
  database: Database,
  passwords: PasswordWork,
  issuer: string,
  members: readonly DemonstrationMember[],
): Promise<Map<string, string>> {
  const hashes = new Map<string, string>()
  for (const member of members) {
    const stored = await database.db
      .selectFrom('members')
      .select('password_hash')
      .where('issuer', '=', issuer)
      .where('username', '=', member.username)
      .executeTakeFirst()
    const hash = stored?.password_hash
    const good = hash && !passwords.needsRehash(hash) && (await passwords.verify(member.password, hash))
    hashes.set(member.username, good ? hash : await passwords.hash(member.password))
  }
  return hashes
}
