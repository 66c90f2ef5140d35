/**
 * Comparing scopes: what one list of scopes leaves of another.
 *
 * Owns: coverage, intersection, expansion, and what is inferred (R7). Answers only ever narrow.
 * Does not own: the grammar (scope.ts), or what anybody was granted.
 */
import { parseScope, type ResourceScope, type Scope, spellScope } from './scope.ts'
import { parseTokenValue, spellTokenValue, type TokenValue, tokenIncludes, tokenOverlap } from './token-value.ts'

type Restrictions = ResourceScope['query']

/** Parameters whose values are compared by meaning; any other only by text. */
const tokenParameters = new Set(['category', 'code'])
/**
 * Where a restricted scope meets many restricted ones, more parts of it than this are not worth comparing with each other: what is left out
 * only narrows. One without restrictions, a wildcard above all, keeps all of its parts.
 */
const mostParts = 10
const allInteractions = ['c', 'r', 'u', 'd', 's']

/**
 * True if `held` allows everything that `asked` names. Interactions may come from several held scopes, and so may the
 * alternatives of a category: `?category=a` and `?category=b` cover `?category=a,b`.
 */
export function covers(held: readonly Scope[], asked: Scope): boolean {
  if (asked.kind === 'plain') return held.some((scope) => scope.kind === 'plain' && scope.text === asked.text)
  const ofType = held.filter(
    (scope): scope is ResourceScope =>
      scope.kind === 'resource' &&
      scope.context === asked.context &&
      (scope.resource === '*' || scope.resource === asked.resource),
  )
  const fitting = ofType.filter((scope) => queryCovers(scope.query, asked.query))
  return [...asked.interactions].every(
    (letter) =>
      fitting.some((scope) => scope.interactions.includes(letter)) ||
      categoriesCover(
        ofType.filter((scope) => scope.interactions.includes(letter)),
        asked.query,
      ),
  )
}

/** Do several scopes together hold every alternative of the category that is asked for? */
function categoriesCover(held: readonly ResourceScope[], asked: Restrictions): boolean {
  const isCategory = ([name]: Restrictions[number]) => name === 'category'
  const others = asked.filter((each) => !isCategory(each))
  const alternatives = asked.filter(isCategory).flatMap(([, value]) => parseTokenValue(value))
  if (alternatives.length < 2 || asked.length - others.length > 1) return false
  const missing = held
    .filter(({ query }) =>
      queryCovers(
        query.filter((each) => !isCategory(each)),
        others,
      ),
    )
    .reduce((left, { query }) => {
      const lists = query.filter(isCategory).map(([, value]) => parseTokenValue(value))
      return left.filter((one) => !lists.every((list) => list.some((wide) => tokenIncludes(wide, one))))
    }, alternatives)
  return missing.length === 0
}

/**
 * The part of `asked` that `allowed` covers: nothing, `asked` itself, or narrower scopes in the spelling that was
 * asked. Version 1 stays version 1 where `.read`, `.write` or `.*` can say it.
 */
export function intersect(asked: Scope, allowed: readonly Scope[]): Scope[] {
  if (covers(allowed, asked)) return [asked]
  if (asked.kind === 'plain') return []
  const parts: ResourceScope[] = []
  for (const scope of allowed) {
    const part = scope.kind === 'resource' ? overlap(asked, scope) : undefined
    if (!part) continue
    const same = parts.findIndex((other) => other.resource === part.resource && sameQuery(other.query, part.query))
    const twin = parts[same]
    if (twin) parts[same] = spellScope({ ...twin, version: asked.version, interactions: union(twin, part) })
    else if (asked.query.length === 0 || parts.length < mostParts) parts.push(part)
  }
  return parts.filter(
    (part, index) => !parts.some((other, at) => at !== index && makesNeedless(other, part, at < index)),
  )
}

/** All of `asked` through `intersect`: what is kept, once each and in order, and the texts of which nothing is left. */
export function narrow(asked: readonly Scope[], allowed: readonly Scope[]): { kept: Scope[]; dropped: string[] } {
  const kept = new Map<string, Scope>()
  const dropped: string[] = []
  for (const scope of asked) {
    const parts = intersect(scope, allowed)
    if (parts.length === 0) dropped.push(scope.text)
    for (const part of parts) kept.set(part.text, part)
  }
  return { kept: [...kept.values()], dropped }
}

