import { describe, expect, it } from 'vitest'
import { loadSettings, VARIABLES } from '../../src/config/load.ts'
import { InputFaults } from '../../src/errors.ts'
import { lines, load, localConfig, publicConfig, publicEnv, set } from './fixture.ts'

describe('a sound file', () => {
  it('gives settings with every default filled in', () => {
    const { settings, warnings, faults } = load(localConfig())
    expect(lines(faults)).toEqual([])
    expect(warnings).toEqual([])
    expect(settings).toMatchObject({
      publicUrl: 'http://localhost:3000',
      listen: { host: '127.0.0.1', port: 3000 },
      database: { url: 'sqlite:data/latchkey.db' },
      log: { level: 'info' },
      mail: { from: 'no-reply@localhost', smtpUrl: null },
      tokens: { accessTokenMinutes: 10, idTokenOnRefresh: false },
    })
    expect(settings.audit.node).not.toBe('')
    expect(settings.tokens.refreshTokenDays).toBeGreaterThanOrEqual(90)
  })

  it('derives issuers, endpoints and sandbox bases from the public URL (R41)', () => {
    const config = set(localConfig(), 'publicUrl', 'http://localhost:8080')
    const [sandbox, production] = load(config).settings.plans[0]?.environments ?? []
    expect(sandbox).toMatchObject({
      id: 'alder/sandbox',
      name: 'Sandbox',
      issuer: 'http://localhost:8080/alder/sandbox',
      endpoints: {
        authorization: { path: '/alder/sandbox/authorize', aliases: [] },
        token: { path: '/alder/sandbox/token' },
        introspection: { path: '/alder/sandbox/introspect' },
        revocation: { path: '/alder/sandbox/revoke' },
        userinfo: { path: '/alder/sandbox/userinfo' },
        jwks: { path: '/alder/sandbox/jwks' },
      },
    })
    expect(sandbox?.apis[0]).toMatchObject({
      baseUrl: 'http://localhost:8080/alder/sandbox/fhir',
      interactions: 'rs',
      audienceRequired: true,
      tokenProfile: { algorithm: 'ES256', typ: 'at+jwt', scopeClaim: 'scope', scopeFormat: 'string' },
    })
    expect(production?.apis[0]?.baseUrl).toBe('https://fhir.alder.example.org/r4')
    expect(production?.plan.environments[1]).toBe(production)
  })

  it('has an education page for each language, where there is one at all (R31)', () => {
    const pageOf = (value: unknown) =>
      load(set(localConfig(), 'plans.alder.contacts.educationUrl', value)).settings.plans[0]?.contacts.educationUrl
    expect(pageOf('https://a.example/x')).toEqual({ en: 'https://a.example/x', es: 'https://a.example/x' })
    const both = { en: 'https://a.example/en', es: 'https://a.example/es' }
    expect(pageOf(both)).toEqual(both)
    expect(pageOf({ es: 'https://a.example/es' })).toEqual({ en: 'https://a.example/es', es: 'https://a.example/es' })
    expect(pageOf({})).toBeNull()
    expect(pageOf(null)).toBeNull()
  })

  it('takes an issuer on a host of its own, with aliases of its endpoints (R41)', () => {
    const config = publicConfig()
    set(config, 'plans.alder.environments.production.url', 'https://auth.alder.example.org')
    set(config, 'plans.alder.environments.production.endpoints', {
      token: { path: '/v5/oauth/token', aliases: ['/v3/oauth/token'] },
      jwks: '/keys',
      revocation: { aliases: ['/v3/oauth/revoke'] },
    })
    const { settings, faults } = load(config, publicEnv)
    expect(lines(faults)).toEqual([])
    expect(settings.plans[0]?.environments[1]).toMatchObject({
      issuer: 'https://auth.alder.example.org',
      endpoints: {
        authorization: { path: '/authorize' },
        token: { path: '/v5/oauth/token', aliases: ['/v3/oauth/token'] },
        jwks: { path: '/keys', aliases: [] },
        revocation: { path: '/revoke', aliases: ['/v3/oauth/revoke'] },
      },
    })
  })

  it('fills {issuer} and {publicUrl} into addresses of demonstration apps', () => {
    const config = set(localConfig(), 'plans.alder.environments.sandbox.demonstration', {
      apps: {
        a: { name: 'A', kind: 'public', redirectUris: ['{issuer}/demo/', '{publicUrl}/x'], website: '{issuer}/demo/' },
      },
    })
    expect(load(config, { PORT: '4000' }).settings.plans[0]?.environments[0]?.demonstration?.apps[0]).toMatchObject({
      redirectUris: ['http://localhost:4000/alder/sandbox/demo/', 'http://localhost:4000/x'],
      website: 'http://localhost:4000/alder/sandbox/demo/',
    })
  })
})

