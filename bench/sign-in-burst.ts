/**
 * Refreshes while fifty members sign in at once: passwords take long, and must not make apps wait.
 *
 * A steady, light load of refreshes is measured by its latency, quiet and during bursts, window by window. The aim: the
 * p99 of a burst at most twice the quiet one. A token request may meet the two passwords that are hashed at one time.
 */
import { setTimeout as pause } from 'node:timers/promises'
import type { Member } from './member.ts'
import { type Section, table } from './report.ts'
import type { Settings } from './settings.ts'
import { type Stores, type System, startSystem } from './systems.ts'
import { median, quantile } from './windows.ts'

const burst = 50
const refreshers = 8
/** Milliseconds between two refreshes of the load: well below what any of the systems can do. */
const interval = 20

/** Latencies of refreshes, one begun every few milliseconds, until `over` is settled. */
const refreshUntil = async (members: readonly Member[], over: Promise<unknown>): Promise<number[]> => {
  const waiting = [...members]
  const took: number[] = []
  const running = new Set<Promise<void>>()
  let ended = false
  void over.finally(() => {
    ended = true
  })
  while (!ended) {
    const member = waiting.shift()
    if (member) {
      const began = performance.now()
      const work = member
        .refresh()
        .then(() => {
          took.push(performance.now() - began)
          waiting.push(member)
        })
        .finally(() => running.delete(work))
      running.add(work)
    }
    await pause(interval)
  }
  await Promise.all(running)
  return took.sort((a, b) => a - b)
}

/** Everybody stands at the page that asks for the password. */
const gather = async (members: readonly Member[]): Promise<(() => Promise<void>)[]> => {
  const ready: (() => Promise<void>)[] = []
  for (const member of members) {
    member.forget()
    ready.push(await member.approach())
  }
  return ready
}

/** And sends it, all at once; settles when each has the consent page, with the seconds that it took. */
const signInAtOnce = async (ready: readonly (() => Promise<void>)[]): Promise<number> => {
  const start = performance.now()
  await Promise.all(ready.map((signIn) => signIn()))
  return (performance.now() - start) / 1000
}

const measure = async (system: System, settings: Settings) => {
  const signing = system.members.slice(0, burst)
  const refreshing = system.members.slice(burst)
  for (const member of refreshing) await member.renew()
  await signInAtOnce(await gather(signing))
  await refreshUntil(refreshing, pause(settings.warmUp * 1000))
  const rounds: { quiet: number[]; busy: number[]; bursts: number; seconds: number }[] = []
  for (let round = 0; round < settings.windows; round += 1) {
    for (const member of refreshing) await member.renew()
    const busy: number[] = []
    let seconds = 0
    let bursts = 0
    while (seconds < settings.seconds) {
      const signedIn = signInAtOnce(await gather(signing))
      busy.push(...(await refreshUntil(refreshing, signedIn)))
      seconds += await signedIn
      bursts += 1
    }
    const quiet = await refreshUntil(refreshing, pause(seconds * 1000))
    rounds.push({ quiet, busy: busy.sort((a, b) => a - b), bursts, seconds })
  }
  return rounds
}

export const benchSignInBurst = async (settings: Settings, stores: Stores): Promise<Section[]> => {
  const lines: string[][] = []
  for (const name of settings.systems.filter((each) => each !== 'raw')) {
    const system = await startSystem(name, stores, { members: burst + refreshers, profile: settings.profile })
    try {
      const rounds = await measure(system, settings)
      const of = (take: (round: (typeof rounds)[number]) => number) => rounds.map(take)
      const shown = (values: number[]) =>
        `${median(values).toFixed(1)} (${Math.min(...values).toFixed(1)} to ${Math.max(...values).toFixed(1)})`
      lines.push([
        system.label,
        shown(of(({ quiet, busy }) => quantile(busy, 0.99) / quantile(quiet, 0.99))),
        shown(of(({ quiet }) => quantile(quiet, 0.5))),
        shown(of(({ busy }) => quantile(busy, 0.5))),
        shown(of(({ quiet }) => quantile(quiet, 0.99))),
        shown(of(({ busy }) => quantile(busy, 0.99))),
        shown(of(({ bursts, seconds }) => (burst * bursts) / seconds)),
      ])
    } finally {
      await system.stop()
    }
  }
  const head = ['system', 'p99 ratio', 'p50 quiet ms', 'p50 busy ms', 'p99 quiet ms', 'p99 busy ms', 'sign-ins/s']
  const note =
    `One refresh every ${interval} ms, quiet and while ${burst} members send their passwords at once, in turns. ` +
    'Aim: the p99 while busy at most twice the quiet one.'
  return [{ title: 'Tokens while fifty members sign in', text: `${note}\n\n${table(head, lines)}` }]
}
