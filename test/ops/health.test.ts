import { Writable } from 'node:stream'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { createLog } from '../../src/log.ts'
import { createHealth } from '../../src/ops/health.ts'

describe('readiness', () => {
  let lines = ''
  const destination = new Writable({
    write(chunk, _encoding, done) {
      lines += String(chunk)
      done()
    },
  })
  const log = createLog({ level: 'info', destination })
  let time = 0
  const elapsed = () => time
  const well = { name: 'the database', check: async () => 1 }

  beforeEach(() => {
    lines = ''
  })
  afterEach(() => {
    vi.useRealTimers()
  })

  it('is there while every probe answers, and no longer while the server goes down', async () => {
    const health = createHealth({ probes: [well, well], log })
    expect(await health.ready()).toBe(true)
    health.drain()
    expect(await health.ready()).toBe(false)
    expect(lines).toBe('')
  })

  it('is gone while one probe fails, which the log tells with its reason', async () => {
    const faults: string[] = ['no route to host']
    const check = async () => {
      const fault = faults.pop()
      if (fault) throw new Error(fault)
    }
    const health = createHealth({ probes: [well, { name: 'Redis', check }], log, elapsed })
    expect(await health.ready()).toBe(false)
    expect(lines).toMatch(/no route to host.*not ready: Redis does not serve/)
    time += 1000
    expect(await health.ready()).toBe(true)
  })

  it('asks four times a second at most, however many want to know', async () => {
    let asked = 0
    const check = async () => {
      asked++
    }
    const health = createHealth({ probes: [{ name: 'the database', check }], log, elapsed })
    expect(await Promise.all([health.ready(), health.ready(), health.ready()])).toEqual([true, true, true])
    time += 249
    expect(await health.ready()).toBe(true)
    expect(asked).toBe(1)
    time += 1
    expect(await health.ready()).toBe(true)
    expect(asked).toBe(2)
  })

  it('does not wait for a probe that never answers', async () => {
    vi.useFakeTimers()
    const health = createHealth({ probes: [well, { name: 'Redis', check: () => new Promise(() => {}) }], log })
    const ready = health.ready()
    await vi.advanceTimersByTimeAsync(3000)
    expect(await ready).toBe(false)
    expect(lines).toMatch(/no answer in three seconds/)
  })
})