describe('environment variables', () => {
  it('stand over the file, each by the visible table', () => {
    const { settings, faults } = load(set(localConfig(), 'listen', { port: 3100 }), {
      PUBLIC_URL: 'http://127.0.0.1:9000',
      HOST: '::1',
      PORT: '4000',
      TRUSTED_PROXIES: '10.0.0.0/8, 192.0.2.1',
      DATABASE_URL: 'sqlite:/tmp/x.db',
      REDIS_NODES: '127.0.0.1:6379',
      LOG_LEVEL: 'debug',
      LATCHKEY_NODE: 'node-7',
      AUDIT_STREAM: '/tmp/audit.jsonl',
      ENDINGS_LOG: '/tmp/endings-{node}.jsonl',
      MAIL_FROM: 'a@example.org',
      SMTP_URL: 'smtp://localhost:2525',
    })
    expect(lines(faults)).toEqual([])
    expect(settings).toMatchObject({
      publicUrl: 'http://127.0.0.1:9000',
      listen: { host: '::1', port: 4000 },
      trustedProxies: ['10.0.0.0/8', '192.0.2.1'],
      database: { url: 'sqlite:/tmp/x.db' },
      redis: { kind: 'single', nodes: [{ host: '127.0.0.1', port: 6379 }] },
      log: { level: 'debug' },
      audit: { node: 'node-7', stream: '/tmp/audit.jsonl' },
      recovery: { endingsLog: '/tmp/endings-node-7.jsonl' },
      mail: { from: 'a@example.org', smtpUrl: 'smtp://localhost:2525' },
    })
    expect(VARIABLES).toHaveLength(13)
  })

  it.each([
    ['sqlite:data/x.db', 'data/x.db.endings.jsonl'],
    ['sqlite::memory:', null],
    ['postgres://u@db.example.org/x', null],
  ])('leave the log of endings beside the file of %s', (url, file) => {
    const { settings } = load(localConfig(), { DATABASE_URL: url })
    expect(settings.recovery.endingsLog).toBe(file)
  })

  it('move the public URL with PORT, unless it is set', () => {
    expect(load(localConfig(), { PORT: '4000' }).settings.publicUrl).toBe('http://localhost:4000')
    const fixed = set(localConfig(), 'publicUrl', 'http://localhost:3000')
    expect(load(fixed, { PORT: '4000' }).settings.publicUrl).toBe('http://localhost:3000')
  })

  it('count as not set when empty', () => {
    expect(load(localConfig(), { PORT: '', PUBLIC_URL: '' }).settings.publicUrl).toBe('http://localhost:3000')
  })

  it.each(['0', '65536', '-1', '3000x', '3e3', ' 3000', '0x10'])('refuse the port %j and name the variable', (PORT) => {
    const { faults } = load(localConfig(), { PORT })
    expect(lines(faults)).toEqual([
      'listen.port: must be a whole number from 1 to 65535 (it is set by the variable PORT)',
    ])
  })

  it('are named by faults that other rules find', () => {
    expect(lines(load(localConfig(), { SMTP_URL: 'mail.example.org' }).faults)).toEqual([
      'mail.smtpUrl: must be an address such as smtps://mail.example.org (it is set by the variable SMTP_URL)',
    ])
  })

  it('do not hide that the section which they fill is wrong in the file', () => {
    expect(lines(load(set(localConfig(), 'listen', 'everywhere'), { PORT: '4000' }).faults)).toEqual([
      'listen: must be a group of options (host, port, drainSeconds)',
    ])
  })
})

