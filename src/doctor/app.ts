/**
 * The app that the doctor plays: it asks for authorizations, redeems codes, refreshes, introspects, revokes.
 *
 * Owns: what was obtained, so that nothing is left behind and nothing of it is told. Does not own: what an answer is worth (the
 * checks), or the way through the server's pages (walker.ts; interactive.ts where a person goes it).
 */
import { createHash } from 'node:crypto'
import { randomToken } from '../secrets.ts'
import { Skip } from './check.ts'
import { type ClientCredentials, present } from './credentials.ts'
import { isObject, isSafe, type Json, textOf, textsOf } from './documents.ts'
import type { Hidden } from './hidden.ts'
import { type Answer, type Http, Unreachable } from './http.ts'
import { once, type ServerFacts } from './server.ts'
import type { Arrival, Walker } from './walker.ts'

/** The way to a code that did not lead there: the check of that name fails, all that need a code are skipped. */
export class NoCode extends Skip {
  override name = 'NoCode'
}

export interface Code {
  code: string
  verifier: string
  nonce: string
  state: string
  callback: URL
  scope: string
}

/** A code's tokens: the body of the answer. */
export interface Tokens extends Code {
  answer: Answer
  body: Json
  accessToken: string
  refreshToken: string | undefined
}

export type Parameters = Record<string, string | null>

export interface App {
  redirectUri: string
  credentials(): ClientCredentials
  hide(secret: unknown): void
  /** An authorization request as it should be, with some parameters changed, or left out (null). */
  parameters(changes?: Parameters): Promise<URLSearchParams>
  /** Sends a request that should be refused; where the server asks the member first, they answer, if there is one. */
  attempt(changes?: Parameters): Promise<Arrival>
  /** Sends a request, and looks at what comes before anybody is asked. */
  ask(changes?: Parameters): Promise<Arrival>
  /** A new authorization. @throws NoCode */
  authorize(changes?: Parameters): Promise<Code>
  redeem(code: Code, changes?: Record<string, string | null>, headers?: Record<string, string>): Promise<Answer>
  /** An authorization with its tokens. @throws NoCode */
  tokens(changes?: Parameters): Promise<Tokens>
  /** The one authorization that most checks look at. */
  main(): Promise<Tokens>
  /** The authorization of the launch that was handed over. @throws Skip where none was */
  launched(): Promise<Tokens & { launch: string }>
  /** The main authorization's first refresh: what it answered, and the newest refresh token. */
  refreshed(): Promise<{ answer: Answer; refreshToken: string; accessToken: string }>
  refresh(refreshToken: string, changes?: Record<string, string>): Promise<Answer>
  introspect(token: string): Promise<Answer>
  revoke(token: string, hint?: string): Promise<Answer>
  /** A request of the client to an endpoint, authenticated. */
  call(endpoint: string, fields: Record<string, string>, headers?: Record<string, string>): Promise<Answer>
  /** Ends whatever is left; answers how many tokens could not be ended. */
  cleanUp(): Promise<number>
}

/** What is asked for unless the operator says otherwise: as much of it as the server names. */
export const usualScope = (capabilities: readonly string[], scopes: readonly string[] | undefined): string => {
  const can = (name: string): boolean => capabilities.includes(name)
  const wildcard = can('permission-v2') || scopes?.includes('patient/*.rs') ? 'patient/*.rs' : 'patient/*.read'
  return [
    ...(can('sso-openid-connect') ? ['openid', 'fhirUser'] : []),
    'launch/patient',
    ...(can('permission-offline') ? ['offline_access'] : []),
    wildcard,
  ].join(' ')
}

