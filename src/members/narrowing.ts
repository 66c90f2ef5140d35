/**
 * What a later decision leaves of an earlier one (R22, R29): scope, sensitive categories and end only ever become less.
 *
 * Owns: the rule, and narrowing one grant in place. Does not own: who may narrow what (changes.ts), and when a new consent
 * replaces an older one (connections.ts). What is narrowed stands in the log of endings before it is committed (R46).
 */
import type { Transaction } from 'kysely'
import type { Audit } from '../audit/audit.ts'
import { Unavailable } from '../errors.ts'
import type { EndingsLog } from '../recovery/endings-log.ts'
import { briefly } from '../smart/choices.ts'
import { isSensitiveScope, longestList, parseScopes, type Scope, scopeText } from '../smart/scope.ts'
import { covers, intersect } from '../smart/scope-set.ts'
import type { Tables } from '../storage/tables.ts'
import type { Endings } from './endings.ts'
import { type EndReason, longestAccessMillis, parseContext, type StoredContext } from './grants.ts'

/** How much is shared, and until when. */
export interface Extent {
  scope: string
  /** Sensitive categories, by code (R25). */
  sensitivities: readonly string[]
  /** Milliseconds. */
  endsAt: number
}

/** The stored form, in `connection_changes.details`. */
export const extentText = ({ scope, sensitivities, endsAt }: Extent): string =>
  JSON.stringify({ v: 1, scope, sensitivities, endsAt })

/** @throws Unavailable for one that a newer server wrote */
export function parseExtent(text: string): Extent {
  const { v, ...extent } = JSON.parse(text) as Extent & { v: number }
  if (v !== 1) throw new Unavailable(`a change of a connection has version ${String(v)}; this server reads 1`)
  return extent
}

/** All that several grants share together: what is said by another scope already is left out. */
export function unionOf(extents: readonly Extent[]): Extent {
  // Each by itself: a list of all may be too long to be read.
  const all = distinct(extents.flatMap(({ scope }) => parseScopes(scope).scopes))
  const needless = (scope: Scope, at: number) =>
    all.some((wide, place) => place !== at && covers([wide], scope) && (place < at || !covers([scope], wide)))
  return {
    scope: scopeText(all.filter((scope, at) => !needless(scope, at))),
    sensitivities: [...new Set(extents.flatMap(({ sensitivities }) => sensitivities))].sort(),
    endsAt: Math.max(0, ...extents.map(({ endsAt }) => endsAt)),
  }
}

/** What is said by its being there, whatever data is shared; a scope for a sensitive category goes with its category. */
const alwaysKept = (scope: Scope): boolean => scope.kind === 'plain' && !isSensitiveScope(scope.text)

const distinct = (scopes: readonly Scope[]): Scope[] => [
  ...new Map(scopes.map((scope) => [scope.text, scope])).values(),
]

/** Many restrictions of two decisions, each with each, may be more than a list holds: in fewer words, then the last are left out. */
function bounded(scopes: readonly Scope[]): Scope[] {
  if (scopeText(scopes).length <= longestList) return [...scopes]
  const [plain, data] = [scopes.filter(alwaysKept), briefly(scopes.filter((scope) => !alwaysKept(scope)))]
  let room = longestList - scopeText(plain).length
  const fitting = data.filter(({ text }) => {
    room -= text.length + 1
    return room >= 0
  })
  return [...plain, ...fitting]
}

/**
 * The part of a held scope that is still allowed, in its own spelling; who and how long (`openid`, `offline_access`) stays. Never
 * longer than a list that can be read.
 */
export function narrowedScope(held: string, allowed: string): string {
  const may = parseScopes(allowed).scopes
  const kept = parseScopes(held).scopes.flatMap((scope) => (alwaysKept(scope) ? [scope] : intersect(scope, may)))
  return scopeText(bounded(distinct(kept)))
}

