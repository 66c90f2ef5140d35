import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { Unavailable } from '../../src/errors.ts'
import { patiently, withPatience } from '../../src/storage/patience.ts'

const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms))
const step = (ms: number, always = false) => patiently(() => sleep(ms), { always })

describe('patience with the store', () => {
  beforeEach(() => {
    vi.useFakeTimers()
  })
  afterEach(() => {
    vi.useRealTimers()
  })
  const run = async (work: () => Promise<unknown>): Promise<unknown> => {
    const done = work().then(
      () => 'done',
      (error) => error,
    )
    await vi.advanceTimersByTimeAsync(60_000)
    return done
  }

  it('ends when the steps of one request have taken a second and a half together (R43)', async () => {
    const steps = async (...all: number[]) => {
      for (const ms of all) await step(ms)
    }
    expect(await run(() => withPatience(() => steps(700, 700, 2500)))).toBe('done')
    expect(await run(() => withPatience(() => steps(700, 700, 700, 1)))).toBeInstanceOf(Unavailable)
  })

  it('counts what runs side by side once, and not what is no step', async () => {
    const side = () => Promise.all([step(1400), step(1400), step(1400)])
    expect(await run(() => withPatience(() => side().then(() => step(1))))).toBe('done')
    const slowly = async () => {
      await step(1400)
      await sleep(5000)
      await step(1)
    }
    expect(await run(() => withPatience(slowly))).toBe('done')
  })

  it('lets what was begun be ended, and does not bind what is outside of requests', async () => {
    const undoing = async () => {
      await step(2500)
      await step(1, true)
    }
    expect(await run(() => withPatience(undoing))).toBe('done')
    expect(await run(() => step(5000).then(() => step(5000)))).toBe('done')
  })
})
