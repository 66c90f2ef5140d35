/**
 * How large an access token may become: 3 KB, whatever the member ticks. It travels in a header of every request, and
 * proxies and servers refuse large ones. Pure.
 */
import type { Api } from '../config/settings.ts'
import type { Scope } from '../smart/scope.ts'
import { covers, expand } from '../smart/scope-set.ts'

export const longestToken = 3072

/** FHIR's longest id. */
const id = 'i'.repeat(64)
/** As long as the engine's random ids, and its keys' thumbprints. */
const random = 'r'.repeat(43)
const uuid = 'u'.repeat(36)
const signatures = { ES256: 86, RS256: 342 }

const encoded = (value: unknown): number => Math.ceil((Buffer.byteLength(JSON.stringify(value)) * 4) / 3)

/** The length of the longest token that can come of these scopes: of a delegate, with the longest ids, wildcards expanded. */
export const longestTokenOf = (
  scopes: readonly Scope[],
  of: { issuer: string; api: Api; clientId: string },
): number => {
  const { issuer, api, clientId } = of
  const { algorithm, typ, scopeClaim, scopeFormat, patientAliases, claims } = api.tokenProfile
  const texts = scopes.flatMap((scope) =>
    scope.kind === 'plain' ? scope.text : expand(scope, api.resources).map(({ text }) => text),
  )
  const payload = {
    ...claims,
    ...Object.fromEntries([...patientAliases, 'patient', 'patient_id'].map((name) => [name, id])),
    fhirUser: `${api.baseUrl}/RelatedPerson/${id}`,
    grant_id: random,
    jti: random,
    sub: uuid,
    iat: 1_000_000_000,
    exp: 1_000_000_000,
    client_id: clientId,
    iss: issuer,
    aud: api.baseUrl,
    [scopeClaim]: scopeFormat === 'array' ? texts : texts.join(' '),
  }
  return encoded({ alg: algorithm, typ, kid: random }) + encoded(payload) + signatures[algorithm] + 2
}

/**
 * The scopes as they are where their token is small enough; else without those that the others cover anyway; undefined
 * where even that is too much.
 */
export const sparing = (scopes: readonly Scope[], fits: (scopes: readonly Scope[]) => boolean): Scope[] | undefined => {
  if (fits(scopes)) return [...scopes]
  const needed = scopes.reduceRight<Scope[]>(
    (left, scope) => {
      const rest = left.filter((other) => other !== scope)
      return covers(rest, scope) ? rest : left
    },
    [...scopes],
  )
  return fits(needed) ? needed : undefined
}
