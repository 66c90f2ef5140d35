import { FhirProblem } from './outcome.ts'

/** A span of time in milliseconds, `end` excluded: what a FHIR date means with the precision that it has. */
export interface Span {
  start: number
  end: number
}

const pattern = /^(\d{4})(?:-(\d\d)(?:-(\d\d)(?:T(\d\d):(\d\d)(?::(\d\d)(?:\.\d+)?)?(Z|[+-]\d\d:\d\d)?)?)?)?$/

/** The span that a date or instant of any precision covers; undefined if it is none. Without a zone it is UTC. */
export const spanOf = (text: string): Span | undefined => {
  const [, year, month, day, hour, minute, second, zone = 'Z'] = pattern.exec(text) ?? []
  if (year === undefined) return undefined
  const start = Date.parse(
    `${year}-${month ?? '01'}-${day ?? '01'}T${hour ?? '00'}:${minute ?? '00'}:${second ?? '00'}${zone}`,
  )
  if (Number.isNaN(start)) return undefined
  // `Date.parse` takes February 30 for March 1.
  if (
    day !== undefined &&
    new Date(Date.UTC(Number(year), Number(month) - 1, Number(day))).getUTCDate() !== Number(day)
  )
    return undefined
  if (month === undefined) return { start, end: Date.UTC(Number(year) + 1, 0) }
  if (day === undefined) return { start, end: Date.UTC(Number(year), Number(month)) }
  const length = hour === undefined ? 86_400_000 : second === undefined ? 60_000 : 1000
  return { start, end: start + length }
}

/** The span of a date element: a date, an instant, or a Period, whose open ends reach as far as can be. */
export const spanOfElement = (value: unknown): Span | undefined => {
  if (typeof value === 'string') return spanOf(value)
  if (typeof value !== 'object' || value === null) return undefined
  const { start, end } = value as { start?: string; end?: string }
  return {
    start: (start === undefined ? undefined : spanOf(start)?.start) ?? Number.NEGATIVE_INFINITY,
    end: (end === undefined ? undefined : spanOf(end)?.end) ?? Number.POSITIVE_INFINITY,
  }
}

const contains = (outer: Span, inner: Span) => outer.start <= inner.start && inner.end <= outer.end

/** What the prefixes mean for spans (FHIR R4, "Search", prefixes). */
const comparisons: Record<string, (searched: Span, found: Span) => boolean> = {
  eq: contains,
  ne: (searched, found) => !contains(searched, found),
  gt: (searched, found) => found.end > searched.end,
  lt: (searched, found) => found.start < searched.start,
  ge: (searched, found) => found.end > searched.end || contains(searched, found),
  le: (searched, found) => found.start < searched.start || contains(searched, found),
  sa: (searched, found) => found.start >= searched.end,
  eb: (searched, found) => found.end <= searched.start,
}

/** A test for one value of a date parameter, for instance `ge2025-01`. Throws FhirProblem if it is none. */
export const dateTest = (name: string, value: string): ((found: Span) => boolean) => {
  const [, prefix = 'eq', text = ''] = /^([a-z]{2})?(.*)$/.exec(value) ?? []
  const compare = comparisons[prefix]
  // A form turns the plus of a time zone into a space, as every client forgets once.
  const searched = spanOf(text.replace(/ (\d\d:\d\d)$/, '+$1'))
  if (compare === undefined || searched === undefined) {
    throw new FhirProblem(
      400,
      'value',
      `${name} must be a date such as 2025, 2025-06, 2025-06-30 or an instant, with one of the prefixes ${Object.keys(comparisons).join(', ')} or none.`,
    )
  }
  return (found) => compare(searched, found)
}
