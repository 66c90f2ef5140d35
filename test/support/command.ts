/** The command line as an operator of a test's server types it: what it prints, and its exit status. */
import { join } from 'node:path'
import { runCommand } from '../../src/cli.ts'
import type { TestServer } from './server.ts'

/** Runs `latchkey` with the environment of a server that runs. */
export const runAt = async ({ settings, url, folder }: TestServer, ...args: string[]) => {
  let out = ''
  let err = ''
  const status = await runCommand(args, {
    env: {
      DATABASE_URL: settings.database.url,
      PORT: new URL(url).port,
      AUDIT_STREAM: join(folder, 'audit.jsonl'),
    },
    out: { write: (text) => (out += text) },
    err: { write: (text) => (err += text) },
  })
  return { status, out, err }
}
