/**
 * What must hold whatever fails, read from the log of the clients: what was acknowledged to them, and what became of it.
 *
 * The rules are those of docs/architecture.md for codes and refresh tokens, and R43: a fault of ours is 503 with
 * `Retry-After` or an ended connection, and never said to be the client's. An attempt without an answer is one that may
 * have been done or not.
 */
import { graceMillis, mostUses } from '../../src/oidc/rotation.ts'

export interface Attempt {
  /** What it is about: one authorization of one member for one app, with all its tokens. */
  connection: string
  kind: 'page' | 'exchange' | 'refresh' | 'introspect' | 'revoke'
  /** The code or token; of a page its path. */
  presented: string
  /** False: by somebody who should not get anything (what was used up already). */
  honest: boolean
  /** In milliseconds, on a clock that does not jump. */
  startedAt: number
  endedAt: number
  /** Null: the connection ended without an answer. */
  status: number | null
  /** OAuth's `error`; `inactive` where introspection says so. */
  error: string | null
  /** Did the answer say when to come back? */
  retryAfter: boolean
  /** The code or refresh token that came back. */
  received: string | null
  /** When everything runs again: now every honest attempt must succeed. */
  afterwards: boolean
}

/** A stretch of time in which this machine did nothing at all. */
export interface Stall {
  from: number
  to: number
}

export interface OracleOptions {
  stalls?: readonly Stall[]
  /** Redis failed over and may have forgotten uses of codes (docs/operating.md); a code lives for a minute. */
  codesForgotten?: boolean
}

const PATIENCE_MS = 5000
const CODE_MS = 60_000

/** Every breach, in words; none is what a test wants. */
export function breaches(log: readonly Attempt[], options: OracleOptions = {}): string[] {
  const connections = Map.groupBy(log, ({ connection }) => connection)
  return [...connections].flatMap(([name, own]) => {
    const those = (is: (each: Attempt, own: readonly Attempt[], options: OracleOptions) => boolean, word: string) =>
      own.filter((each) => is(each, own, options)).map((each) => `${word}: ${told(each)}`)
    return [
      ...those(isHung, 'hung'),
      ...those(isBlamed, 'blamed'),
      ...those(isOverused, 'honoured again'),
      ...those(isRevived, 'honoured after its end'),
      ...(isLost(own, options) ? [`lost: ${name}`] : []),
    ]
  })
}

const told = ({ presented, startedAt, endedAt, received: _, ...rest }: Attempt): string =>
  JSON.stringify({ ...rest, presented: presented.slice(0, 60), from: Math.round(startedAt), to: Math.round(endedAt) })

const isHung = ({ startedAt, endedAt }: Attempt, _own: readonly Attempt[], { stalls = [] }: OracleOptions): boolean => {
  const stalled = stalls.map(({ from, to }) => Math.max(0, Math.min(to, endedAt) - Math.max(from, startedAt)))
  return endedAt - startedAt > PATIENCE_MS + stalled.reduce((sum, each) => sum + each, 0)
}

const isDone = ({ status, error }: Attempt): boolean => status !== null && status < 400 && error === null
/** Nobody knows whether it was done. */
const isOpen = ({ status }: Attempt): boolean => status === null || status >= 500

/** Does this end its connection, once it is done? A code that is presented again ends what came of it (RFC 6749 §4.1.2). */
const isEnding = ({ kind, honest }: Attempt, { codesForgotten = false }: OracleOptions): boolean =>
  kind === 'revoke' || (kind === 'exchange' && !honest && !codesForgotten)

const isEnded = (each: Attempt): boolean => (each.kind === 'revoke' ? isDone(each) : !isOpen(each))

const isSame = (a: Attempt, b: Attempt): boolean => a.kind === b.kind && a.presented === b.presented

/** Was a fault told in another way than the agreed one, or somebody refused who did nothing wrong? */
const isBlamed = (each: Attempt, own: readonly Attempt[], options: OracleOptions): boolean => {
  const { kind, status, error, honest, startedAt, endedAt } = each
  if (status === null) return each.afterwards
  if (status >= 500) {
    const agreed = status === 503 && each.retryAfter && (kind === 'page' || error === 'temporarily_unavailable')
    return each.afterwards || !agreed
  }
  if (!honest || isDone(each)) return false
  switch (kind) {
    case 'revoke':
      return true
    case 'page':
      return !options.codesForgotten
    case 'exchange': {
      // A code has no grace: whoever got no answer to it begins anew.
      const unanswered = own.some((other) => isSame(other, each) && other.status === null && other.endedAt <= startedAt)
      return !(unanswered || options.codesForgotten) || error !== 'invalid_grant'
    }
    default: {
      const ending = own.some((other) => isEnding(other, options) && other.startedAt < endedAt)
      return !ending || error !== (kind === 'refresh' ? 'invalid_grant' : 'inactive')
    }
  }
}

/** Was something honoured that was used up by then? */
const isOverused = (each: Attempt, own: readonly Attempt[], options: OracleOptions): boolean => {
  const { kind, startedAt } = each
  if (!isDone(each) || (kind !== 'exchange' && kind !== 'refresh')) return false
  const earlier = own.filter((other) => other !== each && isDone(other) && other.endedAt <= startedAt)
  const uses = earlier.filter((other) => isSame(other, each))
  if (kind === 'exchange') return uses.some((use) => !(options.codesForgotten && startedAt - use.startedAt <= CODE_MS))
  if (uses.length >= mostUses || uses.some((use) => startedAt - use.endedAt > graceMillis)) return true
  // The next generation was used already, or a sibling was.
  const origin = own.find((other) => other.received === each.presented)
  const siblings = origin ? own.filter((other) => isSame(other, origin) && other.received !== each.presented) : []
  const used = ({ received }: Attempt) =>
    received !== null && earlier.some((other) => other.kind === 'refresh' && other.presented === received)
  return uses.some(used) || siblings.some(used)
}

/** Was something honoured whose end had been acknowledged? */
const isRevived = (each: Attempt, own: readonly Attempt[], options: OracleOptions): boolean =>
  isDone(each) &&
  (each.kind === 'refresh' || each.kind === 'introspect') &&
  own.some((other) => isEnding(other, options) && isEnded(other) && other.endedAt <= each.startedAt)

/** Whoever got tokens can refresh afterwards, or is refused where the end was acknowledged; and somebody has asked. */
const isLost = (own: readonly Attempt[], options: OracleOptions): boolean => {
  if (!own.some((each) => each.kind === 'exchange' && isDone(each))) return false
  const asked = own.filter((each) => each.kind === 'refresh' && each.afterwards)
  const endings = own.filter((each) => isEnding(each, options))
  if (endings.length === 0) return !asked.some(isDone)
  return endings.some(isEnded) && !asked.some((each) => each.status === 400)
}
