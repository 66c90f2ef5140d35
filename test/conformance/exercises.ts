/**
 * One exercise for each thing that discovery names, as an app would do it, over HTTP. The key is the member's name and its
 * value; scopes are told apart by kind (`patient/{Type}.rs`), because each kind is exercised with all of its types at once.
 */
import { createRemoteJWKSet, jwtVerify } from 'jose'
import { expect } from 'vitest'
import {
  type App,
  authorizationUrl,
  confidentialApp,
  demoApp,
  everything,
  everythingOn,
  exchange,
  obtainTokens,
  pkce,
  refresh,
  type TokenAnswer,
  tokenRequest,
  type Walk,
  walk,
  walkToConsent,
} from '../support/authorize.ts'
import { assertionOf, type ClientKey, carried, demonstrationKey } from '../support/key-client.ts'
import { makeLaunch, postLaunch, serviceToken } from '../support/launches.ts'
import { proofKey } from '../support/proofs.ts'
import { named, push, requestOf } from '../support/pushed.ts'
import { initialToken, send, steps } from '../support/registration.ts'
import type { TestServer } from '../support/server.ts'
import { formOf, Visitor } from '../support/visitor.ts'
import { claimsOf, confidential, headerOf, post, resourceServer } from '../support/wire.ts'

export interface Stage {
  /** A browser that Maria is signed in with. */
  visitor: Visitor
  server: TestServer
  /** What the issuer says: OpenID Connect's document with the members of SMART's over it. */
  // biome-ignore lint/suspicious/noExplicitAny: a test reads what the wire says
  said: any
  /** Clients whose key is of this algorithm. */
  keyed: ReadonlyMap<string, { clientId: string; key: ClientKey }>
}

export type Exercise = (stage: Stage) => Promise<void>

const app = ({ server }: Stage): App => demoApp(server.url)
const bearer = (token: string) => ({ authorization: `Bearer ${token}` })
const read = (stage: Stage, token: string, path: string) =>
  fetch(`${app(stage).fhirBase}/${path}`, { headers: bearer(token) })

/** Of Maria, who has signed in already. */
const tokensFor = (stage: Stage, options: Walk = {}) => obtainTokens(app(stage), { visitor: stage.visitor, ...options })

/** Everything of a kind of scope, in parts that fit into a token. */
const partsOf = (stage: Stage, kind: RegExp): string[][] => {
  const scopes: string[] = stage.said.scopes_supported.filter((scope: string) => kind.test(scope))
  expect(scopes.length).toBeGreaterThan(0)
  return Array.from({ length: Math.ceil(scopes.length / 25) }, (_, at) => scopes.slice(at * 25, at * 25 + 25))
}

/** An app is granted all scopes of a kind, exactly, and may search what they are of. */
const granted =
  (kind: RegExp): Exercise =>
  async (stage) => {
    for (const part of partsOf(stage, kind)) {
      const tokens = await tokensFor(stage, { params: { scope: part.join(' ') } })
      const got = tokens.scope.split(' ').filter((scope: string) => kind.test(scope))
      expect(got.sort()).toEqual([...part].sort())
      const type = /\/([A-Z]\w+)\./.exec(part[0] ?? '')?.[1] ?? 'Coverage'
      expect((await read(stage, tokens.access_token, `${type}?patient=maria`)).status).toBe(200)
    }
  }

const asService = async (stage: Stage, scope: string, alg: 'ES384' | 'RS384' = 'ES384'): Promise<TokenAnswer> => {
  const who = { clientId: 'demo-service', audience: stage.said.token_endpoint }
  const assertion = await assertionOf(await demonstrationKey('demo-service', alg), who)
  return post(stage.said.token_endpoint, { grant_type: 'client_credentials', scope, ...carried(assertion) })
}

