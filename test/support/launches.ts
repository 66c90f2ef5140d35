/** A portal or an EHR that launches apps, over HTTP: its token, its launches, and an app's way through one. */
import { type App, exchange, type TokenAnswer, type Walk, walkToConsent } from './authorize.ts'
import type { Page } from './visitor.ts'
import { basic } from './wire.ts'

/** The demonstration's service that makes launches. */
export const ehr = basic('demo-ehr', 'demo-ehr-secret')

/** A token of a backend service (SMART "Backend Services"), by its secret. */
export const serviceToken = async (url: string, scope = 'launches', headers: Record<string, string> = ehr) => {
  const body = new URLSearchParams({ grant_type: 'client_credentials', scope })
  const answer = await fetch(`${url}/prairie/sandbox/token`, { method: 'POST', body, headers })
  const said = (await answer.json()) as { access_token?: string }
  if (answer.status !== 200 || !said.access_token) throw new Error(`no token: ${answer.status} ${JSON.stringify(said)}`)
  return said.access_token
}

export interface LaunchAnswer {
  status: number
  headers: Headers
  // biome-ignore lint/suspicious/noExplicitAny: a test reads what the wire says
  body: any
}

/** `POST {issuer}/launches` with whatever body. */
export const postLaunch = async (url: string, token: string | null, body: unknown): Promise<LaunchAnswer> => {
  const response = await fetch(`${url}/prairie/sandbox/launches`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...(token ? { authorization: `Bearer ${token}` } : {}) },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  })
  const text = await response.text()
  return { status: response.status, headers: response.headers, body: text ? JSON.parse(text) : undefined }
}

/** The value of a launch that was made. Throws where it was not. */
export const makeLaunch = async (url: string, body: Record<string, unknown>): Promise<string> => {
  const answer = await postLaunch(url, await serviceToken(url), body)
  if (answer.status !== 200) throw new Error(`no launch: ${answer.status} ${JSON.stringify(answer.body)}`)
  return answer.body.launch
}

export const launchScope = 'openid fhirUser launch offline_access patient/*.rs'

/** An app that was launched, on its way: the first page that is neither sign-in, picker nor warning. */
export const walkLaunched = (app: App, challenge: string, launch: string, options: Walk = {}) =>
  walkToConsent(app, challenge, { ...options, params: { scope: launchScope, launch, ...options.params } })

/** The tokens of a launched app, once its person has said yes on `page`, by the form that posts to `action`. */
export const tokensAfter = async (app: App, verifier: string, done: Page): Promise<TokenAnswer['body']> => {
  const code = new URL(done.url).searchParams.get('code')
  if (!code) throw new Error(`no code: ${done.url} ${done.html.slice(0, 300)}`)
  const answer = await exchange(app, code, verifier)
  if (answer.status !== 200) throw new Error(`no tokens: ${JSON.stringify(answer.body)}`)
  return answer.body
}
