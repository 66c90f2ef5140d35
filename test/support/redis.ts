/**
 * Real Redis servers, thrown away afterwards: a single one, a master with a replica and three Sentinels, a Cluster.
 *
 *     const redis = await startRedis()
 *     const { store, close } = await openShortLived(redis.url)
 *     await redis.stop()
 *
 * Every write is synchronized before it is answered, so that what was acknowledged can be asked for after a kill.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { promisify } from 'node:util'
import type { RedisSettings } from '../../src/config/settings.ts'
import { redisServer } from './machine.ts'
import { redisSettings, redisSettingsOf } from './redis-settings.ts'
import { freePort } from './server.ts'

const run = promisify(execFile)

export interface RedisProcess {
  port: number
  url: string
  settings: RedisSettings
  pid(): number
  /** A command as `redis-cli` sends it; answers its words. */
  command(...words: string[]): Promise<string>
  /** Sends a signal: SIGSTOP, SIGCONT, SIGKILL. */
  signal(name: NodeJS.Signals): void
  /** Starts it again on what it wrote, after it ended. */
  start(): Promise<void>
  /** Ends it and removes its files. */
  stop(): Promise<void>
}

export interface RedisGroup {
  url: string
  settings: RedisSettings
  /** The servers that hold records. */
  servers: RedisProcess[]
  stop(): Promise<void>
}

export interface RedisOptions {
  /** Lines of redis.conf. */
  lines?: string[]
  /** Arguments of `redis-cli`, where a server asks for more than its port. */
  access?: string[]
  sentinel?: boolean
}

export async function startRedis(options: RedisOptions = {}): Promise<RedisProcess> {
  if (!redisServer) throw new Error('Redis is missing')
  const program = redisServer
  const folder = mkdtempSync(join(tmpdir(), 'latchkey-redis-'))
  const port = await freePort()
  const common = ['bind 127.0.0.1', `port ${port}`, `dir ${folder}`, 'daemonize no', 'loglevel warning', 'save ""']
  const own = options.sentinel ? [] : ['appendonly yes', 'appendfsync always', 'maxmemory-policy noeviction']
  writeFileSync(join(folder, 'redis.conf'), `${[...common, ...own, ...(options.lines ?? [])].join('\n')}\n`)
  let child: ChildProcess

  const command = async (...words: string[]) => {
    const { stdout } = await run('redis-cli', ['-p', String(port), ...(options.access ?? []), ...words], {
      timeout: 5000,
    })
    return stdout.trim()
  }

  const start = async () => {
    // It ends with this process, whatever ends that.
    const args = [
      '--pdeathsig',
      'KILL',
      program,
      join(folder, 'redis.conf'),
      ...(options.sentinel ? ['--sentinel'] : []),
    ]
    const started = spawn('setpriv', args, { stdio: ['ignore', 'pipe', 'pipe'] })
    let output = ''
    for (const stream of [started.stdout, started.stderr]) stream.on('data', (chunk) => (output += String(chunk)))
    child = started
    while (!(await command('ping').catch(() => '')).includes('PONG')) {
      if (started.exitCode !== null) throw new Error(`Redis did not start: ${output}`)
      await pause(20)
    }
  }
  await start()

  return {
    port,
    url: `redis://127.0.0.1:${port}`,
    settings: redisSettings({ nodes: [{ host: '127.0.0.1', port }] }),
    pid: () => child.pid ?? 0,
    command,
    signal: (name) => child.kill(name),
    async start() {
      if (child.exitCode === null && child.signalCode === null) await once(child, 'close')
      await start()
    },
    async stop() {
      if (child.exitCode === null && child.signalCode === null) {
        const closed = once(child, 'close')
        child.kill('SIGKILL')
        await closed
      }
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

const stopAll = async (all: RedisProcess[]) => void (await Promise.all(all.map((each) => each.stop())))

export interface SentinelGroup extends RedisGroup {
  /** A command to a Sentinel. */
  command(...words: string[]): Promise<string>
  /** The master, as the Sentinels see it, and the other one, once that follows it. */
  roles(): Promise<{ master: RedisProcess; replica: RedisProcess }>
}

/** A master, a replica and three Sentinels that fail over within three seconds or so. */
export async function startSentinel(): Promise<SentinelGroup> {
  const master = await startRedis()
  const replica = await startRedis({ lines: [`replicaof 127.0.0.1 ${master.port}`, 'repl-diskless-sync-delay 0'] })
  while (!(await master.command('info', 'replication')).includes('state=online')) await pause(50)
  const lines = [
    `sentinel monitor latchkey 127.0.0.1 ${master.port} 2`,
    'sentinel down-after-milliseconds latchkey 1500',
    'sentinel failover-timeout latchkey 1000',
  ]
  const sentinels = await Promise.all([1, 2, 3].map(() => startRedis({ sentinel: true, lines })))
  const [first] = sentinels as [RedisProcess]
  const known = async () => {
    const told = await first.command('sentinel', 'master', 'latchkey')
    return /num-slaves\n1\n/.test(told) && /num-other-sentinels\n2\n/.test(told)
  }
  while (!(await known())) await pause(50)
  const url = `redis+sentinel://${sentinels.map(({ port }) => `127.0.0.1:${port}`).join(',')}/latchkey`
  const servers = [master, replica]
  return {
    url,
    settings: redisSettingsOf(url),
    servers,
    command: first.command,
    async roles() {
      for (;;) {
        const told = await first.command('sentinel', 'get-master-addr-by-name', 'latchkey')
        const known = servers.find(({ port }) => told.endsWith(`\n${port}`))
        const other = servers.find((each) => each !== known)
        const followed = known && (await known.command('info', 'replication').catch(() => '')).includes('state=online')
        if (followed && other) return { master: known, replica: other }
        await pause(50)
      }
    },
    stop: () => stopAll([...sentinels, ...servers]),
  }
}

/** Three masters that share the slots. */
export async function startCluster(): Promise<RedisGroup> {
  const servers = await Promise.all(
    [1, 2, 3].map(async () => {
      const lines = [
        'cluster-enabled yes',
        `cluster-port ${await freePort()}`,
        'cluster-node-timeout 1000',
        'cluster-require-full-coverage no',
      ]
      return startRedis({ lines })
    }),
  )
  const nodes = servers.map(({ port }) => `127.0.0.1:${port}`)
  await run('redis-cli', ['--cluster', 'create', ...nodes, '--cluster-yes'], { timeout: 30_000 })
  for (const server of servers) {
    while (!(await server.command('cluster', 'info')).includes('cluster_state:ok')) await pause(50)
  }
  const url = `redis+cluster://${nodes.join(',')}`
  return { url, settings: redisSettingsOf(url), servers, stop: () => stopAll(servers) }
}
