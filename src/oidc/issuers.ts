/**
 * An issuer, put together: keys, clients, the engine, and the doors that other parts use.
 *
 * Owns: the order in which one issuer's parts are built, and a new engine for each new set of keys. Does not own: any of
 * the parts.
 * Hands to: routes.ts (addresses), interactions (pages), userinfo.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Context } from 'koa'
import type { Audit } from '../audit/audit.ts'
import type { Environment, Settings } from '../config/settings.ts'
import { createLaunches, type Launches } from '../launches/launches.ts'
import type { Log } from '../log.ts'
import type { Connections } from '../members/connections.ts'
import type { Directory } from '../members/directory.ts'
import type { EndingsLog } from '../recovery/endings-log.ts'
import type { Mac, Sealer } from '../secrets.ts'
import type { Database } from '../storage/database.ts'
import type { ShortLived } from '../storage/short-lived.ts'
import { createGuardedFetch } from '../web/guarded-fetch.ts'
import { createAdapterFactory } from './adapter.ts'
import { type Authorizations, createAuthorizations } from './authorizations.ts'
import { createBearerIntrospection } from './bearer-introspection.ts'
import { createClientAssertions } from './client-assertions.ts'
import { createClientKeys } from './client-keys.ts'
import { type Clients, createClients } from './clients.ts'
import { createEncounters, type Encounters } from './encounters.ts'
import { surroundEngine } from './endpoints.ts'
import { hearFaults, type Provider } from './engine.ts'
import { createIntrospection } from './introspection.ts'
import type { IssuerKeys, KeyRing } from './key-ring.ts'
import { createLaunchDirectory } from './launch-directory.ts'
import { createLaunchRequests } from './launch-requests.ts'
import { createLogoutRequests, type LogoutRequests } from './logout-requests.ts'
import { createPolicy } from './policy.ts'
import { createProvider, type EngineHooks, engineRoutes } from './provider.ts'
import { createRefreshTokens } from './refresh-tokens.ts'
import { createResources } from './resources.ts'
import { createRevocationFeed, type RevocationFeed } from './revocation-feed.ts'
import { createRevocations } from './revocations.ts'
import { createSteps } from './steps.ts'
import { createSubjects } from './subjects.ts'
import { createTokenResponse } from './token-response.ts'
import { createUserinfo } from './userinfo.ts'

export interface Issuer {
  environment: Environment
  /** Lets the engine answer a request for one of its routes. */
  answer: (req: IncomingMessage, res: ServerResponse, route: string) => Promise<void>
  clients: Clients
  authorizations: Authorizations
  logoutRequests: LogoutRequests
  encounters: Encounters
  launches: Launches
  /** Whose token a backend service presents to us, what it opens and may do; undefined for any other. */
  serviceToken: (token: string) => Promise<{ clientId: string; api: string; scope: string } | undefined>
  /** Of the forms on the issuer's pages. */
  formsMac: Mac
  userinfo: (ctx: Context) => Promise<void>
  revocationFeed: RevocationFeed
  /** Introspection for services that come with a token of their own. */
  introspectByBearer: (ctx: Context) => Promise<void>
}

export interface IssuerDeps {
  settings: Settings
  database: Database
  shortLived: ShortLived
  sealer: Sealer
  keyRing: KeyRing
  audit: Audit
  directory: Directory
  connections: Connections
  endingsLog: EndingsLog | undefined
  log: Log
  now: () => number
}

/** The engine takes its keys once. Requests in flight finish on the engine that they began on. */
const engineInForce = (keysNow: () => IssuerKeys, build: (keys: IssuerKeys) => Provider) => {
  let built: { keys: IssuerKeys; provider: Provider; callback: ReturnType<Provider['callback']> } | undefined
  return () => {
    const keys = keysNow()
    if (built?.keys !== keys) {
      const provider = build(keys)
      built = { keys, provider, callback: provider.callback() }
    }
    return built
  }
}

