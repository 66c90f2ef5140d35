import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { demoApp, obtainTokens, tokenRequest } from '../support/authorize.ts'
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

  it('promises no sender-constrained tokens, since none are made', async () => {
    const document = await documentOf(`${server.url}/prairie/sandbox`, 'openid-configuration')
    expect(Object.keys(document).filter((name) => /dpop|mtls|tls_client|pushed/.test(name))).toEqual([])
  })

  it('makes a bearer token also for an app that sends a DPoP header', async () => {
    const app = demoApp(server.url)
    const { refresh_token } = await obtainTokens(app)
    const answer = await tokenRequest(app, { grant_type: 'refresh_token', refresh_token }, { DPoP: 'not.a.proof' })
    expect(answer.body).toMatchObject({ token_type: 'Bearer' })
  })
})
