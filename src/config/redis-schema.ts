/** What a configuration file may say about Redis. */
import { z } from 'zod'
import { ruled, secret, words } from './values.ts'

const nodeTitle = 'a host and a port such as redis.example.org:6379, an IPv6 address in brackets'

const node = ruled(
  (text) => {
    const { host, port } = nodeOf(text)
    return host !== '' && port >= 1 && port <= 65535 ? null : `must be ${nodeTitle}`
  },
  nodeTitle,
  'redis.example.org:6379',
)

/** Host and port of a node; no host where the text has not both. */
export function nodeOf(text: string): { host: string; port: number } {
  const [, bracketed, plain, port] = /^(?:\[([0-9A-Fa-f:.]+)\]|([^\s:/@[\]]+)):(\d{1,5})$/.exec(text) ?? []
  return { host: bracketed ?? plain ?? '', port: Number(port) }
}

const optionalSecret = secret.nullable().default(null)

/** `redis`: where short-lived records are kept. */
export const redis = z
  .strictObject({
    kind: z
      .enum(['single', 'sentinel', 'cluster'])
      .default('single')
      .describe('One server, one that Sentinels watch over, or a Cluster.'),
    nodes: z
      .array(node)
      .min(1)
      .max(100)
      .describe('host:port of the server; for sentinel of the Sentinels; for cluster of some of its nodes.'),
    sentinel: z
      .strictObject({
        master: words(100).describe('What the Sentinels call the master.'),
        username: words(200).nullable().default(null).describe('User at the Sentinels.'),
        password: optionalSecret.describe('Password at the Sentinels.'),
      })
      .nullable()
      .default(null)
      .describe('Required for the kind sentinel, and for no other.'),
    username: words(200).nullable().default(null).describe('ACL user; null is the default user.'),
    password: optionalSecret.describe('Password of the user.'),
    db: z.int().min(0).max(1023).default(0).describe('Number of the database; a Cluster has 0 only.'),
    tls: z
      .strictObject({
        ca: optionalSecret.describe('Certificates (PEM) that sign the server’s; null: those that Node trusts.'),
        certificate: optionalSecret.describe('Our certificate (PEM), where the server asks for one.'),
        key: optionalSecret.describe('Its private key (PEM).'),
        serverName: words(253)
          .nullable()
          .default(null)
          .describe('The name in the server’s certificate, where nodes are known by address.'),
      })
      .nullable()
      .default(null)
      .describe('TLS to every server and Sentinel; {} is TLS with what Node trusts. Null is plain TCP.'),
  })
  .nullable()
  .default(null)
  .describe('Redis for sessions, codes, replay ids and throttles. Null keeps them in the database.')

export type RedisConfig = NonNullable<z.infer<typeof redis>>
