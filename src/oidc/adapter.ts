/**
 * Where the engine keeps its records.
 *
 * Owns: which record goes to which store, what is sealed or hashed on the way, and what a second use means.
 * Does not own: the stores (storage), the rule of rotation (rotation.ts), what ends with a grant (members/connections).
 */
import type { EndReason } from '../members/grants.ts'
import { randomToken, type Sealer, sha256 } from '../secrets.ts'
import { parseScopes, type Scope, scopeText } from '../smart/scope.ts'
import type { ShortLived } from '../storage/short-lived.ts'
import type { GrantRow } from '../storage/tables.ts'
import { payloadVersion, refuse, route, unstored } from './adapter-request.ts'
import type { ClientAssertions } from './client-assertions.ts'
import { AssertionRefused } from './client-assertions.ts'
import { type Clients, metadataOf } from './clients.ts'
import { createDebts } from './debts.ts'
import { type Adapter, type AdapterPayload, errors, Provider, tellFaults } from './engine.ts'
import { longestAhead } from './proofs.ts'
import { type RefreshTokenDeps, refreshTokenAdapter } from './refresh-token-adapter.ts'
import { stateOf } from './request-state.ts'

/** Seconds in which whoever began an authorization has to finish it. */
const longestAuthorization = 3600

export interface AdapterDeps extends RefreshTokenDeps {
  shortLived: ShortLived
  sealer: Sealer
  clients: Clients
  assertions: ClientAssertions
}

/** Why the engine ends a grant: the app revoked it, or something was used twice. */
const endReason = (): EndReason => {
  if (route() === 'revocation') return 'revoked_by_app'
  return stateOf(Provider.ctx?.req).refusal === 'code_reused' ? 'code_reused' : 'token_reused'
}

/** Records that nobody would miss tomorrow: sessions, interactions, codes, replay ids. Keys hashed, payloads sealed. */
const shortLivedAdapter = (model: string, { shortLived, sealer, now }: AdapterDeps): Adapter => {
  const place = (key: string) => ({ table: 'short_lived', row: `${model}:${key}` })
  const open = (key: string, sealed: string): AdapterPayload => JSON.parse(sealer.open(sealed, place(key)))
  return {
    upsert: async (id, payload, expiresIn) => {
      const key = sha256(id)
      const sealed = sealer.seal(JSON.stringify({ ...payload, v: payloadVersion }), place(key))
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
    // They go after their grant.
    revokeByGrantId: async () => undefined,
  }
}

/**
 * What goes with the step that it was for: interactions, and the id that a session had before. Good again where a fault of
 * ours spoilt the answer (R43).
 */
const steppingAdapter = (model: string, deps: AdapterDeps): Adapter => {
  const records = shortLivedAdapter(model, deps)
  const debts = createDebts<AdapterPayload>((id, payload) =>
    records.upsert(id, payload, Math.max(1, (payload.exp ?? 0) - Math.floor(deps.now() / 1000))),
  )
  return {
    ...records,
    find: async (id) => {
      await debts.settle(id)
      return records.find(id)
    },
    destroy: async (id) => {
      const payload = await records.find(id)
      if (payload) debts.incur(id, payload)
      await records.destroy(id)
    },
  }
}

/** Authorization codes: used once, without grace; a second use ends the grant (RFC 6749 §4.1.2). */
const codeAdapter = (model: string, deps: AdapterDeps): Adapter => {
  const { shortLived, connections, issuer } = deps
  const records = shortLivedAdapter(model, deps)
  const debts = createDebts<string>((id, by) => shortLived.takeBack(model, sha256(id), by))

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
    find: async (id) => {
      await debts.settle(id)
      const payload = await records.find(id)
      // As with refresh tokens: told to the client that it was issued to, and to no other (R9).
      if (payload?.consumed && payload.clientId === Provider.ctx?.oidc?.client?.clientId)
        stateOf(Provider.ctx?.req).refusal = 'code_reused'
      return payload
    },
    consume: async (id) => {
      const payload = (await records.find(id)) || undefined
      const by = randomToken(12)
      debts.incur(id, by)
      if ((await shortLived.use(model, sha256(id), by)) === 'first') return
      await reused(payload?.grantId)
      throw refuse('code_reused', 'authorization code already used')
    },
  }
}

/**
 * Requests that were pushed (RFC 9126): each is answered once, however often its page is loaded before that. They are kept
 * as long as an authorization that began in time may take, or nobody would know that it was answered.
 */
