import { setTimeout as wait } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { verifyChain } from '../../src/audit/chain.ts'
import { readAudit } from '../../src/audit/export.ts'
import { narrowedScope } from '../../src/members/narrowing.ts'
import { replay } from '../../src/members/replay.ts'
import type { Ending } from '../../src/recovery/endings.ts'
import { createSqlShortLived } from '../../src/storage/short-lived-sql.ts'
import { openBackend } from '../support/backend.ts'
import type { Backend } from '../support/stores.ts'
import { createWorld, DAY, ISSUER, type World } from './world.ts'

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

  const scopes = ['patient/Coverage.rs patient/Claim.rs', 'patient/Coverage.rs', 'patient/*.rs']
  const shareScope = (i: number) =>
    node(i).share(memberId, patientId, { app: app(), grantedScope: `openid ${scopes[i % 3]}` })
  const changed = { issuer: ISSUER, plan: 'prairie', shown: null, requestId: null }

  it('of many decisions the last one stands, and no grant is left that allows more (R29)', async () => {
    for (let round = 0; round < 5; round++) {
      const shared = await Promise.all(Array.from({ length: 9 }, (_, i) => shareScope(i)))
      const grants = await liveGrants()
      expect(new Set(grants.map((grant) => grant.connection_id)).size).toBe(1)
      const decided = await here().db.selectFrom('consents').select('grant_id').orderBy('id', 'desc').execute()
      const last = await here().grantRow(decided[0]?.grant_id ?? '')
      expect(last.revision).toBe(0)
      for (const { scope } of grants) expect(narrowedScope(scope, last.scope)).toBe(scope)
      await here().connections.endConnection(null, { ...ending, connectionId: shared[0]?.connectionId ?? '' })
    }
  })

  it('leaves nothing behind that is wider than what was decided later, and nobody waits in a circle (R29)', async () => {
    for (let round = 0; round < 10; round++) {
      const wide = await shareScope(2)
      const [narrow] = await Promise.all([
        node(1).share(memberId, patientId, { app: app(), grantedScope: 'openid patient/Coverage.rs' }),
        node(0).connections.narrow({
          ...{ ...changed, memberId, connectionId: wide.connectionId, sensitivities: [] },
          scope: 'patient/Coverage.rs patient/Claim.rs',
        }),
        node(1).database.transaction((trx) => node(1).connections.touch(trx, wide.connectionId)),
      ])
      expect((await here().grantRow(wide.grantId)).scope).toBe('openid patient/Coverage.rs')
      expect(narrow.connectionId).toBe(wide.connectionId)
      await here().connections.endConnection(null, { ...ending, connectionId: wide.connectionId })
    }
  })

  it('a consent and an end at once: what was shared before is over, what is shared after is whole (R29)', async () => {
    for (let round = 0; round < 15; round++) {
      const first = await shareScope(2)
      const [, second] = await Promise.all([
        node(0).connections.end({ ...changed, memberId, connectionId: first.connectionId }),
        node(1).share(memberId, patientId, { app: app(), grantedScope: 'openid patient/Coverage.rs' }),
      ])
      expect((await here().grantRow(first.grantId)).end_reason).toBe('revoked_by_member')
      const grant = await here().grantRow(second.grantId)
      const connection = await here().connectionRow(grant.connection_id ?? '')
      // Either it began anew, or it was there in time to end with the rest.
      expect(grant.ended_at === null).toBe(connection.ended_at === null)
      if (connection.ended_at === null)
        await here().connections.endConnection(null, { ...ending, connectionId: connection.id })
    }
  })

  it('narrowed and extended at once: both are done, whichever came first', async () => {
    for (let round = 0; round < 10; round++) {
      const grantedScope = 'openid offline_access patient/*.rs'
      const { grantId, connectionId } = await node(0).share(memberId, patientId, { app: app(), grantedScope })
      const endsAt = here().clock.now + 700 * DAY
      const connection = { ...changed, memberId, connectionId }
      await Promise.all([
        node(0).connections.narrow({ ...connection, scope: 'patient/Coverage.rs', sensitivities: [] }),
        node(1).connections.extend({ ...connection, endsAt }),
      ])
      expect(await here().grantRow(grantId)).toMatchObject({
        scope: 'openid offline_access patient/Coverage.rs',
        expires_at: endsAt,
        revision: 1,
      })
      await here().connections.endConnection(null, { ...ending, connectionId })
    }
  })

  it('narrowed twice at once is narrowed by both, and each is a revision', async () => {
    const { grantId, connectionId } = await shareScope(2)
    const connection = { ...changed, memberId, connectionId, sensitivities: [] }
    await Promise.all([
      node(0).connections.narrow({ ...connection, scope: 'patient/Coverage.rs patient/Claim.rs' }),
      node(1).connections.narrow({ ...connection, scope: 'patient/Coverage.rs patient/Patient.rs' }),
    ])
    expect(await here().grantRow(grantId)).toMatchObject({ scope: 'openid patient/Coverage.rs', revision: 2 })
  })

  it.each(['grant', 'narrowing'] as const)(
    'a replay of the log of endings and a refresh of another grant wait for each other in no circle: %s (R46)',
    async (kind) => {
      const [one, other] = [await shareScope(2), await shareScope(2)].sort((a, b) => (a.grantId < b.grantId ? -1 : 1))
      const { connectionId } = one as { connectionId: string }
      const at = here().clock.now + 1
      const common = { v: 1 as const, at, issuer: ISSUER, actor: 'system' }
      const left = { scope: '', sensitivities: [], endsAt: at, revision: 1 }
      const entries = [one, other].map((shared): Ending => {
        const grantId = shared?.grantId ?? ''
        return kind === 'grant'
          ? { ...common, kind, grantId, reason: 'replaced' }
          : { ...common, kind, grantId, ...left }
      })
      const replaying = () =>
        replay(
          (async function* () {
            yield* entries
          })(),
          {
            ...{ database: here().database, endings: here().connections, narrowGrant: here().narrowGrant },
            ...{ now: here().now, revokeKey: async () => false },
            shortLived: (issuer) => createSqlShortLived({ database: here().database, issuer, now: here().now }),
          },
        )
      const found = await node(1).database.transaction(async (trx) => {
        await trx
          .selectFrom('grants')
          .select('id')
          .where('id', '=', other?.grantId ?? '')
          .forUpdate()
          .execute()
        const result = replaying()
        // So long that the replay stands where it must wait.
        await wait(500)
        await node(1).connections.touch(trx, connectionId)
        return { result }
      })
      expect(await found.result).toMatchObject({ ended: 2 })
      expect(await liveGrants()).toEqual([])
    },
  )

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
