/** What an authorization hands out: the answer, the tokens in it, and what they open (R3). */
import { createLocalJWKSet, decodeJwt, type JSONWebKeySet, type JWTPayload, jwtVerify } from 'jose'
import { parseScopes } from '../smart/scope.ts'
import { covers } from '../smart/scope-set.ts'
import { NoCode, type Tokens } from './app.ts'
import { type Check, failed, faultless, passed, Skip, skipped, told, type Verdict, warned } from './check.ts'
import { isObject, type Json, seenIn, textOf, trimmed } from './documents.ts'
import type { Examination } from './examination.ts'
import type { Answer } from './http.ts'

const answerSection = 'SMART App Launch 2.2, App Launch, Obtain access token, Response; R3'
const identity = 'SMART App Launch 2.2, Scopes and Launch Context, Identity data; OpenID Connect Core, section 2'

const scopesOf = (value: unknown): string[] =>
  (Array.isArray(value) ? value.map(String) : typeof value === 'string' ? value.split(' ') : []).filter(Boolean).sort()

const sameScopes = (one: unknown, other: unknown): boolean => scopesOf(one).join(' ') === scopesOf(other).join(' ')

/** What an app needs in every answer of the token endpoint, on refresh too. */
export const answerFaults = (body: Json, asked: string): string[] => {
  const faults: string[] = []
  const { expires_in: life, scope, patient } = body
  if (!Number.isInteger(life)) faults.push(`expires_in is ${JSON.stringify(life) ?? 'missing'}`)
  if (typeof scope !== 'string' || scope === '') faults.push('no scope')
  const restricted = /(^| )(patient\/|launch\/patient)/.test(typeof scope === 'string' ? scope : asked)
  if (restricted && !(typeof patient === 'string' && /^[A-Za-z0-9.-]{1,64}$/.test(patient)))
    faults.push(patient === undefined ? 'no patient' : 'patient is no bare id')
  return faults
}

/** Scopes that were granted and never asked for. */
const surplus = (granted: string, asked: string): string[] => {
  const held = parseScopes(asked).scopes
  const names = new Set(asked.split(' '))
  return scopesOf(granted).filter((text) => {
    // What a patient/ scope needs may be inferred (SMART, "Scopes for requesting context data").
    if (names.has(text) || text === 'launch/patient') return false
    const [scope] = parseScopes(text).scopes
    return !scope || !covers(held, scope)
  })
}

export const claimsOf = (token: string): JWTPayload | undefined => {
  try {
    return decodeJwt(token)
  } catch {
    return undefined
  }
}

const jwtOf = ({ accessToken }: Tokens): JWTPayload => {
  const claims = claimsOf(accessToken)
  if (!claims) throw new Skip('the access token is opaque, which is allowed')
  return claims
}

const idTokenOf = async ({ app, server }: Examination): Promise<{ tokens: Tokens; token: string }> => {
  if (!(await server.capabilities()).includes('sso-openid-connect'))
    throw new Skip('sso-openid-connect is no capability here')
  const tokens = await app.main()
  const token = textOf(tokens.body, 'id_token')
  if (!token) throw new Skip('there is no ID token')
  return { tokens, token }
}

const verified = async ({ server }: Examination, token: string, algorithms?: string[]): Promise<Verdict> => {
  const keys = createLocalJWKSet({ keys: await server.jwks() } as unknown as JSONWebKeySet)
  try {
    const { protectedHeader } = await jwtVerify(token, keys, { ...(algorithms ? { algorithms } : {}) })
    return passed(protectedHeader.alg)
  } catch (error) {
    return failed(error instanceof Error ? error.message : 'it does not verify')
  }
}

/** A request to the FHIR server with a token. */
export const read = async ({ server, http }: Examination, path: string, token: string): Promise<Answer> =>
  http.send(`${await server.fhirBase()}${path}`, {
    headers: { accept: 'application/fhir+json', authorization: `Bearer ${token}` },
  })

