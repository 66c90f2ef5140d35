import { sha256 } from '../../secrets.ts'
import type { Resource } from '../people/index.ts'
import type { Pair } from './criteria.ts'
import { FhirProblem } from './outcome.ts'
import { type Summary, summaries, summarize } from './summary.ts'

const largestPage = 1000

export interface Paging {
  count: number
  summary: Summary
  cursor: string | undefined
  /** The parameters of this kind as they were understood, for the links. */
  understood: Pair[]
}

/** Reads `_count`, `_summary` and `_cursor`; each at most once. */
export const readPaging = (query: readonly Pair[], defaultCount: number): Paging => {
  const single = (name: string): string | undefined => {
    const values = query.filter(([other]) => other === name).map(([, value]) => value)
    if (values.length > 1) throw new FhirProblem(400, 'invalid', `${name} was sent more than once.`)
    return values[0]
  }
  const count = single('_count')
  const summary = single('_summary') ?? 'false'
  const cursor = single('_cursor')
  if (count !== undefined && !/^\d{1,9}$/.test(count)) {
    throw new FhirProblem(400, 'value', `_count must be a whole number from 0 to ${largestPage}.`)
  }
  if (!isSummary(summary)) throw new FhirProblem(400, 'value', `_summary must be one of ${summaries.join(', ')}.`)
  const understood: Pair[] = [
    ...(count === undefined ? [] : ([['_count', String(Math.min(Number(count), largestPage))]] satisfies Pair[])),
    ...(summary === 'false' ? [] : ([['_summary', summary]] satisfies Pair[])),
  ]
  return {
    count: Math.min(count === undefined ? defaultCount : Number(count), largestPage),
    // FHIR: a page of nothing is a question for the number alone.
    summary: count !== undefined && Number(count) === 0 ? 'count' : summary,
    cursor,
    understood,
  }
}

export const isSummary = (text: string): text is Summary => (summaries as readonly string[]).includes(text)

const keyOf = (resource: Resource) => `${resource.resourceType}/${resource.id}`

/** Says after which resource the next page begins, and of which search it is part. It outlives a restart. */
const sealCursor = (last: Resource, search: string) =>
  Buffer.from(`${keyOf(last)} ${sha256(search).slice(0, 16)}`, 'utf8').toString('base64url')

const placeAfter = (cursor: string, search: string, found: readonly Resource[]): number => {
  const [key, mark, ...rest] = Buffer.from(cursor, 'base64url').toString('utf8').split(' ')
  const place = found.findIndex((resource) => keyOf(resource) === key)
  if (place < 0 || rest.length > 0 || mark !== sha256(search).slice(0, 16)) {
    throw new FhirProblem(
      400,
      'value',
      'This page link does not belong to this search. Follow next links as they are, or begin again.',
    )
  }
  return place + 1
}

interface SearchSet {
  baseUrl: string
  /** Below the base: `Observation`, `Patient/maria/$everything`. */
  path: string
  /** The parameters that chose the resources. */
  understood: Pair[]
  paging: Paging
  /** All that the search found and the token may see, in order. */
  found: readonly Resource[]
  /** A page never goes across the border between two groups. */
  groupOf?: (resource: Resource) => number
  /** What comes along with the resources of a page. */
  alongside?: (page: readonly Resource[]) => readonly Resource[]
}

/** One page of a searchset, with its links. */
export const searchSet = ({
  baseUrl,
  path,
  understood,
  paging,
  found,
  groupOf = () => 0,
  alongside = () => [],
}: SearchSet): Record<string, unknown> => {
  const parameters = [...understood, ...paging.understood]
  const search = `${path}?${new URLSearchParams(understood)}`
  const link = (relation: 'self' | 'next', cursor: string | undefined) => {
    const query = new URLSearchParams([
      ...parameters,
      ...(cursor === undefined ? [] : ([['_cursor', cursor]] satisfies Pair[])),
    ])
    return { relation, url: query.size === 0 ? `${baseUrl}/${path}` : `${baseUrl}/${path}?${query}` }
  }
  const bundle = { resourceType: 'Bundle', type: 'searchset', total: found.length }
  if (paging.summary === 'count') return { ...bundle, link: [link('self', undefined)] }

  const start = paging.cursor === undefined ? 0 : placeAfter(paging.cursor, search, found)
  const first = found[start]
  const border = first === undefined ? start : found.findIndex((r, at) => at > start && groupOf(r) !== groupOf(first))
  const end = Math.min(start + paging.count, border < 0 ? found.length : Math.max(border, start))
  const page = found.slice(start, end)
  const last = page.at(-1)
  const entry = (mode: 'match' | 'include') => (resource: Resource) => ({
    fullUrl: `${baseUrl}/${keyOf(resource)}`,
    resource: summarize(resource, paging.summary),
    search: { mode },
  })
  return {
    ...bundle,
    link: [
      link('self', paging.cursor),
      ...(last !== undefined && end < found.length ? [link('next', sealCursor(last, search))] : []),
    ],
    ...(page.length === 0
      ? {}
      : {
          entry: [...page.map(entry('match')), ...alongside(page).map(entry('include'))],
        }),
  }
}
