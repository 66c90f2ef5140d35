/**
 * The engine of one issuer: its settings as data, and what is done around its routes.
 *
 * Owns: every option of oidc-provider that we set. Does not own: the hooks' rules, each of which has a file of its own.
 */
import type { Environment, Settings } from '../config/settings.ts'
import { deriveBytes, type Mac, randomToken } from '../secrets.ts'
import type { GuardedFetch } from '../web/guarded-fetch.ts'
import { assertionAlgorithms, type ClientAssertions } from './client-assertions.ts'
import { allowedOrigin, secretIsRight } from './clients.ts'
import {
  type Configuration,
  type EngineContext,
  engineKeys,
  errors,
  externalSigning,
  type Interaction,
  Provider,
  tellFaults,
} from './engine.ts'
import type { IssuerKeys } from './key-ring.ts'
import { nonceNeeded, proofAlgorithms } from './proofs.ts'
import { stateOf } from './request-state.ts'
import { nameToken } from './rotation.ts'

/** The engine's own routes below the issuer's path; what discovery names and every alias lead here (R41). */
export const engineRoutes = {
  authorization: '/authorize',
  pushedAuthorization: '/par',
  token: '/token',
  introspection: '/introspect',
  revocation: '/revoke',
  userinfo: '/userinfo',
  jwks: '/jwks',
} as const

export interface EngineHooks {
  adapter: NonNullable<Configuration['adapter']>
  findAccount: NonNullable<Configuration['findAccount']>
  policy: NonNullable<NonNullable<Configuration['interactions']>['policy']>
  requestedApi(ctx: EngineContext, client: { clientId: string }): Promise<string>
  resourceServer: NonNullable<
    NonNullable<NonNullable<Configuration['features']>['resourceIndicators']>['getResourceServerInfo']
  >
  accessTokenClaims(ctx: EngineContext): Record<string, unknown>
  shapeAccessToken: NonNullable<NonNullable<NonNullable<Configuration['formats']>['customizers']>['jwt']>
  assertions: ClientAssertions
  fetch: GuardedFetch['fetch']
  mayIntrospect(asking: string, grantId: string): Promise<boolean>
  stepReached(flow: string, uid: string): Promise<void>
}

type ClientAlgorithms = NonNullable<NonNullable<Configuration['enabledJWA']>['clientAuthSigningAlgValues']>

const seconds = { minute: 60, hour: 3600, day: 86_400 }
const epochSeconds = (): number => Math.floor(Date.now() / 1000)

/**
 * Cookies of one issuer never meet those of another on the same host. Over https another host of the domain can plant no
 * session (`__Host-`), and nobody without TLS can plant anything; the other two have paths of their own (RFC 6265bis §4.1.3).
 */
const cookieNames = (environment: Environment) => {
  const suffix = environment.id.replace('/', '.')
  const [host, secure] = environment.issuer.startsWith('https:') ? ['__Host-', '__Secure-'] : ['', '']
  return {
    session: `${host}lk_session.${suffix}`,
    interaction: `${secure}lk_interaction.${suffix}`,
    resume: `${secure}lk_resume.${suffix}`,
  }
}

/** The session's cookie. Its end is the session's. */
export const sessionCookie = { httpOnly: true, sameSite: 'lax', path: '/', overwrite: true, signed: true } as const

/** A session ends after idling, and at its absolute end however busy it is (ASVS 7.3). */
export const sessionSeconds = (
  limits: Settings['session'],
  session: { loginTs?: number | undefined },
  now: number,
): number => {
  const left = (session.loginTs ?? now) + limits.absoluteHours * seconds.hour - now
  return Math.max(1, Math.min(limits.idleMinutes * seconds.minute, left))
}

/** A token's life in seconds: no token outlives the consent that it rests on, as that was when it was last asked for. */
const untilEnd = ({ req }: EngineContext, longest: number): number => {
  const end = stateOf(req).grant?.row.expires_at ?? 0
  return Math.max(1, Math.min(longest, Math.floor(end / 1000) - epochSeconds()))
}

