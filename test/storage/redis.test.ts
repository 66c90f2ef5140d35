import { describe } from 'vitest'
import { redisServer } from '../support/machine.ts'
import { startRedis } from '../support/redis.ts'
import { shortLivedConformance } from './conformance.ts'

describe.skipIf(!redisServer)('Redis', () => {
  shortLivedConformance('a single Redis', async () => {
    const { url, stop } = await startRedis()
    return { url, dispose: stop }
  })
})
