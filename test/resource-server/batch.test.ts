import { describe, expect, it } from 'vitest'
import { decideBatch, parseBatch } from '../../src/resource-server/index.ts'
import { tokenWith } from './tokens.ts'

const baseUrl = 'https://fhir.example/r4'
const bundle = (type: string, ...lines: string[]) => ({
  resourceType: 'Bundle',
  type,
  entry: lines.map((line) => ({ request: { method: line.split(' ')[0], url: line.split(' ')[1] ?? '' } })),
})
const outcomes = (scope: string, asked: unknown) => {
  const batch = parseBatch(asked, { baseUrl })
  if (!batch) throw new Error('no batch')
  return decideBatch(tokenWith(scope), batch, { baseUrl }).map((made) => (made.allowed ? 'allowed' : made.error.reason))
}

describe('a batch is judged entry by entry [SMART scopes.batch]', () => {
  it('each as it would be by itself', () => {
    const lines = [
      'GET Patient/maria',
      'GET Patient/other',
      'GET Observation?patient=maria',
      `GET ${baseUrl}/Observation/1`,
      'GET Condition',
      'POST Observation',
      'DELETE Patient/maria',
      'GET Patient/maria/$everything',
      'GET metadata',
      'GET Observation?_include=Observation:encounter:Encounter',
    ]
    const scope = 'patient/Patient.rs patient/Observation.rs'
    expect(outcomes(scope, bundle('batch', ...lines))).toEqual([
      'allowed',
      'other_patient',
      'allowed',
      'allowed',
      'scope_missing',
      'scope_missing',
      'scope_missing',
      'allowed',
      'allowed',
      'scope_missing',
    ])
  })

  it('keeps each entry’s own filter', () => {
    const batch = parseBatch(bundle('batch', 'GET Patient/maria', 'GET Observation'), { baseUrl })
    if (!batch) throw new Error('no batch')
    const [first, second] = decideBatch(tokenWith('patient/Patient.r patient/Observation.s'), batch, { baseUrl })
    const own = { resourceType: 'Observation', subject: { reference: 'Patient/maria' } }
    expect(second?.allowed && second.filter(own)).toBe(true)
    expect(first?.allowed && first.filter(own)).toBe(false)
  })

  it('a transaction is allowed whole or not at all', () => {
    const scope = 'patient/Observation.cruds patient/Patient.rs'
    expect(outcomes(scope, bundle('transaction', 'POST Observation', 'PUT Observation/1'))).toEqual([
      'allowed',
      'allowed',
    ])
    expect(
      outcomes(scope, bundle('transaction', 'POST Observation', 'PUT Patient/maria', 'GET Patient/other')),
    ).toEqual(Array(3).fill('scope_missing'))
  })

  it.each([
    'GET https://elsewhere.example/r4/Patient/maria',
    'GET https://fhir.example/r4x/Patient/maria',
    'GET /r4/Patient/maria',
    'GET //elsewhere.example/r4/Patient/maria',
    'GET Patient/../Observation',
    'GET urn:uuid:1',
    'GET Spaceship',
    'TRACE Patient/maria',
    'POST Observation/_search',
    'DELETE Observation?code=1',
  ])('%s is not understood', (line) => {
    expect(outcomes('patient/*.cruds', bundle('batch', line))).toEqual(['malformed_request'])
  })

  it('nothing is hidden in it: no batch in a batch, no search behind a conditional create, nothing for all', () => {
    expect(outcomes('patient/*.cruds', bundle('batch', 'POST', 'GET', 'GET ?_type=Patient', 'POST $export'))).toEqual([
      'unsupported_request',
      'unsupported_request',
      'unsupported_request',
      'unsupported_operation',
    ])
    const conditional = { request: { method: 'POST', url: 'Observation', ifNoneExist: 'code=1' } }
    expect(outcomes('patient/*.cruds', { ...bundle('batch'), entry: [conditional] })).toEqual(['malformed_request'])
  })

  it.each([
    [null],
    [{}],
    [{ request: 'GET Patient/maria' }],
    [{ request: { method: 'GET' } }],
    [{ request: { method: 1, url: 2 } }],
  ])('an entry like %j opens nothing', (entry) =>
    expect(outcomes('patient/*.cruds', { ...bundle('batch'), entry: [entry] })).toEqual(['malformed_request']),
  )

  it.each([
    [undefined],
    ['a text'],
    [[]],
    [{ resourceType: 'Bundle', type: 'collection' }],
    [{ resourceType: 'Patient', type: 'batch' }],
    [{ resourceType: 'Bundle', type: 'batch', entry: {} }],
  ])('%j is no batch', (body) => expect(parseBatch(body, { baseUrl })).toBeUndefined())

  it('an empty one is one', () => expect(outcomes('', bundle('batch'))).toEqual([]))
})
