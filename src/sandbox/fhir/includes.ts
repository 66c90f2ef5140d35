import type { FhirResource } from '../../resource-server/index.ts'
import type { Resource } from '../people/index.ts'
import { elementsAt, type Pair } from './criteria.ts'
import { FhirProblem } from './outcome.ts'
import { parametersOf, referencesOf } from './parameters.ts'
import type { Store } from './store.ts'

/** What a search asked to have brought along (FHIR R4, "Including other resources in result"). */
export interface Inclusion {
  /** The parameters, as they came: for the links. */
  understood: Pair[]
  /** What goes with the resources of one page, and is not among them; only what the token may see. */
  alongside(page: readonly Resource[]): Resource[]
}

const keyOf = ({ resourceType, id }: Pick<Resource, 'resourceType' | 'id'>) => `${resourceType}/${id}`

/** Reads `_include` and `_revinclude`, as `Type:parameter` or `Type:parameter:Target`. */
export const readIncludes = (
  type: string,
  query: readonly Pair[],
  { store, filter }: { store: Store; filter(resource: FhirResource): boolean },
): Inclusion => {
  const understood = query.filter(([name]) => /^_(rev)?include(:|$)/.test(name))
  const steps = understood.map(([name, value]) => {
    const [source = '', parameter = '', target] = value.split(':')
    if (name.includes(':')) throw notSupported(`${name} is not supported. Leave ${name.replace(/^.*:/, ':')} out.`)
    if (!referencesOf(source).includes(parameter)) {
      const known = referencesOf(source).map((each) => `${source}:${each}`)
      throw notSupported(`${name} of ${value} is not supported. Known are ${known.join(', ') || 'none of this type'}.`)
    }
    const paths = parametersOf(source)[parameter]?.paths ?? []
    const referredBy = (resource: Resource) =>
      paths
        .flatMap((path) => elementsAt(resource, path))
        .map((element) => String((element as { reference?: string }).reference))
    const fits = (reference: string) => target === undefined || reference.startsWith(`${target}/`)
    return (page: readonly Resource[]): Resource[] => {
      if (name === '_revinclude') {
        const keys = new Set(page.map(keyOf).filter(fits))
        return store.list(source).filter((resource) => referredBy(resource).some((reference) => keys.has(reference)))
      }
      if (source !== type) return []
      return page
        .flatMap(referredBy)
        .filter(fits)
        .flatMap((reference) => {
          const [toType = '', id = ''] = reference.split('/')
          return store.read(toType, id) ?? []
        })
    }
  })
  const alongside = (page: readonly Resource[]): Resource[] => {
    const brought = new Set(steps.flatMap((step) => step(page)))
    return [...brought].filter((resource) => !page.includes(resource) && filter(resource))
  }
  return { understood, alongside }
}

const notSupported = (description: string) => new FhirProblem(400, 'not-supported', description)
