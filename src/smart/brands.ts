/**
 * The user-access brand bundle of a plan (SMART App Launch 2.2, "User-access Brands and Endpoints"): by which name, logo and
 * portal members know it, and at which FHIR endpoints their apps find their records.
 *
 * Owns: the form of the bundle. Does not own: the options (config), or where it is served (oidc). Pure.
 */

export interface BrandInput {
  /** A name of the plan's that FHIR takes for an id. */
  id: string
  name: string
  /** The site for members; null: the plan said none. */
  website: string | null
  /** An absolute URL. */
  logoUrl: string | null
  logoLicenseUrl: string | null
  identifiers: readonly { system: string | null; value: string }[]
  aliases: readonly string[]
  /** Codes of HL7's organization types. */
  categories: readonly string[]
  portal: {
    name: string
    url: string | null
    description: string | null
    logoUrl: string | null
    logoLicenseUrl: string | null
  }
  addresses: readonly {
    line: readonly string[]
    city: string | null
    state: string | null
    postalCode: string | null
    country: string
  }[]
  /** Where developers arrange for access to an endpoint. */
  developerUrl: string
  /** FHIR endpoints of the plan; `status` is `test` for one with synthetic members. */
  endpoints: readonly { id: string; name: string; address: string; status: 'active' | 'test' }[]
  /** What the addresses of the entries begin with; no trailing slash. */
  root: string
}

type Json = Record<string, unknown>

const fhir = 'http://hl7.org/fhir/StructureDefinition'
const profile = 'http://hl7.org/fhir/smart-app-launch/StructureDefinition'
const terminology = 'http://terminology.hl7.org/CodeSystem'
const fhirVersion = '4.0.1'

const categoryNames: Readonly<Record<string, string>> = {
  prov: 'Healthcare Provider',
  ins: 'Insurance Company',
  laboratory: 'Laboratory',
  imaging: 'Imaging Center',
  pharmacy: 'Pharmacy',
  'health-information-network': 'Health Information Network',
  'health-data-aggregator': 'Health Data Aggregator',
}

/** Of the reasons that there are, a publisher may give this one or `asked-declined` alone. */
const absent = { extension: [{ url: `${fhir}/data-absent-reason`, valueCode: 'asked-unknown' }] }

const urlPart = (url: string, value: string | null): Json[] => (value === null ? [] : [{ url, valueUrl: value }])

const portalOf = ({ portal, endpoints }: BrandInput): Json => ({
  url: `${fhir}/organization-portal`,
  extension: [
    { url: 'portalName', valueString: portal.name },
    ...(portal.description === null ? [] : [{ url: 'portalDescription', valueMarkdown: portal.description }]),
    portal.url === null ? { url: 'portalUrl', _valueUrl: absent } : { url: 'portalUrl', valueUrl: portal.url },
    ...urlPart('portalLogo', portal.logoUrl),
    ...urlPart('portalLogoLicense', portal.logoLicenseUrl),
    ...endpoints.map(({ id }) => ({ url: 'portalEndpoint', valueReference: { reference: `Endpoint/${id}` } })),
  ],
})

const organizationOf = (input: BrandInput): Json => ({
  resourceType: 'Organization',
  id: input.id,
  meta: { profile: [`${profile}/user-access-brand`] },
  extension: [
    // An extension is never empty.
    ...(input.logoUrl === null
      ? []
      : [
          {
            url: `${fhir}/organization-brand`,
            extension: [
              { url: 'brandLogo', valueUrl: input.logoUrl },
              ...urlPart('brandLogoLicense', input.logoLicenseUrl),
            ],
          },
        ]),
    portalOf(input),
  ],
  identifier: input.identifiers.map(({ system, value }) => (system === null ? { value } : { system, value })),
  active: true,
  type: input.categories.map((code) => ({
    coding: [{ system: `${terminology}/organization-type`, code, display: categoryNames[code] }],
  })),
  name: input.name,
  ...(input.aliases.length > 0 ? { alias: [...input.aliases] } : {}),
  telecom: [input.website === null ? { system: 'url', _value: absent } : { system: 'url', value: input.website }],
  ...(input.addresses.length > 0
    ? {
        address: input.addresses.map(({ line, city, state, postalCode, country }) => ({
          ...(line.length > 0 ? { line: [...line] } : {}),
          ...(city === null ? {} : { city }),
          ...(state === null ? {} : { state }),
          ...(postalCode === null ? {} : { postalCode }),
          country,
        })),
      }
    : {}),
  // Said a second time for those who do not know portals. A list is never empty.
  ...(input.endpoints.length > 0
    ? { endpoint: input.endpoints.map(({ id }) => ({ reference: `Endpoint/${id}` })) }
    : {}),
})

const endpointOf = ({ id, name, address, status }: BrandInput['endpoints'][number], developerUrl: string): Json => ({
  resourceType: 'Endpoint',
  id,
  meta: { profile: [`${profile}/user-access-endpoint`] },
  extension: [{ url: `${fhir}/endpoint-fhir-version`, valueCode: fhirVersion }],
  status,
  connectionType: { system: `${terminology}/endpoint-connection-type`, code: 'hl7-fhir-rest' },
  name,
  contact: [{ system: 'url', value: developerUrl }],
  // FHIR R4 requires one; SMART's place-holder.
  payloadType: [{ coding: [{ system: `${terminology}/endpoint-payload-type`, code: 'none' }] }],
  address,
})

/** The bundle, but for when it changed last: what stands in it is the same for as long as the plan's options are. */
export function brandBundle(input: BrandInput): Json {
  const resources = [organizationOf(input), ...input.endpoints.map((each) => endpointOf(each, input.developerUrl))]
  return {
    resourceType: 'Bundle',
    id: input.id,
    meta: { profile: [`${profile}/user-access-brands-bundle`] },
    type: 'collection',
    entry: resources.map((resource) => ({
      fullUrl: `${input.root}/${resource.resourceType}/${resource.id}`,
      resource,
    })),
  }
}

/** The bundle as it is served. `changedAt`: when its content was last another, in milliseconds. */
export function stampedBundle(bundle: Json, changedAt: number): Json {
  const { entry, ...head } = bundle
  return { ...head, timestamp: new Date(changedAt).toISOString(), entry }
}
