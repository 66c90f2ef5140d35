/**
 * What every backend must do, written once. A backend's test file calls these with a way to make an empty one; the
 * suites open it by URL, as often as they like, also from other processes.
 */
import type { OpenBackend } from './conformance/fixture.ts'
import { rowsConformance } from './conformance/rows.ts'
import { transactionsConformance } from './conformance/transactions.ts'

export { shortLivedConformance } from './conformance/short-lived.ts'

/** @param openEmpty for a backend whose `open` has tables already */
export function durableConformance(name: string, open: OpenBackend, openEmpty?: OpenBackend): void {
  rowsConformance(name, open, openEmpty)
  transactionsConformance(name, open)
}
