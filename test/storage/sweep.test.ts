import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type Database, openDatabase } from '../../src/storage/database.ts'
import { createJobs } from '../../src/storage/jobs.ts'
import { createSqlShortLived } from '../../src/storage/short-lived-sql.ts'
import { addSweep, sweep } from '../../src/storage/sweep.ts'
import { openBackend } from '../support/backend.ts'
import { type Backend, quiet } from '../support/stores.ts'

const START = 1_700_000_000_000
const DAY = 86_400_000

describe('the sweep', () => {
  let backend: Backend
  let database: Database
  let time: number
  const now = () => time

  beforeEach(async () => {
    time = START
    backend = await openBackend()
    database = await openDatabase({ url: backend.url, log: quiet })
  })
  afterEach(async () => {
    await database.close()
    await backend.dispose()
  })

  const letter = (id: string, sent_at: number | null) =>
    database.db
      .insertInto('letters')
      .values({
        id,
        plan: 'prairie',
        issuer: null,
        recipient: 'a@b',
        subject: 's',
        body: 'b',
        language: 'en',
        created_at: 0,
        sent_at,
      })
      .execute()
  const refreshToken = (
    token_hash: string,
    expires_at: number,
    more: { grant_id?: string; generation?: number } = {},
  ) =>
    database.db
      .insertInto('refresh_tokens')
      .values({
        token_hash,
        issuer: 'i',
        grant_id: 'g',
        generation: 1,
        payload: '{}',
        expires_at,
        created_at: 0,
        used_at: null,
        uses: 0,
        killed_at: null,
        ...more,
      })
      .execute()

  it('deletes what has expired, and nothing else', async () => {
    for (const issuer of ['prairie/sandbox', 'summit/sandbox']) {
      const store = createSqlShortLived({ database, issuer, now })
      await store.set('code', 'old', 1, START)
      await store.set('code', 'new', 1, START + 1)
      await store.increment('failures', 'old', 0)
      await store.increment('failures', 'new', 1)
    }
    await refreshToken('old', START)
    await refreshToken('new', START + 1)
    await letter('old', START - 30 * DAY)
    await letter('new', START - 30 * DAY + 1)
    await letter('never sent', null)

    expect(await sweep({ database, now })).toBe(6)
    const { db } = database
    expect((await db.selectFrom('short_lived').select('key').execute()).map(({ key }) => key)).toEqual(['new', 'new'])
    expect((await db.selectFrom('counters').select('key').execute()).map(({ key }) => key)).toEqual(['new', 'new'])
    expect(await db.selectFrom('refresh_tokens').select('token_hash').execute()).toEqual([{ token_hash: 'new' }])
    expect((await db.selectFrom('letters').select('id').orderBy('id').execute()).map(({ id }) => id)).toEqual([
      'never sent',
      'new',
    ])
    expect(await sweep({ database, now })).toBe(0)
  })

  it('takes spent refresh tokens with a newer one that has expired, also where they were made to live longer', async () => {
    // The life of tokens was shortened: what came before the last one of this family ends later.
    await refreshToken('spent', START + 300 * DAY, { grant_id: 'short', generation: 3 })
    await refreshToken('also spent', START + 301 * DAY, { grant_id: 'short', generation: 4 })
    await refreshToken('last', START, { grant_id: 'short', generation: 5 })
    await refreshToken('older of another', START + 300 * DAY, { grant_id: 'other', generation: 3 })
    await sweep({ database, now, batch: 1 })
    const left = await database.db.selectFrom('refresh_tokens').select('token_hash').execute()
    expect(left).toEqual([{ token_hash: 'older of another' }])
  })

  it('keeps a token that has expired for as long as what is older in its family must be kept (R46)', async () => {
    await refreshToken('of before', START + 300 * DAY, { generation: 4 })
    const life = { id: 'life', store: null, since: 0, opened_at: 1, ends_at: START + DAY }
    await database.db.insertInto('lives').values(life).execute()
    await refreshToken('since', START, { generation: 5 })
    await database.db.updateTable('refresh_tokens').set({ created_at: 2 }).where('token_hash', '=', 'since').execute()
    expect(await sweep({ database, now })).toBe(0)
    time = START + DAY
    expect(await sweep({ database, now })).toBe(2)
  })

  it('goes on until all is gone, in batches between which others get their turn', async () => {
    const store = createSqlShortLived({ database, issuer: 'prairie/sandbox', now })
    for (let i = 0; i < 25; i++) await store.set('code', String(i), 1, START)
    let turns = 0
    const clock = setInterval(() => turns++, 0)
    expect(await sweep({ database, now, batch: 2 })).toBe(25)
    clearInterval(clock)
    expect(turns).toBeGreaterThan(0)
  })

  it('stops between two batches when it is told to', async () => {
    const store = createSqlShortLived({ database, issuer: 'prairie/sandbox', now })
    for (let i = 0; i < 25; i++) await store.set('code', String(i), 1, START)
    expect(await sweep({ database, now, batch: 2, signal: AbortSignal.abort() })).toBe(0)
  })

  it('leaves the audit trail, consents and grants alone', async () => {
    const before = await database.db.introspection.getTables()
    expect(before.map(({ name }) => name)).toEqual(expect.arrayContaining(['audit', 'consents', 'grants']))
    time = Number.MAX_SAFE_INTEGER
    const grant = {
      id: 'g',
      issuer: 'i',
      client_id: 'c',
      connection_id: null,
      member_id: 'm',
      patient_id: null,
      scope: '',
      context: null,
      payload: '{}',
      expires_at: 1,
      created_at: 0,
      ended_at: null,
      end_reason: null,
      revision: 0,
      narrowed_at: null,
    }
    const member = {
      id: 'm',
      issuer: 'i',
      username: 'u',
      name: 'N',
      email: null,
      locale: null,
      password_hash: null,
      subject: 's',
      status: 'active' as const,
      created_at: 0,
      updated_at: 0,
    }
    await database.db.insertInto('members').values(member).execute()
    await database.db.insertInto('grants').values(grant).execute()
    await sweep({ database, now })
    expect(await database.db.selectFrom('grants').select('id').execute()).toHaveLength(1)
  })

  it('recurs as a job', async () => {
    const jobs = createJobs({ database, log: quiet, now, holder: 'test' })
    addSweep({ database, jobs, now })
    await createSqlShortLived({ database, issuer: 'prairie/sandbox', now }).set('code', 'old', 1, START)
    await jobs.runDue()
    expect(await database.db.selectFrom('short_lived').selectAll().execute()).toEqual([])
    expect(await database.db.selectFrom('jobs').select('kind').execute()).toEqual([{ kind: 'sweep' }])
  })
})
