import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sql } from 'kysely'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type AuditEvent, createAudit } from '../../src/audit/audit.ts'
import { verifyChain } from '../../src/audit/chain.ts'
import { exportAudit, readAudit } from '../../src/audit/export.ts'
import { createLog } from '../../src/log.ts'
import { type Database, openDatabase } from '../../src/storage/database.ts'
import type { AuditRow } from '../../src/storage/tables.ts'
import { engine, openBackend } from '../support/backend.ts'
import { failingStore } from '../support/failing-store.ts'
import { inProcesses, startProcess } from '../support/processes.ts'
import { type Backend, quiet } from '../support/stores.ts'

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = []
  for await (const item of items) list.push(item)
  return list
}

const event: AuditEvent = { type: 'token.issued', actor: 'client:demo-public', issuer: 'prairie/sandbox' }

describe('the audit trail (R35)', { timeout: 30_000 }, () => {
  let backend: Backend
  let folder: string
  let database: Database
  let time = 1_700_000_000_000
  const now = () => time
  const store = failingStore()

  beforeEach(async () => {
    store.fail(false)
    backend = await openBackend()
    folder = await mkdtemp(join(tmpdir(), 'latchkey-'))
    database = await openDatabase({ url: backend.url, log: quiet, wrapDialect: store.wrapDialect })
    time = 1_700_000_000_000
  })
  afterEach(async () => {
    store.fail(false)
    await database.close()
    await backend.dispose()
    await rm(folder, { recursive: true })
  })

  const rows = () => all(readAudit(database))

  it('keeps an event whole', async () => {
    const audit = createAudit({ node: 'node-1', now, log: quiet })
    await database.transaction((trx) =>
      audit.record(trx, {
        ...{ type: 'consent.denied', outcome: 'refused', issuer: 'prairie/sandbox', actor: 'member:m', memberId: 'm' },
        ...{ patientId: 'p', appId: 'a', grantId: 'g', requestId: 'r', details: { z: 1, a: ['é'], n: null, b: true } },
      }),
    )
    expect(await rows()).toEqual([
      {
        ...{ writer: 'node-1', sequence: 1, time, plan: 'prairie', issuer: 'prairie/sandbox', type: 'consent.denied' },
        ...{ outcome: 'refused', actor: 'member:m', member_id: 'm', patient_id: 'p', app_id: 'a', grant_id: 'g' },
        ...{ request_id: 'r', details: '{"a":["é"],"b":true,"n":null,"v":1,"z":1}', previous_hash: 'genesis' },
        hash: expect.stringMatching(/^[\w-]{43}$/),
      },
    ])
  })

  it('takes an event of the server itself, which has no plan', async () => {
    const audit = createAudit({ node: 'node-1', now, log: quiet })
    await database.transaction((trx) => audit.record(trx, { type: 'server.started', actor: 'system' }))
    expect(await rows()).toMatchObject([{ plan: null, issuer: null, outcome: 'success', details: '{"v":1}' }])
  })

  it('links each entry to the one before, several in one transaction too', async () => {
    const audit = createAudit({ node: 'node-1', now, log: quiet })
    for (let i = 0; i < 3; i++) {
      await database.transaction(async (trx) => {
        await audit.record(trx, event)
        await audit.record(trx, event)
      })
    }
    expect((await rows()).map(({ sequence }) => sequence)).toEqual([1, 2, 3, 4, 5, 6])
    expect(await verifyChain(await rows())).toMatchObject({ entries: 6, breaks: [] })
  })

  it('keeps nothing of a change that did not happen, and leaves no gap', async () => {
    const audit = createAudit({ node: 'node-1', now, log: quiet })
    await database.transaction((trx) => audit.record(trx, event))
    const undone = database.transaction(async (trx) => {
      await audit.record(trx, event)
      throw new Error('undone')
    })
    await expect(undone).rejects.toThrow('undone')
    await database.transaction((trx) => audit.record(trx, event))
    expect((await rows()).map(({ sequence }) => sequence)).toEqual([1, 2])
    expect((await verifyChain(await rows())).breaks).toEqual([])
  })

  it('lets no change happen that it cannot record', async () => {
    const audit = createAudit({ node: 'node-1', now, log: quiet })
    store.fail((step) => step.kind === 'query' && /insert into "audit"/.test(step.sql))
    const work = database.transaction(async (trx) => {
      const organization = {
        id: 'a',
        plan: 'prairie',
        kind: 'individual' as const,
        name: 'A',
        website: null,
        created_at: 0,
      }
      await trx.insertInto('organizations').values(organization).execute()
      await audit.record(trx, event)
    })
    await expect(work).rejects.toMatchObject({ status: 503 })
    store.fail(false)
    expect(await database.db.selectFrom('organizations').selectAll().execute()).toEqual([])
  })

  it('spreads over the chains that a node may have, and uses one where that is enough', async () => {
    const audit = createAudit({ node: 'node-1', chains: 3, now, log: quiet })
    const record = () => database.transaction((trx) => audit.record(trx, event))
    for (let i = 0; i < 5; i++) await record()
    await expect(
      database.transaction(async (trx) => {
        await audit.record(trx, event)
        throw new Error('changed our mind')
      }),
    ).rejects.toThrow('changed our mind')
    await record()
    expect(new Set((await rows()).map((row) => row.writer))).toEqual(new Set(['node-1']))
    await Promise.all(Array.from({ length: 60 }, record))
    const { entries, breaks, heads } = await verifyChain(await rows())
    expect([entries, breaks]).toEqual([66, []])
    expect(heads.map((head) => head.writer)).toEqual(['node-1', 'node-1/2', 'node-1/3'])
  })

  it.each([
    ['member_id', 'audit_member'],
    ['patient_id', 'audit_patient_id'],
    ['grant_id', 'audit_grant_id'],
    ['request_id', 'audit_request'],
  ])('is searched by %s without reading all of it', async (column, index) => {
    const plan = await database.transaction(async (trx) => {
      // An empty table is read whole where that is allowed.
      if (engine === 'postgres') await sql`set local enable_seqscan = off`.execute(trx)
      const explain = engine === 'postgres' ? sql`explain` : sql`explain query plan`
      const search = sql`select * from audit where ${sql.ref(column)} = ${'x'} order by time desc limit 20`
      return JSON.stringify((await sql`${explain} ${search}`.execute(trx)).rows)
    })
    expect(plan).toContain(index)
  })

  it('stays one chain per writer under 100 transactions at once', async () => {
    const writers = ['node-1', 'node-2'].map((node) => createAudit({ node, now, log: quiet }))
    await Promise.all(
      Array.from({ length: 100 }, (_, i) => database.transaction(async (trx) => writers[i % 2]?.record(trx, event))),
    )
    const report = await verifyChain(await rows())
    expect(report).toMatchObject({ entries: 100, breaks: [] })
    expect(report.heads).toMatchObject([
      { writer: 'node-1', sequence: 50 },
      { writer: 'node-2', sequence: 50 },
    ])
  })

  it('stays sound when several processes write as one and the same writer', async () => {
    await inProcesses(3, 'audit', backend.url, { node: 'node-1', times: 20 })
    const report = await verifyChain(await rows())
    expect(report).toMatchObject({ entries: 60, breaks: [], heads: [{ writer: 'node-1', sequence: 60 }] })
  })

  it('stays sound when a writer is killed', async () => {
    const writer = startProcess('audit', backend.url, { node: 'node-1', times: 100_000 })
    await writer.ready
    writer.begin()
    await expect.poll(async () => (await rows()).length, { timeout: 10_000 }).toBeGreaterThan(20)
    writer.child.kill('SIGKILL')
    await expect(writer.answer).rejects.toThrow('SIGKILL')
    const audit = createAudit({ node: 'node-1', now, log: quiet })
    await database.transaction((trx) => audit.record(trx, event))
    expect((await verifyChain(await rows())).breaks).toEqual([])
  })

  describe('as a stream', () => {
    const streamed = async (file: string) =>
      (await readFile(file, 'utf8'))
        .split('\n')
        .filter(Boolean)
        .map((line) => JSON.parse(line) as AuditRow)

    it('has each committed entry as a line, in a folder that it makes, after what was there', async () => {
      const streamFile = join(folder, 'audit', 'stream.log')
      for (let i = 0; i < 2; i++) {
        const audit = createAudit({ node: 'node-1', now, streamFile, log: quiet })
        await database.transaction((trx) => audit.record(trx, event))
        audit.close()
      }
      expect(await streamed(streamFile)).toEqual(await rows())
    })

    it('has no line of what was rolled back or never committed', async () => {
      const streamFile = join(folder, 'stream.log')
      const audit = createAudit({ node: 'node-1', now, streamFile, log: quiet })
      await database
        .transaction(async (trx) => {
          await audit.record(trx, event)
          throw new Error('undone')
        })
        .catch(() => {})
      store.fail((step) => step.kind === 'commit')
      await database.transaction((trx) => audit.record(trx, event)).catch(() => {})
      store.fail(false)
      await database.transaction((trx) => audit.record(trx, event))
      audit.close()
      expect(await streamed(streamFile)).toEqual(await rows())
      expect(await rows()).toHaveLength(1)
    })

    it('does not undo or fail a change when its line cannot be written, and says so', async () => {
      let logged = ''
      const write = (line: string) => {
        logged += line
      }
      const log = createLog({ level: 'error', destination: { write } })
      const audit = createAudit({ node: 'node-1', now, streamFile: '/dev/full', log })
      await database.transaction((trx) => audit.record(trx, event))
      await expect.poll(() => logged).toContain('audit stream')
      expect(await rows()).toHaveLength(1)
    })
  })

  describe('exported', () => {
    const record = (issuer: string | undefined, node = 'node-1') => {
      const audit = createAudit({ node, now, log: quiet })
      return database.transaction((trx) =>
        audit.record(trx, { type: 'token.issued', actor: 'system', issuer, details: { text: 'line\nbreak' } }),
      )
    }
    const sequences = async (filter: Parameters<typeof readAudit>[1]) =>
      (await all(readAudit(database, filter))).map(({ writer, sequence }) => `${writer}/${sequence}`)

    it('is one JSON object a line, which proves itself', async () => {
      for (const node of ['node-2', 'node-1', 'node-2']) await record('prairie/sandbox', node)
      const lines = await all(exportAudit(database))
      expect(lines.every((line) => line.endsWith('\n') && line.indexOf('\n') === line.length - 1)).toBe(true)
      const read = lines.map((line) => JSON.parse(line) as AuditRow)
      expect(await verifyChain(read)).toMatchObject({ entries: 3, breaks: [] })
    })

    it('has what is of an issuer, from a time, before a time', async () => {
      for (const issuer of ['prairie/sandbox', undefined, 'summit/production', 'prairie/sandbox']) {
        await record(issuer)
        time += 10
      }
      const start = 1_700_000_000_000
      expect(await sequences({})).toHaveLength(4)
      expect(await sequences({ issuer: 'prairie/sandbox' })).toEqual(['node-1/1', 'node-1/4'])
      expect(await sequences({ issuer: 'prairie/%' })).toEqual([])
      expect(await sequences({ from: start + 10, to: start + 30 })).toEqual(['node-1/2', 'node-1/3'])
      expect(await sequences({ issuer: 'prairie/sandbox', from: start + 1 })).toEqual(['node-1/4'])
      expect(await sequences({ from: start + 31 })).toEqual([])
    })

    it('is whole when it is longer than a page, and keeps nobody waiting', async () => {
      const audit = createAudit({ node: 'node-1', now, log: quiet })
      await database.transaction(async (trx) => {
        for (let i = 0; i < 1200; i++) await audit.record(trx, event)
      })
      let read = 0
      for await (const _ of readAudit(database)) {
        if (read++ === 100) await database.transaction((trx) => audit.record(trx, event))
      }
      expect(read).toBe(1201)
    })
  })
})