const settingsOf = (
  environment: Environment,
  settings: Settings,
  keys: IssuerKeys,
  hooks: EngineHooks,
): Configuration => ({
  adapter: hooks.adapter,
  findAccount: tellFaults(hooks.findAccount),
  jwks: engineKeys(keys.signers),
  routes: { ...engineRoutes, pushed_authorization_request: engineRoutes.pushedAuthorization },
  scopes: [
    ...['openid', 'fhirUser', 'launch', 'launch/patient', 'launch/encounter', 'offline_access', 'online_access'],
    ...environment.plan.sensitiveCategories.flatMap(({ scope }) => scope ?? []),
  ],
  claims: { openid: ['sub'], fhirUser: ['fhirUser'] },
  subjectTypes: ['public'],
  responseTypes: ['code'],
  clientAuthMethods: ['none', 'client_secret_basic', 'client_secret_post', 'private_key_jwt'],
  assertJwtClientAuthClaimsAndHeader: (ctx) => hooks.assertions.confirm(ctx),
  enabledJWA: {
    idTokenSigningAlgValues: ['RS256'],
    clientAuthSigningAlgValues: [...assertionAlgorithms] as ClientAlgorithms,
    dPoPSigningAlgValues: proofAlgorithms,
  },
  pkce: { required: () => true },
  allowOmittingSingleRegisteredRedirectUri: false,
  acceptQueryParamAccessTokens: false,
  clientBasedCORS: (_ctx, origin, client) => allowedOrigin(origin, client.redirectUris ?? []),
  extraClientMetadata: { properties: ['resource_server'] },
  // Both are judged with the resource, before anything is shown.
  extraParams: { aud: null, launch: null },
  extraTokenClaims: tellFaults((ctx: EngineContext) => hooks.accessTokenClaims(ctx)),
  formats: { customizers: { jwt: hooks.shapeAccessToken } },
  rotateRefreshToken: true,
  issueRefreshToken: (_ctx, client, { scopes }) =>
    client.grantTypeAllowed('refresh_token') && (scopes.has('offline_access') || scopes.has('online_access')),
  // What ends with the session ends as a grant (authorizations.ts): the session's record may be gone long before, by idling.
  expiresWithSession: () => false,
  // One new grant per authorization: the patient belongs to one authorization.
  loadExistingGrant: tellFaults(async (ctx: EngineContext) => {
    const grantId = ctx.oidc.result?.consent?.grantId
    return grantId ? ctx.oidc.provider.Grant.find(grantId) : undefined
  }),
  interactions: {
    policy: hooks.policy,
    url: tellFaults(async (_ctx: EngineContext, { uid, cid }: Interaction) => {
      await hooks.stepReached(cid, uid)
      return `${new URL(environment.issuer).pathname.replace(/\/$/, '')}/interaction/${uid}`
    }),
  },
  cookies: {
    keys: [...keys.secrets.cookies],
    names: cookieNames(environment),
    long: sessionCookie,
    short: { httpOnly: true, sameSite: 'lax', overwrite: true, signed: true },
  },
  // The engine is given each client's key and has nothing to fetch; if it did, then like this.
  fetch: (url, options) => hooks.fetch(url as string | URL, options as Parameters<GuardedFetch['fetch']>[1]),
  fetchResponseBodyLimits: { jwks_uri: 65_536, sector_identifier_uri: 65_536 },
  ttl: {
    AccessToken: (ctx) => untilEnd(ctx, settings.tokens.accessTokenMinutes * seconds.minute),
    AuthorizationCode: seconds.minute,
    // SMART "Backend Services": no more than five minutes.
    ClientCredentials: 5 * seconds.minute,
    Grant: environment.plan.sharing.longestDays * seconds.day,
    IdToken: settings.tokens.accessTokenMinutes * seconds.minute,
    Interaction: seconds.hour,
    // Each use starts it anew, up to the end date that the member saw (R8).
    RefreshToken: (ctx) => untilEnd(ctx, settings.tokens.refreshTokenDays * seconds.day),
    Session: (_ctx, session) => sessionSeconds(settings.session, session, epochSeconds()),
  },
  features: {
    externalSigningSupport: externalSigning,
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    rpInitiatedLogout: { enabled: false },
    pushedAuthorizationRequests: { enabled: true },
    dPoP: {
      enabled: true,
      // The same on all servers. When the secret changes, apps are told a new nonce, and try again by themselves (RFC 9449 §8).
      nonceSecret: deriveBytes(keys.secrets.forms[0] ?? '', 'latchkey dpop nonce v1'),
      requireNonce: nonceNeeded,
      allowReplay: false,
    },
    // Answered by us: access tokens are JWTs for a FHIR server, which the engine's own endpoint refuses.
    userinfo: { enabled: false },
    revocation: {
      enabled: true,
      allowedPolicy: (_ctx, client, token) => token.clientId === client.clientId,
    },
    introspection: {
      enabled: true,
      allowedPolicy: tellFaults(async (_ctx, client, token) =>
        'grantId' in token && typeof token.grantId === 'string'
          ? hooks.mayIntrospect(client.clientId, token.grantId)
          : false,
      ),
    },
    resourceIndicators: {
      enabled: true,
      defaultResource: tellFaults(
        async (ctx, client, oneOf) =>
          // At the token endpoint `oneOf` is what was granted: one API, or the member would not have seen its name.
          oneOf?.[0] ?? hooks.requestedApi(ctx, client),
      ),
      getResourceServerInfo: tellFaults(hooks.resourceServer),
      useGrantedResource: () => true,
    },
  },
  renderError: (ctx, out) => {
    const state = stateOf(ctx.req)
    state.pageError = Object.assign(new Error(out.error), out)
    ctx.respond = false
  },
})

