/** Reading JSON of which nothing may be taken for granted. */
import type { Answer } from './http.ts'

export type Json = Record<string, unknown>

export const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** A member that is text. */
export const textOf = (document: Json, name: string): string | undefined => {
  const value = document[name]
  return typeof value === 'string' ? value : undefined
}

/** A member that is a list of texts; undefined where it is missing or anything else. */
export const textsOf = (document: Json, name: string): string[] | undefined => {
  const value = document[name]
  return Array.isArray(value) && value.every((each) => typeof each === 'string') ? value : undefined
}

export const trimmed = (url: string): string => url.replace(/\/+$/, '')

const loopback = new Set(['localhost', '127.0.0.1', '[::1]'])

/** On this machine nobody listens in between. */
export const isLoopback = (url: URL): boolean => loopback.has(url.hostname)

/** May credentials and tokens travel there? */
export const isSafe = (address: string): boolean => {
  const url = URL.parse(address)
  return url !== null && (url.protocol === 'https:' || (url.protocol === 'http:' && isLoopback(url)))
}

/** An answer in a few words: status, type, and what an error says. */
export const seenIn = ({ status, headers, json, text }: Answer): string => {
  const type = headers.get('content-type')?.split(';')[0] ?? 'no type'
  const where = headers.get('location')
  if (where !== null && status >= 300 && status < 400) {
    const target = URL.parse(where)
    // Its query may carry a code.
    return `${status} to ${target ? target.origin + target.pathname : where.split('?')[0]}`
  }
  if (isObject(json) && typeof json.error === 'string') {
    const description = textOf(json, 'error_description')
    return `${status} ${json.error}${description ? ` (${description})` : ''}`
  }
  return `${status} ${type}${text === '' ? ', nothing in it' : ''}`
}

/** Does an answer let any page of the web read it? */
export const isOpen = ({ headers }: Answer, origin: string): boolean =>
  ['*', origin].includes(headers.get('access-control-allow-origin') ?? '')

export const isKept = ({ headers }: Answer): boolean => !/no-store/i.test(headers.get('cache-control') ?? '')
