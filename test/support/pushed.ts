/** Requests that an app pushes before it sends the member (RFC 9126). */
import { type App, authorizationUrl, type TokenAnswer } from './authorize.ts'

/** What an authorization request of the app says; null leaves a parameter out. */
export const requestOf = (
  app: App,
  challenge: string,
  params: Record<string, string | null> = {},
): Record<string, string> => Object.fromEntries(new URL(authorizationUrl(app, challenge, params)).searchParams)

/** Posts to the endpoint for pushed requests as the app would. */
export const push = async (
  app: App,
  fields: Record<string, string> | URLSearchParams,
  headers: Record<string, string> = {},
): Promise<TokenAnswer> => {
  const body = new URLSearchParams(fields)
  const authorization: Record<string, string> = {}
  if (app.secret)
    authorization.authorization = `Basic ${Buffer.from(`${app.clientId}:${app.secret}`).toString('base64')}`
  const response = await fetch(`${app.issuer}/par`, { method: 'POST', body, headers: { ...authorization, ...headers } })
  const text = await response.text()
  return { status: response.status, headers: response.headers, body: text ? JSON.parse(text) : undefined }
}

/** For `walk`: an authorization request that only names what was pushed. */
export const named = (requestUri: string, more: Record<string, string> = {}): Record<string, string | null> => ({
  response_type: null,
  redirect_uri: null,
  scope: null,
  state: null,
  aud: null,
  code_challenge: null,
  code_challenge_method: null,
  request_uri: requestUri,
  ...more,
})
