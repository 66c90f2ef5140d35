/** A request tried with the store failing at each of its steps in turn (R43). */
import type { failingStore } from './failing-store.ts'

/** `down`: from the nth step on the store is gone. `hiccup`: the nth step fails, and nothing else. */
export const modes = ['down', 'hiccup'] as const
type Mode = (typeof modes)[number]

type Store = ReturnType<typeof failingStore>

/** Runs `work` with the store failing from or at its nth step. True where it was long enough to be hit. */
const withFault = async (store: Store, mode: Mode, nth: number, work: () => Promise<void>): Promise<boolean> => {
  const before = store.failures()
  let steps = 0
  store.fail(() => {
    steps += 1
    return mode === 'down' ? steps >= nth : steps === nth
  })
  try {
    await work()
  } finally {
    store.fail(false)
  }
  return store.failures() > before
}

/** Tries every step of a request in turn. `request` gets what `prepare` made, and says whether it was refused by a fault. */
export const atEveryStep = async <T>(
  store: Store,
  mode: Mode,
  prepare: () => Promise<T>,
  request: (made: T) => Promise<{ status: number }>,
  afterwards: (made: T) => Promise<void>,
): Promise<number> => {
  let refused = 0
  for (let nth = 1; nth < 80; nth += 1) {
    const made = await prepare()
    let status = 0
    const hit = await withFault(store, mode, nth, async () => {
      status = (await request(made)).status
    })
    if (!hit) return refused
    if (status === 503) {
      refused += 1
      await afterwards(made)
    }
  }
  throw new Error('a request of more than 80 steps')
}
