/** A small world for the tests of accounts and members: two issuers, one app at each, people made on demand. */
import { createAudit } from '../../src/audit/audit.ts'
import { createLog } from '../../src/log.ts'
import { createConnections } from '../../src/members/connections.ts'
import { createDirectory, type PatientChoice } from '../../src/members/directory.ts'
import { createEndings } from '../../src/members/endings.ts'
import { createNarrowing } from '../../src/members/narrowing.ts'
import { createMail } from '../../src/ops/mail.ts'
import { newId, randomToken } from '../../src/secrets.ts'
import { openDatabase } from '../../src/storage/database.ts'
import { createJobs } from '../../src/storage/jobs.ts'
import type { DelegationRow, GrantRow, MemberRow } from '../../src/storage/tables.ts'
import { engine, openBackend, patient } from '../support/backend.ts'
import { failingStore } from '../support/failing-store.ts'

export const ISSUER = 'prairie/sandbox'
export const OTHER_ISSUER = 'summit/sandbox'
export const DAY = 86_400_000

export async function createWorld(given?: string) {
  const backend = given === undefined && engine === 'postgres' ? await openBackend() : undefined
  const url = given ?? backend?.url ?? 'sqlite::memory:'
  const clock = { now: Date.UTC(2026, 0, 15) }
  const now = () => clock.now
  const store = failingStore()
  const log = createLog({ level: 'silent' })
  const database = await openDatabase({ url, log, pool: patient, wrapDialect: store.wrapDialect })
  const { db } = database
  const audit = createAudit({ node: 'test', now, log })
  const jobs = createJobs({ database, log, now, holder: 'test' })
  const mail = createMail({ database, jobs, from: 'plan@example.org', smtpUrl: null, now })
  const directory = createDirectory({ database, now })
  const narrowGrant = createNarrowing({ audit, endings: createEndings({ database, audit, now }), now })
  const connections = createConnections({ database, audit, mail, tokenMillis: 180 * DAY, now, newId })

  const base = () => ({ id: newId(clock.now), created_at: clock.now })
  const apps = new Map<string, { id: string; clientId: string; name: string }>()
  for (const issuer of [ISSUER, OTHER_ISSUER]) {
    const organization = { ...base(), plan: issuer, kind: 'organization' as const, name: 'Binder', website: null }
    await db.insertInto('organizations').values(organization).execute()
    const app = { ...base(), plan: issuer, organization_id: organization.id, name: 'Binder' }
    await db.insertInto('apps').values(app).execute()
    apps.set(issuer, { id: app.id, clientId: 'binder', name: 'Binder' })
  }

  const world = {
    clock,
    now,
    store,
    database,
    db,
    audit,
    mail,
    directory,
    connections,
    narrowGrant,

    app(issuer = ISSUER) {
      const app = apps.get(issuer)
      if (!app) throw new Error(`no app at ${issuer}`)
      return app
    },

    async anotherApp(name: string) {
      const { organization_id } = await db.selectFrom('apps').selectAll().executeTakeFirstOrThrow()
      const row = { ...base(), plan: 'prairie', organization_id, name }
      await db.insertInto('apps').values(row).execute()
      return { id: row.id, clientId: 'binder', name }
    },

    async member(username: string, more: Partial<MemberRow> = {}): Promise<MemberRow> {
      const row: MemberRow = {
        ...base(),
        issuer: ISSUER,
        username,
        name: username,
        email: `${username}@example.org`,
        locale: null,
        password_hash: null,
        subject: randomToken(12),
        fhir_user: null,
        status: 'active',
        updated_at: clock.now,
        ...more,
      }
      await db.insertInto('members').values(row).execute()
      return row
    },

    async patient(fhirId: string, more: { issuer?: string; name?: string; coverage_label?: string } = {}) {
      const row = { ...base(), issuer: ISSUER, fhir_id: fhirId, name: fhirId, birth_date: '1984-03-12', ...more }
      await db.insertInto('patients').values(row).execute()
      return row.id
    },

    async owns(memberId: string, patientId: string, issuer = ISSUER) {
      await db
        .insertInto('own_records')
        .values({ ...base(), issuer, member_id: memberId, patient_id: patientId })
        .execute()
    },

    async actsFor(memberId: string, patientId: string, more: Partial<DelegationRow> = {}) {
      const row: DelegationRow = {
        ...base(),
        issuer: ISSUER,
        member_id: memberId,
        patient_id: patientId,
        basis: 'parent',
        related_person: 'david-lucy',
        mask: null,
        starts_at: clock.now - DAY,
        ends_at: null,
        ...more,
      }
      await db.insertInto('delegations').values(row).execute()
      return row.id
    },

    /** As the engine's adapter leaves it: undecided. */
    async grant(memberId: string, more: Partial<GrantRow> = {}): Promise<string> {
      const row: GrantRow = {
        ...base(),
        issuer: ISSUER,
        client_id: 'binder',
        connection_id: null,
        member_id: memberId,
        patient_id: null,
        scope: '',
        context: null,
        payload: '{}',
        expires_at: clock.now + DAY,
        ended_at: null,
        end_reason: null,
        revision: 0,
        narrowed_at: null,
        vouched: null,
        ...more,
      }
      await db.insertInto('grants').values(row).execute()
      return row.id
    },

    async choice(memberId: string, patientId: string): Promise<PatientChoice> {
      const choice = await directory.choice(ISSUER, memberId, patientId)
      if (!choice) throw new Error('not theirs to share')
      return choice
    },

    decision(memberId: string, choice: Parameters<typeof connections.recordShared>[0]['choice']) {
      return {
        issuer: ISSUER,
        plan: 'prairie',
        memberId,
        choice,
        app: world.app(),
        requestedScope: 'openid patient/*.rs',
        textHash: 'hash-of-the-page',
        textVersion: 'version-of-the-text',
        language: 'es',
        record: {
          v: 1 as const,
          plan: 'Prairie Health Plan',
          app: world.app().name,
          developer: 'Binder',
          website: null,
          member: 'Maria Alvarez',
          patient: choice.name,
          relation: choice.relation,
          language: 'es',
          warning: null,
          attestationId: null,
        },
        requestId: 'request-1',
      }
    },

    /** A member shares: a new grant, decided. */
    async share(
      memberId: string,
      patientId: string,
      more: Partial<Parameters<typeof connections.recordShared>[0]> = {},
    ): Promise<{ grantId: string; connectionId: string; consentId: string }> {
      const grantId = more.grantId ?? (await world.grant(memberId))
      const recorded = await connections.recordShared({
        ...world.decision(memberId, more.choice ?? (await world.choice(memberId, patientId))),
        grantId,
        grantedScope: 'openid patient/Coverage.rs',
        sensitivities: [],
        duration: 'P1Y',
        context: { api: 'fhir' },
        offline: true,
        endsAt: clock.now + 365 * DAY,
        letter: null,
        ...more,
      })
      return { grantId, ...recorded }
    },

    async refreshToken(grantId: string, hash: string, issuer = ISSUER) {
      await db
        .insertInto('refresh_tokens')
        .values({
          token_hash: hash,
          issuer,
          grant_id: grantId,
          generation: 1,
          payload: '{}',
          expires_at: clock.now + DAY,
          created_at: clock.now,
          uses: 0,
        })
        .execute()
    },

    grantRow: (id: string) => db.selectFrom('grants').selectAll().where('id', '=', id).executeTakeFirstOrThrow(),

    connectionRow: (id: string) =>
      db.selectFrom('connections').selectAll().where('id', '=', id).executeTakeFirstOrThrow(),

    async trail() {
      const rows = await db.selectFrom('audit').selectAll().orderBy('sequence').execute()
      return rows.map((row) => ({ ...row, details: JSON.parse(row.details) as Record<string, unknown> }))
    },

    async close() {
      await database.close()
      await backend?.dispose()
    },
  }
  return world
}

export type World = Awaited<ReturnType<typeof createWorld>>
