/**
 * The sandbox's FHIR server: reading, searching and `$everything` over synthetic people, and batches of these.
 *
 * Owns: the answers of a small FHIR R4 server, JSON only, errors included, for requests below its base.
 * Does not own: who may see what. It asks `latchkey/resource-server` as any FHIR server would, verifies tokens with the
 * issuer's published keys, and knows nothing else of the issuer.
 * Hands to: ../routes.ts, which puts it on the wire.
 */
import type { Api } from '../../config/settings.ts'
import type { Log } from '../../log.ts'
import {
  AccessError,
  createVerifier,
  type Decision,
  decide,
  decideBatch,
  type FhirRequest,
  operationOutcome,
  parseRequest,
  type SensitivityOptions,
  type VerifiedToken,
} from '../../resource-server/index.ts'
import type { Resource } from '../people/index.ts'
import { readBatch, sendBatch } from './batch.ts'
import { isSummary, readPaging, searchSet } from './bundle.ts'
import { capabilityStatement, type IssuerEndpoints } from './capabilities.ts'
import { readCriteria } from './criteria.ts'
import { everything } from './everything.ts'
import { checkFormat } from './format.ts'
import { readIncludes } from './includes.ts'
import { FhirProblem, outcome } from './outcome.ts'
import { searchableTypes } from './parameters.ts'
import { createStore } from './store.ts'
import { summarize } from './summary.ts'

export interface SandboxFhirOptions {
  /** As in the tokens' `iss`. */
  issuer: string
  jwksUri: string
  api: Pick<Api, 'name' | 'baseUrl' | 'resources' | 'tokenProfile'>
  /** For the CapabilityStatement. */
  endpoints: IssuerEndpoints
  people: readonly Resource[]
  /** What members of the plan can release, and the labels of such records (R25). */
  sensitiveCategories: SensitivityOptions['sensitiveCategories']
  /** The credential with which it follows the issuer's revocation feed; without one it honours tokens as long as they live. */
  follower?: { clientId: string; clientSecret: string; url: string } | undefined
  log: Pick<Log, 'error' | 'warn'>
  now?: () => number
  fetch?: typeof fetch
}

export interface FhirInput {
  method: string
  /** The base by which it came, where that is an alias. */
  base?: string
  /** Path and query as sent, below the base: `/Patient/maria?_pretty=true`. */
  url: string
  /** Names in lower case. */
  headers: Readonly<Record<string, string | undefined>>
  /** Of a POST. */
  body?: string
}

export interface FhirAnswer {
  status: number
  headers: Record<string, string>
  /** JSON, or null for none. */
  body: string | null
}

/** An answer before it is written. */
export interface Answered {
  body: object | null
  status?: number
  headers?: Record<string, string>
}

export interface SandboxFhir {
  /** Answers one request. Never throws. */
  handle(input: FhirInput): Promise<FhirAnswer>
  close(): void
}

const defaultPage = 50
const everythingPage = 100
const allowed = { Allow: 'GET, HEAD, OPTIONS' }

/** Any origin may ask: what comes is synthetic, and opens to a token only. */
const cors = {
  'Access-Control-Allow-Origin': '*',
  'Access-Control-Expose-Headers': 'ETag, Last-Modified, Location, Retry-After, WWW-Authenticate',
}
const preflight = {
  ...cors,
  'Access-Control-Allow-Methods': 'GET, HEAD, POST, OPTIONS',
  'Access-Control-Allow-Headers': 'Accept, Authorization, Content-Type, DPoP, If-None-Match, Prefer',
  'Access-Control-Max-Age': '600',
}

