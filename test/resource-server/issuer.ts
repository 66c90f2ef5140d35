import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type CryptoKey, exportJWK, generateKeyPair, type JWTPayload, SignJWT } from 'jose'

/** A real issuer as far as a resource server can see one: keys behind HTTP, and tokens signed with them. */
export async function startIssuer() {
  const published: Record<string, unknown>[] = []
  const privateKeys = new Map<string, { key: CryptoKey; alg: string }>()
  const state = { fetches: 0, status: 200, body: undefined as string | undefined, discovery: {} as object }

  const server = createServer((request, response) => {
    if (request.url === '/jwks') state.fetches += 1
    const discovery = { issuer, jwks_uri: `${issuer}/jwks`, ...state.discovery }
    const answer = request.url === '/jwks' ? { keys: published } : discovery
    response.writeHead(state.status, { 'content-type': 'application/json' })
    response.end(state.body ?? JSON.stringify(answer))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`

  async function addKey(kid: string, alg = 'ES256', publish = true) {
    const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true })
    privateKeys.set(kid, { key: privateKey, alg })
    const jwk = { ...(await exportJWK(publicKey)), kid, alg, use: 'sig' }
    if (publish) published.push(jwk)
    return jwk
  }

  const now = () => Math.floor(Date.now() / 1000)
  const claims = (changes: JWTPayload = {}): JWTPayload => ({
    iss: issuer,
    sub: 'member-1',
    aud: 'https://fhir.example/r4',
    client_id: 'app-1',
    scope: 'openid launch/patient patient/Patient.rs patient/Observation.rs',
    jti: crypto.randomUUID(),
    iat: now(),
    exp: now() + 600,
    patient: 'maria',
    patient_id: 'maria',
    fhirUser: 'Patient/maria',
    grant_id: 'grant-1',
    ...changes,
  })

  async function sign(changes: JWTPayload = {}, header: Record<string, unknown> = {}, kid = 'key-1'): Promise<string> {
    const signer = privateKeys.get(kid)
    if (!signer) throw new Error(`no key ${kid}`)
    return new SignJWT(claims(changes))
      .setProtectedHeader({ alg: signer.alg, typ: 'at+jwt', kid, ...header })
      .sign(signer.key)
  }

  await addKey('key-1')
  return {
    issuer,
    published,
    state,
    addKey,
    claims,
    sign,
    privateKey: (kid: string) => privateKeys.get(kid)?.key,
    close: () => new Promise<void>((resolve) => server.close(() => resolve())),
  }
}

export type TestIssuer = Awaited<ReturnType<typeof startIssuer>>
