/** Servers die, or are told to stop, one of two and both. PostgreSQL and Redis run all the time. */
import { setTimeout as pause } from 'node:timers/promises'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { demoApp, exchange, obtainTokens, pkce, refresh, walk, walkToConsent } from '../support/authorize.ts'
import { type DeployedNode, type Deployment, startDeployment } from '../support/deployment.ts'
import { initdb, redisServer } from '../support/machine.ts'
import { durable, type OwnPostgres, startPostgres } from '../support/postgres.ts'
import { type RedisProcess, startRedis } from '../support/redis.ts'
import { post, resourceServer } from '../support/wire.ts'
import { expectNoBreach, limit, rounds, startWork } from './stage.ts'

const drainSeconds = 1
/** The deadline of a server that was told to stop (docs/operating.md), and what closing the stores may take on a busy machine. */
const goneMs = (drainSeconds + 5 + 2) * 1000

describe.skipIf(!initdb || !redisServer)('a server', () => {
  let postgres: OwnPostgres
  let redis: RedisProcess
  let database: string
  let deployment: Deployment
  let first: DeployedNode
  let second: DeployedNode
  beforeAll(async () => {
    postgres = await startPostgres({ settings: durable })
    redis = await startRedis()
    database = (await postgres.database()).url
    const nodes = [`127.0.0.1:${redis.port}`]
    deployment = await startDeployment({ database, redis: { nodes }, config: { listen: { drainSeconds } } })
    ;[first, second] = deployment.nodes as [DeployedNode, DeployedNode]
  })
  afterAll(async () => {
    await deployment?.close()
    await redis?.stop()
    await postgres?.stop()
  })

  /** Waits until so many connections wait for the same thing. */
  const waiting = async (event: 'relation' | 'SyncRep' | 'transactionid' | 'tuple', count: number): Promise<void> => {
    const question = `select pid from pg_stat_activity where wait_event = '${event}' and application_name = 'latchkey'`
    while (((await postgres.run(question)).rowCount ?? 0) < count) await pause(10)
  }

  /** Holds what a statement locks until the answer is called. */
  const hold = async (statement: string): Promise<() => Promise<void>> => {
    const client = new pg.Client({ connectionString: database })
    await client.connect()
    await client.query('begin')
    await client.query(statement)
    return () => client.end()
  }

  /** One of everything that uses something up, at the first node, which is killed in the middle of all of them. */
  const killAmid = async (stop: () => Promise<() => Promise<unknown>>, event: 'relation' | 'SyncRep') => {
    const app = demoApp(deployment.url)
    // Each is about a record of its own, so that none waits for another.
    const toRefresh = await obtainTokens(app)
    const [toRevoke, toExchange, toDecide] = ['David Okafor', 'Elena Okafor', 'Lucy Okafor'].map((patient) => ({
      member: 'david',
      patient,
    }))
    const tokens = await obtainTokens(app, toRevoke)
    const { verifier, challenge } = pkce()
    const code = (await walk(app, challenge, toExchange)).callback.searchParams.get('code') ?? ''
    const asked = await walkToConsent(app, challenge, toDecide)
    const revoke = () => post(`${app.issuer}/revoke`, { token: tokens.refresh_token, client_id: app.clientId })

    deployment.balancer.only(0)
    const goOn = await stop()
    const unanswered = Promise.allSettled([
      refresh(app, toRefresh.refresh_token),
      exchange(app, code, verifier),
      revoke(),
      asked.visitor.submit(asked.page, '/consent'),
    ])
    try {
      await waiting(event, 4)
      await first.kill()
    } finally {
      await goOn()
      deployment.balancer.only(1)
    }
    expect((await unanswered).map(({ status }) => status)).toEqual(Array(4).fill('rejected'))
    return { app, toRefresh, revoked: tokens, code, verifier, challenge, visitor: asked.visitor, revoke }
  }

  /** What the other node says to those who got no answer. */
  const expectRepetition = async (met: Awaited<ReturnType<typeof killAmid>>) => {
    const { app, toRefresh, revoked, visitor, verifier, challenge } = met
    // The refresh token is good: whether or not it was used, its answer was lost.
    const refreshed = await refresh(app, toRefresh.refresh_token)
    expect(refreshed.status, JSON.stringify(refreshed.body)).toBe(200)
    expect((await refresh(app, refreshed.body.refresh_token)).status).toBe(200)
    // A code has no grace, so the app asks again; the member is still signed in.
    expect((await exchange(app, met.code, verifier)).body).toMatchObject({ error: 'invalid_grant' })
    const { callback } = await walk(app, challenge, { visitor, patient: 'Lucy Okafor' })
    const tokens = await exchange(app, callback.searchParams.get('code') ?? '', verifier)
    expect(tokens.status, JSON.stringify(tokens.body)).toBe(200)
    expect((await refresh(app, tokens.body.refresh_token)).status).toBe(200)
    // The revocation is repeated, and holds.
    expect((await met.revoke()).status).toBe(200)
    expect((await refresh(app, revoked.refresh_token)).status).toBe(400)
    const { body } = await post(`${app.issuer}/introspect`, { token: revoked.access_token }, resourceServer)
    expect(body).toEqual({ active: false })
  }

  it('is killed between using something up and storing what comes of it', { timeout: 60_000 }, async () => {
    const met = await killAmid(() => hold('lock table refresh_tokens, audit in exclusive mode'), 'relation')
    await expectRepetition(met)
    deployment.balancer.only(null)
    await first.start()
  })

  it('is killed between storing and answering', { timeout: 60_000 }, async () => {
    // Commits are on the disk and wait for a replica that never comes.
    const replica = async (name: string) => {
      await postgres.run(`alter system set synchronous_standby_names = '${name}'`)
      await postgres.run('select pg_reload_conf()')
    }
    const met = await killAmid(async () => {
      await replica('nobody')
      return () => replica('')
    }, 'SyncRep')
    await expectRepetition(met)
    deployment.balancer.only(null)
    await first.start()
  })

  it('is killed under load, one of two and both: nobody loses anything', { timeout: limit(40) }, async () => {
    const load = await startWork(deployment)
    for (let round = 0; round < rounds(1); round++) {
      await load.more(20)
      await first.kill()
      await load.more(10)
      await first.start()
      await load.more(20)
      await Promise.all([first.kill(), second.kill()])
      await Promise.all([first.start(), second.start()])
      await load.more(20)
    }
    await expectNoBreach(load)
  })

  it('that is told to stop answers what is in flight, and sends new requests elsewhere', {
    timeout: limit(40),
  }, async () => {
    const app = demoApp(deployment.url)
    const load = await startWork(deployment)
    for (let round = 0; round < rounds(1); round++) {
      const held = await obtainTokens(app)
      await load.more(20)
      const { grant_id } = JSON.parse(Buffer.from(held.access_token.split('.')[1] ?? '', 'base64url').toString())
      const goOn = await hold(`select id from grants where id = '${grant_id}' for update`)
      deployment.balancer.only(0)
      const refreshing = refresh(app, held.refresh_token)
      await waiting('transactionid', 1)
      deployment.balancer.only(null)
      const signingIn = [obtainTokens(app), obtainTokens(app, { member: 'david', patient: 'Lucy' })]

      const told = performance.now()
      const gone = first.stop()
      await pause(300)
      await goOn()
      expect((await refreshing).status).toBe(200)
      for (const tokens of signingIn) expect((await tokens).access_token).toBeTruthy()
      expect(await gone).toBe(0)
      expect(performance.now() - told).toBeLessThan(goneMs)
      const answered = deployment.balancer.targets[0]?.answered
      await load.more(20)
      expect(deployment.balancer.targets[0]?.answered).toBe(answered)
      await first.start()
    }
    await load.finish()
    expect(load.breaches()).toEqual([])
    expect(load.counts()).toMatchObject({ unavailable: 0, unanswered: 0 })
  })
})
