/**
 * What PostgreSQL and its driver say when something fails, in words for operators: where, what, and what to do.
 * No message repeats a password, a statement's values or the server's `detail`, which quotes rows.
 *
 * Codes: https://www.postgresql.org/docs/current/errcodes-appendix.html
 */
import pg from 'pg'
import type { PostgresPlace } from '../config/postgres-url.ts'
import { Unavailable } from '../errors.ts'
import { storeFault } from './faults.ts'

interface Known {
  /** `host:port`, or the socket's file. */
  at: string
  place: PostgresPlace
  /** Connections at most. */
  size: number | undefined
}

type Words = (known: Known) => string

const refused: Words = ({ at }) =>
  `PostgreSQL at ${at} does not accept connections: is it running, and listening there?`
const unreachable: Words = ({ at }) => `PostgreSQL at ${at} cannot be reached: see the network between here and there`
const unknownHost: Words = ({ place }) => `the host ${place.host} has no address: see database.url, and the DNS`
const untrusted: Words = ({ at }) =>
  `the certificate of PostgreSQL at ${at} is not signed by an authority that is trusted here: name its file, ?sslrootcert=/path/to/ca.pem`
const going: Words = ({ at }) => `PostgreSQL at ${at} is going down or starting up; new connections are tried`
const lost: Words = ({ at }) => `the connection to PostgreSQL at ${at} was lost; a new one is tried`
const slow: Words = ({ at }) => `PostgreSQL at ${at} took too long (database.pool.statementSeconds)`
const readOnly: Words = ({ at }) =>
  `PostgreSQL at ${at} takes no writes: it is a replica, or was told so. Point database.url to the primary`

/** By the code of PostgreSQL, of the operating system or of TLS. */
const WORDS: Record<string, Words> = {
  ECONNREFUSED: refused,
  ENOENT: refused,
  EACCES: ({ at }) => `the socket ${at} may not be opened by this process: see its permissions`,
  ENOTFOUND: unknownHost,
  EAI_AGAIN: unknownHost,
  EHOSTUNREACH: unreachable,
  ENETUNREACH: unreachable,
  ETIMEDOUT: unreachable,
  ECONNRESET: lost,
  EPIPE: lost,
  DEPTH_ZERO_SELF_SIGNED_CERT: untrusted,
  SELF_SIGNED_CERT_IN_CHAIN: untrusted,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: untrusted,
  UNABLE_TO_GET_ISSUER_CERT: untrusted,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: untrusted,
  CERT_HAS_EXPIRED: ({ at }) => `the certificate of PostgreSQL at ${at} has expired: renew it`,
  ERR_TLS_CERT_ALTNAME_INVALID: ({ at, place }) =>
    `the certificate of PostgreSQL at ${at} is not for ${place.host}: connect by a name that it is for`,
  '28P01': ({ at, place }) =>
    `PostgreSQL at ${at} does not accept the password of ${userOf(place)}: see database.password, or the one in database.url`,
  '28000': ({ at, place }) =>
    `PostgreSQL at ${at} does not let ${userOf(place)} into ${place.database} this way: see its pg_hba.conf, whether the user exists, and whether it wants TLS (sslmode=${place.sslmode} here)`,
  '3D000': ({ at, place }) =>
    `there is no database ${place.database} at ${at}: create database ${place.database} encoding 'UTF8'`,
  '42501': ({ at, place }) =>
    `${userOf(place)} lacks a permission in ${place.database} at ${at}: it must own the database, or be granted create on schema public`,
  '53300': ({ at }) =>
    `PostgreSQL at ${at} has no connection left: nodes x database.pool.size must stay below its max_connections`,
  '53100': ({ at }) => `the disk of PostgreSQL at ${at} is full`,
  '53200': ({ at }) => `PostgreSQL at ${at} has no memory left`,
  '57P01': going,
  '57P02': going,
  '57P03': going,
  '57P05': lost,
  '25P03': ({ at }) => `PostgreSQL at ${at} ended a transaction in which nothing was asked for too long`,
  '57014': slow,
  '55P03': ({ at }) => `a lock in PostgreSQL at ${at} was held by others for too long`,
  '25006': readOnly,
}

/** The driver has no codes for these. */
const MESSAGES: [RegExp, Words][] = [
  [
    /timeout exceeded when trying to connect/,
    ({ at, size }) => `all ${size} connections to PostgreSQL at ${at} are in use (database.pool.size)`,
  ],
  [
    /terminated due to connection timeout|timeout expired/,
    ({ at }) => `PostgreSQL at ${at} does not answer: see the network, and whether it is PostgreSQL`,
  ],
  [/Query read timeout/, ({ at }) => `PostgreSQL at ${at} fell silent`],
  [
    /does not support SSL/,
    ({ at }) =>
      `PostgreSQL at ${at} offers no TLS: turn it on there (ssl = on), or write ?sslmode=disable where the network between is trusted`,
  ],
  [
    /client password must be a/,
    ({ at, place }) => `PostgreSQL at ${at} wants a password of ${userOf(place)}: see database.password`,
  ],
  [/Connection terminated|not queryable|has already been (ended|closed)/, lost],
  [/after calling end on the pool/, () => 'the store is closed'],
]

const userOf = ({ user }: PostgresPlace): string => (user === undefined ? 'this process’s account' : `the user ${user}`)

/** The error to throw in place of the driver's: a constraint's refusal, or what is wrong with the server in words. */
export function postgresFault(error: unknown, place: PostgresPlace, size?: number): Error {
  const fault = storeFault(error)
  if (!(fault instanceof Unavailable) || fault === error) return fault
  const words = WORDS[codeOf(error)] ?? MESSAGES.find(([text]) => text.test(fault.message))?.[1]
  return words ? new Unavailable(words({ at: addressOf(place), place, size }), { cause: error }) : fault
}

/** Where the server is, as messages name it. */
export function addressOf({ host, port }: Pick<PostgresPlace, 'host' | 'port'>): string {
  if (host.startsWith('/')) return `${host}/.s.PGSQL.${port}`
  return `${host.includes(':') ? `[${host}]` : host}:${port}`
}

/** Several addresses of one host fail as one error with all of them inside. */
function codeOf(error: unknown): string {
  const first = error instanceof AggregateError ? error.errors[0] : error
  return String((first as { code?: unknown } | undefined)?.code ?? '')
}

/**
 * After such an error nobody may use the connection again: the server closes it, or is no longer the one to write to, or
 * an answer is still to come; or it holds plans of statements that no longer fit the tables (0A000, 26000).
 */
export function endsConnection(error: unknown): boolean {
  if (!(error instanceof pg.DatabaseError)) return true
  return /^(08|57P|25P03|25006|0A000|26000)/.test(error.code ?? '')
}

/** Was the connection closed, rather than silent? Then no answer is to come. */
export function isClosed(error: unknown): boolean {
  const cause = error instanceof Unavailable ? error.cause : undefined
  if (cause instanceof pg.DatabaseError) return /^(08|57P)/.test(cause.code ?? '')
  return cause instanceof Error && (/Connection terminated|not queryable/.test(cause.message) || 'syscall' in cause)
}

/** Serialization failure and deadlock: PostgreSQL has undone the transaction whole, and trying again may well succeed. */
export function mayRepeat(error: unknown): boolean {
  const cause = error instanceof Unavailable ? error.cause : undefined
  return cause instanceof pg.DatabaseError && (cause.code === '40001' || cause.code === '40P01')
}