export const createApp = (options: {
  http: Http
  server: ServerFacts
  hidden: Hidden
  walker: Walker | undefined
  client: ClientCredentials | undefined
  redirectUri: string
  scope: string | undefined
  /** A launch that an EHR or a portal made. */
  launch: string | undefined
  now: () => number
  /** Is there a member who answers the server's pages without a person? */
  member: boolean
  /** Where each authorization costs a person's time, one is all there is. */
  single: boolean
}): App => {
  const { http, server, hidden, now, redirectUri } = options
  /** Refresh tokens that are alive, and access tokens of answers without one. */
  const alive = new Set<string>()
  const codes: Code[] = []
  let authorizations = 0

  const credentials = (): ClientCredentials => {
    if (!options.client) throw new Skip('no client is named (--client-id)')
    return options.client
  }
  const walker = (): Walker => {
    if (!options.walker) throw new Skip('no client is named (--client-id)')
    return options.walker
  }
  const scopeOf = once(async () => {
    const capabilities = await server.capabilities()
    return options.scope ?? usualScope(capabilities, textsOf(await server.smart(), 'scopes_supported'))
  })

  interface Request {
    query: URLSearchParams
    verifier: string
  }
  const request = async (changes: Parameters = {}): Promise<Request> => {
    const verifier = randomToken(32)
    hidden.add(verifier)
    const all: Parameters = {
      response_type: 'code',
      client_id: credentials().clientId,
      redirect_uri: redirectUri,
      scope: await scopeOf(),
      state: randomToken(16),
      nonce: randomToken(16),
      aud: await server.fhirBase().catch(async (error: unknown) => {
        // An issuer that serves no FHIR: its base may be told, and else it is left out.
        if (error instanceof Skip) return null
        throw error
      }),
      code_challenge: createHash('sha256').update(verifier).digest('base64url'),
      code_challenge_method: 'S256',
      ...changes,
    }
    const query = new URLSearchParams()
    for (const [name, value] of Object.entries(all)) if (value !== null) query.set(name, value)
    return { query, verifier }
  }
  const addressOf = async (query: URLSearchParams): Promise<string> => {
    const endpoint = await server.endpoint('authorization_endpoint')
    return endpoint + (endpoint.includes('?') ? '&' : '?') + query
  }

  const audience = async (): Promise<string> => server.endpoint('token_endpoint')

  const call: App['call'] = async (endpoint, fields, headers = {}) => {
    const address = await server.endpoint(endpoint)
    if (!isSafe(address)) throw new Skip('credentials are not sent without TLS')
    const presented = await present(credentials(), await audience(), now())
    hidden.add(presented.fields.client_assertion)
    return http.send(address, {
      method: 'POST',
      headers: { ...presented.headers, ...headers },
      body: { ...presented.fields, ...fields },
    })
  }

  /** Remembers what an answer of the token endpoint gave out. */
  const keep = (answer: Answer, spent?: string): Answer => {
    if (!isObject(answer.json)) return answer
    for (const name of ['access_token', 'refresh_token', 'id_token']) hidden.add(answer.json[name])
    if (answer.status !== 200) return answer
    const token = textOf(answer.json, 'refresh_token') ?? textOf(answer.json, 'access_token')
    if (spent !== undefined && token !== undefined) alive.delete(spent)
    if (token !== undefined) alive.add(token)
    return answer
  }

  const redeem: App['redeem'] = async (code, changes = {}, headers) => {
    const all: Record<string, string | null> = {
      grant_type: 'authorization_code',
      code: code.code,
      redirect_uri: redirectUri,
      code_verifier: code.verifier,
      ...changes,
    }
    const fields = Object.entries(all).filter((entry): entry is [string, string] => entry[1] !== null)
    const answer = keep(await call('token_endpoint', Object.fromEntries(fields), headers))
    if (answer.status === 200) codes.splice(codes.indexOf(code) >>> 0, 1)
    return answer
  }

  const arrivalOf = async (changes: Parameters | undefined, through: 'walk' | 'open') => {
    const { query, verifier } = await request(changes)
    const arrival = await walker()[through](await addressOf(query))
    const code = arrival.at === 'app' ? arrival.url.searchParams.get('code') : null
    hidden.add(code)
    const of = (name: string): string => query.get(name) ?? ''
    const found: Code | undefined =
      code !== null && arrival.at === 'app'
        ? { code, verifier, nonce: of('nonce'), state: of('state'), scope: of('scope'), callback: arrival.url }
        : undefined
    if (found) codes.push(found)
    return { arrival, found }
  }

  const authorize: App['authorize'] = async (changes) => {
    if (options.single && authorizations > 0) throw new Skip('it needs another authorization, and each takes a person')
    authorizations++
    const { arrival, found } = await arrivalOf(changes, 'walk').catch((error: unknown) => {
      throw error instanceof Unreachable ? new NoCode(error.message) : error
    })
    if (found) return found
    if (arrival.at === 'page') throw new NoCode(`the way ended on ${arrival.why}`)
    const { searchParams } = arrival.url
    throw new NoCode(
      `${searchParams.get('error') ?? 'no code'} (${searchParams.get('error_description') ?? 'no more words'})`,
    )
  }

  const tokens: App['tokens'] = async (changes) => {
    const code = await authorize(changes)
    const answer = await redeem(code)
    const body = isObject(answer.json) ? answer.json : {}
    const accessToken = textOf(body, 'access_token')
    if (answer.status !== 200 || accessToken === undefined)
      throw new NoCode(`the code was not redeemed: ${answer.status} ${textOf(body, 'error') ?? ''}`)
    return { ...code, answer, body, accessToken, refreshToken: textOf(body, 'refresh_token') }
  }

  const revoke: App['revoke'] = async (token, hint) => {
    const answer = await call('revocation_endpoint', { token, ...(hint ? { token_type_hint: hint } : {}) })
    if (answer.status === 200) alive.delete(token)
    return answer
  }

  const refresh: App['refresh'] = async (refreshToken, changes = {}) => {
    const fields = { grant_type: 'refresh_token', refresh_token: refreshToken, ...changes }
    return keep(await call('token_endpoint', fields), refreshToken)
  }
  const main = once(() => tokens())

  return {
    redirectUri,
    credentials,
    hide: hidden.add,
    parameters: async (changes) => (await request(changes)).query,
    async attempt(changes) {
      const { arrival } = await arrivalOf(changes, options.member ? 'walk' : 'open')
      if (!options.member && arrival.at === 'page' && arrival.answer.status < 400)
        throw new Skip('the server asks the member first (--username)')
      return arrival
    },
    ask: async (changes) => (await arrivalOf(changes, 'open')).arrival,
    authorize,
    redeem,
    tokens,
    main,
    refresh,
    launched: once(async () => {
      const { launch } = options
      if (!launch) throw new Skip('no launch was handed over (--launch)')
      const scope = ['launch', ...(await scopeOf()).split(' ').filter((each) => each !== 'launch/patient')].join(' ')
      return { ...(await tokens({ launch, scope })), launch }
    }),
    refreshed: once(async () => {
      const { refreshToken } = await main()
      if (refreshToken === undefined) throw new Skip('no refresh token was given')
      const answer = await refresh(refreshToken)
      const body = isObject(answer.json) ? answer.json : {}
      const accessToken = textOf(body, 'access_token') ?? ''
      return { answer, accessToken, refreshToken: textOf(body, 'refresh_token') ?? refreshToken }
    }),
    introspect: (token) => call('introspection_endpoint', { token }),
    revoke,
    call,
    async cleanUp() {
      // A code that lies about is worth a grant: redeemed, it can be ended.
      for (const code of [...codes]) await redeem(code).catch(() => {})
      for (const token of [...alive]) await revoke(token).catch(() => {})
      return alive.size
    },
  }
}
