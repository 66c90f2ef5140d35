/**
 * Measuring in windows that take turns: one of the first contender, one of the second, and so on, and again. What the
 * machine does beside then meets all of them, and ratios within one round are fair. Which one begins changes by round.
 */

export interface Contender {
  name: string
  /** Makes ready for a window, outside of what is measured. */
  begin?(): Promise<void>
  /** One operation, from the beginning to its answer. */
  operation(): Promise<void>
  /** Microseconds of processor time so far. */
  cpu(): Promise<{ server: number; store: number }>
}

export interface Window {
  operations: number
  failures: number
  perSecond: number
  p50: number
  p99: number
  /** Microseconds per operation. */
  serverCpu: number
  storeCpu: number
  /** Share of one processor that the load took. */
  loadShare: number
}

export interface Plan {
  atATime: number
  windows: number
  seconds: number
  /** Seconds before the first window, of each contender, that do not count. */
  warmUp: number
}

/** The value below which a share of the sorted values lies. */
export const quantile = (sorted: readonly number[], share: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN

export const median = (values: readonly number[]): number => {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length / 2
  return sorted.length % 2
    ? (sorted[Math.floor(middle)] ?? Number.NaN)
    : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2
}

const measure = async (contender: Contender, atATime: number, seconds: number): Promise<Window> => {
  await contender.begin?.()
  const took: number[] = []
  let failures = 0
  let failure: unknown
  const before = await contender.cpu()
  const ownBefore = process.cpuUsage()
  const start = performance.now()
  const end = start + seconds * 1000
  const lane = async () => {
    while (performance.now() < end) {
      const began = performance.now()
      try {
        await contender.operation()
        took.push(performance.now() - began)
      } catch (error) {
        failures += 1
        failure = error
        if (failures > 50) return
      }
    }
  }
  await Promise.all(Array.from({ length: atATime }, lane))
  const elapsed = performance.now() - start
  const own = process.cpuUsage(ownBefore)
  const after = await contender.cpu()
  if (failure)
    console.error(
      `${contender.name}: ${failures} failed, for instance: ${String(failure).slice(0, 200).replaceAll('\n', ' ')}`,
    )
  took.sort((a, b) => a - b)
  const count = Math.max(1, took.length)
  return {
    operations: took.length,
    failures,
    perSecond: (took.length / elapsed) * 1000,
    p50: quantile(took, 0.5),
    p99: quantile(took, 0.99),
    serverCpu: (after.server - before.server) / count,
    storeCpu: (after.store - before.store) / count,
    loadShare: (own.user + own.system) / 1000 / elapsed,
  }
}

/** Windows by contender, each list in the order of the rounds. */
export const compare = async (contenders: readonly Contender[], plan: Plan): Promise<Map<string, Window[]>> => {
  const results = new Map<string, Window[]>(contenders.map(({ name }) => [name, []]))
  if (plan.warmUp > 0) for (const contender of contenders) await measure(contender, plan.atATime, plan.warmUp)
  for (let round = 0; round < plan.windows; round += 1) {
    for (let turn = 0; turn < contenders.length; turn += 1) {
      const contender = contenders[(round + turn) % contenders.length]
      if (contender) results.get(contender.name)?.push(await measure(contender, plan.atATime, plan.seconds))
    }
  }
  return results
}
