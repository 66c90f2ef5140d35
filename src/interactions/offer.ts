/**
 * What a consent page offers, and what comes out of the boxes that the member left ticked. Pure.
 */
import { parseScopes, type ResourceScope, type Scope, scopeText } from '../smart/scope.ts'
import { expand } from '../smart/scope-set.ts'

/** The choices behind one request for scopes. */
export interface Offer {
  /** Resource types in the order asked, each with the scopes that name it; wildcards are expanded (R26). */
  types: Map<string, ResourceScope[]>
  /** Every kind of record was asked for, future kinds too. */
  wildcard: boolean
  /** The app learns who the member is. */
  identity: boolean
  offline: boolean
}

const resourceScopes = (scope: string): ResourceScope[] =>
  parseScopes(scope).scopes.filter((each): each is ResourceScope => each.kind === 'resource')

/** Types of which a delegate's mask names anything are not offered at all: what is left could not be said simply (R34). */
const masked = (type: string, mask: readonly string[] | null): boolean =>
  resourceScopes(mask?.join(' ') ?? '').some((scope) => scope.resource === '*' || scope.resource === type)

/** What may be offered of the requested scopes, at an API with these resource types, to a member with this mask. */
export const offerOf = (scope: string, resources: readonly string[], mask: readonly string[] | null): Offer => {
  const asked = resourceScopes(scope)
  const types = new Map<string, ResourceScope[]>()
  for (const each of asked.flatMap((one) => expand(one, resources))) {
    if (masked(each.resource, mask)) continue
    types.set(each.resource, [...(types.get(each.resource) ?? []), each])
  }
  const texts = parseScopes(scope).scopes.map((each) => each.text)
  return {
    types,
    wildcard: asked.some((each) => each.resource === '*'),
    identity: texts.includes('openid'),
    offline: texts.includes('offline_access'),
  }
}

/** What the member ticked. */
export interface Ticked {
  resources: readonly string[]
  offline: boolean
}

/**
 * The granted scopes: exactly what was left ticked, in the app's own words where all of a scope is granted, so that a
 * wildcard that was accepted whole stays a wildcard.
 */
export const grantedScope = (scope: string, resources: readonly string[], offer: Offer, ticked: Ticked): string => {
  const kept = new Set(ticked.resources.filter((type) => offer.types.has(type)))
  const granted = parseScopes(scope).scopes.flatMap((each): Scope[] => {
    if (each.kind === 'plain') return each.text === 'offline_access' && !ticked.offline ? [] : [each]
    const parts = expand(each, resources)
    const left = parts.filter((part) => kept.has(part.resource))
    return left.length === parts.length ? [each] : left
  })
  return [...new Set(scopeText(granted).split(' '))].join(' ')
}
