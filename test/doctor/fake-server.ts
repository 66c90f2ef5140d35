/**
 * A SMART server that somebody else wrote, small and sound, until it is given a defect. It shares nothing with ours: other pages,
 * other addresses, other tokens. It is what the doctor is held against.
 */
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createLocalJWKSet, exportJWK, generateKeyPair, type JWK, jwtVerify, SignJWT } from 'jose'

export const redirectUri = 'http://127.0.0.1:8765/callback'
export const secret = 'the-secret-of-the-web-app'
export const member = { username: 'pat', password: 'a-password-of-pat' }

const { privateKey: tokenKey, publicKey: tokenPublic } = await generateKeyPair('ES256', { extractable: true })
const { privateKey: idKey, publicKey: idPublic } = await generateKeyPair('RS256', { extractable: true })
const client = await generateKeyPair('ES384', { extractable: true })
/** The key of the clients `keyed` and `service`. */
export const clientKey: JWK = { ...(await exportJWK(client.privateKey)), kid: 'client-1', alg: 'ES384' }
const clientKeys = createLocalJWKSet({
  keys: [{ ...(await exportJWK(client.publicKey)), kid: 'client-1', alg: 'ES384' }],
})
const weak: JWK = { kty: 'RSA', kid: 'weak', alg: 'RS256', e: 'AQAB', n: Buffer.alloc(128, 0xff).toString('base64url') }

const random = (): string => createHash('sha256').update(`${Math.random()} ${performance.now()}`).digest('base64url')
const escaped = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;')

interface Grant {
  clientId: string
  scope: string
  nonce: string
  challenge: string | null
  redirect: string
  live: boolean
  revision: number
}

interface RefreshToken {
  grant: Grant
  used: number
  parent: RefreshToken | undefined
  childUsed: boolean
}

export interface FakeServer {
  base: string
  /** Everything that was asked of it: method and path. */
  asked: string[]
  /** Grants that are alive. */
  alive(): number
  close(): Promise<void>
}

