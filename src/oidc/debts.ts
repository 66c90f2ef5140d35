/**
 * What one request used up, given back when a fault of ours spoils its answer (R43): an app or a member then presents the
 * same thing again, and it works. While the store cannot be told, the debt is kept in memory and paid when next asked for.
 */
import { Provider } from './engine.ts'
import { stateOf } from './request-state.ts'

interface Debts<T> {
  /** Notes that the running request uses up `id`, and what to give back if its answer is spoilt. */
  incur(id: string, what: T): void
  /** Gives back what is still owed of `id`. */
  settle(id: string): Promise<void>
}

export const createDebts = <T>(pay: (id: string, what: T) => Promise<void>): Debts<T> => {
  const owed = new Map<string, T>()

  const settle = async (id: string): Promise<void> => {
    const what = owed.get(id)
    if (what === undefined) return
    await pay(id, what)
    owed.delete(id)
  }

  return {
    settle,
    incur(id, what) {
      stateOf(Provider.ctx?.req).spoilt.push(async () => {
        owed.set(id, what)
        await settle(id)
      })
    },
  }
}
