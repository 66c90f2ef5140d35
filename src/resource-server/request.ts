/**
 * What a FHIR request asks for (FHIR R4, "RESTful API").
 *
 * Owns: reading method, path and parameters into an interaction. What is not understood is `unknown`, never a guess.
 * Does not own: whether it is allowed (access.ts).
 */
import { resourceTypes } from '../smart/resource-types.ts'

export interface RequestInput {
  method: string
  /** As on the request line: path and query (an absolute URL is fine too). */
  url: string
  /** The FHIR base: absolute URL, or its path. */
  baseUrl: string
  /** Form body of `POST [type]/_search`, raw or parsed. Without it such a search is not understood. */
  body?: unknown
}

export type Interaction =
  | 'read'
  | 'vread'
  | 'history'
  | 'search'
  | 'create'
  | 'update'
  | 'patch'
  | 'delete'
  | 'operation'
  | 'capabilities'
  /** A batch or transaction: POST of a Bundle to the base, which `parseBatch` reads; `decide` refuses it. */
  | 'batch'
  /** Nothing that this library knows; `decide` refuses it. */
  | 'unknown'

export interface FhirRequest {
  level: 'system' | 'type' | 'instance'
  interaction: Interaction
  /** Resource type: of a compartment search, the type searched for. */
  resource?: string
  id?: string
  versionId?: string
  /** With its dollar: `$everything`. */
  operation?: string
  /** `Patient/maria/Observation` is a search within this compartment. */
  compartment?: { resource: string; id: string }
  /** Search and operation parameters, of the URL and of a form body, decoded, in order. */
  query: Parameter[]
}

export type Parameter = [name: string, value: string]

/** FHIR R4 `id`, without the two that walk through paths. */
export function isFhirId(text: string): boolean {
  return /^[A-Za-z0-9.-]{1,64}$/.test(text) && text !== '.' && text !== '..'
}

export function parseRequest(input: RequestInput): FhirRequest {
  const at = input.url.indexOf('?')
  const path = at < 0 ? input.url : input.url.slice(0, at)
  const search = at < 0 ? '' : input.url.slice(at + 1)
  const query: Parameter[] = [...new URLSearchParams(search.replace(/#.*$/, ''))]
  const segments = segmentsBelow(pathOf(input.baseUrl), pathOf(path))
  const method = input.method.toUpperCase() === 'HEAD' ? 'GET' : input.method.toUpperCase()
  return (segments && read(method, segments, query, input.body)) ?? { level: 'system', interaction: 'unknown', query }
}

/** The path as sent: nothing is resolved, so that `..` cannot mean one thing here and another to the server. */
function pathOf(url: string): string {
  return url.replace(/^[a-z][a-z0-9+.-]*:\/\/[^/?#]*/i, '').replace(/[?#].*$/, '')
}

function segmentsBelow(base: string, path: string): string[] | undefined {
  const root = base.replace(/\/$/, '')
  if (path !== root && !path.startsWith(`${root}/`)) return undefined
  const rest = path.slice(root.length).replace(/^\//, '').replace(/\/$/, '')
  if (rest === '') return []
  try {
    return rest.split('/').map(decodeURIComponent)
  } catch {
    return undefined
  }
}

const writes: Record<string, Interaction> = { PUT: 'update', PATCH: 'patch', DELETE: 'delete' }

function read(method: string, segments: string[], query: Parameter[], body: unknown): FhirRequest | undefined {
  const [first, second, third, fourth] = segments
  if (first === undefined || !resourceTypes.has(first)) return readSystem(method, segments, query)
  const resource = first
  if (second === undefined) {
    if (method === 'GET') return { level: 'type', interaction: 'search', resource, query }
    // A conditional update or delete names no instance: it is not understood here.
    return method === 'POST' ? { level: 'type', interaction: 'create', resource, query } : undefined
  }
  if (third === undefined && second === '_search') {
    const form = method === 'POST' ? formParameters(body) : undefined
    return form && { level: 'type', interaction: 'search', resource, query: [...query, ...form] }
  }
  if (third === undefined && second === '_history') {
    return method === 'GET' ? { level: 'type', interaction: 'history', resource, query } : undefined
  }
  if (third === undefined && second.startsWith('$')) {
    return { level: 'type', interaction: 'operation', resource, operation: second, query }
  }
  if (!isFhirId(second)) return undefined
  const instance = { level: 'instance', resource, id: second, query } as const
  if (third === undefined) {
    const interaction = method === 'GET' ? 'read' : writes[method]
    return interaction && { ...instance, interaction }
  }
  if (third.startsWith('$') && fourth === undefined) return { ...instance, interaction: 'operation', operation: third }
  if (third === '_history' && method === 'GET' && segments.length <= 4) {
    if (fourth === undefined) return { ...instance, interaction: 'history' }
    return isFhirId(fourth) ? { ...instance, interaction: 'vread', versionId: fourth } : undefined
  }
  return readCompartmentSearch(method, segments, query, body)
}

function readSystem(method: string, segments: string[], query: Parameter[]): FhirRequest | undefined {
  const [first] = segments
  const system = { level: 'system', query } as const
  if (segments.length > 1) return undefined
  if (first === undefined && method === 'POST') return { ...system, interaction: 'batch' }
  if (first === 'metadata' && method === 'GET') return { ...system, interaction: 'capabilities' }
  if (first?.startsWith('$')) return { ...system, interaction: 'operation', operation: first }
  if (method !== 'GET') return undefined
  if (first === undefined) return { ...system, interaction: 'search' }
  return first === '_history' ? { ...system, interaction: 'history' } : undefined
}

function readCompartmentSearch(
  method: string,
  [owner = '', id = '', resource = '', last, ...rest]: string[],
  query: Parameter[],
  body: unknown,
): FhirRequest | undefined {
  if (!resourceTypes.has(resource) || rest.length > 0) return undefined
  const form = method === 'POST' && last === '_search' ? formParameters(body) : undefined
  const parameters = form ?? (method === 'GET' && last === undefined ? [] : undefined)
  if (!parameters) return undefined
  const compartment = { resource: owner, id }
  return { level: 'type', interaction: 'search', resource, compartment, query: [...query, ...parameters] }
}

/** The parameters of a form, as text or as the usual parsers leave it; undefined if it is neither. */
function formParameters(body: unknown): Parameter[] | undefined {
  if (typeof body === 'string' || body instanceof URLSearchParams) return [...new URLSearchParams(body)]
  if (typeof body !== 'object' || body === null || Array.isArray(body)) return undefined
  const pairs = Object.entries(body).flatMap(([name, value]) =>
    (Array.isArray(value) ? value : [value]).map((one: unknown): [string, unknown] => [name, one]),
  )
  return pairs.every((pair): pair is Parameter => typeof pair[1] === 'string') ? pairs : undefined
}
