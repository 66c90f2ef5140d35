import type { Pair } from './criteria.ts'
import { FhirProblem } from './outcome.ts'

const json = new Set(['json', 'application/json', 'application/fhir+json', 'text/json'])
const acceptable = new Set([...json, '*/*', 'application/*'])

const mediaType = (text: string) => text.split(';')[0]?.trim().toLowerCase() ?? ''

/** The sandbox speaks JSON only; `_format` has the last word over `Accept`. Throws 406 for anything else. */
export const checkFormat = (query: readonly Pair[], accept: string | undefined): void => {
  const asked = query.find(([name]) => name === '_format')?.[1]
  // A plus in a query is a space, so `_format=application/fhir+json` arrives as `application/fhir json`.
  const format = asked === undefined || asked === '' ? undefined : mediaType(asked).replace('fhir json', 'fhir+json')
  const isAcceptable =
    format === undefined ? !accept || accept.split(',').some((one) => acceptable.has(mediaType(one))) : json.has(format)
  if (!isAcceptable)
    throw new FhirProblem(406, 'not-supported', 'The sandbox answers in JSON only: application/fhir+json.')
}
