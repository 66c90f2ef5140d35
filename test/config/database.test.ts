import { describe, expect, it } from 'vitest'
import { lines, load, localConfig, publicConfig, publicEnv, set } from './fixture.ts'

const loaded = (database: unknown, env: Record<string, string> = {}) =>
  load(set(localConfig(), 'database', database), env)
const faultsOf = (database: unknown, env = {}) => lines(loaded(database, env).faults)
const published = (database: unknown, env: Record<string, string> = {}) =>
  load(set(publicConfig(), 'database', database), { ...publicEnv, ...env })

describe('database', () => {
  it('is PostgreSQL where the URL says so, with limits of its own', () => {
    const { settings } = loaded({ url: 'postgresql://latchkey@db.example.org:6432/latchkey' })
    expect(settings.database).toEqual({
      url: 'postgresql://latchkey@db.example.org:6432/latchkey',
      password: null,
      pool: { size: 10, waitSeconds: 2, statementSeconds: 2 },
    })
  })

  it('may have its URL and its password elsewhere', () => {
    const { settings } = loaded(
      { url: { env: 'DB' }, password: { env: 'DB_PASSWORD' }, pool: { size: 3 } },
      { DB: 'postgres://u@localhost/x', DB_PASSWORD: 'tiger' },
    )
    expect(settings.database).toMatchObject({ url: 'postgres://u@localhost/x', password: 'tiger', pool: { size: 3 } })
  })

  it('is set by variables, which are no text of the file', () => {
    const env = { DATABASE_URL: 'postgres://u@db.example.org/x', DATABASE_PASSWORD: 'tiger' }
    expect(published({}, env).faults).toEqual([])
    const { faults } = published({}, { DATABASE_URL: 'postgres://u:tiger@db.example.org' })
    expect(lines(faults)).toEqual([
      'database.url: must name a database: postgres://user@host/database (it is set by the variable DATABASE_URL)',
    ])
  })

  it.each([
    ['mysql://u:tiger@h/x', /must be sqlite: and the path of a file, .*postgres:/],
    ['postgres://u:tiger@h', /must name a database/],
    ['postgres:///x', /must name a host/],
    ['postgres://u:tiger@h:port/x', /must be postgres:/],
    ['postgres://u:tiger@h/x?sslmode=prefer', /unknown sslmode; accepted are disable, require, verify-ca, verify-full/],
    ['postgres://u:tiger@h/x?ssl=tiger', /parameter that is not known here; known are host, sslmode, sslrootcert/],
    ['postgres://u:tiger@h/x?sslmode=require&sslrootcert=/ca.pem', /sslrootcert that this sslmode does not use/],
    ['postgres://u:ti%ger@h/x', /write % as %25/],
  ])('is refused as %s, by a message that repeats no password', (url, message) => {
    for (const faults of [faultsOf({ url }), faultsOf({ url: { env: 'DB' } }, { DB: url })]) {
      expect(faults).toHaveLength(1)
      expect(faults[0]).toMatch(/^database\.url: /)
      expect(faults[0]).toMatch(message)
      expect(faults[0]).not.toContain('tiger')
    }
  })

  it('has one password, and none on SQLite', () => {
    expect(faultsOf({ url: 'postgres://u:tiger@localhost/x', password: 'lion' })).toEqual([
      'database.password: must be left out: database.url has one already',
    ])
    expect(faultsOf({ password: 'lion' })).toEqual(['database.password: must be left out: SQLite has none'])
  })

  it('keeps its password out of the file of a server that the world can reach', () => {
    expect(lines(published({ url: 'postgres://u:tiger@db.example.org/x' }).faults)).toEqual([
      expect.stringMatching(/^database\.url: must not stand in the file/),
    ])
    expect(lines(published({ url: 'postgres://u@db.example.org/x', password: 'tiger' }).faults)).toEqual([
      expect.stringMatching(/^database\.password: must not stand in the file/),
    ])
    expect(published({ url: 'postgres://u@db.example.org/x' }).faults).toEqual([])
  })

  it.each([
    ['postgres://u@db.example.org/x', undefined],
    ['postgres://u@db.example.org/x?sslmode=verify-ca', undefined],
    ['postgres://u@db.example.org/x?sslmode=require', /encrypts for whoever answers/],
    ['postgres://u@db.example.org/x?sslmode=disable', /cross the network in the clear/],
    ['postgres://u@127.0.0.1/x?sslmode=disable', undefined],
    ['postgres://u@/x?host=/run/postgresql', undefined],
  ])('warns of what crosses the network unprotected: %s', (url, warning) => {
    const { warnings } = loaded({ url })
    expect(lines(warnings)).toEqual(warning ? [expect.stringMatching(warning)] : [])
  })
})
