import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createLog } from '../../src/log.ts'
import { type Database, openDatabase } from '../../src/storage/database.ts'
import { createJobs, HopelessJob, type Job, type Jobs } from '../../src/storage/jobs.ts'
import { MAX_ATTEMPTS, retryDelay } from '../../src/storage/retry.ts'
import { openBackend } from '../support/backend.ts'
import { failingStore } from '../support/failing-store.ts'
import { type Backend, quiet } from '../support/stores.ts'

const START = 1_700_000_000_000
const nothing = async () => {}

describe('jobs', () => {
  let backend: Backend
  let database: Database
  let time: number
  const store = failingStore()
  const opened: Jobs[] = []

  beforeEach(async () => {
    time = START
    store.fail(false)
    backend = await openBackend()
    database = await openDatabase({ url: backend.url, log: quiet, wrapDialect: store.wrapDialect })
  })
  afterEach(async () => {
    store.fail(false)
    for (const jobs of opened.splice(0)) await jobs.stop()
    await database.close()
    await backend.dispose()
  })

  function make(options: Partial<Parameters<typeof createJobs>[0]> = {}): Jobs {
    const jobs = createJobs({ database, log: quiet, now: () => time, holder: 'test', random: () => 0, ...options })
    opened.push(jobs)
    return jobs
  }
  const enqueue = (jobs: Jobs, job: Partial<Parameters<Jobs['enqueue']>[1]> = {}) =>
    database.transaction((trx) => jobs.enqueue(trx, { kind: 'work', payload: null, ...job }))
  const rows = () => database.db.selectFrom('jobs').selectAll().orderBy('run_at').execute()

  describe('run', () => {
    it('with their payload, and are gone', async () => {
      const jobs = make()
      const seen: Job[] = []
      jobs.handle('work', async (job) => void seen.push(job))
      await enqueue(jobs, { payload: { v: 1, text: 'é' } })
      expect(await jobs.runDue()).toBe(1)
      expect(seen).toMatchObject([{ kind: 'work', payload: { v: 1, text: 'é' }, attempt: 1 }])
      expect(await rows()).toEqual([])
      expect(await jobs.runDue()).toBe(0)
    })

    it('only if the transaction that added them commits', async () => {
      const jobs = make()
      let runs = 0
      jobs.handle('work', async () => void runs++)
      const undone = database.transaction(async (trx) => {
        await jobs.enqueue(trx, { kind: 'work', payload: null })
        throw new Error('undone')
      })
      await expect(undone).rejects.toThrow('undone')
      await jobs.runDue()
      expect(runs).toBe(0)
    })

    it('not before their time', async () => {
      const jobs = make()
      jobs.handle('work', nothing)
      await enqueue(jobs, { runAt: START + 10 })
      time = START + 9
      expect(await jobs.runDue()).toBe(0)
      time = START + 10
      expect(await jobs.runDue()).toBe(1)
    })

    it('oldest first', async () => {
      const jobs = make({ concurrency: 1 })
      const order: unknown[] = []
      jobs.handle('work', async ({ payload }) => void order.push(payload))
      for (const runAt of [3, 1, 2]) await enqueue(jobs, { payload: runAt, runAt })
      await jobs.runDue()
      expect(order).toEqual([1, 2, 3])
    })

    it('not where nobody knows how', async () => {
      const jobs = make()
      jobs.handle('other', nothing)
      await enqueue(jobs)
      expect(await jobs.runDue()).toBe(0)
      expect(await make().runDue()).toBe(0)
      expect(await rows()).toMatchObject([{ attempts: 0, leased_by: null }])
    })

    it('no more at once than there is room for', async () => {
      const jobs = make({ concurrency: 3 })
      let [running, most] = [0, 0]
      jobs.handle('work', async () => {
        most = Math.max(most, ++running)
        await new Promise((resolve) => setTimeout(resolve, 5))
        running--
      })
      for (let i = 0; i < 10; i++) await enqueue(jobs)
      expect(await jobs.runDue()).toBe(10)
      expect(most).toBe(3)
    })

    it('once each, however many processes look for them', async () => {
      const other = await openDatabase({ url: backend.url, log: quiet })
      const seen: unknown[] = []
      const workers = [database, database, other, other].map((each) => make({ database: each }))
      for (const jobs of workers) jobs.handle('work', async ({ payload }) => void seen.push(payload))
      for (let i = 0; i < 40; i++) await enqueue(workers[0] as Jobs, { payload: i })
      const runs = await Promise.all(workers.map((jobs) => jobs.runDue()))
      expect(runs.reduce((sum, each) => sum + each)).toBe(40)
      expect(new Set(seen).size).toBe(40)
      for (const jobs of opened.splice(0)) await jobs.stop()
      await other.close()
    })
  })

  describe('that fail', () => {
    it('run again later and later, with what went wrong written down', async () => {
      const jobs = make()
      const attempts: number[] = []
      jobs.handle('work', async ({ attempt }) => {
        attempts.push(attempt)
        if (attempt < 3) throw new Error(`attempt ${attempt} failed`)
      })
      await enqueue(jobs)
      await jobs.runDue()
      expect(await rows()).toMatchObject([
        {
          run_at: START + retryDelay(1, 0),
          attempts: 1,
          last_error: 'attempt 1 failed',
          leased_by: null,
          leased_until: null,
        },
      ])
      expect(await jobs.runDue()).toBe(0)
      time += retryDelay(1, 0)
      await jobs.runDue()
      expect(await rows()).toMatchObject([{ run_at: time + retryDelay(2, 0), attempts: 2 }])
      time += retryDelay(2, 0)
      await jobs.runDue()
      expect(attempts).toEqual([1, 2, 3])
      expect(await rows()).toEqual([])
    })

    it('are parked in the end, and hold up nobody', async () => {
      const jobs = make()
      jobs.handle('work', async () => {
        throw new Error('never')
      })
      await enqueue(jobs, { uniqueKey: 'k' })
      for (let i = 0; i < MAX_ATTEMPTS; i++) {
        expect(await jobs.runDue()).toBe(1)
        time += 3_600_000
      }
      expect(await rows()).toMatchObject([
        { attempts: MAX_ATTEMPTS, parked_at: expect.any(Number), last_error: 'never' },
      ])
      expect(await jobs.runDue()).toBe(0)
      await enqueue(jobs, { uniqueKey: 'k' })
      expect(await rows()).toHaveLength(2)
    })

    it('are parked at once when trying again is of no use', async () => {
      const jobs = make()
      jobs.handle('work', async () => {
        throw new HopelessJob('no such mailbox')
      })
      await enqueue(jobs)
      await jobs.runDue()
      expect(await rows()).toMatchObject([{ attempts: 1, parked_at: START, last_error: 'no such mailbox' }])
    })

    it.each([undefined, null, 'text', { a: 1 }])(
      'by throwing %j, which is no error, fail all the same',
      async (thrown) => {
        const jobs = make()
        jobs.handle('work', () => Promise.reject(thrown))
        await enqueue(jobs)
        await jobs.runDue()
        expect(await rows()).toMatchObject([{ attempts: 1, last_error: String(thrown) }])
      },
    )

    it('keep no more of an error than is useful', async () => {
      const jobs = make()
      jobs.handle('work', () => Promise.reject(new Error('x'.repeat(100_000))))
      await enqueue(jobs)
      await jobs.runDue()
      expect((await rows())[0]?.last_error).toHaveLength(500)
    })

    it('do not keep others from running', async () => {
      const jobs = make({ concurrency: 1 })
      let runs = 0
      jobs.handle('bad', () => Promise.reject(new Error('bad')))
      jobs.handle('work', async () => void runs++)
      await enqueue(jobs, { kind: 'bad', runAt: 1 })
      await enqueue(jobs, { runAt: 2 })
      await jobs.runDue()
      expect(runs).toBe(1)
    })
  })

  describe('whose holder is gone', () => {
    const dead = { leased_by: 'dead/1', leased_until: START + 1000, attempts: 1 }

    it('are left alone while the lease lasts, then taken by another', async () => {
      const jobs = make()
      const attempts: number[] = []
      jobs.handle('work', async ({ attempt }) => void attempts.push(attempt))
      await enqueue(jobs)
      await database.db.updateTable('jobs').set(dead).execute()
      time = START + 999
      expect(await jobs.runDue()).toBe(0)
      time = START + 1000
      expect(await jobs.runDue()).toBe(1)
      expect(attempts).toEqual([2])
    })

    it('are parked when every holder dies of them', async () => {
      const jobs = make()
      let runs = 0
      jobs.handle('work', async () => void runs++)
      await enqueue(jobs)
      await database.db
        .updateTable('jobs')
        .set({ ...dead, leased_until: START, attempts: MAX_ATTEMPTS })
        .execute()
      await jobs.runDue()
      expect(runs).toBe(0)
      expect(await rows()).toMatchObject([{ parked_at: START }])
    })

    it('keep their lease as long as they run', async () => {
      const [slow, other] = [make({ leaseMs: 60 }), make({ leaseMs: 60 })]
      let runs = 0
      for (const jobs of [slow, other]) {
        jobs.handle('work', async () => {
          runs++
          await new Promise((resolve) => setTimeout(resolve, 200))
        })
      }
      await enqueue(slow)
      const first = slow.runDue()
      for (let i = 0; i < 8; i++) {
        await new Promise((resolve) => setTimeout(resolve, 20))
        time += 20
        await other.runDue()
      }
      await first
      expect(runs).toBe(1)
    })

    it('are told when another has taken over, and change nothing any more', async () => {
      const jobs = make({ leaseMs: 30 })
      let reason: unknown
      jobs.handle('work', async ({ signal }) => {
        await database.db
          .updateTable('jobs')
          .set({ leased_by: 'other/1', leased_until: START + 60_000 })
          .execute()
        await new Promise((resolve) => signal.addEventListener('abort', resolve))
        reason = signal.reason
      })
      await enqueue(jobs)
      await jobs.runDue()
      expect(String(reason)).toContain('lease is lost')
      expect(await rows()).toMatchObject([{ leased_by: 'other/1', attempts: 1 }])
    })
  })

  describe('with a unique key', () => {
    it('wait once', async () => {
      const jobs = make()
      for (let i = 0; i < 3; i++) await enqueue(jobs, { uniqueKey: 'k', payload: i })
      await enqueue(jobs, { uniqueKey: 'l' })
      await enqueue(jobs)
      await enqueue(jobs)
      expect(await rows()).toHaveLength(4)
    })

    it('may wait while one runs, which has perhaps not seen the news', async () => {
      const jobs = make()
      let runs = 0
      jobs.handle('work', async () => {
        if (runs++ === 0) await enqueue(jobs, { uniqueKey: 'k' })
      })
      await enqueue(jobs, { uniqueKey: 'k' })
      expect(await jobs.runDue()).toBe(2)
      expect(await rows()).toEqual([])
    })

    it('give way, when they fail, to the one that waits already', async () => {
      const jobs = make()
      jobs.handle('work', async ({ payload }) => {
        if (payload !== 'old') return
        await enqueue(jobs, { uniqueKey: 'k', payload: 'new', runAt: START + 5 })
        throw new Error('failed')
      })
      await enqueue(jobs, { uniqueKey: 'k', payload: 'old' })
      await jobs.runDue()
      expect(await rows()).toMatchObject([{ payload: '"new"', attempts: 0 }])
    })
  })

  describe('that recur', () => {
    it('are one for all processes, and run again from the end of the last run', async () => {
      const workers = [make(), make()]
      let runs = 0
      for (const jobs of workers) {
        jobs.handle('sweep', async () => {
          runs++
          time += 7
        })
        jobs.every('sweep', 1000)
      }
      await Promise.all(workers.map((jobs) => jobs.runDue()))
      expect(runs).toBe(1)
      expect(await rows()).toMatchObject([{ kind: 'sweep', run_at: START + 1007, attempts: 0 }])
      time = START + 1007
      await Promise.all(workers.map((jobs) => jobs.runDue()))
      expect(runs).toBe(2)
    })

    it('are not added a second time while one runs', async () => {
      const [jobs, other] = [make(), make()]
      for (const each of [jobs, other]) each.every('sweep', 1000)
      other.handle('sweep', nothing)
      jobs.handle('sweep', async () => void (await other.runDue()))
      await jobs.runDue()
      expect(await rows()).toHaveLength(1)
    })

    it('go on after failures without end', async () => {
      const jobs = make()
      jobs.handle('sweep', () => Promise.reject(new Error('no')))
      jobs.every('sweep', 1000)
      for (let i = 0; i < MAX_ATTEMPTS + 3; i++) {
        expect(await jobs.runDue()).toBe(1)
        time += 1000
      }
      expect(await rows()).toMatchObject([{ parked_at: null, last_error: 'no' }])
    })

    it('follow a shorter interval from the next start on', async () => {
      const before = make()
      before.handle('sweep', nothing)
      before.every('sweep', 86_400_000)
      await before.runDue()
      const after = make()
      after.handle('sweep', nothing)
      after.every('sweep', 1000)
      await after.runDue()
      expect(await rows()).toMatchObject([{ run_at: START + 1000 }])
    })
  })

  describe('when started', () => {
    it('run soon after the commit, without waiting for the next look', async () => {
      const jobs = make({ pollMs: 60_000 })
      const ran = Promise.withResolvers<void>()
      jobs.handle('work', async () => ran.resolve())
      jobs.start()
      await new Promise((resolve) => setTimeout(resolve, 20))
      await enqueue(jobs)
      await ran.promise
    })

    it('are found when another process added them', async () => {
      const jobs = make({ pollMs: 5 })
      const ran = Promise.withResolvers<void>()
      jobs.handle('work', async () => ran.resolve())
      jobs.start()
      await new Promise((resolve) => setTimeout(resolve, 20))
      await enqueue(make())
      await ran.promise
    })

    it('do not run before that', async () => {
      const jobs = make({ pollMs: 1 })
      let runs = 0
      jobs.handle('work', async () => void runs++)
      await enqueue(jobs)
      await new Promise((resolve) => setTimeout(resolve, 20))
      expect(runs).toBe(0)
    })

    it('go on after the store was at fault (R43)', async () => {
      let logged = ''
      const write = (line: string) => {
        logged += line
      }
      const jobs = make({ pollMs: 5, log: createLog({ level: 'error', destination: { write } }) })
      let runs = 0
      jobs.handle('work', async () => void runs++)
      store.fail(true)
      jobs.start()
      await expect.poll(() => logged).toContain('jobs cannot be read')
      store.fail(false)
      await enqueue(jobs)
      await expect.poll(() => runs).toBe(1)
    })

    it('run again when the store was at fault at their end', async () => {
      const jobs = make()
      let runs = 0
      jobs.handle('work', async () => {
        if (runs++ === 0) store.fail((step) => step.kind === 'query' && /delete from "jobs"/.test(step.sql))
      })
      await enqueue(jobs)
      await jobs.runDue()
      store.fail(false)
      expect(await jobs.runDue()).toBe(0)
      time += 60_000
      expect(await jobs.runDue()).toBe(1)
      expect(await rows()).toEqual([])
    })
  })

  describe('when stopped', () => {
    it('are waited for', async () => {
      const jobs = make()
      let ended = false
      const began = Promise.withResolvers<void>()
      jobs.handle('work', async () => {
        began.resolve()
        await new Promise((resolve) => setTimeout(resolve, 30))
        ended = true
      })
      await enqueue(jobs)
      jobs.start()
      await began.promise
      await jobs.stop()
      expect(ended).toBe(true)
      expect(await rows()).toEqual([])
    })

    it('are told, and what they leave undone counts as no attempt', async () => {
      const jobs = make()
      const began = Promise.withResolvers<void>()
      jobs.handle('work', async ({ signal }) => {
        began.resolve()
        await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
      })
      await enqueue(jobs)
      jobs.start()
      await began.promise
      await jobs.stop()
      expect(await rows()).toMatchObject([{ attempts: 0, leased_by: null, last_error: null, run_at: START }])
    })

    it('are taken no more', async () => {
      const jobs = make({ pollMs: 1 })
      let runs = 0
      jobs.handle('work', async () => void runs++)
      jobs.start()
      await jobs.stop()
      await jobs.stop()
      await enqueue(jobs)
      expect(await jobs.runDue()).toBe(0)
      await new Promise((resolve) => setTimeout(resolve, 20))
      expect(runs).toBe(0)
    })
  })
})

describe('retryDelay', () => {
  it('doubles from 5 s to an hour, half of it by chance', () => {
    expect([1, 2, 3].map((attempt) => retryDelay(attempt, 1))).toEqual([5_000, 10_000, 20_000])
    expect([1, 2, 3].map((attempt) => retryDelay(attempt, 0))).toEqual([2_500, 5_000, 10_000])
    expect(retryDelay(MAX_ATTEMPTS, 1)).toBe(3_600_000)
  })

  it.each([0, -1, 1_000_000])('stays within bounds after %d attempts', (attempts) => {
    expect(retryDelay(attempts, 0.5)).toBeGreaterThanOrEqual(2_500)
    expect(retryDelay(attempts, 0.5)).toBeLessThanOrEqual(3_600_000)
  })
})
