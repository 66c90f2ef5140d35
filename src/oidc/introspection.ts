/**
 * Introspection and revocation of what the engine does not store: access tokens are JWTs (RFC 7662, RFC 7009).
 *
 * Owns: the answer for a JWT, the members that SMART adds for refresh tokens (SMART "Token Introspection"), who may ask, and
 * whether a token that a backend service presents to us is good.
 * Does not own: introspection of refresh tokens itself (the engine), or what ends with a grant (members/connections).
 */
import { type JWTPayload, jwtVerify } from 'jose'
import type { Api, Environment } from '../config/settings.ts'
import type { Connections } from '../members/connections.ts'
import type { GrantContext } from '../members/grants.ts'
import { REVOKED_TOKENS } from '../recovery/endings.ts'
import type { EndingsLog } from '../recovery/endings-log.ts'
import { readCompactJws } from '../resource-server/compact-jws.ts'
import { contextMembers } from '../smart/launch-context.ts'
import type { ShortLived } from '../storage/short-lived.ts'
import type { ClientRecord, Clients } from './clients.ts'
import type { IssuerKeys, KeyRing } from './key-ring.ts'
import { fhirUserUrl } from './subjects.ts'
import { releasedCategories } from './token-response.ts'

/** As long as a token may be at a resource server, too. */
const longestToken = 16_384

/** A live access token of this issuer, with the grant it rests on. */
export interface LiveToken {
  claims: JWTPayload
  grant: GrantContext
  scope: string
}

/** A live access token that a backend service has of its own: it rests on the service's approval, and on no grant. */
export interface LiveServiceToken {
  claims: JWTPayload
  client: ClientRecord
  /** The one API that it opens. */
  api: Api
  scope: string
}

/** The scopes of a token, however its profile spells them (R42). */
export const scopeOfClaims = (claims: JWTPayload): string => {
  const value = claims.scope ?? claims.scp
  return Array.isArray(value) ? value.join(' ') : String(value ?? '')
}

