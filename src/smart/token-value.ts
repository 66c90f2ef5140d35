/**
 * A value of a FHIR token search parameter: `code`, `system|code`, `|code` or `system|`, alternatives by comma
 * (FHIR R4, "Search", token). The same reading decides what a granular scope covers and which resources it opens.
 */

/** `undefined` means "any"; an empty system means "none". */
export interface TokenValue {
  system: string | undefined
  code: string | undefined
}

/** The alternatives of one parameter value. Empty alternatives are dropped: they match nothing. */
export function parseTokenValue(value: string): TokenValue[] {
  const values: TokenValue[] = []
  for (const alternative of splitUnescaped(value, ',')) {
    const [first = '', ...rest] = splitUnescaped(alternative, '|').map(withoutEscapes)
    const code = rest.join('|')
    if (rest.length === 0 && first !== '') values.push({ system: undefined, code: first })
    else if (first !== '' || code !== '') values.push({ system: first, code: code === '' ? undefined : code })
  }
  return values
}

/** True if everything that matches `narrow` also matches `wide`. */
export function tokenIncludes(wide: TokenValue, narrow: TokenValue): boolean {
  const systemFits = wide.system === undefined || wide.system === narrow.system
  const codeFits = wide.code === undefined || wide.code === narrow.code
  return systemFits && codeFits
}

/** What matches both; undefined if nothing can. */
export function tokenOverlap(one: TokenValue, other: TokenValue): TokenValue | undefined {
  const both = { system: one.system ?? other.system, code: one.code ?? other.code }
  return tokenIncludes(one, both) && tokenIncludes(other, both) ? both : undefined
}

export function spellTokenValue(values: readonly TokenValue[]): string {
  return values
    .map(({ system, code = '' }) =>
      system === undefined ? withEscapes(code) : `${withEscapes(system)}|${withEscapes(code)}`,
    )
    .join(',')
}

function splitUnescaped(text: string, separator: string): string[] {
  const parts = ['']
  for (let at = 0; at < text.length; at += 1) {
    const character = text.charAt(at)
    if (character === separator) parts.push('')
    else {
      const taken = character === '\\' ? text.slice(at, at + 2) : character
      parts[parts.length - 1] += taken
      at += taken.length - 1
    }
  }
  return parts
}

function withoutEscapes(text: string): string {
  return text.replace(/\\(.)/g, '$1')
}

function withEscapes(text: string): string {
  return text.replace(/[\\,|$]/g, '\\$&')
}
