/**
 * What is done around the engine's own routes, in one visible order.
 *
 * Owns: discovery made true, the completed token answer, introspection of JWTs, faults of ours as 503, the audit of answers.
 * Does not own: routing (routes.ts), or any rule: each is called from the file that has it.
 */
import type { Audit } from '../audit/audit.ts'
import type { Environment } from '../config/settings.ts'
import type { Log } from '../log.ts'
import type { Connections } from '../members/connections.ts'
import type { Database } from '../storage/database.ts'
import { issuerDocument } from './discovery.ts'
import type { EngineContext, errors, Provider } from './engine.ts'
import type { Introspection } from './introspection.ts'
import { stateOf } from './request-state.ts'
import type { createTokenResponse } from './token-response.ts'

const descriptions: Record<string, string> = {
  request_not_supported: 'Request objects are not supported: send each parameter by itself.',
  request_uri_not_supported: 'Request objects are not supported: send each parameter by itself.',
  registration_not_supported: 'Registration within a request is not supported.',
  unsupported_response_type: 'response_type must be code',
  unsupported_response_mode: 'response_mode must be query, or left out',
}

/** What an app is told: the field and what is accepted, where the engine names neither. */
const describe = (error: string, said: string | undefined): string => {
  if (said?.includes('policy requires PKCE')) return 'code_challenge is required, with the code_challenge_method S256'
  if (said?.includes('value of code_challenge_method')) return 'code_challenge_method must be S256'
  return descriptions[error] ?? said ?? 'The request was refused.'
}

/** The engine's routes that browsers come to: what goes wrong there is told on a page. */
const forPeople = new Set<string | undefined>(['authorization', 'resume'])

type Middleware = (ctx: EngineContext, next: () => Promise<void>) => Promise<void>

