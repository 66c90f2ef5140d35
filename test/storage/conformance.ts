/**
 * What every backend must do, written once. A backend's test file calls these with a way to make an empty one; the
 * suites open it by URL, as often as they like, also from other processes.
 */
import { sql } from 'kysely'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { Unavailable } from '../../src/errors.ts'
import { afterCommit, type Database, isUniqueViolation, openDatabase } from '../../src/storage/database.ts'
import { ConstraintViolation } from '../../src/storage/faults.ts'
import type { ShortLived } from '../../src/storage/short-lived.ts'
import type { OrganizationRow } from '../../src/storage/tables.ts'
import { failingStore } from '../support/failing-store.ts'
import { inProcesses, startProcess } from '../support/processes.ts'
import { type Backend, openShortLived, quiet } from '../support/stores.ts'

const organization = (id: string, change: Partial<OrganizationRow> = {}): OrganizationRow => ({
  id,
  plan: 'prairie',
  kind: 'organization',
  name: 'Sunflower Apps',
  website: null,
  created_at: 1_700_000_000_000,
  ...change,
})

const HOSTILE_TEXTS = [
  `'; drop table organizations; --`,
  'a"b`c\\d',
  '%',
  '_',
  '__proto__',
  'constructor',
  ' space at both ends ',
  'UPPER',
  'upper',
  'é',
  'e\u0301',
  '患者 пациент 🩺 ￿',
  '\u202eright to left\u0007',
]

