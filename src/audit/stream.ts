/** Committed audit entries as JSON lines in a file, for a collector to follow. */
import { pino } from 'pino'
import type { Log } from '../log.ts'
import type { AuditRow } from '../storage/tables.ts'

export interface AuditStream {
  write(row: AuditRow): void
  close(): void
}

/** Appends to `file`. A line that cannot be written is told to the log by its place in the chain: the database has it. */
export function openStream(file: string, log: Log): AuditStream {
  const lines = pino.destination({ dest: file, mkdir: true, sync: true, append: true })
  lines.on('error', (error: unknown) => log.error({ err: error }, 'the audit stream cannot be written'))
  return {
    write: (row) => lines.write(`${JSON.stringify(row)}\n`),
    close: () => lines.end(),
  }
}