/** Builds an issuer. */
export const createIssuer = (environment: Environment, deps: IssuerDeps): Issuer => {
  const { settings, database, shortLived, sealer, keyRing, audit, directory, connections, endingsLog, log, now } = deps
  const mac = keyRing.mac(environment.id, 'refresh-tokens')
  const clients = createClients({ database, environment, now })
  // Over http only where the issuer itself is on this machine.
  const guarded = createGuardedFetch({ allowLoopback: environment.issuer.startsWith('http:') })
  const keys = createClientKeys({ fetchJson: guarded.fetchJson, now })
  const assertions = createClientAssertions({ environment, keys, now })
  const introspection = createIntrospection({ environment, connections, clients, shortLived, keyRing, endingsLog, now })
  const tokenResponse = createTokenResponse({ environment })
  const launches = createLaunches({
    environment,
    directory: createLaunchDirectory({ environment, clients, directory }),
    shortLived,
    database,
    audit,
    now,
  })
  const launchRequests = createLaunchRequests({ environment, launches, directory })
  const resources = createResources({ environment, clients, launchRequests })
  const steps = createSteps({ shortLived, now })
  const adapter = createAdapterFactory({
    issuer: environment.id,
    plan: environment.plan.id,
    database,
    audit,
    shortLived,
    sealer,
    clients,
    assertions,
    connections,
    refreshTokens: createRefreshTokens({ database, issuer: environment.id, now }),
    idTokenOnRefresh: settings.tokens.idTokenOnRefresh,
    tokenMillis: settings.tokens.refreshTokenDays * 86_400_000,
    mac,
    now,
  })
  const hooks: EngineHooks = {
    adapter,
    findAccount: createSubjects({ environment, directory, connections }).findAccount,
    policy: createPolicy({ directory, launchRequests, issuer: environment.id }),
    requestedApi: resources.requestedApi,
    resourceServer: resources.resourceServer,
    accessTokenClaims: tokenResponse.accessTokenClaims,
    shapeAccessToken: tokenResponse.shapeAccessToken,
    assertions,
    fetch: guarded.fetch,
    mayIntrospect: async (asking, grantId) => {
      const grant = await connections.grantContext(environment.id, grantId)
      return grant !== undefined && introspection.mayIntrospect(asking, grant)
    },
    stepReached: steps.reached,
  }
  const engine = engineInForce(
    () => keyRing.of(environment.id),
    (keys) => {
      const provider = createProvider({ environment, settings, keys, mac, hooks })
      surroundEngine({
        provider,
        environment,
        database,
        audit,
        log,
        connections,
        introspection,
        tokenResponse,
      })
      return provider
    },
  )
  const provider = () => engine().provider
  // Whatever is wrong with its settings is told at start.
  provider()
  return {
    environment,
    answer: async (req, res, route) => {
      // Verifiers keep what they read here, so it is never older than the store.
      if (route === engineRoutes.jwks) await keyRing.ask()
      await engine().callback(req, res)
    },
    clients,
    authorizations: createAuthorizations({
      provider,
      environment,
      clients,
      connections,
      steps,
      launchRequests,
      session: settings.session,
    }),
    logoutRequests: createLogoutRequests({ provider, clients }),
    launches,
    serviceToken: async (token) => {
      const live = await introspection.liveServiceToken(token)
      return live && { clientId: live.client.clientId, api: live.api.id, scope: live.scope }
    },
    encounters: createEncounters({ environment, keyRing, now }),
    formsMac: keyRing.mac(environment.id, 'forms'),
    introspectByBearer: createBearerIntrospection({
      environment,
      introspection,
      connections,
      refreshToken: hearFaults((presented) => provider().RefreshToken.find(presented)),
    }),
    userinfo: createUserinfo({ environment, introspection, clients, shortLived, now }),
    revocationFeed: createRevocationFeed({
      environment,
      clients,
      introspection,
      revocations: createRevocations({ database, issuer: environment.id, log, now }),
      log,
      now,
    }),
  }
}
