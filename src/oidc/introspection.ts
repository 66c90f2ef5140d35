/**
 * Introspection and revocation of what the engine does not store: access tokens are JWTs (RFC 7662, RFC 7009).
 *
 * Owns: the answer for a JWT, the members that SMART adds for refresh tokens (SMART "Token Introspection"), who may ask.
 * Does not own: introspection of refresh tokens itself (the engine), or what ends with a grant (members/connections).
 */
import { decodeProtectedHeader, type JWTPayload, jwtVerify } from 'jose'
import type { Environment } from '../config/settings.ts'
import type { Connections } from '../members/connections.ts'
import type { GrantContext } from '../members/grants.ts'
import { REVOKED_TOKENS } from '../recovery/endings.ts'
import type { EndingsLog } from '../recovery/endings-log.ts'
import type { ShortLived } from '../storage/short-lived.ts'
import type { Clients } from './clients.ts'
import type { IssuerKeys, KeyRing } from './key-ring.ts'
import { fhirUserUrl } from './subjects.ts'
import { releasedCategories } from './token-response.ts'

/** A live access token of this issuer, with the grant it rests on. */
export interface LiveToken {
  claims: JWTPayload
  grant: GrantContext
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

  const kidOf = (token: string): string | undefined => {
    try {
      return decodeProtectedHeader(token).kid
    } catch {
      return undefined
    }
  }

  /** Keys that are published now: what a revoked one signed is no token of ours. */
  const publishedFor = async (token: string): Promise<IssuerKeys['published']> => {
    const kid = kidOf(token)
    // Another server may have signed with a key that was made a moment ago.
    if (kid && !keyRing.of(environment.id).signers.some((signer) => signer.kid === kid)) await keyRing.ask()
    return keyRing.of(environment.id).published
  }

  /** The claims of an access token that we signed and that has not ended; undefined for anything else. */
  const claimsOf = async (token: string): Promise<JWTPayload | undefined> => {
    const published = await publishedFor(token)
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

  /** A token as it stands: signature, time, the grant, the member's authority, and revocation by the app. */
  const liveToken = async (token: string): Promise<LiveToken | undefined> => {
    const claims = await claimsOf(token)
    if (typeof claims?.grant_id !== 'string' || !claims.jti) return undefined
    if (await shortLived.get(REVOKED_TOKENS, claims.jti)) return undefined
    const grant = await connections.grantContext(environment.id, claims.grant_id)
    if (grant?.standing !== 'live') return undefined
    // Made before the grant was narrowed, so it says too much.
    if (Number(claims.grant_revision ?? 0) < grant.revision) return undefined
    return { claims, grant, scope: scopeOfClaims(claims) }
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
    fhirUser: fhirUserUrl(environment, grant),
    grant_id: grant.row.id,
    grant_expires_at: Math.floor(grant.row.expires_at / 1000),
  })

  /** The introspection answer for an access token; only `active: false` for whoever may not ask. */
  const introspect = async (token: string, asking: string): Promise<Record<string, unknown>> => {
    const live = await liveToken(token)
    if (!live || !(await mayIntrospect(asking, live.grant))) return { active: false }
    const { iss, sub, aud, exp, iat, jti, client_id, sensitivities } = live.claims
    return {
      active: true,
      token_type: 'Bearer',
      scope: live.scope,
      client_id,
      iss,
      sub,
      aud,
      exp,
      iat,
      jti,
      patient_id: live.grant.patientFhirId,
      ...(sensitivities === undefined ? {} : { sensitivities }),
      ...smartMembers(live.grant),
    }
  }

  /**
   * Revokes one access token of the asking client until it would have ended; its grant lives on. Anything else is no error.
   * Answers the grant of a token that was revoked.
   */
  const revoke = async (token: string, asking: string): Promise<string | undefined> => {
    const claims = await claimsOf(token)
    if (!claims?.jti || !claims.exp || claims.client_id !== asking) return undefined
    const { jti } = claims
    const expiresAt = claims.exp * 1000
    await deps.endingsLog?.append({ kind: 'access-token', at: now(), issuer: environment.id, jti, expiresAt })
    await shortLived.set(REVOKED_TOKENS, jti, true, expiresAt)
    return String(claims.grant_id)
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

  return { liveToken, mayIntrospect, introspect, revoke, completeRefreshToken }
}

export type Introspection = ReturnType<typeof createIntrospection>
