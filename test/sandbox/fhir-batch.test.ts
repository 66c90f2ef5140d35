import { createHash } from 'node:crypto'
import { calculateJwkThumbprint, exportJWK, generateKeyPair, SignJWT } from 'jose'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { base, type Sandbox, startSandbox } from './world.ts'

let sandbox: Sandbox
let maria: string
beforeAll(async () => {
  sandbox = await startSandbox()
  maria = await sandbox.token('maria')
})
afterAll(() => sandbox.close())

const post = (body: object | string, token: string | undefined = maria, where = '') =>
  sandbox.request('post', where, token).set('Content-Type', 'application/fhir+json').send(body)
const bundle = (type: string, ...lines: string[]) => ({
  resourceType: 'Bundle',
  type,
  entry: lines.map((line) => ({ request: { method: line.split(' ')[0], url: line.split(' ')[1] } })),
})

describe('a batch at the sandbox [SMART scopes.batch]', () => {
  it('answers each entry as it would be answered by itself', async () => {
    const { body } = await post(
      bundle(
        'batch',
        'GET Patient/maria',
        'GET Observation?category=laboratory&_count=2',
        'GET Patient/david',
        'GET Observation?patient=david',
        'GET Patient/nobody',
        'PUT Patient/maria',
        'GET Observation?_has:Observation:patient:code=1',
        'GET Nonsense/1',
      ),
    ).expect(200)
    expect(body.type).toBe('batch-response')
    const statuses = body.entry.map(({ response }: { response: { status: string } }) => response.status)
    expect(statuses).toEqual([
      '200 OK',
      '200 OK',
      '403 Forbidden',
      '403 Forbidden',
      '403 Forbidden',
      '405 Method Not Allowed',
      '400 Bad Request',
      '404 Not Found',
    ])
    expect(body.entry[0].resource).toMatchObject({ resourceType: 'Patient', id: 'maria' })
    expect(body.entry[0].response.etag).toMatch(/^W\//)
    expect(body.entry[1].resource).toMatchObject({ resourceType: 'Bundle', type: 'searchset' })
    expect(body.entry[2]).not.toHaveProperty('resource')
    expect(body.entry[2].response.outcome.issue[0].details.coding[0].code).toBe('other_patient')
  })

  it('withholds in each what the token does not open', async () => {
    const token = await sandbox.token('maria', 'patient/Patient.rs patient/Observation.rs?category=laboratory')
    const { body } = await post(
      bundle(
        'batch',
        'GET Observation?_count=100',
        'GET Condition',
        'GET Patient/maria/$everything?_type=Observation,Condition&_count=9',
      ),
      token,
    )
    const found = body.entry[0].resource.entry.map(({ resource }: { resource: { category: unknown } }) =>
      JSON.stringify(resource.category),
    )
    expect(found.length).toBeGreaterThan(0)
    for (const category of found) expect(category).toContain('"laboratory"')
    expect(body.entry[1].response.status).toBe('403 Forbidden')
    const types = body.entry[2].resource.entry.map(
      ({ resource }: { resource: { resourceType: string } }) => resource.resourceType,
    )
    expect(new Set(types)).toEqual(new Set(['Observation']))
  })

  it('a transaction of reads is answered, one with anything refused is refused whole', async () => {
    const { body } = await post(bundle('transaction', 'GET Patient/maria', 'GET Coverage')).expect(200)
    expect(body).toMatchObject({ type: 'transaction-response', entry: [{}, {}] })
    const refused = await post(bundle('transaction', 'GET Patient/maria', 'GET Patient/david')).expect(403)
    expect(refused.body.resourceType).toBe('OperationOutcome')
    await post(bundle('transaction', 'GET Patient/maria', 'POST Observation')).expect(403)
  })

  it.each([
    ['nothing', ''],
    ['no JSON', '{'],
    ['another resource', { resourceType: 'Patient' }],
    ['a Bundle of another type', { resourceType: 'Bundle', type: 'searchset' }],
  ])('%s is 400', async (_what, body) => {
    expect((await post(body).expect(400)).body.resourceType).toBe('OperationOutcome')
  })

  it('more than fifty entries are 413, and no token is 401', async () => {
    await post(bundle('batch', ...Array<string>(51).fill('GET Patient/maria'))).expect(413)
    await sandbox.request('post', '').set('Content-Type', 'application/json').send(bundle('batch')).expect(401)
  })
})

describe('the CapabilityStatement', () => {
  it('says that batches are answered, and where tokens come from, to scripts of any origin [SMART app-launch.cors-discovery]', async () => {
    const response = await sandbox.get('/metadata').set('Origin', 'https://app.example').expect(200)
    expect(response.headers['access-control-allow-origin']).toBe('*')
    expect(response.body.rest[0]).toMatchObject({
      interaction: [{ code: 'batch' }, { code: 'transaction' }],
      security: {
        cors: true,
        service: [
          {
            coding: [
              { system: 'http://terminology.hl7.org/CodeSystem/restful-security-service', code: 'SMART-on-FHIR' },
            ],
          },
        ],
      },
    })
  })
})

describe('tokens that are bound to a key (DPoP) at the sandbox', () => {
  const boundToken = async () => {
    const { privateKey, publicKey } = await generateKeyPair('ES256')
    const jwk = await exportJWK(publicKey)
    const claims = {
      aud: base,
      patient: 'maria',
      scope: 'patient/*.rs',
      cnf: { jkt: await calculateJwkThumbprint(jwk) },
    }
    const token = await sandbox.issuer.sign(claims)
    const proof = (htu: string, htm = 'GET') =>
      new SignJWT({
        jti: crypto.randomUUID(),
        iat: Math.floor(Date.now() / 1000),
        htm,
        htu,
        ath: createHash('sha256').update(token).digest('base64url'),
      })
        .setProtectedHeader({ typ: 'dpop+jwt', alg: 'ES256', jwk })
        .sign(privateKey)
    return { token, proof }
  }

  it('open what they say, each request with a proof of its own, by the base or its alias', async () => {
    const { token, proof } = await boundToken()
    const ask = (where: string, made: string) =>
      sandbox.request('get', where).set('Authorization', `DPoP ${token}`).set('DPoP', made)
    const made = await proof(`${base}/Patient/maria`)
    await ask('/Patient/maria?_pretty=true', made).expect(200)
    const again = await ask('/Patient/maria', made).expect(401)
    expect(again.headers['www-authenticate']).toMatch(/^DPoP .*error="invalid_dpop_proof"/)
    const alias = 'http://localhost:3000/old/fhir/Patient/maria'
    await ask(alias, await proof(alias)).expect(200)
    await ask('/Patient/maria', await proof(alias)).expect(401)
    await ask('/Patient/david', await proof(`${base}/Patient/david`)).expect(403)
  })

  it('are refused as bearer tokens, without a proof, and with one for another method', async () => {
    const { token, proof } = await boundToken()
    const stolen = await sandbox.get('/Patient/maria', token).expect(401)
    expect(stolen.headers['www-authenticate']).toMatch(/^DPoP .*error="invalid_token"/)
    await sandbox.request('get', '/Patient/maria').set('Authorization', `DPoP ${token}`).expect(401)
    const wrong = await proof(`${base}/Patient/maria`, 'POST')
    await sandbox.request('get', '/Patient/maria').set('Authorization', `DPoP ${token}`).set('DPoP', wrong).expect(401)
  })

  it('may be sent by scripts', async () => {
    const { headers } = await sandbox.request('options', '/Patient/maria').expect(204)
    expect(headers['access-control-allow-headers']).toMatch(/\bDPoP\b/)
  })
})

describe('user/ and system/ scopes at the sandbox', () => {
  const service = (scope: string, claims = {}) =>
    sandbox.issuer.sign({
      ...{ aud: base, scope, sub: 'service-1', client_id: 'service-1' },
      ...{ patient: undefined, patient_id: undefined, fhirUser: undefined, grant_id: undefined },
      ...claims,
    })

  it('user/ scopes open the patient in context only [SMART scopes.user-semantics]', async () => {
    const token = await sandbox.token('maria', 'user/*.rs')
    await sandbox.get('/Patient/maria', token).expect(200)
    await sandbox.get('/Patient/david', token).expect(403)
    expect((await sandbox.search('/Patient', token)).total).toBe(1)
  })

  it('system/ scopes open every patient, and nothing that is sensitive [SMART scopes.system-semantics]', async () => {
    const token = await service('system/Patient.rs system/Encounter.rs system/Condition.rs')
    const { total } = await sandbox.search('/Patient', token)
    expect(total).toBeGreaterThan(1)
    await sandbox.get('/Patient/david', token).expect(200)
    expect((await sandbox.search('/Encounter?patient=maria', token)).total).toBeGreaterThan(0)
    await sandbox.get('/Observation', token).expect(403)
    const pages = await sandbox.pages('/Condition?_count=500', token)
    for (const { resource } of pages.flatMap(({ entry = [] }) => entry)) expect(resource.meta.security).toBeUndefined()
  })

  it('system/ scopes open nothing in a token that is somebody’s', async () => {
    await sandbox.get('/Patient/maria', await sandbox.token('maria', 'system/*.rs')).expect(403)
    await sandbox.get('/Patient/maria', await service('system/*.rs', { sub: 'member-1' })).expect(403)
    await sandbox.get('/Patient/maria', await service('system/*.rs', { fhirUser: 'Practitioner/1' })).expect(403)
  })
})
