/** What a file may say of a plan: its look and contacts, its environments, their APIs and demonstration records. */
import { z } from 'zod'
import { userAccessBrand } from './brand-schema.ts'
import { registration } from './registration-schema.ts'
import { selfTest } from './self-test-schema.ts'
import { pageUrlFault, pathFault } from './urls.ts'
import {
  baseUrl,
  claimName,
  date,
  email,
  fhirId,
  named,
  page,
  path,
  resourceType,
  ruled,
  section,
  slug,
  template,
  words,
} from './values.ts'

/** The types whose `patient/` scopes an API has unless it says otherwise. */
const DEFAULT_RESOURCES = (
  'Patient Coverage ExplanationOfBenefit Condition Observation Encounter Medication MedicationRequest ' +
  'MedicationDispense MedicationStatement Immunization AllergyIntolerance Procedure DiagnosticReport ' +
  'DocumentReference CareTeam CarePlan Goal Device Organization Practitioner PractitionerRole Location ' +
  'RelatedPerson InsurancePlan'
).split(' ')

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
    clientIdAliases: z
      .array(claimName)
      .max(5)
      .default([])
      .describe('More claims that repeat the app’s id, beside client_id, for instance azp.'),
    claims: z
      .record(claimName, z.union([words(500), z.array(words(200)).min(1).max(20)]))
      .default({})
      .describe('More claims with fixed values: a text, or a list of texts.'),
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
    .array(resourceType)
    .min(1)
    .max(200)
    .default(DEFAULT_RESOURCES)
    .describe('Resource types whose patient/ and user/ scopes exist.'),
  interactions: z
    .string()
    .regex(/^(?=.)c?r?u?d?s?$/)
    .meta({ title: 'an in-order subset of cruds, for instance rs' })
    .default('rs')
    .describe('What scopes may allow: create, read, update, delete, search, in this order.'),
  sensitivity: z
    .enum(['enforced', 'stated', 'refused'])
    .optional()
    .describe(
      'Does the FHIR server hold back sensitive records that a token does not release? enforced: it does; stated: it does not, and consent says so; refused: it does not, and no app may read from it. Default: enforced for a sandbox API, else stated.',
    ),
  audienceRequired: z
    .boolean()
    .default(true)
    .describe('Refuse an authorization request without aud. SMART requires it of apps.'),
  encounters: z
    .boolean()
    .optional()
    .describe(
      'May apps ask for one visit (launch/encounter)? The issuer reads Encounter?patient= with a token of its own. Default: only at a sandbox API.',
    ),
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
    .enum(['public', 'confidential', 'resource-server', 'service'])
    .describe(
      'public and confidential apps ask members; a resource-server only introspects; a service has tokens of its own.',
    ),
  secret: words().nullable().default(null).describe('The client secret; not for public apps.'),
  profile: z.enum(['smart', 'fapi2']).default('smart').describe('Which rules hold for the app.'),
  jwks: z
    .strictObject({ keys: z.array(z.record(z.string(), z.unknown())).min(1).max(20) })
    .nullable()
    .default(null)
    .describe('Public keys with which the app authenticates (private_key_jwt), instead of a secret.'),
  jwksUri: template.nullable().default(null).describe('Where those keys are, instead of jwks.'),
  dpop: z.boolean().default(false).describe('Tokens of the app must be bound to a key (RFC 9449).'),
  launchUrls: z.array(template).max(20).default([]).describe('Where a portal or an EHR opens the app.'),
  logoutUris: z.array(template).max(20).default([]).describe('Where the app is sent back to after a logout.'),
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
  attestation: z
    .strictObject({
      state: z.enum(['attested', 'declined']).describe('What the developer said when asked.'),
      answers: z
        .record(z.string().min(1).max(100), words(500))
        .nullable()
        .default(null)
        .describe('Answers, by question.'),
      expiresAt: date.nullable().default(null).describe('The day on which the answers expire.'),
    })
    .nullable()
    .default(null)
    .describe('What the developer answered to the plan’s questions; null: nothing.'),
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
  fhirUser: z
    .string()
    .regex(/^Practitioner(Role)?\/[A-Za-z0-9.-]{1,64}$/)
    .meta({ title: 'Practitioner/{id} or PractitionerRole/{id}', examples: ['Practitioner/1'] })
    .nullable()
    .default(null)
    .describe('A practitioner, who acts by launch only; null: a member.'),
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
      pushedAuthorization: endpoint
        .optional()
        .describe('Where apps push their requests beforehand (RFC 9126). Default {issuer path}/par.'),
      introspection: endpoint.optional().describe('Default {issuer path}/introspect.'),
      revocation: endpoint.optional().describe('Default {issuer path}/revoke.'),
      userinfo: endpoint.optional().describe('Default {issuer path}/userinfo.'),
      jwks: endpoint.optional().describe('Default {issuer path}/jwks.'),
      revocations: endpoint.optional().describe('The revocation feed. Default {issuer path}/revocations.'),
      registration: endpoint
        .optional()
        .describe('Where apps register themselves, if they may. Default {issuer path}/register.'),
      brands: endpoint.optional().describe('The user-access brand bundle. Default {issuer path}/brands.json.'),
      endSession: endpoint.optional().describe('Where apps send people to sign out. Default {issuer path}/logout.'),
      launches: endpoint.optional().describe('Where portals and EHRs make launches. Default {issuer path}/launches.'),
    },
    'Paths of the endpoints on the issuer’s host, and aliases that answer too: apps keep the addresses they know.',
  ).prefault({}),
  apis: named(slug, api, 1).describe('The APIs that this issuer’s tokens open, by id.'),
  registration: registration
    .nullable()
    .default(null)
    .describe('Apps that register themselves (RFC 7591, RFC 7592); null: none can.'),
  selfTest: selfTest
    .nullable()
    .default(null)
    .describe(
      'The server tests itself over its public address, as anybody would (latchkey doctor); null: it does not.',
    ),
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

