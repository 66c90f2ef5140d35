/**
 * Where the engine keeps its records.
 *
 * Owns: which record goes to which store, what is sealed or hashed on the way, and what a second use means.
 * Does not own: the stores (storage), the rule of rotation (rotation.ts), what ends with a grant (members/connections).
 */
import type { Audit } from '../audit/audit.ts'
import type { Connections } from '../members/connections.ts'
import type { EndReason } from '../members/grants.ts'
import { type Sealer, sha256 } from '../secrets.ts'
import { parseScopes } from '../smart/scope.ts'
import { covers } from '../smart/scope-set.ts'
import type { Database } from '../storage/database.ts'
import type { ShortLived } from '../storage/short-lived.ts'
import { type Clients, metadataOf } from './clients.ts'
import { type Adapter, type AdapterPayload, errors, Provider, tellFaults } from './engine.ts'
import type { RefreshTokens } from './refresh-tokens.ts'
import { type Refusal, stateOf } from './request-state.ts'
import { readToken, type TokenName } from './rotation.ts'

export interface AdapterDeps {
  issuer: string
  plan: string
  database: Database
  audit: Audit
  /** Is an ID token made at each refresh? Optional in OpenID Connect, and dear. */
  idTokenOnRefresh: boolean
  shortLived: ShortLived
  sealer: Sealer
  clients: Clients
  connections: Connections
  refreshTokens: RefreshTokens
  mac: Parameters<typeof readToken>[0]
  now: () => number
}

/** Payloads carry their version, so that a later release can read them. */
const version = 1

const refuse = (refusal: Refusal, detail: string) => {
  const state = stateOf(Provider.ctx?.req)
  state.refusal = refusal
  return new errors.InvalidGrant({ detail })
}

/** Why the engine ends a grant: the app revoked it, or something was used twice. */
const endReason = (): EndReason => {
  if (route() === 'revocation') return 'revoked_by_app'
  return stateOf(Provider.ctx?.req).refusal === 'code_reused' ? 'code_reused' : 'token_reused'
}

const route = (): string | undefined => Provider.ctx?.oidc?.route

/** Records that nobody would miss tomorrow: sessions, interactions, codes, replay ids. Keys hashed, payloads sealed. */
const shortLivedAdapter = (model: string, { shortLived, sealer, now }: AdapterDeps): Adapter => {
  const place = (key: string) => ({ table: 'short_lived', row: `${model}:${key}` })
  const open = (key: string, sealed: string): AdapterPayload => JSON.parse(sealer.open(sealed, place(key)))
  return {
    upsert: async (id, payload, expiresIn) => {
      const key = sha256(id)
      const sealed = sealer.seal(JSON.stringify({ ...payload, v: version }), place(key))
      await shortLived.set(model, key, sealed, now() + (expiresIn ?? 0) * 1000, {
        uid: payload.uid,
        grant: payload.grantId,
        member: payload.accountId,
      })
    },
    find: async (id) => {
      const key = sha256(id)
      const held = await shortLived.get<string>(model, key)
      if (!held) return undefined
      const payload = open(key, held.value)
      return held.usedAt === null ? payload : { ...payload, consumed: Math.floor(held.usedAt / 1000) }
    },
    findByUid: async (uid) => {
      const held = await shortLived.findByUid<string>(model, uid)
      return held && open(held.key, held.value)
    },
    findByUserCode: async () => undefined,
    consume: async (id) => {
      if ((await shortLived.use(model, sha256(id))) !== 'first')
        throw new errors.InvalidGrant({ detail: 'already used' })
    },
    destroy: (id) => shortLived.delete(model, sha256(id)),
    revokeByGrantId: (grantId) => shortLived.deleteByGrant(grantId),
  }
}

/**
 * Authorization codes: used once, without grace; a second use ends the grant (RFC 6749 §4.1.2). Where a fault of ours
 * spoiled the answer to the first use, no token left the house, and the code is good again (R43).
 */
const codeAdapter = (model: string, deps: AdapterDeps): Adapter & { giveBack(id: string): Promise<void> } => {
  const { shortLived, connections, issuer } = deps
  const records = shortLivedAdapter(model, deps)
  // Codes whose exchange failed by our fault while the store could not be told.
  const owed = new Set<string>()

  const giveBack = async (id: string): Promise<void> => {
    owed.add(id)
    const payload = await records.find(id)
    owed.delete(id)
    if (!payload?.exp) return
    const { consumed: _, ...fresh } = payload
    await records.upsert(id, fresh, Math.max(1, payload.exp - Math.floor(deps.now() / 1000)))
  }

  const reused = async (grantId: string | undefined): Promise<void> => {
    if (grantId)
      await connections.endGrant(null, {
        issuer,
        grantId,
        reason: 'code_reused',
        actor: 'system',
        requestId: stateOf(Provider.ctx?.req).requestId,
      })
  }

  return {
    ...records,
    giveBack,
    find: async (id) => {
      if (owed.has(id)) await giveBack(id)
      const payload = await records.find(id)
      if (payload?.consumed) Object.assign(stateOf(Provider.ctx?.req), { refusal: 'code_reused' })
      return payload
    },
    consume: async (id) => {
      if ((await shortLived.use(model, sha256(id))) === 'first') {
        stateOf(Provider.ctx?.req).usedCode = id
        return
      }
      const payload = await records.find(id)
      await reused(payload?.grantId)
      throw refuse('code_reused', 'authorization code already used')
    },
  }
}

