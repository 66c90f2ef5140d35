/**
 * Batches and transactions: several requests in one Bundle (FHIR R4, "batch/transaction"). SMART App Launch 2.2 wants each
 * entry to be allowed by itself.
 *
 * Owns: reading the entries as requests, and the decision about each.
 * Does not own: carrying them out, or their order.
 */
import { type DecideOptions, type Decision, decide } from './access.ts'
import { type FhirRequest, parseRequest } from './request.ts'
import type { Reader } from './resource.ts'

export interface Batch {
  /** A transaction is carried out whole or not at all. */
  type: 'batch' | 'transaction'
  /** One for each entry, in order. What is not understood is `unknown`, which no token opens. */
  requests: FhirRequest[]
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null

/**
 * Reads the Bundle (parsed JSON) that was posted to the base; undefined if it is no batch or transaction. A conditional create
 * (`ifNoneExist`) is a search that tells what it finds, so it is not understood; nor is an address that is not relative to
 * the base or below it.
 */
export function parseBatch(bundle: unknown, { baseUrl }: { baseUrl: string }): Batch | undefined {
  if (!isObject(bundle) || bundle.resourceType !== 'Bundle') return undefined
  const { type, entry } = bundle
  if (type !== 'batch' && type !== 'transaction') return undefined
  if (entry !== undefined && !Array.isArray(entry)) return undefined
  return { type, requests: (entry ?? []).map((one: unknown) => requestOf(one, baseUrl.replace(/\/$/, ''))) }
}

/**
 * Decides about each entry, as `decide` does about one request. Of a transaction everything is refused where one entry is, with
 * that entry's refusal. Run each entry's `filter` over what it reads or writes, as ever.
 */
export function decideBatch(token: Reader, batch: Batch, options: DecideOptions = {}): Decision[] {
  const decisions = batch.requests.map((request) => decide(token, request, options))
  const refused = batch.type === 'transaction' ? decisions.find(({ allowed }) => !allowed) : undefined
  return refused ? decisions.map(() => refused) : decisions
}

function requestOf(entry: unknown, base: string): FhirRequest {
  const unknown: FhirRequest = { level: 'system', interaction: 'unknown', query: [] }
  const request = isObject(entry) ? entry.request : undefined
  if (!isObject(request) || typeof request.method !== 'string' || typeof request.url !== 'string') return unknown
  const { method, url, ifNoneExist } = request
  const isAbsolute = /^([a-z][a-z0-9+.-]*:|\/)/i.test(url)
  if (ifNoneExist !== undefined || (isAbsolute && !url.startsWith(`${base}/`))) return unknown
  return parseRequest({ method, url: isAbsolute ? url : `${base}/${url}`, baseUrl: base })
}
