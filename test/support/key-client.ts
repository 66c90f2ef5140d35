/** Clients that authenticate with keys of their own: their keys, their assertions, and a host of theirs that publishes keys. */
import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type CryptoKey, exportJWK, generateKeyPair, importJWK, type JWTPayload, SignJWT } from 'jose'

// biome-ignore lint/suspicious/noExplicitAny: keys as they stand in JSON
export type AnyJwk = Record<string, any>

export const assertionType = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'

export interface ClientKey {
  alg: string
  kid: string
  privateKey: CryptoKey
  publicJwk: AnyJwk
}

/** A new key; `over` changes what is published of it. */
export const makeKey = async (alg: string, kid: string = randomUUID(), over: AnyJwk = {}): Promise<ClientKey> => {
  const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true })
  return { alg, kid, privateKey, publicJwk: { ...(await exportJWK(publicKey)), kid, alg, use: 'sig', ...over } }
}

/** A key of a demonstration app, whose private half is published with the demonstration. */
export const demonstrationKey = async (clientId: string, alg: 'ES384' | 'RS384' | 'ES256'): Promise<ClientKey> => {
  const published = JSON.parse(readFileSync('config/demonstration-keys.json', 'utf8'))
  const jwk: AnyJwk = published[clientId].find((key: AnyJwk) => key.alg === alg)
  const publicJwk = Object.fromEntries(
    Object.entries(jwk).filter(([name]) => !['d', 'p', 'q', 'dp', 'dq', 'qi'].includes(name)),
  )
  return { alg, kid: jwk.kid, privateKey: (await importJWK(jwk, alg)) as CryptoKey, publicJwk }
}

export const inSeconds = (seconds: number): number => Math.floor(Date.now() / 1000) + seconds

/** Members that are undefined are left out. */
const said = (members: AnyJwk): AnyJwk =>
  Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined))

/** An assertion as SMART wants it; `claims` and `header` say what is not so. */
export const assertionOf = (
  key: ClientKey,
  { clientId, audience }: { clientId: string; audience: string },
  over: { claims?: AnyJwk; header?: AnyJwk } = {},
): Promise<string> => {
  const claims = { iss: clientId, sub: clientId, aud: audience, jti: randomUUID(), exp: inSeconds(240), ...over.claims }
  const header = said({ alg: key.alg, kid: key.kid, typ: 'JWT', ...over.header })
  return new SignJWT(said(claims) as JWTPayload).setProtectedHeader(header as { alg: string }).sign(key.privateKey)
}

/** The two parameters that carry it. */
export const carried = (assertion: string): Record<string, string> => ({
  client_assertion_type: assertionType,
  client_assertion: assertion,
})

/** A client's host on this machine: what it answers is changed with `answer`; `asked` has what was asked of it. */
export const keyHost = async () => {
  const asked: { method: string | undefined; accept: string | undefined }[] = []
  let respond: (req: IncomingMessage, res: ServerResponse) => void = (_req, res) => res.writeHead(404).end()
  const server = createServer((req, res) => {
    asked.push({ method: req.method, accept: req.headers.accept })
    respond(req, res)
  }).listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks.json`,
    asked,
    answer(next: typeof respond): void {
      respond = next
    },
    publish(keys: readonly AnyJwk[], headers: Record<string, string> = {}): void {
      respond = (_req, res) => {
        res.writeHead(200, { 'content-type': 'application/json', ...headers })
        res.end(JSON.stringify({ keys }))
      }
    },
    async close(): Promise<void> {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