const patientOf = ({ body }: Tokens): string => {
  const patient = textOf(body, 'patient')
  if (!patient) throw new Skip('no patient is in context')
  return patient
}

/** The introspection answer for a token; skipped where this client may not ask. */
export const introspected = async ({ app }: Examination, token: string): Promise<Json> => {
  const answer = await app.introspect(token)
  if (answer.status === 401 || answer.status === 403)
    throw new Skip(`this client may not introspect (${answer.status})`)
  if (answer.status !== 200 || !isObject(answer.json)) throw new Skip(`introspection answers ${answer.status}`)
  return answer.json
}

export const tokenChecks: readonly Check[] = [
  {
    id: 'launch.standalone',
    title: 'A member comes from the app to a code and to tokens',
    expected: 'sign-in, choice of a patient, consent, a code, tokens',
    hint: 'Go the same way in a browser; check the member, the redirect URI, the scopes.',
    section: 'SMART App Launch 2.2, App Launch, Standalone launch',
    needs: 'member',
    async run({ app }) {
      try {
        const { body } = await app.main()
        return passed(`tokens for ${textOf(body, 'scope') ?? 'no scope'}`)
      } catch (error) {
        if (error instanceof NoCode) return failed(error.message)
        throw error
      }
    },
  },
  {
    id: 'R3.answer',
    title: 'The answer says how long, which scopes, whose record',
    expected: 'an integer expires_in, scope, and a bare patient id',
    hint: 'Complete the body of the token answer; a number is no text.',
    section: answerSection,
    needs: 'member',
    async run({ app }) {
      const { body, scope } = await app.main()
      return faultless(
        answerFaults(body, scope),
        `${body.expires_in} s, ${scopesOf(body.scope).length} scopes, a patient`,
      )
    },
  },
  {
    id: 'R3.bearer',
    title: 'It is a bearer token that nobody keeps on the way',
    expected: 'token_type Bearer, Cache-Control: no-store, Pragma: no-cache',
    hint: 'Set both headers on every answer with a token.',
    section: answerSection,
    needs: 'member',
    async run({ app }) {
      const { body, answer } = await app.main()
      const faults: string[] = []
      if (!/^(bearer|dpop)$/i.test(String(body.token_type))) faults.push(`token_type is ${String(body.token_type)}`)
      if (!/no-store/i.test(answer.headers.get('cache-control') ?? '')) faults.push('no Cache-Control: no-store')
      if (!/no-cache/i.test(answer.headers.get('pragma') ?? '')) faults.push('no Pragma: no-cache')
      return faultless(faults, String(body.token_type))
    },
  },
  {
    id: 'R3.scope',
    title: 'No more is granted than was asked for',
    expected: 'scopes of the request, or narrower ones',
    hint: 'Grant what was asked for and consented to, never more.',
    section: 'RFC 6749, section 3.3; R3',
    needs: 'member',
    async run({ app }) {
      const { body, scope } = await app.main()
      const more = surplus(textOf(body, 'scope') ?? '', scope)
      return faultless(
        more.map((each) => `${each} was not asked for`),
        textOf(body, 'scope') ?? 'nothing',
      )
    },
  },
  {
    id: 'R3.jwt',
    title: 'A JWT says the same as the answer around it',
    expected: 'scope, patient, aud (the FHIR base) and the same end',
    hint: 'Make the token and the body from one source.',
    section: 'RFC 9068; R3',
    needs: 'member',
    async run({ app, server }) {
      const tokens = await app.main()
      const { body } = tokens
      const claims = jwtOf(tokens)
      const faults: string[] = []
      const [scope, patient] = [claims.scope ?? claims.scp, claims.patient ?? claims.patient_id]
      if (scope !== undefined && !sameScopes(scope, body.scope)) faults.push('another scope')
      if (patient !== undefined && body.patient !== undefined && patient !== body.patient)
        faults.push('another patient')
      if (claims.exp && claims.iat && Number.isInteger(body.expires_in)) {
        const life = claims.exp - claims.iat
        if (Math.abs(life - Number(body.expires_in)) > 5)
          faults.push(`it lives ${life} s, and ${body.expires_in} by the answer`)
      } else if (!claims.exp) faults.push('no exp')
      const base = trimmed(await server.fhirBase())
      if (claims.aud !== undefined && ![claims.aud].flat().some((aud) => trimmed(aud) === base))
        faults.push(`aud is ${[claims.aud].flat().join(', ')}`)
      if (faults.length > 0) return failed(faults.join('; '))
      if (scope === undefined || claims.aud === undefined)
        return warned('no scope or no aud: resource servers must introspect')
      return passed('it does')
    },
  },
  {
    id: 'R3.signature',
    title: 'A JWT is signed with a published key',
    expected: 'a signature that a key of jwks_uri verifies',
    hint: 'Publish every key before it signs, and for as long as what it signed lives.',
    section: 'RFC 9068, section 4',
    needs: 'member',
    async run(examination) {
      const tokens = await examination.app.main()
      jwtOf(tokens)
      return verified(examination, tokens.accessToken)
    },
  },
  {
    id: 'R8.access-token',
    title: 'An access token lives for an hour at most',
    expected: 'expires_in of 3600 or less',
    hint: 'Shorten it: a resource server may honour a revoked token for so long.',
    section: 'SMART App Launch 2.2, App Launch, Obtain access token; R8',
    needs: 'member',
    async run({ app }) {
      const life = Number((await app.main()).body.expires_in)
      return told(life > 0 && life <= 3600, `${life} s`)
    },
  },
  {
    id: 'R12.iss-code',
    title: 'Codes say who they are from, and come with the state',
    expected: 'state exactly, and iss byte for byte',
    hint: 'Add iss to every answer of the authorization endpoint.',
    section: 'RFC 9207, section 2; R12',
    needs: 'member',
    async run({ app, server }) {
      const { callback, state } = await app.main()
      if (callback.searchParams.get('state') !== state) return failed('another state')
      const iss = callback.searchParams.get('iss')
      if (iss === null) return warned('no iss')
      return told(iss === (await server.issuer()), iss)
    },
  },
  {
    id: 'R12.code-elsewhere',
    title: 'The code is nowhere but in the query',
    expected: 'code in the query of the redirect URI, and no token beside it',
    hint: 'Answer in the query; tokens never travel by redirect.',
    section: 'RFC 9700, section 2.1.2',
    needs: 'member',
    async run({ app }) {
      const { callback } = await app.main()
      const text = `${callback.search}${callback.hash}`
      return told(!/access_token|id_token/.test(text) && !callback.hash.includes('code='), 'in the query')
    },
  },
  {
    id: 'id-token.signature',
    title: 'The ID token is signed by RS256 with a published key',
    expected: 'RS256, and a key of jwks_uri',
    hint: 'SMART requires RS256.',
    section: identity,
    needs: 'member',
    async run(examination) {
      const { token } = await idTokenOf(examination)
      return verified(examination, token, ['RS256'])
    },
  },
  {
    id: 'id-token.there',
    title: 'Who asks for openid gets an ID token',
    expected: 'id_token in the answer where openid was granted',
    hint: 'Add the ID token to the answer of the code exchange.',
    section: identity,
    needs: 'member',
    async run({ app }) {
      const { body } = await app.main()
      if (!scopesOf(body.scope).includes('openid')) return skipped('openid was not granted')
      return told(typeof body.id_token === 'string', typeof body.id_token === 'string' ? 'it is there' : 'none')
    },
  },
  {
    id: 'id-token.claims',
    title: 'It is for this app, from this issuer, and for this request',
    expected: 'iss, aud and nonce as they should be, exp to come, a sub',
    hint: 'aud is the client id; the nonce is returned as it was sent.',
    section: identity,
    needs: 'member',
    async run(examination) {
      const { tokens, token } = await idTokenOf(examination)
      const claims = claimsOf(token) ?? {}
      const faults: string[] = []
      if (claims.iss !== (await examination.server.issuer())) faults.push(`iss is ${claims.iss}`)
      if (![claims.aud].flat().includes(examination.app.credentials().clientId)) faults.push(`aud is ${claims.aud}`)
      if (claims.nonce !== tokens.nonce) faults.push('another nonce, or none')
      if (!claims.exp || claims.exp * 1000 <= examination.now()) faults.push('no exp, or it is over')
      if (!claims.sub) faults.push('no sub')
      return faultless(faults, 'all of it')
    },
  },
  {
    id: 'id-token.fhir-user',
    title: 'It says who the person is in FHIR',
    expected: 'fhirUser: a Patient, Practitioner, PractitionerRole, RelatedPerson or Person',
    hint: 'Say it where the scope fhirUser is granted, as an address at the FHIR server.',
    section: identity,
    needs: 'member',
    async run(examination) {
      const { tokens, token } = await idTokenOf(examination)
      if (!scopesOf(tokens.body.scope).includes('fhirUser')) return skipped('fhirUser was not granted')
      const seen = claimsOf(token)?.fhirUser
      const good = /(^|\/)(Patient|Practitioner|PractitionerRole|RelatedPerson|Person)\/[A-Za-z0-9.-]{1,64}$/
      return told(typeof seen === 'string' && good.test(seen), typeof seen === 'string' ? seen : 'no fhirUser')
    },
  },
  {
    id: 'userinfo.claims',
    title: 'UserInfo tells of the same person',
    expected: 'the sub of the ID token',
    hint: 'Answer for the person of the token.',
    section: 'OpenID Connect Core, section 5.3.2',
    needs: 'member',
    async run(examination) {
      const { tokens, token } = await idTokenOf(examination)
      const address = await examination.server.endpoint('userinfo_endpoint')
      const answer = await examination.http.send(address, {
        headers: { authorization: `Bearer ${tokens.accessToken}` },
      })
      if (answer.status !== 200 || !isObject(answer.json)) return failed(seenIn(answer))
      return told(
        answer.json.sub === claimsOf(token)?.sub,
        answer.json.sub === claimsOf(token)?.sub ? 'the same' : 'another sub',
      )
    },
  },
  {
    id: 'R10.access-token',
    title: 'Introspection knows an access token, and says the same',
    expected: 'active, scope, client_id, an integer exp, and the launch context of the answer',
    hint: 'Complete the answer: resource servers rely on it.',
    section: 'SMART App Launch 2.2, Token Introspection; R3, R10',
    needs: 'member',
    async run(examination) {
      const { body, accessToken } = await examination.app.main()
      const told = await introspected(examination, accessToken)
      if (told.active !== true) return failed('active is not true')
      const faults: string[] = []
      if (!sameScopes(told.scope, body.scope)) faults.push('another scope')
      if (told.client_id !== examination.app.credentials().clientId) faults.push('another client_id')
      if (!Number.isInteger(told.exp)) faults.push('exp is no integer')
      else {
        const left = Number(told.exp) - examination.now() / 1000
        if (left > Number(body.expires_in) + 60) faults.push('exp is later than expires_in says')
      }
      for (const name of ['patient', 'encounter', 'need_patient_banner', 'intent', 'smart_style_url', 'tenant'])
        if (body[name] !== undefined && told[name] !== body[name]) faults.push(`another ${name}`)
      return faultless(faults, 'active, and the same')
    },
  },
  {
    id: 'R10.refresh-token',
    title: 'Introspection knows a refresh token',
    expected: 'active and the scope',
    hint: 'RFC 7662 is for both kinds of tokens.',
    section: 'RFC 7662, section 2.2; R10',
    needs: 'member',
    async run(examination) {
      const { refreshToken } = await examination.app.main()
      if (!refreshToken) return skipped('no refresh token was given')
      const told = await introspected(examination, refreshToken)
      return told.active === true ? passed('active') : warned('active is not true')
    },
  },
  {
    id: 'R10.unknown',
    title: 'Introspection says of an unknown token that it is not active, and no more',
    expected: '200 and {"active": false}',
    hint: 'An unknown token is no error (RFC 7662, section 2.2).',
    section: 'SMART App Launch 2.2, Token Introspection; R10',
    needs: 'client',
    async run(examination) {
      const told = await introspected(examination, 'latchkey-doctor-unknown-token')
      return told.active === false && Object.keys(told).length === 1
        ? passed('active: false')
        : failed(`active is ${JSON.stringify(told.active)}, with ${Object.keys(told).length} members`)
    },
  },
  {
    id: 'fhir.read',
    title: 'The token opens the patient’s record',
    expected: '200 and the Patient in context',
    hint: 'Check that the FHIR server trusts this issuer, its keys and this aud.',
    section: 'SMART App Launch 2.2, App Launch, Access FHIR API',
    needs: 'member',
    async run(examination) {
      const tokens = await examination.app.main()
      const answer = await read(examination, `/Patient/${patientOf(tokens)}`, tokens.accessToken)
      const same =
        isObject(answer.json) && answer.json.resourceType === 'Patient' && answer.json.id === tokens.body.patient
      return told(
        answer.status === 200 && same,
        answer.status === 200 ? (same ? 'the Patient' : 'something else') : seenIn(answer),
      )
    },
  },
  {
    id: 'fhir.only-this-patient',
    title: 'It opens no other patient’s',
    expected: 'a search for patients finds this one alone; another one (--other-patient) is refused',
    hint: 'Hold every answer to the patient of the token.',
    section: 'SMART App Launch 2.2, Scopes and Launch Context; R33',
    needs: 'member',
    async run(examination) {
      const tokens = await examination.app.main()
      const patient = patientOf(tokens)
      const { otherPatient } = examination
      if (otherPatient) {
        const answer = await read(examination, `/Patient/${encodeURIComponent(otherPatient)}`, tokens.accessToken)
        if (answer.status < 400) return failed(`${answer.status} for the other patient`)
      }
      const { status, json } = await read(examination, '/Patient', tokens.accessToken)
      if (status >= 400 && status < 500) return passed(`a search without an id is refused (${status})`)
      if (status !== 200 || !isObject(json) || !Array.isArray(json.entry))
        return skipped(`a search for patients answers ${status}`)
      const others = json.entry.filter(
        (entry) =>
          isObject(entry) &&
          isObject(entry.resource) &&
          entry.resource.resourceType === 'Patient' &&
          entry.resource.id !== patient,
      )
      return told(others.length === 0, others.length === 0 ? 'this one alone' : `${others.length} others`)
    },
  },
  {
    id: 'fhir.header-only',
    title: 'A token counts in the header only',
    expected: '401 for ?access_token=',
    hint: 'What stands in an address stands in logs.',
    section: 'RFC 9700, section 4.3.2',
    needs: 'member',
    async run(examination) {
      const tokens = await examination.app.main()
      const base = await examination.server.fhirBase()
      const query = new URLSearchParams({ access_token: tokens.accessToken })
      const answer = await examination.http.send(`${base}/Patient/${patientOf(tokens)}?${query}`)
      return told(answer.status >= 400 && answer.status < 500, `${answer.status}`)
    },
  },
  {
    id: 'fhir.id-token',
    title: 'An ID token is no access token',
    expected: '401 for the ID token',
    hint: 'Check typ and aud of what is presented.',
    section: 'RFC 8725, section 3.11',
    needs: 'member',
    async run(examination) {
      const { tokens, token } = await idTokenOf(examination)
      const answer = await read(examination, `/Patient/${patientOf(tokens)}`, token)
      return told(answer.status === 401 || answer.status === 403, `${answer.status}`)
    },
  },
]