/** What is left of `held`, and whether data was taken away; undefined where no data is left of what there was. */
export function leftOf(held: Extent, allowed: Extent): (Extent & { cut: boolean }) | undefined {
  const scope = narrowedScope(held.scope, allowed.scope)
  const before = parseScopes(held.scope).scopes
  const isData = ({ kind }: Scope) => kind === 'resource'
  if (before.some(isData) && !parseScopes(scope).scopes.some(isData)) return undefined
  const sensitivities = held.sensitivities.filter((code) => allowed.sensitivities.includes(code))
  const cut = scope !== before.map(({ text }) => text).join(' ') || sensitivities.length < held.sensitivities.length
  return { scope, sensitivities, endsAt: Math.min(held.endsAt, allowed.endsAt), cut }
}

interface Narrowing {
  issuer: string
  grantId: string
  allowed: Extent
  /** With which the grant ends where nothing is left of it. */
  reason: EndReason
  actor: string
  requestId: string | null
  /** What the log of endings says, where it is replayed. */
  replayed?: { at: number; revision: number }
}

export function createNarrowing(deps: {
  audit: Audit
  endings: Pick<Endings, 'endGrant'>
  /** Left out where no log is kept. */
  endingsLog?: EndingsLog | undefined
  now: () => number
}) {
  const { audit, endings, endingsLog, now } = deps

  /**
   * Narrows a decided grant that has not ended. Its tokens say less from the next one on; those that say too much, or may
   * outlive it, are of an earlier revision.
   * @returns whether anything was taken away
   */
  return async function narrowGrant(trx: Transaction<Tables>, narrowing: Narrowing): Promise<boolean> {
    const { issuer, grantId, reason, actor, requestId, replayed } = narrowing
    const row = await trx
      .selectFrom('grants')
      .selectAll()
      .where('id', '=', grantId)
      .where('issuer', '=', issuer)
      .where('ended_at', 'is', null)
      .forUpdate()
      .executeTakeFirst()
    if (!row || row.context === null) return false
    const context = parseContext(row.context)
    const held = { scope: row.scope, sensitivities: context.sensitivities ?? [], endsAt: row.expires_at }
    const left = leftOf(held, narrowing.allowed)
    if (!left) {
      const again = replayed && { replayedFrom: replayed.at }
      return endings.endGrant(trx, { issuer, grantId, reason, actor, requestId, ...again })
    }
    const { scope, sensitivities, endsAt, cut } = left
    const shorter = endsAt < held.endsAt
    const isNew = cut || (shorter && endsAt < now() + longestAccessMillis)
    const revision = Math.max(row.revision + (isNew ? 1 : 0), replayed?.revision ?? 0)
    if (!shorter && revision === row.revision) return false
    const stored: StoredContext = { ...context, sensitivities: [...sensitivities] }
    if (sensitivities.length === 0) delete stored.sensitivities
    await trx
      .updateTable('grants')
      .set({
        scope,
        context: JSON.stringify(stored),
        expires_at: endsAt,
        revision,
        ...(revision > row.revision ? { narrowed_at: now() } : {}),
      })
      .where('id', '=', grantId)
      .execute()
    if (!replayed)
      endingsLog?.note(trx, {
        kind: 'narrowing',
        at: now(),
        issuer,
        grantId,
        revision,
        endsAt,
        actor,
        scope,
        sensitivities: [...sensitivities],
      })
    await audit.record(trx, {
      type: 'grant.narrowed',
      issuer,
      actor,
      memberId: row.member_id,
      patientId: row.patient_id ?? undefined,
      grantId,
      requestId: requestId ?? undefined,
      details: {
        clientId: row.client_id,
        connectionId: row.connection_id,
        revision,
        endsAt,
        scope,
        sensitivities: [...sensitivities],
        ...(replayed ? { replayedFrom: new Date(replayed.at).toISOString() } : {}),
      },
    })
    return true
  }
}

export type NarrowGrant = ReturnType<typeof createNarrowing>
