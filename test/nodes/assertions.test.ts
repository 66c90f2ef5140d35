/** Assertions where several servers answer for one issuer: what one has taken, the other takes no more (R13). */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Deployment, startDeployment } from '../support/deployment.ts'
import { assertionOf, carried, demonstrationKey } from '../support/key-client.ts'
import { initdb } from '../support/machine.ts'
import { type OwnPostgres, startPostgres } from '../support/postgres.ts'
import { post } from '../support/wire.ts'

describe.skipIf(!initdb)('two servers on PostgreSQL', { timeout: 120_000 }, () => {
  let postgres: OwnPostgres
  let deployment: Deployment
  beforeAll(async () => {
    postgres = await startPostgres()
    deployment = await startDeployment({ database: (await postgres.database({ empty: true })).url })
  }, 120_000)
  afterAll(async () => {
    await deployment?.close()
    await postgres?.stop()
  })

  it('answer one of many that bring the same assertion at once [SMART asymmetric.jti-once]', async () => {
    const audience = `${deployment.url}/prairie/sandbox/token`
    const key = await demonstrationKey('demo-service', 'ES384')
    for (let round = 0; round < 3; round += 1) {
      const presented = carried(await assertionOf(key, { clientId: 'demo-service', audience }))
      const fields = { grant_type: 'client_credentials', scope: 'system/Patient.rs', ...presented }
      const answers = await Promise.all(Array.from({ length: 24 }, () => post(audience, fields)))
      expect(answers.filter(({ status }) => status === 200)).toHaveLength(1)
      expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200, 401]))
    }
  })
})
