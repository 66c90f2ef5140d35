import { describe, expect, it } from 'vitest'
import { type Allowed, decide, parseRequest, type Reader } from '../../src/resource-server/index.ts'
import { tokenWith } from './tokens.ts'

const baseUrl = 'https://fhir.example/r4'
const everything = 'launch/patient patient/*.rs'
const laboratory = 'http://terminology.hl7.org/CodeSystem/observation-category|laboratory'

function decision(token: Reader, line: string, body?: unknown) {
  const [method = '', path = ''] = line.split(' ')
  return decide(token, parseRequest({ method, url: `/r4${path}`, baseUrl, body }), { baseUrl, realm: 'prairie' })
}

function allowed(token: Reader, line: string, body?: unknown): Allowed {
  const made = decision(token, line, body)
  if (!made.allowed) throw made.error
  return made
}

function refused(token: Reader, line: string, body?: unknown) {
  const made = decision(token, line, body)
  if (made.allowed) throw new Error(`${line} was allowed`)
  return made.error
}

describe('what a patient token may ask [SMART app-launch.rs-validates, scopes.patient-semantics] [capability permission-patient]', () => {
  it.each([
    ['patient/Patient.r', 'GET /Patient/maria'],
    ['patient/Patient.read', 'GET /Patient/maria/_history/1'],
    ['patient/Patient.r', 'GET /Patient/maria/_history'],
    ['patient/Patient.s', 'GET /Patient'],
    ['patient/Patient.s', 'GET /Patient?_id=maria'],
    ['patient/Patient.s', 'GET /Patient?identifier=urn:x%7C1&gender=female'],
    ['patient/Observation.s', 'GET /Observation'],
    ['patient/Observation.s', 'GET /Observation?patient=maria'],
    ['patient/Observation.s', 'GET /Observation?patient=Patient/maria'],
    ['patient/Observation.s', 'GET /Observation?subject=Patient/maria'],
    ['patient/Observation.s', 'GET /Observation?subject:Patient=maria'],
    ['patient/Observation.s', 'GET /Observation?subject=https://fhir.example/r4/Patient/maria'],
    ['patient/Observation.s', 'GET /Observation?patient=maria,Patient/maria&patient=maria'],
    ['patient/Observation.s', 'GET /Patient/maria/Observation?category=laboratory'],
    ['patient/Observation.s', 'GET /Observation/_history'],
    ['patient/*.read', 'GET /Observation?date=ge2020&_count=5&_summary=true&_pretty=true&_cursor=abc'],
    ['patient/Patient.r', 'GET /Patient/maria/$everything?_count=10'],
    ['patient/Observation.rs patient/Encounter.r', 'GET /Observation?_include=Observation:encounter:Encounter'],
    ['patient/Observation.rs', 'GET /Observation?_include=Observation:encounter'],
    ['patient/Observation.rs patient/Provenance.r', 'GET /Observation?_revinclude=Provenance:target'],
    ['patient/Coverage.s', 'GET /Coverage?beneficiary=Patient/maria'],
    ['patient/Observation.c', 'POST /Observation'],
    ['patient/Observation.u', 'PUT /Observation/1'],
    ['patient/Observation.write', 'DELETE /Observation/1'],
  ])('%s opens %s, for the token’s patient', (scope, line) => {
    expect(allowed(tokenWith(scope), line).patient).toBe('maria')
  })

  it('may search by form too', () => {
    expect(allowed(tokenWith(everything), 'POST /Observation/_search', 'patient=maria&code=1').patient).toBe('maria')
  })

  it('is told nothing of a patient where the type has none', () => {
    expect(allowed(tokenWith(everything), 'GET /Organization/1').patient).toBeUndefined()
    expect(allowed(tokenWith(everything), 'GET /Practitioner?name=a').patient).toBeUndefined()
  })

  it('may read the metadata with any token', () => {
    expect(allowed(tokenWith('openid', { patient: undefined }), 'GET /metadata').patient).toBeUndefined()
  })
})