/** Replay ids (RFC 7523 §3): accepted once, also under concurrency. */
const replayAdapter = (model: string, deps: AdapterDeps): Adapter => ({
  ...shortLivedAdapter(model, deps),
  upsert: async (id, payload, expiresIn) => {
    const added = await deps.shortLived.addIfAbsent(model, sha256(id), payload, deps.now() + (expiresIn ?? 0) * 1000)
    if (!added) throw new errors.InvalidClientAuth({ detail: 'assertion was used before' })
  },
})

const clientAdapter = ({ clients }: AdapterDeps): Adapter => ({
  ...unstored('Client'),
  find: async (id) => {
    const client = await clients.find(id)
    return client && metadataOf(client)
  },
})

/** Grants are durable: one per authorization, and the point at which everything is revoked. */
const grantAdapter = ({ issuer, database, connections, now }: AdapterDeps): Adapter => ({
  ...unstored('Grant'),
  upsert: async (id, payload, expiresIn) => {
    const member = await database.db
      .selectFrom('members')
      .select('id')
      .where('issuer', '=', issuer)
      .where('subject', '=', payload.accountId ?? '')
      .executeTakeFirstOrThrow()
    const text = JSON.stringify({ ...payload, v: version })
    await database.db
      .insertInto('grants')
      .values({
        id,
        issuer,
        client_id: payload.clientId ?? '',
        connection_id: null,
        member_id: member.id,
        patient_id: null,
        scope: '',
        context: null,
        payload: text,
        expires_at: payload.exp ? payload.exp * 1000 : now() + (expiresIn ?? 0) * 1000,
        created_at: now(),
        ended_at: null,
        end_reason: null,
      })
      .onConflict((oc) => oc.column('id').doUpdateSet({ payload: text }))
      .execute()
  },
  find: async (id) => {
    const grant = await connections.grantContext(issuer, id)
    if (!grant) return undefined
    const state = stateOf(Provider.ctx?.req)
    if (grant.standing !== 'live') {
      state.refusal = grant.standing.ended
      return undefined
    }
    state.grant = grant
    return JSON.parse(grant.row.payload)
  },
  destroy: async (id) => {
    const reason = endReason()
    const client = Provider.ctx?.oidc?.client?.clientId
    await connections.endGrant(null, {
      issuer,
      grantId: id,
      reason,
      actor: client ? `client:${client}` : 'system',
      requestId: stateOf(Provider.ctx?.req).requestId,
    })
  },
})

