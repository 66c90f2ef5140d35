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

export const createHealth = ({ probes, log }: { probes: readonly Probe[]; log: Log }): Health => {
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

  // Whoever asks while the stores are being asked gets the same answer: the address is open to all, and asking costs a write.
  let asking: Promise<boolean> | undefined
  const ask = (): Promise<boolean> => {
    asking ??= Promise.all(probes.map(serves))
      .then((answers) => answers.every(Boolean))
      .finally(() => {
        asking = undefined
      })
    return asking
  }

  return {
    ready: async () => !draining && (await ask()) && !draining,
    drain() {
      draining = true
    },
  }
}
