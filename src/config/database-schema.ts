/** What a configuration file may say about the database. */
import { z } from 'zod'
import { databaseUrlFault } from './database-rules.ts'
import { POOL_DEFAULTS } from './postgres-url.ts'
import { ruled, secret, secretPlaces, section } from './values.ts'

const databaseUrl = z
  .union([ruled(databaseUrlFault, 'the address of a database', 'sqlite:data/latchkey.db'), ...secretPlaces])
  .meta({
    title:
      'sqlite: and the path of a file, sqlite::memory:, postgres://user@host/database, or {file: path} or {env: NAME}',
  })

/** `database`: where everything is kept that must last. */
export const database = section(
  {
    url: databaseUrl
      .default('sqlite:data/latchkey.db')
      .describe('The store: a SQLite file, relative to the working directory, or PostgreSQL.'),
    password: secret.nullable().default(null).describe('Password at PostgreSQL, where it does not stand in the URL.'),
    pool: section(
      {
        size: z
          .int()
          .min(1)
          .max(500)
          .default(POOL_DEFAULTS.size)
          .describe('Connections of this node at most; all nodes together stay below max_connections.'),
        waitSeconds: z
          .int()
          .min(1)
          .max(60)
          .default(POOL_DEFAULTS.waitSeconds)
          .describe('How long a request waits for a connection.'),
        statementSeconds: z
          .int()
          .min(1)
          .max(60)
          .default(POOL_DEFAULTS.statementSeconds)
          .describe('How long a statement may take; migrations may take longer.'),
      },
      'Connections to PostgreSQL; SQLite has one.',
    ).prefault({}),
  },
  'Where everything is kept.',
).prefault({})
