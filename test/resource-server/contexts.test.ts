import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  type Allowed,
  createVerifier,
  decide,
  type FhirResource,
  mayRead,
  parseRequest,
  type Reader,
} from '../../src/resource-server/index.ts'
import { startFeed } from './feed.ts'
import { startIssuer, type TestIssuer } from './issuer.ts'
import { tokenWith } from './tokens.ts'

const baseUrl = 'https://fhir.example/r4'
const service = (scope: string, changes: Partial<Reader> = {}) =>
  tokenWith(scope, { patient: undefined, service: true, ...changes })
const nobody = (scope: string) => tokenWith(scope, { patient: undefined })

const decision = (token: Reader, line: string) => {
  const [method = '', path = ''] = line.split(' ')
  return decide(token, parseRequest({ method, url: `/r4${path}`, baseUrl }), { baseUrl })
}
const allowed = (token: Reader, line: string): Allowed => {
  const made = decision(token, line)
  if (!made.allowed) throw made.error
  return made
}
const refused = (token: Reader, line: string) => {
  const made = decision(token, line)
  if (made.allowed) throw new Error(`${line} was allowed`)
  return made.error
}

const observation = (patient: string) => ({ resourceType: 'Observation', subject: { reference: `Patient/${patient}` } })
const organization: FhirResource = { resourceType: 'Organization', id: '1' }
const labelled = {
  ...observation('maria'),
  meta: { security: [{ system: 'http://terminology.hl7.org/CodeSystem/v3-ActCode', code: 'HIV' }] },
}

describe('user/ scopes open what the person may see of the patient in context [SMART scopes.user-semantics]', () => {
  it.each([
    ['user/Observation.rs', 'GET /Observation?patient=maria'],
    ['user/Observation.read', 'GET /Observation/1'],
    ['user/*.rs', 'GET /Patient/maria/$everything'],
    ['user/Observation.cud', 'POST /Observation'],
    ['user/Organization.r', 'GET /Organization/1'],
    ['user/Observation.s patient/Observation.r', 'GET /Observation?_include=Observation:derived-from:Observation'],
  ])('%s opens %s', (scope, line) => expect(allowed(tokenWith(scope), line)).toBeDefined())

  it.each([
    ['user/*.cruds', 'GET /Patient/other', 'other_patient'],
    ['user/*.cruds', 'GET /Observation?patient=other', 'other_patient'],
    ['user/*.cruds', 'GET /Patient/other/Observation', 'other_patient'],
    ['user/*.cruds', 'PUT /Organization/1', 'scope_missing'],
    ['user/Observation.rs', 'GET /Condition', 'scope_missing'],
    ['user/Observation.r', 'GET /Observation', 'scope_missing'],
    ['user/Observation.rs?category=survey', 'GET /Observation?category=laboratory', 'category_not_granted'],
    ['user/Observation.rs', 'GET /Observation?_include=Observation:subject:Patient', 'scope_missing'],
  ])('%s does not open %s: %s', (scope, line, reason) =>
    expect(refused(tokenWith(scope), line)).toMatchObject({ status: 403, reason }),
  )

  it('let nothing of another patient out, and nothing sensitive that was not released', () => {
    const { filter } = allowed(tokenWith('user/*.rs'), 'GET /Observation')
    expect(filter(observation('maria'))).toBe(true)
    expect(filter(observation('other'))).toBe(false)
    expect(filter(labelled)).toBe(false)
    expect(mayRead(tokenWith('user/*.rs', { sensitivities: ['hiv'] }), labelled).allowed).toBe(true)
  })

  it('without a patient open what belongs to nobody, and no more', () => {
    expect(allowed(nobody('user/*.rs'), 'GET /Organization/1').filter(organization)).toBe(true)
    expect(mayRead(nobody('user/*.rs'), observation('maria')).reason).toBe('no_patient')
    for (const line of ['GET /Observation', 'GET /Patient/maria', 'GET /Patient', 'GET /Patient/maria/Observation'])
      expect(refused(nobody('user/*.cruds'), line)).toMatchObject({ status: 403, reason: 'no_patient' })
    expect(
      allowed(nobody('user/*.rs'), 'GET /Organization?_revinclude=Patient:general-practitioner').filter({
        resourceType: 'Patient',
        id: 'maria',
      }),
    ).toBe(false)
  })

  it('without a patient count alone: patient/ scopes beside them open nothing', () => {
    const token = nobody('patient/Organization.rs user/Organization.rs?code=x')
    expect(allowed(token, 'GET /Organization').restrictions).toEqual([[['code', 'x']]])
    expect(mayRead(token, organization).reason).toBe('category_not_granted')
    expect(mayRead(nobody('patient/Organization.rs'), organization).reason).toBe('no_patient')
  })
})

