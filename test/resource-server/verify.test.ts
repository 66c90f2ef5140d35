import { base64url, CompactSign, type CryptoKey, exportSPKI, importJWK, SignJWT } from 'jose'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { AccessError, createVerifier, operationOutcome, type VerifierOptions } from '../../src/resource-server/index.ts'
import { startIssuer, type TestIssuer } from './issuer.ts'

const audience = 'https://fhir.example/r4'
let issuer: TestIssuer

beforeAll(async () => {
  issuer = await startIssuer()
  await issuer.addKey('rsa-1', 'RS256')
  await issuer.addKey('es384', 'ES384')
})
afterAll(() => issuer.close())

function verifier(options: Partial<VerifierOptions> = {}) {
  return createVerifier({ issuer: issuer.issuer, audience, jwksUri: `${issuer.issuer}/jwks`, ...options })
}

async function refusal(work: Promise<unknown>): Promise<AccessError> {
  const error = await work.then(
    () => new Error('it was accepted'),
    (thrown: unknown) => thrown,
  )
  if (!(error instanceof AccessError)) throw error
  return error
}

const encode = (value: object | string) => base64url.encode(typeof value === 'string' ? value : JSON.stringify(value))

/** A token whose header and claims are any text, signed for real. */
async function signText(claims: string, header: Record<string, unknown> = {}) {
  const key = issuer.privateKey('key-1')
  if (!key) throw new Error('no key')
  return new CompactSign(new TextEncoder().encode(claims))
    .setProtectedHeader({ alg: 'ES256', typ: 'at+jwt', kid: 'key-1', ...header })
    .sign(key)
}

describe('a good token', () => {
  it('says who, for whom, for which app, and what', async () => {
    const token = await verifier().verify(await issuer.sign())
    expect(token).toMatchObject({
      issuer: issuer.issuer,
      subject: 'member-1',
      clientId: 'app-1',
      scope: 'openid launch/patient patient/Patient.rs patient/Observation.rs',
      patient: 'maria',
      fhirUser: 'Patient/maria',
      grantId: 'grant-1',
      sensitivities: [],
    })
    expect(token.scopes.map((scope) => scope.kind)).toEqual(['plain', 'plain', 'resource', 'resource'])
    expect(token.expiresAt).toBeGreaterThan(Date.now() / 1000)
    expect(token.claims.client_id).toBe('app-1')
  })

  it.each([
    ['scope as a text', { scope: 'openid patient/Patient.rs' }],
    ['scope as a list', { scope: ['openid', 'patient/Patient.rs'] }],
    ['scp as a text', { scope: undefined, scp: 'openid patient/Patient.rs' }],
    ['scp as a list', { scope: undefined, scp: ['openid', 'patient/Patient.rs'] }],
  ])('may have its %s (R42)', async (_what, claims) => {
    expect((await verifier().verify(await issuer.sign(claims))).scope).toBe('openid patient/Patient.rs')
  })

  it.each(['AT+JWT', 'application/at+jwt', 'Application/At+Jwt'])('may have the type %s', async (typ) => {
    await expect(verifier().verify(await issuer.sign({}, { typ }))).resolves.toBeDefined()
  })

  it('may be RS256 with the type JWT, where the API says so (R42)', async () => {
    const token = await issuer.sign({}, { typ: 'JWT' }, 'rsa-1')
    await expect(verifier({ typ: ['JWT'], algorithms: ['RS256'] }).verify(token)).resolves.toBeDefined()
  })

  it('may be for several APIs, ours among them', async () => {
    await expect(
      verifier().verify(await issuer.sign({ aud: ['https://other.example', audience] })),
    ).resolves.toBeDefined()
  })

  it('may be for any of the audiences of this API (R6)', async () => {
    const api = verifier({ audience: ['https://alias.example', audience] })
    await expect(api.verify(await issuer.sign())).resolves.toBeDefined()
  })

  it('may lie within the tolerance of clocks', async () => {
    const now = Math.floor(Date.now() / 1000)
    const api = verifier({ clockTolerance: 30 })
    await expect(api.verify(await issuer.sign({ exp: now - 20 }))).resolves.toBeDefined()
    await expect(api.verify(await issuer.sign({ nbf: now + 20, iat: now + 20 }))).resolves.toBeDefined()
  })

  it('may name its patient by the alias alone, or have none', async () => {
    expect((await verifier().verify(await issuer.sign({ patient: undefined }))).patient).toBe('maria')
    const claims = { patient: undefined, patient_id: undefined, scope: undefined }
    expect(await verifier().verify(await issuer.sign(claims))).toMatchObject({
      patient: undefined,
      scope: '',
      scopes: [],
    })
  })

  it('has scopes that are not understood in its text only', async () => {
    const token = await verifier().verify(await issuer.sign({ scope: 'patient/Patient.sr patient/Patient.r internal' }))
    expect(token.scopes.map((scope) => scope.text)).toEqual(['patient/Patient.r'])
    expect(token.scope).toContain('internal')
  })

  it('says which sensitive categories were released, by the one claim for it (R25)', async () => {
    const token = await verifier().verify(await issuer.sign({ sensitivities: ['hiv', 'mental-health'] }))
    expect(token.sensitivities).toEqual(['hiv', 'mental-health'])
    const none = await verifier().verify(await issuer.sign({ sensitivity: 'hiv', scope: 'sensitive/hiv' }))
    expect(none.sensitivities).toEqual([])
  })
})

