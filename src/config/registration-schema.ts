/** What a file may say of apps that register themselves: who lets them in, and what they may set. */
import { z } from 'zod'
import { page, section, slug, words } from './values.ts'

const statementIssuer = z.strictObject({
  issuer: words(500).describe('The iss of its statements, byte for byte.'),
  jwks: z
    .strictObject({ keys: z.array(z.record(z.string(), z.unknown())).min(1).max(20) })
    .nullable()
    .default(null)
    .describe('The public keys with which it signs.'),
  jwksUri: page.nullable().default(null).describe('Where those keys are, instead of jwks.'),
  algorithms: z
    .array(z.enum(['RS256', 'RS384', 'PS256', 'ES256', 'ES384', 'EdDSA']))
    .min(1)
    .default(['RS256', 'RS384', 'PS256', 'ES256', 'ES384'])
    .describe('How it may sign.'),
})

const policy = section(
  {
    kinds: z
      .array(z.enum(['public', 'confidential', 'service']))
      .min(1)
      .default(['public', 'confidential'])
      .describe('What may register: public and confidential apps ask members; a service has tokens of its own.'),
    authMethods: z
      .array(z.enum(['client_secret_basic', 'private_key_jwt']))
      .min(1)
      .default(['client_secret_basic', 'private_key_jwt'])
      .describe('How confidential apps may authenticate; client_secret_basic is client_secret_post too.'),
    profiles: z
      .array(z.enum(['smart', 'fapi2']))
      .min(1)
      .default(['smart'])
      .describe('Which rules may hold for them.'),
    dpop: z
      .enum(['optional', 'required'])
      .default('optional')
      .describe('Must their tokens be bound to a key (RFC 9449), or as each one says?'),
    scopes: z
      .array(words())
      .min(1)
      .nullable()
      .default(null)
      .describe(
        'The most that they may ask for; null: what the issuer lists, without sensitive categories and services.',
      ),
    apis: z.array(slug).min(1).nullable().default(null).describe('The APIs that they are for; null: all of them.'),
    redirectHosts: z
      .array(
        z
          .string()
          .regex(/^(?:[a-z0-9-]+\.)+[a-z0-9-]+$/)
          .meta({ title: 'the name of a host', examples: ['example.org'] }),
      )
      .min(1)
      .nullable()
      .default(null)
      .describe('Hosts at which, or below which, https addresses of theirs must be; null: any.'),
    maximumRedirectUris: z.int().min(1).max(20).default(10).describe('How many redirect addresses one may have.'),
  },
  'What they may set.',
).prefault({})

export const registration = z.strictObject({
  by: z
    .array(z.enum(['initial-access-token', 'software-statement']))
    .min(1)
    .default(['initial-access-token'])
    .describe(
      'What lets an app in, each by itself: a token made by latchkey registration-token make, or a signed statement.',
    ),
  softwareStatements: z
    .array(statementIssuer)
    .max(20)
    .default([])
    .describe('Whose software statements are believed (RFC 7591 section 2.3).'),
  policy,
})