export function durableConformance(name: string, open: () => Promise<Backend>): void {
  describe(`${name}: durable records`, { timeout: 30_000 }, () => {
    let backend: Backend
    let database: Database
    const names = async (from = database) =>
      (await from.db.selectFrom('organizations').select('id').orderBy('id').execute()).map((row) => row.id)
    const insert = (row: OrganizationRow) => database.db.insertInto('organizations').values(row).execute()

    beforeEach(async () => {
      backend = await open()
      database = await openDatabase({ url: backend.url, log: quiet })
    })
    afterEach(async () => {
      await database.close()
      await backend.dispose()
    })

    describe('opening', () => {
      it('keeps what was written', async () => {
        await insert(organization('a'))
        await database.close()
        database = await openDatabase({ url: backend.url, log: quiet })
        expect(await names()).toEqual(['a'])
      })

      it('makes the tables once, however many processes open it first', async () => {
        const fresh = await open()
        const tables = await inProcesses<number>(4, 'open', fresh.url)
        expect(new Set(tables).size).toBe(1)
        expect(tables[0]).toBeGreaterThan(15)
        await fresh.dispose()
      })

      it('refuses one that a newer Latchkey wrote', async () => {
        await sql`insert into kysely_migration (name, timestamp) values ('9999-later', '2999-01-01T00:00:00.000Z')`.execute(
          database.db,
        )
        await expect(openDatabase({ url: backend.url, log: quiet })).rejects.toThrow(/newer Latchkey/)
      })
    })

    describe('values', () => {
      it.each(HOSTILE_TEXTS)('keeps the text %j as it is', async (text) => {
        await insert(organization(text, { name: text }))
        const found = await database.db.selectFrom('organizations').selectAll().where('id', '=', text).execute()
        expect(found).toEqual([organization(text, { name: text })])
      })

      it('tells texts apart that only look alike', async () => {
        for (const text of HOSTILE_TEXTS) await insert(organization(text))
        expect(new Set(await names())).toEqual(new Set(HOSTILE_TEXTS))
      })

      it('keeps 256 KB of text and the largest safe integer', async () => {
        const large = organization('a', { name: '🩺x'.repeat(52_429), created_at: Number.MAX_SAFE_INTEGER })
        await insert(large)
        expect(await database.db.selectFrom('organizations').selectAll().executeTakeFirst()).toEqual(large)
      })

      it.each([
        ['a Date', new Date(0)],
        ['true', true],
        ['false', false],
        ['an object', { a: 1 }],
        ['an array', ['a']],
        ['a symbol', Symbol('a')],
        ['not a number', Number.NaN],
        ['infinity', Number.POSITIVE_INFINITY],
        ['half a surrogate pair', 'a\ud800'],
      ])('refuses %s instead of bending it', async (_, value) => {
        await expect(insert(organization('a', { website: value as string }))).rejects.toThrow(TypeError)
        await expect(sql`select ${value} as x`.execute(database.db)).rejects.toThrow(TypeError)
        expect(await names()).toEqual([])
      })

      it('refuses undefined', async () => {
        await expect(sql`select ${undefined} as x`.execute(database.db)).rejects.toThrow(TypeError)
      })

      it('never repeats a refused value in the error', async () => {
        const refusal = insert(organization('a', { website: { secret: 'tiger' } as unknown as string }))
        await expect(refusal).rejects.not.toThrow(/tiger/)
      })
    })

    describe('constraints', () => {
      it('says when a row is there already', async () => {
        await insert(organization('a'))
        const error: unknown = await insert(organization('a')).catch((thrown: unknown) => thrown)
        expect(error).toBeInstanceOf(ConstraintViolation)
        expect(isUniqueViolation(error)).toBe(true)
      })

      it.each([
        ['a word that is not known', 'check', organization('a', { kind: 'robot' as 'organization' })],
        ['nothing where something must be', 'not-null', organization('a', { name: null as unknown as string })],
      ])('refuses %s, which is no fault of the store', async (_, constraint, row) => {
        const error: unknown = await insert(row).catch((thrown: unknown) => thrown)
        expect(error).toMatchObject({ name: 'ConstraintViolation', constraint })
        expect(isUniqueViolation(error)).toBe(false)
      })

      it('refuses a row whose parent is not there, and to remove a parent', async () => {
        const app = {
          id: 'app',
          plan: 'prairie',
          organization_id: 'a',
          name: 'App',
          website: null,
          privacy_policy_url: null,
          terms_url: null,
          support_email: null,
          created_at: 0,
        }
        const orphan = database.db.insertInto('apps').values(app).execute()
        await expect(orphan).rejects.toMatchObject({ constraint: 'foreign-key' })
        await insert(organization('a'))
        await database.db.insertInto('apps').values(app).execute()
        const removal = database.db.deleteFrom('organizations').where('id', '=', 'a').execute()
        await expect(removal).rejects.toMatchObject({ constraint: 'foreign-key' })
      })

      it('takes no error of another kind for a unique violation', () => {
        for (const other of [undefined, null, 'unique', new Error('UNIQUE constraint failed'), new Unavailable('x')]) {
          expect(isUniqueViolation(other)).toBe(false)
        }
      })
    })

    describe('transactions', () => {
      it('keep all or nothing', async () => {
        const work = database.transaction(async (trx) => {
          await trx.insertInto('organizations').values(organization('a')).execute()
          throw new Error('changed our mind')
        })
        await expect(work).rejects.toThrow('changed our mind')
        expect(await names()).toEqual([])
      })

      it('keep nothing of a process that dies in one', async () => {
        await expect(startProcess('die-in-transaction', backend.url).answer).rejects.toThrow('SIGKILL')
        expect(await names()).toEqual([])
        await insert(organization('a'))
      })

      it('do not lose updates, from one connection or several', async () => {
        const other = await openDatabase({ url: backend.url, log: quiet })
        await insert(organization('a', { created_at: 0 }))
        const addOne = (to: Database) =>
          to.transaction(async (trx) => {
            const { created_at } = await trx
              .selectFrom('organizations')
              .select('created_at')
              .where('id', '=', 'a')
              .executeTakeFirstOrThrow()
            await trx
              .updateTable('organizations')
              .set({ created_at: created_at + 1 })
              .execute()
          })
        await Promise.all(Array.from({ length: 40 }, () => addOne(database)))
        for (let i = 0; i < 10; i++) await addOne(i % 2 ? database : other)
        expect(await database.db.selectFrom('organizations').select('created_at').executeTakeFirst()).toEqual({
          created_at: 50,
        })
        await other.close()
      })

      it('refuse the outer handle at once, rather than wait for themselves', async () => {
        const work = database.transaction(async (trx) => {
          await trx.insertInto('organizations').values(organization('a')).execute()
          await names()
        })
        await expect(work).rejects.toThrow(/only its own handle/)
        expect(await names()).toEqual([])
      })

      it('refuse a transaction inside one, and leave the store usable', async () => {
        const work = database.transaction(() => database.transaction(async () => 1))
        await expect(work).rejects.toThrow(/only its own handle/)
        expect(await database.transaction(async () => 1)).toBe(1)
      })

      it('let work that they began outlive them', async () => {
        let later: Promise<string[]> | undefined
        await database.transaction(async (trx) => {
          await trx.insertInto('organizations').values(organization('a')).execute()
          later = new Promise((resolve) => setTimeout(resolve, 30)).then(() => names())
        })
        expect(await later).toEqual(['a'])
      })

      it('let another store be used inside', async () => {
        const elsewhere = await open()
        const other = await openDatabase({ url: elsewhere.url, log: quiet })
        await database.transaction(async () => {
          expect(await names(other)).toEqual([])
        })
        await other.close()
        await elsewhere.dispose()
      })

      it('do what waits for the commit after it, in order', async () => {
        const done: string[] = []
        await database.transaction(async (trx) => {
          afterCommit(trx, () => done.push('first'))
          afterCommit(trx, () => done.push('second'))
          await trx.insertInto('organizations').values(organization('a')).execute()
          expect(done).toEqual([])
        })
        expect(done).toEqual(['first', 'second'])
      })

      it('do nothing after a rollback', async () => {
        const done: string[] = []
        const work = database.transaction(async (trx) => {
          afterCommit(trx, () => done.push('first'))
          throw new Error('no')
        })
        await expect(work).rejects.toThrow('no')
        expect(done).toEqual([])
      })

      it('are done, whatever fails after the commit', async () => {
        const done: string[] = []
        const result = await database.transaction(async (trx) => {
          afterCommit(trx, () => {
            throw new Error('the stream is full')
          })
          afterCommit(trx, () => done.push('second'))
          await trx.insertInto('organizations').values(organization('a')).execute()
          return 'committed'
        })
        expect(result).toBe('committed')
        expect(done).toEqual(['second'])
        expect(await names()).toEqual(['a'])
      })

      it('finish before the store closes', async () => {
        const work = database.transaction(async (trx) => {
          await new Promise((resolve) => setTimeout(resolve, 30))
          await trx.insertInto('organizations').values(organization('a')).execute()
        })
        await new Promise((resolve) => setTimeout(resolve, 5))
        await database.close()
        await work
        database = await openDatabase({ url: backend.url, log: quiet })
        expect(await names()).toEqual(['a'])
      })
    })

    describe('faults (R43)', () => {
      const store = failingStore()
      let failing: Database

      beforeEach(async () => {
        store.fail(false)
        failing = await openDatabase({ url: backend.url, log: quiet, wrapDialect: store.wrapDialect })
      })
      afterEach(async () => {
        store.fail(false)
        await failing.close()
      })

      const write = () =>
        failing.transaction(async (trx) => {
          await trx.insertInto('organizations').values(organization('a')).execute()
        })

      it.each(['acquire', 'begin', 'query', 'commit'] as const)(
        'are Unavailable when it fails to %s, keep nothing, and pass',
        async (kind) => {
          store.fail((step) => step.kind === kind)
          await expect(write()).rejects.toMatchObject({
            name: 'Unavailable',
            status: 503,
            retryAfter: expect.any(Number),
          })
          store.fail(false)
          expect(await names()).toEqual([])
          await write()
          expect(await names()).toEqual(['a'])
        },
      )

      it('leave no transaction open when even the rollback fails', async () => {
        store.fail((step) => step.kind === 'commit' || step.kind === 'rollback')
        await expect(write()).rejects.toThrow(Unavailable)
        store.fail(false)
        await failing.db.insertInto('organizations').values(organization('b')).execute()
        expect(await names()).toEqual(['b'])
      })

      it('are Unavailable outside transactions too', async () => {
        store.fail(true)
        await expect(names(failing)).rejects.toThrow(Unavailable)
      })

      it('do nothing that waited for the commit', async () => {
        const done: string[] = []
        store.fail((step) => step.kind === 'commit')
        const work = failing.transaction(async (trx) => afterCommit(trx, () => done.push('first')))
        await expect(work).rejects.toThrow(Unavailable)
        expect(done).toEqual([])
      })

      it('are told from a refusal of ours', async () => {
        await expect(
          failing.db
            .insertInto('organizations')
            .values(organization('a', { kind: 'x' as 'individual' }))
            .execute(),
        ).rejects.toThrow(ConstraintViolation)
      })

      it('are Unavailable at opening', async () => {
        store.fail(true)
        await expect(openDatabase({ url: backend.url, log: quiet, wrapDialect: store.wrapDialect })).rejects.toThrow(
          Unavailable,
        )
      })
    })

    describe('the audit table (R35)', () => {
      const entry = (sequence: number) => ({
        ...{
          writer: 'node',
          sequence,
          time: 0,
          plan: null,
          issuer: null,
          type: 'code.issued',
          outcome: 'success' as const,
        },
        ...{ actor: 'system', member_id: null, patient_id: null, app_id: null, grant_id: null, request_id: null },
        ...{ details: '{}', previous_hash: '', hash: String(sequence) },
      })
      const add = (sequence: number) => database.db.insertInto('audit').values(entry(sequence)).execute()

      it.each([
        ['changed', sql`update audit set type = 'x'`],
        ['changed in nothing', sql`update audit set hash = hash`],
        ['removed', sql`delete from audit`],
        [
          'replaced',
          sql`insert into audit select * from audit where true on conflict (writer, sequence) do update set type = 'x'`,
        ],
      ])('cannot be %s', async (_, statement) => {
        await add(1)
        await add(2)
        await expect(statement.execute(database.db)).rejects.toThrow(ConstraintViolation)
        expect(await database.db.selectFrom('audit').selectAll().orderBy('sequence').execute()).toEqual([
          entry(1),
          entry(2),
        ])
      })

      it('takes an entry at the end of its writer’s chain only', async () => {
        await expect(add(2)).rejects.toThrow(ConstraintViolation)
        await add(1)
        await expect(add(1)).rejects.toThrow(ConstraintViolation)
        await expect(add(3)).rejects.toThrow(ConstraintViolation)
        await expect(add(0)).rejects.toThrow(ConstraintViolation)
        await add(2)
      })
    })
  })
}

