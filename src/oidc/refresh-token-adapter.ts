/**
 * The engine's refresh tokens: families with a short grace for lost answers.
 *
 * Owns: what of a stored token the engine reads, and what is told of one that is refused (R9).
 * Does not own: the rule of rotation (rotation.ts), the rows (refresh-tokens.ts), what ends with a grant (members/connections).
 */
import type { Audit } from '../audit/audit.ts'
import { Unavailable } from '../errors.ts'
import type { Connections } from '../members/connections.ts'
import { type EndReason, readContext } from '../members/grants.ts'
import { parseScopes } from '../smart/scope.ts'
import { covers, narrow } from '../smart/scope-set.ts'
import type { Database } from '../storage/database.ts'
import { payloadVersion, refuse, route, unstored } from './adapter-request.ts'
import { createAdoption } from './adoption.ts'
import { createDebts } from './debts.ts'
import { type Adapter, type AdapterPayload, errors, Provider } from './engine.ts'
import { keyOfProof } from './proofs.ts'
import type { RefreshTokens } from './refresh-tokens.ts'
import { type Refusal, stateOf } from './request-state.ts'
import { readToken, type TokenName, type Verdict } from './rotation.ts'
import { answeredScope } from './token-response.ts'

type Trx = Parameters<RefreshTokens['add']>[0]

export interface RefreshTokenDeps {
  issuer: string
  plan: string
  database: Database
  audit: Audit
  /** Is an ID token made at each refresh? Optional in OpenID Connect, and dear. */
  idTokenOnRefresh: boolean
  /** How long a refresh token lives unused, in milliseconds. */
  tokenMillis: number
  connections: Connections
  refreshTokens: RefreshTokens
  mac: Parameters<typeof readToken>[0]
  now: () => number
}

