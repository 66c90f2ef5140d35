import type { FhirResource } from '../../resource-server/index.ts'
import type { Resource } from '../people/index.ts'
import type { Paging } from './bundle.ts'
import { searchSet } from './bundle.ts'
import type { Pair } from './criteria.ts'
import { spanOf } from './dates.ts'
import { FhirProblem } from './outcome.ts'
import { type Store, whenOf } from './store.ts'

/** What comes when: the person, what happened to them, what it cost, and last the places and people named in it all. */
const phases: readonly (readonly string[])[] = [
  ['Patient', 'RelatedPerson'],
  [
    ...['Condition', 'AllergyIntolerance', 'Encounter', 'Observation', 'DiagnosticReport', 'Procedure', 'Device'],
    ...[
      'MedicationRequest',
      'MedicationDispense',
      'MedicationStatement',
      'Immunization',
      'CareTeam',
      'CarePlan',
      'Goal',
    ],
    'DocumentReference',
  ],
  ['Coverage', 'ExplanationOfBenefit'],
  ['InsurancePlan', 'Organization', 'Practitioner', 'PractitionerRole', 'Location', 'Medication'],
]
const supporting = new Set(phases.at(-1))

function* referencesIn(value: unknown): Generator<string> {
  if (typeof value !== 'object' || value === null) return
  for (const [name, child] of Object.entries(value)) {
    if (name === 'reference' && typeof child === 'string') yield child
    else yield* referencesIn(child)
  }
}

/** What the resources lead to outside the patient's record, step by step, and the products of the insurers among it. */
const supportOf = (resources: readonly Resource[], store: Store): Set<Resource> => {
  const reached = new Set<Resource>()
  let fresh: readonly Resource[] = resources
  while (fresh.length > 0) {
    const found = fresh.flatMap((resource) =>
      [...referencesIn(resource)].flatMap((reference) => {
        const [type = '', id = ''] = reference.split('/')
        return supporting.has(type) ? (store.read(type, id) ?? []) : []
      }),
    )
    fresh = [...new Set(found)].filter((resource) => !reached.has(resource))
    for (const resource of fresh) reached.add(resource)
  }
  const owners = new Set([...reached].map((resource) => `${resource.resourceType}/${resource.id}`))
  for (const product of store.list('InsurancePlan')) {
    if (owners.has((product.ownedBy as { reference?: string }).reference ?? '')) reached.add(product)
  }
  return reached
}

const dateOf = (query: readonly Pair[], name: string) => {
  const text = query.find(([other]) => other === name)?.[1]
  const span = text === undefined || text === '' ? undefined : spanOf(text)
  if (text && span === undefined) throw new FhirProblem(400, 'value', `${name} must be a date such as 2025-06-30.`)
  return { text, span }
}

interface EverythingInput {
  store: Store
  baseUrl: string
  patient: string
  query: readonly Pair[]
  paging: Paging
  /** The library's word on each resource. */
  filter(resource: FhirResource): boolean
  types: readonly string[]
}

/**
 * `Patient/[id]/$everything` (FHIR R4): one page of it. A page holds resources of one phase only, and its next link leads
 * on, through the phases. `start` and `end` are dates of care; what has no date, such as a Coverage, always comes along.
 */
export const everything = ({
  store,
  baseUrl,
  patient,
  query,
  paging,
  filter,
  types,
}: EverythingInput): Record<string, unknown> => {
  const start = dateOf(query, 'start')
  const end = dateOf(query, 'end')
  const since = dateOf(query, '_since')
  const wanted = query
    .filter(([name]) => name === '_type')
    .flatMap(([, value]) => value.split(',').filter((type) => type !== ''))
  const unknown = wanted.find((type) => !types.includes(type))
  if (unknown !== undefined)
    throw new FhirProblem(400, 'not-supported', `There are no ${unknown} here. _type may name ${types.join(', ')}.`)

  const inTime = (resource: Resource) => {
    const when = whenOf(resource)
    return (
      when === undefined ||
      ((start.span === undefined || when.end > start.span.start) &&
        (end.span === undefined || when.start < end.span.end))
    )
  }
  const visible = phases
    .flat()
    .filter((type) => !supporting.has(type))
    .flatMap((type) => store.list(type).filter((resource) => filter(resource) && inTime(resource)))
  const support = supportOf(visible, store)
  const supported =
    phases
      .at(-1)
      ?.flatMap((type) => store.list(type).filter((resource) => support.has(resource) && filter(resource))) ?? []
  const found = [...visible, ...supported].filter(
    (resource) =>
      (wanted.length === 0 || wanted.includes(resource.resourceType)) &&
      (since.span === undefined || Date.parse(resource.meta.lastUpdated) >= since.span.start),
  )
  const understood = query.filter(([name, value]) => ['start', 'end', '_since', '_type'].includes(name) && value !== '')
  return searchSet({
    baseUrl,
    path: `Patient/${patient}/$everything`,
    understood,
    paging,
    found,
    groupOf: (resource) => phases.findIndex((phase) => phase.includes(resource.resourceType)),
  })
}