describe('system/ scopes open any patient’s records, to a backend service [SMART scopes.system-semantics]', () => {
  it.each([
    ['system/Observation.rs', 'GET /Observation'],
    ['system/Observation.rs', 'GET /Observation?patient=anybody'],
    ['system/Observation.rs', 'GET /Observation?patient:Patient=a&subject=Patient/b,Patient/c'],
    ['system/Observation.rs', 'GET /Observation?subject=Group/1'],
    ['system/Observation.rs', 'GET /Patient/anybody/Observation'],
    ['system/Patient.rs', 'GET /Patient?_id=a,b'],
    ['system/Patient.read', 'GET /Patient/anybody'],
    ['system/*.rs', 'GET /Patient/anybody/$everything'],
    ['system/Encounter.rs', 'GET /Encounter?patient=maria'],
    ['system/Observation.cud', 'PUT /Observation/1'],
    ['system/Organization.cud', 'PUT /Organization/1'],
  ])('%s opens %s', (scope, line) => expect(allowed(service(scope), line).patient).toBeUndefined())

  it.each([
    ['system/Observation.rs', 'GET /Patient/maria', 'scope_missing', 'system/Patient.rs'],
    ['system/Observation.r', 'GET /Observation', 'scope_missing', 'system/Observation.rs'],
    ['system/Observation.rs', 'POST /Observation', 'scope_missing', 'system/Observation.c'],
    ['system/Encounter.rs', 'GET /Encounter?_include=Encounter:subject:Patient', 'scope_missing', 'system/Patient.rs'],
    [
      'system/Encounter.rs',
      'GET /Encounter?_revinclude=Observation:encounter',
      'scope_missing',
      'system/Observation.rs',
    ],
    ['patient/*.cruds user/*.cruds launch/patient', 'GET /Observation', 'scope_missing', 'system/Observation.rs'],
    ['', 'GET /Organization/1', 'scope_missing', 'system/Organization.rs'],
    [
      'system/Observation.rs?category=a',
      'GET /Observation?category=b',
      'category_not_granted',
      'system/Observation.rs?category=b',
    ],
  ])('%j does not open %s: %s, and needs %s', (scope, line, reason, needed) => {
    const error = refused(service(scope), line)
    expect(error).toMatchObject({ status: 403, reason })
    expect(error.wwwAuthenticate).toContain(`scope="${needed}"`)
  })

  it.each([
    'GET /Patient?_has:Observation:patient:code=1',
    'GET /Observation?patient.name=a',
    'GET /Observation?_filter=code%20eq%201',
    'GET /Observation?_include=*',
    'GET /',
    'POST /$export',
    'GET /Encounter/1/Observation',
  ])('do not open what asks by way of other types: %s', (line) =>
    expect(refused(service('system/*.cruds'), line).status).toBe(400),
  )

  it('never count in the token of a person', () => {
    for (const line of ['GET /Observation', 'GET /Patient/maria', 'GET /Organization/1', 'PUT /Observation/1']) {
      expect(refused(tokenWith('system/*.cruds'), line).reason).toBe('scope_missing')
      expect(refused(nobody('system/*.cruds'), line).reason).toBe('scope_missing')
    }
    expect(mayRead(tokenWith('patient/Patient.rs system/*.cruds'), observation('maria')).reason).toBe('scope_missing')
  })

  it('open records of every patient and none that is sensitive, unless the token says so (R25)', () => {
    const { filter } = allowed(service('system/Observation.rs'), 'GET /Observation')
    expect([observation('maria'), observation('other'), { resourceType: 'Observation' }].map(filter)).toEqual([
      true,
      true,
      true,
    ])
    expect(filter(labelled)).toBe(false)
    expect(filter({ resourceType: 'Condition' })).toBe(false)
    expect(mayRead(service('system/*.rs', { sensitivities: ['hiv'] }), labelled).reason).toBe('allowed')
    expect(mayRead(service('system/*.rs sensitive/hiv'), labelled).reason).toBe('sensitive')
  })

  it('hold to their category', () => {
    const { filter, restrictions } = allowed(service('system/Observation.rs?category=a'), 'GET /Observation')
    expect(restrictions).toEqual([[['category', 'a']]])
    expect(filter({ ...observation('maria'), category: [{ coding: [{ code: 'b' }] }] } as FhirResource)).toBe(false)
  })
})

