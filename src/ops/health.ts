/**
 * Health for orchestrators: `/healthz` (the process lives) and `/readyz` (it can serve).
 *
 * Owns: the two answers. Does not own: draining (server.ts), or how a store is asked (each probe). Reasons go to the log,
 * never to the caller.
 */
import type { Log } from '../log.ts'

/** Something without which nobody can be served. */
export interface Probe {
  /** For the log. */
  name: string
  /** Rejects with the reason if it does not serve. */
  check(): Promise<unknown>
}

export interface Health {
  /** False as soon as a probe fails, or does not answer in three seconds, or the server is going down. */
  ready(): Promise<boolean>
  /** From now on `ready` is false. */
  drain(): void
}

const PATIENCE_MS = 3000
const FRESH_MS = 250

export const createHealth = (deps: {
  probes: readonly Probe[]
  log: Log
  /** Milliseconds that no change of the clock touches. */
  elapsed?: () => number
}): Health => {
  const { probes, log, elapsed = () => performance.now() } = deps
  let draining = false

  const serves = async ({ name, check }: Probe): Promise<boolean> => {
    const late = Promise.withResolvers<never>()
    const timer = setTimeout(() => late.reject(new Error('no answer in three seconds')), PATIENCE_MS)
    try {
      await Promise.race([check(), late.promise])
      return true
    } catch (error) {
      log.error({ err: error, probe: name }, `not ready: ${name} does not serve`)
      return false
    } finally {
      clearTimeout(timer)
    }
  }

  // One answer for all who ask within a quarter of a second: the address is open to everybody, and asking costs a write.
  let asked: { answer: Promise<boolean>; at: number } | undefined
  const ask = (): Promise<boolean> => {
    if (!asked || elapsed() - asked.at >= FRESH_MS)
      asked = { answer: Promise.all(probes.map(serves)).then((answers) => answers.every(Boolean)), at: elapsed() }
    return asked.answer
  }

  return {
    ready: async () => !draining && (await ask()) && !draining,
    drain() {
      draining = true
    },
  }
}
