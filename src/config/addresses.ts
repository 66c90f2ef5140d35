/**
 * Who answers where: every address of every issuer, and the rule that no two overlap (R41). Without it an alias of one
 * plan could shadow another plan's endpoint, and an authorization code would reach the wrong issuer.
 */
import type { Fault } from '../errors.ts'
import type { Environment, Settings } from './settings.ts'
import { pathOf } from './urls.ts'

/** First segments of the server's own pages; no plan has such a name. */
export const RESERVED_NAMES: readonly string[] = [
  'portal',
  'staff',
  'assets',
  'healthz',
  'readyz',
  'metrics',
  'interaction',
]

/** First segments of an issuer's own pages; no endpoint of it lies there. */
const ISSUER_PAGES: readonly string[] = [
  '.well-known',
  'interaction',
  'sign-in',
  'sign-out',
  'connections',
  'demo',
  'letters',
  'launcher',
  'styles',
  'assets',
]

/** The path of the page on which members see and end what they share at an issuer. */
export const managementPath = (environment: Environment): string => `${pathOf(environment.issuer)}/connections`

/** Its address. */
export const managementUrl = (environment: Environment): string =>
  new URL(managementPath(environment), environment.issuer).href

/** One address that an issuer answers: exactly this path, or everything below it too. */
interface Claim {
  environment: Environment
  host: string
  path: string
  extent: 'page' | 'everything below'
  /** What it is, for messages: `token endpoint`. */
  role: string
  /** The option that says so. */
  option: string
}

/** The option path of an environment. */
export function optionOf(environment: Environment): string {
  const [plan, name] = environment.id.split('/')
  return `plans.${plan}.environments.${name}`
}

/** Is a path the same as another, or below it by whole segments? */
function below(path: string, outer: string): boolean {
  return path === outer || path.startsWith(`${outer}/`)
}

function claimsOf(environment: Environment): Claim[] {
  const option = optionOf(environment)
  const { host } = new URL(environment.issuer)
  const issuer: Claim = {
    environment,
    host,
    path: pathOf(environment.issuer),
    extent: 'everything below',
    role: 'issuer',
    option: `${option}.url`,
  }
  const endpoints = Object.entries(environment.endpoints).flatMap(([name, { path, aliases }]) =>
    [path, ...aliases].map(
      (each): Claim => ({
        environment,
        host,
        path: each,
        // Below it each registration has an address of its own (RFC 7592).
        extent: name === 'registration' ? 'everything below' : 'page',
        role: `${name} endpoint`,
        option: `${option}.endpoints.${name}`,
      }),
    ),
  )
  const apis = environment.apis
    .filter((api) => api.sandbox)
    .map(
      (api): Claim => ({
        environment,
        host,
        path: pathOf(api.baseUrl),
        extent: 'everything below',
        role: 'sandbox API',
        option: `${option}.apis.${api.id}.baseUrl`,
      }),
    )
  return [issuer, ...endpoints, ...apis]
}

/** Do two claims fight for a request? */
function overlap(a: Claim, b: Claim): boolean {
  if (a.host !== b.host) return false
  const reach = (inner: Claim, outer: Claim) =>
    outer.extent === 'page' ? inner.path === outer.path : below(inner.path, outer.path)
  if (a.environment !== b.environment) return reach(a, b) || reach(b, a)
  // An issuer's own pages lie below it; only its very address, or an API around it, is in their way.
  if (a.role === 'issuer') return below(a.path, b.path)
  if (b.role === 'issuer') return below(b.path, a.path)
  return reach(a, b) || reach(b, a)
}

/** Faults of addresses that overlap each other or the server's own pages. */
export function addressFaults(settings: Settings): Fault[] {
  const environments = settings.plans.flatMap((plan) => plan.environments)
  const claims = environments.flatMap(claimsOf)
  const faults: Fault[] = []
  /** Issuers that stand in a wrong place: what lies below them follows them out of it. */
  const misplaced = new Set(environments.filter((environment) => RESERVED_NAMES.includes(environment.plan.id)))
  claims.forEach((claim, index) => {
    if (misplaced.has(claim.environment) && below(claim.path, pathOf(claim.environment.issuer))) return
    const other = claims.slice(0, index).find((earlier) => overlap(claim, earlier))
    const message = other ? overlapMessage(claim, other) : ownPageMessage(claim, settings.publicUrl)
    if (message === null) return
    faults.push({ path: claim.option, message })
    if (claim.role === 'issuer') misplaced.add(claim.environment)
  })
  return faults
}

function overlapMessage(claim: Claim, other: Claim): string {
  if (claim.role === 'issuer' && other.role === 'issuer' && claim.path === other.path) {
    return `is the same address as issuer ${other.environment.id}; two issuers must have two addresses`
  }
  const owner = claim.environment === other.environment ? 'this issuer' : `issuer ${other.environment.id}`
  return `${claim.path || '/'} overlaps ${other.path || '/'}, the ${other.role} of ${owner} (${other.option}); choose a path of its own`
}

function ownPageMessage(claim: Claim, publicUrl: string): string | null {
  const issuer = pathOf(claim.environment.issuer)
  const pages = [
    ...(claim.host === new URL(publicUrl).host ? RESERVED_NAMES.map((name) => `/${name}`) : []),
    '/.well-known',
    ...(claim.role === 'issuer' ? [] : ISSUER_PAGES.map((name) => `${issuer}/${name}`)),
  ]
  const page = pages.find((each) => below(claim.path, each))
  return page ? `${claim.path} lies in ${page}, where Latchkey has pages of its own` : null
}