/** A backend service is granted all scopes of a kind, and reads whoever's records. */
const servedTo =
  (kind: RegExp): Exercise =>
  async (stage) => {
    for (const part of partsOf(stage, kind)) {
      const answer = await asService(stage, part.join(' '))
      expect(answer.body.scope.split(' ').sort()).toEqual([...part].sort())
      const type = /\/([A-Z]\w+)\./.exec(part[0] ?? '')?.[1] ?? 'Coverage'
      for (const patient of ['maria', 'david'])
        expect((await read(stage, answer.body.access_token, `${type}?patient=${patient}`)).status).toBe(200)
    }
  }

const launched = async (stage: Stage, scope: string, launch: Record<string, unknown>) => {
  const value = await makeLaunch(stage.server.url, { client_id: 'demo-public', user: 'maria', ...launch })
  return tokensFor(stage, { params: { scope, launch: value } })
}

const withEncounter = async (stage: Stage) => {
  const { verifier, challenge } = pkce()
  const params = { scope: 'launch/patient launch/encounter patient/Encounter.rs' }
  const { visitor, page } = await walkToConsent(app(stage), challenge, { params })
  const choice = /name="encounter"[^>]* value="([^"]+)"/.exec(page.html)?.[1] ?? ''
  const consent = await visitor.submit(page, '/encounter', { encounter: choice })
  const done = await visitor.submit(consent, '/consent', everythingOn(consent))
  const answer = await exchange(app(stage), new URL(done.url).searchParams.get('code') ?? '', verifier)
  expect(answer.body.encounter).toBe(choice)
  expect(answer.body.scope.split(' ')).toContain('launch/encounter')
}

/** The ways of a client to say who it is. */
const authMethods: Record<string, (stage: Stage, endpoint: string) => Promise<[Record<string, string>, object]>> = {
  none: async () => [{ client_id: 'demo-public' }, {}],
  client_secret_basic: async () => [{}, confidential],
  client_secret_post: async () => [{ client_id: 'demo-confidential', client_secret: 'demo-confidential-secret' }, {}],
  private_key_jwt: async (stage) => {
    const who = { clientId: 'demo-asymmetric', audience: stage.said.issuer }
    return [carried(await assertionOf(await demonstrationKey('demo-asymmetric', 'ES384'), who)), {}]
  },
}

const nonsense = { grant_type: 'refresh_token', refresh_token: 'nonsense', token: 'nonsense' }

const authenticates =
  (endpoint: string, method: string): Exercise =>
  async (stage) => {
    const [fields, headers] = (await authMethods[method]?.(stage, endpoint)) ?? [{}, {}]
    const url = stage.said[`${endpoint}_endpoint`]
    const right = await post(url, { ...nonsense, ...fields }, { ...headers })
    expect(right.body?.error, JSON.stringify(right.body)).toBe(endpoint === 'token' ? 'invalid_grant' : undefined)
    if (method === 'none') return
    const spoilt = Object.fromEntries(
      Object.entries(fields).map(([name, value]) => [
        name,
        name === 'client_id' || name === 'client_assertion_type' ? value : `${value.slice(0, -8)}AAAAAAAA`,
      ]),
    )
    const wrong =
      method === 'client_secret_basic' ? { authorization: `Basic ${btoa('demo-confidential:wrong')}` } : headers
    expect((await post(url, { ...nonsense, ...spoilt }, { ...wrong })).body?.error).toBe('invalid_client')
  }

const assertedBy =
  (endpoint: string, alg: string): Exercise =>
  async (stage) => {
    const client = stage.keyed.get(alg)
    if (!client) throw new Error(`no client with a key for ${alg}`)
    const url = stage.said[`${endpoint}_endpoint`]
    const assertion = await assertionOf(client.key, { clientId: client.clientId, audience: stage.said.issuer })
    const right = await post(url, { ...nonsense, ...carried(assertion) })
    expect(right.body?.error).not.toBe('invalid_client')
    expect(right.status).toBeLessThan(500)
    expect((await post(url, { ...nonsense, ...carried(assertion) })).body.error).toBe('invalid_client')
  }

