/**
 * What a configuration file may say. Descriptions and titles travel into config/schema.json, which editors read, and
 * titles into the messages of faults: a title is "what is accepted", in words.
 *
 * Owns: options, types, limits, defaults; plan-schema.ts has those of a plan, redis-schema.ts those of Redis. No transforms
 * and no dates, so that the JSON Schema is exactly this.
 * Hands to: derive.ts (URLs and secrets), check.ts (rules between options).
 */
import { z } from 'zod'
import { database } from './database-schema.ts'
import { plan } from './plan-schema.ts'
import { redis } from './redis-schema.ts'
import { publicUrlFault } from './urls.ts'
import { cidr, named, ruled, secret, section, slug, words } from './values.ts'

/** The whole file. */
export const configSchema = z
  .strictObject({
    publicUrl: ruled(publicUrlFault, 'an https address without a path', 'https://login.example.org')
      .optional()
      .describe('Where people and apps reach the server; default http://localhost:{port}.'),
    listen: section(
      {
        host: words(253).default('127.0.0.1').describe('The address to listen on; 0.0.0.0 is every one.'),
        port: z.int().min(1).max(65535).default(3000).describe('The port to listen on.'),
        drainSeconds: z
          .int()
          .min(0)
          .max(300)
          .default(5)
          .describe('How long a server that is told to stop goes on answering, so that balancers see /readyz turn.'),
      },
      'Where the server listens.',
    ).prefault({}),
    trustedProxies: z
      .array(cidr)
      .max(100)
      .default([])
      .describe('Address blocks of the proxies whose X-Forwarded-For is believed.'),
    database,
    redis,
    sealingKeys: z
      .array(
        z.strictObject({
          id: z
            .string()
            .regex(/^[A-Za-z0-9_-]{1,40}$/)
            .meta({ title: 'a name of letters, digits, hyphens and underscores', examples: ['key'] })
            .describe('Names the key in what it sealed; never reuse one.'),
          secret: secret.describe('At least 32 characters, made by chance: openssl rand -base64 32.'),
          development: z.boolean().default(false).describe('A published key, for demonstrations on this machine only.'),
        }),
      )
      .min(1)
      .describe('Keys that seal what is secret at rest. The first seals; all open, so that keys can be changed.'),
    keys: section(
      {
        rotateDays: z
          .int()
          .min(2)
          .max(1095)
          .nullable()
          .default(90)
          .describe('Signing keys and secrets are replaced when they are so old. Null: by command only.'),
      },
      'The keys that sign tokens, and the secrets behind cookies, forms and refresh tokens.',
    ).prefault({}),
    log: section(
      {
        level: z
          .enum(['trace', 'debug', 'info', 'warn', 'error'])
          .default('info')
          .describe('The least important kind of line that is written.'),
      },
      'The server’s log, on standard output.',
    ).prefault({}),
    audit: section(
      {
        node: words(100).optional().describe('Name of this node in the audit chain; default: the host’s name.'),
        stream: words(1000).nullable().default(null).describe('A file that gets every audit entry as a JSON line.'),
      },
      'The audit trail.',
    ).prefault({}),
    recovery: section(
      {
        endingsLog: words(1000)
          .nullable()
          .optional()
          .describe(
            'The log of endings: a file of this node, on another disk than the database. {node} is audit.node.',
          ),
      },
      'What a restored or promoted database is told.',
    ).prefault({}),
    mail: section(
      {
        from: z
          .string()
          .max(254)
          .regex(/^([^\r\n<>]{1,100} <[^\s@<>]+@[^\s@<>]+>|[^\s@<>]+@[^\s@<>]+)$/)
          .meta({ title: 'an e-mail address, or Name <address>' })
          .optional()
          .describe('Who letters are from; default no-reply@ the public host.'),
        smtpUrl: secret
          .nullable()
          .default(null)
          .describe('smtp:// or smtps:// address of the mail server. Null keeps letters on a page of the server.'),
      },
      'Letters to members and developers.',
    ).prefault({}),
    session: section(
      {
        idleMinutes: z.int().min(1).max(120).default(15).describe('A sign-in ends after this time without a request.'),
        absoluteHours: z.int().min(1).max(24).default(8).describe('A sign-in ends after this time in any case.'),
      },
      'How long a member stays signed in.',
    ).prefault({}),
    signIn: section(
      {
        failuresPerAccountAndAddress: z
          .int()
          .min(1)
          .max(100)
          .default(10)
          .describe('Failures of one account from one address within the window, before it must wait.'),
        failuresPerAddress: z
          .int()
          .min(1)
          .max(10000)
          .default(100)
          .describe('Failures from one address, over all accounts, within the window.'),
        windowMinutes: z.int().min(1).max(1440).default(15).describe('The window.'),
      },
      'Throttles of the sign-in page.',
    ).prefault({}),
    tokens: section(
      {
        accessTokenMinutes: z.int().min(1).max(60).default(10).describe('How long an access token lives.'),
        refreshTokenDays: z
          .int()
          .min(90)
          .max(3650)
          .default(180)
          .describe('How long a refresh token lives unused; never past the connection’s end.'),
        idTokenOnRefresh: z.boolean().default(false).describe('Answer a refresh with a new ID token too.'),
      },
      'How long tokens live.',
    ).prefault({}),
    consent: section(
      {
        onceMinutes: z
          .int()
          .min(1)
          .max(1440)
          .default(60)
          .describe('How long a connection without offline access is honoured.'),
      },
      'How long connections last; for how long members may share beyond that is each plan’s own (sharing).',
    ).prefault({}),
    plans: named(slug, plan, 1).describe('The health plans, by id.'),
  })
  .describe('The configuration of a Latchkey server.')

/** A file's content after parsing, defaults filled in. */
export type Config = z.infer<typeof configSchema>

/** The schema as JSON Schema 2020-12, for editors: config/schema.json. */
export function configJsonSchema(): Record<string, unknown> {
  return z.toJSONSchema(configSchema, { io: 'input' }) as Record<string, unknown>
}
