/**
 * The baseline, in a process of its own: oidc-provider with its memory adapter and with what it needs to answer the same
 * requests in the same number of hops. Nothing is durable, audited, rate limited or asked of a person.
 *
 * Like Latchkey: ES256 access tokens as JWT with the same claims, an RS256 ID token after a code and none after a refresh,
 * PKCE, rotation, consent in every authorization, signed cookies. Unlike: passwords are not looked at, the pages are one
 * line, and a second API has opaque tokens, because this engine introspects no JWT.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { exportJWK, generateKeyPair } from 'jose'
import { type AdapterConstructor, type Configuration, interactionPolicy, Provider } from 'oidc-provider'
import { redirectUri, resourceServer } from './member.ts'

const port = Number(process.argv[2])
const issuer = `http://127.0.0.1:${port}`

const keyOf = async (alg: string) => {
  const { privateKey } = await generateKeyPair(alg, { extractable: true })
  return { ...(await exportJWK(privateKey)), alg, use: 'sig', kid: alg }
}

const { base, Check } = interactionPolicy
const policy = base()
const consent = policy.get('consent')
consent?.checks.clear()
consent?.checks.add(
  new Check('consent_each_time', 'consent is asked each time', 'consent_required', (ctx) => !ctx.oidc.result?.consent),
)

/** The engine's own adapter, with room for ten times as many records: 1,000 are too few for 64 members at a time. */
const ofEngine = async (file: string) =>
  (await import(new URL(`../node_modules/oidc-provider/lib/${file}`, import.meta.url).href)).default
const MemoryAdapter: new (model: string, store: unknown) => InstanceType<AdapterConstructor> =
  await ofEngine('adapters/memory_adapter.js')
const LeastRecentlyUsed: new (options: { maxSize: number }) => unknown = await ofEngine('helpers/lru.js')
const store = new LeastRecentlyUsed({ maxSize: 10_000 })

const configuration: Configuration = {
  adapter: (model) => new MemoryAdapter(model, store),
  jwks: { keys: [await keyOf('ES256'), await keyOf('RS256')] },
  routes: { authorization: '/authorize', token: '/token', introspection: '/introspect', jwks: '/jwks' },
  scopes: ['openid', 'fhirUser', 'launch/patient', 'offline_access'],
  claims: { openid: ['sub'], fhirUser: ['fhirUser'] },
  clients: [
    {
      client_id: 'bench-app',
      application_type: 'native',
      token_endpoint_auth_method: 'none',
      redirect_uris: [redirectUri],
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
      id_token_signed_response_alg: 'RS256',
    },
    {
      client_id: resourceServer.id,
      client_secret: resourceServer.secret,
      redirect_uris: [],
      grant_types: [],
      response_types: [],
    },
  ],
  findAccount: (_ctx, sub) => ({ accountId: sub, claims: () => ({ sub, fhirUser: `${issuer}/fhir/Patient/${sub}` }) }),
  extraTokenClaims: (_ctx, token) => ({
    patient: String('accountId' in token ? token.accountId : ''),
    patient_id: String('accountId' in token ? token.accountId : ''),
    fhirUser: `${issuer}/fhir/Patient/${'accountId' in token ? token.accountId : ''}`,
    grant_id: String('grantId' in token ? token.grantId : ''),
  }),
  loadExistingGrant: async (ctx) => {
    const grantId = ctx.oidc.result?.consent?.grantId
    return grantId ? ctx.oidc.provider.Grant.find(grantId) : undefined
  },
  pkce: { required: () => true },
  rotateRefreshToken: true,
  expiresWithSession: () => false,
  interactions: { policy, url: (_ctx, { uid }) => `/interaction/${uid}` },
  cookies: {
    keys: ['a key of the bench'],
    long: { httpOnly: true, sameSite: 'lax', path: '/', overwrite: true, signed: true },
    short: { httpOnly: true, sameSite: 'lax', overwrite: true, signed: true },
  },
  ttl: {
    AccessToken: 600,
    AuthorizationCode: 60,
    Grant: 365 * 86_400,
    IdToken: 600,
    Interaction: 3600,
    RefreshToken: 180 * 86_400,
    Session: 900,
  },
  features: {
    devInteractions: { enabled: false },
    rpInitiatedLogout: { enabled: false },
    pushedAuthorizationRequests: { enabled: false },
    dPoP: { enabled: false },
    userinfo: { enabled: false },
    introspection: { enabled: true, allowedPolicy: () => true },
    resourceIndicators: {
      enabled: true,
      defaultResource: (_ctx, _client, oneOf) => oneOf?.[0] ?? `${issuer}/fhir`,
      getResourceServerInfo: (_ctx, resource) => ({
        scope: 'launch/patient patient/*.rs',
        accessTokenTTL: 600,
        ...(resource.endsWith('/opaque')
          ? { accessTokenFormat: 'opaque' }
          : { accessTokenFormat: 'jwt', jwt: { sign: { alg: 'ES256' } } }),
      }),
      useGrantedResource: () => true,
    },
  },
}

const provider = new Provider(issuer, configuration)
const answer = provider.callback()

const bodyOf = async (request: IncomingMessage): Promise<URLSearchParams> => {
  let text = ''
  for await (const chunk of request) text += chunk
  return new URLSearchParams(text)
}

const page = (uid: string, prompt: string): string =>
  prompt === 'login'
    ? `<form method="post" action="/interaction/${uid}/sign-in"><input name="username"><input name="password"></form>`
    : `<form method="post" action="/interaction/${uid}/consent"><input name="share" value="yes"></form>`

const answerAll = async (request: IncomingMessage, response: ServerResponse) => {
  const [, uid, step] = /^\/interaction\/([\w-]+)\/?([\w-]*)$/.exec(request.url ?? '') ?? []
  if (!uid) return answer(request, response)
  const details = await provider.interactionDetails(request, response)
  if (request.method === 'GET') {
    response.setHeader('content-type', 'text/html; charset=utf-8')
    return response.end(page(uid, details.prompt.name))
  }
  const fields = await bodyOf(request)
  if (step === 'sign-in')
    return provider.interactionFinished(request, response, { login: { accountId: fields.get('username') ?? '' } })
  const grant = new provider.Grant({
    accountId: details.session?.accountId,
    clientId: String(details.params.client_id),
  })
  grant.addOIDCScope('openid fhirUser launch/patient offline_access')
  grant.addResourceScope(String(details.params.resource), 'launch/patient patient/*.rs')
  const result = { consent: { grantId: await grant.save() } }
  return provider.interactionFinished(request, response, result, { mergeWithLastSubmission: true })
}

createServer({ keepAliveTimeout: 65_000 }, answerAll).listen(port, '127.0.0.1')
