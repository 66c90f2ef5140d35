/** Runs store-process.ts in processes of their own. */
import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

const SCRIPT = fileURLToPath(new URL('./store-process.ts', import.meta.url))

export interface Running {
  child: ChildProcess
  /** Fulfilled when it is ready to begin. */
  ready: Promise<void>
  begin(): void
  /** What it found; rejected if it fails. */
  answer: Promise<unknown>
}

export function startProcess(action: string, url: string, given: object = {}): Running {
  const child = spawn(process.execPath, [SCRIPT, action, url, JSON.stringify(given)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const lines: string[] = []
  const ready = Promise.withResolvers<void>()
  const answer = Promise.withResolvers<unknown>()
  createInterface(child.stdout).on('line', (line) => {
    if (line === 'ready') ready.resolve()
    else lines.push(line)
  })
  child.on('close', (code) => {
    const error = new Error(`the process ended with ${code ?? child.signalCode}`)
    ready.reject(error)
    if (code === 0) answer.resolve(JSON.parse(lines.at(-1) ?? 'null'))
    else answer.reject(error)
  })
  for (const promise of [ready.promise, answer.promise]) promise.catch(() => {})
  return { child, ready: ready.promise, begin: () => child.stdin.write('begin\n'), answer: answer.promise }
}

/** The same action in several processes that begin together; answers what each found. */
export async function inProcesses<T>(processes: number, action: string, url: string, given: object = {}): Promise<T[]> {
  const running = Array.from({ length: processes }, () => startProcess(action, url, given))
  await Promise.all(running.map(({ ready }) => ready))
  for (const { begin } of running) begin()
  return Promise.all(running.map(({ answer }) => answer as Promise<T>))
}
