/**
 * How large an access token may become: 3 KB, whatever the member ticks. It travels in a header of every request, and
 * proxies and servers refuse large ones. Pure.
 *
 * Owns: the length of the longest token that scopes can lead to, and saying the same scopes in fewer words where they need it.
 * Does not own: what goes into a token (oidc/token-response).
 */
import { briefly, choicesOf, longestWords } from './choices.ts'
import { parseScopes, type ResourceScope, type Scope, scopeText, spellScope } from './scope.ts'
import { covers, expand } from './scope-set.ts'

export const longestToken = 3072
/** Anybody can ask for scopes, and what is restricted is compared with each other, value by value: hostile input stays cheap. */
const mostRestricted = 100
const mostValues = 200

/** What of an issuer, its API and an app stands in each of their tokens. */
export interface TokenFrame {
  issuer: string
  clientId: string
  api: {
    baseUrl: string
    resources: readonly string[]
    tokenProfile: {
      algorithm: 'ES256' | 'RS256'
      typ: string
      scopeClaim: string
      scopeFormat: 'string' | 'array'
      patientAliases: readonly string[]
      clientIdAliases: readonly string[]
      claims: Record<string, string | readonly string[]>
    }
  }
  /** The codes of all sensitive categories that could be released. */
  sensitivities: readonly string[]
  /** What is said of where the app was launched; left out where it was not. */
  context?: Record<string, unknown>
  /** The patient's id where it is known already; else the longest is thought of. */
  patient?: string | undefined
  /** Is it bound to a key (RFC 9449)? */
  isBound?: boolean
}

/** FHIR's longest id. */
const id = 'i'.repeat(64)
/** As long as the engine's random ids, and its keys' thumbprints. */
const random = 'r'.repeat(43)
const uuid = 'u'.repeat(36)
const signatures = { ES256: 86, RS256: 342 }

const encoded = (value: unknown): number => Math.ceil((new TextEncoder().encode(JSON.stringify(value)).length * 4) / 3)

/** The length of the longest token with exactly these scopes: of a practitioner, with the longest ids, everything sensitive released. */
export const tokenLength = (scope: string, frame: TokenFrame): number => {
  const { issuer, api, clientId, sensitivities, context, patient = id, isBound } = frame
  const { algorithm, typ, scopeClaim, scopeFormat, patientAliases, clientIdAliases, claims } = api.tokenProfile
  const payload = {
    ...claims,
    ...Object.fromEntries(clientIdAliases.map((name) => [name, clientId])),
    ...Object.fromEntries([...patientAliases, 'patient', 'patient_id'].map((name) => [name, patient])),
    fhirUser: `${api.baseUrl}/PractitionerRole/${id}`,
    ...context,
    grant_id: random,
    grant_revision: 999,
    ...(sensitivities.length > 0 ? { sensitivities } : {}),
    jti: random,
    sub: uuid,
    iat: 1_000_000_000,
    exp: 1_000_000_000,
    client_id: clientId,
    iss: issuer,
    aud: api.baseUrl,
    ...(isBound ? { cnf: { jkt: random } } : {}),
    [scopeClaim]: scopeFormat === 'array' ? scope.split(' ') : scope,
  }
  return encoded({ alg: algorithm, typ, kid: random }) + encoded(payload) + signatures[algorithm] + 2
}

/** The length of the longest token that can come of these scopes, whatever is unticked; no longer is it worked out than is `enough`. */
export const longestTokenOf = (scopes: readonly Scope[], frame: TokenFrame, enough?: number): number => {
  const plain = scopes.filter(({ kind }) => kind === 'plain')
  return tokenLength(scopeText([...plain, ...longestWords(choicesOf(scopes, frame.api.resources), enough)]), frame)
}

/** Without the scopes that the others cover anyway. */
const needed = (scopes: readonly Scope[]): Scope[] =>
  scopes.reduceRight<Scope[]>(
    (left, scope) => {
      const rest = left.filter((other) => other !== scope)
      return covers(rest, scope) ? rest : left
    },
    [...scopes],
  )

/**
 * Without the `user/` scopes that `patient/` ones say as well, and then the other way round: both open the patient in context, and
 * nothing else.
 */
const saidOnce = (scopes: readonly Scope[]): Scope[] =>
  (['user', 'patient'] as const).reduce<Scope[]>(
    (left, context) =>
      left.reduceRight<Scope[]>((kept, scope) => {
        if (scope.kind !== 'resource' || scope.context !== context) return kept
        const rest = kept.filter((other) => other !== scope)
        const twin = spellScope({ ...scope, context: context === 'user' ? 'patient' : 'user' })
        return covers(rest, twin) ? rest : kept
      }, left),
    [...scopes],
  )

const isRestricted = (scope: Scope): scope is ResourceScope => scope.kind === 'resource' && scope.query.length > 0

const valuesOf = ({ query }: ResourceScope): number =>
  query.reduce((sum, [, value]) => sum + value.split(',').length, 0)

/** The scopes as far as they can be compared with each other at no great cost: the first of those that are restricted. */
const comparable = (scopes: readonly Scope[], resources: readonly string[]): Scope[] => {
  let [restricted, values] = [0, 0]
  return scopes.filter((scope) => {
    if (!isRestricted(scope)) return true
    restricted += 1
    values += valuesOf(scope) * expand(scope, resources).length
    return restricted <= mostRestricted && values <= mostValues
  })
}

/** Are there so few restrictions that it costs little to compare them with others? */
export const isComparable = (scopes: readonly Scope[], resources: readonly string[]): boolean =>
  comparable(scopes, resources).length === scopes.length

/**
 * What an app may ask for: the scopes as they are where no choice of the member makes their token too large; else without
 * those that the others cover; else without those that say the same of the user as of the patient; undefined where even that is
 * too much.
 */
export const sparing = (scopes: readonly Scope[], frame: TokenFrame): Scope[] | undefined => {
  if (!isComparable(scopes, frame.api.resources)) return undefined
  const fits = (some: readonly Scope[]) => longestTokenOf(some, frame, longestToken) <= longestToken
  if (fits(scopes)) return [...scopes]
  const few = needed(scopes)
  if (fits(few)) return few
  const fewer = saidOnce(few)
  return fits(fewer) ? fewer : undefined
}

/**
 * A scope in words for which a token has room: as it is where that fits; else without what the rest of it covers; else with the
 * categories of a type in one, `?category=a,b`, and `.rs` for `.read`. It means the same in each case. Of what was asked as `sparing` said, every
 * choice fits. What else there is may not: a refresh that names hundreds of scopes, or restrictions of several decisions, each
 * with each. Then the last ones are left out.
 */
export const fitting = (scope: string, frame: TokenFrame): string => {
  const fits = (some: readonly Scope[]) => tokenLength(scopeText(some), frame) <= longestToken
  if (tokenLength(scope, frame) <= longestToken) return scope
  const few = needed(comparable(parseScopes(scope).scopes, frame.api.resources))
  const left = fits(few) ? few : briefly(few)
  while (!fits(left)) {
    const last = left.findLastIndex(({ kind }) => kind === 'resource')
    if (last < 0) break
    left.splice(last, 1)
  }
  return scopeText(left)
}