export const createIntrospection = (deps: {
  environment: Environment
  connections: Connections
  clients: Clients
  shortLived: ShortLived
  keyRing: KeyRing
  endingsLog: EndingsLog | undefined
  now: () => number
}) => {
  const { environment, connections, clients, shortLived, keyRing, now } = deps

  /** Keys that are published now: what a revoked one signed is no token of ours. */
  const publishedFor = async (kid: unknown): Promise<IssuerKeys['published']> => {
    // Another server may have signed with a key that was made a moment ago.
    if (kid && !keyRing.of(environment.id).signers.some((signer) => signer.kid === kid)) await keyRing.ask()
    return keyRing.of(environment.id).published
  }

  /** The claims of an access token that we signed and that has not ended; undefined for anything else. */
  const claimsOf = async (token: string): Promise<JWTPayload | undefined> => {
    // The last letter of a signature has bits without a meaning: one token has one spelling, as at any resource server.
    const read = readCompactJws(token, longestToken)
    if (!read) return undefined
    const published = await publishedFor(read.header.kid)
    try {
      const { payload, protectedHeader } = await jwtVerify(token, published, {
        issuer: environment.issuer,
        audience: environment.apis.map((api) => api.baseUrl),
        algorithms: ['ES256', 'RS256'],
        currentDate: new Date(now()),
      })
      const profiles = environment.apis.map((api) => api.tokenProfile.typ)
      // An ID token is signed by the same keys and opens nothing: only access tokens carry a grant and a client.
      const isAccessToken = profiles.some((typ) => typ === protectedHeader.typ) && typeof payload.client_id === 'string'
      return isAccessToken ? payload : undefined
    } catch {
      return undefined
    }
  }

  const isRevoked = async ({ jti }: JWTPayload): Promise<boolean> =>
    !jti || (await shortLived.get(REVOKED_TOKENS, jti)) !== undefined

  /** A token as it stands: signature, time, the grant, the member's authority, and revocation by the app. */
  const liveToken = async (token: string): Promise<LiveToken | undefined> => liveGrantToken(await claimsOf(token))

  const liveGrantToken = async (claims: JWTPayload | undefined): Promise<LiveToken | undefined> => {
    if (typeof claims?.grant_id !== 'string' || (await isRevoked(claims))) return undefined
    const grant = await connections.grantContext(environment.id, claims.grant_id)
    if (grant?.standing !== 'live') return undefined
    // Made before the grant was narrowed, so it says too much.
    if (Number(claims.grant_revision ?? 0) < grant.revision) return undefined
    return { claims, grant, scope: scopeOfClaims(claims) }
  }

  /** A backend service's token as it stands: its client is still approved, for that API, and has not revoked it. */
  const serviceToken = async (claims: JWTPayload | undefined): Promise<LiveServiceToken | undefined> => {
    if (!claims || claims.grant_id !== undefined || claims.sub !== claims.client_id) return undefined
    const api = environment.apis.find(({ baseUrl }) => baseUrl === claims.aud)
    const client = await clients.find(String(claims.client_id))
    if (!api || client?.kind !== 'service' || !client.apis.includes(api.id)) return undefined
    return (await isRevoked(claims)) ? undefined : { claims, client, api, scope: scopeOfClaims(claims) }
  }

  /** The token with which a backend service comes to us as `Authorization: Bearer`; undefined for whatever does not open our doors. */
  const liveServiceToken = async (token: string): Promise<LiveServiceToken | undefined> => {
    const claims = await claimsOf(token)
    // Bound to a key, it is no bearer token (RFC 9449 §7.2).
    return claims?.cnf === undefined ? serviceToken(claims) : undefined
  }

  /** May this client learn of a token of that grant? The token's own client, or a resource server of its API (R10). */
  const mayIntrospect = async (asking: string, grant: GrantContext): Promise<boolean> => {
    if (asking === grant.row.client_id) return true
    // An app that is suspended holds no token that counts.
    if (!(await clients.find(grant.row.client_id))) return false
    const client = await clients.find(asking)
    return client?.kind === 'resource-server' && client.apis.includes(grant.api)
  }

  /** What SMART adds to an answer: every member of the launch context, and who the person is. */
  const smartMembers = (grant: GrantContext) => ({
    patient: grant.patientFhirId,
    ...contextMembers(grant.launch),
    fhirUser: fhirUserUrl(environment, grant),
    grant_id: grant.row.id,
    grant_expires_at: Math.floor(grant.row.expires_at / 1000),
  })

  const answerOf = (claims: JWTPayload, scope: string): Record<string, unknown> => {
    const { iss, sub, aud, exp, iat, jti, client_id, sensitivities, cnf } = claims
    return {
      active: true,
      // Bound to a key, it is worth nothing without a proof (RFC 9449 §6.2).
      token_type: cnf === undefined ? 'Bearer' : 'DPoP',
      ...(cnf === undefined ? {} : { cnf }),
      scope,
      client_id,
      iss,
      sub,
      aud,
      exp,
      iat,
      jti,
      ...(sensitivities === undefined ? {} : { sensitivities }),
    }
  }

  /** The answer for an access token; `may` says who learns of one of that client, for that API. */
  const answerFor = async (
    token: string,
    may: { grant(grant: GrantContext): Promise<boolean>; service(token: LiveServiceToken): Promise<boolean> },
  ): Promise<Record<string, unknown>> => {
    const claims = await claimsOf(token)
    const service = await serviceToken(claims)
    if (service) return (await may.service(service)) ? answerOf(service.claims, service.scope) : { active: false }
    const live = await liveGrantToken(claims)
    if (!live || !(await may.grant(live.grant))) return { active: false }
    return {
      ...answerOf(live.claims, live.scope),
      patient_id: live.grant.patientFhirId,
      ...smartMembers(live.grant),
    }
  }

  /** The introspection answer for an access token; only `active: false` for whoever may not ask. */
  const introspect = (token: string, asking: string): Promise<Record<string, unknown>> =>
    answerFor(token, {
      grant: (grant) => mayIntrospect(asking, grant),
      service: async ({ client, api }) => {
        if (asking === client.clientId) return true
        const server = await clients.find(asking)
        return server?.kind === 'resource-server' && server.apis.includes(api.id)
      },
    })

  /** Is this a grant for that API, of an app that is not suspended? That one holds no token that counts. */
  const isOfApi = async (grant: GrantContext, api: Api): Promise<boolean> =>
    grant.api === api.id && (await clients.find(grant.row.client_id)) !== undefined

  /** The same for a service that may introspect whatever opens its API (SMART "Token Introspection"). */
  const introspectFor = (token: string, api: Api): Promise<Record<string, unknown>> =>
    answerFor(token, {
      grant: (grant) => isOfApi(grant, api),
      service: async (service) => service.api === api,
    })

  /**
   * Revokes one access token of the asking client until it would have ended; its grant lives on. Anything else is no error.
   * Answers the grant of a token that was revoked; a service's has none.
   */
  const revoke = async (token: string, asking: string): Promise<{ grantId: string | undefined } | undefined> => {
    const claims = await claimsOf(token)
    if (!claims?.jti || !claims.exp || claims.client_id !== asking) return undefined
    const { jti } = claims
    const expiresAt = claims.exp * 1000
    await deps.endingsLog?.append({ kind: 'access-token', at: now(), issuer: environment.id, jti, expiresAt })
    await shortLived.set(REVOKED_TOKENS, jti, true, expiresAt)
    return { grantId: typeof claims.grant_id === 'string' ? claims.grant_id : undefined }
  }

  /** Completes the engine's answer for an active refresh token. */
  const completeRefreshToken = (body: Record<string, unknown>, grant: GrantContext): Record<string, unknown> => {
    const { scope } = grant.row
    const sensitivities = releasedCategories(environment.plan, grant.sensitivities, scope)
    return {
      ...body,
      scope,
      patient_id: grant.patientFhirId,
      ...(sensitivities.length > 0 ? { sensitivities } : {}),
      ...smartMembers(grant),
    }
  }

  return {
    liveToken,
    liveServiceToken,
    mayIntrospect,
    introspect,
    introspectFor,
    isOfApi,
    revoke,
    completeRefreshToken,
  }
}

export type Introspection = ReturnType<typeof createIntrospection>