const provenBy =
  (alg: string): Exercise =>
  async (stage) => {
    const key = await proofKey(alg)
    const { verifier, challenge } = pkce()
    const { callback } = await walk(app(stage), challenge, { visitor: stage.visitor })
    const fields = { grant_type: 'authorization_code', code: callback.searchParams.get('code') ?? '' }
    const answer = await tokenRequest(
      app(stage),
      { ...fields, redirect_uri: app(stage).redirectUri, code_verifier: verifier },
      { dpop: await key.proof('POST', app(stage).token) },
    )
    expect(answer.body.token_type).toBe('DPoP')
    expect(claimsOf(answer.body.access_token).cnf).toEqual({ jkt: key.jkt })
  }

const claimOf =
  (name: string, params: Record<string, string> = {}): Exercise =>
  async (stage) => {
    const { id_token } = await tokensFor(stage, { params })
    expect(claimsOf(id_token)[name]).toBeTruthy()
    if (params[name]) expect(claimsOf(id_token)[name]).toBe(params[name])
  }

const spoken =
  (language: string): Exercise =>
  async (stage) => {
    const url = authorizationUrl(app(stage), pkce().challenge, { ui_locales: language })
    expect((await new Visitor('fr').open(url)).headers.get('content-language')).toBe(language)
  }

const codeFlow: Exercise = async (stage) => {
  const { access_token, patient } = await tokensFor(stage)
  expect((await read(stage, access_token, `Patient/${patient}`)).status).toBe(200)
}

const refreshed =
  (scope: string): Exercise =>
  async (stage) => {
    const tokens = await tokensFor(stage, { params: { scope } })
    const next = await refresh(app(stage), tokens.refresh_token)
    expect(next.body.scope).toBe(tokens.scope)
    expect((await read(stage, next.body.access_token, `Patient/${tokens.patient}`)).status).toBe(200)
  }

/** The request as a form of another site sends it. */
const posted: Exercise = async (stage) => {
  const { origin, pathname, searchParams } = new URL(authorizationUrl(app(stage), pkce().challenge))
  const answer = await fetch(origin + pathname, { method: 'POST', body: searchParams, redirect: 'manual' })
  expect(answer.status).toBe(303)
  const page = await new Visitor().open(new URL(answer.headers.get('location') ?? '', origin).href)
  expect(page.html).toContain('name="password"')
}

const signedIn: Exercise = async (stage) => {
  const { id_token } = await tokensFor(stage)
  const keys = createRemoteJWKSet(new URL(stage.said.jwks_uri))
  const { payload } = await jwtVerify(id_token, keys, { issuer: stage.said.issuer, audience: 'demo-public' })
  expect(payload.fhirUser).toBe(`${app(stage).fhirBase}/Patient/maria`)
  expect(headerOf(id_token).alg).toBe('RS256')
}

const styled: Exercise = async (stage) => {
  const { smart_style_url } = await launched(stage, 'launch patient/*.rs', { patient: 'maria' })
  const style = await fetch(smart_style_url)
  expect(style.status).toBe(200)
  expect(await style.json()).toHaveProperty('color_background')
}

/** As the app's launch address gets it: the issuer's FHIR base, and a value to send along. */
const launchedByUrl: Exercise = async (stage) => {
  const { url } = stage.server
  const said = { client_id: 'demo-public', user: 'maria', patient: 'maria' }
  const { launch_url } = (await postLaunch(url, await serviceToken(url), said)).body
  const opened = new URL(launch_url)
  expect(opened.origin + opened.pathname).toBe(`${stage.said.issuer}/demo/launch`)
  const iss = opened.searchParams.get('iss') ?? ''
  const smart = await (await fetch(`${iss}/.well-known/smart-configuration`)).json()
  expect(smart).toMatchObject({ token_endpoint: app(stage).token })
  const params = { scope: 'launch patient/*.rs', aud: iss, launch: opened.searchParams.get('launch') ?? '' }
  expect((await tokensFor(stage, { params })).patient).toBe('maria')
}

