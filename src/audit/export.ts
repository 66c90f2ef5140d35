/** The audit trail as JSON lines, for auditors and for keeping. */
import type { Database } from '../storage/database.ts'
import type { AuditRow } from '../storage/tables.ts'

/** Rows per query: nobody else waits while a slow reader takes its time. */
const PAGE = 500

export interface AuditFilter {
  /** The issuer's id. Entries of the server itself have none, and are left out when this is given. */
  issuer?: string
  /** Milliseconds since the epoch, inclusive. */
  from?: number
  /** Milliseconds since the epoch, exclusive. */
  to?: number
}

/** Entries writer by writer, each in the order of its sequence: what `verifyChain` reads when nothing is filtered. */
export async function* readAudit(database: Database, filter: AuditFilter = {}): AsyncGenerator<AuditRow> {
  let last: Pick<AuditRow, 'writer' | 'sequence'> = { writer: '', sequence: 0 }
  for (;;) {
    const { writer, sequence } = last
    let query = database.db
      .selectFrom('audit')
      .selectAll()
      .where((eb) => eb(eb.refTuple('writer', 'sequence'), '>', eb.tuple(writer, sequence)))
      .orderBy('writer')
      .orderBy('sequence')
      .limit(PAGE)
    if (filter.issuer !== undefined) query = query.where('issuer', '=', filter.issuer)
    if (filter.from !== undefined) query = query.where('time', '>=', filter.from)
    if (filter.to !== undefined) query = query.where('time', '<', filter.to)

    const rows = await query.execute()
    yield* rows
    const end = rows.at(-1)
    if (!end || rows.length < PAGE) return
    last = end
  }
}

/** The same as text: one JSON object a line, each with its line feed. */
export async function* exportAudit(database: Database, filter: AuditFilter = {}): AsyncGenerator<string> {
  for await (const row of readAudit(database, filter)) yield `${JSON.stringify(row)}\n`
}