describe('whose token it is', () => {
  let issuer: TestIssuer
  beforeAll(async () => {
    issuer = await startIssuer()
  })
  afterAll(() => issuer.close())
  const ofService = {
    sub: 'app-1',
    patient: undefined,
    patient_id: undefined,
    fhirUser: undefined,
    grant_id: undefined,
  }
  const verifier = (revocations?: { clientId: string; clientSecret: string; url: string; whenAway: 'refuse' }) =>
    createVerifier({ issuer: issuer.issuer, audience: baseUrl, jwksUri: `${issuer.issuer}/jwks`, revocations })
  const verified = async (claims: object) => verifier().verify(await issuer.sign({ ...ofService, ...claims }))

  it('is a service’s where subject and client are one and no person is named [SMART backend.rs-checks]', async () => {
    expect(await verified({})).toMatchObject({ service: true, subject: 'app-1', clientId: 'app-1', patient: undefined })
    const own = await verified({ sub: issuer.issuer, client_id: issuer.issuer, scope: 'system/Encounter.rs' })
    expect(allowed(own, 'GET /Encounter?patient=maria').filter({ resourceType: 'Encounter' })).toBe(true)
  })

  it.each([
    ['another subject', { sub: 'member-1' }],
    ['a patient', { patient: 'maria' }],
    ['a patient by the alias', { patient_id: 'maria' }],
    ['a person', { fhirUser: 'Patient/maria' }],
    ['a grant', { grant_id: 'grant-1' }],
  ])('is no service’s where it has %s, and its system/ scopes open nothing', async (_what, claims) => {
    const token = await verified({ scope: 'system/*.cruds', ...claims })
    expect(token.service).toBe(false)
    expect(refused(token, 'GET /Observation').reason).toBe('scope_missing')
  })

  it('needs no grant where the revocation feed is followed, but only of a service', async () => {
    const feed = await startFeed()
    const api = verifier({ clientId: 'rs', clientSecret: 'rs-secret', url: feed.url, whenAway: 'refuse' })
    await api.follow()
    await expect(api.verify(await issuer.sign(ofService))).resolves.toMatchObject({ service: true })
    await expect(api.verify(await issuer.sign({ ...ofService, sub: 'member-1' }))).rejects.toMatchObject({
      reason: 'malformed_claims',
    })
    api.close()
    await feed.close()
  })
})

describe('scopes of all contexts, versions and restrictions in one token [SMART scopes.suffix-order] [SMART scopes.v1-to-v2] [SMART scopes.wildcard]', () => {
  const suffixes: Record<string, string> = { read: 'rs', write: 'cud', '*': 'cruds' }
  const letters = fc.subarray(['c', 'r', 'u', 'd', 's'], { minLength: 1 }).map((some) => some.join(''))
  const scope = fc.record({
    context: fc.constantFrom('patient', 'user', 'system'),
    type: fc.constantFrom('*', 'Observation', 'Condition', 'Organization'),
    suffix: fc.oneof(letters, fc.constantFrom('read', 'write', '*'), fc.constantFrom('rd', 'sr', 'dc', 'reads', 'R')),
    query: fc.constantFrom('', '', '?category=a', '?category=b', '?date=ge2020', '?category:in=x'),
  })
  const means = (suffix: string) => suffixes[suffix] ?? (/^c?r?u?d?s?$/.test(suffix) ? suffix : '')

  it('open exactly what one of them says, to whom it says it', () => {
    const who = fc.constantFrom('person', 'nobody', 'service')
    const resource = fc.record({
      type: fc.constantFrom('Observation', 'Condition', 'Organization'),
      patient: fc.constantFrom('maria', 'other'),
      category: fc.constantFrom('a', 'b'),
    })
    fc.assert(
      fc.property(fc.array(scope, { maxLength: 6 }), who, resource, (scopes, kind, { type, patient, category }) => {
        const text = scopes.map((one) => `${one.context}/${one.type}.${one.suffix}${one.query}`).join(' ')
        const token = { person: tokenWith(text), nobody: nobody(text), service: service(text) }[kind]
        const found = {
          resourceType: type,
          category: [{ coding: [{ code: category }] }],
          ...(type === 'Organization' ? {} : { subject: { reference: `Patient/${patient}` } }),
        } as FhirResource
        const ofNobody = type === 'Organization'
        const expected = scopes.some((one) => {
          const contexts = { person: ['patient', 'user'], nobody: ofNobody ? ['user'] : [], service: ['system'] }[kind]
          const isV1 = one.suffix in suffixes
          const covers = one.query === '' || (!isV1 && one.query === `?category=${category}`)
          return (
            contexts.includes(one.context) &&
            (one.type === '*' || one.type === type) &&
            /[rs]/.test(means(one.suffix)) &&
            covers
          )
        })
        const own = kind === 'service' || ofNobody || patient === 'maria'
        expect(mayRead(token, found, { baseUrl }).allowed).toBe(expected && own)
      }),
      { numRuns: 2_000 },
    )
  })

  it('never let .read delete, nor .write read', () => {
    for (const context of ['patient', 'user', 'system']) {
      const token = context === 'system' ? service : tokenWith
      expect(refused(token(`${context}/Observation.read`), 'DELETE /Observation/1').reason).toBe('scope_missing')
      expect(refused(token(`${context}/Observation.write`), 'GET /Observation/1').reason).toBe('scope_missing')
      expect(refused(token(`${context}/Observation.sr`), 'GET /Observation/1').reason).toBe('scope_missing')
      expect(refused(token(`${context}/Observation.read?category=a`), 'GET /Observation/1').reason).toBe(
        'scope_missing',
      )
    }
  })
})
