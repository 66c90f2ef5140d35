/** The form of a user-access brand bundle (SMART App Launch 2.2, "Brands"). */
import { describe, expect, it } from 'vitest'
import { type BrandInput, brandBundle, stampedBundle } from '../../src/smart/brands.ts'

const input = (over: Partial<BrandInput> = {}): BrandInput => ({
  id: 'alder',
  name: 'Alder Health',
  website: 'https://alder.example.org',
  logoUrl: 'https://alder.example.org/logo.svg',
  logoLicenseUrl: 'https://alder.example.org/logo-terms',
  identifiers: [
    { system: 'urn:ietf:rfc:3986', value: 'https://alder.example.org' },
    { system: null, value: 'H0001' },
  ],
  aliases: ['Alder'],
  categories: ['ins', 'health-data-aggregator'],
  portal: {
    name: 'My Alder',
    url: 'https://my.alder.example.org',
    description: 'For members.',
    logoUrl: 'https://my.alder.example.org/logo.png',
    logoLicenseUrl: 'https://my.alder.example.org/logo-terms',
  },
  addresses: [{ line: ['1 Street'], city: 'Omaha', state: 'NE', postalCode: '68101', country: 'US' }],
  developerUrl: 'https://login.alder.example.org/',
  endpoints: [
    { id: 'production.fhir', name: 'Alder: FHIR', address: 'https://fhir.alder.example.org/r4', status: 'active' },
    { id: 'production.two', name: 'Alder: second', address: 'https://two.alder.example.org', status: 'active' },
  ],
  root: 'https://login.alder.example.org/alder/production',
  ...over,
})

// biome-ignore lint/suspicious/noExplicitAny: a test reads what the wire says
const bundleOf = (over: Partial<BrandInput> = {}): any => brandBundle(input(over))
// biome-ignore lint/suspicious/noExplicitAny: a test reads what the wire says
const organizationOf = (over: Partial<BrandInput> = {}): any => bundleOf(over).entry[0].resource
// biome-ignore lint/suspicious/noExplicitAny: a test reads what the wire says
const extension = (resource: any, name: string): any =>
  resource.extension.find(({ url }: { url: string }) => url === `http://hl7.org/fhir/StructureDefinition/${name}`)

/** Every object in a document. */
const objectsIn = (value: unknown): object[] =>
  typeof value === 'object' && value !== null ? [value, ...Object.values(value).flatMap(objectsIn)] : []