export const refreshTokenAdapter = (deps: RefreshTokenDeps): Adapter => {
  const { issuer, plan, database, connections, refreshTokens, audit, mac, tokenMillis, now } = deps
  const adoption = createAdoption({ issuer, refreshTokens, now })

  /** Why a token is refused is told to the client that it was issued to, and to no other (R9). */
  const tell = (clientId: string | undefined, refusal: Refusal): void => {
    if (clientId === Provider.ctx?.oidc?.client?.clientId) stateOf(Provider.ctx?.req).refusal = refusal
  }

  /** A token of ours that has no row: it was spent long ago, or the store is older than it (adoption.ts). */
  const withoutRow = async (token: string, name: TokenName): Promise<AdapterPayload | undefined> => {
    const grant = await connections.grantContext(issuer, name.family)
    if (!grant) return undefined
    const { client_id: clientId } = grant.row
    if (grant.standing !== 'live') {
      tell(clientId, grant.standing.ended)
      return undefined
    }
    const { worth, newest } = await adoption.judge(database.db, name, grant.row)
    switch (worth.is) {
      case 'adopted': {
        const made = adoption.payloadOf(name, grant, worth.window, newest)
        // Nothing tells to which key it was bound, if to any: from now on to the one that it comes with.
        const isPublic = Provider.ctx?.oidc?.client?.clientAuthMethod === 'none'
        const jkt = newest || !isPublic ? undefined : await keyOfProof(Provider.ctx)
        const payload = { ...made, ...(jkt ? { jkt } : {}), jti: token }
        stateOf(Provider.ctx?.req).adopting = { token, payload, grant: grant.row }
        return asTheEngineReads(payload, grant.revision)
      }
      case 'ahead':
        throw new Unavailable(
          `a refresh token of grant ${name.family} is newer than the store knows: if it was restored or promoted, run latchkey recover --since`,
        )
      case 'spent':
      case 'forked':
        // Presented twice at once, it has got its row meanwhile.
        if (await refreshTokens.find(token)) return find(token)
        // Reported as consumed, it makes the engine end the family.
        tell(clientId, 'token_reused')
        return newest && { ...newest, consumed: Math.floor(now() / 1000) }
      case 'expired':
        tell(clientId, 'expired')
        return undefined
      case 'unknown':
        return undefined
    }
  }

  /**
   * A refresh may ask for less in other words: `patient/Observation.r` out of `.rs`. The engine compares strings, so
   * what is covered is added to what it reads; the answer is narrowed again in token-response.ts. An app need not know
   * that its grant was narrowed: where it asks for more than is left, it gets what is left of that, if anything is (R7).
   */
  const asTheEngineReads = (payload: AdapterPayload, revision: number): AdapterPayload => {
    const asked = Provider.ctx?.oidc?.params?.scope
    const all = payload.scope?.split(' ') ?? []
    // The engine makes an ID token whenever it reads `openid`.
    const held = deps.idTokenOnRefresh || route() !== 'token' ? all : all.filter((text) => text !== 'openid')
    if (typeof asked !== 'string' || !payload.scope) return { ...payload, scope: held.join(' ') }
    const { scopes } = parseScopes(payload.scope)
    const wanted = parseScopes(asked).scopes
    const isLess = revision > 0 && narrow(wanted, scopes).kept.length > 0
    const said = wanted.filter((scope) => !held.includes(scope.text) && (isLess || covers(scopes, scope)))
    return { ...payload, scope: [...held, ...said.map((scope) => scope.text)].join(' ') }
  }

  const present = async (trx: Trx, token: string, name: TokenName): Promise<Verdict> => {
    const { adopting, requestId } = stateOf(Provider.ctx?.req)
    if (adopting?.token === token) {
      if (!(await adoption.adopt(trx, name, adopting))) return 'reuse'
      const { client_id: clientId, member_id: memberId, patient_id: patientId } = adopting.grant
      await audit.record(trx, {
        type: 'token.adopted',
        issuer,
        plan,
        actor: `client:${clientId}`,
        memberId,
        patientId: patientId ?? undefined,
        grantId: name.family,
        requestId: requestId ?? undefined,
        details: { generation: name.generation },
      })
    }
    return refreshTokens.present(trx, token, name)
  }

  const endFamily = (name: TokenName): Promise<boolean> =>
    connections.endGrant(null, {
      issuer,
      grantId: name.family,
      reason: 'token_reused',
      actor: 'system',
      requestId: stateOf(Provider.ctx?.req).requestId,
    })

  const recordRefresh = async (trx: Trx, name: TokenName, connectionId: string | null): Promise<void> => {
    const { requestId, grant } = stateOf(Provider.ctx?.req)
    if (connectionId !== null) await connections.touch(trx, connectionId)
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

  /** A grant that was narrowed since the engine looked: what is handed out from here on says what is left. */
  const followNarrowing = async (
    trx: Trx,
    { family, generation }: TokenName,
    held: { revision: number; scope: string },
  ) => {
    const state = stateOf(Provider.ctx?.req)
    if (!state.grant || state.grant.revision === held.revision) return
    state.grant = await readContext(trx, { issuer, grantId: family, now: now() })
    const asked = Provider.ctx?.oidc?.params?.scope
    if (generation > 0 && typeof asked === 'string' && answeredScope(held.scope, asked) === '')
      throw new errors.InvalidScope('nothing is left of the requested scope', asked)
  }

  // A presentation whose answer was spoilt did not happen: no token of it left the house.
  const debts = createDebts<TokenName & { next: string }>(refreshTokens.takeBack)

  const find = async (id: string): Promise<AdapterPayload | undefined> => {
    const name = readToken(mac, issuer, id)
    if (!name) return undefined
    await debts.settle(id)
    const stored = await refreshTokens.find(id)
    if (!stored) return withoutRow(id, name)
    const { row, grant } = stored
    // The grant may have been narrowed or extended since the token was stored.
    const exp = Math.floor(row.expires_at / 1000)
    const payload: AdapterPayload = { ...JSON.parse(row.payload), scope: grant.scope, exp, jti: id }
    // A payload that was moved to another row opens nothing.
    if (payload.grantId !== name.family) return undefined
    if (row.expires_at <= now()) {
      tell(payload.clientId, 'expired')
      return undefined
    }
    const verdict = refreshTokens.judge(stored)
    if (verdict === 'reuse') tell(payload.clientId, 'token_reused')
    // Only a refresh has the grace; elsewhere a used token is a used token.
    const consumed = route() === 'token' ? verdict === 'reuse' : verdict !== 'first'
    if (!consumed) return asTheEngineReads(payload, grant.revision)
    // Whatever else is wrong with the request, a reuse is a reuse: the engine compares scopes first.
    const asked = Provider.ctx?.oidc?.params?.scope
    const scope = typeof asked === 'string' ? `${payload.scope} ${asked}` : payload.scope
    return { ...payload, scope, consumed: Math.floor(now() / 1000) }
  }

  /** The engine asks for the key first of all, so that nobody without it brings anything to an end. */
  const findForKey = async (id: string): Promise<AdapterPayload | undefined> => {
    const payload = await find(id)
    if (typeof payload?.jkt === 'string' && route() === 'token' && (await keyOfProof(Provider.ctx)) !== payload.jkt)
      tell(payload.clientId, 'wrong_key')
    return payload
  }

  return {
    ...unstored('RefreshToken'),
    // One transaction: the presentation of the old token, the next one, and the entry of both.
    upsert: async (id, payload) => {
      const name = readToken(mac, issuer, id)
      if (!name || !payload.exp) throw new TypeError('a refresh token without family, generation or end')
      const { jti: _, ...rest } = payload
      const presented = Provider.ctx?.oidc?.entities.RotatedRefreshToken?.jti
      if (presented !== undefined) debts.incur(presented, { ...name, next: id })
      const verdict = await database.transaction(async (trx) => {
        const grant = await refreshTokens.hold(trx, name.family)
        if (!grant) throw new TypeError('a refresh token without a grant')
        // Of many redemptions of one code at once the first is answered, whether or not the others have ended the grant
        // by then: its refresh token is told why when it comes.
        if (name.generation === 0 && grant.end_reason === 'code_reused') return 'first'
        // It may have ended since the engine looked: nothing more comes out of it.
        if (grant.ended_at !== null) throw refuse((grant.end_reason ?? 'expired') as EndReason, 'the grant has ended')
        await followNarrowing(trx, name, grant)
        const verdict =
          presented === undefined
            ? 'first'
            : await present(trx, presented, { ...name, generation: name.generation - 1 })
        if (verdict === 'refuse' || verdict === 'reuse') return verdict
        const text = JSON.stringify({ ...rest, scope: grant.scope, v: payloadVersion })
        // By the grant's end as it is now: it may have been extended since the engine looked.
        await refreshTokens.add(trx, id, name, text, Math.min(now() + tokenMillis, grant.expires_at))
        if (presented !== undefined) await recordRefresh(trx, name, grant.connection_id)
        return verdict
      })
      if (verdict === 'reuse') await endFamily(name)
      if (verdict === 'refuse' || verdict === 'reuse')
        throw refuse(verdict === 'reuse' ? 'token_reused' : 'already_used', 'refresh token already used')
    },
    find: findForKey,
    // Nothing is noted before there is a next token to hand out (`upsert`): who is cut off in between has used up nothing.
    consume: async () => undefined,
    // They go after their grant (adapter.ts): a revocation that fails in between is repeated with the token.
    destroy: async () => undefined,
  }
}
