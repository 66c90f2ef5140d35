/**
 * The self-test: looks at any SMART server from outside, as an app would, and says what it found (R40).
 *
 * Owns: the order of the checks, running those that are wished, what a check that cannot run is worth, leaving nothing behind.
 * Does not own: the checks (`*-checks.ts`), how a report looks (report.ts), when it runs by itself (ops/self-tests.ts). It knows
 * nothing of this server: what it finds out, anybody could.
 */
import { setTimeout as pause } from 'node:timers/promises'
import { createApp } from './app.ts'
import { authorizationChecks } from './authorization-checks.ts'
import { bindingChecks } from './binding-checks.ts'
import { type CapabilityFinding, judgeCapabilities } from './capabilities.ts'
import { type Check, failed, type Need, type Outcome, Skip, skipped, type Verdict } from './check.ts'
import { clientChecks } from './client-checks.ts'
import { codeChecks, scopeChecks } from './code-checks.ts'
import type { ClientCredentials } from './credentials.ts'
import { discoveryChecks } from './discovery-checks.ts'
import { textOf } from './documents.ts'
import { endpointChecks } from './endpoint-checks.ts'
import type { Examination } from './examination.ts'
import { fhirChecks } from './fhir-checks.ts'
import { createHidden } from './hidden.ts'
import { createHttp, type Http, type Limits, Unreachable } from './http.ts'
import { launchChecks } from './launch-checks.ts'
import { openidChecks } from './openid-checks.ts'
import { pageChecks } from './page-checks.ts'
import { refreshChecks } from './refresh-checks.ts'
import { createServerFacts, type ServerFacts } from './server.ts'
import { serviceChecks } from './service-checks.ts'
import { tlsChecks } from './tls-checks.ts'
import { tokenChecks } from './token-checks.ts'
import { createWalker, type Person, type Walker } from './walker.ts'

/** Every check, in the order in which it runs: what ends an authorization comes after what looks at it. */
export const groups: readonly { title: string; checks: readonly Check[] }[] = [
  { title: 'Discovery', checks: discoveryChecks },
  { title: 'OpenID Connect and keys', checks: openidChecks },
  { title: 'Transport', checks: tlsChecks },
  { title: 'FHIR server', checks: fhirChecks },
  { title: 'Authorization page', checks: pageChecks },
  { title: 'Endpoints, asked by nobody', checks: endpointChecks },
  { title: 'Authorization requests', checks: authorizationChecks },
  { title: 'Client authentication', checks: clientChecks },
  { title: 'Tokens', checks: tokenChecks },
  { title: 'Refresh and end', checks: refreshChecks },
  { title: 'Codes', checks: codeChecks },
  { title: 'Pushed requests and bound tokens', checks: bindingChecks },
  { title: 'Launch', checks: launchChecks },
  { title: 'Scopes and context', checks: scopeChecks },
  { title: 'Backend services', checks: serviceChecks },
]

export interface DoctorOptions {
  /** A FHIR base, or an issuer. */
  target: string
  /** The FHIR base, where the target is an issuer. */
  fhirBase?: string | undefined
  client?: ClientCredentials | undefined
  /** One that is registered for the client; default http://127.0.0.1:{port}/callback. */
  redirectUri?: string | undefined
  scope?: string | undefined
  /** A launch that an EHR or a portal made for the client and the member. */
  launch?: string | undefined
  member?: Person | undefined
  /** A patient whom the member may not see. */
  otherPatient?: string | undefined
  service?: { credentials: ClientCredentials; scope?: string | undefined } | undefined
  /** Ids, or the beginning of ids: `R6`, `smart.discovery`. */
  only?: readonly string[] | undefined
  limits?: Limits
  signal?: AbortSignal
  now?: () => number
  /** Goes the way through the server's pages instead of the walker: a person's browser. */
  openWalker?: ((http: Http) => Walker) | undefined
}

export interface Result {
  id: string
  group: string
  title: string
  outcome: Outcome
  expected: string
  seen: string
  hint: string
  section: string
}

export interface Report {
  v: 1
  target: string
  issuer: string | null
  startedAt: string
  finishedAt: string
  /** `unable`: the server could not be asked at all, or nothing could be looked at with what was given. */
  outcome: 'passed' | 'failed' | 'unable'
  /** Why it was unable. */
  reason: string | null
  counts: Record<Outcome, number>
  results: Result[]
  capabilities: CapabilityFinding[]
  /** Tokens that could not be revoked. */
  leftBehind: number
}

