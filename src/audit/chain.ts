/** The hash chain of the audit trail: how an entry is bound to the one before, and what breaks that. */
import { sha256 } from '../secrets.ts'
import type { AuditRow } from '../storage/tables.ts'

/** What the first entry of a writer names as the one before. */
export const GENESIS = 'genesis'

/** What the hash covers. Fixed: a column that is added later needs a rule for the entries that lack it. */
const COVERED = [
  ...(['writer', 'sequence', 'time', 'plan', 'issuer', 'type', 'outcome', 'actor', 'member_id', 'patient_id'] as const),
  ...(['app_id', 'grant_id', 'request_id', 'details', 'previous_hash'] as const),
]

/** SHA-256, in base64url, of the canonical JSON of everything in the entry but the hash itself. */
export function entryHash(entry: Omit<AuditRow, 'hash'>): string {
  return sha256(canonicalJson(Object.fromEntries(COVERED.map((field) => [field, entry[field]]))))
}

/** JSON with the keys of every object in order, so that equal values are equal text. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_, part: unknown) =>
    part !== null && typeof part === 'object' && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)))
      : part,
  )
}

export type ChainFault = 'changed' | 'missing' | 'out-of-order' | 'not-linked' | 'truncated'

/** Where the chain of one writer is broken, and how. */
export interface ChainBreak {
  writer: string
  /** Of the entry that is wrong, or of the first one that is not there. */
  sequence: number
  fault: ChainFault
}

/** The end of a writer's chain, as it was seen outside the database: without it, a missing end cannot be told. */
export interface ChainHead {
  writer: string
  sequence: number
  hash: string
}

export interface ChainReport {
  entries: number
  heads: ChainHead[]
  breaks: ChainBreak[]
}

/**
 * Reads entries (each writer's in the order of its sequence; writers may be mixed) and reports every break.
 * @param seen heads that were noted earlier, for instance the last lines of the audit stream
 */
export async function verifyChain(
  rows: AsyncIterable<AuditRow> | Iterable<AuditRow>,
  seen: readonly ChainHead[] = [],
): Promise<ChainReport> {
  const heads = new Map<string, ChainHead>()
  const breaks: ChainBreak[] = []
  let entries = 0

  for await (const row of rows) {
    entries++
    const { writer, sequence, hash } = row
    const before = heads.get(writer) ?? { writer, sequence: 0, hash: GENESIS }
    const fault = faultOf(row, before)
    if (fault) breaks.push({ writer, sequence: fault === 'missing' ? before.sequence + 1 : sequence, fault })
    const noted = seen.find((head) => head.writer === writer && head.sequence === sequence)
    if (noted && noted.hash !== hash && fault !== 'changed') breaks.push({ writer, sequence, fault: 'changed' })
    if (sequence >= before.sequence) heads.set(writer, { writer, sequence, hash })
  }

  for (const { writer, sequence } of seen) {
    const last = heads.get(writer)?.sequence ?? 0
    if (last < sequence) breaks.push({ writer, sequence: last + 1, fault: 'truncated' })
  }
  return { entries, heads: [...heads.values()], breaks }
}

function faultOf(row: AuditRow, before: ChainHead): ChainFault | undefined {
  if (row.sequence <= before.sequence) return 'out-of-order'
  if (entryHash(row) !== row.hash) return 'changed'
  if (row.sequence > before.sequence + 1) return 'missing'
  if (row.previous_hash !== before.hash) return 'not-linked'
  return undefined
}
