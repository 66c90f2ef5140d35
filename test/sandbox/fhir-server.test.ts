import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createSandboxFhir } from '../../src/sandbox/fhir/index.ts'
import { allTypes, base, people, type Sandbox, sensitiveCategories, startSandbox } from './world.ts'

let sandbox: Sandbox
let maria: string
beforeAll(async () => {
  sandbox = await startSandbox()
  maria = await sandbox.token('maria')
})
afterAll(() => sandbox.close())

const isOutcome = (response: { body: unknown; headers: Record<string, string> }) => {
  expect(response.headers['content-type']).toBe('application/fhir+json; charset=utf-8')
  expect(response.body).toMatchObject({ resourceType: 'OperationOutcome', issue: [{ severity: 'error' }] })
  expect(response.headers['access-control-allow-origin']).toBe('*')
}

describe('the CapabilityStatement', () => {
  it('is open, cacheable, and names the endpoints of the issuer (SMART oauth-uris, R1) [SMART app-launch.cors-discovery]', async () => {
    const response = await sandbox.get('/metadata').expect(200)
    expect(response.headers['cache-control']).toContain('public')
    const [rest] = response.body.rest
    expect(rest.security.service[0].coding[0].code).toBe('SMART-on-FHIR')
    const [uris] = rest.security.extension
    expect(uris.url).toBe('http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris')
    const named = Object.fromEntries(
      uris.extension.map((one: { url: string; valueUri: string }) => [one.url, one.valueUri]),
    )
    const at = (path: string) => `${sandbox.issuer.issuer}/${path}`
    expect(named).toEqual({
      authorize: at('authorize'),
      token: at('token'),
      introspect: at('introspect'),
      revoke: at('revoke'),
    })
  })

  it('lists exactly the types, profiles and parameters that the sandbox has (R1)', async () => {
    const { body } = await sandbox.get('/metadata').expect(200)
    const resources = body.rest[0].resource as {
      type: string
      supportedProfile: string[]
      searchParam: { name: string }[]
    }[]
    expect(resources.map((r) => r.type)).toEqual(allTypes)
    for (const { type, supportedProfile, searchParam } of resources) {
      expect(supportedProfile.length, type).toBeGreaterThan(0)
      const strict = { Prefer: 'handling=strict' }
      for (const { name } of searchParam) {
        const value = /date|period|effective|authoredon|created|whenhandedover|lastUpdated/i.test(name)
          ? '2025'
          : 'maria'
        await sandbox
          .get(`/${type}?${name}=${value}&_count=0`, maria)
          .set(strict)
          .expect((r) => {
            if (r.status === 400) throw new Error(`${type}?${name}: ${r.text}`)
          })
      }
    }
  })

  it('is written as the request wishes: pretty, by HEAD, with the format named', async () => {
    expect((await sandbox.get('/metadata?_pretty=true')).text).toContain('\n  "resourceType"')
    expect((await sandbox.get('/metadata')).text).not.toContain('\n')
    const head = await sandbox.request('head', '/metadata').expect(200)
    expect(head.text).toBeFalsy()
    for (const format of ['json', 'application/json', 'application/fhir+json', 'application/fhir%2Bjson']) {
      await sandbox.get(`/metadata?_format=${format}`).expect(200)
    }
  })
})

describe('formats', () => {
  it.each(['xml', 'application/fhir%2Bxml', 'ttl', 'html'])('_format=%s is 406', async (format) => {
    isOutcome(await sandbox.get(`/Patient/maria?_format=${format}`, maria).expect(406))
  })

  it('Accept decides where _format is silent', async () => {
    isOutcome(await sandbox.get('/Patient/maria', maria).set('Accept', 'application/fhir+xml').expect(406))
    await sandbox.get('/Patient/maria?_format=json', maria).set('Accept', 'application/fhir+xml').expect(200)
    for (const accept of [
      '*/*',
      'application/json',
      'application/fhir+json; fhirVersion=4.0',
      'text/html, application/*;q=0.5',
    ]) {
      await sandbox.get('/Patient/maria', maria).set('Accept', accept).expect(200)
    }
  })
})