const branded: Exercise = async (stage) => {
  const bundle = await (await fetch(stage.said.user_access_brand_bundle)).json()
  const { value } = stage.said.user_access_brand_identifier
  const brands = (bundle as { entry: { resource: { resourceType: string; identifier?: { value: string }[] } }[] }).entry
    .map(({ resource }) => resource)
    .filter(
      ({ resourceType, identifier }) =>
        resourceType === 'Organization' && identifier?.some((each) => each.value === value),
    )
  expect(brands).toHaveLength(1)
}

const register: Exercise = async (stage) => {
  const token = await initialToken(stage.server)
  const made = await send(stage.said.registration_endpoint, { token, body: steps })
  expect(made.status).toBe(201)
  expect((await obtainTokens(demoApp(stage.server.url, made.body.client_id))).patient).toBe('maria')
}

const pushed: Exercise = async (stage) => {
  const { verifier, challenge } = pkce()
  const { status, body } = await push(app(stage), requestOf(app(stage), challenge))
  expect(status).toBe(201)
  const { callback } = await walk(app(stage), challenge, { visitor: stage.visitor, params: named(body.request_uri) })
  expect((await exchange(app(stage), callback.searchParams.get('code') ?? '', verifier)).status).toBe(200)
}

const introspected: Exercise = async (stage) => {
  const { access_token } = await tokensFor(stage)
  const ask = () => post(stage.said.introspection_endpoint, { token: access_token }, resourceServer)
  expect((await ask()).body).toMatchObject({ active: true, patient: 'maria' })
  await post(stage.said.revocation_endpoint, { token: access_token, client_id: 'demo-public' })
  expect((await ask()).body).toEqual({ active: false })
}

const endpoints: Record<string, Exercise> = {
  issuer: async (stage) => expect(claimsOf((await tokensFor(stage)).access_token).iss).toBe(stage.said.issuer),
  authorization_endpoint: codeFlow,
  token_endpoint: codeFlow,
  jwks_uri: signedIn,
  introspection_endpoint: introspected,
  revocation_endpoint: introspected,
  pushed_authorization_request_endpoint: pushed,
  user_access_brand_bundle: branded,
  user_access_brand_identifier: branded,
  registration_endpoint: register,
  userinfo_endpoint: async (stage) => {
    const { access_token, id_token } = await tokensFor(stage)
    const told = await (await fetch(stage.said.userinfo_endpoint, { headers: bearer(access_token) })).json()
    expect(told).toEqual({ sub: claimsOf(id_token).sub, fhirUser: claimsOf(id_token).fhirUser })
  },
  revocation_feed_endpoint: async (stage) => {
    const { access_token, refresh_token } = await tokensFor(stage)
    await post(stage.said.revocation_endpoint, { token: refresh_token, client_id: 'demo-public' })
    const told = await (await fetch(stage.said.revocation_feed_endpoint, { headers: resourceServer })).text()
    expect(told).toContain(claimsOf(access_token).grant_id)
  },
  management_endpoint: async (stage) => {
    const { visitor } = await walk(app(stage), pkce().challenge)
    const page = await visitor.open(stage.said.management_endpoint)
    expect(page.html).toContain('Prairie Sandbox Viewer')
  },
  end_session_endpoint: async (stage) => {
    const { visitor } = await walk(app(stage), pkce().challenge)
    const page = await visitor.open(`${stage.said.end_session_endpoint}?client_id=demo-public`)
    await visitor.submit(page, '/logout')
    const again = await visitor.open(authorizationUrl(app(stage), pkce().challenge))
    expect(formOf(again, '/sign-in').action).toBeTruthy()
  },
}

