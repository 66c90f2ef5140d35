/**
 * Reminds members of ends that come near (R8): once for each end, by a letter that leads to the page on which it is put off.
 *
 * Owns: which connections are due, and that no two servers write. Does not own: the letter's words (reminder-letter.ts), or
 * extending (changes.ts).
 */
import type { Transaction } from 'kysely'
import type { Audit } from '../audit/audit.ts'
import type { Environment } from '../config/settings.ts'
import type { Database } from '../storage/database.ts'
import type { Jobs } from '../storage/jobs.ts'
import type { Tables } from '../storage/tables.ts'
import type { I18n } from '../web/i18n.ts'
import { REMINDED_BEFORE } from './connection-pages.ts'
import { extensionOf } from './extension.ts'
import { readAuthorityEnd, readStanding } from './grants.ts'
import { type Outbox, postLetter } from './letters.ts'
import { reminderLetter } from './reminder-letter.ts'

const HOUR = 3_600_000
const BATCH = 200

export interface ReminderDeps {
  database: Database
  environments: readonly Environment[]
  mail: Outbox
  audit: Audit
  i18n: I18n
  now: () => number
  /** Connections that are looked at between two looks at the clock of the job. */
  batch?: number
}

/** Registers the recurring job `reminders`. */
export function addReminders({ jobs, ...deps }: ReminderDeps & { jobs: Jobs }): void {
  jobs.handle('reminders', async ({ signal }) => {
    await remind({ ...deps, signal })
  })
  jobs.every('reminders', HOUR)
}

/** Writes every letter that is due; answers how many connections were reminded. */
export async function remind({ signal, ...deps }: ReminderDeps & { signal?: AbortSignal }): Promise<number> {
  const { database, environments, batch = BATCH } = deps
  let reminded = 0
  for (const environment of environments) {
    let after = ''
    for (;;) {
      if (signal?.aborted) return reminded
      const due = await findDue(deps, environment.id, { after, batch })
      for (const { id } of due)
        if (await database.transaction((trx) => remindOne(trx, environment, id, deps))) reminded += 1
      const last = due.at(-1)
      if (!last || due.length < batch) break
      after = last.id
    }
  }
  return reminded
}

/** Live connections whose last grant that may go on ends soon, and of whose end nobody was reminded. */
function findDue({ database, now }: ReminderDeps, issuer: string, { after, batch }: { after: string; batch: number }) {
  return database.db
    .selectFrom('connections as c')
    .innerJoin('grants as g', (join) => join.onRef('g.connection_id', '=', 'c.id').onRef('g.issuer', '=', 'c.issuer'))
    .select('c.id')
    .where('c.issuer', '=', issuer)
    .where('c.id', '>', after)
    .where('c.ended_at', 'is', null)
    .where('g.ended_at', 'is', null)
    .where('g.expires_at', '>', now())
    .where('g.scope', 'like', '%offline_access%')
    .groupBy(['c.id', 'c.reminded_for'])
    .having((eb) =>
      eb.and([
        eb(eb.fn.max('g.expires_at'), '<=', now() + REMINDED_BEFORE),
        eb.or([eb('c.reminded_for', 'is', null), eb('c.reminded_for', '<>', eb.fn.max('g.expires_at'))]),
      ]),
    )
    .orderBy('c.id')
    .limit(batch)
    .execute()
}

/** Everything is asked again while the connection is held: it may have been ended, extended or reminded meanwhile. */
async function remindOne(
  trx: Transaction<Tables>,
  environment: Environment,
  connectionId: string,
  { mail, audit, i18n, now }: ReminderDeps,
): Promise<boolean> {
  const issuer = environment.id
  const grants = await trx
    .selectFrom('grants')
    .select(['id', 'expires_at', 'created_at'])
    .where('connection_id', '=', connectionId)
    .where('issuer', '=', issuer)
    .where('ended_at', 'is', null)
    .where('expires_at', '>', now())
    .where('scope', 'like', '%offline_access%')
    .orderBy('id')
    .forUpdate()
    .execute()
  const [last] = grants.toSorted((a, b) => b.expires_at - a.expires_at)
  const endsAt = last?.expires_at ?? Number.POSITIVE_INFINITY
  if (!last || endsAt > now() + REMINDED_BEFORE) return false
  if ((await readStanding(trx, { issuer, grantId: last.id, now: now() })) !== 'live') return false
  // A letter would lead to a page that offers nothing.
  let atMost = 0
  for (const { id } of grants)
    atMost = Math.max(atMost, await readAuthorityEnd(trx, { issuer, grantId: id, now: now() }))
  const { choices, days } = extensionOf(environment.plan, { endsAt, shown: now(), atMost })
  if (choices.length === 0 && !days) return false
  const connection = await trx
    .selectFrom('connections as c')
    .innerJoin('members as m', 'm.id', 'c.member_id')
    .innerJoin('patients as p', 'p.id', 'c.patient_id')
    .innerJoin('apps as a', 'a.id', 'c.app_id')
    .select(['c.member_id', 'c.patient_id', 'c.app_id', 'c.reminded_for'])
    .select(['m.name', 'm.email', 'm.locale', 'p.name as patient', 'a.name as app'])
    .where('c.id', '=', connectionId)
    .where('c.ended_at', 'is', null)
    .forUpdate('c')
    .executeTakeFirst()
  if (!connection || connection.reminded_for === endsAt) return false
  // Who has just chosen an end that is near knows it.
  const chosenAt = Math.max(last.created_at, await lastExtension(trx, connectionId))
  if (endsAt - chosenAt <= REMINDED_BEFORE) return false
  await trx.updateTable('connections').set({ reminded_for: endsAt }).where('id', '=', connectionId).execute()
  const { name, email, patient, app } = connection
  const language = connection.locale ?? (await lastLanguage(trx, last.id)) ?? environment.plan.defaultLanguage
  const words = i18n.translator(language, environment.plan.timeZone)
  const letter =
    email === null
      ? null
      : reminderLetter({ environment, connectionId, member: { name, email }, patient, app, endsAt, words })
  await audit.record(trx, {
    type: 'connection.reminded',
    plan: environment.plan.id,
    issuer,
    actor: 'system',
    memberId: connection.member_id,
    patientId: connection.patient_id,
    appId: connection.app_id,
    details: {
      connectionId,
      endsAt,
      letter: await postLetter(trx, mail, { plan: environment.plan.id, issuer }, letter),
    },
  })
  return true
}

async function lastExtension(trx: Transaction<Tables>, connectionId: string): Promise<number> {
  const row = await trx
    .selectFrom('connection_changes')
    .select(({ fn }) => fn.max<number | null>('changed_at').as('at'))
    .where('connection_id', '=', connectionId)
    .where('kind', '=', 'extended')
    .executeTakeFirst()
  return Number(row?.at ?? 0)
}

/** In which the member read what they agreed to. */
async function lastLanguage(trx: Transaction<Tables>, grantId: string): Promise<string | undefined> {
  const row = await trx.selectFrom('consents').select('language').where('grant_id', '=', grantId).executeTakeFirst()
  return row?.language
}
