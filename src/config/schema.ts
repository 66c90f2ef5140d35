/**
 * What a configuration file may say. Descriptions and titles travel into config/schema.json, which editors read, and
 * titles into the messages of faults: a title is "what is accepted", in words.
 *
 * Owns: options, types, limits, defaults. No transforms and no dates, so that the JSON Schema is exactly this.
 * Hands to: derive.ts (URLs and secrets), check.ts (rules between options).
 */
import { isIP } from 'node:net'
import { z } from 'zod'
import { resourceTypes } from '../smart/resource-types.ts'
import { nearest } from './faults.ts'
import { baseUrlFault, pageUrlFault, pathFault } from './urls.ts'

/** The types whose `patient/` scopes an API has unless it says otherwise. */
const DEFAULT_RESOURCES = (
  'Patient Coverage ExplanationOfBenefit Condition Observation Encounter Medication MedicationRequest ' +
  'MedicationDispense MedicationStatement Immunization AllergyIntolerance Procedure DiagnosticReport ' +
  'DocumentReference CareTeam CarePlan Goal Device Organization Practitioner PractitionerRole Location ' +
  'RelatedPerson InsurancePlan'
).split(' ')

/** A rule on text: `fault` says what is wrong, or null. */
function ruled(fault: (text: string) => string | null, title: string, example: string) {
  return z
    .string()
    .max(2000)
    .refine((text) => fault(text) === null, { error: (issue) => fault(String(issue.input)) ?? undefined })
    .meta({ title, examples: [example] })
}

const words = (max = 200) =>
  z
    .string()
    .min(1)
    .max(max)
    .meta({ title: `text of at most ${max} characters` })
const baseUrl = ruled(
  (text) => (text.startsWith('/') ? pathFault(text) : baseUrlFault(text)),
  'an https address, or a path below publicUrl that starts with a slash',
  '/plan',
)
const path = ruled(pathFault, 'a path on the issuer’s host that starts with a slash', '/oauth/token')
const page = ruled(pageUrlFault, 'an https address', 'https://example.org')
/** May start with `{issuer}` or `{publicUrl}`; checked when those are known. */
const template = z
  .string()
  .min(1)
  .max(2000)
  .meta({ title: 'an absolute address; {issuer} and {publicUrl} are filled in', examples: ['{issuer}/demo/'] })
const email = z
  .string()
  .max(254)
  .regex(/^[^\s@<>",;]+@[^\s@<>",;]+$/)
  .meta({ title: 'an e-mail address', examples: ['desk@example.org'] })
const date = ruled(
  (text) => (isDay(text) ? null : 'must be a day of the calendar such as 2025-12-31'),
  'a day of the calendar such as 2025-12-31',
  '2025-12-31',
)
const fhirId = z
  .string()
  .regex(/^[A-Za-z0-9.-]{1,64}$/)
  .meta({ title: 'a FHIR id: 1 to 64 letters, digits, dots and hyphens', examples: ['id'] })
const slug = z
  .string()
  .regex(/^[a-z][a-z0-9-]{0,39}$/)
  .meta({ title: 'a name of lower-case letters, digits and hyphens that starts with a letter', examples: ['name'] })
const claimName = z
  .string()
  .regex(/^[A-Za-z_][A-Za-z0-9_:./-]{0,99}$/)
  .meta({ title: 'the name of a claim', examples: ['claim'] })
const cidr = ruled(
  (text) => (isCidr(text) ? null : 'must be an IP address or a block such as 10.0.0.0/8'),
  'an IP address or a block such as 10.0.0.0/8',
  '10.0.0.0/8',
)

function unknownResource(text: string): string {
  const meant = nearest(text, [...resourceTypes])
  return `is no resource type of FHIR R4${meant ? `; did you mean ${meant}?` : ''}`
}

function isDay(text: string): boolean {
  const time = /^\d{4}-\d\d-\d\d$/.test(text) ? Date.parse(`${text}T00:00:00Z`) : Number.NaN
  return !Number.isNaN(time) && new Date(time).toISOString().startsWith(text)
}