describe('a token that is refused (401)', () => {
  const seconds = () => Math.floor(Date.now() / 1000)
  const cases: [string, string, () => Promise<string>][] = [
    ['is empty', 'malformed_token', async () => ''],
    ['is opaque', 'malformed_token', async () => 'f3a9c0ffee'],
    ['has two parts', 'malformed_token', async () => (await issuer.sign()).split('.').slice(0, 2).join('.')],
    ['has four parts', 'malformed_token', async () => `${await issuer.sign()}.e30`],
    ['is encrypted', 'malformed_token', async () => `${await issuer.sign()}.e30.e30`],
    ['is too long', 'malformed_token', () => issuer.sign({ filler: 'x'.repeat(17_000) })],
    ['has white space', 'malformed_token', async () => `${await issuer.sign()}\n`],
    ['has padding', 'malformed_token', async () => `${await issuer.sign()}==`],
    ['has no JSON header', 'malformed_token', async () => `${encode('nonsense')}.${encode({})}.c2ln`],
    ['has a list as header', 'malformed_token', async () => `${encode('[]')}.${encode({})}.c2ln`],
    ['has null as claims', 'malformed_token', () => signText('null')],
    ['has a text as claims', 'malformed_token', () => signText('"claims"')],
    ['has broken claims', 'malformed_token', () => signText('{"iss":')],
    [
      'has claims that are no UTF-8',
      'malformed_token',
      async () => {
        const [header, , signature] = (await issuer.sign()).split('.')
        return `${header}.${base64url.encode(new Uint8Array([0x7b, 0xff, 0x7d]))}.${signature}`
      },
    ],
    [
      'says its patient twice',
      'malformed_token',
      () => {
        const claims = JSON.stringify(issuer.claims())
        return signText(`${claims.slice(0, -1)},"patient":"david"}`)
      },
    ],
    [
      'says its patient twice, once escaped',
      'malformed_token',
      () => {
        const claims = JSON.stringify(issuer.claims())
        return signText(`${claims.slice(0, -1)},"\\u0070atient":"david"}`)
      },
    ],
    [
      'says its algorithm twice',
      'malformed_token',
      async () => {
        const header = encode('{"alg":"ES256","typ":"at+jwt","kid":"key-1","alg":"none"}')
        return `${header}.${encode(issuer.claims())}.c2ln`
      },
    ],
    [
      'has a critical extension',
      'malformed_token',
      async () => {
        const header = encode({ alg: 'ES256', typ: 'at+jwt', kid: 'key-1', crit: ['x'], x: 1 })
        return `${header}.${encode(issuer.claims())}.c2ln`
      },
    ],
    ['has no type', 'wrong_type', () => issuer.sign({}, { typ: undefined })],
    ['is an ID token', 'wrong_type', () => issuer.sign({}, { typ: 'JWT' })],
    ['is a logout token', 'wrong_type', () => issuer.sign({}, { typ: 'logout+jwt' })],
    ['has a type that is no text', 'wrong_type', async () => `${encode({ alg: 'ES256', typ: 1 })}.${encode({})}.c2ln`],
    [
      'has alg none and no signature',
      'malformed_token',
      async () => {
        return `${encode({ alg: 'none', typ: 'at+jwt', kid: 'key-1' })}.${encode(issuer.claims())}.`
      },
    ],
    [
      'has alg none and a signature',
      'wrong_algorithm',
      async () => {
        return `${encode({ alg: 'none', typ: 'at+jwt', kid: 'key-1' })}.${encode(issuer.claims())}.c2ln`
      },
    ],
    [
      'has alg NonE',
      'wrong_algorithm',
      async () => {
        return `${encode({ alg: 'NonE', typ: 'at+jwt', kid: 'key-1' })}.${encode(issuer.claims())}.c2ln`
      },
    ],
    ['has no alg', 'wrong_algorithm', async () => `${encode({ typ: 'at+jwt' })}.${encode(issuer.claims())}.c2ln`],
    [
      'is HS256 with the public key as secret',
      'wrong_algorithm',
      async () => {
        const jwk = issuer.published.find((key) => key.kid === 'rsa-1') ?? {}
        const pem = await exportSPKI((await importJWK(jwk, 'RS256')) as CryptoKey)
        return new SignJWT(issuer.claims())
          .setProtectedHeader({ alg: 'HS256', typ: 'at+jwt', kid: 'rsa-1' })
          .sign(new TextEncoder().encode(pem))
      },
    ],
    ['has an algorithm that is good but not allowed here', 'wrong_algorithm', () => issuer.sign({}, {}, 'es384')],
    ['is of another issuer', 'wrong_issuer', () => issuer.sign({ iss: 'https://evil.example' })],
    ['is of the issuer with a slash', 'wrong_issuer', () => issuer.sign({ iss: `${issuer.issuer}/` })],
    ['has no issuer', 'wrong_issuer', () => issuer.sign({ iss: undefined })],
    ['has no kid', 'unknown_key', () => issuer.sign({}, { kid: undefined })],
    ['has an unknown kid', 'unknown_key', () => issuer.sign({}, { kid: 'key-9' })],
    ['has a kid that walks', 'unknown_key', () => issuer.sign({}, { kid: '../../../dev/null' })],
    ['has a kid of the prototype', 'unknown_key', () => issuer.sign({}, { kid: 'constructor' })],
    [
      'has a kid that is no text',
      'unknown_key',
      async () => {
        const header = encode({ alg: 'ES256', typ: 'at+jwt', kid: { a: 1 } })
        return `${header}.${encode(issuer.claims())}.c2ln`
      },
    ],
    ['names a key of another kind', 'unknown_key', () => issuer.sign({}, { kid: 'rsa-1' })],
    [
      'has changed claims',
      'bad_signature',
      async () => {
        const [header, , signature] = (await issuer.sign()).split('.')
        return `${header}.${encode(issuer.claims({ patient: 'david' }))}.${signature}`
      },
    ],
    [
      'has a short signature',
      'bad_signature',
      async () => `${(await issuer.sign()).split('.').slice(0, 2).join('.')}.c2ln`,
    ],
    ['is for another API', 'wrong_audience', () => issuer.sign({ aud: 'https://other.example' })],
    ['is for the API with a slash', 'wrong_audience', () => issuer.sign({ aud: `${audience}/` })],
    ['is for its app', 'wrong_audience', () => issuer.sign({ aud: 'app-1' })],
    ['is for nobody', 'wrong_audience', () => issuer.sign({ aud: undefined })],
    ['is for an empty list', 'wrong_audience', () => issuer.sign({ aud: [] })],
    ['has expired', 'expired', () => issuer.sign({ exp: seconds() - 11 })],
    ['has no expiry', 'malformed_claims', () => issuer.sign({ exp: undefined })],
    [
      'has a text for its expiry',
      'malformed_claims',
      () => signText(JSON.stringify({ ...issuer.claims(), exp: '9999999999' })),
    ],
    ['has a text for its start', 'malformed_claims', () => signText(JSON.stringify({ ...issuer.claims(), nbf: '0' }))],
    ['is not valid yet', 'not_yet_valid', () => issuer.sign({ nbf: seconds() + 60 })],
    ['comes from the future', 'not_yet_valid', () => issuer.sign({ iat: seconds() + 60 })],
    ['has no subject', 'malformed_claims', () => issuer.sign({ sub: undefined })],
    ['has no client', 'malformed_claims', () => issuer.sign({ client_id: undefined })],
    ['has a number for a client', 'malformed_claims', () => issuer.sign({ client_id: 7 })],
    ['has a number for a scope', 'malformed_claims', () => issuer.sign({ scope: 7 })],
    ['has a number among its scopes', 'malformed_claims', () => issuer.sign({ scope: ['openid', 7] })],
    ['has a text for sensitivities', 'malformed_claims', () => issuer.sign({ sensitivities: 'hiv' })],
    ['has null for sensitivities', 'malformed_claims', () => issuer.sign({ sensitivities: null })],
    ['has an object for sensitivities', 'malformed_claims', () => issuer.sign({ sensitivities: { hiv: true } })],
    ['has a number among its sensitivities', 'malformed_claims', () => issuer.sign({ sensitivities: ['hiv', 1] })],
    ['has an empty sensitivity', 'malformed_claims', () => issuer.sign({ sensitivities: [''] })],
    ['names two patients', 'malformed_claims', () => issuer.sign({ patient_id: 'david' })],
    ['names a list of patients', 'malformed_claims', () => issuer.sign({ patient: ['maria', 'david'] })],
    [
      'has a reference for a patient',
      'malformed_claims',
      () => issuer.sign({ patient: 'Patient/maria', patient_id: undefined }),
    ],
    ['has a patient that walks', 'malformed_claims', () => issuer.sign({ patient: '..', patient_id: undefined })],
    ['has an empty patient', 'malformed_claims', () => issuer.sign({ patient: '', patient_id: undefined })],
  ]

  it.each(cases)(
    '%s: %s [SMART app-launch.rs-validates, app-launch.rs-aud, app-launch.expired-refused] [RFC 8725 algorithms, typ, claims, encoding] [ASVS 9.1.2, 9.2.2]',
    async (_what, reason, make) => {
      const token = await make()
      const error = await refusal(verifier().verify(token))
      expect(error).toMatchObject({ status: 401, reason })
      expect(error.wwwAuthenticate).toMatch(
        /^Bearer realm="https:\/\/fhir.example\/r4", error="invalid_token", error_description="[^"]+"$/,
      )
    },
  )

  it('never has any of its text in the error', async () => {
    for (const [, , make] of cases) {
      const token = await make()
      const { message, description, wwwAuthenticate, stack } = await refusal(verifier().verify(token))
      const told = `${message} ${description} ${wwwAuthenticate} ${stack}`
      for (const part of token.split('.').filter((text) => text.length > 8)) expect(told).not.toContain(part)
      expect(told).not.toMatch(/member-1|app-1|maria|david|evil/)
    }
  })

  it('never brings its own key: jwk, jku and x5u are not looked at [RFC 8725 no-foreign-keys] [ASVS 9.1.3]', async () => {
    const attacker = await startIssuer()
    try {
      const headers = { jku: `${attacker.issuer}/jwks`, x5u: `${attacker.issuer}/x5u`, jwk: attacker.published[0] }
      const claims = issuer.claims()
      const error = await refusal(verifier().verify(await attacker.sign(claims, headers)))
      expect(error.reason).toBe('bad_signature')
      const unknown = await refusal(verifier().verify(await attacker.sign(claims, { ...headers, kid: 'theirs' })))
      expect(unknown.reason).toBe('unknown_key')
      expect(attacker.state.fetches).toBe(0)
    } finally {
      await attacker.close()
    }
  })

  it('tells the app what would be accepted', async () => {
    const api = verifier()
    expect((await refusal(api.verify(await issuer.sign({ aud: 'x' })))).description).toContain(`aud=${audience}`)
    expect((await refusal(api.verify(await issuer.sign({ iss: 'x' })))).description).toContain(issuer.issuer)
    expect((await refusal(api.verify(await issuer.sign({ exp: 1 })))).description).toContain('refresh token')
  })
})

