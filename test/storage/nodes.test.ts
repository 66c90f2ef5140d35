import { describe, expect, it } from 'vitest'
import { verifyChain } from '../../src/audit/chain.ts'
import { readAudit } from '../../src/audit/export.ts'
import { openDatabase } from '../../src/storage/database.ts'
import { initdb } from '../support/machine.ts'
import { startPostgres } from '../support/postgres.ts'
import { startProcess } from '../support/processes.ts'
import { quiet } from '../support/stores.ts'

describe.skipIf(!initdb)('several nodes on one PostgreSQL', () => {
  it('start at once on an empty database, two by one name: tables, keys and people are made once', async () => {
    const names = ['node-1', 'node-2', 'node-2']
    const postgres = await startPostgres()
    const { url } = await postgres.database({ empty: true })
    const nodes = names.map((node) => startProcess('server', url, { node }))
    await Promise.all(nodes.map(({ ready }) => ready))
    for (const { begin } of nodes) begin()
    await Promise.all(nodes.map(({ answer }) => answer))

    const database = await openDatabase({ url, log: quiet })
    const keys = await database.db.selectFrom('signing_keys').select(['issuer', 'algorithm']).execute()
    const issuers = new Set(keys.map((key) => key.issuer))
    expect(issuers.size).toBeGreaterThan(1)
    expect(keys).toHaveLength(issuers.size * 2)
    const secrets = await database.db.selectFrom('sealed_secrets').select(['issuer', 'purpose']).execute()
    expect(new Set(secrets.map((each) => `${each.issuer} ${each.purpose}`)).size).toBe(secrets.length)
    const { entries, breaks, heads } = await verifyChain(readAudit(database))
    expect(entries).toBeGreaterThan(keys.length)
    expect(breaks).toEqual([])
    expect(heads.length).toBeLessThanOrEqual(new Set(names).size)
    await database.close()
    await postgres.stop()
  })
})