function isCidr(text: string): boolean {
  const [address = '', bits, ...rest] = text.split('/')
  const family = isIP(address)
  if (family === 0 || rest.length > 0) return false
  return bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128))
}

const secret = z
  .union([
    z.string().min(1),
    z.strictObject({ file: z.string().min(1).describe('A file whose text is the secret; relative to this file.') }),
    z.strictObject({
      env: z
        .string()
        .regex(/^[A-Za-z_]\w*$/)
        .describe('An environment variable that holds the secret.'),
    }),
  ])
  .meta({ title: 'the secret as text, {file: path} or {env: NAME}', examples: ['x'.repeat(32)] })
export type SecretSource = z.infer<typeof secret>

/** A section with defaults of its own: may be left out. */
const section = <Shape extends z.ZodRawShape>(shape: Shape, about: string) => z.strictObject(shape).describe(about)
/** A map from names to things, at least one unless `min` says otherwise. */
const named = <Key extends z.ZodString, Value extends z.ZodType>(key: Key, value: Value, min: 0 | 1) =>
  z
    .record(key, value)
    .refine((map) => Object.keys(map).length >= min, { error: 'must name at least one' })
    .meta({ minProperties: min })

const endpoint = z
  .union([path, z.strictObject({ path: path.optional(), aliases: z.array(path).max(20).default([]) })])
  .meta({ title: 'a path, or {path, aliases}' })
export type EndpointOption = z.infer<typeof endpoint>

const tokenProfile = section(
  {
    algorithm: z.enum(['ES256', 'RS256']).default('ES256').describe('How access tokens for this API are signed.'),
    typ: z.enum(['at+jwt', 'JWT']).default('at+jwt').describe('The JWT’s typ header; at+jwt is RFC 9068.'),
    scopeClaim: z.enum(['scope', 'scp']).default('scope').describe('The claim that holds the granted scopes.'),
    scopeFormat: z.enum(['string', 'array']).default('string').describe('One string with spaces, or an array.'),
    patientAliases: z
      .array(claimName)
      .max(10)
      .default([])
      .describe('More claims that repeat the patient’s id, beside patient and patient_id.'),
    claims: z.record(claimName, words(500)).default({}).describe('More claims with fixed values.'),
  },
  'What an access token for this API looks like, to fit verifiers that exist.',
)

const api = z.strictObject({
  name: words().describe('The API’s name for people.'),
  sandbox: z
    .boolean()
    .default(false)
    .describe('Latchkey itself serves this API, with synthetic data; at sandbox environments only.'),
  baseUrl: baseUrl
    .optional()
    .describe('The FHIR base, as in the aud of tokens. A sandbox API’s default is {issuer}/fhir; else it is required.'),
  aliases: z.array(baseUrl).max(20).default([]).describe('Other spellings of the base that aud may have.'),
  resources: z
    .array(
      ruled(
        (text) => (resourceTypes.has(text) ? null : unknownResource(text)),
        'a resource type of FHIR R4, for instance Coverage',
        'Patient',
      ),
    )
    .min(1)
    .max(200)
    .default(DEFAULT_RESOURCES)
    .describe('Resource types whose patient/ scopes exist.'),
  interactions: z
    .string()
    .regex(/^(?=.)c?r?u?d?s?$/)
    .meta({ title: 'an in-order subset of cruds, for instance rs' })
    .default('rs')
    .describe('What patient/ scopes may allow: create, read, update, delete, search, in this order.'),
  audienceRequired: z
    .boolean()
    .default(true)
    .describe('Refuse an authorization request without aud. SMART requires it of apps.'),
  tokenProfile: tokenProfile.prefault({}),
})

const patientShape = {
  name: words().describe('The patient’s name, as the picker shows it.'),
  birthDate: date.nullable().default(null).describe('The patient’s date of birth.'),
  coverageLabel: words().nullable().default(null).describe('What tells two records of one person apart.'),
}

