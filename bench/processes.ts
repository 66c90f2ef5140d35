/**
 * Servers under test, each in a process of its own, and how much processor time they and their stores have used.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { request } from 'node:http'
import { fileURLToPath } from 'node:url'

const probe = new URL('probe.ts', import.meta.url).href

export interface ServerProcess {
  /** Microseconds of processor time so far. */
  cpu(): Promise<number>
  stop(): Promise<void>
}

const statusOf = (port: number, path: string, host: string): Promise<number> =>
  new Promise((resolve, reject) => {
    const sent = request({ host: '127.0.0.1', port, path, headers: { host } }, (response) => {
      response.resume()
      resolve(response.statusCode ?? 0)
    })
    sent.on('error', reject)
    sent.end()
  })

/** Starts a script that serves HTTP, and waits until `ready` is answered. */
export const startServerProcess = async (options: {
  script: string
  args?: readonly string[]
  env?: Record<string, string>
  port: number
  host: string
  ready: string
  /** Where V8 leaves a profile when the process ends. */
  profile?: string | undefined
}): Promise<ServerProcess> => {
  const script = fileURLToPath(new URL(options.script, import.meta.url))
  const profile = options.profile ? ['--cpu-prof', `--cpu-prof-dir=${options.profile}`] : []
  const child = spawn(process.execPath, [...profile, '--import', probe, script, ...(options.args ?? [])], {
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    env: { PATH: process.env.PATH, UV_THREADPOOL_SIZE: '8', NODE_ENV: 'production', ...options.env },
  })
  let complaint = ''
  child.stderr?.on('data', (chunk) => {
    complaint = (complaint + String(chunk)).slice(-4000)
  })
  const answered = () => statusOf(options.port, options.ready, options.host).catch(() => 0)
  while ((await answered()) !== 200) {
    if (child.exitCode !== null) throw new Error(`${options.script} did not start: ${complaint}`)
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  return { cpu: () => cpuOf(child), stop: () => stop(child) }
}

let questions = 0
const cpuOf = (child: ChildProcess): Promise<number> =>
  new Promise((resolve, reject) => {
    const id = ++questions
    const heard = (message: unknown) => {
      const { id: answered, cpu } = message as { id: number; cpu: NodeJS.CpuUsage }
      if (answered !== id) return
      child.off('message', heard)
      resolve(cpu.user + cpu.system)
    }
    child.on('message', heard)
    child.send(id, (error) => error && reject(error))
  })

const stop = async (child: ChildProcess): Promise<void> => {
  if (child.exitCode !== null || child.signalCode !== null) return
  const closed = once(child, 'close')
  child.kill('SIGTERM')
  const late = setTimeout(() => child.kill('SIGKILL'), 12_000)
  await closed
  clearTimeout(late)
}

/** Microseconds of processor time of a program and its children, where the machine tells (Linux); else 0. */
export const familyCpu = (pid: number): number => {
  let ticks = 0
  try {
    for (const name of readdirSync('/proc')) {
      if (!/^\d+$/.test(name)) continue
      try {
        // The name of a program may have spaces: what counts follows its closing parenthesis.
        const fields = readFileSync(`/proc/${name}/stat`, 'utf8')
          .replace(/^.*\) /s, '')
          .split(' ')
        if (Number(name) === pid || Number(fields[1]) === pid) ticks += Number(fields[11]) + Number(fields[12])
      } catch {
        // It ended meanwhile.
      }
    }
  } catch {
    return 0
  }
  // The kernel's clock of these figures has ticks of 10 ms on every platform that Node runs on.
  return ticks * 10_000
}
