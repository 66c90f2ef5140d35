/** What the failure tests share: how much is done, how long things take, and what is said of a load at the end. */
import { expect } from 'vitest'
import { isReady } from '../support/balancer.ts'
import type { DeployedNode, Deployment } from '../support/deployment.ts'
import { type Load, type LoadOptions, startLoad } from '../support/load.ts'
import type { OracleOptions } from '../support/oracle.ts'

/** `npm run test:long`: the same, more often and with more clients. */
const long = process.env.LONG === '1'

/** How often a fault is made. */
export const rounds = (short: number): number => (long ? short * 8 : short)

/** For one test, whose rounds take so long at most on a busy machine. */
export const limit = (secondsEach: number, short = 1): number => (30 + secondsEach * rounds(short)) * 1000

/** Of the readiness of a node (docs/operating.md), and of how long anything hangs. */
const DEADLINE_MS = 5000
/** What a machine that others use too may take from us. */
const ROOM_MS = 1000

export const startWork = (deployment: Deployment, options: LoadOptions = {}): Promise<Load> =>
  startLoad(deployment.url, { clients: long ? 16 : 6, ...options })

/** Every node tells that it is ready, or that it is not, within the deadline. */
export async function expectReadiness(nodes: readonly DeployedNode[], ready: boolean): Promise<void> {
  const took = await Promise.all(nodes.map(({ port }) => untilReadiness(port, ready)))
  for (const ms of took) expect(ms).toBeLessThan(DEADLINE_MS + ROOM_MS)
}

async function untilReadiness(port: number, ready: boolean): Promise<number> {
  const start = performance.now()
  while (performance.now() - start < 4 * DEADLINE_MS) {
    if ((await isReady(port)) === ready) break
    await new Promise((resolve) => setTimeout(resolve, 30))
  }
  return performance.now() - start
}

/** Ends the work; nobody may have been wronged, and a fault that nobody met tests nothing. */
export async function expectNoBreach(load: Load, options?: OracleOptions): Promise<void> {
  await load.finish()
  expect(load.breaches(options)).toEqual([])
  const { unavailable, unanswered } = load.counts()
  expect(unavailable + unanswered).toBeGreaterThan(0)
}