/** Does a check's id lie below one of the names? */
export const isWished = (id: string, only: readonly string[] | undefined): boolean =>
  only === undefined || only.some((name) => id === name || id.startsWith(`${name}.`))

const lacks: Record<Need, string> = {
  client: 'needs a client (--client-id)',
  member: 'needs a client and a test member (--client-id, --username)',
  service: 'needs a backend service (--service-client-id, --service-key)',
}

/** Looks at a server, and answers what was found. Never throws for anything that the server does. */
export const examine = async (options: DoctorOptions): Promise<Report> => {
  const { now = Date.now, client, member, service, openWalker } = options
  const startedAt = now()
  const hidden = createHidden()
  for (const secret of [client?.secret, client?.key?.d, service?.credentials.key?.d, member?.password, options.launch])
    hidden.add(secret)
  const http = createHttp({
    now,
    ...(options.limits ? { limits: options.limits } : {}),
    ...(options.signal ? { signal: options.signal } : {}),
  })
  const server = createServerFacts({ target: options.target, fhirBase: options.fhirBase, http })
  const redirectUri = options.redirectUri ?? 'http://127.0.0.1:8765/callback'
  const walker = client && (openWalker?.(http) ?? createWalker({ http, person: member, redirectUri }))
  const app = createApp({
    http,
    server,
    hidden,
    walker,
    client,
    redirectUri,
    scope: options.scope,
    launch: options.launch,
    now,
    member: member !== undefined,
    single: openWalker !== undefined,
  })
  const examination: Examination = {
    server,
    http,
    app,
    service: service && { credentials: service.credentials, scope: service.scope },
    otherPatient: options.otherPatient,
    now,
    pause: (millis) => pause(millis),
  }
  const has: Record<Need, boolean> = {
    client: client !== undefined,
    member: client !== undefined && (member !== undefined || openWalker !== undefined),
    service: service !== undefined,
  }

  const run = async (check: Check): Promise<Verdict> => {
    if (check.needs && !has[check.needs]) return skipped(lacks[check.needs])
    if (http.left() <= 0) return skipped('the time for all checks was up')
    try {
      return await check.run(examination)
    } catch (error) {
      if (error instanceof Skip) return skipped(error.message)
      if (error instanceof Unreachable) return http.left() > 0 ? failed(error.message) : skipped(error.message)
      return failed(`the check itself failed: ${error instanceof Error ? error.message : String(error)}`)
    }
  }

  const results: Result[] = []
  const reason = await reach(server, hidden.clean)
  if (reason === null)
    for (const { title: group, checks } of groups)
      for (const check of checks) {
        if (!isWished(check.id, options.only)) continue
        const { id, title, expected, hint, section } = check
        const { outcome, seen } = await run(check)
        results.push({ id, group, title, outcome, expected, seen: hidden.clean(seen), hint, section })
      }

  // Even where the time is up, what was obtained is given back.
  http.extend(Math.max(0, 15_000 - http.left()))
  const leftBehind = await app.cleanUp().catch(() => 0)
  const counts: Report['counts'] = { passed: 0, failed: 0, warned: 0, skipped: 0 }
  for (const { outcome } of results) counts[outcome]++
  const advertised = await server.capabilities().catch(() => [])
  const issuer =
    reason === null
      ? await server
          .smart()
          .then((document) => textOf(document, 'issuer'))
          .catch(() => undefined)
      : undefined
  return {
    v: 1,
    target: options.target,
    issuer: issuer === undefined ? null : hidden.clean(issuer),
    startedAt: new Date(startedAt).toISOString(),
    finishedAt: new Date(now()).toISOString(),
    outcome: reason !== null || counts.skipped === results.length ? 'unable' : counts.failed > 0 ? 'failed' : 'passed',
    reason,
    counts,
    results,
    capabilities: judgeCapabilities(advertised, results).map((each) => ({
      ...each,
      name: hidden.clean(each.name, 80),
    })),
    leftBehind,
  }
}

/** Why nobody answers at an address; null where somebody does, whatever they say. */
const reach = async (server: ServerFacts, clean: (text: string) => string): Promise<string | null> => {
  try {
    await server.smartAnswer()
    return null
  } catch (error) {
    // Who listens and does not answer well is judged by the checks.
    if (error instanceof Unreachable)
      return /nobody listens|name is unknown|looked up|bad port/.test(error.message) ? clean(error.message) : null
    return clean(error instanceof Error ? error.message : String(error))
  }
}
