/**
 * A deployment as an operator has it: several server processes with one configuration, and a balancer before them.
 *
 *     const deployment = await startDeployment({ database: url, redis: { nodes: ['127.0.0.1:6379'] } })
 *     deployment.url                      // people and apps come here, and reach any node
 *     await deployment.nodes[0].kill()
 *     await deployment.nodes[0].start()
 *     await deployment.roll({ checkout })  // one node after the other, to another release
 *     await deployment.close()
 *
 * The processes are the program that `npm start` runs, with the demonstration; they end with the test's process.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { parse } from 'yaml'
import { type Balancer, isReady, startBalancer } from './balancer.ts'
import { freePort } from './port.ts'

const HERE = join(import.meta.dirname, '../..')
const START_MS = 60_000

export interface DeploymentOptions {
  /** How many; two by default. */
  nodes?: number
  /** The durable store's URL; by default a SQLite file, which is for one node only. */
  database?: string
  /** `redis` as a configuration file has it; by default the database keeps what is short-lived. */
  redis?: Record<string, unknown> | null
  /** Where the program is that the nodes run; by default this one. */
  checkout?: string
  /** Further sections of the configuration file, in place of the demonstration's. */
  config?: Record<string, unknown>
}

export interface DeployedNode {
  /** In the audit trail. */
  name: string
  port: number
  pid(): number
  running(): boolean
  /** Everything it wrote, over all its lives. */
  log(): string
  /** Starts it where it does not run, and waits until it can serve. */
  start(options?: { checkout?: string }): Promise<void>
  /** Asks it to go, as an orchestrator does (SIGTERM); answers the exit code when it is gone. */
  stop(): Promise<number | null>
  /** Sends a signal, SIGKILL by default; one that ends a process is waited for. */
  kill(signal?: NodeJS.Signals): Promise<void>
}

export interface Deployment {
  /** `publicUrl`: the balancer. */
  url: string
  /** Configuration, and the store where that is a file. */
  folder: string
  nodes: DeployedNode[]
  balancer: Balancer
  /** Replaces one node after the other: each stops, starts, and takes part again before the next one goes. */
  roll(options?: { checkout?: string }): Promise<void>
  close(): Promise<void>
}

/** Starts everything; settles when every node takes part. */
export async function startDeployment(options: DeploymentOptions = {}): Promise<Deployment> {
  const folder = mkdtempSync(join(tmpdir(), 'latchkey-deployment-'))
  const [port, ...ports] = await freePorts(1 + (options.nodes ?? 2))
  const url = `http://localhost:${port}`
  const file = join(folder, 'latchkey.yaml')
  const checkout = options.checkout ?? HERE
  const demonstration = parse(readFileSync(join(checkout, 'config/development.yaml'), 'utf8'))
  const config = {
    ...demonstration,
    publicUrl: url,
    trustedProxies: ['127.0.0.1'],
    redis: options.redis ?? null,
    // Many simulated people are few, and all come from here.
    signIn: { failuresPerAccountAndAddress: 100, failuresPerAddress: 10_000 },
    ...options.config,
    database: {
      url: options.database ?? `sqlite:${join(folder, 'latchkey.db')}`,
      ...(options.config?.database as object | undefined),
    },
  }
  // What is JSON is YAML.
  writeFileSync(file, JSON.stringify(config))

  const nodes = ports.map((each, i) => createNode({ name: `node-${i + 1}`, port: each, file, checkout }))
  const balancer = await startBalancer(port as number, ports)
  const close = async () => {
    await Promise.all(nodes.map((node) => node.kill()))
    await balancer.close()
    rmSync(folder, { recursive: true, force: true })
  }
  const takesPart = async (index: number) => {
    while (!balancer.targets[index]?.ready) await pause(20)
  }

  try {
    await Promise.all(nodes.map((node) => node.start()))
    await Promise.all(nodes.map((_, i) => takesPart(i)))
  } catch (error) {
    await close()
    throw error
  }
  return {
    url,
    folder,
    nodes,
    balancer,
    async roll(change) {
      for (const [i, node] of nodes.entries()) {
        await node.stop()
        await node.start(change)
        await takesPart(i)
      }
    },
    close,
  }
}

/** Distinct, all free at the same time. */
async function freePorts(count: number): Promise<number[]> {
  const found = new Set<number>()
  while (found.size < count) found.add(await freePort())
  return [...found]
}

function createNode(options: { name: string; port: number; file: string; checkout: string }): DeployedNode {
  const { name, port, file } = options
  let { checkout } = options
  let child: ChildProcess | undefined
  let said = ''
  const running = () => child !== undefined && child.exitCode === null && child.signalCode === null

  const gone = async (): Promise<number | null> => {
    if (child && running()) await once(child, 'exit')
    return child?.exitCode ?? null
  }

  return {
    name,
    port,
    pid: () => child?.pid ?? 0,
    running,
    log: () => said,

    async start(change) {
      if (running()) return
      checkout = change?.checkout ?? checkout
      // It ends with this process, whatever ends that.
      const args = ['--pdeathsig', 'KILL', process.execPath, 'src/main.ts']
      const env = { PATH: process.env.PATH, LATCHKEY_CONFIG: file, PORT: String(port), LATCHKEY_NODE: name }
      const started = spawn('setpriv', args, { cwd: checkout, env, stdio: ['ignore', 'pipe', 'pipe'] })
      child = started
      const before = said.length
      for (const stream of [started.stdout, started.stderr]) stream.on('data', (chunk) => (said += String(chunk)))
      const deadline = Date.now() + START_MS
      while (!(await isReady(port))) {
        const told = () => said.slice(before).slice(-2000)
        if (!running()) throw new Error(`${name} ended with ${started.exitCode ?? started.signalCode}: ${told()}`)
        if (Date.now() > deadline) throw new Error(`${name} is not ready: ${told()}`)
        await pause(30)
      }
    },

    async stop() {
      child?.kill('SIGTERM')
      return gone()
    },

    async kill(signal = 'SIGKILL') {
      child?.kill(signal)
      if (signal !== 'SIGSTOP' && signal !== 'SIGCONT') await gone()
    },
  }
}
