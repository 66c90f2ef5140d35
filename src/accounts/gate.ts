/** A bound on work that is dear: so many at once, so many who wait, and everybody else is asked to come back. */
import { LatchkeyError } from '../errors.ts'

/** Seconds after which a caller that was turned away may try again: a full queue is worked off in about this time. */
const BUSY_RETRY_SECONDS = 2

export interface Gate {
  run<T>(work: () => Promise<T>): Promise<T>
  load(): { running: number; waiting: number }
}

/**
 * Runs at most `concurrency` pieces of work at once, in the order of arrival. Throws `busy` (503) when `queue` others wait.
 */
export function createGate(concurrency: number, queue: number): Gate {
  const waiting: (() => void)[] = []
  let running = 0

  return {
    async run<T>(work: () => Promise<T>): Promise<T> {
      if (running >= concurrency) {
        if (waiting.length >= queue) {
          throw new LatchkeyError('busy', 503, {
            message: 'too many passwords are being checked',
            retryAfter: BUSY_RETRY_SECONDS,
          })
        }
        // The one that ends hands its place over, so `running` is not counted down and up in between.
        await new Promise<void>((resolve) => waiting.push(resolve))
      } else {
        running += 1
      }
      try {
        return await work()
      } finally {
        const next = waiting.shift()
        if (next) next()
        else running -= 1
      }
    },
    load: () => ({ running, waiting: waiting.length }),
  }
}
