/**
 * How long one request may wait for the durable store in all (R43: nothing hangs). Each step has a limit of its own, and
 * there are many: once they have taken a second and a half together, no further one is begun. The last one may take as long as a
 * statement or a connection may, so that the request ends within five.
 *
 * What is done outside of any request (jobs, migrations, commands) waits as long as it likes.
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import { Unavailable } from '../errors.ts'

const PATIENCE_MS = 1500

interface Account {
  spent: number
  /** Steps that run now, and since when there is one. */
  running: number
  since: number
}

const accounts = new AsyncLocalStorage<Account>()

/** Does a request's work, or another piece that may take as long as one. */
export const withPatience = <T>(work: () => T): T => accounts.run({ spent: 0, running: 0, since: 0 }, work)

/** Counts the time of a step; throws `Unavailable` in its place once there is no patience left for it. */
export async function patiently<T>(step: () => Promise<T>, options: { always: boolean }): Promise<T> {
  const account = accounts.getStore()
  if (!account) return step()
  const start = performance.now()
  const spent = account.spent + (account.running > 0 ? start - account.since : 0)
  if (spent > PATIENCE_MS && !options.always)
    throw new Unavailable(`the store has taken ${Math.round(spent)} ms for one request`)
  if (account.running++ === 0) account.since = start
  try {
    return await step()
  } finally {
    if (--account.running === 0) account.spent += performance.now() - account.since
  }
}
