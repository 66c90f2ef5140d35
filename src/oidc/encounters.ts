/**
 * A patient's visits, for a member who is asked which of them an app is about (SMART `launch/encounter`, standalone).
 *
 * Owns: reading them at the API by a token that the issuer makes for itself, for a minute, and believing nothing but encounters of that
 * very patient. Does not own: the page (interactions/encounter), or when it is shown (policy.ts).
 * The FHIR server's address is the operator's own, so it needs no guarded fetch; its faults are ours (R43).
 */
import type { Api, Environment } from '../config/settings.ts'
import { Unavailable } from '../errors.ts'
import { randomToken } from '../secrets.ts'
import type { KeyRing } from './key-ring.ts'

export interface Encounter {
  /** The bare FHIR id. */
  id: string
  /** When it began, as FHIR writes it: a day or a moment, or less; null: it does not say. */
  start: string | null
  /** The code of its class, such as `AMB`. */
  kind: string | null
  /** What kind of visit, in the API's words. */
  type: string | null
  /** Who or where, in the API's words. */
  place: string | null
}

export interface Encounters {
  /** The latest first, fifty at the most. Throws Unavailable where the API does not answer, or not with a bundle. */
  of(api: Api, patient: string): Promise<Encounter[]>
}

const tokenSeconds = 60
const longestMillis = 5_000
const mostBytes = 1_048_576
const most = 50

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
const member = (value: unknown, name: string): unknown => (isObject(value) ? value[name] : undefined)
const first = (value: unknown): unknown => (Array.isArray(value) ? value[0] : undefined)
const said = (value: unknown): string | null =>
  typeof value === 'string' && value.trim() !== '' ? value.trim().slice(0, 200) : null

const fhirDate = /^\d{4}(?:-\d\d(?:-\d\d(?:T[\d:.]+(?:Z|[+-]\d\d:\d\d))?)?)?$/
const over = new Set(['cancelled', 'entered-in-error'])

/** An entry as an encounter of this patient; undefined for whatever else it is. */
const encounterOf = (resource: unknown, { baseUrl }: Api, patient: string): Encounter | undefined => {
  const id = member(resource, 'id')
  const subject = member(member(resource, 'subject'), 'reference')
  const theirs = [`Patient/${patient}`, `${baseUrl}/Patient/${patient}`]
  if (member(resource, 'resourceType') !== 'Encounter' || typeof id !== 'string' || typeof subject !== 'string') return
  if (!/^[A-Za-z0-9.-]{1,64}$/.test(id) || !theirs.includes(subject)) return undefined
  if (over.has(String(member(resource, 'status')))) return undefined
  const start = said(member(member(resource, 'period'), 'start'))
  const type = first(member(resource, 'type'))
  const location = member(first(member(resource, 'location')), 'location')
  return {
    id,
    start: start !== null && fhirDate.test(start) ? start : null,
    kind: said(member(member(resource, 'class'), 'code')),
    type: said(member(type, 'text')) ?? said(member(first(member(type, 'coding')), 'display')),
    place: said(member(member(resource, 'serviceProvider'), 'display')) ?? said(member(location, 'display')),
  }
}

const readBounded = async (response: Response): Promise<string> => {
  const reader = response.body?.getReader()
  const parts: Uint8Array[] = []
  let size = 0
  for (let part = await reader?.read(); part?.value; part = await reader?.read()) {
    size += part.value.length
    parts.push(part.value)
    if (size > mostBytes) {
      await reader?.cancel()
      throw new Error('the answer is too long')
    }
  }
  return Buffer.concat(parts).toString()
}

export const createEncounters = (deps: {
  environment: Environment
  keyRing: Pick<KeyRing, 'of'>
  now: () => number
}): Encounters => {
  const { environment, keyRing, now } = deps

  /** As a backend service's, with the issuer as the service: whatever verifies our tokens knows it. */
  const tokenFor = async ({ baseUrl, tokenProfile }: Api): Promise<string> => {
    const signer = keyRing.of(environment.id).signers.find(({ algorithm }) => algorithm === tokenProfile.algorithm)
    if (!signer) throw new Unavailable(`no key signs ${tokenProfile.algorithm}`)
    const iat = Math.floor(now() / 1000)
    const scope = 'system/Encounter.rs'
    const parts = [
      { alg: signer.algorithm, typ: tokenProfile.typ, kid: signer.kid },
      {
        ...tokenProfile.claims,
        iss: environment.issuer,
        aud: baseUrl,
        sub: environment.issuer,
        client_id: environment.issuer,
        iat,
        exp: iat + tokenSeconds,
        jti: randomToken(16),
        [tokenProfile.scopeClaim]: tokenProfile.scopeFormat === 'array' ? [scope] : scope,
      },
    ]
    const content = parts.map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.')
    return `${content}.${Buffer.from(await signer.sign(Buffer.from(content))).toString('base64url')}`
  }

  const read = async (api: Api, patient: string): Promise<unknown> => {
    const query = new URLSearchParams({ patient, _sort: '-date', _count: String(most) })
    const response = await fetch(`${api.baseUrl}/Encounter?${query}`, {
      headers: { accept: 'application/fhir+json', authorization: `Bearer ${await tokenFor(api)}` },
      redirect: 'error',
      signal: AbortSignal.timeout(longestMillis),
    })
    const text = await readBounded(response)
    if (response.status !== 200) throw new Error(`status ${response.status}`)
    const bundle: unknown = JSON.parse(text)
    if (member(bundle, 'resourceType') !== 'Bundle') throw new Error('the answer is no Bundle')
    return bundle
  }

  return {
    async of(api, patient) {
      const bundle = await read(api, patient).catch((cause: unknown) => {
        if (cause instanceof Unavailable) throw cause
        throw new Unavailable(`the visits of a patient cannot be read at ${api.baseUrl}`, { cause })
      })
      const entries = member(bundle, 'entry')
      const found = (Array.isArray(entries) ? entries : []).flatMap(
        (entry) => encounterOf(member(entry, 'resource'), api, patient) ?? [],
      )
      const latestFirst = found.toSorted((one, other) => (other.start ?? '').localeCompare(one.start ?? ''))
      return latestFirst.slice(0, most)
    },
  }
}
