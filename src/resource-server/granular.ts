/**
 * Granular scopes (`?category=…`, `?code=…`) against resources and searches.
 * A restriction that is not understood is never met: a scope that has one opens nothing here.
 */
import type { ResourceScope } from '../smart/scope.ts'
import { parseTokenValue, type TokenValue, tokenIncludes, tokenOverlap } from '../smart/token-value.ts'
import type { Parameter } from './request.ts'
import type { FhirResource } from './resource.ts'

/** Where a restriction's codes are in a resource; for `code`, the elements that the search parameter reads. */
const elements: Record<string, readonly string[]> = {
  category: ['category'],
  code: ['code', 'medicationCodeableConcept', 'vaccineCode'],
}

export function isUnderstood(scope: ResourceScope): boolean {
  return scope.query.every(([name, value]) => Object.hasOwn(elements, name) && parseTokenValue(value).length > 0)
}

/** True if the resource meets every restriction of the scope. */
export function meets(resource: FhirResource, scope: ResourceScope): boolean {
  return scope.query.every(([name, value]) => {
    const names = Object.hasOwn(elements, name) ? (elements[name] ?? []) : []
    const present = Object.entries(resource)
      .filter(([element]) => names.includes(element))
      .flatMap(([, content]) => codesIn(content))
    return parseTokenValue(value).some((wide) => present.some((code) => tokenIncludes(wide, code)))
  })
}

/** False if a search asks by name for what the scope's restrictions exclude, so that it could only find nothing. */
export function mayFind(query: readonly Parameter[], scope: ResourceScope): boolean {
  return scope.query.every(([name, value]) => {
    const granted = parseTokenValue(value)
    const asked = query.filter(([other]) => other === name).map((parameter) => parseTokenValue(parameter[1]))
    return asked.every((values) => values.some((one) => granted.some((other) => tokenOverlap(one, other))))
  })
}

/** Codings of a CodeableConcept, a Coding, a plain code, or lists of them. */
function codesIn(value: unknown): TokenValue[] {
  if (Array.isArray(value)) return value.flatMap(codesIn)
  if (typeof value === 'string') return [{ system: undefined, code: value }]
  if (typeof value !== 'object' || value === null) return []
  if ('coding' in value) return codesIn(value.coding)
  const code = 'code' in value && typeof value.code === 'string' ? value.code : undefined
  // A Coding without a system has none (`|code`), which is not the same as any.
  return code === undefined ? [] : [{ system: 'system' in value ? String(value.system) : '', code }]
}
