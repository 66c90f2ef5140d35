/** A replica that is seconds behind is promoted: nobody is stranded, and nothing that was revoked lives (R46). */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openDatabase } from '../../src/storage/database.ts'
import { demoApp, obtainTokens, refresh } from '../support/authorize.ts'
import { type Deployment, startDeployment } from '../support/deployment.ts'
import { initdb } from '../support/machine.ts'
import { type OwnPostgres, startPostgres } from '../support/postgres.ts'
import { REPLICATED, type Replica, startReplica } from '../support/postgres-replica.ts'
import { quiet } from '../support/stores.ts'
import { startProxy, type TcpProxy } from '../support/tcp-proxy.ts'
import { Visitor } from '../support/visitor.ts'
import { post, resourceServer } from '../support/wire.ts'
import type { Tokens } from './house.ts'

const CLIENTS = 8
const REVOKED = 20

describe.skipIf(!initdb).each(['while the servers run', 'while they are down'])('a promotion %s', (when) => {
  const live = when === 'while the servers run'
  const folder = mkdtempSync(join(tmpdir(), 'latchkey-promotion-'))
  const endingsLog = join(folder, 'endings-{node}.jsonl')
  let primary: OwnPostgres
  let replica: Replica
  let proxy: TcpProxy
  let deployment: Deployment
  const clients: { newest: Tokens; rotations: number }[] = []
  const revoked: Tokens[] = []
  let lost: Tokens
  const refused: unknown[] = []
  const app = () => demoApp(deployment.url)

  /** As a good app does: what gets no answer, or one that says that it is our fault, is asked again. */
  const rotate = async (client: { newest: Tokens; rotations: number }): Promise<void> => {
    const answer = await refresh(app(), client.newest.refresh_token).catch(() => undefined)
    if (answer?.status === 200) {
      client.newest = answer.body
      client.rotations += 1
    } else if (answer && answer.status < 500) {
      refused.push(answer.body)
    } else {
      await pause(100)
    }
  }
  const everyNodeReady = async () => {
    while (!deployment.balancer.targets.every(({ ready }) => ready)) await pause(50)
  }
  const newUrl = () => replica.url(new URL(primaryUrl).pathname.slice(1))
  let primaryUrl: string

  beforeAll(async () => {
    primary = await startPostgres({ access: REPLICATED, settings: { max_wal_senders: '4' } })
    proxy = await startProxy(primary.place.port)
    primaryUrl = (await primary.database({ empty: true })).url
    const database = new URL(primaryUrl)
    database.port = String(proxy.port)
    // A machine that runs tests is a busy one.
    const pool = { size: 10, waitSeconds: 20, statementSeconds: 20 }
    const config = { recovery: { endingsLog }, database: { pool } }
    deployment = await startDeployment({ database: database.href, config })
    replica = await startReplica(primary)

    const visitor = new Visitor()
    for (let i = 0; i < CLIENTS; i++) clients.push({ newest: await obtainTokens(app(), { visitor }), rotations: 0 })
    for (let i = 0; i < REVOKED; i++) revoked.push(await obtainTokens(app(), { visitor }))
    await replica.caughtUp()
    replica.fallBehind()

    let loading = true
    const load = Promise.all(
      clients.map(async (client) => {
        while (loading && refused.length === 0) {
          await rotate(client)
          await pause(20)
        }
      }),
    )
    for (const { refresh_token } of revoked) {
      const { status } = await post(`${app().issuer}/revoke`, { token: refresh_token, client_id: app().clientId })
      expect(status).toBe(200)
    }
    lost = await obtainTokens(app(), { visitor })
    await pause(2000)

    if (!live) {
      loading = false
      await load
      await Promise.all(deployment.nodes.map((node) => node.stop()))
    }
    proxy.set('refusing')
    await primary.stop()
    await replica.promote()
    proxy.aim(replica.place.port)
    proxy.set('through')
    if (!live) await Promise.all(deployment.nodes.map((node) => node.start()))
    await pause(live ? 3000 : 0)
    await everyNodeReady()
    loading = false
    await load
  }, 300_000)
  afterAll(async () => {
    await deployment?.close()
    await proxy?.close()
    await replica?.stop()
    rmSync(folder, { recursive: true, force: true })
  })

  it('no client hears that its token is bad, and each goes on with its newest', async () => {
    expect(refused).toEqual([])
    for (const client of clients) {
      const before = client.rotations
      expect(before).toBeGreaterThan(3)
      await rotate(client)
      expect(client.rotations, 'at the first try').toBe(before + 1)
    }
    const database = await openDatabase({ url: newUrl(), log: quiet })
    const entries = await database.db
      .selectFrom('audit')
      .select('type')
      .where('type', 'in', ['token.adopted', 'store.recovered'])
      .execute()
    const lives = await database.db.selectFrom('lives').selectAll().execute()
    await database.close()
    expect(entries.filter(({ type }) => type === 'token.adopted')).toHaveLength(CLIENTS)
    // Of two servers one opens the window.
    expect(entries.filter(({ type }) => type === 'store.recovered')).toHaveLength(1)
    expect(lives.map(({ store, since }) => [store?.split('/')[2], since === null])).toEqual([
      ['00000001', true],
      ['00000002', false],
    ])
  })

  it('nothing that was revoked lives, whichever server it was revoked at', async () => {
    for (const { refresh_token, access_token } of revoked) {
      const { body } = await refresh(app(), refresh_token)
      expect(body).toMatchObject({ error: 'invalid_grant', error_subcode: 'revoked_by_app' })
      const asked = await post(`${app().issuer}/introspect`, { token: access_token }, resourceServer)
      expect(asked.body).toEqual({ active: false })
    }
  })

  it('what was consented to in those seconds is lost: the app is told to ask again', async () => {
    const { status, body } = await refresh(app(), lost.refresh_token)
    expect([status, body.error]).toEqual([400, 'invalid_grant'])
  })

  it('says what it does', () => {
    for (const node of deployment.nodes) expect(node.log()).toContain('the store lacked endings, which were replayed')
  })
})
