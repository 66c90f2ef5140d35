/**
 * What one request used up, given back when a fault of ours spoils its answer (R43): an app or a member then presents the
 * same thing again, and it works. While the store cannot be told, the debt is kept in memory: it is paid as soon as the
 * store is back, since what is presented again may reach another server, and at the latest when it is asked for here.
 */
import { withPatience } from '../storage/patience.ts'
import { Provider } from './engine.ts'
import { stateOf } from './request-state.ts'

interface Debts<T> {
  /**
   * Notes that the running request uses up `id`, and what to give back if its answer is spoilt. To be noted before it is
   * done: of what fails on the way nobody knows whether it was.
   */
  incur(id: string, what: T): void
  /** Gives back what is still owed of `id`, to several requests maybe. */
  settle(id: string): Promise<void>
}

const RETRY_MS = 250
/** More than this at once is a long outage under load; the oldest are dropped. */
const MOST = 10_000

export const createDebts = <T>(pay: (id: string, what: T) => Promise<void>): Debts<T> => {
  const owed = new Map<string, Set<T>>()
  let timer: NodeJS.Timeout | undefined

  const settle = async (id: string): Promise<void> => {
    for (const what of owed.get(id) ?? []) {
      await pay(id, what)
      owed.get(id)?.delete(what)
    }
    if (owed.get(id)?.size === 0) owed.delete(id)
  }

  const later = (): void => {
    if (timer || owed.size === 0) return
    timer = setTimeout(async () => {
      try {
        // The request is over, and with it what it had of patience.
        for (const id of [...owed.keys()]) await withPatience(() => settle(id))
      } catch {
        // The store is still away: the next round tries again.
      }
      timer = undefined
      later()
    }, RETRY_MS).unref()
  }

  return {
    settle,
    incur(id, what) {
      stateOf(Provider.ctx?.req).spoilt.push(async () => {
        owed.set(id, (owed.get(id) ?? new Set()).add(what))
        for (const oldest of owed.keys()) {
          if (owed.size <= MOST) break
          owed.delete(oldest)
        }
        try {
          await settle(id)
        } finally {
          later()
        }
      })
    },
  }
}
