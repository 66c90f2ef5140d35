import Koa from 'koa'
import supertest from 'supertest'
import { createSandboxFhir } from '../../src/sandbox/fhir/index.ts'
import { createPeople, type Resource } from '../../src/sandbox/people/index.ts'
import { sandboxRoutes } from '../../src/sandbox/routes.ts'
import { knownCategories } from '../../src/smart/sensitivity.ts'
import { startIssuer } from '../resource-server/issuer.ts'

export const base = 'http://localhost:3000/prairie/sandbox/fhir'
export const allTypes = (
  'Patient Coverage ExplanationOfBenefit Condition Observation Encounter Medication MedicationRequest ' +
  'MedicationDispense MedicationStatement Immunization AllergyIntolerance Procedure DiagnosticReport ' +
  'DocumentReference CareTeam CarePlan Goal Device Organization Practitioner PractitionerRole Location ' +
  'RelatedPerson InsurancePlan'
).split(' ')

/** As the demonstration's plan has them. */
export const sensitiveCategories = Object.fromEntries(
  ['substance-use', 'mental-health', 'sexual-health', 'hiv'].map((code) => [code, knownCategories[code] ?? []]),
)
export const people: readonly Resource[] = createPeople({ id: 'prairie', name: 'Prairie Health Plan' })
export const isPrivate = (resource: Resource) => resource.meta.security !== undefined

/** The open records of a patient's own, by the ids that the generator gives. */
export const ownOf = (patient: string, type: string): Resource[] =>
  people.filter((r) => r.resourceType === type && !isPrivate(r) && (r.id === patient || r.id.startsWith(`${patient}-`)))

export interface Bundle {
  resourceType: string
  type: string
  total: number
  link: { relation: string; url: string }[]
  entry?: { fullUrl: string; resource: Resource; search: { mode: string } }[]
}

export const idsOf = (bundle: Bundle): string[] => (bundle.entry ?? []).map(({ resource }) => resource.id)
export const linkOf = (bundle: Bundle, relation: string) => bundle.link.find((link) => link.relation === relation)?.url

/** A sandbox behind real HTTP, a real issuer's keys behind real HTTP, and tokens that the issuer signed. */
export const startSandbox = async (resources = allTypes) => {
  const clock = { ahead: 0 }
  const issuer = await startIssuer()
  const logged: string[] = []
  const log = {
    error: (_: object, text: string) => logged.push(text),
    warn: (_: object, text: string) => logged.push(text),
  }
  const api = {
    name: 'Prairie Patient Access API',
    baseUrl: base,
    aliases: ['http://localhost:3000/old/fhir'],
    resources,
    tokenProfile: {
      algorithm: 'ES256',
      typ: 'at+jwt',
      scopeClaim: 'scope',
      scopeFormat: 'string',
      patientAliases: [],
      clientIdAliases: [],
      claims: {},
    },
  } as const
  const fhir = createSandboxFhir({
    issuer: issuer.issuer,
    jwksUri: `${issuer.issuer}/jwks`,
    api: {
      ...api,
      resources: [...api.resources],
      tokenProfile: { ...api.tokenProfile, patientAliases: [], clientIdAliases: [] },
    },
    endpoints: {
      authorization: `${issuer.issuer}/authorize`,
      token: `${issuer.issuer}/token`,
      introspection: `${issuer.issuer}/introspect`,
      revocation: `${issuer.issuer}/revoke`,
    },
    people,
    sensitiveCategories,
    now: () => Date.now() + clock.ahead,
    log: log as unknown as Parameters<typeof createSandboxFhir>[0]['log'],
  })
  const app = new Koa()
  app.use(sandboxRoutes(fhir, { baseUrl: base, aliases: [...api.aliases] }))
  app.use((ctx) => {
    ctx.status = 418
  })
  const agent = supertest(app.callback())

  const token = (patient: string, scope = 'patient/*.rs', sensitivities?: string[]) =>
    issuer.sign({ aud: base, patient, patient_id: patient, scope: `launch/patient ${scope}`, sensitivities })

  /** A request below the base, or to an absolute address below it as links give them. */
  const request = (
    method: 'get' | 'head' | 'post' | 'put' | 'patch' | 'delete' | 'options',
    where: string,
    bearer?: string,
  ) => {
    const path = where.startsWith('http') ? where.replace('http://localhost:3000', '') : `/prairie/sandbox/fhir${where}`
    const sent = agent[method](path).set('Host', 'localhost:3000')
    return bearer === undefined ? sent : sent.set('Authorization', `Bearer ${bearer}`)
  }
  const get = (where: string, bearer?: string) => request('get', where, bearer)
  const search = async (where: string, bearer: string): Promise<Bundle> => {
    const response = await get(where, bearer)
    if (response.status !== 200) throw new Error(`${where}: ${response.status} ${response.text}`)
    return response.body as Bundle
  }
  /** Every page from here on, by its next links. */
  const pages = async (where: string, bearer: string): Promise<Bundle[]> => {
    const found = [await search(where, bearer)]
    for (let next = linkOf(found[0] as Bundle, 'next'); next !== undefined; ) {
      const page = await search(next, bearer)
      found.push(page)
      next = linkOf(page, 'next')
    }
    return found
  }
  return { issuer, clock, api, fhir, app, logged, token, request, get, search, pages, close: issuer.close }
}

export type Sandbox = Awaited<ReturnType<typeof startSandbox>>
