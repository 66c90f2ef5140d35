/**
 * The connection to Redis: a single server, one behind Sentinels, or a Cluster.
 *
 * Owns: how long anything may take (R43), what is sent again, which faults are told and how, readiness.
 * Does not own: what is kept there (short-lived-redis.ts), the names of keys (redis-keys.ts), the library's settings
 * (redis-client.ts). Only masters are asked, about one key at a time, and nothing waits in a queue while Redis is away.
 */
import { setTimeout as pause } from 'node:timers/promises'
import type { RedisCommander } from 'ioredis'
import type { RedisSettings } from '../config/settings.ts'
import { LatchkeyError, Unavailable } from '../errors.ts'
import type { Log } from '../log.ts'
import { type Client, createClient, type Limits, mastersOf, wordsOf } from './redis-client.ts'
import { READY_KEYS } from './redis-keys.ts'
import type { Script } from './redis-scripts.ts'

const LIMITS: Limits = {
  openMs: 5000,
  operationMs: 2000,
  knownAwayMs: 500,
  connectMs: 1500,
  commandMs: 1500,
  silenceMs: 1800,
  reconnectMs: 250,
}
const RETRY_MS = 40
const CLOSE_MS = 500

export interface Redis {
  /**
   * Does the work, which must bear being done twice, as often as its time allows. Throws `Unavailable`, within two seconds,
   * when Redis does not serve.
   */
  run<T>(work: (commands: RedisCommander) => Promise<T>): Promise<T>
  /** Runs a script on one key in the same way. */
  script(script: Script, key: string, args: (string | number)[]): Promise<unknown>
  /** Throws `Unavailable` unless every master writes. */
  check(): Promise<void>
  closed(): boolean
  close(): Promise<void>
}

const unsure = new WeakSet<Error>()

/** Is it unknown whether Redis did, or will yet do, what failed with this error? */
export const mayHaveRun = (error: unknown): boolean => error instanceof Error && unsure.has(error)

/** What a server says of itself and not of the command; the command was not done. */
const FOR_NOW = /(?:^|-)(?:READONLY|LOADING|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|MOVED|ASK|BUSY|NOREPLICAS) /

const isRefusal = (error: unknown): boolean => error instanceof Error && error.name === 'ReplyError'
const isFinal = (error: unknown): boolean => isRefusal(error) && !FOR_NOW.test((error as Error).message)

/** Connects, or throws `Unavailable` with the reason after five seconds. */
export async function openRedis(options: {
  settings: RedisSettings
  log: Log
  limits?: Partial<Limits>
}): Promise<Redis> {
  const { settings, log } = options
  const limits = { ...LIMITS, ...options.limits }
  const words = wordsOf(settings)
  const client = createClient(settings, limits)
  let lastFault: string | undefined
  let awaySince: number | undefined = performance.now()
  let back = Promise.withResolvers<void>()
  let opened = false
  let closing = false

  const heard = (error: unknown): void => {
    lastFault = words(error)
    log.debug({ reason: lastFault }, 'Redis: a connection failed')
  }
  client.on('error', heard)
  client.on('node error', heard)
  client.on('sentinelError', heard)
  client.on('ready', () => {
    if (opened && awaySince !== undefined) log.info('Redis is back')
    awaySince = undefined
    lastFault = undefined
    back.resolve()
  })
  client.on('close', () => {
    if (awaySince !== undefined || closing) return
    awaySince = performance.now()
    back = Promise.withResolvers<void>()
    log.warn({ reason: lastFault }, 'Redis is away')
  })

  const fault = (error: unknown, doubtful: boolean): Error => {
    if (error instanceof LatchkeyError || error instanceof TypeError) return error
    const reasons = new Set([words(error), lastFault].filter(Boolean))
    const told = new Unavailable(`Redis does not serve: ${[...reasons].join('; ')}`)
    if (doubtful) unsure.add(told)
    return told
  }

  async function run<T>(work: (commands: RedisCommander) => Promise<T>): Promise<T> {
    const start = performance.now()
    const knownAway = awaySince !== undefined && start - awaySince > limits.operationMs
    const deadline = start + (knownAway ? limits.knownAwayMs : limits.operationMs)
    let doubtful = false
    for (;;) {
      let sent = false
      try {
        if (awaySince !== undefined) await within(deadline, back.promise)
        sent = true
        return await within(deadline, work(client))
      } catch (error) {
        doubtful ||= sent && !isRefusal(error)
        if (isFinal(error) || closing || performance.now() + RETRY_MS >= deadline) throw fault(error, doubtful)
        await pause(RETRY_MS)
      }
    }
  }

  const redis: Redis = {
    run,

    script: (script, key, args) =>
      run(async (commands) => {
        try {
          return await commands.evalsha(script.sha, 1, key, ...args)
        } catch (error) {
          // A server that was restarted, promoted or flushed does not know the script; EVAL teaches it.
          if (!isRefusal(error) || !(error as Error).message.includes('NOSCRIPT')) throw error
          return commands.eval(script.lua, 1, key, ...args)
        }
      }),

    async check() {
      const names = settings.kind === 'cluster' ? READY_KEYS : READY_KEYS.slice(0, 1)
      await Promise.all(names.map((name) => run((commands) => commands.set(name, '1', 'PX', 60_000))))
    },

    closed: () => closing,

    async close() {
      closing = true
      await Promise.race([client.quit().catch(() => {}), pause(CLOSE_MS)])
      client.disconnect()
    },
  }

  try {
    // What it rejects with says less than the error events do.
    client.connect().catch(() => {})
    await within(performance.now() + limits.openMs, back.promise)
    await redis.check()
  } catch (error) {
    closing = true
    client.disconnect()
    throw fault(lastFault ? new Error(lastFault) : error, false)
  }
  opened = true
  await tellEviction(client, log)
  return redis
}

/** The promise's outcome, or an error at the deadline; what comes later is dropped. */
const within = <T>(deadline: number, work: Promise<T>): Promise<T> =>
  new Promise((resolve, reject) => {
    const late = () => reject(new Error('no answer in time'))
    const timer = setTimeout(late, Math.max(0, deadline - performance.now()))
    work.then(resolve, reject).finally(() => clearTimeout(timer))
  })

/** A Redis that evicts would forget used marks and throttles without a word. */
async function tellEviction(client: Client, log: Log): Promise<void> {
  for (const master of mastersOf(client)) {
    const policy = await evictionOf(master)
    const { host, port } = master.options
    const at = `${host}:${port}`
    if (policy === undefined) {
      log.debug({ at }, 'Redis does not tell its maxmemory-policy (INFO and CONFIG are refused); it must be noeviction')
    } else if (policy !== 'noeviction') {
      log.warn(
        { at, policy },
        'Redis evicts when memory is full, used codes and throttles too: set maxmemory-policy noeviction',
      )
    }
  }
}

async function evictionOf(master: RedisCommander): Promise<string | undefined> {
  const info = await master.info('memory').catch(() => '')
  const told = /^maxmemory_policy:(\S+)/m.exec(info)?.[1]
  if (told) return told
  const config = (await master.config('GET', 'maxmemory-policy').catch(() => [])) as string[]
  return config[1]
}