const pushedRequestAdapter = (model: string, deps: AdapterDeps): Adapter => {
  const { shortLived } = deps
  const records = shortLivedAdapter(model, deps)
  const debts = createDebts<string>((id, by) => shortLived.takeBack(model, sha256(id), by))
  return {
    ...records,
    upsert: (id, payload, expiresIn) => records.upsert(id, payload, (expiresIn ?? 0) + longestAuthorization),
    find: async (id) => {
      await debts.settle(id)
      return records.find(id)
    },
    consume: async (id) => {
      const by = randomToken(12)
      debts.incur(id, by)
      if ((await shortLived.use(model, sha256(id), by)) !== 'first')
        throw new errors.InvalidRequestUri('request_uri was already used')
    },
  }
}

/** Ids of client assertions (RFC 7523 §3) and of DPoP proofs (RFC 9449 §11.1): accepted once, also under concurrency. */
const replayAdapter = (model: string, { shortLived, now }: AdapterDeps): Adapter => ({
  ...unstored(model),
  // The one write decides; what was there before is not asked.
  upsert: async (id, _payload, expiresIn = 0) => {
    const isProof = stateOf(Provider.ctx?.req).proof
    // A proof may have been made a little ahead of our time, and counts for as much longer.
    const seconds = isProof ? expiresIn + longestAhead : expiresIn
    if (await shortLived.addIfAbsent(model, sha256(id), true, now() + seconds * 1000)) return
    if (isProof) throw new errors.InvalidDpopProof('the DPoP proof was used before')
    throw new AssertionRefused('client_assertion: it was used before; make one with a new jti for each request')
  },
})

const clientAdapter = ({ clients, assertions }: AdapterDeps): Adapter => ({
  ...unstored('Client'),
  find: async (id) => {
    const client = await clients.find(id)
    if (!client) return undefined
    stateOf(Provider.ctx?.req).client = client
    return metadataOf(client, await assertions.keyFor(Provider.ctx, client))
  },
})

/** What the engine made, with the scopes and the end that the grant has now: it may have been narrowed or extended. */
const asItIsNow = ({ payload, scope, expires_at }: GrantRow): AdapterPayload => {
  const made: AdapterPayload = JSON.parse(payload)
  const { scopes } = parseScopes(scope)
  const of = (kind: Scope['kind']) => scopeText(scopes.filter((each) => each.kind === kind))
  const resources = Object.keys(made.resources ?? {}).map((resource) => [resource, of('resource')])
  return {
    ...made,
    openid: { scope: of('plain') },
    resources: Object.fromEntries(resources),
    exp: Math.floor(expires_at / 1000),
  }
}

/** Grants are durable: one per authorization, and the point at which everything is revoked. */
const grantAdapter = ({ issuer, database, connections, refreshTokens, shortLived, now }: AdapterDeps): Adapter => ({
  ...unstored('Grant'),
  upsert: async (id, payload, expiresIn) => {
    const member = await database.db
      .selectFrom('members')
      .select('id')
      .where('issuer', '=', issuer)
      .where('subject', '=', payload.accountId ?? '')
      .executeTakeFirstOrThrow()
    const text = JSON.stringify({ ...payload, v: payloadVersion })
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
        revision: 0,
        narrowed_at: null,
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
    return asItIsNow(grant.row)
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
    // Nothing opens any more. What is presented again is known until here, or nobody could repeat what failed.
    await Promise.all([refreshTokens.removeFamily(id), shortLived.deleteByGrant(id)])
  },
})

const guarded = (adapter: Adapter): Adapter => ({
  upsert: tellFaults(adapter.upsert),
  find: tellFaults(adapter.find),
  findByUid: tellFaults(adapter.findByUid),
  findByUserCode: tellFaults(adapter.findByUserCode),
  consume: tellFaults(adapter.consume),
  destroy: tellFaults(adapter.destroy),
  revokeByGrantId: tellFaults(adapter.revokeByGrantId),
})

/** The engine's adapter factory for one issuer. */
export const createAdapterFactory = (deps: AdapterDeps): ((model: string) => Adapter) => {
  const stores: Record<string, Adapter> = {
    Client: clientAdapter(deps),
    Grant: grantAdapter(deps),
    RefreshToken: refreshTokenAdapter(deps),
    AuthorizationCode: codeAdapter('AuthorizationCode', deps),
    PushedAuthorizationRequest: pushedRequestAdapter('PushedAuthorizationRequest', deps),
    Session: steppingAdapter('Session', deps),
    Interaction: steppingAdapter('Interaction', deps),
    ReplayDetection: replayAdapter('ReplayDetection', deps),
  }
  return (model) => guarded(stores[model] ?? unstored(model))
}
