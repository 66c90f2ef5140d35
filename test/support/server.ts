/** A real server on a port of its own, with its own database, for one test file. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import type { Dialect } from 'kysely'
import { loadSettings } from '../../src/config/load.ts'
import type { Settings } from '../../src/config/settings.ts'
import { createLog } from '../../src/log.ts'
import type { OpenSigner } from '../../src/oidc/signer.ts'
import { createServer, type Server } from '../../src/server.ts'
import { engine, openBackend, patient } from './backend.ts'
import { freePort } from './port.ts'

export { freePort } from './port.ts'

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

export interface TestServerOptions {
  /** Changes the settings before the server is built. */
  change?: (settings: Settings) => void
  wrapDialect?: (dialect: Dialect) => Dialect
  openSigner?: OpenSigner
  now?: () => number
}

/** Starts the demonstration on a free port. */
export const startServer = async ({ change, ...options }: TestServerOptions = {}): Promise<TestServer> => {
  const folder = mkdtempSync(join(tmpdir(), 'latchkey-'))
  const port = await freePort()
  const backend = engine === 'postgres' ? await openBackend() : undefined
  const { settings } = loadSettings({
    file: 'config/development.yaml',
    env: { PORT: String(port), DATABASE_URL: backend?.url ?? `sqlite:${join(folder, 'latchkey.db')}` },
  })
  if (backend) settings.database.pool = patient
  change?.(settings)
  let lines = ''
  const destination = new Writable({
    write(chunk, _encoding, done) {
      lines += String(chunk)
      done()
    },
  })
  const log = createLog({ level: 'debug', destination })
  const server = await createServer({ settings, log, ...options })
  await server.listen()
  return {
    url: settings.publicUrl,
    settings,
    server,
    folder,
    log: () => lines,
    async close() {
      await server.close(1000)
      await backend?.dispose()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
