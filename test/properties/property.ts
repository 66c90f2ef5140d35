/**
 * What the property-based tests share: how often they run, from which seed, and what is asked of every answer.
 *
 * A usual run is short and always the same. `LONG=1` runs each property many times over, from a seed of its own.
 * What fails names its seed: `SEED=… npx vitest run --project tests test/properties` repeats it.
 */
import fc from 'fast-check'
import { expect } from 'vitest'
import type { TestServer } from '../support/server.ts'

const long = process.env.LONG === '1'
const seed = process.env.SEED ? Number(process.env.SEED) : long ? Date.now() % 2 ** 31 : 20_261_122
/** Longer than any answer takes on a busy machine: what takes longer hangs. */
const hangsAfterMs = 15_000

/** For a test with one property. */
export const timeLimit = long ? 3_600_000 : 120_000

/** Whatever is generated, the check does not throw. `runs` is the number of a usual run. */
export const hold = <T>(values: fc.Arbitrary<T>, runs: number, check: (value: T) => Promise<void>): Promise<void> =>
  fc.assert(
    fc.asyncProperty(values, check),
    // A counterexample as it was found is soon enough understood; to shrink one takes minutes against a server.
    { seed, numRuns: long ? runs * 40 : runs, timeout: hangsAfterMs, endOnFailure: true },
  )

/** A fault of ours is never the answer to an input, and nothing is answered with a page of the inside. */
export const expectSound = (answer: { status: number; headers: Headers }, what: unknown): void => {
  expect(answer.status, `${answer.status}: ${JSON.stringify(what)}`).toBeLessThan(500)
  expect(answer.headers.get('x-powered-by')).toBeNull()
}

/** What was said to a server and must never be in its log. */
export const createSecrets = () => {
  const kept = new Set<string>()
  let read = 0
  return {
    /** Notes what is long enough not to be found in a log by chance. */
    keep(...values: (string | null | undefined)[]): void {
      for (const value of values) if (value && value.length >= 16) kept.add(value)
    },
    /** Looks through what was logged since the last time: no secret, whole, and no error of ours. */
    expectNoneIn(server: TestServer): void {
      const log = server.log()
      const news = log.slice(read)
      read = log.length
      for (const secret of kept) expect(news.includes(secret), `in the log: ${secret}`).toBe(false)
      expect(news.split('\n').filter((line) => /"level":"(?:error|fatal)"/.test(line))).toEqual([])
      kept.clear()
    },
  }
}