export function shortLivedConformance(name: string, open: () => Promise<Backend>): void {
  describe(`${name}: short-lived records`, { timeout: 30_000 }, () => {
    const START = 1_700_000_000_000
    let backend: Backend
    let time: number
    let store: ShortLived
    const closers: (() => Promise<void>)[] = []
    const connect = async (options: Parameters<typeof openShortLived>[1] = {}) => {
      const opened = await openShortLived(backend.url, { now: () => time, ...options })
      closers.push(opened.close)
      return opened.store
    }

    beforeAll(async () => {
      backend = await open()
    })
    afterAll(() => backend.dispose())
    let issuers = 0
    beforeEach(async () => {
      time = START
      store = await connect({ issuer: `prairie/test-${issuers++}` })
    })
    afterEach(async () => {
      for (const close of closers.splice(0)) await close()
    })

    describe('get, set, delete', () => {
      it('keeps what JSON can say', async () => {
        for (const value of [null, 0, false, '', [], {}, { a: [1, { b: 'é🩺\0' }], constructor: 1 }]) {
          await store.set('session', 'k', value, START + 1000)
          expect(await store.get('session', 'k')).toEqual({ value, usedAt: null })
        }
      })

      it('refuses undefined', async () => {
        await expect(store.set('session', 'k', undefined, START + 1000)).rejects.toThrow(TypeError)
      })

      it('keeps 256 KB', async () => {
        const value = { text: 'é'.repeat(131_072) }
        await store.set('session', 'k', value, START + 1000)
        expect((await store.get('session', 'k'))?.value).toEqual(value)
      })

      it('finds nothing under another key, kind or issuer', async () => {
        const other = await connect({ issuer: 'prairie/other' })
        await store.set('session', 'k', 1, START + 1000)
        expect(await store.get('session', 'K')).toBeUndefined()
        expect(await store.get('session', 'k ')).toBeUndefined()
        expect(await store.get('code', 'k')).toBeUndefined()
        expect(await other.get('session', 'k')).toBeUndefined()
      })

      it('replaces the whole record, its used mark and its index too', async () => {
        await store.set('session', 'k', 1, START + 1000, { uid: 'u' })
        await store.use('session', 'k')
        await store.set('session', 'k', 2, START + 2000)
        expect(await store.get('session', 'k')).toEqual({ value: 2, usedAt: null })
        expect(await store.findByUid('session', 'u')).toBeUndefined()
      })

      it('deletes one record, and bears that it is gone', async () => {
        await store.set('session', 'k', 1, START + 1000)
        await store.set('session', 'l', 1, START + 1000)
        await store.delete('session', 'k')
        await store.delete('session', 'k')
        expect(await store.get('session', 'k')).toBeUndefined()
        expect(await store.get('session', 'l')).toBeDefined()
      })
    })

    describe('keys', () => {
      const keys = [
        ...HOSTILE_TEXTS,
        '',
        '\0',
        'a\0b',
        'a\0c',
        'a\ud800',
        'a\ud801',
        'x'.repeat(100_000),
        `${'x'.repeat(100_000)}y`,
        'sha256:abc',
        '../../etc/passwd',
        'a:b',
        'a\nb',
      ]

      it('may be any text, and stay apart', async () => {
        for (const [i, key] of keys.entries()) await store.set('session', key, i, START + 1000)
        for (const [i, key] of keys.entries()) {
          expect(await store.get('session', key)).toEqual({ value: i, usedAt: null })
          expect(await store.use('session', key)).toBe('first')
        }
      })

      it('come back whole when a record is found by its uid', async () => {
        for (const [i, key] of keys.entries()) await store.set('session', key, i, START + 1000, { uid: `u${key}` })
        for (const [i, key] of keys.entries())
          expect(await store.findByUid('session', `u${key}`)).toEqual({ key, value: i })
      })

      it('count apart', async () => {
        for (const key of keys) expect((await store.increment('failures', key, 1000)).count).toBe(1)
      })
    })

    describe('expiry', () => {
      it.each(['get', 'use', 'findByUid'] as const)(
        '%s does not see a record from its very last millisecond on',
        async (method) => {
          await store.set('code', 'k', 1, START + 1000, { uid: 'k' })
          time = START + 1000
          expect(await store[method]('code', 'k')).toEqual(method === 'use' ? 'missing' : undefined)
        },
      )

      it('takes a record that has expired already as none', async () => {
        await store.set('code', 'k', 1, START)
        expect(await store.get('code', 'k')).toBeUndefined()
      })

      it('keeps a used record until then', async () => {
        await store.set('code', 'k', 1, START + 1000)
        await store.use('code', 'k')
        time = START + 999
        expect(await store.get('code', 'k')).toEqual({ value: 1, usedAt: START })
        expect(await store.use('code', 'k')).toBe('again')
      })
    })

    describe('use', () => {
      it('knows a key that was never there', async () => {
        expect(await store.use('code', 'k')).toBe('missing')
      })

      it('keeps the time of the first use, whatever comes after', async () => {
        await store.set('code', 'k', 1, START + 1000)
        time += 5
        expect(await store.use('code', 'k')).toBe('first')
        time += 5
        expect(await store.use('code', 'k')).toBe('again')
        expect(await store.get('code', 'k')).toEqual({ value: 1, usedAt: START + 5 })
      })

      it('touches no other kind, key or issuer', async () => {
        const other = await connect({ issuer: 'prairie/other-use' })
        await other.set('code', 'k', 1, START + 1000)
        await store.set('code', 'k', 1, START + 1000)
        await store.set('code', 'l', 1, START + 1000)
        await store.set('session', 'k', 1, START + 1000)
        await store.use('code', 'k')
        expect((await store.get('code', 'l'))?.usedAt).toBeNull()
        expect((await store.get('session', 'k'))?.usedAt).toBeNull()
        expect((await other.get('code', 'k'))?.usedAt).toBeNull()
      })

      it('says first once to 100 at once', async () => {
        await store.set('code', 'k', 1, START + 1000)
        const answers = await Promise.all(Array.from({ length: 100 }, () => store.use('code', 'k')))
        expect(answers.filter((answer) => answer === 'first')).toHaveLength(1)
        expect(answers.filter((answer) => answer === 'again')).toHaveLength(99)
      })

      it('says first once to 100 over ten connections', async () => {
        const stores = await Promise.all(Array.from({ length: 10 }, () => connect({ issuer: 'prairie/many' })))
        await stores[0]?.set('code', 'k', 1, START + 1000)
        const answers = await Promise.all(
          stores.flatMap((each) => Array.from({ length: 10 }, () => each.use('code', 'k'))),
        )
        expect(answers.filter((answer) => answer === 'first')).toHaveLength(1)
      })

      it('says first once to two processes', async () => {
        const shared = await connect({ issuer: 'prairie/sandbox', now: Date.now })
        await shared.set('code', 'processes', 1, Date.now() + 60_000)
        const answers = (await inProcesses<string[]>(2, 'use', backend.url, { key: 'processes', times: 50 })).flat()
        expect(answers).toHaveLength(100)
        expect(answers.filter((answer) => answer === 'first')).toHaveLength(1)
        expect(answers.filter((answer) => answer === 'again')).toHaveLength(99)
      })
    })

    describe('addIfAbsent', () => {
      it('does not touch a record that is there', async () => {
        await store.set('jti', 'k', 1, START + 1000, { uid: 'u' })
        await store.use('jti', 'k')
        expect(await store.addIfAbsent('jti', 'k', 2, START + 9000)).toBe(false)
        expect(await store.get('jti', 'k')).toEqual({ value: 1, usedAt: START })
        time = START + 1000
        expect(await store.get('jti', 'k')).toBeUndefined()
      })

      it('takes an expired record as none, used mark and index included', async () => {
        await store.set('jti', 'k', 1, START + 1000, { uid: 'u' })
        await store.use('jti', 'k')
        time = START + 1000
        expect(await store.addIfAbsent('jti', 'k', 2, START + 2000)).toBe(true)
        expect(await store.get('jti', 'k')).toEqual({ value: 2, usedAt: null })
        expect(await store.findByUid('jti', 'u')).toBeUndefined()
      })

      it('says yes once to 100 over ten connections', async () => {
        const stores = await Promise.all(Array.from({ length: 10 }, () => connect({ issuer: 'prairie/many' })))
        const answers = await Promise.all(
          stores.flatMap((each) => Array.from({ length: 10 }, () => each.addIfAbsent('jti', 'k', 1, START + 1000))),
        )
        expect(answers.filter(Boolean)).toHaveLength(1)
      })

      it('says yes once to two processes', async () => {
        const answers = (await inProcesses<boolean[]>(2, 'add', backend.url, { key: 'processes', times: 50 })).flat()
        expect(answers.filter(Boolean)).toHaveLength(1)
      })
    })

    describe('counters', () => {
      it('open a window at the first count, which later counts do not move', async () => {
        expect(await store.increment('failures', 'k', 1000)).toEqual({ count: 1, expiresAt: START + 1000 })
        time += 999
        expect(await store.increment('failures', 'k', 1000)).toEqual({ count: 2, expiresAt: START + 1000 })
        expect(await store.count('failures', 'k')).toEqual({ count: 2, expiresAt: START + 1000 })
        time += 1
        expect(await store.count('failures', 'k')).toBeUndefined()
        expect(await store.increment('failures', 'k', 1000)).toEqual({ count: 1, expiresAt: START + 2000 })
      })

      it('know nothing of a key that was never counted, or was reset', async () => {
        expect(await store.count('failures', 'k')).toBeUndefined()
        await store.increment('failures', 'k', 1000)
        await store.reset('failures', 'k')
        await store.reset('failures', 'k')
        expect(await store.count('failures', 'k')).toBeUndefined()
      })

      it('are apart by kind, key and issuer, and from records', async () => {
        const other = await connect({ issuer: 'prairie/other-count' })
        await store.increment('failures', 'k', 1000)
        await store.set('failures', 'l', 1, START + 1000)
        expect(await store.count('other', 'k')).toBeUndefined()
        expect(await store.count('failures', 'l')).toBeUndefined()
        expect(await other.count('failures', 'k')).toBeUndefined()
      })

      it('lose none of 100 over ten connections', async () => {
        const stores = await Promise.all(Array.from({ length: 10 }, () => connect({ issuer: 'prairie/many' })))
        const counts = await Promise.all(
          stores.flatMap((each) => Array.from({ length: 10 }, () => each.increment('failures', 'k', 1000))),
        )
        expect(new Set(counts.map(({ count }) => count)).size).toBe(100)
      })

      it('lose none of two processes', async () => {
        const counts = (
          await inProcesses<number[]>(2, 'increment', backend.url, { key: 'processes', times: 50 })
        ).flat()
        expect(new Set(counts).size).toBe(100)
        expect(Math.max(...counts)).toBe(100)
      })
    })

    describe('indexes', () => {
      it('find by uid within a kind and an issuer only', async () => {
        const other = await connect({ issuer: 'prairie/other-uid' })
        await store.set('session', 'k', { a: 1 }, START + 1000, { uid: 'u' })
        expect(await store.findByUid('session', 'u')).toEqual({ key: 'k', value: { a: 1 } })
        expect(await store.findByUid('session', 'U')).toBeUndefined()
        expect(await store.findByUid('code', 'u')).toBeUndefined()
        expect(await other.findByUid('session', 'u')).toBeUndefined()
      })

      it('delete a grant’s records of every kind, and no others', async () => {
        const other = await connect({ issuer: 'prairie/other-grant' })
        await other.set('code', 'k', 1, START + 1000, { grant: 'g' })
        await store.set('code', 'k', 1, START + 1000, { grant: 'g' })
        await store.set('pushed', 'k', 1, START + 1000, { grant: 'g', uid: 'u' })
        await store.set('code', 'l', 1, START + 1000, { grant: 'G' })
        await store.set('code', 'm', 1, START + 1000)
        await store.deleteByGrant('g')
        expect(await store.get('code', 'k')).toBeUndefined()
        expect(await store.get('pushed', 'k')).toBeUndefined()
        expect(await store.findByUid('pushed', 'u')).toBeUndefined()
        expect(await store.get('code', 'l')).toBeDefined()
        expect(await store.get('code', 'm')).toBeDefined()
        expect(await other.get('code', 'k')).toBeDefined()
      })

      it('delete a member’s records of one kind, and no others', async () => {
        await store.set('session', 'k', 1, START + 1000, { member: 'm' })
        await store.set('session', 'l', 1, START + 1000, { member: 'm' })
        await store.set('session', 'n', 1, START + 1000, { member: 'n' })
        await store.set('code', 'k', 1, START + 1000, { member: 'm' })
        await store.deleteByMember('session', 'm')
        expect(await store.get('session', 'k')).toBeUndefined()
        expect(await store.get('session', 'l')).toBeUndefined()
        expect(await store.get('session', 'n')).toBeDefined()
        expect(await store.get('code', 'k')).toBeDefined()
      })

      it('bear texts that match nothing or everything', async () => {
        await store.set('session', 'k', 1, START + 1000, { member: 'm', grant: 'g', uid: 'u' })
        for (const text of ['%', '_', '*', '', '\0', "' or 1=1 --"]) {
          await store.deleteByGrant(text)
          await store.deleteByMember('session', text)
          expect(await store.findByUid('session', text)).toBeUndefined()
        }
        expect(await store.get('session', 'k')).toBeDefined()
      })
    })

    describe('faults (R43)', () => {
      it('are Unavailable in every operation, and what was presented works afterwards', async () => {
        const failing = failingStore()
        const broken = await connect({ issuer: 'prairie/broken', wrapDialect: failing.wrapDialect })
        await broken.set('code', 'k', 1, START + 1000)
        failing.fail(true)
        const operations = [
          () => broken.get('code', 'k'),
          () => broken.set('code', 'k', 2, START + 1000),
          () => broken.delete('code', 'k'),
          () => broken.use('code', 'k'),
          () => broken.addIfAbsent('code', 'l', 1, START + 1000),
          () => broken.increment('failures', 'k', 1000),
          () => broken.count('failures', 'k'),
          () => broken.reset('failures', 'k'),
          () => broken.findByUid('code', 'k'),
          () => broken.deleteByGrant('g'),
          () => broken.deleteByMember('code', 'm'),
        ]
        for (const operation of operations) await expect(operation()).rejects.toThrow(Unavailable)
        failing.fail(false)
        expect(await broken.use('code', 'k')).toBe('first')
        expect(await broken.count('failures', 'k')).toBeUndefined()
      })
    })
  })
}
