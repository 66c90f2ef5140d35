/**
 * One member with one app, at any of the systems: the operations that are measured.
 *
 * Owns: the walk from the app to tokens, refreshing, introspecting. Does not own: how often, or how many at a time.
 */
import { createHash, randomBytes } from 'node:crypto'
import { formOf } from '../test/support/visitor.ts'
import { type Arrival, createBrowser, type Wire } from './client.ts'

/** Where a system has what, and how its app is known. */
export interface Place {
  host: string
  authorize: string
  token: string
  introspect: string
  jwks: string
  issuer: string
  clientId: string
  /** What the authorization request says beside the usual: which API. */
  api: Record<string, string>
  /** The same where a token for introspection is wanted. */
  introspectedApi: Record<string, string>
  /** What a refresh says beside the usual: on every system it leads to an answer without an ID token. */
  refresh: Record<string, string>
}

export const redirectUri = 'http://127.0.0.1:8123/callback'
export const scope = 'openid fhirUser launch/patient offline_access patient/*.rs'
export const password = 'a-password-of-the-bench'
export const resourceServer = { id: 'bench-resource-server', secret: 'a-secret-of-the-bench-resource-server' }

export interface Tokens {
  access_token: string
  refresh_token: string
  id_token?: string
  scope: string
}

const formHeaders = { 'content-type': 'application/x-www-form-urlencoded', accept: 'application/json' }
const asking = {
  ...formHeaders,
  authorization: `Basic ${Buffer.from(`${resourceServer.id}:${resourceServer.secret}`).toString('base64')}`,
}

const asksForPassword = (arrival: Arrival): arrival is { page: string; path: string } =>
  'page' in arrival && arrival.page.includes('name="password"')

export const createMember = (wire: Wire, place: Place, username: string) => {
  let browser = createBrowser(wire, place.host)
  let tokens: Tokens | undefined
  let rotations = 0
  let consentFields: URLSearchParams | undefined

  const tokenRequest = async (fields: Record<string, string>): Promise<Tokens> => {
    const body = new URLSearchParams({ client_id: place.clientId, ...fields })
    const { status, text } = await wire.send('POST', place.token, formHeaders, body.toString())
    if (status !== 200) throw new Error(`${place.token}: ${status} ${text}`)
    return JSON.parse(text)
  }

  /** The page's form as it stands. A consent form is read once, and then only what is new on each page: the client must stay cheap. */
  const fieldsOf = (page: string, path: string): URLSearchParams => {
    consentFields ??= formOf(
      { html: page, url: `http://${place.host}${path}`, status: 200, headers: new Headers() },
      '/consent',
    ).fields
    for (const name of ['csrf', 'shown']) {
      const value = new RegExp(`name="${name}" value="([^"]+)"`).exec(page)?.[1]
      if (value) consentFields.set(name, value)
    }
    return consentFields
  }

  const signInFields = (page: string, path: string): URLSearchParams => {
    const { fields } = formOf(
      { html: page, url: `http://${place.host}${path}`, status: 200, headers: new Headers() },
      '/sign-in',
    )
    fields.set('username', username)
    fields.set('password', password)
    return fields
  }

  /** The app sends the member here. */
  const authorization = (api: Record<string, string>) => {
    const verifier = randomBytes(32).toString('base64url')
    const query = new URLSearchParams({
      response_type: 'code',
      client_id: place.clientId,
      redirect_uri: redirectUri,
      scope,
      state: 'a-state-of-the-app',
      code_challenge: createHash('sha256').update(verifier).digest('base64url'),
      code_challenge_method: 'S256',
      ...api,
    })
    return { verifier, path: `${place.authorize}?${query}` }
  }

  const signIn = async (at: Arrival): Promise<Arrival> => {
    if (!asksForPassword(at)) throw new Error(`${username} is not asked for a password`)
    const arrival = await browser.post(`${at.path}/sign-in`, signInFields(at.page, at.path))
    if (asksForPassword(arrival)) throw new Error(`${username} could not sign in`)
    return arrival
  }

  /** From the app to tokens. Answers how it went: whether the password was asked, and how many requests it took. */
  const connect = async (api = place.api): Promise<{ tokens: Tokens; signedIn: boolean; hops: number }> => {
    const before = browser.hops()
    const { verifier, path } = authorization(api)
    let arrival = await browser.open(path)
    const signedIn = asksForPassword(arrival)
    if (signedIn) arrival = await signIn(arrival)
    if ('page' in arrival) arrival = await browser.post(`${arrival.path}/consent`, fieldsOf(arrival.page, arrival.path))
    const code = 'callback' in arrival ? arrival.callback.searchParams.get('code') : null
    if (!code) throw new Error(`no code for ${username} at ${place.host}: ${JSON.stringify(arrival).slice(0, 300)}`)
    const answer = await tokenRequest({
      grant_type: 'authorization_code',
      code,
      redirect_uri: redirectUri,
      code_verifier: verifier,
    })
    return { tokens: answer, signedIn, hops: browser.hops() - before + 1 }
  }

  /** Tokens to go on with: new ones, of a family without a past. */
  const renew = async (api = place.api): Promise<Tokens> => {
    tokens = (await connect(api)).tokens
    rotations = 0
    return tokens
  }

  const held = (): Tokens => {
    if (!tokens) throw new Error('this member has no tokens')
    return tokens
  }

  return {
    connect,
    renew,
    held,
    /** Of the family at hand. */
    rotations: () => (tokens ? rotations : Number.POSITIVE_INFINITY),
    /** Forgets the session: the next walk asks for the password. */
    forget: () => {
      browser = createBrowser(wire, place.host)
    },
    /** To the page that asks for the password; answers what goes on from there to the consent page. */
    approach: async (): Promise<() => Promise<void>> => {
      const arrival = await browser.open(authorization(place.api).path)
      return async () => void (await signIn(arrival))
    },
    refresh: async (): Promise<void> => {
      const { refresh_token } = held()
      tokens = undefined
      const next = await tokenRequest({ grant_type: 'refresh_token', refresh_token, ...place.refresh })
      if (next.id_token) throw new Error('an ID token came with a refresh')
      tokens = next
      rotations += 1
    },
    introspect: async (): Promise<void> => {
      const body = `token=${encodeURIComponent(held().access_token)}`
      const { status, text } = await wire.send('POST', place.introspect, asking, body)
      if (status !== 200 || JSON.parse(text).active !== true) throw new Error(`${place.introspect}: ${status} ${text}`)
    },
  }
}

export type Member = ReturnType<typeof createMember>
