process.env.UV_THREADPOOL_SIZE ??= '8'
// The store, its journal and the audit stream are for this user's eyes only.
process.umask(0o077)

import { loadSettings } from './config/load.ts'
import { InputFaults, LatchkeyError } from './errors.ts'
import { createLog } from './log.ts'
import { createServer } from './server.ts'

/** Tells the operator why there is no server, and ends. */
const giveUp = (error: unknown): never => {
  if (error instanceof InputFaults)
    for (const { path, message } of error.faults) console.error(`${path}\n    ${message}`)
  else console.error(error instanceof LatchkeyError ? error.message : error)
  process.exit(1)
}

const start = async (): Promise<void> => {
  const { settings, warnings, file } = loadSettings({ env: process.env })
  for (const { path, message } of warnings) console.error(`warning: ${path}: ${message}`)
  const log = createLog({ level: settings.log.level })
  const server = await createServer({ settings, log })
  await server.listen()
  console.log(
    `\n  Latchkey is at ${settings.publicUrl}  (${file})\n  Open that page in a browser: it leads to everything else.\n`,
  )

  let stopping = false
  const stop = async (signal: string): Promise<void> => {
    // A second signal does not wait.
    if (stopping) process.exit(1)
    stopping = true
    log.info({ signal }, 'stopping')
    // Who presses Ctrl-C has no balancer.
    if (signal === 'SIGTERM') await server.drain()
    await server.close()
    process.exit(0)
  }
  process.on('SIGTERM', () => void stop('SIGTERM'))
  process.on('SIGINT', () => void stop('SIGINT'))
  process.on('unhandledRejection', (error) => {
    log.fatal({ err: error }, 'unhandled rejection')
    process.exit(1)
  })
}

await start().catch(giveUp)
