/**
 * A streaming replica of a PostgreSQL of the tests, that can fall behind and be promoted. The primary is started with
 * `access: REPLICATED`.
 *
 *     const replica = await startReplica(primary)
 *     await replica.caughtUp()
 *     replica.fallBehind()           // nothing that is committed from here on reaches it
 *     await replica.promote()
 */
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { freePort } from './port.ts'
import {
  answering,
  asNobody,
  type ClusterPlace,
  clusterAt,
  ended,
  type OwnPostgres,
  ownedByNobody,
  type PostgresCluster,
  programOf,
} from './postgres.ts'
import { startProxy } from './tcp-proxy.ts'

/** Lines of pg_hba.conf that let replicas in. */
export const REPLICATED = ['local all all trust', 'host all all all trust', 'host replication all all trust']

export interface Replica extends PostgresCluster {
  /** Waits until it has everything that the primary has committed so far. */
  caughtUp(): Promise<void>
  /** Cuts it off the primary. */
  fallBehind(): void
  /** Makes a primary of it. */
  promote(): Promise<void>
  stop(): Promise<void>
}

export async function startReplica(primary: OwnPostgres): Promise<Replica> {
  const { password } = primary.place
  const wire = await startProxy(primary.place.port)
  const sockets = mkdtempSync(join(tmpdir(), 'latchkey-replica-'))
  ownedByNobody(sockets)
  const folder = join(sockets, 'data')
  const place: ClusterPlace = { port: await freePort(), sockets, password }
  await ended(
    asNobody(programOf('pg_basebackup'), [
      ...['--pgdata', folder, '--write-recovery-conf', '--checkpoint=fast', '--no-sync'],
      ...['--dbname', `host=127.0.0.1 port=${wire.port} user=latchkey password=${password}`],
    ]),
  )
  const settings = {
    port: String(place.port),
    listen_addresses: '127.0.0.1',
    unix_socket_directories: sockets,
    shared_buffers: '32MB',
    max_connections: '120',
    fsync: 'off',
  }
  const server = asNobody(programOf('postgres'), [
    '-D',
    folder,
    ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
  ])
  const cluster = clusterAt(place)
  await answering(cluster.run, server)

  const ask = async (from: PostgresCluster, question: string) => (await from.run(question)).rows[0].answer

  return {
    ...cluster,

    async caughtUp() {
      const end = await ask(primary, 'select pg_current_wal_lsn()::text as answer')
      while (!(await ask(cluster, `select pg_last_wal_replay_lsn() >= '${end}' as answer`))) await pause(20)
    },

    fallBehind: () => wire.set('refusing'),

    async promote() {
      await ask(cluster, 'select pg_promote() as answer')
    },

    async stop() {
      const closed = once(server, 'close')
      server.kill('SIGINT')
      await closed
      await wire.close()
      rmSync(sockets, { recursive: true, force: true })
    },
  }
}