export const surroundEngine = (deps: {
  provider: Provider
  environment: Environment
  database: Database
  audit: Audit
  log: Log
  connections: Connections
  introspection: Introspection
  tokenResponse: ReturnType<typeof createTokenResponse>
}): void => {
  const { provider, environment, database, audit, log, introspection, tokenResponse } = deps

  const bodyOf = (ctx: EngineContext): Record<string, unknown> =>
    typeof ctx.body === 'object' && ctx.body !== null ? (ctx.body as Record<string, unknown>) : {}

  /** 503 says when to come back, and nobody keeps it (R43). */
  const faults: Middleware = async (ctx, next) => {
    await next()
    if (ctx.status !== 503) return
    ctx.set('Retry-After', '5')
    ctx.set('Cache-Control', 'no-store')
  }

  const discovery: Middleware = async (ctx, next) => {
    await next()
    if (ctx.oidc?.route !== 'discovery' || ctx.status !== 200) return
    ctx.body = issuerDocument(environment, bodyOf(ctx))
    ctx.set('Cache-Control', 'public, max-age=300')
  }

  /** Every error that goes back to an app says what is wrong (R12); of some the engine gives the name alone. */
  const described: Middleware = async (ctx, next) => {
    await next()
    if (ctx.oidc?.route === 'pushed_authorization_request' && ctx.status >= 400) {
      const { error, error_description: said } = bodyOf(ctx)
      ctx.body = { error, error_description: describe(String(error), typeof said === 'string' ? said : undefined) }
      return
    }
    const location = ctx.oidc?.route === 'authorization' ? URL.parse(ctx.response.get('Location')) : null
    const error = location?.searchParams.get('error')
    if (!location || !error) return
    const said = location.searchParams.get('error_description') ?? undefined
    const description = describe(error, said)
    if (description === said) return
    location.searchParams.set('error_description', description)
    ctx.redirect(location.href)
  }

  const keys: Middleware = async (ctx, next) => {
    await next()
    if (ctx.oidc?.route === 'jwks' && ctx.status === 200) ctx.set('Cache-Control', 'public, max-age=300')
  }

  const auditToken = async (ctx: EngineContext): Promise<void> => {
    const { grant, service, requestId, refusal } = stateOf(ctx.req)
    const issued = ctx.status === 200
    // A refresh is recorded with the token that comes of it (refresh-token-adapter.ts).
    if (issued && ctx.oidc.params?.grant_type === 'refresh_token') return
    await database.transaction(async (trx) => {
      if (issued && grant?.row.connection_id) await deps.connections.touch(trx, grant.row.connection_id)
      await audit.record(trx, {
        type: issued ? 'token.issued' : 'token.refused',
        outcome: issued ? 'success' : 'refused',
        plan: environment.plan.id,
        issuer: environment.id,
        actor: ctx.oidc.client ? `client:${ctx.oidc.client.clientId}` : 'anonymous',
        memberId: grant?.row.member_id,
        patientId: grant?.row.patient_id ?? undefined,
        grantId: grant?.row.id,
        requestId: requestId ?? undefined,
        details: issued
          ? service
            ? { api: service.api.id, scope: service.scope }
            : {}
          : { error: String(bodyOf(ctx).error ?? ''), subcode: refusal ?? null },
      })
    })
  }

  const auditCode: Middleware = async (ctx, next) => {
    await next()
    const { grant, requestId } = stateOf(ctx.req)
    if (ctx.oidc?.route !== 'resume' || !grant || !ctx.oidc.entities.AuthorizationCode) return
    await database.transaction((trx) =>
      audit.record(trx, {
        type: 'code.issued',
        plan: environment.plan.id,
        issuer: environment.id,
        actor: `client:${grant.row.client_id}`,
        memberId: grant.row.member_id,
        patientId: grant.row.patient_id ?? undefined,
        grantId: grant.row.id,
        requestId: requestId ?? undefined,
      }),
    )
  }

  const token: Middleware = async (ctx, next) => {
    await next()
    if (ctx.oidc?.route !== 'token') return
    // RFC 6749 §5.1 and SMART "Obtain access token": answers with tokens are never cached.
    ctx.set('Cache-Control', 'no-store')
    ctx.set('Pragma', 'no-cache')
    if (ctx.status === 200) tokenResponse.complete(ctx)
    else if (ctx.status === 400) tokenResponse.explain(ctx)
    // Nobody fills the audit with noise: a refusal is recorded where a grant of ours was concerned; all are in the log.
    const { grant, refusal } = stateOf(ctx.req)
    if (ctx.status === 200 || (ctx.status < 500 && (grant || refusal))) await auditToken(ctx)
  }

  /** What the engine calls a bad request, and is more than that; and what it leaves without words. */
  const clientErrors: Middleware = async (ctx, next) => {
    await next()
    const { oidc } = ctx
    const body = bodyOf(ctx)
    const { client_assertion: assertion, client_secret: secret, grant_type: grantType } = oidc?.params ?? {}
    // SMART "Client Authentication: Asymmetric": whatever is wrong with an authentication is `invalid_client`. Two at once is no
    // authentication (RFC 6749 §5.2).
    if (body.error === 'invalid_request' && typeof assertion === 'string' && !oidc.client) {
      if (secret !== undefined || ctx.get('authorization')) return
      ctx.status = 401
      ctx.body = { ...body, error: 'invalid_client' }
    }
    if (body.error === 'unsupported_grant_type') {
      const accepted = 'grant_type must be authorization_code, refresh_token or client_credentials'
      ctx.body = { ...body, error_description: accepted }
    }
    // The rest of it was found right, and that it was used before would have been told.
    if (body.error === 'invalid_client' && assertion !== undefined && stateOf(ctx.req).assertion === assertion) {
      const wrong = 'client_assertion: its signature does not fit the registered key'
      if (body.error_description === 'client authentication failed') ctx.body = { ...body, error_description: wrong }
    }
    // RFC 6749 §5.2.
    if (body.error === 'invalid_request' && oidc?.route === 'token' && typeof grantType === 'string' && oidc.client)
      if (!oidc.client.grantTypeAllowed(grantType))
        ctx.body = { error: 'unauthorized_client', error_description: `This client may not use ${grantType}.` }
  }

  /** What a request used up for an answer that never left the house is good again (R43). */
  const givenBack: Middleware = async (ctx, next) => {
    await next()
    const { spoilt, pageError } = stateOf(ctx.req)
    if (ctx.oidc?.route === 'token' ? ctx.status === 200 : !pageError || ctx.status < 500) return
    for (const giveBack of spoilt)
      await giveBack().catch((error) => log.warn({ err: error }, 'something will be given back when it is asked for'))
  }

  const revokeAccessToken = async (token: string, clientId: string, ctx: EngineContext): Promise<void> => {
    const revoked = await introspection.revoke(token, clientId)
    if (!revoked) return
    await database.transaction((trx) =>
      audit.record(trx, {
        type: 'token.revoked',
        plan: environment.plan.id,
        issuer: environment.id,
        actor: `client:${clientId}`,
        grantId: revoked.grantId,
        requestId: stateOf(ctx.req).requestId ?? undefined,
      }),
    )
  }

  const introspectionAnswer: Middleware = async (ctx, next) => {
    await next()
    const { oidc } = ctx
    if (oidc?.route !== 'introspection' && oidc?.route !== 'revocation') return
    const presented = String(oidc.params?.token ?? '')
    if (bodyOf(ctx).error === 'unsupported_token_type' && oidc.client) {
      ctx.status = 200
      if (oidc.route === 'introspection') ctx.body = await introspection.introspect(presented, oidc.client.clientId)
      else {
        await revokeAccessToken(presented, oidc.client.clientId, ctx)
        // No words: neither the engine's refusal nor its type.
        ctx.remove('Content-Type')
        ctx.body = ''
      }
      return
    }
    const { grant } = stateOf(ctx.req)
    if (bodyOf(ctx).active === true && grant) ctx.body = introspection.completeRefreshToken(bodyOf(ctx), grant)
  }

  /** Our own middleware may fail by our fault as well: the same 503 as the engine's. */
  const ourFaults: Middleware = async (ctx, next) => {
    try {
      await next()
    } catch (error) {
      const state = stateOf(ctx.req)
      log.error({ err: error, requestId: state.requestId }, 'an endpoint failed')
      ctx.status = 503
      if (forPeople.has(ctx.oidc?.route)) {
        state.pageError = error instanceof Error ? error : new Error('an endpoint failed', { cause: error })
        ctx.respond = false
        return
      }
      ctx.body = {
        error: 'temporarily_unavailable',
        error_description: 'The server cannot answer just now. Try again soon.',
      }
    }
  }

  for (const middleware of [
    faults,
    givenBack,
    ourFaults,
    described,
    discovery,
    keys,
    token,
    introspectionAnswer,
    auditCode,
    clientErrors,
  ])
    provider.use(middleware as Parameters<Provider['use']>[0])

  /** What was refused and why, for whoever reads the log by reference id. */
  const logRefusal = (ctx: EngineContext, error: errors.OIDCProviderError): void =>
    log.info(
      {
        requestId: stateOf(ctx.req).requestId,
        client: ctx.oidc.client?.clientId,
        route: ctx.oidc.route,
        error: error.error,
        reason: error.error_description,
        detail: error.error_detail,
      },
      'refused',
    )
  provider.on('authorization.error', logRefusal)
  provider.on('pushed_authorization_request.error', logRefusal)
  provider.on('grant.error', logRefusal)
  provider.on('introspection.error', logRefusal)
  provider.on('revocation.error', logRefusal)
  provider.on('server_error', (ctx, error) =>
    log.error({ err: error, requestId: stateOf(ctx.req).requestId }, 'engine'),
  )
}