/** A wildcard as one scope per resource type, in the order given (R26); any other scope as it is. */
export function expand(scope: ResourceScope, resources: readonly string[]): ResourceScope[] {
  if (scope.resource !== '*') return [scope]
  return resources.map((resource) => spellScope({ ...scope, resource }))
}

/** Adds `launch/patient` where a `patient/` or `user/` scope needs a patient and nothing asked for one (R7, R33). */
export function withLaunchPatient(scopes: readonly Scope[]): Scope[] {
  const needed = scopes.some((scope) => scope.kind === 'resource' && scope.context !== 'system')
  const present = scopes.some((scope) => scope.text === 'launch/patient')
  return needed && !present ? [...scopes, { kind: 'plain', text: 'launch/patient' }] : [...scopes]
}

function overlap(asked: ResourceScope, allowed: ResourceScope): ResourceScope | undefined {
  if (asked.context !== allowed.context) return undefined
  const resource = asked.resource === '*' ? allowed.resource : asked.resource
  if (allowed.resource !== '*' && allowed.resource !== resource) return undefined
  const interactions = allInteractions.filter((l) => asked.interactions.includes(l) && allowed.interactions.includes(l))
  const query = queryOverlap(asked.query, allowed.query)
  if (interactions.length === 0 || !query) return undefined
  const part = spellScope({ ...asked, resource, interactions: interactions.join(''), query })
  // What cannot be spelt within the grammar's limits is not handed out.
  return parseScope(part.text) ? part : undefined
}

/** Is `part` said already by `other`? Of two that say the same, the earlier one stays. */
function makesNeedless(other: ResourceScope, part: ResourceScope, earlier: boolean): boolean {
  return covers([other], part) && (earlier || !covers([part], other))
}

function union(one: ResourceScope, other: ResourceScope): string {
  return allInteractions.filter((l) => one.interactions.includes(l) || other.interactions.includes(l)).join('')
}

function sameQuery(one: Restrictions, other: Restrictions): boolean {
  return queryCovers(one, other) && queryCovers(other, one)
}

/** Every restriction that is held must be there, or a tighter one, in what is asked. */
function queryCovers(held: Restrictions, asked: Restrictions): boolean {
  return held.every(([name, value]) => asked.some((other) => other[0] === name && valueCovers(name, value, other[1])))
}

function valueCovers(name: string, held: string, asked: string): boolean {
  if (held === asked) return true
  if (!tokenParameters.has(name)) return false
  const wide = parseTokenValue(held)
  const tight = parseTokenValue(asked)
  return tight.length > 0 && tight.every((value) => wide.some((other) => tokenIncludes(other, value)))
}

/** Restrictions that hold together. Two of one parameter meet in the alternatives they share; without any, undefined. */
function queryOverlap(asked: Restrictions, allowed: Restrictions): Restrictions | undefined {
  const query: Restrictions = [...asked]
  for (const [name, value] of allowed) {
    const at = query.findIndex((other) => other[0] === name)
    const present = query[at]
    if (!present) {
      query.push([name, value])
      continue
    }
    const shared = valueOverlap(name, present[1], value)
    if (shared === undefined) return undefined
    query[at] = [name, shared]
  }
  return query
}

function valueOverlap(name: string, one: string, other: string): string | undefined {
  if (valueCovers(name, other, one)) return one
  if (valueCovers(name, one, other)) return other
  if (!tokenParameters.has(name)) return undefined
  const left = parseTokenValue(one)
  const right = parseTokenValue(other)
  // More pairs than this could not be spelt within a scope anyway.
  if (left.length * right.length > 1_000) return undefined
  const shared = left.flatMap((value) => right.flatMap((twin) => tokenOverlap(value, twin) ?? []))
  const needless = (value: TokenValue, at: number) =>
    shared.some(
      (wide, place) => place !== at && tokenIncludes(wide, value) && (place < at || !tokenIncludes(value, wide)),
    )
  return shared.length === 0 ? undefined : spellTokenValue(shared.filter((value, at) => !needless(value, at)))
}
