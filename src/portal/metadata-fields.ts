/** Reading the members of a JSON object that anybody may have sent, one by one, and gathering what is wrong with them. Pure. */
import type { Fault } from '../errors.ts'

/** What is wrong with a text, or null. */
type Rule = (text: string) => string | null

interface TextOptions {
  /** Default 2000 characters. */
  max?: number
  /** Without control characters. */
  line?: boolean
  rule?: Rule
}

export interface Fields {
  readonly faults: Fault[]
  fault(path: string, message: string): void
  /** Was a fault of this member found? */
  faulty(name: string): boolean
  has(name: string): boolean
  value(name: string): unknown
  text(name: string, options?: TextOptions): string | undefined
  /** A list of texts; one that stands in it twice is a fault. */
  list(name: string, options: { max: number; rule?: Rule }): string[] | undefined
  flag(name: string): boolean | undefined
  oneOf(name: string, accepted: readonly string[]): string | undefined
}

const longest = 2000

/** The fields of an object; null is as good as nothing (RFC 7592 section 2.2). What has a fault is answered as undefined. */
export function createFields(given: unknown): Fields {
  const faults: Fault[] = []
  const members: Record<string, unknown> =
    typeof given === 'object' && given !== null && !Array.isArray(given) ? (given as Record<string, unknown>) : {}
  const fault = (path: string, message: string): void => {
    faults.push({ path, message })
  }
  const value = (name: string): unknown => (Object.hasOwn(members, name) ? (members[name] ?? undefined) : undefined)

  const textAt = (path: string, text: unknown, { max = longest, line = false, rule }: TextOptions) => {
    if (typeof text !== 'string') return void fault(path, 'must be text')
    if (text.length > max) return void fault(path, `must have at most ${max} characters`)
    if (line && (text === '' || /[\p{Cc}\p{Zl}\p{Zp}]/u.test(text))) return void fault(path, 'must be one line of text')
    const message = rule?.(text) ?? null
    return message === null ? text : void fault(path, message)
  }

  return {
    faults,
    fault,
    value,
    faulty: (name) => faults.some(({ path }) => path === name || path.startsWith(`${name}.`)),
    has: (name) => value(name) !== undefined,

    text(name, options = {}) {
      const text = value(name)
      return text === undefined ? undefined : textAt(name, text, options)
    },

    list(name, { max, rule }) {
      const list = value(name)
      if (list === undefined) return undefined
      if (!Array.isArray(list) || list.length > max) return void fault(name, `must be a list of at most ${max} texts`)
      const texts = list.map((each: unknown, index) => {
        if (list.indexOf(each) < index) return void fault(`${name}.${index}`, 'is listed twice')
        return textAt(`${name}.${index}`, each, rule ? { rule } : {})
      })
      return texts.filter((text) => text !== undefined)
    },

    flag(name) {
      const flag = value(name)
      if (flag === undefined || typeof flag === 'boolean') return flag
      return void fault(name, 'must be true or false')
    },

    oneOf(name, accepted) {
      const text = value(name)
      if (text === undefined || accepted.some((each) => each === text)) return text as string | undefined
      return void fault(name, `must be one of ${accepted.join(', ')}`)
    },
  }
}
