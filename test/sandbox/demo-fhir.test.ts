import { describe, expect, it } from 'vitest'

interface Money {
  value: number
  currency: string
}

/** What the demonstration app's script exports; scripts for browsers carry no types. */
interface DemoFhir {
  readShare(scope: string, type: string): { kind: string; categories: string[] }
  decodeJwt(token: string): { header: unknown; claims: Record<string, unknown> } | undefined
  readPage(bundle: unknown, type: string): { resources: unknown[]; next: string | undefined }
  readClaim(
    eob: unknown,
  ): Record<'billed' | 'paid' | 'yours', Money | undefined> & { date: string; what: string; kind: string }
  latestOfEach(observations: unknown[]): { id: string }[]
  readValues(observation: unknown): unknown[]
  readName(names: unknown): string
}

const path: string = new URL('../../views/assets/demo-fhir.js', import.meta.url).href
const fhir: DemoFhir = await import(path)

describe('what a scope string shares of a type', () => {
  it.each([
    ['openid patient/*.rs', 'all', []],
    ['patient/Observation.read', 'all', []],
    ['patient/Observation.s', 'all', []],
    ['patient/Observation.cud', 'none', []],
    ['patient/Observation.write', 'none', []],
    ['patient/Condition.rs launch/patient offline_access', 'none', []],
    ['', 'none', []],
    [
      'patient/Observation.rs?category=s|laboratory patient/Observation.rs?category=s|survey',
      'part',
      ['s|laboratory', 's|survey'],
    ],
    ['patient/Observation.rs?category=http%3A%2F%2Fx%7Claboratory', 'part', ['http://x|laboratory']],
    ['patient/Observation.rs?category=s|laboratory patient/*.rs', 'all', []],
  ])('%s', (scope, kind, categories) => {
    expect(fhir.readShare(scope, 'Observation')).toEqual({ kind, categories })
  })
})

describe('reading a token', () => {
  it('decodes base64url and UTF-8, which fhirclient does not', () => {
    const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')
    const claims = { sub: 'ÿ?>~Ñ', scope: 'openid' }
    expect(fhir.decodeJwt(`${part({ alg: 'ES256' })}.${part(claims)}.signature`)).toEqual({
      header: { alg: 'ES256' },
      claims,
    })
  })

  it('takes an opaque token for what it is', () => {
    for (const token of ['opaque', 'a.b.c', '', '..']) expect(fhir.decodeJwt(token)).toBeUndefined()
  })
})

describe('reading FHIR', () => {
  it('takes only the asked type from a page, and its next link', () => {
    const bundle = {
      entry: [{ resource: { resourceType: 'Coverage', id: '1' } }, { resource: { resourceType: 'OperationOutcome' } }],
      link: [
        { relation: 'self', url: 'a' },
        { relation: 'next', url: 'b' },
      ],
    }
    expect(fhir.readPage(bundle, 'Coverage')).toEqual({ resources: [{ resourceType: 'Coverage', id: '1' }], next: 'b' })
    expect(fhir.readPage({ resourceType: 'Bundle' }, 'Coverage')).toEqual({ resources: [], next: undefined })
  })

  it('finds what was billed, paid and owed on a claim', () => {
    const amount = (value: number) => ({ value, currency: 'USD' })
    const total = (code: string, value: number) => ({ category: { coding: [{ code }] }, amount: amount(value) })
    const claim = fhir.readClaim({
      type: { coding: [{ code: 'professional' }] },
      billablePeriod: { start: '2025-03-04' },
      total: [total('submitted', 210), total('benefit', 160), total('memberliability', 25)],
    })
    expect(claim).toMatchObject({
      billed: amount(210),
      paid: amount(160),
      yours: amount(25),
      date: '2025-03-04',
      kind: 'professional',
    })
  })

  it('keeps the newest observation of each kind, newest first', () => {
    const observation = (id: string, code: string, effectiveDateTime?: string) => ({
      id,
      code: { coding: [{ code }] },
      effectiveDateTime,
    })
    const found = fhir.latestOfEach([
      observation('old', 'a1c', '2024-01-01'),
      observation('new', 'a1c', '2025-01-01'),
      observation('undated', 'other'),
      observation('weight', 'weight', '2025-06-01'),
    ])
    expect(found.map(({ id }) => id)).toEqual(['weight', 'new', 'undated'])
  })

  it('reads single values and components alike', () => {
    const systolic = { code: { text: 'Systolic' }, valueQuantity: { value: 0, unit: 'mmHg' } }
    expect(fhir.readValues({ component: [systolic] })).toEqual([{ label: 'Systolic', number: 0, unit: 'mmHg' }])
    expect(fhir.readValues({ valueCodeableConcept: { text: 'Never smoker' } })).toEqual([
      { label: '', text: 'Never smoker' },
    ])
    expect(fhir.readValues({ valueQuantity: { value: 37, unit: 'Cel' } })).toEqual([
      { label: '', number: 37, unit: '°C' },
    ])
    expect(fhir.readValues({ valueQuantity: { value: 3, unit: '{score}' } })).toEqual([
      { label: '', number: 3, unit: '' },
    ])
    expect(fhir.readValues({})).toEqual([])
  })

  it('says a name as it is spoken', () => {
    expect(fhir.readName([{ given: ['Maria', 'Elena'], family: 'Alvarez' }])).toBe('Maria Elena Alvarez')
    expect(fhir.readName(undefined)).toBe('')
  })
})
