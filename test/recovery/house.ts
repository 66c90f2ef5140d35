/** A server that can be stopped, restored from a copy and started again at the same address, on either engine. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import { runCommand } from '../../src/cli.ts'
import { loadSettings } from '../../src/config/load.ts'
import type { Settings } from '../../src/config/settings.ts'
import { createLog } from '../../src/log.ts'
import { createServer, type Server } from '../../src/server.ts'
import { type Database, openDatabase } from '../../src/storage/database.ts'
import { type App, confidentialApp, demoApp, obtainTokens, type TokenAnswer, type Walk } from '../support/authorize.ts'
import { freePort } from '../support/port.ts'
import { type OwnPostgres, programOf, startPostgres } from '../support/postgres.ts'
import { quiet } from '../support/stores.ts'
import { basic, post, resourceServer } from '../support/wire.ts'

export type Tokens = TokenAnswer['body']

export async function openHouse(engine: 'sqlite' | 'postgres', change: (settings: Settings) => void = () => {}) {
  const folder = mkdtempSync(join(tmpdir(), 'latchkey-recovery-'))
  const postgres: OwnPostgres | undefined = engine === 'postgres' ? await startPostgres() : undefined
  const port = await freePort()
  const env: Record<string, string> = {
    PORT: String(port),
    DATABASE_URL: (await postgres?.database({ empty: true }))?.url ?? `sqlite:${join(folder, 'latchkey.db')}`,
    LATCHKEY_NODE: 'login-1',
    ENDINGS_LOG: join(folder, 'endings-{node}.jsonl'),
  }
  let skew = 0
  let lines = ''
  let server: Server | undefined

  const house = {
    folder,
    url: `http://localhost:${port}`,
    app: () => demoApp(house.url),
    endingsLog: join(folder, 'endings-login-1.jsonl'),
    store: () => env.DATABASE_URL ?? '',
    /** What was logged since the last start. */
    log: () => lines,
    now: () => Date.now() + skew,
    later(seconds: number) {
      skew += seconds * 1000
    },

    async start() {
      const { settings } = loadSettings({ env })
      settings.database.pool = { size: 10, waitSeconds: 20, statementSeconds: 20 }
      change(settings)
      lines = ''
      const destination = new Writable({
        write(chunk, _encoding, done) {
          lines += String(chunk)
          done()
        },
      })
      server = await createServer({ settings, log: createLog({ level: 'debug', destination }), now: house.now })
      await server.listen()
    },

    async stop() {
      await server?.close(1000)
      server = undefined
    },

    /** The command line, with the server's settings. */
    async run(...args: string[]) {
      let out = ''
      let err = ''
      const terminal = {
        env,
        out: { write: (text: string) => (out += text) },
        err: { write: (text: string) => (err += text) },
      }
      return { status: await runCommand(args, terminal), out, err }
    },

    /** As docs/operating.md says it. */
    async restore(copy: string) {
      if (!postgres) {
        const { status, err } = await house.run('restore', copy)
        if (status !== 0) throw new Error(err)
        return
      }
      const { url } = await postgres.database({ empty: true })
      const restored = spawnSync(programOf('pg_restore'), ['--no-owner', '--exit-on-error', `--dbname=${url}`, copy])
      if (restored.status !== 0) throw new Error(String(restored.stderr))
      env.DATABASE_URL = url
    },

    async withDatabase<T>(work: (database: Database) => Promise<T>): Promise<T> {
      const database = await openDatabase({ url: house.store(), log: quiet })
      return work(database).finally(() => database.close())
    },

    entries: (type: string) =>
      house.withDatabase(async ({ db }) => {
        const rows = await db.selectFrom('audit').selectAll().where('type', '=', type).orderBy('time').execute()
        return rows.map((row) => ({ ...row, details: JSON.parse(row.details) as Record<string, unknown> }))
      }),

    tokens: (walk: Walk = {}, app: App = house.app()): Promise<Tokens> => obtainTokens(app, walk),

    revoke: (token: string, app: App = house.app()) =>
      post(
        `${app.issuer}/revoke`,
        { token, client_id: app.clientId },
        app.secret ? basic(app.clientId, app.secret) : {},
      ),

    async isActive(token: string): Promise<boolean> {
      return (await post(`${house.app().issuer}/introspect`, { token }, resourceServer)).body.active
    },

    confidential: () => confidentialApp(house.url),

    async close() {
      await house.stop()
      await postgres?.stop()
      rmSync(folder, { recursive: true, force: true })
    },
  }
  await house.start()
  return house
}

export type House = Awaited<ReturnType<typeof openHouse>>