/** Builds the engine of an issuer, for one set of its keys. */
export const createProvider = (deps: {
  environment: Environment
  settings: Settings
  keys: IssuerKeys
  hooks: EngineHooks
  /** Of refresh tokens. */
  mac: Mac
}): Provider => {
  const { environment, mac } = deps
  const provider = new Provider(environment.issuer, settingsOf(environment, deps.settings, deps.keys, deps.hooks))
  // The edge has removed what the outside forwarded and set the one header that is left, so that URLs and cookies fit.
  provider.proxy = true
  provider.Client.prototype.compareClientSecret = async function (presented) {
    return secretIsRight(presented, this.clientSecret)
  }
  provider.OIDCContext.prototype.clientJwtAuthExpectedAudience = () => deps.hooks.assertions.audiences
  // The engine writes the client's id and the jti one after the other: by an id that begins another's, a client could use that one's up.
  const { unique } = provider.ReplayDetection
  provider.ReplayDetection.unique = function (client, jti, exp) {
    return unique.call(this, JSON.stringify([client, jti]), '', exp)
  }
  // What a DPoP proof is made for is the address that the app has asked, an alias too (RFC 9449 §4.3), not a path of the engine's.
  const { urlFor } = provider.OIDCContext.prototype
  provider.OIDCContext.prototype.urlFor = function (name, options) {
    const { address } = stateOf(Provider.ctx?.req)
    return address && name === this.route ? address : urlFor.call(this, name, options)
  }
  // The engine's models make their own ids by this method, which its types do not name.
  Object.defineProperty(provider.RefreshToken.prototype, 'generateTokenId', {
    value(this: { grantId?: string; rotations?: number }): string {
      if (!this.grantId) throw new errors.InvalidGrant({ detail: 'a refresh token without a grant' })
      return nameToken(mac, environment.id, { family: this.grantId, generation: this.rotations ?? 0 }, randomToken(16))
    },
  })
  return provider
}
