import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { verifyChain } from '../../src/audit/chain.ts'
import { readAudit } from '../../src/audit/export.ts'
import { openBackend } from '../support/backend.ts'
import type { Backend } from '../support/stores.ts'
import { createWorld, ISSUER, type World } from './world.ts'

describe('sharing and ending at once, on two nodes', () => {
  let backend: Backend
  let worlds: World[]
  let memberId: string
  let patientId: string

  beforeEach(async () => {
    backend = await openBackend()
    worlds = [await createWorld(backend.url), await createWorld(backend.url)]
    memberId = (await here().member('maria')).id
    patientId = await here().patient('maria')
    await here().owns(memberId, patientId)
  })
  afterEach(async () => {
    for (const world of worlds) await world.close()
    await backend.dispose()
  })

  const node = (i: number) => worlds[i % worlds.length] as World
  const here = () => node(0)
  const app = () => here().app()
  const share = (i: number) => node(i).share(memberId, patientId, { app: app() })
  const ending = { issuer: ISSUER, reason: 'revoked_by_member' as const, actor: 'system', requestId: null }
  const openConnections = () => here().db.selectFrom('connections').selectAll().where('ended_at', 'is', null).execute()
  const liveGrants = () => here().db.selectFrom('grants').selectAll().where('ended_at', 'is', null).execute()

  it('makes one connection of many decisions', async () => {
    const shared = await Promise.all(Array.from({ length: 12 }, (_, i) => share(i)))
    expect(new Set(shared.map((each) => each.connectionId)).size).toBe(1)
    expect(await openConnections()).toHaveLength(1)
    expect(await liveGrants()).toHaveLength(12)
  })

  it('never leaves a live grant in a connection that has ended', async () => {
    for (let round = 0; round < 15; round++) {
      const first = await share(0)
      const [ended, second] = await Promise.all([
        node(0).connections.endGrant(null, { ...ending, grantId: first.grantId }),
        share(1),
      ])
      expect(ended).toBe(true)
      const grant = await here().grantRow(second.grantId)
      expect(grant.ended_at).toBeNull()
      expect((await here().connectionRow(grant.connection_id ?? '')).ended_at).toBeNull()
      await here().connections.endConnection(null, { ...ending, connectionId: second.connectionId })
      expect(await openConnections()).toEqual([])
    }
  })

  it('ends no connection to which a grant is being added', async () => {
    const first = await share(0)
    const grantId = await here().grant(memberId)
    const [added, told] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    const adding = node(1).database.transaction(async (trx) => {
      const ofConnection = { connection_id: first.connectionId, patient_id: patientId }
      await trx.selectFrom('connections').select('id').where('id', '=', first.connectionId).forUpdate().execute()
      await trx.updateTable('grants').set(ofConnection).where('id', '=', grantId).execute()
      added.resolve()
      await told.promise
    })
    await added.promise
    const ended = node(0).connections.endGrant(null, { ...ending, grantId: first.grantId })
    await new Promise((resolve) => setTimeout(resolve, 100))
    told.resolve()
    await Promise.all([adding, ended])
    expect((await here().connectionRow(first.connectionId)).ended_at).toBeNull()
  })

  it('ends each grant once, from whatever side', async () => {
    for (let round = 0; round < 5; round++) {
      const shared = []
      for (let i = 0; i < 4; i++) shared.push(await share(i))
      const connectionId = shared[0]?.connectionId ?? ''
      const results = await Promise.all([
        node(0).connections.endConnection(null, { ...ending, connectionId }),
        node(1).connections.endConnection(null, { ...ending, connectionId }),
        ...shared.map(async ({ grantId }, i) =>
          (await node(i).connections.endGrant(null, { ...ending, grantId })) ? [grantId] : [],
        ),
      ])
      expect(results.flat().sort()).toEqual(shared.map((each) => each.grantId).sort())
      expect(await liveGrants()).toEqual([])
      expect(await openConnections()).toEqual([])
    }
    const { breaks } = await verifyChain(readAudit(here().database))
    expect(breaks).toEqual([])
  })

  it('ends a delegation once', async () => {
    const patient = await here().patient('lucy')
    const delegationId = await here().actsFor(memberId, patient)
    const ends = await Promise.all(
      Array.from({ length: 6 }, (_, i) =>
        node(i).connections.endDelegation(null, { issuer: ISSUER, actor: 'system', requestId: null, delegationId }),
      ),
    )
    expect(ends.filter((each) => each !== undefined)).toHaveLength(1)
  })
})