describe('access tokens', () => {
  it('are needed: none is 401 with a challenge of the API', async () => {
    const response = await sandbox.get('/Patient/maria').expect(401)
    isOutcome(response)
    expect(response.headers['www-authenticate']).toMatch(`Bearer realm="${base}", DPoP realm="${base}", algs="ES256 `)
    expect(response.headers['access-control-expose-headers']).toContain('WWW-Authenticate')
  })

  it.each<[string, () => Promise<string>]>([
    ['expired', () => sandbox.issuer.sign({ aud: base, exp: 1_700_000_000, iat: 1_699_999_000 })],
    ['for another API', () => sandbox.issuer.sign({ aud: 'https://fhir.example/r4' })],
    ['of another issuer', () => sandbox.issuer.sign({ aud: base, iss: 'https://elsewhere.example' })],
    ['an ID token', () => sandbox.issuer.sign({ aud: base }, { typ: 'JWT' })],
    ['garbage', async () => 'not-a-token'],
  ])('that are %s are 401 invalid_token', async (_, make) => {
    const response = await sandbox.get('/Patient/maria', await make()).expect(401)
    isOutcome(response)
    expect(response.headers['www-authenticate']).toContain('error="invalid_token"')
  })

  it('without the scope are 403 that names the scope', async () => {
    const response = await sandbox.get('/Observation', await sandbox.token('maria', 'patient/Patient.rs')).expect(403)
    isOutcome(response)
    expect(response.headers['www-authenticate']).toContain('scope="patient/Observation.rs"')
  })

  it('are not blamed while the keys cannot be had: 503 with Retry-After, and the same token works afterwards (R43)', async () => {
    const other = await startSandbox()
    const token = await other.token('maria')
    other.issuer.state.status = 500
    const down = await other.get('/Patient/maria', token).expect(503)
    isOutcome(down)
    expect(Number(down.headers['retry-after'])).toBeGreaterThan(0)
    expect(down.headers['www-authenticate']).toBeUndefined()
    expect(other.logged.length).toBe(1)
    other.issuer.state.status = 200
    other.clock.ahead = Number(down.headers['retry-after']) * 1000
    await other.get('/Patient/maria', token).expect(200)
    await other.close()
  })

  it('of an issuer with another token profile are understood (R42)', async () => {
    await sandbox.issuer.addKey('rsa', 'RS256')
    const summit = createSandboxFhir({
      issuer: sandbox.issuer.issuer,
      jwksUri: `${sandbox.issuer.issuer}/jwks`,
      api: {
        name: 'Summit',
        baseUrl: 'http://localhost:3000/v5/summit/fhir',
        resources: allTypes,
        tokenProfile: {
          algorithm: 'RS256',
          typ: 'JWT',
          scopeClaim: 'scp',
          scopeFormat: 'array',
          patientAliases: [],
          clientIdAliases: [],
          claims: {},
        },
      },
      endpoints: { authorization: '', token: '', introspection: '', revocation: '' },
      people,
      sensitiveCategories,
      log: { error: () => undefined, warn: () => undefined } as unknown as Parameters<
        typeof createSandboxFhir
      >[0]['log'],
    })
    const claims = {
      aud: 'http://localhost:3000/v5/summit/fhir',
      scope: undefined,
      scp: ['patient/*.rs'],
      patient: 'maria',
    }
    const token = await sandbox.issuer.sign(claims, { typ: 'JWT' }, 'rsa')
    const headers = { authorization: `Bearer ${token}` }
    expect((await summit.handle({ method: 'GET', url: '/Patient/maria', headers })).status).toBe(200)
    const ours = { authorization: `Bearer ${await sandbox.issuer.sign({ ...claims, scope: 'patient/*.rs' })}` }
    expect((await summit.handle({ method: 'GET', url: '/Patient/maria', headers: ours })).status).toBe(401)
  })
})

