import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { demoApp, obtainTokens } from '../support/authorize.ts'
import { startServer, type TestServer } from '../support/server.ts'

let server: TestServer

beforeAll(async () => {
  server = await startServer()
})
afterAll(() => server.close())

const documentOf = async (issuer: string, name: string): Promise<Record<string, unknown>> =>
  (await fetch(`${issuer}/.well-known/${name}`)).json() as Promise<Record<string, unknown>>

describe('what an issuer says of itself (R1)', () => {
  it.each(['prairie/sandbox', 'v5/summit'])('%s names no address at which nothing is', async (path) => {
    const documents = await Promise.all(
      ['openid-configuration', 'oauth-authorization-server', 'smart-configuration'].map((name) =>
        documentOf(`${server.url}/${path}`, name),
      ),
    )
    const named = documents.flatMap((document) =>
      Object.entries(document).filter(([name]) => name.endsWith('_endpoint') || name.endsWith('_uri')),
    )
    expect(named.length).toBeGreaterThan(10)
    for (const [name, address] of named) {
      const answer = await fetch(String(address), { redirect: 'manual' })
      expect(answer.status, `${name} ${address}`).not.toBe(404)
      await answer.body?.cancel()
    }
  })

  it('names exactly the claims that ID tokens have', async () => {
    const app = demoApp(server.url)
    const { id_token } = await obtainTokens(app, { params: { max_age: '3600', nonce: 'n-1' } })
    const claims = JSON.parse(Buffer.from(id_token.split('.')[1], 'base64url').toString())
    const { claims_supported } = await documentOf(app.issuer, 'openid-configuration')
    expect([...(claims_supported as string[])].sort()).toEqual(Object.keys(claims).sort())
  })

  it('names every algorithm with which some profile’s DPoP proofs are signed, and no mutual TLS', async () => {
    const document = await documentOf(`${server.url}/prairie/sandbox`, 'openid-configuration')
    const algorithms = ['ES256', 'ES384', 'PS256', 'EdDSA', 'Ed25519']
    expect(document.dpop_signing_alg_values_supported).toEqual(algorithms)
    expect(Object.keys(document).filter((name) => /mtls|tls_client/.test(name))).toEqual([])
  })
})
