import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { Unavailable } from '../../../src/errors.ts'
import type { ShortLived } from '../../../src/storage/short-lived.ts'
import { failingStore } from '../../support/failing-store.ts'
import { inProcesses } from '../../support/processes.ts'
import { type Backend, openShortLived } from '../../support/stores.ts'
import { HOSTILE_TEXTS, type OpenBackend } from './fixture.ts'

/** The contract of `src/storage/short-lived.ts`, one operation after the other, then all at once. */
export function shortLivedConformance(name: string, open: OpenBackend): void {
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

      it('is undone by its name, and by no other', async () => {
        await store.set('code', 'k', 1, START + 1000)
        expect(await store.use('code', 'k', 'mine')).toBe('first')
        await store.takeBack('code', 'k', 'yours')
        expect(await store.use('code', 'k')).toBe('again')
        await store.takeBack('code', 'k', 'mine')
        await store.takeBack('code', 'k', 'mine')
        expect(await store.get('code', 'k')).toEqual({ value: 1, usedAt: null })
        expect(await store.use('code', 'k', 'theirs')).toBe('first')
        await store.takeBack('code', 'k', 'mine')
        expect(await store.use('code', 'k')).toBe('again')
      })

      it('is not done any more once it was taken back, however late it comes', async () => {
        await store.set('code', 'k', 1, START + 1000)
        await store.takeBack('code', 'k', 'late')
        await store.use('code', 'k', 'late').catch(() => {})
        expect(await store.get('code', 'k')).toEqual({ value: 1, usedAt: null })
        expect(await store.use('code', 'k')).toBe('first')
      })

      it('can be taken back where there is nothing', async () => {
        await store.takeBack('code', 'k', 'mine')
        expect(await store.get('code', 'k')).toBeUndefined()
        expect(await store.use('code', 'k')).toBe('missing')
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
        const broken = await connect({ issuer: 'prairie/broken', failing })
        await broken.set('code', 'k', 1, START + 1000)
        failing.fail(true)
        const operations = [
          () => broken.get('code', 'k'),
          () => broken.set('code', 'k', 2, START + 1000),
          () => broken.delete('code', 'k'),
          () => broken.use('code', 'k'),
          () => broken.takeBack('code', 'k', 'mine'),
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