describe('what the sandbox does not do', () => {
  it.each([
    ['post', '/Patient'],
    ['put', '/Patient/maria'],
    ['patch', '/Patient/maria'],
    ['delete', '/Patient/maria'],
    ['put', '/Patient?identifier=a'],
    ['post', '/Patient/maria/$everything'],
    ['post', '/nowhere/at/all'],
  ] as const)('%s %s is 405 with Allow', async (method, where) => {
    const response = await sandbox.request(method, where, maria).send('{}').expect(405)
    isOutcome(response)
    expect(response.headers.allow).toContain('GET')
  })

  it.each([
    [404, '/Nonsense'],
    [404, '/Nonsense/1'],
    [404, '/Claim'],
    [404, '/Patient/maria/bad/path'],
    [404, '/Patient/%2e%2e/metadata'],
    [404, '/Patient/%zz'],
    [501, '/Patient/maria/_history'],
    [501, '/Patient/maria/_history/1'],
    [501, '/Observation/_history'],
    [400, '/$export'],
    [400, '/Patient/$match'],
    [400, '/Observation/maria-lab-1/$everything'],
    [400, '/'],
    [400, '?_type=Patient'],
  ])('is answered with %i and an OperationOutcome: %s', async (status, where) => {
    isOutcome(await sandbox.get(where, maria).expect(status))
  })

  it('batches are refused', async () => {
    isOutcome(await sandbox.request('post', '', maria).send('{"resourceType":"Bundle"}').expect(400))
  })
})

describe('the routes', () => {
  it('leave alone what is not below the base, and .well-known below it', async () => {
    for (const path of [
      '/prairie/sandbox',
      '/prairie/sandbox/fhirs/metadata',
      '/prairie/sandbox/fhir/.well-known/smart-configuration',
    ]) {
      await sandbox.get(`http://localhost:3000${path}`).expect(418)
    }
    await sandbox.get('/metadata').set('Host', 'elsewhere.example').expect(418)
  })

  it('answer at the aliases of the base too, with links to the base itself (R41)', async () => {
    const { body } = await sandbox.get('http://localhost:3000/old/fhir/Observation?_count=1', maria).expect(200)
    expect(body.link[0].url).toBe(`${base}/Observation?_count=1`)
  })

  it('answer preflights from any origin (R5) [SMART app-launch.cors-registered]', async () => {
    const response = await sandbox
      .request('options', '/Patient/maria')
      .set('Origin', 'https://app.example')
      .set('Access-Control-Request-Method', 'GET')
      .set('Access-Control-Request-Headers', 'authorization')
      .expect(204)
    expect(response.headers['access-control-allow-origin']).toBe('*')
    expect(response.headers['access-control-allow-headers']).toContain('Authorization')
    expect(response.headers['access-control-allow-methods']).toContain('POST')
  })

  it('never let data into a cache', async () => {
    const response = await sandbox.get('/Patient/maria', maria).expect(200)
    expect(response.headers['cache-control']).toBe('no-store')
  })

  it('refuse a search by POST that is no form, or too long', async () => {
    isOutcome(await sandbox.request('post', '/Observation/_search', maria).send({ code: '1' }).expect(415))
    const long = `code=${'1'.repeat(70_000)}`
    isOutcome(await sandbox.request('post', '/Observation/_search', maria).type('form').send(long).expect(413))
  })
})

describe('an API with few types', () => {
  let few: Sandbox
  beforeAll(async () => {
    few = await startSandbox(['Patient', 'Coverage'])
  })
  afterAll(() => few.close())

  it.each([
    '/Patient?_revinclude=Condition:subject',
    '/Patient?_revinclude=Observation:patient',
    '/Patient/maria/$everything',
  ])('has nothing of the others, even for a wildcard: %s', async (where) => {
    const token = await few.token('maria')
    const found = (await few.pages(where, token)).flatMap(({ entry = [] }) => entry.map(({ resource }) => resource))
    expect(found.length).toBeGreaterThan(0)
    expect(found.filter(({ resourceType }) => !['Patient', 'Coverage'].includes(resourceType))).toEqual([])
    const whole = await sandbox.pages(where, maria)
    expect(whole.flatMap(({ entry = [] }) => entry).length).toBeGreaterThan(found.length)
  })
})