describe('scope and interaction', () => {
  it.each([
    ['', 'GET /Patient/maria', 'patient/Patient.rs'],
    ['openid launch/patient', 'GET /Patient/maria', 'patient/Patient.rs'],
    ['patient/Observation.rs', 'GET /Condition', 'patient/Condition.rs'],
    ['patient/Observation.s', 'GET /Observation/1', 'patient/Observation.rs'],
    ['patient/Observation.s', 'GET /Observation/1/_history', 'patient/Observation.rs'],
    ['patient/Observation.r', 'GET /Observation', 'patient/Observation.rs'],
    ['patient/Observation.r', 'GET /Observation/_history', 'patient/Observation.rs'],
    ['patient/Observation.r', 'GET /Patient/maria/Observation', 'patient/Observation.rs'],
    ['patient/Observation.write', 'GET /Observation/1', 'patient/Observation.rs'],
    ['patient/Observation.read', 'POST /Observation', 'patient/Observation.c'],
    ['patient/Observation.read', 'PUT /Observation/1', 'patient/Observation.u'],
    ['patient/Observation.read', 'PATCH /Observation/1', 'patient/Observation.u'],
    ['patient/Observation.read', 'DELETE /Observation/1', 'patient/Observation.d'],
    ['patient/Organization.cruds', 'POST /Organization', 'patient/Organization.c'],
    ['patient/*.cruds', 'PUT /Practitioner/1', 'patient/Practitioner.u'],
    ['patient/Observation.rs', 'GET /Patient/maria/$everything', 'patient/Patient.rs'],
    ['user/Condition.rs', 'GET /Observation', 'user/Observation.rs'],
    ['user/*.cruds', 'PUT /Practitioner/1', 'user/Practitioner.u'],
    ['user/Condition.rs patient/Patient.rs', 'GET /Observation', 'patient/Observation.rs'],
    ['system/*.cruds', 'GET /Observation', 'patient/Observation.rs'],
    ['patient/Observation.rs?date=ge2020', 'GET /Observation', 'patient/Observation.rs'],
    ['patient/Observation.rs?category:in=x', 'GET /Observation', 'patient/Observation.rs'],
    ['patient/Observation.rs', 'GET /Observation?_revinclude=Provenance:target', 'patient/Provenance.rs'],
    ['patient/Observation.rs', 'GET /Observation?_include=Observation:subject:Patient', 'patient/Patient.rs'],
    ['patient/Observation.rs', 'GET /Observation?_include:iterate=Encounter:location', 'patient/Encounter.rs'],
  ])('%j does not open %s: it needs %s [SMART app-launch.rs-validates]', (scope, line, needed) => {
    const error = refused(tokenWith(scope), line)
    expect(error).toMatchObject({ status: 403, reason: 'scope_missing' })
    expect(error.wwwAuthenticate).toMatch(
      new RegExp(`^Bearer realm="prairie", error="insufficient_scope", error_description="[^"]+", scope="${needed}"$`),
    )
  })

  it('needs a patient in the token, whatever the type', () => {
    for (const line of ['GET /Observation', 'GET /Patient/maria', 'GET /Organization/1']) {
      expect(refused(tokenWith(everything, { patient: undefined }), line)).toMatchObject({
        status: 403,
        reason: 'no_patient',
      })
    }
  })
})

