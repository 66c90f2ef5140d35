/** The whole walk of an app and a member, for tests that are about what comes after it. */
import { createHash, randomBytes } from 'node:crypto'
import { type Page, Visitor } from './visitor.ts'

export const password = 'prairie-sandbox-1'
export const redirectUri = 'http://127.0.0.1:8123/callback'

export interface App {
  issuer: string
  fhirBase: string
  clientId: string
  secret?: string
  redirectUri: string
  /** Where the endpoints are; by default below the issuer. */
  authorize: string
  token: string
}

/** A demonstration app at the sandbox of a server. */
export const demoApp = (url: string, clientId = 'demo-public', secret?: string): App => ({
  issuer: `${url}/prairie/sandbox`,
  fhirBase: `${url}/prairie/sandbox/fhir`,
  clientId,
  ...(secret ? { secret } : {}),
  redirectUri,
  authorize: `${url}/prairie/sandbox/authorize`,
  token: `${url}/prairie/sandbox/token`,
})

export const confidentialApp = (url: string): App => demoApp(url, 'demo-confidential', 'demo-confidential-secret')

/** The app at the plan that moved in: its issuer has a path of its own, and its endpoints others (R41). */
export const summitApp = (url: string): App => ({
  ...demoApp(url, 'summit-demo'),
  issuer: `${url}/v5/summit`,
  fhirBase: `${url}/v5/summit/fhir`,
  authorize: `${url}/v5/oauth/authorize`,
  token: `${url}/v5/oauth/token`,
})

export const pkce = () => {
  const verifier = randomBytes(32).toString('base64url')
  return { verifier, challenge: createHash('sha256').update(verifier).digest('base64url') }
}

export const everything = 'openid fhirUser launch/patient offline_access patient/*.rs'

/** The address of an authorization request; null removes a parameter. */
export const authorizationUrl = (app: App, challenge: string, params: Record<string, string | null> = {}): string => {
  const url = new URL(app.authorize)
  const all: Record<string, string | null> = {
    response_type: 'code',
    client_id: app.clientId,
    redirect_uri: app.redirectUri,
    scope: everything,
    state: 'a-state-of-the-app',
    aud: app.fhirBase,
    code_challenge: challenge,
    code_challenge_method: 'S256',
    ...params,
  }
  for (const [name, value] of Object.entries(all)) if (value !== null) url.searchParams.set(name, value)
  return url.href
}

export interface Walk {
  member?: string
  patient?: string
  params?: Record<string, string | null>
  /** Fields of the consent form; by default everything is ticked but for what is sensitive, and it is for a year. */
  consent?: Record<string, string | string[] | null>
  visitor?: Visitor
}

/** Signs in, chooses, passes the warning if there is one, and arrives at the consent page. */
export const walkToConsent = async (
  app: App,
  challenge: string,
  { member = 'maria', patient, params = {}, visitor = new Visitor() }: Walk = {},
): Promise<{ visitor: Visitor; page: Page }> => {
  let page = await visitor.open(authorizationUrl(app, challenge, params))
  if (page.html.includes('name="password"'))
    page = await visitor.submit(page, '/sign-in', { username: member, password })
  if (page.html.includes('name="patient"'))
    page = await visitor.submit(page, '/patient', { patient: Visitor.choiceNamed(page, patient ?? '') })
  if (page.url.endsWith('/warning')) page = await visitor.submit(page, '/warning', {})
  return { visitor, page }
}

/** The consent form as it is at first, also for a member whose last decision it has filled in. */
export const everythingOn = ({ html }: Page): Record<string, string[] | string> => {
  const valuesOf = (name: string) =>
    [...html.matchAll(new RegExp(`name="${name}" value="([^"]*)"`, 'g'))].map(([, value = '']) => value)
  const fields: Record<string, string[] | string> = { type: valuesOf('type'), category: valuesOf('category') }
  if (valuesOf('duration').includes('P1Y')) fields.duration = 'P1Y'
  return fields
}

/** The whole way to the app's redirect URI; its query carries `code` or `error`. */
export const walk = async (
  app: App,
  challenge: string,
  options: Walk = {},
): Promise<{ visitor: Visitor; callback: URL }> => {
  const { visitor, page } = await walkToConsent(app, challenge, options)
  const done = await visitor.submit(page, '/consent', { ...everythingOn(page), ...options.consent })
  return { visitor, callback: new URL(done.url) }
}

export interface TokenAnswer {
  status: number
  headers: Headers
  // biome-ignore lint/suspicious/noExplicitAny: a test reads what the wire says
  body: any
}

/** A request to the token endpoint as the app would make it. */
export const tokenRequest = async (
  app: App,
  params: Record<string, string>,
  headers: Record<string, string> = {},
): Promise<TokenAnswer> => {
  const body = new URLSearchParams(params)
  const authorization: Record<string, string> = {}
  if (app.secret)
    authorization.authorization = `Basic ${Buffer.from(`${app.clientId}:${app.secret}`).toString('base64')}`
  else body.set('client_id', app.clientId)
  const response = await fetch(app.token, { method: 'POST', body, headers: { ...authorization, ...headers } })
  const text = await response.text()
  return { status: response.status, headers: response.headers, body: text ? JSON.parse(text) : undefined }
}

export const exchange = (
  app: App,
  code: string,
  verifier: string,
  more: Record<string, string> = {},
): Promise<TokenAnswer> =>
  tokenRequest(app, {
    grant_type: 'authorization_code',
    code,
    redirect_uri: app.redirectUri,
    code_verifier: verifier,
    ...more,
  })

export const refresh = (app: App, refreshToken: string, more: Record<string, string> = {}): Promise<TokenAnswer> =>
  tokenRequest(app, { grant_type: 'refresh_token', refresh_token: refreshToken, ...more })

/** Tokens for a member who shared. Throws where the walk did not end in tokens. */
export const obtainTokens = async (app: App, options: Walk = {}): Promise<TokenAnswer['body']> => {
  const { verifier, challenge } = pkce()
  const { callback } = await walk(app, challenge, options)
  const code = callback.searchParams.get('code')
  if (!code) throw new Error(`no code: ${callback.search}`)
  const answer = await exchange(app, code, verifier)
  if (answer.status !== 200) throw new Error(`no tokens: ${answer.status} ${JSON.stringify(answer.body)}`)
  return answer.body
}
