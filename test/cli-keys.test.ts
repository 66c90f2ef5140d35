/** The commands about keys: what they do to a running server, and what they tell the operator. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { stringify } from 'yaml'
import { demoApp, obtainTokens } from './support/authorize.ts'
import { runAt } from './support/command.ts'
import { startServer, type TestServer } from './support/server.ts'
import { headerOf } from './support/wire.ts'

let server: TestServer
beforeAll(async () => {
  server = await startServer()
})
afterAll(() => server.close())

const run = (...args: string[]) => runAt(server, ...args)
const kids = async (issuer = 'prairie/sandbox') => {
  const { keys } = (await (await fetch(`${server.url}/${issuer}/jwks`)).json()) as { keys: { kid: string }[] }
  return keys.map(({ kid }) => kid)
}

describe('keys rotate', () => {
  it('says what is made and when it signs, of one issuer; said again, that it waits; and the list tells', async () => {
    const before = await kids()
    const { status, out } = await run('keys', 'rotate', 'prairie/sandbox')
    expect(status).toBe(0)
    const made = [...out.matchAll(/(\S+) {2}(ES256|RS256) {2}is made and published; it signs from (\S+)/g)]
    expect(made.map(([, , algorithm]) => algorithm)).toEqual(['ES256', 'RS256'])
    for (const [, kid, , from] of made) {
      expect(await kids()).toContain(kid)
      expect(Math.abs(Date.parse(from ?? '') - Date.now() - 86_400_000)).toBeLessThan(60_000)
    }
    for (const name of ['cookies', 'forms', 'refresh tokens'])
      expect(out).toContain(`the secret of the ${name}: a new one is made`)
    expect(out).toContain('apps and members notice nothing')
    expect(await kids()).toHaveLength(before.length + 2)
    expect(await kids('prairie/production')).toHaveLength(2)

    expect((await run('keys', 'rotate', 'prairie/sandbox')).out).toContain('is published already; it signs from')
    expect(await kids()).toHaveLength(before.length + 2)
    const listed = await run('keys', 'list', 'prairie/sandbox')
    expect(listed.out).toBe((await run('keys', 'prairie/sandbox')).out)
    for (const [, kid] of made) expect(listed.out).toMatch(new RegExp(`${kid} .* next .* signs from `))
    expect(`${out}${listed.out}`).not.toMatch(/"d"|v1\./)
  })

  it('is written to the audit stream too (R35)', async () => {
    const { out } = await run('audit-export', 'prairie/sandbox')
    expect(out).toContain('"type":"key.created"')
    expect((await run('audit-verify')).out).toContain('whole')
  })
})

describe('keys revoke', () => {
  it('wants to hear that the key is compromised, and says what is for the other case', async () => {
    const [kid = ''] = await kids()
    const { status, err } = await run('keys', 'revoke', kid)
    expect(status).toBe(1)
    expect(err).toContain('--compromised')
    expect(err).toContain('keys rotate')
    expect(await kids()).toContain(kid)
  })

  it('unpublishes, names the successor, and says what apps, members and FHIR servers notice', async () => {
    const { access_token } = await obtainTokens(demoApp(server.url))
    const { kid } = headerOf(access_token)
    const { status, out } = await run('keys', 'revoke', kid, '--compromised')
    expect(status).toBe(0)
    expect(out).toContain(`${kid}  ES256  was current at prairie/sandbox`)
    const [, successor] = /^(\S+) {2}ES256 {2}signs in its place/m.exec(out) ?? []
    expect(await kids()).not.toContain(kid)
    expect(await kids()).toContain(successor)
    expect(out).toMatch(/Apps need do nothing.*refresh/)
    expect(out).toMatch(/at most ten minutes/)
    expect(headerOf((await obtainTokens(demoApp(server.url))).access_token).kid).toBe(successor)
  })

  it.each([
    [['keys', 'revoke'], 2, 'keys revoke needs KID'],
    [['keys', 'revoke', 'no-such-key', '--compromised'], 1, 'must be a key that `keys list` names'],
    [['keys', 'revoke', 'one', 'two', '--compromised'], 2, 'keys revoke takes no two'],
    [['keys', 'rotate', '--compromised'], 2, 'keys rotate takes no --compromised'],
    [['keys', 'rotate', 'prairie/staging'], 1, 'must be one of prairie/sandbox'],
  ])('%j ends with %i: %s', async (args, status, message) => {
    expect(await run(...args)).toMatchObject({ status, err: expect.stringContaining(message) })
  })
})

describe('sealing keys in keys list', () => {
  const listWith = async (...ids: string[]) => {
    const file = join(server.folder, 'sealing.yaml')
    const sealingKeys = ids.map((id) => ({ id, secret: `${id}: a secret of thirty-two characters` }))
    writeFileSync(file, stringify({ sealingKeys, plans: { prairie } }))
    return (await run('keys', 'list', '--config', file)).out
  }
  const prairie = {
    name: 'Prairie',
    contacts: { serviceDesk: { name: 'Desk', phone: '1-800-555-0100' } },
    environments: { sandbox: { sandbox: true, apis: { fhir: { name: 'API', sandbox: true } } } },
  }

  it('says which is still needed, which is not, and which is missing', async () => {
    expect(await listWith('development')).toMatch(/ {2}development {2}seals what is new; sealed \d+ keys/)
    const turned = await listWith('newer', 'development', 'older')
    expect(turned).toMatch(/ {2}newer {2}seals what is new; sealed 0 keys/)
    expect(turned).toMatch(/ {2}development {2}still needed: sealed \d+ keys/)
    expect(turned).toContain('  older  sealed none of these; needed for 8 hours after no server has it first')
    expect(await listWith('newer')).toMatch(/ {2}development {2}NOT CONFIGURED, and \d+ keys/)
  })
})
