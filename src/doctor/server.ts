/**
 * What a server says of itself, read once and only when a check asks.
 *
 * Owns: where the documents are, which address is the FHIR base and which the issuer. Throws `Skip` for whatever
 * another check already says is missing.
 */
import { Skip } from './check.ts'
import { isObject, type Json, textOf, textsOf, trimmed } from './documents.ts'
import { type Answer, type Http, Unreachable } from './http.ts'

export interface ServerFacts {
  /** The address that was given, without a slash at its end. */
  target: string
  smartAnswer(): Promise<Answer>
  smart(): Promise<Json>
  /** The issuer that the SMART configuration names, or the address that was given where only OpenID discovery is there. */
  issuer(): Promise<string>
  openidAnswer(): Promise<Answer>
  openid(): Promise<Json>
  /** RFC 8414 §3.1: the well-known part stands before the issuer's path. */
  metadataAnswer(): Promise<Answer>
  jwksAnswer(): Promise<Answer>
  jwks(): Promise<Json[]>
  fhirBase(): Promise<string>
  capabilityAnswer(): Promise<Answer>
  capabilities(): Promise<string[]>
  /** An endpoint's absolute address, by its metadata name. */
  endpoint(name: string): Promise<string>
}

/** Does it once, however often it is asked for, and fails alike each time. */
export const once = <T>(work: () => Promise<T>): (() => Promise<T>) => {
  let known: Promise<T> | undefined
  return () => {
    known ??= work()
    return known
  }
}

export const createServerFacts = (options: {
  target: string
  fhirBase?: string | undefined
  http: Http
}): ServerFacts => {
  const { http } = options
  const target = trimmed(options.target)
  const wellKnown = (base: string, name: string): string => `${trimmed(base)}/.well-known/${name}`
  const readable = (answer: Answer, what: string): Json => {
    if (answer.status !== 200 || !isObject(answer.json)) throw new Skip(`${what} cannot be read`)
    return answer.json
  }
  /** What hangs for one check need not be waited for by the next. */
  const standing = async <T>(work: Promise<T>, what: string): Promise<T> => {
    try {
      return await work
    } catch (error) {
      if (error instanceof Unreachable) throw new Skip(`${what} cannot be read`)
      throw error
    }
  }

  const smartAnswer = once(() => http.send(wellKnown(target, 'smart-configuration')))
  const smart = once(async () =>
    readable(await standing(smartAnswer(), 'the SMART configuration'), 'the SMART configuration'),
  )
  const issuer = once(async () => {
    const document = await smart().catch((error: unknown) => {
      if (error instanceof Skip) return {}
      throw error
    })
    const named = textOf(document, 'issuer')
    if (named && URL.canParse(named)) return named
    const answer = await standing(http.send(wellKnown(target, 'openid-configuration')), 'the issuer')
    if (isObject(answer.json) && textOf(answer.json, 'issuer')) return target
    throw new Skip('no issuer is named')
  })
  const openidAnswer = once(async () => http.send(wellKnown(await issuer(), 'openid-configuration')))
  const openid = once(async () =>
    readable(await standing(openidAnswer(), 'the OpenID configuration'), 'the OpenID configuration'),
  )
  const orNothing = async (document: Promise<Json>): Promise<Json> => {
    try {
      return await document
    } catch (error) {
      if (error instanceof Skip) return {}
      throw error
    }
  }
  const jwksAnswer = once(async () => {
    const address = textOf(await orNothing(smart()), 'jwks_uri') ?? textOf(await orNothing(openid()), 'jwks_uri')
    if (!address || !URL.canParse(address)) throw new Skip('no jwks_uri is named')
    return http.send(address)
  })
  const capabilityAnswer = once(async () => http.send(`${await fhirBase()}/metadata`))
  const fhirBase = once(async () => {
    if (options.fhirBase) return trimmed(options.fhirBase)
    const named = textOf(await orNothing(smart()), 'issuer')
    if (named === undefined || trimmed(named) !== target) return target
    // An issuer may live at a FHIR base; where it does, the CapabilityStatement is there.
    const answer = await standing(http.send(`${target}/metadata`), 'the FHIR base')
    if (isObject(answer.json) && answer.json.resourceType === 'CapabilityStatement') return target
    throw new Skip('the address is an issuer’s; name the FHIR base instead, or with --fhir-base')
  })

  return {
    target,
    smartAnswer,
    smart,
    issuer,
    openidAnswer,
    openid,
    jwksAnswer,
    fhirBase,
    capabilityAnswer,
    metadataAnswer: once(async () => {
      const { origin, pathname } = new URL(await issuer())
      return http.send(`${origin}/.well-known/oauth-authorization-server${pathname.replace(/\/$/, '')}`)
    }),
    jwks: once(async () => {
      const { keys } = readable(await standing(jwksAnswer(), 'the keys'), 'the keys')
      if (!Array.isArray(keys) || !keys.every(isObject)) throw new Skip('the keys cannot be read')
      return keys
    }),
    capabilities: async () => textsOf(await smart(), 'capabilities') ?? [],
    async endpoint(name) {
      const address = textOf(await orNothing(smart()), name) ?? textOf(await orNothing(openid()), name)
      if (address === undefined) throw new Skip(`no ${name} is named`)
      const url = URL.parse(address)
      if (!url || !/^https?:$/.test(url.protocol)) throw new Skip(`${name} is no absolute address`)
      return address
    },
  }
}
