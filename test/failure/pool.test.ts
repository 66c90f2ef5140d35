/** Nobody gets a connection to PostgreSQL, because all are held up. Two nodes with two connections each. */
import { setTimeout as pause } from 'node:timers/promises'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Deployment, startDeployment } from '../support/deployment.ts'
import { initdb } from '../support/machine.ts'
import { durable, type OwnPostgres, startPostgres } from '../support/postgres.ts'
import { expectNoBreach, expectReadiness, limit, rounds, startWork } from './stage.ts'

describe.skipIf(!initdb)('a pool that is exhausted', () => {
  let postgres: OwnPostgres
  let database: string
  let deployment: Deployment
  beforeAll(async () => {
    postgres = await startPostgres({ settings: durable })
    database = (await postgres.database()).url
    deployment = await startDeployment({ database, config: { database: { pool: { size: 2 } } } })
  })
  afterAll(async () => {
    await deployment?.close()
    await postgres?.stop()
  })

  /** Until both connections of both nodes are held up. */
  const allWait = async (): Promise<void> => {
    const question = "select 1 from pg_stat_activity where wait_event = 'relation' and application_name = 'latchkey'"
    while (((await postgres.run(question)).rowCount ?? 0) < 4) await pause(10)
  }

  it('makes 503 within five seconds, and serves again as soon as it can (R43)', { timeout: limit(25) }, async () => {
    const before = deployment.nodes.map((node) => node.pid())
    const load = await startWork(deployment)
    for (let round = 0; round < rounds(1); round++) {
      await load.more(20)
      // Whoever changes or holds a grant, a token or a short-lived record waits, and keeps a connection meanwhile.
      const holder = new pg.Client({ connectionString: database })
      await holder.connect()
      await holder.query('begin')
      await holder.query('lock table grants, refresh_tokens, short_lived in exclusive mode')
      const { unavailable } = load.counts()
      await allWait()
      await expectReadiness(deployment.nodes, false)
      while (load.counts().unavailable < unavailable + 10) await pause(50)
      await holder.end()
      await expectReadiness(deployment.nodes, true)
      await load.more(20)
    }
    await expectNoBreach(load)
    expect(deployment.nodes.map((node) => node.pid())).toEqual(before)
  })
})
