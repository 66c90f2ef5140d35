/**
 * What every backend must do, written once. A backend's test file calls these with a way to make an empty one; the
 * suites open it by URL, as often as they like, also from other processes.
 */
import type { OpenBackend } from './conformance/fixture.ts'
import { rowsConformance } from './conformance/rows.ts'
import { transactionsConformance } from './conformance/transactions.ts'

export { shortLivedConformance } from './conformance/short-lived.ts'

export function durableConformance(name: string, open: OpenBackend): void {
  rowsConformance(name, open)
  transactionsConformance(name, open)
}
