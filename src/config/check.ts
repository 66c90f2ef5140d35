/** Rules between options. */
import type { Fault } from '../errors.ts'
import type { Settings } from './settings.ts'

export function check(
  _settings: Settings,
  _secrets: { literals: ReadonlySet<string> },
): { faults: Fault[]; warnings: Fault[] } {
  return { faults: [], warnings: [] }
}
