/**
 * The server looks at itself from outside, on a schedule, and remembers what it found (R40).
 *
 * Owns: when, as whom, the dated results and how long they are kept. Does not own: what is looked at (doctor/). It goes over the
 * public address, as anybody would: what a proxy or a firewall breaks is found too.
 */
import type { Audit } from '../audit/audit.ts'
import type { Environment } from '../config/settings.ts'
import { type DoctorOptions, examine, type Report } from '../doctor/doctor.ts'
import type { Log } from '../log.ts'
import { newId } from '../secrets.ts'
import type { Database } from '../storage/database.ts'
import type { Jobs } from '../storage/jobs.ts'

const HOUR = 3_600_000
/** How often it is looked whether a test is due. */
const LOOK_EVERY = 5 * 60_000
const KEPT_DAYS = 90
/** Of one issuer, however often it tests itself. */
const MOST_KEPT = 500

/** A test that was run, as it is listed. */
export interface SelfTest {
  id: string
  issuer: string
  outcome: 'passed' | 'failed'
  startedAt: number
  finishedAt: number
  report: Report
}

/** As whom an issuer is tested at one of its APIs. */
const optionsOf = ({ selfTest }: Environment, target: string): DoctorOptions => {
  const { clientId, clientSecret, clientKey, redirectUri, member, otherPatient, service } = selfTest ?? {}
  return {
    target,
    client: clientId
      ? { clientId, ...(clientKey ? { key: JSON.parse(clientKey) } : { secret: clientSecret ?? undefined }) }
      : undefined,
    redirectUri: redirectUri ?? undefined,
    member: member ? { ...member, patient: member.patient ?? undefined } : undefined,
    otherPatient: otherPatient ?? undefined,
    service: service ? { credentials: { clientId: service.clientId, key: JSON.parse(service.key) } } : undefined,
  }
}

/** What could not be asked at all has failed: whoever comes from outside fares no better. */
const outcomeOf = ({ outcome }: Report): SelfTest['outcome'] => (outcome === 'passed' ? 'passed' : 'failed')

/** The ids of what failed, or why nothing could be asked. */
export const failuresOf = ({ results, reason }: Report): string[] => [
  ...(reason === null ? [] : [reason]),
  ...results.filter(({ outcome }) => outcome === 'failed').map(({ id }) => id),
]

/** The results of an issuer, or of all, newest first. */
export const listSelfTests = async (database: Database, issuer?: string): Promise<SelfTest[]> => {
  let query = database.db
    .selectFrom('self_tests')
    .selectAll()
    .orderBy('started_at', 'desc')
    .orderBy('id', 'desc')
    .limit(100)
  if (issuer !== undefined) query = query.where('issuer', '=', issuer)
  return (await query.execute()).map((row) => ({
    id: row.id,
    issuer: row.issuer,
    outcome: row.outcome,
    startedAt: row.started_at,
    finishedAt: row.finished_at,
    report: JSON.parse(row.report),
  }))
}

/** Registers the recurring job `self-test`, where any environment wishes one. */
export const addSelfTests = (deps: {
  database: Database
  jobs: Jobs
  environments: readonly Environment[]
  audit: Audit
  log: Pick<Log, 'info' | 'warn'>
  now: () => number
  /** Looks at a server; a test's own. */
  look?: (options: DoctorOptions) => Promise<Report>
}): void => {
  const { database, jobs, audit, log, now, look = examine } = deps
  const tested = deps.environments.filter(({ selfTest }) => selfTest !== null)
  if (tested.length === 0) return

  const isDue = async ({ id, selfTest }: Environment): Promise<boolean> => {
    const last = await database.db
      .selectFrom('self_tests')
      .select(['started_at', 'report'])
      .where('issuer', '=', id)
      .orderBy('started_at', 'desc')
      .limit(1)
      .executeTakeFirst()
    if (!last || Number(last.started_at) + (selfTest?.everyHours ?? 0) * HOUR <= now()) return true
    // Nobody answered: at a first start the way from outside may not lead here yet.
    return JSON.parse(last.report).outcome === 'unable'
  }

  const forget = async (issuer: string): Promise<void> => {
    const oldest = await database.db
      .selectFrom('self_tests')
      .select('started_at')
      .where('issuer', '=', issuer)
      .orderBy('started_at', 'desc')
      .offset(MOST_KEPT)
      .limit(1)
      .executeTakeFirst()
    const end = Math.max(now() - KEPT_DAYS * 24 * HOUR, oldest ? Number(oldest.started_at) : 0)
    await database.db.deleteFrom('self_tests').where('issuer', '=', issuer).where('started_at', '<=', end).execute()
  }

  const test = async (environment: Environment, target: string, signal: AbortSignal): Promise<void> => {
    const startedAt = now()
    const report = await look({ ...optionsOf(environment, target), signal, now })
    // A server that stops cuts its own test off: that says nothing, and the next one begins anew.
    if (signal.aborted) return
    const outcome = outcomeOf(report)
    const failures = failuresOf(report)
    await database.transaction(async (trx) => {
      await trx
        .insertInto('self_tests')
        .values({
          id: newId(startedAt),
          issuer: environment.id,
          outcome,
          report: JSON.stringify(report),
          started_at: startedAt,
          finished_at: now(),
        })
        .execute()
      await audit.record(trx, {
        type: 'self-test.finished',
        outcome: outcome === 'passed' ? 'success' : 'fault',
        plan: environment.plan.id,
        issuer: environment.id,
        actor: 'system',
        details: { target, ...report.counts, failures },
      })
    })
    const line = { issuer: environment.id, target, ...report.counts }
    if (outcome === 'passed') log.info(line, 'the self-test passed')
    else log.warn({ ...line, failures }, 'the self-test failed')
  }

  jobs.handle('self-test', async ({ signal }) => {
    for (const environment of tested) {
      if (signal.aborted || !(await isDue(environment))) continue
      for (const { baseUrl } of environment.apis) await test(environment, baseUrl, signal)
      await forget(environment.id)
    }
  })
  jobs.every('self-test', LOOK_EVERY)
}
