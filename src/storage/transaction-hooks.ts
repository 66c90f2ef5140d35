/**
 * What belongs to a running transaction beside its queries: work that must come last in it, work that must wait until it
 * is certain, and locks by name.
 */
import { sql, type Transaction } from 'kysely'
import { sha256 } from '../secrets.ts'
import type { Engine } from './engine.ts'
import type { Tables } from './tables.ts'

export interface TransactionHooks {
  engine: Engine
  before: (() => Promise<void>)[]
  last: (() => Promise<void>)[]
  after: (() => void)[]
  ended: (() => void)[]
}

const hooksOf = new WeakMap<Transaction<Tables>, TransactionHooks>()

/** Runs `hook` once the transaction is committed, in the order of the calls; never if it is rolled back. */
export function afterCommit(trx: Transaction<Tables>, hook: () => void): void {
  ofTransaction(trx).after.push(hook)
}

/** Runs `hook` at the end of the transaction, in the order of the calls; if it fails, nothing is committed. */
export function beforeCommit(trx: Transaction<Tables>, hook: () => Promise<void>): void {
  ofTransaction(trx).before.push(hook)
}

/** Runs `hook` when nothing but the commit itself can fail any more: for what cannot be taken back. */
export function lastBeforeCommit(trx: Transaction<Tables>, hook: () => Promise<void>): void {
  ofTransaction(trx).last.push(hook)
}

/** Runs `hook` when the transaction is over, however it ended. */
export function afterEnd(trx: Transaction<Tables>, hook: () => void): void {
  ofTransaction(trx).ended.push(hook)
}

/**
 * Waits until no other transaction holds this name, and holds it until the end of this one: for what no row stands for.
 * What is read afterwards is what earlier holders committed. Take names before rows, so that nobody waits in a circle.
 * On SQLite a transaction is alone anyway.
 */
export async function lockByName(trx: Transaction<Tables>, name: string): Promise<void> {
  if (ofTransaction(trx).engine === 'sqlite') return
  const key = Buffer.from(sha256(name), 'base64url').readBigInt64BE(0)
  await sql`select pg_advisory_xact_lock(${key}::bigint)`.execute(trx)
}

/** For database.ts: from here on the transaction takes hooks. Answers the lists that it will fill. */
export function collectHooks(trx: Transaction<Tables>, engine: Engine): TransactionHooks {
  const hooks: TransactionHooks = { engine, before: [], last: [], after: [], ended: [] }
  hooksOf.set(trx, hooks)
  return hooks
}

function ofTransaction(trx: Transaction<Tables>): TransactionHooks {
  const hooks = hooksOf.get(trx)
  if (!hooks) throw new TypeError('this needs the handle that database.transaction() gave')
  return hooks
}
