/**
 * What a `postgres://` URL says: where the server is, and how the way there is secured. Read by us and not by the driver,
 * because each driver means something else by the same `sslmode`. Pure.
 */
import { isLoopback } from './urls.ts'

export interface PostgresPlace {
  /** A host name, an address without brackets, or the folder of a Unix socket. */
  host: string
  port: number
  database: string
  /** Undefined: the name of the account that the process runs under. */
  user: string | undefined
  password: string | undefined
  /** As libpq means them. There is no `prefer`: it goes on in plain text without a word. */
  sslmode: SslMode
  /** A file with the certificates of the authorities to trust; undefined: those that Node.js trusts. */
  sslrootcert: string | undefined
  /** A Unix socket, or an address of this machine. */
  local: boolean
}

const sslModes = ['disable', 'require', 'verify-ca', 'verify-full'] as const
export type SslMode = (typeof sslModes)[number]

const parameters = ['host', 'sslmode', 'sslrootcert']

/** How many connections a node has to PostgreSQL, and how long anything there may take. */
export interface PoolSettings {
  /** Connections at most, of this process. */
  size: number
  /** Seconds to wait for a connection, be it a new one or another's. */
  waitSeconds: number
  /** Seconds that a statement may take, its waiting for locks included. */
  statementSeconds: number
}

/** Whatever happens to PostgreSQL, a request hears of it within five seconds. */
export const POOL_DEFAULTS: PoolSettings = { size: 10, waitSeconds: 2, statementSeconds: 2 }

export const isPostgresUrl = (text: string): boolean => /^postgres(ql)?:\/\//.test(text)

/**
 * The place, or what is wrong with the URL in words that repeat nothing of it. Where no `sslmode` is given, the server's
 * name is verified unless it is on this machine: nobody should send members' data in plain text by leaving a word out.
 */
export function readPostgresUrl(text: string): PostgresPlace | { fault: string } {
  // libpq writes `user@/database?host=/folder` for a socket, which is no URL by the standard.
  const url = URL.parse(text.replace('@/', '@localhost/'))
  if (!url || !isPostgresUrl(text)) return { fault: 'must be postgres://user@host/database' }
  const unknown = [...url.searchParams.keys()].filter((name) => !parameters.includes(name))
  if (unknown.length > 0) return { fault: `has a parameter that is not known here; known are ${parameters.join(', ')}` }

  const parts = decoded({
    host: url.searchParams.get('host') ?? url.hostname.replace(/^\[(.*)\]$/, '$1'),
    database: url.pathname.slice(1),
    user: url.username,
    password: url.password,
  })
  if (!parts) return { fault: 'has a % that is no part of an encoded character; write % as %25' }
  const { host, database, user, password } = parts
  if (!host) return { fault: 'must name a host: postgres://user@host/database' }
  if (!database) return { fault: 'must name a database: postgres://user@host/database' }

  const local = host.startsWith('/') || isLoopback(`http://${host.includes(':') ? `[${host}]` : host}`)
  const sslmode = url.searchParams.get('sslmode') ?? (local ? 'disable' : 'verify-full')
  const sslrootcert = url.searchParams.get('sslrootcert') ?? undefined
  if (!isSslMode(sslmode)) return { fault: `has an unknown sslmode; accepted are ${sslModes.join(', ')}` }
  if (sslrootcert !== undefined && !sslmode.startsWith('verify-'))
    return { fault: 'has an sslrootcert that this sslmode does not use; use sslmode=verify-full' }
  return {
    host,
    port: Number(url.port || 5432),
    database,
    user: user || undefined,
    password: password || undefined,
    sslmode,
    sslrootcert,
    local,
  }
}

const isSslMode = (text: string): text is SslMode => (sslModes as readonly string[]).includes(text)

function decoded<T extends Record<string, string>>(parts: T): T | undefined {
  try {
    return Object.fromEntries(Object.entries(parts).map(([name, text]) => [name, decodeURIComponent(text)])) as T
  } catch {
    return undefined
  }
}