const demonstrationApp = z.strictObject({
  name: words().describe('The app’s name, as consent shows it.'),
  kind: z
    .enum(['public', 'confidential', 'resource-server'])
    .describe('public and confidential apps ask members; a resource-server only introspects.'),
  secret: words().nullable().default(null).describe('The client secret; not for public apps.'),
  developer: words().default('Latchkey').describe('Who stands behind the app.'),
  website: template.nullable().default(null).describe('The app’s site.'),
  privacyPolicyUrl: template.nullable().default(null).describe('The app’s privacy policy.'),
  redirectUris: z.array(template).max(20).default([]).describe('Where the app is sent back to.'),
  scopes: z
    .array(words())
    .min(1)
    .nullable()
    .default(null)
    .describe('Scopes that the app may ask for; null is every scope that the issuer lists.'),
})

const demonstrationMember = z.strictObject({
  name: words().describe('The member’s name.'),
  password: z
    .string()
    .min(8)
    .max(1024)
    .meta({ title: 'text of at least 8 characters', examples: ['password'] }),
  email: email.nullable().default(null).describe('Where letters to the member go.'),
  language: z.string().nullable().default(null).describe('The member’s language; one of the plan’s.'),
  patients: named(fhirId, z.strictObject(patientShape), 0)
    .default({})
    .describe('The member’s own records, by FHIR id. None: no coverage.'),
  delegations: named(
    fhirId,
    z.strictObject({
      ...patientShape,
      basis: z
        .enum(['parent', 'guardian', 'power-of-attorney', 'member-designated'])
        .describe('Why the member may act for the patient.'),
      relatedPerson: fhirId.describe('The FHIR id of the RelatedPerson for this member and patient.'),
      endsAt: date.nullable().default(null).describe('The day on which the delegation ends.'),
    }),
    0,
  )
    .default({})
    .describe('Patients whom the member acts for, by FHIR id.'),
})

const environment = z.strictObject({
  name: words().optional().describe('The environment’s name for people; default: its key, capitalized.'),
  sandbox: z.boolean().default(false).describe('Synthetic members and the FHIR server of Latchkey live here.'),
  url: baseUrl
    .optional()
    .describe('The issuer’s URL, byte for byte as in iss; default {publicUrl}/{plan}/{environment}.'),
  endpoints: section(
    {
      authorization: endpoint.optional().describe('Default {issuer path}/authorize.'),
      token: endpoint.optional().describe('Default {issuer path}/token.'),
      introspection: endpoint.optional().describe('Default {issuer path}/introspect.'),
      revocation: endpoint.optional().describe('Default {issuer path}/revoke.'),
      userinfo: endpoint.optional().describe('Default {issuer path}/userinfo.'),
      jwks: endpoint.optional().describe('Default {issuer path}/jwks.'),
    },
    'Paths of the endpoints on the issuer’s host, and aliases that answer too: apps keep the addresses they know.',
  ).prefault({}),
  apis: named(slug, api, 1).describe('The APIs that this issuer’s tokens open, by id.'),
  demonstration: z
    .strictObject({
      apps: named(
        z
          .string()
          .regex(/^[A-Za-z0-9._~-]{1,100}$/)
          .meta({ title: 'a client id: letters, digits, dots, hyphens, underscores, tildes' }),
        demonstrationApp,
        0,
      ).default({}),
      members: named(
        z
          .string()
          .regex(/^[a-z0-9._@-]{1,100}$/)
          .meta({ title: 'a user name: lower-case letters, digits, dots, hyphens, underscores, @' }),
        demonstrationMember,
        0,
      ).default({}),
    })
    .nullable()
    .default(null)
    .describe('Synthetic records, written at every start; refused wherever the address is not this machine’s.'),
})

