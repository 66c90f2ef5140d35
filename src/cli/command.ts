/** What every command is handed. */
import { ASIDE, type Audit, createAudit } from '../audit/audit.ts'
import { loadSettings } from '../config/load.ts'
import type { Environment, Settings } from '../config/settings.ts'
import { InputFaults } from '../errors.ts'
import { createLog } from '../log.ts'
import { type Database, openDatabase } from '../storage/database.ts'
import type { DoctorLine } from './doctor.ts'

/** Where a command reads variables and writes to; the process, or a test. */
export interface Terminal {
  env: Readonly<Record<string, string | undefined>>
  out: { write(text: string): unknown }
  err: { write(text: string): unknown }
}

export interface CommandOptions {
  /** The value of --config. */
  config: string | undefined
  /** What stands behind the command's name. */
  operand: string | undefined
  /** Was --compromised said? */
  compromised: boolean
  /** The value of --since. */
  since?: string | undefined
  /** Every value of --log. */
  logs: readonly string[]
  /** The value of --issuer. */
  issuer?: string | undefined
  /** The value of --answers. */
  answers?: string | undefined
  /** What the doctor is told. */
  doctor?: DoctorLine
  /** Was --declined said? */
  declined: boolean
  /** The value of --person. */
  person?: string | undefined
  /** The value of --evidence. */
  evidence?: string | undefined
  /** The value of --expires. */
  expires?: string | undefined
  /** The value of --label. */
  label?: string | undefined
  /** The value of --uses. */
  uses?: string | undefined
  /** The value of --days. */
  days?: string | undefined
}

/** Does some work on the configured store, and closes it. The server may be running meanwhile. */
export const withDatabase = async <T>(
  { config }: CommandOptions,
  { env }: Terminal,
  work: (database: Database, settings: Settings) => Promise<T>,
): Promise<T> => {
  const { settings } = loadSettings({ file: config, env })
  // A store that a command happens to make first is as private as one that the server makes.
  process.umask(0o077)
  const database = await openDatabase({ ...settings.database, log: createLog({ level: 'error' }) })
  try {
    return await work(database, settings)
  } finally {
    await database.close()
  }
}

/** Writes to the trail beside a server that may be running. */
export const auditOf = ({ audit }: Settings): Audit =>
  createAudit({
    node: audit.node + ASIDE.cli,
    now: Date.now,
    streamFile: audit.stream,
    log: createLog({ level: 'error' }),
  })

/** All environments, or the one named by its id `{plan}/{environment}` or its issuer URL. Faults are told at `path`. */
export const environmentsNamed = (settings: Settings, name: string | undefined, path = 'ISSUER'): Environment[] => {
  const all = settings.plans.flatMap((plan) => plan.environments)
  if (name === undefined) return all
  const found = all.filter(({ id, issuer }) => id === name || issuer === name)
  if (found.length === 0)
    throw new InputFaults([{ path, message: `must be one of ${all.map(({ id }) => id).join(', ')}` }])
  return found
}
