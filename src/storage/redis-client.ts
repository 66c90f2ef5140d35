/** The client library's settings for each way of reaching Redis, and what may be known of its errors. */
import { Cluster, type RedisOptions, Redis as Single } from 'ioredis'
import type { RedisSettings } from '../config/settings.ts'

export type Client = Single | Cluster

/** Milliseconds. */
export interface Limits {
  /** The first connection. */
  openMs: number
  /** An operation with all its attempts. */
  operationMs: number
  /** The same once Redis has been away for so long: nobody need wait for what is known already. */
  knownAwayMs: number
  /** A connection, its TLS included. */
  connectMs: number
  /** One command, once it was sent. */
  commandMs: number
  /** A connection that owes an answer is given up after this. */
  silenceMs: number
  /** The pause before the next attempt to connect, at most. */
  reconnectMs: number
}

/** A master that was made a replica, or one that is not ready: the next connection finds the right one. */
const STALE = /(?:^|-)(?:READONLY|LOADING) /

/** A client that is not connected yet. */
export function createClient(settings: RedisSettings, limits: Limits): Client {
  const { tls, username, password, sentinel, db } = settings
  const tlsOptions = tls && {
    ...(tls.ca === null ? {} : { ca: tls.ca }),
    ...(tls.certificate === null ? {} : { cert: tls.certificate }),
    ...(tls.key === null ? {} : { key: tls.key }),
    ...(tls.serverName === null ? {} : { servername: tls.serverName }),
  }
  const backoff = (times: number) => Math.min(25 * 2 ** Math.min(times, 10), limits.reconnectMs)
  const common: RedisOptions = {
    ...(username === null ? {} : { username }),
    ...(password === null ? {} : { password }),
    ...(tlsOptions ? { tls: tlsOptions } : {}),
    // RESP 3 would send the password inside HELLO, which older servers repeat in their error.
    protocol: 2,
    connectionName: 'latchkey',
    disableClientInfo: true,
    connectTimeout: limits.connectMs,
    commandTimeout: limits.commandMs,
    socketTimeout: limits.silenceMs,
    disconnectTimeout: 200,
    maxLoadingRetryTime: 1000,
    // What is sent again is redis.ts's to say: the library resends neither what a broken pipeline left, nor what a server
    // refused for the moment, and without a bound of ours it would answer after everybody has gone.
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    reconnectOnError: (error) => STALE.test(error.message),
  }

  if (settings.kind === 'cluster') {
    return new Cluster(settings.nodes, {
      lazyConnect: true,
      enableOfflineQueue: false,
      enableAutoPipelining: true,
      scaleReads: 'master',
      maxRedirections: 8,
      slotsRefreshTimeout: limits.commandMs,
      slotsRefreshInterval: 5000,
      clusterRetryStrategy: backoff,
      // Names stay names, so that certificates can be checked against them.
      dnsLookup: (address, done) => done(null, address),
      redisOptions: common,
    })
  }
  const single: RedisOptions = {
    ...common,
    db,
    lazyConnect: true,
    enableOfflineQueue: false,
    enableAutoPipelining: true,
    retryStrategy: backoff,
  }
  if (settings.kind === 'sentinel' && sentinel) {
    return new Single({
      ...single,
      sentinels: settings.nodes,
      name: sentinel.master,
      role: 'master',
      ...(sentinel.username === null ? {} : { sentinelUsername: sentinel.username }),
      ...(sentinel.password === null ? {} : { sentinelPassword: sentinel.password }),
      ...(tlsOptions ? { sentinelTLS: tlsOptions, enableTLSForSentinelMode: true } : {}),
      sentinelCommandTimeout: limits.connectMs,
      sentinelRetryStrategy: backoff,
      sentinelReconnectStrategy: () => 5000,
      failoverDetector: true,
    })
  }
  return new Single({ ...single, ...settings.nodes[0] })
}

/** The connections to the servers that are asked, which are masters only. */
export const mastersOf = (client: Client): Single[] => (client instanceof Cluster ? client.nodes('master') : [client])

/**
 * Makes what an error says fit for a log: servers repeat the arguments of a command they do not know, and those may be a
 * password. The library's errors themselves carry every argument, so they are never passed on.
 */
export function wordsOf(settings: RedisSettings): (error: unknown) => string {
  const secrets = [settings.password, settings.sentinel?.password, settings.tls?.key].filter(
    (secret) => typeof secret === 'string' && secret !== '',
  ) as string[]
  return (error) => {
    const { message, code, lastNodeError } = error as NodeJS.ErrnoException & { lastNodeError?: Error }
    const said = [message || code || 'no reason given', lastNodeError?.message].filter(Boolean).join(': ')
    const bare = said.replace(/,? with args beginning with:.*$/s, '')
    return secrets.reduce((text, secret) => text.replaceAll(secret, '[redacted]'), bare)
  }
}
