/** What a file may say of a plan's user-access brand (SMART App Launch, "User-access Brands and Endpoints"). */
import { z } from 'zod'
import { page, section, words } from './values.ts'

const address = z
  .strictObject({
    line: z.array(words(100)).max(5).default([]).describe('Street lines.'),
    city: words(100).nullable().default(null).describe('The city.'),
    state: words(100).nullable().default(null).describe('The state.'),
    postalCode: words(20).nullable().default(null).describe('The postal code.'),
    country: z
      .string()
      .regex(/^[A-Z]{2}$/)
      .meta({ title: 'a country of ISO 3166-1, such as US', examples: ['US'] })
      .default('US')
      .describe('The country.'),
  })
  .refine(({ state, postalCode }) => state !== null || postalCode !== null, {
    error: 'must have a state, or a postal code',
  })

export const userAccessBrand = section(
  {
    identifiers: z
      .array(
        z.strictObject({
          system: words(500).nullable().default(null).describe('Whose identifiers they are, as a URI.'),
          value: words(500).describe('The identifier.'),
        }),
      )
      .min(1)
      .max(20)
      .refine((all) => new Set(all.map(({ system, value }) => JSON.stringify([system, value]))).size === all.length, {
        error: 'must not name one twice',
      })
      .optional()
      .describe('By what others know the plan; discovery names the first. Default: the origin of contacts.website.'),
    aliases: z.array(words(100)).max(20).default([]).describe('Other names by which members know the plan.'),
    categories: z
      .array(
        z.enum([
          'ins',
          'prov',
          'laboratory',
          'imaging',
          'pharmacy',
          'health-information-network',
          'health-data-aggregator',
        ]),
      )
      .min(1)
      .default(['ins'])
      .describe('What the plan is, by HL7’s codes of organization types; ins: an insurance company.'),
    logoLicenseUrl: page.nullable().default(null).describe('On what terms apps may show brand.logoUrl.'),
    portal: section(
      {
        name: words(100).nullable().default(null).describe('What members call it; null: the plan’s name.'),
        url: page.nullable().default(null).describe('Where it is; null: contacts.website.'),
        description: words(500).nullable().default(null).describe('Who can sign in there, in plain words.'),
        logoUrl: page.nullable().default(null).describe('Its logo, where it is not the plan’s.'),
        logoLicenseUrl: page.nullable().default(null).describe('On what terms apps may show that logo.'),
      },
      'The portal that members know.',
    ).prefault({}),
    addresses: z.array(address).max(100).default([]).describe('Where the plan is, or where its members live.'),
    developerUrl: page
      .nullable()
      .default(null)
      .describe('Where developers arrange for access; null: the first page of this server.'),
  },
  'How apps show the plan to people who look for it: the user-access brand (SMART App Launch).',
).prefault({})

export type UserAccessBrandConfig = z.infer<typeof userAccessBrand>