/** Starts it with the defects named; each is a word that is looked for below. */
export const startFake = async (...defects: string[]): Promise<FakeServer> => {
  const has = (defect: string): boolean => defects.includes(defect)
  const asked: string[] = []
  const pending = new Map<string, URLSearchParams>()
  const codes = new Map<string, { grant: Grant; used: boolean }>()
  const refreshTokens = new Map<string, RefreshToken>()
  const accessTokens = new Map<string, Grant>()
  const jtis = new Set<string>()
  const grants: Grant[] = []
  let origin = ''

  const documents = async () => {
    const issuer = `${origin}/auth`
    const at = (path: string): string => (has('relative addresses') ? path : `${issuer}${path}`)
    const shared = {
      issuer,
      jwks_uri: at('/keys'),
      authorization_endpoint: at('/authorize'),
      token_endpoint: at('/token'),
      introspection_endpoint: at('/introspect'),
      revocation_endpoint: at('/revoke'),
      userinfo_endpoint: at('/userinfo'),
      registration_endpoint: at('/register'),
      code_challenge_methods_supported: has('plain advertised') ? ['S256', 'plain'] : ['S256'],
      grant_types_supported: ['authorization_code', 'refresh_token', 'client_credentials'],
      token_endpoint_auth_methods_supported: ['client_secret_basic', 'private_key_jwt'],
      token_endpoint_auth_signing_alg_values_supported: has('no ES384') ? ['RS256'] : ['RS384', 'ES384'],
      scopes_supported: [
        'openid',
        'fhirUser',
        'launch/patient',
        'offline_access',
        'patient/*.rs',
        'system/*.rs',
      ].filter((scope) => scope !== 'offline_access' || !has('a capability without its scope')),
    }
    const smart: Record<string, unknown> = {
      ...shared,
      capabilities: [
        ...['launch-standalone', 'client-public', 'client-confidential-symmetric', 'client-confidential-asymmetric'],
        ...['sso-openid-connect', 'context-standalone-patient', 'permission-offline', 'permission-patient'],
        ...(has('an unknown capability') ? ['telepathy'] : []),
      ],
      ...(has('a bad neighbour') ? { associated_endpoints: [{ url: '/other' }] } : {}),
      ...(has('an empty brand bundle') ? { user_access_brand_bundle: `${origin}/brands` } : {}),
    }
    if (has('no grant types')) delete smart.grant_types_supported
    if (has('no jwks_uri')) delete smart.jwks_uri
    const openid = {
      ...shared,
      issuer: has('a slash at the issuer') ? `${issuer}/` : issuer,
      token_endpoint: has('another token endpoint') ? `${issuer}/token2` : shared.token_endpoint,
      response_types_supported: ['code'],
      subject_types_supported: ['public'],
      id_token_signing_alg_values_supported: has('no RS256') ? ['ES256'] : ['RS256'],
      authorization_response_iss_parameter_supported: true,
    }
    const id = { ...(await exportJWK(idPublic)), kid: 'id', alg: 'RS256' }
    const keys: JWK[] = [
      { ...(await exportJWK(has('a private key') ? tokenKey : tokenPublic)), kid: 'access', alg: 'ES256' },
      { ...id, ...(has('a key without kid') ? { kid: undefined } : {}) },
      ...(has('a weak key') ? [weak] : []),
    ]
    return { smart, openid, keys }
  }

  const send = (
    response: ServerResponse,
    status: number,
    body: unknown,
    headers: Record<string, string> = {},
  ): void => {
    response.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store', ...headers })
    response.end(typeof body === 'string' ? body : JSON.stringify(body))
  }
  const open = { 'access-control-allow-origin': '*', 'cache-control': 'max-age=300' }
  const page = (response: ServerResponse, status: number, html: string): unknown =>
    send(response, status, `<!doctype html><title>Sign in</title>${html}`, {
      'content-type': 'text/html',
      ...(has('a page that can be framed') ? {} : { 'content-security-policy': "frame-ancestors 'none'" }),
      'referrer-policy': 'no-referrer',
      ...(has('CORS on the page') ? { 'access-control-allow-origin': '*' } : {}),
    })
  const fail = (
    response: ServerResponse,
    status: number,
    error: string,
    headers: Record<string, string> = {},
  ): unknown => {
    if (has('errors as HTML')) return page(response, status, `<p>${error}`)
    send(
      response,
      status,
      { error, error_description: `It was ${error}` },
      {
        ...(has('tokens may be kept') ? { 'cache-control': 'max-age=60' } : { pragma: 'no-cache' }),
        ...headers,
      },
    )
  }
  const back = (response: ServerResponse, uri: string, query: Record<string, string | null>): void => {
    const url = new URL(uri)
    for (const [name, value] of Object.entries(query)) if (value !== null) url.searchParams.set(name, value)
    response.writeHead(303, { location: url.href, 'cache-control': 'no-store' }).end()
  }

  const authorize = (response: ServerResponse, query: URLSearchParams): unknown => {
    const get = (name: string): string | null => query.get(name)
    const clientId = get('client_id') ?? ''
    const uri = get('redirect_uri') ?? ''
    if (!['app', 'web', 'keyed'].includes(clientId)) {
      if (has('an open redirector')) return back(response, uri, { error: 'invalid_client' })
      return page(response, 400, `<p>Unknown: ${has('markup from outside') ? clientId : escaped(clientId)}`)
    }
    const right = has('redirects by prefix') ? uri.startsWith(redirectUri) : uri === redirectUri
    if (!right) return page(response, 400, '<p>Wrong address')
    const refuse = (error: string, description: string): unknown =>
      back(response, uri, {
        error,
        error_description: description,
        state: has('state is lost')
          ? null
          : has('state is decoded')
            ? decodeURIComponent(get('state') ?? '')
            : get('state'),
        iss: has('errors without iss') ? null : `${origin}/auth`,
      })
    if (get('response_type') !== 'code') return refuse('unsupported_response_type', 'code only')
    const plain = get('code_challenge') !== null && get('code_challenge_method') !== 'S256'
    if (get('code_challenge') === null && !has('PKCE is optional')) return refuse('invalid_request', 'PKCE')
    if (plain && !has('plain is accepted')) return refuse('invalid_request', 'S256')
    const aud = has('aud to the letter') ? get('aud') : get('aud')?.replace(/\/$/, '')
    if (aud !== `${origin}/fhir` && !has('any aud')) return refuse('invalid_target', `aud must be ${origin}/fhir`)
    const known = (get('scope') ?? '').split(' ').filter((scope) => !/Nonsense|doctor/.test(scope))
    if (has('unknown scopes are fatal') && known.join(' ') !== get('scope')) return refuse('invalid_scope', 'unknown')
    if (known.length === 0 && !has('no scope is fine')) return refuse('invalid_scope', 'none left')
    if (get('prompt') === 'none' && !has('prompt=none is ignored')) return refuse('login_required', 'sign in')
    const id = random()
    pending.set(id, query)
    page(
      response,
      200,
      `<form method=get action='/language'><input type=submit value=English></form>
       <form method='POST' action='/auth/login'><input type='hidden' name='id' value='${id}'>
       <label>Name <input name=who></label><input type="password" name="pass"><input type="submit" value="Log in"></form>`,
    )
  }

  const login = (response: ServerResponse, form: URLSearchParams): unknown => {
    const id = form.get('id') ?? ''
    if (form.get('who') !== member.username || form.get('pass') !== member.password)
      return page(
        response,
        200,
        `<form method=post action=/auth/login><input name=who><input type=password name=pass><button>Log in</button></form>`,
      )
    page(
      response,
      200,
      `<form method="post" action="decide"><input type="hidden" name="id" value="${id}">
       <input type="checkbox" name="box" checked><button name="choice" value="deny">Do not share</button>
       <button name='choice' value='allow'>Allow &amp; go on</button></form>`,
    )
  }

  const decide = (response: ServerResponse, form: URLSearchParams): unknown => {
    const query = pending.get(form.get('id') ?? '')
    if (!query) return page(response, 400, '<p>Too late')
    const redirect = query.get('redirect_uri') ?? ''
    const state = query.get('state')
    if (form.get('choice') !== 'allow') return back(response, redirect, { error: 'access_denied', state })
    const scope = (query.get('scope') ?? '')
      .split(' ')
      .filter((each) => has('unknown is granted') || !/Nonsense|doctor/.test(each))
    const grant: Grant = {
      clientId: query.get('client_id') ?? '',
      scope: [...scope, ...(has('more is granted') ? ['patient/*.cruds'] : [])].join(' '),
      nonce: query.get('nonce') ?? '',
      challenge: query.get('code_challenge'),
      redirect,
      live: true,
      revision: 0,
    }
    grants.push(grant)
    const code = random()
    codes.set(code, { grant, used: false })
    back(response, redirect, { code, state, iss: has('a foreign iss') ? 'https://evil.example' : `${origin}/auth` })
  }

  const answer = async (response: ServerResponse, grant: Grant, headers: Record<string, string>, more: object = {}) => {
    grant.revision++
    const now = Math.floor(Date.now() / 1000)
    const seconds = has('long tokens') ? 86_400 : 300
    const access = await new SignJWT({
      scope: has('the token says more') ? `${grant.scope} system/*.rs` : grant.scope,
      patient: 'p1',
      client_id: grant.clientId,
      jti: random(),
    })
      .setProtectedHeader({ alg: 'ES256', typ: 'at+jwt', kid: 'access' })
      .setIssuer(`${origin}/auth`)
      .setAudience(has('another audience') ? 'https://other.example/fhir' : `${origin}/fhir`)
      .setIssuedAt(now)
      .setExpirationTime(now + seconds)
      .setSubject('pat')
      .sign(has('another key') ? (await generateKeyPair('ES256')).privateKey : tokenKey)
    accessTokens.set(access, grant)
    const identity = await new SignJWT({
      nonce: has('no nonce') ? undefined : grant.nonce,
      ...(has('no fhirUser') ? {} : { fhirUser: 'Patient/p1' }),
    })
      .setProtectedHeader({ alg: 'RS256', kid: 'id' })
      .setIssuer(`${origin}/auth`)
      .setAudience(has('an ID token for another') ? 'other' : grant.clientId)
      .setSubject('pat')
      .setIssuedAt(now)
      .setExpirationTime(now + 300)
      .sign(idKey)
    const first = grant.revision === 1
    send(
      response,
      200,
      {
        access_token: access,
        token_type: 'Bearer',
        expires_in: has('expires_in as text') ? String(seconds) : seconds,
        scope: grant.scope,
        ...((first && has('no patient')) || (!first && has('no patient on refresh')) ? {} : { patient: 'p1' }),
        ...(first ? { id_token: identity } : {}),
        grant_expires_at: now + 90 * 86_400,
        ...more,
      },
      { pragma: 'no-cache', ...headers, ...(has('answers may be kept') ? { 'cache-control': 'max-age=60' } : {}) },
    )
  }

  const newRefreshToken = (grant: Grant, parent?: RefreshToken): string => {
    const token = random()
    refreshTokens.set(token, { grant, used: 0, parent, childUsed: false })
    return token
  }

  /** The client that a request is from; undefined where it is not let in. */
  const clientOf = async (request: IncomingMessage, form: URLSearchParams): Promise<string | undefined> => {
    const assertion = form.get('client_assertion')
    if (assertion) {
      try {
        if (has('any key') && assertion) return String(JSON.parse(atob(assertion.split('.')[1] ?? '')).sub)
        const { payload } = await jwtVerify(assertion, clientKeys, {
          ...(has('any audience') ? {} : { audience: `${origin}/auth/token` }),
          clockTolerance: 1,
        })
        if (payload.iss !== payload.sub) return undefined
        if ((payload.exp ?? 0) - Date.now() / 1000 > 301 && !has('long assertions')) return undefined
        if (jtis.has(payload.jti ?? '') && !has('assertions again')) return undefined
        jtis.add(payload.jti ?? '')
        return ['keyed', 'service'].includes(payload.sub ?? '') ? payload.sub : undefined
      } catch {
        return undefined
      }
    }
    const [, pair] = /^Basic (.+)$/.exec(request.headers.authorization ?? '') ?? []
    if (pair) {
      const [id = '', given = ''] = atob(pair).split(':').map(decodeURIComponent)
      const good = has('any secret') || (has('the secret’s beginning') ? given.startsWith(secret) : given === secret)
      return id === 'web' && good ? 'web' : undefined
    }
    const id = form.get('client_id') ?? ''
    return id === 'app' || (has('no authentication') && !form.has('client_secret') && ['web', 'keyed'].includes(id))
      ? id
      : undefined
  }

  const token = async (request: IncomingMessage, response: ServerResponse, form: URLSearchParams): Promise<unknown> => {
    const asking = request.headers.origin
    const own = asking === new URL(redirectUri).origin || (asking && has('CORS for all'))
    const headers: Record<string, string> =
      own && !has('no CORS') ? { 'access-control-allow-origin': asking ?? '' } : {}
    const refuse = (status: number, error: string): unknown => fail(response, status, error, headers)
    if (form.size === 0) return refuse(400, 'invalid_request')
    const clientId = await clientOf(request, form)
    if (form.get('grant_type') === 'password' && has('passwords'))
      return send(response, 200, { access_token: random() })
    if (!clientId) return refuse(401, 'invalid_client')
    if (form.get('grant_type') === 'client_credentials') {
      if (clientId !== 'service') return refuse(400, 'unauthorized_client')
      const scope = (form.get('scope') ?? '')
        .split(' ')
        .filter((each) => has('scopes of people') || each.startsWith('system/'))
      if (scope.length === 0) return refuse(400, 'invalid_scope')
      const token = random()
      accessTokens.set(token, {
        clientId,
        scope: scope.join(' '),
        nonce: '',
        challenge: null,
        redirect: '',
        live: true,
        revision: 0,
      })
      return send(response, 200, { access_token: token, token_type: 'bearer', expires_in: 300, scope: scope.join(' ') })
    }
    if (form.get('grant_type') === 'authorization_code') {
      const found = codes.get(form.get('code') ?? '')
      if (!found || found.grant.clientId !== clientId) return refuse(400, 'invalid_grant')
      const { grant } = found
      const verifier = form.get('code_verifier')
      const hashed = verifier === null ? null : createHash('sha256').update(verifier).digest('base64url')
      if (verifier === null && grant.challenge !== null && !has('no verifier is fine'))
        return refuse(400, 'invalid_grant')
      if (grant.challenge === null && verifier !== null && !has('verifier without challenge'))
        return refuse(400, 'invalid_grant')
      if (verifier !== null && grant.challenge !== null && hashed !== grant.challenge && !has('any verifier'))
        return refuse(400, 'invalid_grant')
      if (form.get('redirect_uri') !== grant.redirect && !has('any redirect at the exchange'))
        return refuse(400, 'invalid_grant')
      if (has('a slow look-up')) {
        const seen = found.used
        await new Promise((resolve) => setTimeout(resolve, 30))
        if (seen) return refuse(400, 'invalid_grant')
      } else if (found.used && !has('codes again')) {
        grant.live = false
        return refuse(400, 'invalid_grant')
      }
      found.used = true
      return answer(response, grant, headers, has('no refresh token') ? {} : { refresh_token: newRefreshToken(grant) })
    }
    const found = refreshTokens.get(form.get('refresh_token') ?? '')
    if (!found || found.grant.clientId !== clientId || !(found.grant.live || has('refresh after revocation')))
      return send(
        response,
        400,
        { error: 'invalid_grant', ...(found ? { error_subcode: 'revoked' } : {}) },
        { ...headers },
      )
    const { grant } = found
    const wished = form.get('scope')
    if (wished && wished !== grant.scope && !has('refresh widens')) return refuse(400, 'invalid_scope')
    if (found.childUsed && !has('spent tokens again')) return refuse(400, 'invalid_grant')
    found.used++
    if (found.parent) found.parent.childUsed = true
    const next = has('no rotation') ? form.get('refresh_token') : newRefreshToken(grant, found)
    return answer(response, grant, headers, {
      refresh_token: next,
      ...(wished && has('refresh widens') ? { scope: wished } : {}),
    })
  }

  const introspect = async (
    request: IncomingMessage,
    response: ServerResponse,
    form: URLSearchParams,
  ): Promise<unknown> => {
    const clientId = await clientOf(request, form)
    if (!clientId && !has('introspection for all')) return fail(response, 401, 'invalid_client')
    const token = form.get('token') ?? ''
    const grant = accessTokens.get(token) ?? refreshTokens.get(token)?.grant
    if (!grant)
      return has('unknown is active') ? send(response, 200, { active: true }) : send(response, 200, { active: false })
    if (!grant.live && !has('introspection of the dead')) return send(response, 200, { active: false })
    send(response, 200, {
      active: true,
      scope: grant.scope,
      client_id: grant.clientId,
      exp: Math.floor(Date.now() / 1000) + 300,
      ...(has('introspection without patient') ? {} : { patient: 'p1' }),
    })
  }

  const fhir = (request: IncomingMessage, response: ServerResponse, path: string, query: URLSearchParams): unknown => {
    if (path === '/metadata') {
      const valueUri = has('another address in the CapabilityStatement')
        ? 'https://old.example/token'
        : `${origin}/auth/token`
      const url = 'http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris'
      const security = { extension: [{ url, extension: [{ url: 'token', valueUri }] }] }
      return send(
        response,
        has('metadata behind a sign-in') ? 401 : 200,
        { resourceType: 'CapabilityStatement', rest: [{ security }] },
        open,
      )
    }
    const challenge: Record<string, string> = has('no challenge') ? {} : { 'www-authenticate': 'Bearer' }
    const [, header] = /^Bearer (.+)$/.exec(request.headers.authorization ?? '') ?? []
    const presented = header ?? (has('tokens in addresses') ? query.get('access_token') : null) ?? ''
    const grant = accessTokens.get(presented)
    const identity = has('ID tokens open the record') && presented.split('.').length === 3 && presented.length > 100
    if (
      !grant?.live &&
      !identity &&
      !(grant && has('the dead open the record')) &&
      !has('no lock') &&
      !(presented && has('any token'))
    )
      return send(response, 401, {}, challenge)
    const patient = (id: string) => ({ resourceType: 'Patient', id })
    if (path === '/Patient') {
      const found = has('everybody') ? ['p1', 'p2'] : ['p1']
      return send(response, 200, { resourceType: 'Bundle', entry: found.map((id) => ({ resource: patient(id) })) })
    }
    const id = path.slice('/Patient/'.length)
    if (has('a broken record')) return send(response, 500, {})
    send(response, id === 'p1' || has('everybody') ? 200 : 403, patient(id))
  }

  const serve = async (request: IncomingMessage, response: ServerResponse): Promise<unknown> => {
    const url = new URL(request.url ?? '/', origin)
    const { pathname: path, searchParams: query } = url
    asked.push(`${request.method} ${path}`)
    let body = ''
    for await (const chunk of request) body += chunk
    const form = new URLSearchParams(body)
    const { smart, openid, keys } = await documents()
    if (path === '/fhir/.well-known/smart-configuration') {
      if (has('hangs')) return
      if (has('cut off')) return void request.socket.destroy()
      if (has('endless')) {
        response.writeHead(200, { 'content-type': 'application/json' })
        const more = (): unknown =>
          void (response.destroyed || response.write('x'.repeat(65_536), () => setImmediate(more)))
        return more()
      }
      if (has('HTML instead')) return page(response, 200, '<p>Welcome')
      if (has('a list instead')) return send(response, 200, [1, 2])
      if (has('redirects')) return void response.writeHead(302, { location: 'https://elsewhere.example/' }).end()
      const html = has('JSON only when asked') && request.headers.accept?.includes('html')
      if (html) return page(response, 200, '<p>Welcome')
      const headers: Record<string, string> = has('no CORS on discovery') ? { 'cache-control': 'max-age=300' } : open
      return send(response, 200, smart, headers)
    }
    if (path === '/auth/.well-known/openid-configuration')
      return has('no OpenID configuration') ? send(response, 404, {}) : send(response, 200, openid, open)
    if (path === '/.well-known/oauth-authorization-server/auth')
      return send(
        response,
        200,
        has('other metadata')
          ? { ...openid, issuer: 'https://old.example' }
          : { ...openid, token_endpoint: smart.token_endpoint, issuer: smart.issuer },
        open,
      )
    if (path === '/auth/keys')
      return send(response, has('keys behind a sign-in') ? 403 : 200, { keys }, has('no CORS on keys') ? {} : open)
    if (path === '/brands') return send(response, 200, { resourceType: 'Bundle', type: 'collection' }, open)
    if (path === '/auth/authorize') {
      if (request.method === 'POST' && has('no POST')) return send(response, 405, {})
      return authorize(response, request.method === 'POST' ? form : query)
    }
    if (path === '/auth/login') return login(response, form)
    if (path === '/auth/decide') return decide(response, form)
    if (path === '/auth/token') {
      if (request.method === 'GET' && has('tokens by GET')) return token(request, response, query)
      if (request.method !== 'POST' && has('tokens by GET')) return send(response, 200, {})
      if (request.method !== 'POST') return send(response, 405, {})
      return token(request, response, form.size === 0 && has('parameters in the address') ? query : form)
    }
    if (path === '/auth/introspect') return introspect(request, response, form)
    if (path === '/auth/revoke') {
      const clientId = await clientOf(request, form)
      if (!clientId && !has('revocation for all')) return fail(response, 401, 'invalid_client')
      const presented = form.get('token') ?? ''
      const found = refreshTokens.get(presented)?.grant ?? accessTokens.get(presented)
      if (!found && has('unknown is an error')) return fail(response, 400, 'invalid_request')
      if (found && !has('revocation does nothing')) found.live = false
      return send(response, 200, '')
    }
    if (path === '/auth/userinfo') {
      const grant = accessTokens.get((request.headers.authorization ?? '').slice(7))
      if (!grant && !has('userinfo for all')) return send(response, 401, {}, { 'www-authenticate': 'Bearer' })
      return send(response, 200, { sub: has('another person') ? 'eve' : 'pat' })
    }
    if (path === '/auth/register')
      return has('open registration') ? send(response, 201, { client_id: 'new' }) : fail(response, 401, 'invalid_token')
    if (path.startsWith('/fhir')) return fhir(request, response, path.slice('/fhir'.length), query)
    send(response, 404, {})
  }

  const server = createServer((request, response) => {
    serve(request, response).catch((error: unknown) =>
      send(response, 500, { error: 'server_error', error_description: String(error) }),
    )
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return {
    base: `${origin}/fhir`,
    asked,
    alive: () => grants.filter(({ live }) => live).length,
    async close() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}