describe('brandBundle', () => {
  it('is a collection of the brand and its endpoints, each at an address of its own', () => {
    const bundle = bundleOf()
    expect(bundle).toMatchObject({ resourceType: 'Bundle', type: 'collection' })
    expect(bundle.entry.map(({ fullUrl }: { fullUrl: string }) => fullUrl)).toEqual([
      'https://login.alder.example.org/alder/production/Organization/alder',
      'https://login.alder.example.org/alder/production/Endpoint/production.fhir',
      'https://login.alder.example.org/alder/production/Endpoint/production.two',
    ])
  })

  it('the brand refers to each endpoint, by its portal and by itself [SMART brands.primary-brand]', () => {
    const bundle = bundleOf()
    const [organization, ...endpoints] = bundle.entry.map(({ resource }: { resource: object }) => resource)
    const references = endpoints.map(({ id }: { id: string }) => ({ reference: `Endpoint/${id}` }))
    expect(references).toHaveLength(2)
    expect(organization.endpoint).toEqual(references)
    const parts: { url: string; valueReference?: object }[] = extension(organization, 'organization-portal').extension
    expect(parts.filter(({ url }) => url === 'portalEndpoint').map(({ valueReference }) => valueReference)).toEqual(
      references,
    )
  })

  it('says all that a plan may say of itself, as it said it [SMART brands.managed]', () => {
    const organization = organizationOf()
    expect(organization).toMatchObject({
      name: 'Alder Health',
      active: true,
      alias: ['Alder'],
      identifier: [{ system: 'urn:ietf:rfc:3986', value: 'https://alder.example.org' }, { value: 'H0001' }],
      type: [
        { coding: [{ code: 'ins', display: 'Insurance Company' }] },
        { coding: [{ code: 'health-data-aggregator', display: 'Health Data Aggregator' }] },
      ],
      telecom: [{ system: 'url', value: 'https://alder.example.org' }],
      address: [{ line: ['1 Street'], city: 'Omaha', state: 'NE', postalCode: '68101', country: 'US' }],
    })
    expect(extension(organization, 'organization-brand').extension).toEqual([
      { url: 'brandLogo', valueUrl: 'https://alder.example.org/logo.svg' },
      { url: 'brandLogoLicense', valueUrl: 'https://alder.example.org/logo-terms' },
    ])
    expect(extension(organization, 'organization-portal').extension.slice(0, 5)).toEqual([
      { url: 'portalName', valueString: 'My Alder' },
      { url: 'portalDescription', valueMarkdown: 'For members.' },
      { url: 'portalUrl', valueUrl: 'https://my.alder.example.org' },
      { url: 'portalLogo', valueUrl: 'https://my.alder.example.org/logo.png' },
      { url: 'portalLogoLicense', valueUrl: 'https://my.alder.example.org/logo-terms' },
    ])
  })

  it('an endpoint has its base, version, connection type and contact', () => {
    expect(bundleOf().entry[1].resource).toMatchObject({
      resourceType: 'Endpoint',
      status: 'active',
      address: 'https://fhir.alder.example.org/r4',
      connectionType: {
        system: 'http://terminology.hl7.org/CodeSystem/endpoint-connection-type',
        code: 'hl7-fhir-rest',
      },
      extension: [{ url: 'http://hl7.org/fhir/StructureDefinition/endpoint-fhir-version', valueCode: '4.0.1' }],
      contact: [{ system: 'url', value: 'https://login.alder.example.org/' }],
      payloadType: [{ coding: [{ code: 'none' }] }],
    })
  })

  it('what the plan did not say is asked-unknown where it is required, and else left out [SMART brands.absent-reasons]', () => {
    const bare = { website: null, logoUrl: null, logoLicenseUrl: null, aliases: [], addresses: [] }
    const portal = { name: 'Alder', url: null, description: null, logoUrl: null, logoLicenseUrl: null }
    const organization = organizationOf({ ...bare, portal })
    const absent = {
      extension: [{ url: 'http://hl7.org/fhir/StructureDefinition/data-absent-reason', valueCode: 'asked-unknown' }],
    }
    expect(organization.telecom).toEqual([{ system: 'url', _value: absent }])
    expect(extension(organization, 'organization-portal').extension[1]).toEqual({ url: 'portalUrl', _valueUrl: absent })
    expect(extension(organization, 'organization-brand')).toBeUndefined()
    for (const name of ['alias', 'address']) expect(organization).not.toHaveProperty(name)
    const reasons = JSON.stringify(bundleOf({ ...bare, portal })).match(/"valueCode":"(?!4\.0\.1)[^"]*"/g)
    expect(new Set(reasons)).toEqual(new Set(['"valueCode":"asked-unknown"']))
  })

  it.each<[string, Partial<BrandInput>]>([
    ['everything said', {}],
    ['no endpoint', { endpoints: [] }],
    [
      'an address that is a state',
      { addresses: [{ line: [], city: null, state: 'NE', postalCode: null, country: 'US' }] },
    ],
  ])('has no member that is empty or null, which FHIR refuses: %s', (_, over) => {
    for (const each of objectsIn(bundleOf(over))) {
      expect(Object.keys(each).length, JSON.stringify(each)).toBeGreaterThan(0)
      for (const [name, value] of Object.entries(each)) expect([null, undefined, ''], name).not.toContain(value)
    }
  })

  it('says when its content changed last [SMART brands.timestamp]', () => {
    const stamped = stampedBundle(bundleOf(), Date.UTC(2026, 0, 2, 3, 4, 5))
    expect(stamped.timestamp).toBe('2026-01-02T03:04:05.000Z')
    expect(Object.keys(stamped).at(-1)).toBe('entry')
  })
})
