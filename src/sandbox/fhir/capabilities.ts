import { parametersOf, referencesOf } from './parameters.ts'
import type { Store } from './store.ts'

/** Absolute addresses of the issuer's endpoints. */
export interface IssuerEndpoints {
  authorization: string
  token: string
  introspection: string
  revocation: string
  management?: string
}

interface CapabilityInput {
  baseUrl: string
  name: string
  endpoints: IssuerEndpoints
  types: readonly string[]
  store: Store
}

/** The CapabilityStatement: what the server does, and where its tokens come from (SMART App Launch 2.2, oauth-uris). */
export const capabilityStatement = ({
  baseUrl,
  name,
  endpoints,
  types,
  store,
}: CapabilityInput): Record<string, unknown> => ({
  resourceType: 'CapabilityStatement',
  status: 'active',
  date: '2026-06-30',
  publisher: 'Latchkey',
  kind: 'instance',
  software: { name: 'Latchkey sandbox' },
  implementation: { description: `${name} (synthetic records)`, url: baseUrl },
  fhirVersion: '4.0.1',
  format: ['json', 'application/fhir+json'],
  implementationGuide: [
    'http://hl7.org/fhir/us/core/ImplementationGuide/hl7.fhir.us.core|6.1.0',
    'http://hl7.org/fhir/us/carin-bb/ImplementationGuide/hl7.fhir.us.carin-bb|2.1.0',
  ],
  rest: [
    {
      mode: 'server',
      documentation:
        'Reading and searching of synthetic records with an access token. Sensitive records come only with a token that releases their category.',
      security: {
        extension: [
          {
            url: 'http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris',
            extension: [
              { url: 'authorize', valueUri: endpoints.authorization },
              { url: 'token', valueUri: endpoints.token },
              { url: 'introspect', valueUri: endpoints.introspection },
              { url: 'revoke', valueUri: endpoints.revocation },
              ...(endpoints.management ? [{ url: 'manage', valueUri: endpoints.management }] : []),
            ],
          },
        ],
        cors: true,
        service: [
          {
            coding: [
              {
                system: 'http://terminology.hl7.org/CodeSystem/restful-security-service',
                code: 'SMART-on-FHIR',
                display: 'SMART-on-FHIR',
              },
            ],
            text: 'OAuth2 using SMART-on-FHIR profile (see http://docs.smarthealthit.org)',
          },
        ],
      },
      interaction: [{ code: 'batch' }, { code: 'transaction' }],
      resource: types.map((type) => ({
        type,
        supportedProfile: [...new Set(store.list(type).flatMap((resource) => resource.meta.profile))].sort(),
        interaction: [{ code: 'read' }, { code: 'search-type' }],
        versioning: 'versioned',
        readHistory: false,
        updateCreate: false,
        conditionalRead: 'not-match',
        searchInclude: referencesOf(type).map((parameter) => `${type}:${parameter}`),
        searchRevInclude: types.flatMap((source) =>
          Object.entries(parametersOf(source)).flatMap(([parameter, { target }]) =>
            target === type ? [`${source}:${parameter}`] : [],
          ),
        ),
        searchParam: Object.entries(parametersOf(type)).map(([parameter, { kind }]) => ({
          name: parameter,
          type: kind,
        })),
        ...(type === 'Patient'
          ? {
              operation: [
                { name: 'everything', definition: 'http://hl7.org/fhir/OperationDefinition/Patient-everything' },
              ],
            }
          : {}),
      })),
    },
  ],
})