describe('the Authorization header', () => {
  it.each(['Bearer', 'bearer', 'BEARER'])('may say %s', async (scheme) => {
    await expect(verifier().authenticate(`${scheme} ${await issuer.sign()}`)).resolves.toBeDefined()
  })

  it.each([undefined, '', '  ', 'Basic dXNlcjpwYXNz', 'Bearerx abc', 'DPoP abc'])(
    'without a bearer token (%j) gets a bare challenge (RFC 6750 section 3.1)',
    async (header) => {
      const error = await refusal(verifier({ realm: 'prairie' }).authenticate(header))
      expect(error).toMatchObject({ status: 401, reason: 'missing_token', wwwAuthenticate: 'Bearer realm="prairie"' })
    },
  )

  it.each(['Bearer', 'Bearer  ', 'Bearer a b', 'Bearer a, Bearer b', 'Bearer "a"', 'Bearer a\u0000', 'Bearer é'])(
    'that is malformed (%j) is 400 invalid_request',
    async (header) => {
      const error = await refusal(verifier().authenticate(header))
      expect(error).toMatchObject({ status: 400, reason: 'malformed_authorization' })
      expect(error.wwwAuthenticate).toContain('error="invalid_request"')
    },
  )
})

describe('createVerifier', () => {
  it.each([
    ['none', { algorithms: ['none'] }],
    ['a shared secret', { algorithms: ['ES256', 'HS256'] }],
    ['no algorithm', { algorithms: [] }],
    ['no audience', { audience: [] }],
    ['an empty audience', { audience: '' }],
    ['an empty issuer', { issuer: '' }],
  ])('refuses to be set up with %s', (_what, options) => {
    expect(() => verifier(options as Partial<VerifierOptions>)).toThrow(TypeError)
  })
})

describe('a refusal', () => {
  it('is answered as an OperationOutcome with its reason', async () => {
    const error = await refusal(verifier().authenticate(undefined))
    expect(operationOutcome(error)).toMatchObject({
      resourceType: 'OperationOutcome',
      issue: [{ severity: 'error', code: 'login', details: { coding: [{ code: 'missing_token' }] } }],
    })
    expect(error.headers).toEqual({ 'WWW-Authenticate': error.wwwAuthenticate })
  })

  it('cannot break out of its header', () => {
    const error = new AccessError({
      status: 401,
      reason: 'expired',
      description: 'a "b" \\ c\r\nSet-Cookie: d é',
      realm: 'x"y',
    })
    expect(error.wwwAuthenticate).toBe(
      `Bearer realm="x'y", error="invalid_token", error_description="a 'b' ' c??Set-Cookie: d ?"`,
    )
  })
})
