/**
 * The grammar of SMART scopes (SMART App Launch 2.2, "Scopes and Launch Context"), versions 1 and 2.
 *
 * Owns: what one scope text means, and how a scope is spelt. Anything not understood is undefined, never a guess.
 * Does not own: comparing scopes (scope-set.ts), or which scopes an API has (discovery.ts, the settings).
 * Hands to: everything that reads or writes a `scope`, the resource-server library included. Pure, no I/O.
 */
import { resourceTypes } from './resource-types.ts'

export type Scope = PlainScope | ResourceScope

/** A scope without a resource: identity, launch context, duration, and sensitive categories (`sensitive/hiv`, R25). */
export interface PlainScope {
  kind: 'plain'
  text: string
}

export interface ResourceScope {
  kind: 'resource'
  context: 'patient' | 'user' | 'system'
  /** A FHIR R4 resource type, or `*`. */
  resource: string
  /** In-order, non-empty subset of `cruds`: create, read, update, delete, search. */
  interactions: string
  /** How it was spelt: 1 is `.read`, 2 is `.rs`. */
  version: 1 | 2
  /** Granular restrictions (`?category=…`), decoded; all of them hold together. Only version 2 has them. */
  query: [name: string, value: string][]
  /** As it was written. */
  text: string
}

/** A longer scope is unknown; a longer list of them too. Hostile input stays cheap. */
const longestScope = 512
export const longestList = 16_384
const mostRestrictions = 8

const plainScopes = new Set([
  'openid',
  'fhirUser',
  'profile',
  'launch',
  'launch/patient',
  'launch/encounter',
  'offline_access',
  'online_access',
  // Of backend services (ours): to introspect tokens of its API, and to make launches for it.
  'introspect',
  'launches',
])

const sensitiveScope = /^sensitive\/[a-z][a-z0-9-]{0,39}$/
const resourceScope = /^(patient|user|system)\/(\*|[A-Za-z]+)\.([a-z*]+)(?:\?(.+))?$/
const inOrder = /^c?r?u?d?s?$/
const firstVersion: Record<string, string> = { read: 'rs', write: 'cud', '*': 'cruds' }

/** Reads one scope; undefined if it is unknown, malformed or out of order (dropped by callers: R7). */
export function parseScope(text: string): Scope | undefined {
  if (text.length > longestScope) return undefined
  if (plainScopes.has(text) || isSensitiveScope(text)) return { kind: 'plain', text }

  const [, context, resource = '', suffix = '', search] = resourceScope.exec(text) ?? []
  if (context === undefined) return undefined
  if (resource !== '*' && !resourceTypes.has(resource)) return undefined

  // The whole suffix is looked up before its letters are: `.read` must never be read as `.rd`.
  const first = Object.hasOwn(firstVersion, suffix) ? firstVersion[suffix] : undefined
  const interactions = first ?? (inOrder.test(suffix) ? suffix : '')
  if (interactions === '') return undefined
  if (first !== undefined && search !== undefined) return undefined

  const query = search === undefined ? [] : parseRestrictions(search)
  if (query === undefined) return undefined
  return {
    kind: 'resource',
    context: context as ResourceScope['context'],
    resource,
    interactions,
    version: first === undefined ? 2 : 1,
    query,
    text,
  }
}

/** True for the scope of a sensitive category: one that an app must be approved for by name. */
export function isSensitiveScope(text: string): boolean {
  return sensitiveScope.test(text)
}

/**
 * Reads a space-separated list: scopes in order and once each, and the texts that mean nothing here.
 * A list beyond 16,384 characters is unknown as a whole: cutting it could turn a restricted scope into an open one.
 */
export function parseScopes(scope: string): { scopes: Scope[]; unknown: string[] } {
  if (scope.length > longestList) return { scopes: [], unknown: [`${scope.slice(0, 64)}…`] }
  const scopes: Scope[] = []
  const unknown: string[] = []
  for (const text of new Set(scope.split(' ').filter((part) => part !== ''))) {
    const parsed = parseScope(text)
    if (parsed) scopes.push(parsed)
    else unknown.push(text)
  }
  return { scopes, unknown }
}

/**
 * Spells a scope from its parts. Version 1 is kept where it can say the same (`.read`, `.write`, `.*`), else it
 * becomes version 2.
 */
export function spellScope(parts: Omit<ResourceScope, 'kind' | 'text'>): ResourceScope {
  const first =
    parts.version === 1 && parts.query.length === 0
      ? Object.keys(firstVersion).find((name) => firstVersion[name] === parts.interactions)
      : undefined
  const { context, resource, interactions, query } = parts
  const search = query.map(([name, value]) => `${encode(name)}=${encode(value)}`).join('&')
  const text = `${context}/${resource}.${first ?? interactions}${search === '' ? '' : `?${search}`}`
  return { kind: 'resource', context, resource, interactions, version: first ? 1 : 2, query, text }
}

/** The value of a `scope` parameter or claim. */
export function scopeText(scopes: readonly Scope[]): string {
  return scopes.map((scope) => scope.text).join(' ')
}

function parseRestrictions(search: string): [string, string][] | undefined {
  const pairs = search.split('&')
  if (pairs.length > mostRestrictions) return undefined
  const query: [string, string][] = []
  for (const pair of pairs) {
    const at = pair.indexOf('=')
    const name = decode(pair.slice(0, Math.max(at, 0)))
    const value = decode(pair.slice(at + 1))
    if (!name || !value) return undefined
    query.push([name, value])
  }
  return query
}

function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '))
  } catch {
    return undefined
  }
}

/** Percent-encodes what a query needs, and leaves `system|code` readable, as the guides print it. */
function encode(text: string): string {
  return encodeURIComponent(text).replace(/%(3A|2F|7C|2C)/g, decodeURIComponent)
}
