/**
 * Reads a JSON object and refuses one in which a member occurs twice: parsers differ on which of the two counts
 * (RFC 7515 section 4 and RFC 7519 section 4 allow a reader to insist on unique names).
 * Returns undefined for anything but a JSON object with unique members.
 */
export function parseUniqueObject(text: string): Record<string, unknown> | undefined {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return undefined
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined
  return repeatsMember(text) ? undefined : (value as Record<string, unknown>)
}

/** Strings and the punctuation that matters; `text` is valid JSON already, so nothing else needs to be understood. */
const lexeme = /"(?:[^"\\]|\\.)*"|[{}[\]:,]/g

function repeatsMember(text: string): boolean {
  const open: (Set<string> | undefined)[] = []
  let last = ''
  for (const [found] of text.matchAll(lexeme)) {
    if (found === '{') open.push(new Set())
    else if (found === '[') open.push(undefined)
    else if (found === '}' || found === ']') open.pop()
    else if (found === ':') {
      const members = open.at(-1)
      const name = String(JSON.parse(last))
      if (members?.has(name)) return true
      members?.add(name)
    }
    last = found
  }
  return false
}
