import { describe, expect, it } from 'vitest'
import { lines, load, localConfig, type Options, publicConfig, publicEnv, set } from './fixture.ts'

const SANDBOX = 'plans.alder.environments.sandbox'
const PRODUCTION = 'plans.alder.environments.production'

function faultsOf(config: Options): string[] {
  return lines(load(config, publicEnv).faults)
}

function warningsOf(config: Options): string[] {
  const { warnings, faults } = load(config, publicEnv)
  expect(lines(faults)).toEqual([])
  return lines(warnings)
}

describe('a server that the world can reach', () => {
  it('starts without a warning when nothing is unsafe', () => {
    expect(warningsOf(publicConfig())).toEqual([])
  })

  it('refuses a key that is marked as a development key', () => {
    const key = { id: 'one', secret: { env: 'SEALING_KEY' }, development: true }
    expect(faultsOf(set(publicConfig(), 'sealingKeys', [key]))[0]).toMatch(
      /^sealingKeys\.0: is a published development key/,
    )
  })

  it('refuses the published development key even where it is read from a variable and not marked', () => {
    const { faults } = load(publicConfig(), {
      ...publicEnv,
      SEALING_KEY: 'latchkey-development-sealing-key-published-for-demonstrations',
    })
    expect(lines(faults)[0]).toMatch(/^sealingKeys\.0: is a published development key/)
  })

  it('refuses secrets that stand in the file', () => {
    const config = set(publicConfig(), 'mail.smtpUrl', 'smtps://user:hunter2@mail.example.org')
    set(config, 'sealingKeys.0', { id: 'one', secret: 'a-secret-of-this-test-with-forty-characters' })
    const faults = faultsOf(config)
    expect(faults).toHaveLength(2)
    expect(faults[0]).toMatch(
      /^sealingKeys\.0\.secret: must not stand in the file .*accepted are \{file: path\} and \{env: NAME\}$/,
    )
    expect(faults[1]).toMatch(/^mail\.smtpUrl: must not stand in the file/)
    expect(faults.join()).not.toContain('hunter2')
  })

  it('accepts a mail server without a password in the file, and a password from SMTP_URL', () => {
    expect(faultsOf(set(publicConfig(), 'mail.smtpUrl', 'smtp://relay.example.org'))).toEqual([])
    const config = set(publicConfig(), 'mail', undefined)
    expect(load(config, { ...publicEnv, SMTP_URL: 'smtps://u:p@mail.example.org' }).faults).toEqual([])
  })

  it('refuses to keep letters on a page', () => {
    expect(faultsOf(set(publicConfig(), 'mail', undefined))[0]).toMatch(
      /^mail\.smtpUrl: is required where the server’s address/,
    )
  })

  it('refuses demonstration apps and members', () => {
    expect(faultsOf(set(publicConfig(), `${SANDBOX}.demonstration`, {}))[0]).toMatch(
      /sandbox\.demonstration: demonstration apps and members have published passwords, so they are refused/,
    )
  })

  it('is one already when a single issuer is elsewhere', () => {
    const config = set(localConfig(), `${PRODUCTION}.url`, 'https://auth.alder.example.org')
    expect(lines(load(config).faults).join('\n')).toMatch(/sealingKeys\.0\.secret: must not stand in the file/)
  })

  it('is not one at localhost, 127.0.0.0/8 and [::1]', () => {
    for (const url of ['http://localhost:3000', 'http://127.1.2.3', 'https://[::1]:8443']) {
      expect(lines(load(set(localConfig(), 'publicUrl', url)).faults), url).toEqual([])
    }
  })
})

describe('warnings about what is allowed and unsafe', () => {
  it.each([
    ['log.level', 'trace', /^log\.level: trace/],
    ['tokens.accessTokenMinutes', 30, /^tokens\.accessTokenMinutes: 30 minutes/],
    ['trustedProxies', ['0.0.0.0/0'], /^trustedProxies\.0: believes X-Forwarded-For from everyone/],
    ['trustedProxies', ['::/0'], /^trustedProxies\.0: believes X-Forwarded-For from everyone/],
    ['trustedProxies', [], /^trustedProxies: is empty/],
    ['database.url', 'sqlite::memory:', /^database\.url: keeps everything in memory/],
    ['recovery.endingsLog', null, /^recovery\.endingsLog: is not set.*alive again after a restore/],
    ['database.url', { env: 'POSTGRES' }, /^recovery\.endingsLog: is not set/],
    ['mail.smtpUrl', 'smtp://relay.example.org', undefined],
    ['plans.alder.contacts.educationUrl', undefined, /^plans\.alder\.contacts\.educationUrl: is not set.*422\.119/],
    [`${PRODUCTION}.apis.fhir.audienceRequired`, false, /audienceRequired: false: .*counterfeit/],
    [`${PRODUCTION}.apis.fhir.tokenProfile`, { typ: 'JWT' }, /tokenProfile\.typ: JWT does not tell/],
    [`${PRODUCTION}.apis.fhir.tokenProfile`, { algorithm: 'RS256', claims: { contract: 'H0000' } }, undefined],
    [
      `${PRODUCTION}.apis.fhir.tokenProfile`,
      { algorithm: 'RS256', scopeFormat: 'array', patientAliases: ['mpiid', 'member_number'] },
      /tokenProfile: leaves no room for all that members may tick/,
    ],
  ])('%s: %j', (path, value, message) => {
    const warnings = warningsOf(set(publicConfig(), path, value))
    if (message) expect(warnings).toEqual([expect.stringMatching(message)])
    else expect(warnings).toEqual([])
  })

  it('several plans in one SQLite file', () => {
    const config = publicConfig()
    const plans = config.plans as Options
    plans.birch = structuredClone(plans.alder)
    expect(warningsOf(config)).toEqual([expect.stringMatching(/^database\.url: keeps 2 plans in one SQLite file/)])
  })

  it('a mail password that may travel unencrypted', () => {
    const warned = (MAIL: string) => load(publicConfig(), { ...publicEnv, MAIL }).warnings.length
    expect(warned('smtp://u:p@relay.example.org')).toBe(1)
    expect(warned('smtp://u:p@relay.example.org?requireTLS=true')).toBe(0)
    expect(warned('smtp://u:p@127.0.0.1')).toBe(0)
  })

  it('demonstration members whom other machines can reach', () => {
    const config = set(localConfig(), `${SANDBOX}.demonstration`, {})
    expect(lines(load(config, { HOST: '0.0.0.0' }).warnings)).toEqual([
      'listen.host: lets other machines reach demonstration members, whose passwords are published; use 127.0.0.1',
    ])
    expect(load(config, { HOST: '::1' }).warnings).toEqual([])
    expect(load(localConfig(), { HOST: '0.0.0.0' }).warnings).toEqual([])
  })
})
