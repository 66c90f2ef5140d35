import { describe, expect, it } from 'vitest'
import { contrast } from '../../src/config/contrast.ts'
import { lines, load, localConfig, type Options, publicConfig, publicEnv, set } from './fixture.ts'

const SANDBOX = 'plans.alder.environments.sandbox'
const PRODUCTION = 'plans.alder.environments.production'

/** Faults of a local configuration with one option changed. */
function faultsWith(path: string, value: unknown): string[] {
  return lines(load(set(localConfig(), path, value)).faults)
}

describe('how members of a plan share', () => {
  const PLAN = 'plans.alder'
  const labels = [{ system: 'https://alder.example.org/labels', code: 'x' }]
  const words = { en: 'Words', es: 'Palabras' }

  it.each([
    ['durations', ['P1M', 'date'], `${PLAN}.sharing.durations: must have one of 3 months or more, such as P3M`],
    ['durations', ['P2M', 'P91D'], `${PLAN}.sharing.durations: must have one of 3 months or more`],
    ['durations', ['date'], `${PLAN}.sharing.durations: must have one of 3 months or more`],
    ['durations', ['P1Y', 'P3M', 'P3M'], `${PLAN}.sharing.durations.2: is listed twice`],
    ['durations', [], `${PLAN}.sharing.durations: must be a list of at least 1`],
    [
      'durations',
      ['P3M', 'PT1H', 'P1Y'],
      `${PLAN}.sharing.durations.1: must be a duration such as P3M or P1Y, or date`,
    ],
    ['durations', ['P0D', 'P1Y'], `${PLAN}.sharing.durations.0: must be a duration`],
    ['durations', ['once', 'P1Y'], `${PLAN}.sharing.durations.0: must be a duration`],
    ['preselected', 'P5Y', `${PLAN}.sharing.preselected: must be one of sharing.durations: P3M, P1Y, date`],
    ['preselected', 'once', `${PLAN}.sharing.preselected: must be a duration`],
    ['longestDays', 89, `${PLAN}.sharing.longestDays: must be a whole number from 90 to 3650`],
  ])('sharing.%s: %j is refused', (option, value, message) => {
    const faults = faultsWith(`${PLAN}.sharing.${option}`, value)
    expect(
      faults.some((fault) => fault.startsWith(message)),
      faults.join('\n'),
    ).toBe(true)
  })

  it.each([
    [['P3M'], 'P3M'],
    [['P92D'], 'P92D'],
    [['P1Y', 'date'], 'date'],
    [['P5D', 'P13M'], 'P5D'],
  ])('durations %j, %s chosen at first, are accepted (R8)', (durations, preselected) => {
    expect(faultsWith(`${PLAN}.sharing`, { durations, preselected })).toEqual([])
  })

  it.each(['America/Chicago', 'UTC', 'Pacific/Honolulu'])('%s is a time zone', (name) => {
    expect(faultsWith(`${PLAN}.timeZone`, name)).toEqual([])
  })

  it.each(['Central', 'America/Springfield', '../etc'])('%s is none', (name) => {
    expect(faultsWith(`${PLAN}.timeZone`, name)).toEqual([
      `${PLAN}.timeZone: is no time zone; accepted are names such as America/Chicago`,
    ])
  })

  it('a usual sensitive category needs nothing; one of the plan’s own needs labels, and words in each language (R25)', () => {
    const at = `${PLAN}.sensitiveCategories`
    expect(faultsWith(at, { hiv: {}, genetics: {} })).toEqual([])
    expect(faultsWith(`${at}.rare`, { labels, name: words, explanation: words })).toEqual([])
    expect(faultsWith(`${at}.rare`, { name: { en: 'Rare' } })).toEqual([
      `${at}.rare.labels: is required for a category of your own`,
      `${at}.rare.name.es: is required: words for every language of the plan`,
      `${at}.rare.explanation.en: is required: words for every language of the plan`,
      `${at}.rare.explanation.es: is required: words for every language of the plan`,
    ])
  })

  it('the scope of a sensitive category is its own (R25)', () => {
    const at = `${PLAN}.sensitiveCategories`
    expect(faultsWith(at, { hiv: { scope: 'sensitive/hiv' }, genetics: {}, violence: {} })).toEqual([])
    expect(faultsWith(at, { hiv: { scope: 'sensitive/x' }, genetics: { scope: 'sensitive/x' } })).toEqual([
      `${at}.genetics.scope: is the scope of hiv too; each is released alone`,
    ])
    for (const scope of ['patient/*.rs', 'sensitive/', 'sensitive/A b', 'openid'])
      expect(faultsWith(`${at}.hiv`, { scope })[0]).toMatch(/hiv\.scope: must be a scope such as sensitive\//)
  })
})

describe('options by themselves', () => {
  it.each([
    ['publicUrl', 'http://login.example.org', /^publicUrl: must be https/],
    ['publicUrl', 'https://login.example.org/auth', /^publicUrl: must have no path/],
    ['publicUrl', 7, /^publicUrl: must be an https address/],
    ['listen.port', '3000', /^listen\.port: must be a whole number from 1 to 65535/],
    ['listen.host', '', /^listen\.host: must be text/],
    ['trustedProxies', ['10.0.0.0/33'], /^trustedProxies\.0: must be an IP address or a block/],
    ['trustedProxies', ['proxy.example.org'], /^trustedProxies\.0: must be an IP address or a block/],
    ['trustedProxies', '10.0.0.0/8', /^trustedProxies: must be a list/],
    ['database.url', 'mysql://db/x', /^database\.url: must be sqlite: and the path of a file/],
    ['sealingKeys', [], /^sealingKeys: must be a list of at least 1/],
    ['sealingKeys', undefined, /^sealingKeys: is required: a list of at least 1/],
    ['log.level', 'verbose', /^log\.level: must be one of trace, debug, info, warn, error$/],
    ['mail.from', 'A <a@example.org>\r\nBcc: b@example.org', /^mail\.from: must be an e-mail address/],
    ['mail.smtpUrl', 'https://mail.example.org', /^mail\.smtpUrl: must be an address such as smtps:/],
    ['session.idleMinutes', 0, /^session\.idleMinutes: must be a whole number from 1 to 120/],
    ['tokens.accessTokenMinutes', 61, /^tokens\.accessTokenMinutes: must be a whole number from 1 to 60$/],
    ['tokens.accessTokenMinutes', 10.5, /^tokens\.accessTokenMinutes: must be a whole number/],
    ['tokens.refreshTokenDays', 89, /^tokens\.refreshTokenDays: must be a whole number from 90/],
    ['tokens.idTokenOnRefresh', 'yes', /^tokens\.idTokenOnRefresh: must be true or false$/],
    ['plans', {}, /^plans: must name at least one$/],
    ['plans', undefined, /^plans: is required: a map/],
    ['plans', ['alder'], /^plans: must be a map/],
    ['plans.alder.name', undefined, /^plans\.alder\.name: is required: text/],
    ['plans.alder.languages', [], /^plans\.alder\.languages: must be a list of at least 1/],
    [
      'plans.alder.contacts.serviceDesk.phone',
      'call us',
      /^plans\.alder\.contacts\.serviceDesk\.phone: must be a telephone/,
    ],
    [
      'plans.alder.contacts.website',
      'http://example.org',
      /^plans\.alder\.contacts\.website: must be an https address$/,
    ],
    ['plans.alder.contacts.educationUrl', 'javascript:alert(1)', /educationUrl: must be an https address$/],
    ['plans.alder.brand.color', 'blue', /^plans\.alder\.brand\.color: must be a colour such as/],
    ['plans.alder.brand.logoUrl', 'http://example.org/x.png', /logoUrl: must be an https address$/],
    ['plans.alder.environments', {}, /^plans\.alder\.environments: must name at least one$/],
    [`${SANDBOX}.apis`, {}, /sandbox\.apis: must name at least one$/],
    [`${SANDBOX}.url`, 'http://localhost:3000/elsewhere/', /sandbox\.url: must not end with a slash$/],
    [`${SANDBOX}.url`, '/a/', /sandbox\.url: must be a path that starts with a slash/],
    [`${SANDBOX}.endpoints.token`, 'token', /endpoints\.token: must be a path/],
    [`${SANDBOX}.endpoints.token`, { path: '/a?b' }, /endpoints\.token\.path: must be a path/],
    [`${SANDBOX}.endpoints.token`, { aliases: ['/a', 'b'] }, /endpoints\.token\.aliases\.1: must be a path/],
    [`${SANDBOX}.endpoints.token`, ['/a'], /endpoints\.token: must be a path, or \{path, aliases\}$/],
    [`${SANDBOX}.apis.fhir.interactions`, 'sr', /interactions: must be an in-order subset of cruds/],
    [`${SANDBOX}.apis.fhir.interactions`, '', /interactions: must be an in-order subset of cruds/],
    [
      `${SANDBOX}.apis.fhir.resources`,
      ['Patient', 'Coverages'],
      /resources\.1: is no resource type.*did you mean Coverage\?$/,
    ],
    [`${SANDBOX}.apis.fhir.tokenProfile`, { algorithm: 'HS256' }, /algorithm: must be one of ES256, RS256$/],
    [`${SANDBOX}.apis.fhir.tokenProfile`, { claims: { contract: 7 } }, /claims\.contract: must be text/],
  ])('%s: %j is refused, with what is accepted', (path, value, message) => {
    const faults = faultsWith(path, value)
    expect(faults.join('\n')).toMatch(message)
    expect(faults).toHaveLength(1)
  })

  it.each([
    ['publicURL', 'https://x.example.org', 'publicURL: is no option here; did you mean publicUrl?'],
    ['listen.prot', 3000, 'listen.prot: is no option here; did you mean port?'],
    ['plans.alder.brand.colour', '#000000', 'plans.alder.brand.colour: is no option here; did you mean color?'],
    [
      `${SANDBOX}.apis.fhir.audienceRequird`,
      true,
      `${SANDBOX}.apis.fhir.audienceRequird: is no option here; did you mean audienceRequired?`,
    ],
    [
      `${SANDBOX}.endpoints.authorize`,
      '/a',
      `${SANDBOX}.endpoints.authorize: is no option here; did you mean authorization?`,
    ],
    [
      'consent.offlineDays',
      365,
      'consent.offlineDays: is no option any more; for how long members may share is said by each plan: plans.*.sharing',
    ],
    ['mail.password', 'hunter2', 'mail.password: is no option here; accepted are from, smtpUrl'],
  ])('unknown option %s is refused', (path, value, message) => {
    expect(faultsWith(path, value)).toContain(message)
  })

  it('names of plans, environments and APIs are lower-case', () => {
    for (const name of ['Alder', 'al der', 'al.der', '4alder', 'al/der', 'a'.repeat(41)]) {
      const plan = (localConfig().plans as Options).alder
      expect(lines(load({ ...localConfig(), plans: Object.fromEntries([[name, plan]]) }).faults)[0], name).toMatch(
        /: the name must be a name of lower-case letters/,
      )
    }
  })
})

describe('every fault at once', () => {
  it('tells unknown options, wrong values, missing ones and rules between options in one answer', () => {
    const config = localConfig()
    set(config, 'publicUrl', 'https://login.example.org')
    set(config, 'listne', { port: 1 })
    set(config, 'log.level', 'loud')
    set(config, 'plans.alder.name', undefined)
    set(config, 'plans.alder.brand', { color: '#ffff00' })
    set(config, 'plans.alder.languages', ['en', 'tlh'])
    set(config, 'sealingKeys.0.secret', { file: '/missing' })
    set(config, `${SANDBOX}.demonstration`, {})
    const paths = load(config).faults.map((fault) => fault.path)
    expect(paths.sort()).toEqual(
      [
        'listne',
        'log.level',
        'plans.alder.name',
        'plans.alder.brand.color',
        'plans.alder.languages.1',
        'sealingKeys.0.secret',
        `${SANDBOX}.demonstration`,
        'mail.smtpUrl',
      ].sort(),
    )
  })

  it('looks into a misspelt section too', () => {
    const { plans, ...config } = localConfig()
    const misspelt = { ...config, pans: plans, lgo: { level: 'loud' } }
    set(misspelt, 'pans.alder.name', 7)
    expect(lines(load(misspelt).faults)).toEqual([
      'pans: is no option here; did you mean plans?',
      'lgo: is no option here; did you mean log?',
      'log.level: must be one of trace, debug, info, warn, error',
      'plans.alder.name: must be text of 1 to 100 characters',
    ])
  })

  it('draws no false conclusion from an option that it could not read', () => {
    expect(faultsWith(`${SANDBOX}.sandbox`, 'yes')).toEqual([`${SANDBOX}.sandbox: must be true or false`])
    const misspelt = set(publicConfig(), 'mail', { smtpURL: { env: 'MAIL' } })
    expect(lines(load(misspelt, publicEnv).faults)).toEqual(['mail.smtpURL: is no option here; did you mean smtpUrl?'])
  })
})

describe('rules between options', () => {
  it('reserves the names of the server’s own pages', () => {
    for (const name of ['portal', 'staff', 'assets', 'healthz', 'readyz', 'metrics', 'interaction']) {
      const plan = (localConfig().plans as Options).alder
      const faults = lines(load({ ...localConfig(), plans: { [name]: plan } }).faults)
      expect(faults).toHaveLength(1)
      expect(faults[0]).toMatch(new RegExp(`^plans\\.${name}: is a reserved name`))
    }
  })

  it('refuses a language without a catalogue (R31)', () => {
    expect(faultsWith('plans.alder.languages', ['en', 'fr', 'en'])).toEqual([
      'plans.alder.languages.1: has no catalogue in views/locales; accepted are en, es',
      'plans.alder.languages.2: is listed twice',
    ])
  })

  it('refuses a brand colour that people cannot read (R30)', () => {
    expect(faultsWith('plans.alder.brand.color', '#ffaa00')[0]).toMatch(/contrast of 1\.9 with white; 4\.5 or more/)
    expect(faultsWith('plans.alder.brand.color', '#777777')[0]).toMatch(/contrast of 4\.5|contrast of 4\.4/)
    expect(faultsWith('plans.alder.brand.color', '#767676')).toEqual([])
    expect(contrast('#000', '#fff')).toBeCloseTo(21)
    expect(contrast('#FFF', '#fff')).toBeCloseTo(1)
  })

  it('refuses sealing keys that are short or alike', () => {
    const secret = 'a-secret-of-this-test-with-forty-characters'
    expect(faultsWith('sealingKeys', [{ id: 'a', secret: 'short' }])).toEqual([
      'sealingKeys.0.secret: must have at least 32 characters; make one with: openssl rand -base64 32',
    ])
    expect(
      faultsWith('sealingKeys', [
        { id: 'a', secret },
        { id: 'a', secret },
      ]),
    ).toEqual(['sealingKeys.1.id: is another key’s id too', 'sealingKeys.1.secret: is another key’s secret too'])
  })

  it('refuses times that contradict each other', () => {
    expect(faultsWith('session', { idleMinutes: 61, absoluteHours: 1 })[0]).toMatch(
      /^session\.idleMinutes: must not be longer/,
    )
    expect(faultsWith('consent', { onceMinutes: 5 })[0]).toMatch(
      /^consent\.onceMinutes: must not be shorter than tokens/,
    )
    expect(faultsWith('signIn', { failuresPerAddress: 5 })[0]).toMatch(/^signIn\.failuresPerAddress: must not be less/)
  })

  it('asks a foreign API for its base, and serves sandbox APIs at sandboxes and on the issuer’s host only', () => {
    expect(faultsWith(`${PRODUCTION}.apis.fhir.baseUrl`, undefined)[0]).toMatch(/baseUrl: is required: the FHIR base/)
    expect(faultsWith(`${PRODUCTION}.apis.fhir`, { name: 'API', sandbox: true })).toEqual([
      `${PRODUCTION}.apis.fhir.sandbox: must be false where the environment is no sandbox`,
    ])
    expect(faultsWith(`${SANDBOX}.apis.fhir.baseUrl`, 'https://fhir.example.org/r4')[0]).toMatch(
      /must be on the issuer’s host/,
    )
  })

  it('refuses one base for two APIs of an issuer, by name or alias (R6, R42)', () => {
    const api = { name: 'Other', baseUrl: 'https://other.example.org', aliases: ['https://fhir.alder.example.org/r4'] }
    expect(faultsWith(`${PRODUCTION}.apis.other`, api)).toEqual([
      `${PRODUCTION}.apis.other.aliases.0: is the same address as ${PRODUCTION}.apis.fhir.baseUrl; aud could not tell them apart`,
    ])
    expect(
      faultsWith(`${PRODUCTION}.apis.other`, { name: 'Other', baseUrl: 'https://fhir.alder.example.org/r4' })[0],
    ).toMatch(/other\.baseUrl: is the same address as/)
  })

  it('keeps claims of its own out of the token profile (R42)', () => {
    const profile = {
      patientAliases: ['mpiid', 'sub', 'mpiid', 'azp'],
      clientIdAliases: ['azp', 'appid', 'client_id', 'mpiid'],
      claims: { iss: 'x', mpiid: 'y', contract: 'H0000', roles: ['fhir-reader'] },
    }
    expect(
      faultsWith(`${SANDBOX}.apis.fhir.tokenProfile`, profile).map((line) => line.replace(/^.*tokenProfile\./, '')),
    ).toEqual([
      'patientAliases.1: is a claim that Latchkey itself sets',
      'patientAliases.2: is given twice',
      'patientAliases.3: is a claim that Latchkey itself sets',
      'clientIdAliases.0: is given twice',
      'clientIdAliases.2: is a claim that Latchkey itself sets',
      'clientIdAliases.3: is given twice',
      'claims.iss: is a claim that Latchkey itself sets',
      'claims.mpiid: is given twice',
    ])
  })
})

describe('addresses (R41)', () => {
  it('refuses two issuers at one address, once', () => {
    const faults = faultsWith(`${PRODUCTION}.url`, '/alder/sandbox')
    expect(faults).toEqual([
      `${PRODUCTION}.url: is the same address as issuer alder/sandbox; two issuers must have two addresses`,
    ])
  })

  it.each([
    [
      `${PRODUCTION}.url`,
      '/alder/sandbox/inner',
      /production\.url: \/alder\/sandbox\/inner overlaps \/alder\/sandbox, the issuer/,
    ],
    [`${PRODUCTION}.url`, '/alder', /production\.url: \/alder overlaps \/alder\/sandbox/],
    [`${PRODUCTION}.url`, 'http://localhost:3000', /production\.url: \/ overlaps/],
    [`${PRODUCTION}.endpoints.token`, '/alder/sandbox/token', /endpoints\.token: \/alder\/sandbox\/token overlaps/],
    [`${PRODUCTION}.endpoints.token`, '/alder/sandbox/fhir/x', /endpoints\.token: .* overlaps \/alder\/sandbox/],
    [`${PRODUCTION}.endpoints.token`, { aliases: ['/alder/production/jwks'] }, /jwks endpoint|token endpoint/],
    [`${PRODUCTION}.endpoints.token`, '/portal/token', /lies in \/portal, where Latchkey has pages/],
    [`${PRODUCTION}.endpoints.token`, '/.well-known/token', /lies in \/\.well-known/],
    [
      `${PRODUCTION}.endpoints.token`,
      '/alder/production/interaction/token',
      /lies in \/alder\/production\/interaction/,
    ],
    [`${PRODUCTION}.endpoints.token`, '/alder/production', /overlaps \/alder\/production, the issuer of this issuer/],
    [`${PRODUCTION}.url`, '/staff/alder', /production\.url: \/staff\/alder lies in \/staff/],
    [`${SANDBOX}.apis.fhir.baseUrl`, '/alder/sandbox', /fhir\.baseUrl: \/alder\/sandbox overlaps/],
    [`${SANDBOX}.apis.fhir.baseUrl`, '/alder/production/fhir', /overlaps/],
    [`${SANDBOX}.endpoints.jwks`, '/alder/sandbox/fhir/jwks', /overlaps/],
  ])('refuses %s: %j', (path, value, message) => {
    const faults = faultsWith(path, value)
    expect(faults.join('\n')).toMatch(message)
    expect(faults).toHaveLength(1)
  })

  it('refuses an alias that two issuers claim', () => {
    const config = set(localConfig(), `${SANDBOX}.endpoints.token`, { aliases: ['/v3/token'] })
    set(config, `${PRODUCTION}.endpoints.token`, { aliases: ['/v3/token'] })
    expect(lines(load(config).faults)).toEqual([
      `${PRODUCTION}.endpoints.token: /v3/token overlaps /v3/token, the token endpoint of issuer alder/sandbox (${SANDBOX}.endpoints.token); choose a path of its own`,
    ])
  })

  it('accepts one path on two hosts, neighbours with a common prefix, and paths outside of the issuer', () => {
    const config = set(publicConfig(), `${PRODUCTION}.url`, 'https://auth.alder.example.org')
    set(config, `${SANDBOX}.endpoints.token`, { aliases: ['/token'] })
    set(config, `${SANDBOX}.url`, '/alder/production-like')
    expect(lines(load(config, publicEnv).faults)).toEqual([])
  })

  it('refuses an issuer with another scheme than the server', () => {
    expect(faultsWith(`${PRODUCTION}.url`, 'https://localhost:8443/alder')).toEqual([
      `${PRODUCTION}.url: must be http or https as publicUrl is`,
    ])
  })
})

describe('demonstration records', () => {
  const app = { name: 'A', kind: 'public', redirectUris: ['http://127.0.0.1/callback'] }
  const ecKey = {
    kty: 'EC',
    kid: 'a',
    crv: 'P-256',
    x: 'UiVqjwEly9DqlsX8QDbqL6S8HtKSj5dLQxu_yauU1wk',
    y: 'cY6937AtScLDepfS85MLF_jSqsaE3vfhCIoIL3t9iX8',
  }
  const shortModulus = Buffer.alloc(128, 0xff).toString('base64url')
  const at = `${SANDBOX}.demonstration.apps.a`

  it.each([
    [{ ...app, secret: 'x' }, 'secret: must not be set for a public app, which cannot keep one'],
    [{ ...app, kind: 'confidential' }, 'secret: is required for a confidential app, or jwks or jwksUri'],
    [{ ...app, redirectUris: [] }, 'redirectUris: is required for a public app: at least one address'],
    [
      { ...app, kind: 'resource-server', secret: 'x' },
      'redirectUris: must be empty for a resource-server, which asks no members',
    ],
    [{ ...app, redirectUris: ['/callback'] }, 'redirectUris.0: must be an absolute address'],
    [{ ...app, redirectUris: ['{isuer}/demo/'] }, 'redirectUris.0: must be an absolute address'],
    [{ ...app, redirectUris: ['http://127.0.0.1/a', 'http://127.0.0.1/a'] }, 'redirectUris.1: is listed twice'],
    [{ ...app, website: 'demo' }, 'website: must be an https address, for instance https://example.org/apps'],
    [
      { ...app, scopes: ['openid', 'patient/Foo.rs'] },
      'scopes.1: is no scope; accepted are for instance openid, launch/patient, patient/Observation.rs',
    ],
    [{ ...app, attestation: { state: 'attested' } }, 'attestation.answers: is required where the state is attested'],
    [
      { ...app, attestation: { state: 'declined', answers: { sold: 'never' } } },
      'attestation.answers: must be left out where the state is declined',
    ],
    [
      { ...app, attestation: { state: 'declined', expiresAt: '2026-02-30' } },
      'attestation.expiresAt: must be a day of the calendar such as 2025-12-31',
    ],
    [
      { name: 'A', kind: 'resource-server', secret: 'x', attestation: { state: 'declined' } },
      'attestation: must not be set for a resource-server, which asks no members',
    ],
    [{ ...app, kind: 'native' }, 'kind: must be one of public, confidential, resource-server, service'],
    [{ name: 'A', kind: 'service', secret: 'x' }, 'scopes: is required for a service: what it was approved for'],
    [
      {
        name: 'A',
        kind: 'service',
        secret: 'x',
        scopes: ['system/Patient.rs'],
        redirectUris: ['https://a.example/cb'],
      },
      'redirectUris: must be empty for a service, which asks no members',
    ],
    [
      { ...app, kind: 'confidential', jwks: { keys: [ecKey] }, jwksUri: 'https://a.example/jwks' },
      'jwksUri: must not be set beside jwks',
    ],
    [
      { ...app, kind: 'confidential', secret: 'x', jwksUri: 'https://a.example/jwks' },
      'jwksUri: is for a confidential app or a service without a secret',
    ],
    [{ ...app, jwksUri: 'https://a.example/jwks' }, 'jwksUri: is for a confidential app or a service without a secret'],
    [
      { ...app, kind: 'confidential', secret: 'x', profile: 'fapi2', redirectUris: ['https://a.example/callback'] },
      'profile: fapi2 needs jwks or jwksUri: the app authenticates with keys',
    ],
    [
      { ...app, kind: 'confidential', profile: 'fapi2', jwksUri: 'https://a.example/jwks' },
      'redirectUris.0: must be an https address: fapi2 has no others',
    ],
    [
      { ...app, kind: 'confidential', jwks: { keys: [{ ...ecKey, d: 'AAAA' }] } },
      'jwks.keys.0: must be a public key, without d: whoever has read it can sign with it',
    ],
    [
      { ...app, kind: 'confidential', jwks: { keys: [ecKey, { kty: 'RSA', kid: 'b', e: 'AQAB', n: shortModulus }] } },
      'jwks.keys.1: must have 2048 bits or more',
    ],
    [
      { ...app, kind: 'confidential', jwks: { keys: [ecKey, ecKey] } },
      'jwks.keys.1.kid: is that of another key of the same kty',
    ],
    [
      { ...app, kind: 'confidential', jwksUri: 'https://user:secret@a.example/jwks' },
      'jwksUri: must not have a user name or password',
    ],
    [{ ...app, launchUrls: ['/launch'] }, 'launchUrls.0: must be an absolute address'],
    [{ ...app, logoutUris: ['/bye'] }, 'logoutUris.0: must be an absolute address'],
  ])('refuse the app %j', (value, message) => {
    expect(faultsWith(at, value)).toEqual([`${at}.${message}`])
  })

  it('are for sandboxes only', () => {
    expect(faultsWith(`${PRODUCTION}.demonstration`, {})[0]).toMatch(/production\.demonstration: is for sandboxes only/)
  })

  it('refuse members that contradict each other (R32)', () => {
    const pat = { name: 'Pat', birthDate: '2010-02-28' }
    const act = { ...pat, basis: 'parent', relatedPerson: 'rp' }
    const faults = faultsWith(`${SANDBOX}.demonstration.members`, {
      one: { name: 'One', password: 'password-1', patients: { pat }, delegations: { pat: act } },
      two: { name: 'Two', password: 'password-1', language: 'fr', delegations: { pat: { ...act, name: 'Pam' } } },
      three: {
        name: 'Three',
        password: 'short',
        delegations: { kid: { ...act, birthDate: '2010-02-30', basis: 'aunt' } },
      },
    })
    expect(faults.map((line) => line.replace(`${SANDBOX}.demonstration.members.`, ''))).toEqual([
      'three.password: must be text of at least 8 characters',
      'three.delegations.kid.birthDate: must be a day of the calendar such as 2025-12-31',
      'three.delegations.kid.basis: must be one of parent, guardian, power-of-attorney, member-designated',
      'two.language: must be one of the plan’s: en, es',
      'one.delegations.pat: is the member’s own record too',
      `two.delegations.pat: says something else of this patient than ${SANDBOX}.demonstration.members.one.patients.pat`,
      'two.delegations.pat.relatedPerson: is given twice; each member and patient have their own (R32)',
      'three.delegations.kid.relatedPerson: is given twice; each member and patient have their own (R32)',
    ])
  })
})
