import { describe, expect, it } from 'vitest'
import { lines, load, localConfig, type Options, publicConfig, publicEnv, set } from './fixture.ts'

const loaded = (redis: unknown, env: Record<string, string> = {}) => load(set(localConfig(), 'redis', redis), env)
const faultsOf = (redis: unknown) => lines(loaded(redis).faults)

describe('redis', () => {
  it('is not used unless it is set', () => {
    expect(load(localConfig()).settings.redis).toBeNull()
  })

  it('is one plain server on this machine by its address alone, without a warning', () => {
    const { settings, warnings } = loaded({ nodes: ['localhost:6379'] })
    expect(warnings).toEqual([])
    expect(settings.redis).toEqual({
      kind: 'single',
      nodes: [{ host: 'localhost', port: 6379 }],
      sentinel: null,
      username: null,
      password: null,
      db: 0,
      tls: null,
    })
  })

  it('reads its secrets from variables and files', () => {
    const redis = {
      kind: 'sentinel',
      nodes: ['[::1]:26379', '127.0.0.1:26380'],
      sentinel: { master: 'latchkey', password: { env: 'SENTINEL' } },
      username: 'latchkey',
      password: { file: 'redis-password' },
      tls: { ca: { file: 'ca.pem' }, certificate: { file: 'cert.pem' }, key: { file: 'key.pem' } },
    }
    const files = Object.fromEntries(
      ['redis-password', 'ca.pem', 'cert.pem', 'key.pem'].map((name) => [`/etc/${name}`, `${name} text\n`]),
    )
    const { settings, faults } = load(set(localConfig(), 'redis', redis), { SENTINEL: 'watch' }, files)
    expect(lines(faults)).toEqual([])
    expect(settings.redis).toMatchObject({
      nodes: [
        { host: '::1', port: 26379 },
        { host: '127.0.0.1', port: 26380 },
      ],
      sentinel: { master: 'latchkey', username: null, password: 'watch' },
      password: 'redis-password text',
      tls: { ca: 'ca.pem text', certificate: 'cert.pem text', key: 'key.pem text', serverName: null },
    })
  })

  it.each([
    [{}, /^redis\.nodes: is required: a list of at least 1, each a host and a port/],
    [{ nodes: [] }, /^redis\.nodes: must be a list of at least 1/],
    [{ nodes: ['redis.example.org'] }, /^redis\.nodes\.0: must be a host and a port/],
    [{ nodes: ['redis://u:p@h:1'] }, /^redis\.nodes\.0: must be a host and a port/],
    [{ nodes: ['h:70000'] }, /^redis\.nodes\.0: must be a host and a port/],
    [{ nodes: ['h:0'] }, /^redis\.nodes\.0: must be a host and a port/],
    [{ kind: 'replica', nodes: ['h:1'] }, /^redis\.kind: must be one of single, sentinel, cluster/],
    [{ nodes: ['h:1', 'i:1'] }, /^redis\.nodes: must be one server/],
    [{ kind: 'sentinel', nodes: ['h:1'] }, /^redis\.sentinel: is required for the kind sentinel/],
    [{ nodes: ['h:1'], sentinel: { master: 'm' } }, /^redis\.sentinel: must be left out/],
    [{ kind: 'cluster', nodes: ['h:1'], db: 1 }, /^redis\.db: must be 0/],
    [{ nodes: ['h:1'], username: 'u' }, /^redis\.password: is required where there is a username/],
    [
      { kind: 'sentinel', nodes: ['h:1'], sentinel: { master: 'm', username: 'u' } },
      /^redis\.sentinel\.password: is required where/,
    ],
    [{ nodes: ['h:1'], tls: { certificate: 'x' } }, /^redis\.tls\.key: is required/],
    [{ nodes: ['h:1'], tls: { key: 'x' } }, /^redis\.tls\.certificate: is required/],
    [{ nodes: ['h:1'], passwrd: 'tiger' }, /^redis\.passwrd: is no option here; did you mean password\?/],
  ])('%j: is refused', (redis, message) => {
    const faults = faultsOf(redis)
    expect(faults).toEqual([expect.stringMatching(message)])
    expect(faults.join()).not.toContain('tiger')
  })

  it('has no secret in the file of a server that the world can reach', () => {
    const config = set(publicConfig(), 'redis', {
      kind: 'sentinel',
      nodes: ['h:1'],
      password: 'tiger',
      sentinel: { master: 'm', password: 'tiger' },
      tls: { ca: 'public', certificate: 'public', key: 'tiger' },
    })
    const faults = lines(load(config, publicEnv).faults)
    expect(faults.map((fault) => fault.split(':')[0])).toEqual([
      'redis.password',
      'redis.sentinel.password',
      'redis.tls.key',
    ])
    expect(faults.join()).not.toContain('tiger')
  })

  it('warns where another machine is reached in the clear, or without a password', () => {
    const warningsOf = (redis: Options) => lines(loaded({ nodes: ['redis.example.org:6379'], ...redis }).warnings)
    expect(warningsOf({})).toEqual([
      expect.stringMatching(/^redis\.tls: is not set/),
      expect.stringMatching(/^redis\.password: is not set/),
    ])
    expect(warningsOf({ password: 'p' })).toEqual([expect.stringMatching(/^redis\.tls/)])
    expect(warningsOf({ password: 'p', tls: {} })).toEqual([])
  })
})