/** A FHIR server over `people`, for the tokens of one issuer. */
export const createSandboxFhir = (options: SandboxFhirOptions): SandboxFhir => {
  const { api, log } = options
  const { baseUrl } = api
  const types = api.resources.filter((type) => searchableTypes.includes(type))
  // What the API does not have is nowhere: a wildcard would open it in what a search or `$everything` brings along.
  const store = createStore(options.people.filter(({ resourceType }) => types.includes(resourceType)))
  const verifier = createVerifier({
    issuer: options.issuer,
    audience: baseUrl,
    jwksUri: options.jwksUri,
    algorithms: [api.tokenProfile.algorithm],
    typ: [api.tokenProfile.typ],
    dpop: 'accepted',
    now: options.now,
    fetch: options.fetch,
    revocations: options.follower && {
      ...options.follower,
      onProblem: (problem) => log.warn({ problem, api: api.name }, 'the sandbox does not hear the revocation feed'),
    },
  })
  const limits = { baseUrl, sensitiveCategories: options.sensitiveCategories }
  const capabilities = () =>
    capabilityStatement({ baseUrl, name: api.name, endpoints: options.endpoints, types, store })

  const answer = async (input: FhirInput, request: FhirRequest): Promise<Answered> => {
    checkFormat(request.query, input.headers.accept)
    if (request.interaction === 'capabilities') {
      return { body: capabilities(), headers: { 'Cache-Control': 'public, max-age=300' } }
    }
    const token = await verifier.authenticate(input.headers.authorization, {
      proof: input.headers.dpop,
      method: input.method,
      url: `${input.base ?? baseUrl}${input.url}`,
    })
    if (request.interaction === 'batch') return answerBatch(input, token)
    checkKind(input.method, request, types)
    return carryOut(input.headers, request, decide(token, request, limits))
  }

  const answerBatch = (input: FhirInput, token: VerifiedToken): Answered => {
    const batch = readBatch(input.body ?? '', baseUrl)
    const decisions = decideBatch(token, batch, limits)
    const carried = batch.requests.map((request, at) => {
      try {
        checkKind('GET', request, types)
        return carryOut({}, request, decisions[at])
      } catch (error) {
        // A transaction is answered whole or not at all.
        if (batch.type === 'transaction') throw error
        return problemOf(error)
      }
    })
    return sendBatch(batch, carried)
  }

  const carryOut = (headers: FhirInput['headers'], request: FhirRequest, decision: Decision | undefined): Answered => {
    if (request.interaction === 'capabilities') return { body: capabilities() }
    if (!decision?.allowed) throw decision?.error

    const { resource: type = '', id = '' } = request
    if (request.interaction === 'read') {
      const found = store.read(type, id)
      // One answer for what is not there, what is somebody else's and what is withheld.
      if (found === undefined || !decision.filter(found))
        throw new FhirProblem(404, 'not-found', `There is no ${type}/${id} for this token.`)
      return readAnswer(found, request, headers['if-none-match'])
    }
    if (request.interaction === 'operation') {
      const paging = readPaging(request.query, everythingPage)
      return {
        body: everything({ store, baseUrl, patient: id, query: request.query, paging, filter: decision.filter, types }),
      }
    }
    const paging = readPaging(request.query, defaultPage)
    const strict = /(^|[;,\s])handling=strict\b/.test(headers.prefer ?? '')
    const criteria = readCriteria(type, request.query, { strict, baseUrl })
    const found = store.list(type).filter((resource) => decision.filter(resource) && criteria.test(resource))
    const { understood, alongside } = readIncludes(type, request.query, { store, filter: decision.filter })
    return {
      body: searchSet({
        baseUrl,
        path: type,
        understood: [...criteria.understood, ...understood],
        paging,
        found,
        alongside,
      }),
    }
  }

  const problemOf = (error: unknown): Answered => {
    if (error instanceof AccessError) {
      if (error.status === 503) log.warn({ err: error }, 'the sandbox cannot verify access tokens')
      return { status: error.status, headers: error.headers, body: operationOutcome(error) }
    }
    if (error instanceof FhirProblem) {
      return { status: error.status, headers: error.headers, body: outcome(error.code, error.message) }
    }
    log.error({ err: error }, 'the sandbox failed on a request')
    return { status: 500, body: outcome('exception', 'The sandbox failed. Please try again.') }
  }

  const handle = async (input: FhirInput): Promise<FhirAnswer> => {
    if (input.method === 'OPTIONS')
      return { status: 204, headers: { ...preflight, Allow: 'GET, HEAD, POST, OPTIONS' }, body: null }
    const request = parseRequest({ method: input.method, url: `${baseUrl}${input.url}`, baseUrl, body: input.body })
    const pretty = request.query.some(([name, value]) => name === '_pretty' && value === 'true')
    const send = ({ status = 200, headers = {}, body }: Answered): FhirAnswer => ({
      status,
      headers: {
        'Cache-Control': 'no-store',
        'Content-Type': 'application/fhir+json; charset=utf-8',
        ...cors,
        ...headers,
      },
      body: body === null ? null : JSON.stringify(body, null, pretty ? 2 : undefined),
    })
    return send(await answer(input, request).catch(problemOf))
  }
  return { handle, close: verifier.close }
}

/** Requests that no token would open here, because the sandbox only reads. */
const checkKind = (method: string, request: FhirRequest, types: readonly string[]): void => {
  const { interaction, resource } = request
  const writing = ['create', 'update', 'patch', 'delete'].includes(interaction)
  const reads = method === 'GET' || method === 'HEAD'
  if (writing || (!reads && (interaction === 'unknown' || interaction === 'operation'))) {
    throw new FhirProblem(
      405,
      'not-supported',
      'The sandbox can be read only: GET, POST of a form to [type]/_search, or a batch of reads.',
      allowed,
    )
  }
  if (interaction === 'unknown' || (resource !== undefined && !types.includes(resource))) {
    throw new FhirProblem(
      404,
      'not-found',
      `This is not an address of the sandbox. It has ${types.join(', ')}, and /metadata.`,
    )
  }
  if (interaction === 'vread' || interaction === 'history') {
    throw new FhirProblem(501, 'not-supported', 'The sandbox keeps no history. Read the resource itself.')
  }
}

const readAnswer = (found: Resource, request: FhirRequest, known: string | undefined) => {
  const etag = `W/"${found.meta.versionId}"`
  const headers = { ETag: etag, 'Last-Modified': new Date(found.meta.lastUpdated).toUTCString() }
  if (known?.split(',').some((tag) => tag.trim() === etag)) return { status: 304, headers, body: null }
  const summary = request.query.find(([name]) => name === '_summary')?.[1] ?? 'false'
  if (!isSummary(summary) || summary === 'count') {
    throw new FhirProblem(400, 'value', '_summary of one resource must be true, text, data or false.')
  }
  return { headers, body: summarize(found, summary) }
}
