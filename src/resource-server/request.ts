export interface RequestInput {
  method: string
  /** As on the request line: path and query (an absolute URL is fine too). */
  url: string
  /** The FHIR base: absolute URL, or its path. */
  baseUrl: string
  /** Parsed or raw form body; needed for `POST [type]/_search`, ignored otherwise. */
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
  | 'batch'
  /** Not a FHIR request that this release knows; `decide` refuses it. */
  | 'unknown'

/** What a FHIR request asks for. */
export interface FhirRequest {
  level: 'system' | 'type' | 'instance'
  interaction: Interaction
  /** Resource type: of a compartment search, the type searched for. */
  resource?: string
  id?: string
  versionId?: string
  /** With its dollar: `$everything`. */
  operation?: string
  /** `GET Patient/maria/Observation`: the patient's compartment. */
  compartment?: { resource: string; id: string }
  /** Search and operation parameters, of the URL and of a form body, decoded, in order. */
  query: [name: string, value: string][]
}

export function parseRequest(_input: RequestInput): FhirRequest {
  return { level: 'system', interaction: 'unknown', query: [] }
}
