import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { runCommand } from '../src/cli.ts'
import { demoApp, obtainTokens } from './support/authorize.ts'
import { startServer, type TestServer } from './support/server.ts'

let server: TestServer
beforeAll(async () => {
  server = await startServer()
  const app = demoApp(server.url)
  const { access_token } = await obtainTokens(app, { member: 'david', patient: 'Lucy' })
  await fetch(`${app.issuer}/revoke`, {
    method: 'POST',
    body: new URLSearchParams({ token: access_token, client_id: app.clientId }),
  })
})
afterAll(() => server.close())

const run = async (...args: string[]) => {
  let out = ''
  let err = ''
  const env = { DATABASE_URL: server.settings.database.url, PORT: new URL(server.url).port }
  const status = await runCommand(args, {
    env,
    out: { write: (text) => (out += text) },
    err: { write: (text) => (err += text) },
  })
  return { status, out, err }
}

describe('commands that read the store of a running server', () => {
  it('lists every issuer’s keys, and no key itself', async () => {
    const { status, out } = await run('keys')
    expect(status).toBe(0)
    const { keys } = await (await fetch(`${server.url}/prairie/sandbox/jwks`)).json()
    for (const key of keys) expect(out).toContain(`${key.kid}  ${key.alg}  current`)
    expect(out).toContain('summit/sandbox')
    expect(out).not.toMatch(/"d"|v1\./)
  })

  it('lists one issuer’s keys, by id or by URL', async () => {
    const byUrl = await run('keys', `${server.url}/prairie/sandbox`)
    expect(byUrl.out).toBe((await run('keys', 'prairie/sandbox')).out)
    expect(byUrl.out).not.toContain('summit')
  })

  it('names the issuers there are when it is asked for another', async () => {
    const { status, err } = await run('keys', 'prairie/staging')
    expect(status).toBe(1)
    expect(err).toContain('must be one of prairie/sandbox, prairie/production, summit/sandbox')
  })

  it('proves the audit trail of a whole authorization (R35)', async () => {
    const { status, out } = await run('audit-verify')
    expect(status).toBe(0)
    expect(out).toMatch(/\d+ entries, whole/)
  })

  it('exports the trail as JSON lines, without tokens, codes or names (R35)', async () => {
    const { out } = await run('audit-export', 'prairie/sandbox')
    const entries = out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
    expect(entries.map(({ type }) => type)).toEqual(
      expect.arrayContaining([
        ...['member.signed-in', 'patient.chosen', 'consent.shown', 'consent.shared'],
        ...['code.issued', 'token.issued', 'token.revoked'],
      ]),
    )
    expect(new Set(entries.map(({ issuer }) => issuer))).toEqual(new Set(['prairie/sandbox']))
    expect(out).not.toMatch(/rt_|eyJ|Okafor|prairie-sandbox-1/)
  })

  it('prints the SMART configuration that the server serves, for a FHIR server elsewhere (R42)', async () => {
    const { out } = await run('smart-configuration', 'summit/sandbox')
    const served = await fetch(`${server.url}/v5/summit/fhir/.well-known/smart-configuration`)
    expect(JSON.parse(out)).toEqual(await served.json())
  })

  it('needs to know which issuer, and says so', async () => {
    const { status, err } = await run('smart-configuration')
    expect(status).toBe(2)
    expect(err).toContain('smart-configuration needs ISSUER')
  })
})