const capabilities: Record<string, Exercise> = {
  'launch-standalone': codeFlow,
  'authorize-post': posted,
  'client-public': codeFlow,
  'client-confidential-symmetric': async (stage) => {
    const { access_token } = await obtainTokens(confidentialApp(stage.server.url))
    expect(claimsOf(access_token).client_id).toBe('demo-confidential')
  },
  'client-confidential-asymmetric': async (stage) => {
    for (const alg of ['ES384', 'RS384'] as const)
      expect((await asService(stage, 'system/Patient.rs', alg)).body).toMatchObject({ expires_in: 300 })
  },
  'sso-openid-connect': signedIn,
  'context-standalone-patient': async (stage) =>
    expect((await tokensFor(stage, { member: 'david', patient: 'Lucy', visitor: new Visitor() })).patient).toBe('lucy'),
  'context-standalone-encounter': withEncounter,
  'launch-ehr': launchedByUrl,
  'context-ehr-patient': async (stage) =>
    expect((await launched(stage, 'launch patient/*.rs', { patient: 'maria' })).patient).toBe('maria'),
  'context-ehr-encounter': async (stage) => {
    const launch = { patient: 'maria', encounter: 'an-encounter' }
    expect((await launched(stage, 'launch patient/*.rs', launch)).encounter).toBe('an-encounter')
  },
  'context-banner': async (stage) => {
    for (const need_patient_banner of [true, false]) {
      const tokens = await launched(stage, 'launch patient/*.rs', { patient: 'maria', need_patient_banner })
      expect(tokens.need_patient_banner).toBe(need_patient_banner)
    }
  },
  'context-style': styled,
  'permission-offline': refreshed(everything),
  'permission-online': refreshed('launch/patient online_access patient/*.rs'),
  'permission-patient': granted(/^patient\/Patient\.rs$/),
  'permission-user': granted(/^user\/Patient\.rs$/),
  'permission-v1': granted(/^patient\/Coverage\.read$/),
  'permission-v2': granted(/^patient\/Coverage\.rs$/),
}

const scopes: Record<string, Exercise> = {
  openid: signedIn,
  fhirUser: signedIn,
  launch: async (stage) => {
    const { scope, intent } = await launched(stage, 'launch patient/*.rs', { patient: 'maria', intent: 'reconcile' })
    expect([scope.split(' ').includes('launch'), intent]).toEqual([true, 'reconcile'])
  },
  'launch/patient': codeFlow,
  'launch/encounter': withEncounter,
  offline_access: refreshed(everything),
  online_access: refreshed('launch/patient online_access patient/*.rs'),
  'patient/*.rs': granted(/^patient\/\*\.rs$/),
  'patient/*.read': granted(/^patient\/\*\.read$/),
  'patient/{Type}.rs': granted(/^patient\/[A-Z]\w+\.rs$/),
  'patient/{Type}.read': granted(/^patient\/[A-Z]\w+\.read$/),
  'user/*.rs': granted(/^user\/\*\.rs$/),
  'user/*.read': granted(/^user\/\*\.read$/),
  'user/{Type}.rs': granted(/^user\/[A-Z]\w+\.rs$/),
  'user/{Type}.read': granted(/^user\/[A-Z]\w+\.read$/),
  'system/*.rs': servedTo(/^system\/\*\.rs$/),
  'system/*.read': servedTo(/^system\/\*\.read$/),
  'system/{Type}.rs': servedTo(/^system\/[A-Z]\w+\.rs$/),
  'system/{Type}.read': servedTo(/^system\/[A-Z]\w+\.read$/),
  introspect: async (stage) => {
    const service = await asService(stage, 'introspect')
    const { access_token } = await tokensFor(stage)
    const told = await post(
      stage.said.introspection_endpoint,
      { token: access_token },
      bearer(service.body.access_token),
    )
    expect(told.body).toMatchObject({ active: true, client_id: 'demo-public' })
  },
  launches: async ({ server }) => {
    const said = { client_id: 'demo-public', user: 'maria', patient: 'maria' }
    expect((await postLaunch(server.url, await serviceToken(server.url), said)).body.launch).toBeTruthy()
  },
}

const algorithms = ['RS384', 'ES384', 'PS256', 'ES256', 'EdDSA', 'Ed25519']
const each = (member: string, values: readonly string[], exercise: (value: string) => Exercise): [string, Exercise][] =>
  values.map((value) => [`${member}: ${value}`, exercise(value)])

