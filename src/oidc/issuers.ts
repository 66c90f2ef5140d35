/**
 * An issuer, put together: keys, clients, the engine, and the doors that other parts use.
 *
 * Owns: the order in which one issuer's parts are built. Does not own: any of the parts.
 * Hands to: routes.ts (addresses), interactions (pages), userinfo.
 */
import type { Context } from 'koa'
import type { Audit } from '../audit/audit.ts'
import type { Environment, Settings } from '../config/settings.ts'
import type { Log } from '../log.ts'
import type { Connections } from '../members/connections.ts'
import type { Directory } from '../members/directory.ts'
import { createMac, type Sealer } from '../secrets.ts'
import type { Database } from '../storage/database.ts'
import type { ShortLived } from '../storage/short-lived.ts'
import { createAdapterFactory } from './adapter.ts'
import { type Authorizations, createAuthorizations } from './authorizations.ts'
import { type Clients, createClients } from './clients.ts'
import { surroundEngine } from './endpoints.ts'
import type { Provider } from './engine.ts'
import { createIntrospection } from './introspection.ts'
import { ensureKeys, type IssuerKeys, loadKeys } from './keys.ts'
import { createPolicy } from './policy.ts'
import { createProvider } from './provider.ts'
import { createRefreshTokens } from './refresh-tokens.ts'
import { createResources } from './resources.ts'
import { createSteps } from './steps.ts'
import { createSubjects } from './subjects.ts'
import { createTokenResponse } from './token-response.ts'
import { createUserinfo } from './userinfo.ts'

export interface Issuer {
  environment: Environment
  provider: Provider
  clients: Clients
  authorizations: Authorizations
  keys: IssuerKeys
  userinfo: (ctx: Context) => Promise<void>
}

export interface IssuerDeps {
  settings: Settings
  database: Database
  shortLived: ShortLived
  sealer: Sealer
  audit: Audit
  directory: Directory
  connections: Connections
  log: Log
  now: () => number
}

/** Builds an issuer; at its first start it makes the issuer's keys. */
export const createIssuer = async (environment: Environment, deps: IssuerDeps): Promise<Issuer> => {
  const { settings, database, shortLived, sealer, audit, directory, connections, log, now } = deps
  await ensureKeys(environment.id, { database, sealer, audit, now })
  const keys = await loadKeys(environment.id, { database, sealer })
  const mac = createMac(keys.secrets['refresh-tokens'])
  const clients = createClients({ database, environment, now })
  const introspection = createIntrospection({ environment, connections, clients, shortLived, keys: keys.signing, now })
  const tokenResponse = createTokenResponse({ environment })
  const resources = createResources({
    environment,
    clients,
    accessTokenSeconds: settings.tokens.accessTokenMinutes * 60,
  })
  const steps = createSteps({ shortLived, now })
  const adapter = createAdapterFactory({
    issuer: environment.id,
    plan: environment.plan.id,
    database,
    audit,
    shortLived,
    sealer,
    clients,
    connections,
    refreshTokens: createRefreshTokens({ database, issuer: environment.id, now }),
    idTokenOnRefresh: settings.tokens.idTokenOnRefresh,
    mac,
    now,
  })
  const provider = createProvider({
    environment,
    settings,
    keys,
    mac,
    hooks: {
      adapter,
      findAccount: createSubjects({ environment, directory, connections }).findAccount,
      policy: createPolicy({ directory, issuer: environment.id }),
      requestedApi: resources.requestedApi,
      resourceServer: resources.resourceServer,
      accessTokenClaims: tokenResponse.accessTokenClaims,
      shapeAccessToken: tokenResponse.shapeAccessToken,
      mayIntrospect: async (asking, grantId) => {
        const grant = await connections.grantContext(environment.id, grantId)
        return grant !== undefined && introspection.mayIntrospect(asking, grant)
      },
      stepReached: steps.reached,
    },
  })
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
  return {
    environment,
    provider,
    clients,
    authorizations: createAuthorizations({ provider, environment, clients, connections, steps }),
    keys,
    userinfo: createUserinfo({ introspection, clients }),
  }
}
