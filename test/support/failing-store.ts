import type { Dialect } from 'kysely'
import { dialectAround, type Step } from '../../src/storage/dialect-around.ts'

export type { Step }

/**
 * Which steps fail: all, none, or those that the predicate names (`step.sql` holds the statement of a query). Of those for
 * which it says `unheard`, the step is done and its answer lost.
 */
export type FailOn = boolean | ((step: Step) => boolean | 'unheard')

/**
 * A store that fails on command (R43): put `wrapDialect` between `openDatabase` and the real store.
 *
 *     const store = failingStore()
 *     const database = await openDatabase({ url, log, wrapDialect: store.wrapDialect })
 *     store.fail(true)                                                       // everything, from now on
 *     store.fail((step) => step.kind === 'query' && /refresh_tokens/.test(step.sql))
 *     store.fail(false)                                                      // well again
 */
export function failingStore() {
  let failOn: FailOn = false
  let failures = 0
  const watchers: ((failing: boolean) => void)[] = []

  return {
    wrapDialect: (dialect: Dialect): Dialect =>
      dialectAround(dialect, (step, work) => {
        // Giving a connection back always works: a driver that leaks one is another fault than this.
        const mayFail = step.kind !== 'release' && step.kind !== 'destroy'
        const fails = mayFail && (typeof failOn === 'function' ? failOn(step) : failOn)
        if (!fails) return work()
        failures++
        if (fails === 'unheard')
          return work().then(() => Promise.reject(new Error(`an answer of the store is lost (${step.kind})`)))
        return Promise.reject(new Error(`the store fails on command (${step.kind})`))
      }),
    fail(on: FailOn) {
      failOn = on
      for (const watcher of watchers) watcher(on !== false)
    },
    /** For a store that is no dialect: calls back when it is to fail, and when it is to be well again. */
    watch(watcher: (failing: boolean) => void) {
      watchers.push(watcher)
    },
    /** How many steps have failed so far. */
    failures: () => failures,
  }
}
