/**
 * What a scope opens, read anew: an oracle that shared the server's grammar would share its errors. Only what the server
 * answers is read by it; what it cannot read there is an error.
 */

export interface Extent {
  context: string
  type: string
  letters: string
  /** `name=value`, decoded. */
  restrictions: string[]
}

const words: Record<string, string> = { read: 'rs', write: 'cud', '*': 'cruds' }

/** Undefined for what names no data: `openid`, `launch/patient`. */
export const extentOf = (scope: string): Extent | undefined => {
  const [, context, type, interactions, query] =
    /^(patient|user|system)\/(\*|[A-Za-z]+)\.(read|write|\*|[cruds]+)(?:\?(.+))?$/.exec(scope) ?? []
  if (!context || !type || !interactions) return undefined
  return {
    context,
    type,
    letters: words[interactions] ?? interactions,
    restrictions: [...new URLSearchParams(query)].map(([name, value]) => `${name}=${value}`),
  }
}

export const extentsOf = (scope: string): Extent[] =>
  scope.split(' ').flatMap((each) => {
    const extent = extentOf(each)
    if (!extent && /[.*?]/.test(each)) throw new Error(`a scope that nobody can read: ${each}`)
    return extent ?? []
  })

/** A list of values means any of them (FHIR R4 3.1.1.4.1), so fewer of them are less. */
const isWithin = (narrow: string, wide: string): boolean => {
  const [[name, values], [wideName, wideValues]] = [narrow, wide].map((each) => {
    const [first = '', ...rest] = each.split('=')
    return [first, rest.join('=').split(',')] as const
  }) as [readonly [string, string[]], readonly [string, string[]]]
  return name === wideName && values.every((value) => wideValues.includes(value))
}

/** All that the narrower one opens is opened by the wider one. */
export const opensAllOf = (wide: Extent, narrow: Extent): boolean =>
  wide.context === narrow.context &&
  (wide.type === '*' || wide.type === narrow.type) &&
  [...narrow.letters].every((letter) => wide.letters.includes(letter)) &&
  wide.restrictions.every((each) => narrow.restrictions.some((one) => isWithin(one, each)))

/** What of the granted is in nothing that was asked. Empty where nothing is too wide. */
export const beyond = (granted: string, asked: string): string[] => {
  const allowed = extentsOf(asked.split(' ').filter(extentOf).join(' '))
  return granted.split(' ').filter((each) => {
    const extent = extentOf(each)
    return extent && !allowed.some((wide) => opensAllOf(wide, extent))
  })
}
