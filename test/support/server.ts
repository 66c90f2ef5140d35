/** A real server on a port of its own, with its own database, for one test file. */
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer as createNetServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import type { Dialect } from 'kysely'
import { loadSettings } from '../../src/config/load.ts'
import type { Settings } from '../../src/config/settings.ts'
import { createLog } from '../../src/log.ts'
import { createServer, type Server } from '../../src/server.ts'

export interface TestServer {
  url: string
  settings: Settings
  server: Server
  /** The folder of the database. */
  folder: string
  /** Everything that was logged so far. */
  log(): string
  close(): Promise<void>
}

/** A port that nobody listens on now. */
export const freePort = async (): Promise<number> =>
  new Promise((resolve, reject) => {
    const probe = createNetServer()
    probe.once('error', reject)
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address()
      probe.close(() => resolve(typeof address === 'object' && address ? address.port : 0))
    })
  })

export interface TestServerOptions {
  /** Changes the settings before the server is built. */
  change?: (settings: Settings) => void
  wrapDialect?: (dialect: Dialect) => Dialect
  now?: () => number
}

/** Starts the demonstration on a free port. */
export const startServer = async ({ change, wrapDialect, now }: TestServerOptions = {}): Promise<TestServer> => {
  const folder = mkdtempSync(join(tmpdir(), 'latchkey-'))
  const port = await freePort()
  const { settings } = loadSettings({
    file: 'config/development.yaml',
    env: { PORT: String(port), DATABASE_URL: `sqlite:${join(folder, 'latchkey.db')}` },
  })
  change?.(settings)
  let lines = ''
  const destination = new Writable({
    write(chunk, _encoding, done) {
      lines += String(chunk)
      done()
    },
  })
  const log = createLog({ level: 'debug', destination })
  const server = await createServer({ settings, log, ...(wrapDialect ? { wrapDialect } : {}), ...(now ? { now } : {}) })
  await server.listen()
  return {
    url: settings.publicUrl,
    settings,
    server,
    folder,
    log: () => lines,
    async close() {
      await server.close(1000)
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
