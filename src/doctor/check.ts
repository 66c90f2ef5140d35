/** What a check is, and what may come of it. */
import type { Examination } from './examination.ts'

/** `warned`: allowed, and worth a change. `skipped`: it could not be looked at, which `seen` explains. */
export type Outcome = 'passed' | 'failed' | 'warned' | 'skipped'

export interface Verdict {
  outcome: Outcome
  /** What the server did, or why it was not asked. */
  seen: string
}

/** What a check needs from the operator. */
export type Need = 'client' | 'member' | 'service'

export interface Check {
  /** Stable: `R6.slash`, `smart.discovery.s256`. */
  id: string
  title: string
  expected: string
  /** What to do where it fails. */
  hint: string
  /** Where it is written. */
  section: string
  needs?: Need
  run(examination: Examination): Verdict | Promise<Verdict>
}

export const passed = (seen: string): Verdict => ({ outcome: 'passed', seen })
export const failed = (seen: string): Verdict => ({ outcome: 'failed', seen })
export const warned = (seen: string): Verdict => ({ outcome: 'warned', seen })
export const skipped = (seen: string): Verdict => ({ outcome: 'skipped', seen })

/** Passed if and only if `good`. */
export const told = (good: boolean, seen: string): Verdict => (good ? passed(seen) : failed(seen))

/** Faults that were found; none of them is what should be seen. */
export const faultless = (faults: readonly string[], seen: string): Verdict =>
  faults.length === 0 ? passed(seen) : failed(faults.join('; '))

/** Thrown where a check lacks what it stands on: another check says what is wrong there. */
export class Skip extends Error {
  override name = 'Skip'
}
