/** An assertion counts once, on the durable store and on Redis (R13). */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { demonstrationApp } from '../support/demonstration-app.ts'
import { assertionOf, type ClientKey, carried, demonstrationKey, makeKey } from '../support/key-client.ts'
import { redisServer } from '../support/machine.ts'
import { type RedisProcess, startRedis } from '../support/redis.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { post } from '../support/wire.ts'

/** Of `many` that come at once, how many are answered with a token; and what the others are told. */
const race = async (token: string, key: ClientKey, many = 30): Promise<number> => {
  const presented = carried(await assertionOf(key, { clientId: 'demo-service', audience: token }))
  const fields = { grant_type: 'client_credentials', scope: 'system/Patient.rs', ...presented }
  const answers = await Promise.all(Array.from({ length: many }, () => post(token, fields)))
  const refused = answers.filter(({ status }) => status !== 200)
  for (const { status, body } of refused) expect([status, body.error]).toEqual([401, 'invalid_client'])
  return answers.length - refused.length
}

describe('on the durable store', () => {
  let server: TestServer
  let key: ClientKey
  beforeAll(async () => {
    key = await makeKey('ES384')
    const jwks = { keys: [key.publicJwk] }
    server = await startServer({
      change: ({ plans }) =>
        plans[0]?.environments[0]?.demonstration?.apps.push(
          ...['ward', 'warden'].map((clientId) =>
            demonstrationApp({ clientId, kind: 'service', jwks, scopes: ['system/Patient.rs'] }),
          ),
        ),
    })
  })
  afterAll(() => server.close())

  it('one of many is answered [SMART asymmetric.jti-once]', async () => {
    const token = `${server.url}/prairie/sandbox/token`
    for (const alg of ['ES384', 'RS384'] as const)
      expect(await race(token, await demonstrationKey('demo-service', alg))).toBe(1)
  })

  it('a client whose id begins that of another uses up nothing of that one', async () => {
    const token = `${server.url}/prairie/sandbox/token`
    const ask = async (clientId: string, jti: string) => {
      const presented = carried(await assertionOf(key, { clientId, audience: token }, { claims: { jti } }))
      return (await post(token, { grant_type: 'client_credentials', scope: 'system/Patient.rs', ...presented })).status
    }
    expect(await ask('ward', 'en-1')).toBe(200)
    expect(await ask('warden', '-1')).toBe(200)
    expect(await ask('warden', '-1')).toBe(401)
  })
})

describe.skipIf(!redisServer)('on Redis', { timeout: 60_000 }, () => {
  let redis: RedisProcess
  let server: TestServer
  beforeAll(async () => {
    redis = await startRedis()
    server = await startServer({
      change: (settings) => {
        settings.redis = redis.settings
      },
    })
  })
  afterAll(async () => {
    await server?.close()
    await redis?.stop()
  })

  it('one of many is answered, and the id is kept there [SMART asymmetric.jti-once]', async () => {
    const token = `${server.url}/prairie/sandbox/token`
    for (let i = 0; i < 3; i += 1) expect(await race(token, await demonstrationKey('demo-service', 'ES384'))).toBe(1)
    expect(await redis.command('keys', 'lk:prairie/sandbox:r:ReplayDetection:*')).not.toBe('')
  })
})
