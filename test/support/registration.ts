/** What a developer does who registers an app: tokens to begin with, requests, statements. */
import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import type { Registration } from '../../src/config/settings.ts'
import { redirectUri } from './authorize.ts'
import { runAt } from './command.ts'
import type { TestServer } from './server.ts'

/** Registration with everything in it left as it is by default. */
export const registration = (
  over: Partial<Omit<Registration, 'policy'>> & { policy?: Partial<Registration['policy']> } = {},
): Registration => ({
  by: ['initial-access-token'],
  softwareStatements: [],
  ...over,
  policy: {
    kinds: ['public', 'confidential'],
    authMethods: ['client_secret_basic', 'private_key_jwt'],
    profiles: ['smart'],
    dpop: 'optional',
    scopes: null,
    apis: null,
    redirectHosts: null,
    maximumRedirectUris: 10,
    ...over.policy,
  },
})

/** A public app that anybody could have made. */
export const steps = {
  client_name: 'Steps and Stairs',
  redirect_uris: [redirectUri],
  token_endpoint_auth_method: 'none',
  grant_types: ['authorization_code', 'refresh_token'],
}

/** An initial access token, as the operator makes one. */
export const initialToken = async (
  server: TestServer,
  { issuer = 'prairie/sandbox', label = 'Steps Ltd', uses = '1', days = '1' } = {},
): Promise<string> => {
  const line = ['registration-token', 'make', '--issuer', issuer, '--label', label, '--uses', uses, '--days', days]
  const { out, err } = await runAt(server, ...line)
  const token = /^lkr_[\w-]{43}$/m.exec(out)?.[0]
  if (!token) throw new Error(`no token: ${out}${err}`)
  return token
}

export interface Answer {
  status: number
  headers: Headers
  // biome-ignore lint/suspicious/noExplicitAny: a test reads what the wire says
  body: any
}

/** One request with JSON, and what came back. */
export const send = async (
  url: string,
  {
    method = 'POST',
    token,
    body,
    type = 'application/json',
  }: {
    method?: string
    token?: string | undefined
    body?: unknown
    type?: string
  },
): Promise<Answer> => {
  const response = await fetch(url, {
    method,
    headers: {
      ...(body === undefined ? {} : { 'content-type': type }),
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  })
  const text = await response.text()
  return { status: response.status, headers: response.headers, body: text === '' ? undefined : JSON.parse(text) }
}

/** Somebody whose software statements an issuer believes. */
export const statementIssuer = async (issuer = 'https://apps.example.org', algorithm = 'ES256') => {
  const { privateKey, publicKey } = await generateKeyPair(algorithm, { extractable: true })
  const jwk = { ...(await exportJWK(publicKey)), kid: 'one', alg: algorithm }
  const sign = (claims: Record<string, unknown>, header: Record<string, unknown> = {}) => {
    const now = Math.floor(Date.now() / 1000)
    return new SignJWT({ iss: issuer, iat: now, exp: now + 300, jti: crypto.randomUUID(), ...claims })
      .setProtectedHeader({ alg: algorithm, kid: 'one', ...header })
      .sign(privateKey)
  }
  return { issuer, jwk, sign, trusted: { issuer, jwks: { keys: [jwk] }, jwksUri: null, algorithms: [algorithm] } }
}