describe('the file itself', () => {
  it('is required by name where NODE_ENV is production', () => {
    const start = () => loadSettings({ env: { NODE_ENV: 'production' } })
    expect(start).toThrow(InputFaults)
    expect(start).toThrow(/LATCHKEY_CONFIG: is required where NODE_ENV is production/)
  })

  it('must say the public URL where NODE_ENV is production, so that published secrets never pass by default', () => {
    const env = { NODE_ENV: 'production' }
    expect(lines(load(localConfig(), env).faults)).toEqual([
      'publicUrl: is required where NODE_ENV is production: an https address',
    ])
    expect(load(localConfig(), { ...env, PUBLIC_URL: 'http://localhost:3000' }).faults).toEqual([])
  })

  it('is named when it cannot be read', () => {
    const readFile = () => {
      throw Object.assign(new Error('no'), { code: 'EACCES' })
    }
    expect(() => loadSettings({ env: { LATCHKEY_CONFIG: '/etc/x.yaml' }, readFile })).toThrow(
      '/etc/x.yaml: the configuration file cannot be read (EACCES)',
    )
  })

  it.each([
    ['a: 1\nb: [1\nc: 2\n', /line 3, column 1: Flow sequence/],
    ['a: 1\na: 2\n', /line 2, column 1: Map keys must be unique/],
    ['a:\n\tb: 1\n', /line 2, column 1: /],
    ['a: "unclosed\n', /line 2, column 1: Missing closing/],
    ['a: 1\n---\nb: 2\n', /line 2, column 1: /],
    ['a: *hunter2\n', /line 1, column 4: no anchor has this name/],
    ['a: !hunter2 x\n', /line 1, column 4: Unresolved tag/],
    ['a: "\\hunter2"\n', /line 1, column \d+: Invalid escape sequence/],
  ])('tells line and column of what is no YAML: %j', (text, message) => {
    const { faults } = load(text)
    expect(lines(faults).join('\n')).toMatch(message)
    expect(lines(faults).join('\n')).not.toContain('hunter2')
    expect(faults[0]?.path).toBe('/etc/latchkey.yaml')
  })

  it('refuses a bomb of aliases', () => {
    const text = `a: &a [${'x,'.repeat(20)}]\n${'bcdefg'
      .split('')
      .map((name, index) => `${name}: &${name} [${`*${'abcdefg'[index]},`.repeat(20)}]`)
      .join('\n')}\n`
    expect(lines(load(text).faults)).toEqual(['/etc/latchkey.yaml: has more aliases than a configuration needs'])
  })

  it.each(['', '- a\n', 'text\n', '7\n'])('refuses %j as a whole', (text) => {
    expect(lines(load(text).faults)[0]).toMatch(/^the file: must be a group of options \(publicUrl, /)
  })
})

describe('secrets', () => {
  it('are read from a file beside the configuration, without the last line end', () => {
    const config = set(localConfig(), 'sealingKeys', [{ id: 'one', secret: { file: 'secrets/key' } }])
    const files = { '/etc/secrets/key': 'x'.repeat(40).concat('\n') }
    expect(load(config, {}, files).settings.sealingKeys).toEqual([
      { id: 'one', secret: 'x'.repeat(40), development: false },
    ])
  })

  it('are read from a variable', () => {
    const config = set(localConfig(), 'sealingKeys', [{ id: 'one', secret: { env: 'KEY' } }])
    expect(load(config, { KEY: 'y'.repeat(40) }).settings.sealingKeys[0]?.secret).toBe('y'.repeat(40))
  })

  it('that cannot be read are told once each, with the reason', () => {
    const config = set(localConfig(), 'sealingKeys', [
      { id: 'one', secret: { file: '/run/secrets/missing' } },
      { id: 'two', secret: { file: '/run/secrets/empty' } },
      { id: 'three', secret: { env: 'ABSENT' } },
    ])
    expect(lines(load(config, {}, { '/run/secrets/empty': '\n' }).faults)).toEqual([
      'sealingKeys.0.secret: the file /run/secrets/missing cannot be read (ENOENT)',
      'sealingKeys.1.secret: the file /run/secrets/empty is empty',
      'sealingKeys.2.secret: the environment variable ABSENT is not set',
    ])
  })

  it('of a wrong shape are told with what is accepted', () => {
    for (const secret of [7, true, ['x'], {}, { file: 'a', env: 'B' }, { env: 'not a name' }, '']) {
      const { faults } = load(set(localConfig(), 'sealingKeys', [{ id: 'one', secret }]))
      expect(lines(faults).join('\n'), JSON.stringify(secret)).toMatch(/^sealingKeys\.0\.secret/)
    }
  })

  it('are never repeated in a fault, whatever is wrong with them', () => {
    const config = localConfig()
    set(config, 'sealingKeys', [
      { id: 'one', secret: 'hunter2' },
      { id: 'two', secret: 'hunter2', sekret: 'hunter2' },
    ])
    set(config, 'publicUrl', 'https://u:hunter2@login.example.org')
    set(config, 'database', { url: 'postgres://u:hunter2@db' })
    set(config, 'mail', { smtpUrl: 'hunter2', from: 'hunter2 <' })
    set(config, 'plans.alder.environments.sandbox.demonstration', {
      apps: { a: { name: 'A', kind: 'public', secret: 'hunter2' } },
      members: { m: { name: 'M', password: 'hunter2' } },
    })
    const text = lines(load(config).faults).join('\n')
    expect(text).toMatch(/database\.url/)
    expect(text).not.toContain('hunter2')
  })
})
