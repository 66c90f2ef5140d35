import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { Unavailable } from '../../../src/errors.ts'
import { newId } from '../../../src/secrets.ts'
import { afterCommit, type Database, openDatabase } from '../../../src/storage/database.ts'
import { ConstraintViolation } from '../../../src/storage/faults.ts'
import { beforeCommit, lockByName } from '../../../src/storage/transaction-hooks.ts'
import { failingStore } from '../../support/failing-store.ts'
import { startProcess } from '../../support/processes.ts'
import { quiet } from '../../support/stores.ts'
import { eachWithDatabase, type OpenBackend, organization } from './fixture.ts'

/** All or nothing, also when a process dies or the store is at fault. */
export function transactionsConformance(name: string, open: OpenBackend): void {
  describe(`${name}: transactions`, { timeout: 30_000 }, () => {
    const { given, names, insert } = eachWithDatabase(open)

    describe('transactions', () => {
      it('keep all or nothing', async () => {
        const work = given.database.transaction(async (trx) => {
          await trx.insertInto('organizations').values(organization('a')).execute()
          throw new Error('changed our mind')
        })
        await expect(work).rejects.toThrow('changed our mind')
        expect(await names()).toEqual([])
      })

      it('keep nothing of a process that dies in one', async () => {
        await expect(startProcess('die-in-transaction', given.backend.url).answer).rejects.toThrow('SIGKILL')
        expect(await names()).toEqual([])
        await insert(organization('a'))
      })

      it('do not lose updates, from one connection or several', async () => {
        const other = await openDatabase({ url: given.backend.url, log: quiet })
        await insert(organization('a', { created_at: 0 }))
        const addOne = (to: Database) =>
          to.transaction(async (trx) => {
            const { created_at } = await trx
              .selectFrom('organizations')
              .select('created_at')
              .where('id', '=', 'a')
              .forUpdate()
              .executeTakeFirstOrThrow()
            await trx
              .updateTable('organizations')
              .set({ created_at: created_at + 1 })
              .execute()
          })
        await Promise.all(Array.from({ length: 50 }, (_, i) => addOne(i % 2 ? given.database : other)))
        expect(await given.database.db.selectFrom('organizations').select('created_at').executeTakeFirst()).toEqual({
          created_at: 50,
        })
        await other.close()
      })

      it('do what must come last after everything else, all or nothing', async () => {
        const done: string[] = []
        const work = (fails: boolean) =>
          given.database.transaction(async (trx) => {
            beforeCommit(trx, async () => {
              done.push('last')
              if (fails) throw new Error('not in the end')
              await trx.insertInto('organizations').values(organization('b')).execute()
            })
            await trx.insertInto('organizations').values(organization('a')).execute()
            done.push('work')
          })
        await expect(work(true)).rejects.toThrow('not in the end')
        expect(await names()).toEqual([])
        await work(false)
        expect(await names()).toEqual(['a', 'b'])
        expect(done).toEqual(['work', 'last', 'work', 'last'])
      })

      it('hold a name one after the other, and see what the one before committed', async () => {
        const other = await openDatabase({ url: given.backend.url, log: quiet })
        let [inside, most] = [0, 0]
        const addFirst = (to: Database) =>
          to.transaction(async (trx) => {
            await lockByName(trx, 'the first organization')
            most = Math.max(most, ++inside)
            const found = await trx.selectFrom('organizations').select('id').execute()
            if (found.length === 0) await trx.insertInto('organizations').values(organization(newId())).execute()
            inside--
          })
        await Promise.all(Array.from({ length: 20 }, (_, i) => addFirst(i % 2 ? given.database : other)))
        expect(most).toBe(1)
        expect(await names()).toHaveLength(1)
        await other.close()
      })

      it('refuse the outer handle at once, rather than wait for themselves', async () => {
        const work = given.database.transaction(async (trx) => {
          await trx.insertInto('organizations').values(organization('a')).execute()
          await names()
        })
        await expect(work).rejects.toThrow(/only its own handle/)
        expect(await names()).toEqual([])
      })

      it('refuse a transaction inside one, and leave the store usable', async () => {
        const work = given.database.transaction(() => given.database.transaction(async () => 1))
        await expect(work).rejects.toThrow(/only its own handle/)
        expect(await given.database.transaction(async () => 1)).toBe(1)
      })

      it('let work that they began outlive them', async () => {
        const ended = Promise.withResolvers<void>()
        let later: Promise<string[]> | undefined
        await given.database.transaction(async (trx) => {
          await trx.insertInto('organizations').values(organization('a')).execute()
          later = ended.promise.then(() => names())
        })
        ended.resolve()
        expect(await later).toEqual(['a'])
      })

      it('let another store be used inside', async () => {
        const elsewhere = await open()
        const other = await openDatabase({ url: elsewhere.url, log: quiet })
        await given.database.transaction(async () => {
          expect(await names(other)).toEqual([])
        })
        await other.close()
        await elsewhere.dispose()
      })

      it('do what waits for the commit after it, in order', async () => {
        const done: string[] = []
        await given.database.transaction(async (trx) => {
          afterCommit(trx, () => done.push('first'))
          afterCommit(trx, () => done.push('second'))
          await trx.insertInto('organizations').values(organization('a')).execute()
          expect(done).toEqual([])
        })
        expect(done).toEqual(['first', 'second'])
      })

      it('do nothing after a rollback', async () => {
        const done: string[] = []
        const work = given.database.transaction(async (trx) => {
          afterCommit(trx, () => done.push('first'))
          throw new Error('no')
        })
        await expect(work).rejects.toThrow('no')
        expect(done).toEqual([])
      })

      it('are done, whatever fails after the commit', async () => {
        const done: string[] = []
        const result = await given.database.transaction(async (trx) => {
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
        const work = given.database.transaction(async (trx) => {
          await new Promise((resolve) => setTimeout(resolve, 30))
          await trx.insertInto('organizations').values(organization('a')).execute()
        })
        await new Promise((resolve) => setTimeout(resolve, 5))
        await given.database.close()
        await work
        given.database = await openDatabase({ url: given.backend.url, log: quiet })
        expect(await names()).toEqual(['a'])
      })
    })

    describe('faults (R43)', () => {
      const store = failingStore()
      let failing: Database

      beforeEach(async () => {
        store.fail(false)
        failing = await openDatabase({ url: given.backend.url, log: quiet, wrapDialect: store.wrapDialect })
      })
      afterEach(async () => {
        store.fail(false)
        await failing?.close()
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
        await expect(
          openDatabase({ url: given.backend.url, log: quiet, wrapDialect: store.wrapDialect }),
        ).rejects.toThrow(Unavailable)
      })
    })
  })
}
