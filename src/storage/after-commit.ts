/** Work that must wait until a transaction is certain, for instance a line of the audit stream. */
import type { Transaction } from 'kysely'
import type { Tables } from './tables.ts'

type Hook = () => void

const hooksOf = new WeakMap<Transaction<Tables>, Hook[]>()

/** Runs `hook` once the transaction is committed, in the order of the calls; never if it is rolled back. */
export function afterCommit(trx: Transaction<Tables>, hook: Hook): void {
  const hooks = hooksOf.get(trx)
  if (!hooks) throw new TypeError('afterCommit needs the handle that database.transaction() gave')
  hooks.push(hook)
}

/** For database.ts: from here on the transaction takes hooks. Answers the list that it will fill. */
export function collectHooks(trx: Transaction<Tables>): readonly Hook[] {
  const hooks: Hook[] = []
  hooksOf.set(trx, hooks)
  return hooks
}
