import { describe, expect, it } from 'vitest'
import { parseRequest } from '../../src/resource-server/index.ts'

const baseUrl = 'https://fhir.example/prairie/fhir'

function parse(line: string, body?: unknown) {
  const [method = '', path = ''] = line.split(' ')
  return parseRequest({ method, url: `/prairie/fhir${path}`, baseUrl, body })
}

describe('parseRequest', () => {
  it.each([
    ['GET /Patient/maria', { level: 'instance', interaction: 'read', resource: 'Patient', id: 'maria' }],
    ['HEAD /Patient/maria', { level: 'instance', interaction: 'read', resource: 'Patient', id: 'maria' }],
    ['GET /Patient/maria/', { level: 'instance', interaction: 'read', resource: 'Patient', id: 'maria' }],
    ['GET /Patient/maria/_history/2', { level: 'instance', interaction: 'vread', id: 'maria', versionId: '2' }],
    ['GET /Patient/maria/_history', { level: 'instance', interaction: 'history', id: 'maria' }],
    ['GET /Patient/_history', { level: 'type', interaction: 'history', resource: 'Patient' }],
    ['GET /_history', { level: 'system', interaction: 'history' }],
    ['GET /Observation', { level: 'type', interaction: 'search', resource: 'Observation', query: [] }],
    ['GET /Observation/', { level: 'type', interaction: 'search', resource: 'Observation', query: [] }],
    [
      'GET /Observation?code=1&code=2',
      {
        interaction: 'search',
        query: [
          ['code', '1'],
          ['code', '2'],
        ],
      },
    ],
    ['GET /Observation/?code=a%7Cb', { interaction: 'search', query: [['code', 'a|b']] }],
    ['GET /?_type=Patient', { level: 'system', interaction: 'search' }],
    ['GET /metadata', { level: 'system', interaction: 'capabilities' }],
    ['POST /', { level: 'system', interaction: 'batch' }],
    ['POST ', { level: 'system', interaction: 'batch' }],
    ['POST /Observation', { level: 'type', interaction: 'create', resource: 'Observation' }],
    ['PUT /Observation/1', { level: 'instance', interaction: 'update', id: '1' }],
    ['PATCH /Observation/1', { level: 'instance', interaction: 'patch', id: '1' }],
    ['DELETE /Observation/1', { level: 'instance', interaction: 'delete', id: '1' }],
    [
      'GET /Patient/maria/$everything',
      { level: 'instance', interaction: 'operation', operation: '$everything', id: 'maria' },
    ],
    ['GET /Patient/$everything', { level: 'type', interaction: 'operation', operation: '$everything' }],
    ['POST /$export', { level: 'system', interaction: 'operation', operation: '$export' }],
    [
      'GET /Patient/maria/Observation?code=1',
      {
        level: 'type',
        interaction: 'search',
        resource: 'Observation',
        compartment: { resource: 'Patient', id: 'maria' },
        query: [['code', '1']],
      },
    ],
  ])('reads %s', (line, request) => expect(parse(line)).toMatchObject(request))

  it.each([
    ['text', 'code=1&patient=maria'],
    ['URLSearchParams', new URLSearchParams('code=1&patient=maria')],
    ['an object', { code: '1', patient: 'maria' }],
    ['an object with lists', { code: ['1'], patient: ['maria'] }],
  ])('reads the form of a _search as %s, with the query of the URL', (_what, body) => {
    const query = [
      ['_count', '5'],
      ['code', '1'],
      ['patient', 'maria'],
    ]
    expect(parse('POST /Observation/_search?_count=5', body)).toMatchObject({ interaction: 'search', query })
    expect(parse('POST /Patient/maria/Observation/_search?_count=5', body)).toMatchObject({
      interaction: 'search',
      compartment: { resource: 'Patient', id: 'maria' },
      query,
    })
  })

  it.each([undefined, null, 7, ['patient', 'maria'], { patient: { nested: 'other' } }, { patient: 7 }])(
    'does not guess what the form of a _search says: %j',
    (body) => expect(parse('POST /Observation/_search', body).interaction).toBe('unknown'),
  )

  it.each([
    'GET /patient/maria',
    'GET /Spaceship',
    'GET /Spaceship/1',
    'GET /constructor',
    'GET //Patient/maria',
    'GET /Patient//maria',
    'GET /Patient/maria//',
    'GET /Patient/maria/Spaceship',
    'GET /Patient/maria/*',
    'GET /Patient/maria/Observation/1',
    'GET /Patient/maria/_history/1/more',
    'GET /Patient/maria/$everything/more',
    'GET /Patient/_search',
    'POST /Patient/_search/more',
    'POST /Patient/maria/Observation/_search/more',
    'POST /Patient/maria',
    'POST /Patient/maria/_history',
    'PUT /Patient',
    'PUT /Patient?identifier=1',
    'PATCH /Patient?identifier=1',
    'DELETE /Patient?identifier=1',
    'GET /Patient/..',
    'GET /Patient/.',
    'GET /Patient/../Observation',
    'GET /Patient/%2e%2e/Observation',
    'GET /Patient/maria%2FObservation',
    'GET /Patient/maria%00',
    'GET /Patient/maria%zz',
    'GET /Patient/under_score',
    `GET /Patient/${'a'.repeat(65)}`,
    'GET /Patient/maria;v=1',
    'TRACE /Patient/maria',
    'OPTIONS /Patient/maria',
    'CONNECT /',
    'PUT /metadata',
    'GET /metadata/more',
    'GET /.well-known/smart-configuration',
  ])('does not know %s', (line) => expect(parse(line, {}).interaction).toBe('unknown'))

  it.each([
    ['outside the base', '/prairie/other/Patient/maria'],
    ['beside the base', '/prairie/fhirs/Patient/maria'],
    ['above the base', '/prairie'],
    ['the base that is walked out of', '/prairie/fhir/../Patient/maria'],
  ])('does not know a path %s', (_what, url) => {
    expect(parseRequest({ method: 'GET', url, baseUrl }).interaction).toBe('unknown')
  })

  it.each([
    ['an absolute base with a slash', 'https://fhir.example/prairie/fhir/', '/prairie/fhir/Patient/maria'],
    ['a path as base', '/prairie/fhir', '/prairie/fhir/Patient/maria'],
    ['the root as base', 'https://fhir.example', '/Patient/maria'],
    ['an absolute URL', baseUrl, `${baseUrl}/Patient/maria`],
    ['a fragment', baseUrl, '/prairie/fhir/Patient/maria?a=b#c'],
  ])('understands %s', (_what, base, url) => {
    expect(parseRequest({ method: 'get', url, baseUrl: base })).toMatchObject({ interaction: 'read', id: 'maria' })
  })
})