/** Refresh tokens: families with a short grace for lost answers (rotation.ts). */
const refreshTokenAdapter = (deps: AdapterDeps): Adapter => {
  const { issuer, plan, database, connections, refreshTokens, audit, mac, now } = deps

  /** A spent token whose row is gone is known by its MAC: it is reported as consumed, and the engine ends the family. */
  const spent = async (name: TokenName): Promise<AdapterPayload | undefined> => {
    const newest = await refreshTokens.newest(name.family)
    if (!newest || name.generation >= newest.generation) return undefined
    stateOf(Provider.ctx?.req).refusal = 'token_reused'
    return { ...JSON.parse(newest.payload), consumed: Math.floor(now() / 1000) }
  }

  /**
   * A refresh may ask for less in other words: `patient/Observation.r` out of `.rs`. The engine compares strings, so
   * what is covered is added to what it reads; the answer is narrowed again in token-response.ts.
   */
  const asTheEngineReads = (payload: AdapterPayload): AdapterPayload => {
    const asked = Provider.ctx?.oidc?.params?.scope
    const all = payload.scope?.split(' ') ?? []
    // The engine makes an ID token whenever it reads `openid`.
    const held = deps.idTokenOnRefresh || route() !== 'token' ? all : all.filter((text) => text !== 'openid')
    if (typeof asked !== 'string' || !payload.scope) return { ...payload, scope: held.join(' ') }
    const { scopes } = parseScopes(payload.scope)
    const covered = parseScopes(asked).scopes.filter((scope) => !held.includes(scope.text) && covers(scopes, scope))
    return { ...payload, scope: [...held, ...covered.map((scope) => scope.text)].join(' ') }
  }

  const recordRefresh = async (trx: Parameters<RefreshTokens['add']>[0], name: TokenName): Promise<void> => {
    const { requestId, grant } = stateOf(Provider.ctx?.req)
    await connections.touch(trx, name.family)
    await audit.record(trx, {
      type: 'token.refreshed',
      issuer,
      plan,
      actor: `client:${grant?.row.client_id ?? ''}`,
      memberId: grant?.row.member_id,
      patientId: grant?.row.patient_id ?? undefined,
      grantId: name.family,
      requestId: requestId ?? undefined,
      details: { generation: name.generation },
    })
  }

  return {
    ...unstored('RefreshToken'),
    upsert: async (id, payload) => {
      const name = readToken(mac, issuer, id)
      if (!name || !payload.exp) throw new TypeError('a refresh token without family, generation or end')
      const { jti: _, ...rest } = payload
      await database.transaction(async (trx) => {
        const grant = await trx
          .selectFrom('grants')
          .select('scope')
          .where('id', '=', name.family)
          .executeTakeFirstOrThrow()
        const text = JSON.stringify({ ...rest, scope: grant.scope, v: version })
        const added = await refreshTokens.add(trx, id, name, text, (payload.exp as number) * 1000)
        if (!added) throw refuse('already_used', 'a sibling was used meanwhile')
        if (name.generation > 0) await recordRefresh(trx, name)
      })
    },
    find: async (id) => {
      const name = readToken(mac, issuer, id)
      if (!name) return undefined
      const stored = await refreshTokens.find(id)
      if (!stored) return spent(name)
      const payload: AdapterPayload = { ...JSON.parse(stored.row.payload), jti: id }
      const verdict = refreshTokens.judge(stored)
      if (verdict === 'reuse') stateOf(Provider.ctx?.req).refusal = 'token_reused'
      // Only a refresh has the grace; elsewhere a used token is a used token.
      const consumed = route() === 'token' ? verdict === 'reuse' : verdict !== 'first'
      return consumed ? { ...payload, consumed: Math.floor(now() / 1000) } : asTheEngineReads(payload)
    },
    consume: async (id) => {
      const verdict = await refreshTokens.present(id)
      if (verdict === 'first' || verdict === 'again') return
      const name = readToken(mac, issuer, id)
      if (verdict === 'reuse' && name)
        await connections.endGrant(null, {
          issuer,
          grantId: name.family,
          reason: 'token_reused',
          actor: 'system',
          requestId: stateOf(Provider.ctx?.req).requestId,
        })
      throw refuse(verdict === 'reuse' ? 'token_reused' : 'already_used', 'refresh token already used')
    },
    destroy: async (id) => {
      const name = readToken(mac, issuer, id)
      if (name) await refreshTokens.removeFamily(name.family)
    },
    revokeByGrantId: (grantId) => refreshTokens.removeFamily(grantId),
  }
}

/** Models that are never stored: access tokens are JWTs. */
const unstored = (model: string): Adapter => {
  const never = async (): Promise<never> => {
    throw new TypeError(`${model} is not stored here`)
  }
  return {
    upsert: never,
    find: async () => undefined,
    findByUid: async () => undefined,
    findByUserCode: async () => undefined,
    consume: never,
    destroy: async () => undefined,
    revokeByGrantId: async () => undefined,
  }
}

const guarded = (adapter: Adapter): Adapter => ({
  upsert: tellFaults(adapter.upsert),
  find: tellFaults(adapter.find),
  findByUid: tellFaults(adapter.findByUid),
  findByUserCode: tellFaults(adapter.findByUserCode),
  consume: tellFaults(adapter.consume),
  destroy: tellFaults(adapter.destroy),
  revokeByGrantId: tellFaults(adapter.revokeByGrantId),
})

/** The engine's adapter factory for one issuer, and `giveBackCode` for an exchange that our fault spoiled. */
export const createAdapters = (deps: AdapterDeps) => {
  const codes = codeAdapter('AuthorizationCode', deps)
  const stores: Record<string, Adapter> = {
    Client: clientAdapter(deps),
    Grant: grantAdapter(deps),
    RefreshToken: refreshTokenAdapter(deps),
    AuthorizationCode: codes,
    Session: shortLivedAdapter('Session', deps),
    Interaction: shortLivedAdapter('Interaction', deps),
    ReplayDetection: replayAdapter('ReplayDetection', deps),
  }
  return {
    factory: (model: string): Adapter => guarded(stores[model] ?? unstored(model)),
    giveBackCode: codes.giveBack,
  }
}