const duration = z
  .string()
  .regex(/^(?:P[1-9]\d{0,3}[DMY]|date)$/)
  .meta({ title: 'a duration such as P3M or P1Y, or date', examples: ['P3M'] })

/** Text by language. */
const localized = (max: number) => z.record(z.string().min(2).max(35), words(max)).default({})

const sensitiveCategory = z.strictObject({
  name: localized(100).describe('Its name, by language; the usual categories have one in the catalogues.'),
  explanation: localized(500).describe('What it covers, by language; the same.'),
  labels: z
    .array(z.strictObject({ system: words(500), code: words(100) }))
    .min(1)
    .max(50)
    .optional()
    .describe('Security labels (meta.security) of such records; the usual categories have theirs.'),
  scope: z
    .string()
    .regex(/^sensitive\/[a-z][a-z0-9-]{0,39}$/)
    .meta({ title: 'a scope such as sensitive/substance-use', examples: ['sensitive/substance-use'] })
    .nullable()
    .default(null)
    .describe('A scope that an app must be approved for and ask for; null: offered for every app.'),
})

export const plan = z.strictObject({
  name: words(100).describe('The plan’s name, as members know it.'),
  timeZone: words(100).default('UTC').describe('Where days begin and end, such as America/Chicago.'),
  sharing: section(
    {
      durations: z
        .array(duration)
        .min(1)
        .max(10)
        .default(['P3M', 'P1Y', 'date'])
        .describe(
          'For how long members may share, beside once; at least one of 3 months or more. date: until a day of their choice.',
        ),
      preselected: duration.default('P1Y').describe('The choice that is made at first; one of durations.'),
      longestDays: z.int().min(90).max(3650).default(730).describe('The latest day of date, in days from now.'),
    },
    'For how long members may share.',
  ).prefault({}),
  sensitiveCategories: named(slug, sensitiveCategory, 0)
    .default({})
    .describe('Kinds of records that members release one by one, never with the others.'),
  languageAssistance: z
    .array(
      z.strictObject({
        language: z.string().min(2).max(35).describe('The language of the text.'),
        text: words(1000).describe('That help in this language is free, and how to get it.'),
        url: page.nullable().default(null).describe('A page that says more.'),
      }),
    )
    .max(40)
    .default([])
    .describe('The notice of language assistance (45 CFR 92.11), at the foot of every page.'),
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
      educationUrl: z
        .union([page, z.record(z.string().min(2).max(35), page)])
        .meta({ title: 'an https address, or one by language' })
        .nullable()
        .default(null)
        .describe(
          'The plan’s page on choosing apps and protecting one’s data (42 CFR 422.119(g)); one, or one by language.',
        ),
    },
    'Whom people can turn to.',
  ),
  userAccessBrand,
  environments: named(slug, environment, 1).describe('The plan’s environments, by name; each is one issuer.'),
})

export type EnvironmentConfig = z.infer<typeof environment>
export type ApiConfig = z.infer<typeof api>
export type DemonstrationConfig = NonNullable<EnvironmentConfig['demonstration']>
