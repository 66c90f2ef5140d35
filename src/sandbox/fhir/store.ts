import type { Resource } from '../people/index.ts'
import { elementsAt } from './criteria.ts'
import { type Span, spanOfElement } from './dates.ts'
import { parametersOf, whenParameters } from './parameters.ts'

/** The sandbox's records, found by type and id. */
export interface Store {
  read(resourceType: string, id: string): Resource | undefined
  /** All of a type, the newest first, always in the same order. */
  list(resourceType: string): readonly Resource[]
}

/** When something happened; undefined for what has no date, such as an Organization. */
export const whenOf = (resource: Resource): Span | undefined => {
  const known = parametersOf(resource.resourceType)
  const name = whenParameters.find((candidate) => Object.hasOwn(known, candidate))
  const [first] = (name ? (known[name]?.paths ?? []) : []).flatMap((path) => elementsAt(resource, path))
  return first === undefined ? undefined : spanOfElement(first)
}

/** Files resources; they never change afterwards. */
export const createStore = (resources: readonly Resource[]): Store => {
  const byType = new Map<string, Map<string, Resource>>()
  for (const resource of resources) {
    const ofType = byType.get(resource.resourceType) ?? new Map<string, Resource>()
    byType.set(resource.resourceType, ofType.set(resource.id, resource))
  }
  const natural = new Intl.Collator('en', { numeric: true })
  const lists = new Map<string, readonly Resource[]>()
  /** Sorted when first asked for, so that a start does not wait for it. */
  const list = (resourceType: string): readonly Resource[] => {
    const known = lists.get(resourceType)
    if (known) return known
    const dated = [...(byType.get(resourceType)?.values() ?? [])].map((resource) => ({
      resource,
      when: whenOf(resource)?.start ?? 0,
    }))
    dated.sort((a, b) => b.when - a.when || natural.compare(a.resource.id, b.resource.id))
    const sorted = dated.map(({ resource }) => resource)
    lists.set(resourceType, sorted)
    return sorted
  }
  return { read: (resourceType, id) => byType.get(resourceType)?.get(id), list }
}
