/** When a failed job runs again. */

/** After this many attempts a job is parked, about eleven hours after the first: then a person has to look. */
export const MAX_ATTEMPTS = 20

const FIRST_MS = 5_000
const LONGEST_MS = 3_600_000

/**
 * Milliseconds to wait after the `attempts`th attempt failed: twice as long each time up to an hour, of which a random
 * half, so that what failed together does not come back together.
 * @param random from 0 (inclusive) to 1
 */
export function retryDelay(attempts: number, random: number): number {
  const longest = Math.min(FIRST_MS * 2 ** (Math.max(attempts, 1) - 1), LONGEST_MS)
  return Math.round(longest / 2 + (longest / 2) * random)
}
