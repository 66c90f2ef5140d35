import { parseTokenValue, type TokenValue, tokenIncludes } from '../../smart/token-value.ts'
import type { Resource } from '../people/index.ts'
import { dateTest, spanOfElement } from './dates.ts'
import { FhirProblem } from './outcome.ts'
import { parametersOf, type SearchParameter } from './parameters.ts'

export type Pair = [name: string, value: string]

interface Criteria {
  /** Does a resource meet all of them? */
  test(resource: Resource): boolean
  /** Those that were understood, as they came: for the self link. */
  understood: Pair[]
}

/** Parameters that shape an answer rather than choose what is in it. */
const resultParameters = new Set(['_count', '_summary', '_pretty', '_format', '_cursor', '_include', '_revinclude'])

/** Everything that a dotted path leads to. */
export const elementsAt = (resource: object, path: string): unknown[] =>
  path.split('.').reduce<unknown[]>(
    (values, step) =>
      values.flatMap((value) => {
        const next: unknown = (value as Record<string, unknown>)[step]
        return next === undefined ? [] : Array.isArray(next) ? next : [next]
      }),
    [resource],
  )

const codesOf = (value: unknown, system: string | undefined): TokenValue[] => {
  if (typeof value !== 'object' || value === null) return [{ system, code: String(value) }]
  const {
    coding,
    code,
    value: identifier,
    system: own = '',
  } = value as {
    coding?: unknown[]
    code?: string
    value?: string
    system?: string
  }
  if (coding) return coding.flatMap((one) => codesOf(one, undefined))
  const text = code ?? identifier
  return text === undefined ? [] : [{ system: own, code: text }]
}

const tokenTest = (parameter: SearchParameter, value: string): ((resource: Resource) => boolean) => {
  const wanted = parseTokenValue(value)
  const found = (resource: Resource) =>
    parameter.paths
      .flatMap((path) => elementsAt(resource, path))
      .flatMap((element) => codesOf(element, parameter.system))
  return (resource) => {
    const codes = found(resource)
    return wanted.some((wide) => codes.some((code) => tokenIncludes(wide, code)))
  }
}

const dateValueTest = (name: string, parameter: SearchParameter, value: string): ((resource: Resource) => boolean) => {
  const alternatives = value.split(',').map((one) => dateTest(name, one))
  return (resource) =>
    parameter.paths
      .flatMap((path) => elementsAt(resource, path))
      .flatMap((element) => spanOfElement(element) ?? [])
      .some((span) => alternatives.some((test) => test(span)))
}

const referenceTest = (
  parameter: SearchParameter,
  value: string,
  baseUrl: string,
): ((resource: Resource) => boolean) => {
  const wanted = value.split(',').map((one) => {
    const relative = one.startsWith(`${baseUrl}/`) ? one.slice(baseUrl.length + 1) : one
    return relative.includes('/') ? relative : `${parameter.target}/${relative}`
  })
  return (resource) =>
    parameter.paths
      .flatMap((path) => elementsAt(resource, path))
      .some((element) => wanted.includes(String((element as { reference?: string }).reference)))
}

const stringTest = (parameter: SearchParameter, value: string): ((resource: Resource) => boolean) => {
  const wanted = value.split(',').map((one) => one.toLowerCase())
  return (resource) =>
    parameter.paths
      .flatMap((path) => elementsAt(resource, path))
      .some((element) => wanted.some((one) => String(element).toLowerCase().startsWith(one)))
}

/**
 * Reads the search parameters of a type. All must hold; alternatives are separated by commas. What the sandbox does not
 * know is left out, as FHIR asks of a lenient server, or refused if the app said `Prefer: handling=strict`.
 */
export const readCriteria = (
  resourceType: string,
  query: readonly Pair[],
  options: { strict: boolean; baseUrl: string },
): Criteria => {
  const known = parametersOf(resourceType)
  const understood: Pair[] = []
  const tests: ((resource: Resource) => boolean)[] = []
  for (const [name, value] of query) {
    const [base = '', modifier] = name.split(':')
    if (resultParameters.has(base)) continue
    const parameter = Object.hasOwn(known, base) ? known[base] : undefined
    if (parameter === undefined || value === '') {
      if (!options.strict) continue
      const reason =
        parameter === undefined ? `There is no search parameter ${base} of ${resourceType}` : `${base} has no value`
      const names = Object.keys(known).join(', ')
      throw new FhirProblem(400, 'not-supported', `${reason}. Known are ${names}.`)
    }
    if (modifier !== undefined && !(parameter.kind === 'reference' && modifier === parameter.target)) {
      throw new FhirProblem(
        400,
        'not-supported',
        `The modifier :${modifier} of ${base} is not supported. Leave it out.`,
      )
    }
    understood.push([name, value])
    if (parameter.kind === 'token') tests.push(tokenTest(parameter, value))
    else if (parameter.kind === 'date') tests.push(dateValueTest(base, parameter, value))
    else if (parameter.kind === 'reference') tests.push(referenceTest(parameter, value, options.baseUrl))
    else tests.push(stringTest(parameter, value))
  }
  return { understood, test: (resource) => tests.every((test) => test(resource)) }
}