describe('another patient [SMART scopes.patient-semantics]', () => {
  it.each([
    'GET /Patient/other',
    'GET /Patient/other/_history',
    'GET /Patient/other/_history/1',
    'GET /Patient/other/$everything',
    'GET /Patient/other/Observation',
    'GET /Patient/Maria',
    'GET /Patient?_id=other',
    'GET /Patient?_id=maria,other',
    'GET /Observation?patient=other',
    'GET /Observation?patient=Patient/other',
    'GET /Observation?patient=maria,other',
    'GET /Observation?patient=maria&patient=other',
    'GET /Observation?patient=',
    'GET /Observation?subject=Patient/other',
    'GET /Observation?subject=Group/1',
    'GET /Observation?subject:Patient=other',
    'GET /Observation?subject=https://elsewhere.example/r4/Patient/maria',
    'GET /Observation?subject=https://fhir.example/r4/Patient/other',
    'GET /Observation?patient=%6Fther',
    'GET /Coverage?beneficiary=Patient/other',
    'GET /ResearchSubject?individual=Patient/other',
    'GET /Organization?patient=other',
    'GET /Patient/maria/Observation?patient=other',
    'PUT /Patient/other',
    'DELETE /Patient/other',
  ])('is refused: %s', (line) => {
    const error = refused(tokenWith('launch/patient patient/*.cruds'), line)
    expect(error).toMatchObject({ status: 403, reason: 'other_patient' })
    expect(error.wwwAuthenticate).toContain('error="insufficient_scope"')
  })

  it('is refused in a form as well, and behind an own patient in the URL', () => {
    expect(refused(tokenWith(everything), 'POST /Observation/_search', { patient: 'other' }).reason).toBe(
      'other_patient',
    )
    expect(refused(tokenWith(everything), 'POST /Observation/_search?patient=maria', 'patient=other').reason).toBe(
      'other_patient',
    )
  })

  it('is never named in the refusal', () => {
    expect(refused(tokenWith(everything), 'GET /Observation?patient=other').message).not.toMatch(/maria|=other/)
  })
})

describe('what no token opens in this release', () => {
  it.each([
    ['GET /Observation?patient.name=a', 'unsupported_parameter'],
    ['GET /Observation?subject:Patient.name=a', 'unsupported_parameter'],
    ['GET /Observation?encounter.reason-code=a', 'unsupported_parameter'],
    ['GET /Patient?_has:Observation:patient:code=1', 'unsupported_parameter'],
    ['GET /Observation?_filter=subject%20eq%20%22other%22', 'unsupported_parameter'],
    ['GET /Observation?_query=all', 'unsupported_parameter'],
    ['GET /Observation?_list=1', 'unsupported_parameter'],
    ['GET /Observation?patient:not=maria', 'unsupported_parameter'],
    ['GET /Observation?patient:missing=true', 'unsupported_parameter'],
    ['GET /Observation?subject:identifier=urn:x%7C1', 'unsupported_parameter'],
    ['GET /Observation?subject:Group=maria', 'unsupported_parameter'],
    ['GET /Observation?_include=*', 'unsupported_parameter'],
    ['GET /Observation?_revinclude=*', 'unsupported_parameter'],
    ['GET /Observation?_include=*:*', 'unsupported_parameter'],
    ['GET /Observation?_include=Observation', 'unsupported_parameter'],
    ['GET /Observation?_include=Observation:a:Patient:more', 'unsupported_parameter'],
    ['GET /Observation?_revinclude=Spaceship:subject', 'unsupported_parameter'],
    ['GET /Patient/$everything', 'unsupported_operation'],
    ['GET /Patient/maria/$purge', 'unsupported_operation'],
    ['GET /Encounter/1/$everything', 'unsupported_operation'],
    ['POST /$export', 'unsupported_operation'],
    ['GET /Encounter/1/Observation', 'unsupported_request'],
    ['GET /', 'unsupported_request'],
    ['GET /?_type=Patient', 'unsupported_request'],
    ['GET /_history', 'unsupported_request'],
    ['POST /', 'unsupported_request'],
    ['GET /Spaceship', 'malformed_request'],
    ['GET /Patient/../Observation', 'malformed_request'],
    ['DELETE /Observation?code=1', 'malformed_request'],
    ['POST /Observation/_search', 'malformed_request'],
  ])('%s: %s', (line, reason) => {
    expect(refused(tokenWith('launch/patient patient/*.cruds'), line)).toMatchObject({ status: 400, reason })
  })

  it('says why a batch is refused', () => {
    expect(refused(tokenWith(everything), 'POST /', {}).description).toContain('one by one')
  })
})

