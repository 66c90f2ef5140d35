/** Single requests as an app or a resource server makes them, for tests about what the wire says. */
import type { TokenAnswer } from './authorize.ts'

/** The claims of a JWT, unverified. */
// biome-ignore lint/suspicious/noExplicitAny: a test reads what the wire says
export const claimsOf = (jwt: string): any => JSON.parse(Buffer.from(jwt.split('.')[1] ?? '', 'base64url').toString())

// biome-ignore lint/suspicious/noExplicitAny: a test reads what the wire says
export const headerOf = (jwt: string): any => JSON.parse(Buffer.from(jwt.split('.')[0] ?? '', 'base64url').toString())

/** Credentials as `client_secret_basic` carries them. */
export const basic = (id: string, secret: string): { authorization: string } => ({
  authorization: `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}`,
})

export const resourceServer = basic('demo-resource-server', 'demo-resource-server-secret')
export const confidential = basic('demo-confidential', 'demo-confidential-secret')

/** Posts a form (a list keeps doubled fields); the body is parsed where it is JSON. */
export const post = async (
  url: string,
  fields: Record<string, string> | [string, string][],
  headers: Record<string, string> = {},
): Promise<TokenAnswer> => {
  const body = new URLSearchParams(fields)
  const response = await fetch(url, { method: 'POST', body, headers, redirect: 'manual' })
  const text = await response.text()
  const json = response.headers.get('content-type')?.includes('json')
  return { status: response.status, headers: response.headers, body: json ? JSON.parse(text) : text }
}