export const exercises: ReadonlyMap<string, Exercise> = new Map([
  ...Object.entries(endpoints),
  ...Object.entries(capabilities).map(([name, exercise]): [string, Exercise] => [`capabilities: ${name}`, exercise]),
  ...Object.entries(scopes).map(([name, exercise]): [string, Exercise] => [`scopes_supported: ${name}`, exercise]),
  ...['token', 'introspection', 'revocation'].flatMap((endpoint) => [
    ...each(`${endpoint}_endpoint_auth_methods_supported`, Object.keys(authMethods), (method) =>
      authenticates(endpoint, method),
    ),
    ...each(`${endpoint}_endpoint_auth_signing_alg_values_supported`, algorithms, (alg) => assertedBy(endpoint, alg)),
  ]),
  ...each('dpop_signing_alg_values_supported', ['ES256', 'ES384', 'PS256', 'EdDSA', 'Ed25519'], provenBy),
  ...each('claims_supported', ['iss', 'sub', 'aud', 'exp', 'iat', 'fhirUser'], (name) => claimOf(name)),
  ['claims_supported: auth_time', claimOf('auth_time', { max_age: '600' })],
  ['claims_supported: nonce', claimOf('nonce', { nonce: 'a-nonce-of-the-app' })],
  ...each('ui_locales_supported', ['en', 'es'], spoken),
  ['grant_types_supported: authorization_code', codeFlow],
  ['grant_types_supported: refresh_token', refreshed(everything)],
  ['grant_types_supported: client_credentials', servedTo(/^system\/Patient\.rs$/)],
  ['response_types_supported: code', codeFlow],
  [
    'response_modes_supported: query',
    async (stage) => {
      const { callback } = await walk(app(stage), pkce().challenge, { params: { response_mode: 'query' } })
      expect([callback.hash, callback.searchParams.has('code')]).toEqual(['', true])
      for (const response_mode of ['fragment', 'form_post']) {
        const page = await new Visitor().open(authorizationUrl(app(stage), pkce().challenge, { response_mode }))
        expect(new URL(page.url).searchParams.get('error')).toBe('unsupported_response_mode')
      }
    },
  ],
  [
    'code_challenge_methods_supported: S256',
    async (stage) => {
      const { verifier, challenge } = pkce()
      const { callback } = await walk(app(stage), challenge, { visitor: stage.visitor })
      const code = callback.searchParams.get('code') ?? ''
      expect((await exchange(app(stage), code, pkce().verifier)).body.error).toBe('invalid_grant')
      expect((await exchange(app(stage), code, verifier)).status).toBe(200)
    },
  ],
  ['id_token_signing_alg_values_supported: RS256', signedIn],
  [
    'subject_types_supported: public',
    async (stage) => {
      const [one, other] = [await tokensFor(stage), await obtainTokens(confidentialApp(stage.server.url))]
      expect(claimsOf(one.id_token).sub).toBe(claimsOf(other.id_token).sub)
    },
  ],
  ['claim_types_supported: normal', signedIn],
  [
    'authorization_response_iss_parameter_supported: true',
    async (stage) => {
      const { callback } = await walk(app(stage), pkce().challenge)
      expect(callback.searchParams.get('iss')).toBe(stage.said.issuer)
      const refused = await new Visitor().open(authorizationUrl(app(stage), pkce().challenge, { scope: 'nothing' }))
      expect(new URL(refused.url).searchParams.get('iss')).toBe(stage.said.issuer)
    },
  ],
  [
    'claims_parameter_supported: false',
    async (stage) => {
      const claims = JSON.stringify({ id_token: { name: { essential: true } } })
      expect(claimsOf((await tokensFor(stage, { params: { claims } })).id_token)).not.toHaveProperty('name')
    },
  ],
  [
    'request_uri_parameter_supported: false',
    async (stage) => {
      const request_uri = 'https://app.example/request.jwt'
      const page = await new Visitor().open(authorizationUrl(app(stage), pkce().challenge, { request_uri }))
      expect(page.url).not.toContain('code=')
      expect(page.url).not.toContain('/interaction/')
    },
  ],
])
