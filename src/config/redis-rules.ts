/** The rules between options of Redis, and what is allowed there and unsafe. */
import type { Fault } from '../errors.ts'
import type { Settings } from './settings.ts'
import { isLoopback } from './urls.ts'

/** Options that must not stand in the file of a server that the world can reach. */
export const REDIS_SECRETS: readonly string[] = ['redis.password', 'redis.sentinel.password', 'redis.tls.key']

export function redisFaults({ redis }: Settings): Fault[] {
  if (redis === null) return []
  const faults: Fault[] = []
  const { kind, nodes, sentinel, username, password, db, tls } = redis
  if (kind === 'single' && nodes.length > 1) {
    faults.push({ path: 'redis.nodes', message: 'must be one server; for more, say kind: sentinel or kind: cluster' })
  }
  if (kind === 'sentinel' && sentinel === null) {
    faults.push({
      path: 'redis.sentinel',
      message: 'is required for the kind sentinel: a group with the master’s name',
    })
  }
  if (kind !== 'sentinel' && sentinel !== null) {
    faults.push({ path: 'redis.sentinel', message: 'must be left out unless kind is sentinel' })
  }
  if (kind === 'cluster' && db !== 0) {
    faults.push({ path: 'redis.db', message: 'must be 0: a Cluster has no other' })
  }
  if (username !== null && password === null) {
    faults.push({ path: 'redis.password', message: 'is required where there is a username' })
  }
  if (sentinel !== null && sentinel.username !== null && sentinel.password === null) {
    faults.push({ path: 'redis.sentinel.password', message: 'is required where there is a username' })
  }
  if (tls !== null && (tls.certificate === null) !== (tls.key === null)) {
    const path = tls.key === null ? 'redis.tls.key' : 'redis.tls.certificate'
    faults.push({ path, message: 'is required: a certificate and its key go together' })
  }
  return faults
}

export function redisWarnings({ redis }: Settings): Fault[] {
  if (redis === null) return []
  const elsewhere = redis.nodes.some(({ host }) => !isLoopback(`http://${host.includes(':') ? `[${host}]` : host}`))
  if (!elsewhere) return []
  const warnings: Fault[] = []
  if (redis.tls === null) {
    const message = 'is not set: the password, and who signs in when, cross the network in the clear'
    warnings.push({ path: 'redis.tls', message })
  }
  if (redis.password === null && redis.tls?.certificate == null) {
    const message = 'is not set: whoever reaches Redis can make used codes good again and lift throttles'
    warnings.push({ path: 'redis.password', message })
  }
  return warnings
}