const plan = z.strictObject({
  name: words(100).describe('The plan’s name, as members know it.'),
  languages: z
    .array(z.string())
    .min(1)
    .default(['en', 'es'])
    .describe('Languages of the pages, the default first; each has a catalogue in views/locales.'),
  brand: section(
    {
      color: z
        .string()
        .regex(/^#([0-9a-fA-F]{3}|[0-9a-fA-F]{6})$/)
        .meta({ title: 'a colour such as #1f5a8a' })
        .default('#1f5a8a')
        .describe('Colour of buttons and links; its contrast with white must be 4.5 or more (WCAG 1.4.3).'),
      logoUrl: ruled(
        (text) => (text.startsWith('/assets/') ? pathFault(text) : pageUrlFault(text)),
        'an https address, or a path under /assets',
        '/assets/logo.svg',
      )
        .nullable()
        .default(null)
        .describe('A logo on the plan’s site or under /assets.'),
    },
    'How the plan’s pages look.',
  ).prefault({}),
  contacts: section(
    {
      serviceDesk: section(
        {
          name: words(100).describe('What members call the desk.'),
          phone: z
            .string()
            .regex(/^\+?[0-9][0-9 ().-]{5,24}$/)
            .meta({ title: 'a telephone number such as 1-800-555-0100', examples: ['1-800-555-0100'] })
            .describe('The desk’s telephone number.'),
          hours: words(200).nullable().default(null).describe('When it answers.'),
          email: email.nullable().default(null).describe('Its e-mail address.'),
        },
        'The service desk that sign-in and error pages name.',
      ),
      website: page.nullable().default(null).describe('The plan’s site.'),
      developerEmail: email.nullable().default(null).describe('Where developers write to.'),
      educationUrl: page
        .nullable()
        .default(null)
        .describe('The plan’s page on choosing apps and protecting one’s data (42 CFR 422.119(g)).'),
    },
    'Whom people can turn to.',
  ),
  environments: named(slug, environment, 1).describe('The plan’s environments, by name; each is one issuer.'),
})

/** The whole file. */
export const configSchema = z
  .strictObject({
    publicUrl: ruled(baseUrlFault, 'an https address, host and optional path', 'https://login.example.org')
      .optional()
      .describe('Where people and apps reach the server; default http://localhost:{port}.'),
    listen: section(
      {
        host: words(253).default('127.0.0.1').describe('The address to listen on; 0.0.0.0 is every one.'),
        port: z.int().min(1).max(65535).default(3000).describe('The port to listen on.'),
      },
      'Where the server listens.',
    ).prefault({}),
    trustedProxies: z
      .array(cidr)
      .max(100)
      .default([])
      .describe('Address blocks of the proxies whose X-Forwarded-For is believed.'),
    database: section(
      {
        url: z
          .string()
          .regex(/^sqlite:(:memory:|[^:?#]+)$/)
          .meta({ title: 'sqlite: and the path of a file, or sqlite::memory:' })
          .default('sqlite:data/latchkey.db')
          .describe('The store; a relative path is relative to the working directory.'),
      },
      'Where everything is kept.',
    ).prefault({}),
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
        offlineDays: z
          .int()
          .min(90)
          .max(3650)
          .default(365)
          .describe('How long a connection with offline access lasts; the member sees the date.'),
        onceMinutes: z
          .int()
          .min(1)
          .max(1440)
          .default(60)
          .describe('How long a connection without offline access is honoured.'),
      },
      'How long connections last.',
    ).prefault({}),
    plans: named(slug, plan, 1).describe('The health plans, by id.'),
  })
  .describe('The configuration of a Latchkey server.')

/** A file's content after parsing, defaults filled in. */
export type Config = z.infer<typeof configSchema>
export type EnvironmentConfig = z.infer<typeof environment>
export type ApiConfig = z.infer<typeof api>
export type DemonstrationConfig = NonNullable<EnvironmentConfig['demonstration']>

/** The schema as JSON Schema 2020-12, for editors: config/schema.json. */
export function configJsonSchema(): Record<string, unknown> {
  return z.toJSONSchema(configSchema, { io: 'input' }) as Record<string, unknown>
}