describe('categories (R22)', () => {
  const token = tokenWith(`launch/patient patient/Observation.rs?category=${laboratory}`)

  it('tells the server what the type is restricted to', () => {
    expect(allowed(token, 'GET /Observation').restrictions).toEqual([[['category', laboratory]]])
    expect(allowed(tokenWith(everything), 'GET /Observation').restrictions).toBeUndefined()
  })

  it('is not restricted where another scope has the whole type', () => {
    const both = tokenWith(`patient/Observation.rs patient/Observation.rs?category=${laboratory}`)
    expect(allowed(both, 'GET /Observation').restrictions).toBeUndefined()
  })

  it.each(['laboratory', laboratory, `vital-signs,${laboratory}`])('may be searched for when granted: %s', (value) => {
    expect(allowed(token, `GET /Observation?category=${encodeURIComponent(value)}`).restrictions).toHaveLength(1)
  })

  it.each(['vital-signs', 'http://elsewhere|laboratory', '|laboratory', ',', ''])(
    'is refused when asked for and not granted: %j',
    (value) => {
      const error = refused(token, `GET /Observation?category=${encodeURIComponent(value)}`)
      expect(error).toMatchObject({ status: 403, reason: 'category_not_granted' })
    },
  )

  it('names the scope that would do, and stays short', () => {
    expect(refused(token, 'GET /Observation?category=vital-signs').wwwAuthenticate).toContain(
      'scope="patient/Observation.rs?category=vital-signs"',
    )
    expect(refused(token, `GET /Observation?category=${'v'.repeat(5_000)}`).wwwAuthenticate).toContain(
      'scope="patient/Observation.rs"',
    )
  })
})

describe('the filter of an allowed request', () => {
  const own = { resourceType: 'Observation', id: '1', subject: { reference: 'Patient/maria' } }
  const other = { ...own, subject: { reference: 'Patient/other' } }
  const inCategory = (code: string) => ({ ...own, category: [{ coding: [{ code }] }] })

  it('passes what is the patient’s, and nothing else', () => {
    const { filter } = allowed(tokenWith('patient/Observation.s'), 'GET /Observation')
    expect(filter(own)).toBe(true)
    expect(filter(other)).toBe(false)
    expect(filter({ resourceType: 'Patient', id: 'maria' })).toBe(false)
    expect(filter({ resourceType: 'OperationOutcome' })).toBe(false)
  })

  it('holds a search to what may be searched, and what comes along to what may be read', () => {
    const scope = 'patient/Observation.s?category=a patient/Observation.r?category=b patient/Encounter.r'
    const { filter } = allowed(tokenWith(scope), 'GET /Observation?_include=Observation:encounter')
    expect(filter(inCategory('a'))).toBe(true)
    expect(filter(inCategory('b'))).toBe(false)
    expect(filter({ ...own, resourceType: 'Encounter' })).toBe(true)
  })

  it('holds a read to what may be read', () => {
    const { filter } = allowed(
      tokenWith('patient/Observation.s?category=a patient/Observation.r?category=b'),
      'GET /Observation/1',
    )
    expect(filter(inCategory('a'))).toBe(false)
    expect(filter(inCategory('b'))).toBe(true)
  })

  it('holds $everything to the types that were granted', () => {
    const { filter } = allowed(tokenWith('patient/Patient.r patient/Observation.rs'), 'GET /Patient/maria/$everything')
    expect(filter({ resourceType: 'Patient', id: 'maria' })).toBe(true)
    expect(filter(own)).toBe(true)
    expect(filter({ ...own, resourceType: 'Condition' })).toBe(false)
    expect(filter({ resourceType: 'Organization', id: '1' })).toBe(false)
  })

  it('holds a write to the patient', () => {
    const { filter } = allowed(tokenWith('patient/Observation.c'), 'POST /Observation')
    expect(filter(own)).toBe(true)
    expect(filter(other)).toBe(false)
  })
})
