import { sql } from 'kysely'
import { describe, expect, it } from 'vitest'
import { Unavailable } from '../../../src/errors.ts'
import { isUniqueViolation, openDatabase } from '../../../src/storage/database.ts'
import { ConstraintViolation } from '../../../src/storage/faults.ts'
import { checkTables } from '../../../src/storage/migrations/index.ts'
import { inProcesses } from '../../support/processes.ts'
import { quiet } from '../../support/stores.ts'
import { eachWithDatabase, HOSTILE_TEXTS, type OpenBackend, organization } from './fixture.ts'

/** What is written is what is read, or it is refused. */
export function rowsConformance(name: string, open: OpenBackend, openEmpty?: OpenBackend): void {
  describe(`${name}: rows`, { timeout: 30_000 }, () => {
    const { given, names, insert } = eachWithDatabase(open)

    describe('opening', () => {
      it('keeps what was written', async () => {
        await insert(organization('a'))
        await given.database.close()
        given.database = await openDatabase({ url: given.backend.url, log: quiet })
        expect(await names()).toEqual(['a'])
      })

      it('makes the tables once, however many processes open it first', async () => {
        const fresh = await (openEmpty ?? open)()
        const tables = await inProcesses<number>(4, 'open', fresh.url)
        expect(new Set(tables).size).toBe(1)
        expect(tables[0]).toBeGreaterThan(15)
        await fresh.dispose()
      })

      const applied = (name: string) =>
        sql`insert into kysely_migration (name, timestamp) values (${name}, '2999-01-01T00:00:00.000Z')`.execute(
          given.database.db,
        )

      it.each(['9999-later', '9999-later.needs-9998'])(
        'refuses one whose tables need a newer Latchkey: %s',
        async (name) => {
          await applied(name)
          await expect(openDatabase({ url: given.backend.url, log: quiet })).rejects.toThrow(/newer Latchkey/)
          await expect(checkTables(given.database.db)).rejects.toThrow(Unavailable)
        },
      )

      it('runs on tables to which a newer one only added', async () => {
        await insert(organization('a'))
        await applied('9999-later.needs-0001')
        const older = await openDatabase({ url: given.backend.url, log: quiet })
        expect(await older.db.selectFrom('organizations').select('id').execute()).toEqual([{ id: 'a' }])
        await checkTables(older.db)
        await older.close()
      })
    })

    describe('values', () => {
      it.each(HOSTILE_TEXTS)('keeps the text %j as it is', async (text) => {
        await insert(organization(text, { name: text }))
        const found = await given.database.db.selectFrom('organizations').selectAll().where('id', '=', text).execute()
        expect(found).toEqual([organization(text, { name: text })])
      })

      it('tells texts apart that only look alike', async () => {
        for (const text of HOSTILE_TEXTS) await insert(organization(text))
        expect(new Set(await names())).toEqual(new Set(HOSTILE_TEXTS))
      })

      it('orders texts by their bytes, not by a language', async () => {
        for (const text of ['b', 'A', 'a-c', 'ab', 'B', 'é', 'a']) await insert(organization(text))
        expect(await names()).toEqual(['A', 'B', 'a', 'a-c', 'ab', 'b', 'é'])
      })

      it('gives whole numbers as numbers, counted and summed ones too', async () => {
        await insert(organization('a', { created_at: 2 ** 40 }))
        await insert(organization('b', { created_at: 1 }))
        const found = await given.database.db
          .selectFrom('organizations')
          .select(({ fn }) => [fn.countAll<number>().as('count'), fn.sum<number>('created_at').as('sum')])
          .executeTakeFirst()
        expect(found).toEqual({ count: 2, sum: 2 ** 40 + 1 })
      })

      it('keeps 256 KB of text and the largest safe integer', async () => {
        const large = organization('a', { name: '🩺x'.repeat(52_429), created_at: Number.MAX_SAFE_INTEGER })
        await insert(large)
        expect(await given.database.db.selectFrom('organizations').selectAll().executeTakeFirst()).toEqual(large)
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
        ['NUL', 'a\0b'],
      ])('refuses %s instead of bending it', async (_, value) => {
        await expect(insert(organization('a', { website: value as string }))).rejects.toThrow(TypeError)
        await expect(sql`select ${value} as x`.execute(given.database.db)).rejects.toThrow(TypeError)
        expect(await names()).toEqual([])
      })

      it('refuses undefined', async () => {
        await expect(sql`select ${undefined} as x`.execute(given.database.db)).rejects.toThrow(TypeError)
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
        const orphan = given.database.db.insertInto('apps').values(app).execute()
        await expect(orphan).rejects.toMatchObject({ constraint: 'foreign-key' })
        await insert(organization('a'))
        await given.database.db.insertInto('apps').values(app).execute()
        const removal = given.database.db.deleteFrom('organizations').where('id', '=', 'a').execute()
        await expect(removal).rejects.toMatchObject({ constraint: 'foreign-key' })
      })

      it('takes no error of another kind for a unique violation', () => {
        for (const other of [undefined, null, 'unique', new Error('UNIQUE constraint failed'), new Unavailable('x')]) {
          expect(isUniqueViolation(other)).toBe(false)
        }
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
      const add = (sequence: number) => given.database.db.insertInto('audit').values(entry(sequence)).execute()

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
        await expect(statement.execute(given.database.db)).rejects.toThrow(ConstraintViolation)
        expect(await given.database.db.selectFrom('audit').selectAll().orderBy('sequence').execute()).toEqual([
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
