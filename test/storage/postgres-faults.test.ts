import { execFileSync } from 'node:child_process'
import { chmodSync, copyFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { InputFaults, Unavailable } from '../../src/errors.ts'
import { afterCommit, type Database, type DatabaseOptions, openDatabase } from '../../src/storage/database.ts'
import { initdb } from '../support/machine.ts'
import { freePort } from '../support/port.ts'
import { type OwnPostgres, startPostgres } from '../support/postgres.ts'
import { type Backend, quiet } from '../support/stores.ts'
import { organization } from './conformance/fixture.ts'

const hasty = { size: 4, waitSeconds: 1, statementSeconds: 1 }

describe.skipIf(!initdb)('PostgreSQL that fails (R43)', { timeout: 30_000 }, () => {
  let postgres: OwnPostgres
  let backend: Backend
  let certificate: string

  beforeAll(async () => {
    certificate = join(tmpdir(), `latchkey-test-${process.pid}.crt`)
    postgres = await startPostgres({
      settings: { ssl: 'on', deadlock_timeout: '100ms' },
      access: [
        'hostssl only_tls all 127.0.0.1/32 scram-sha-256',
        'host only_tls all 127.0.0.1/32 reject',
        'host all outsider 127.0.0.1/32 reject',
        'local all all scram-sha-256',
        'host all all 127.0.0.1/32 scram-sha-256',
      ],
      prepare(folder, own) {
        const [key, crt] = [join(folder, 'server.key'), join(folder, 'server.crt')]
        const made = ['-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2']
        const named = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost']
        execFileSync('openssl', ['req', ...made, ...named, '-keyout', key, '-out', crt], { stdio: 'ignore' })
        chmodSync(key, 0o600)
        for (const file of [key, crt]) own(file)
        copyFileSync(crt, certificate)
      },
    })
    await postgres.run(`create role lonely login password 'lion' connection limit 0`)
    await postgres.run(`create role guest login password 'lion'`)
    await postgres.run(`create role outsider login password 'lion'`)
    await postgres.run('create database only_tls template template0')
    await postgres.run(`create database latin encoding 'LATIN1' locale 'C' locale_provider libc template template0`)
    backend = await postgres.database()
  })
  afterAll(async () => {
    await postgres?.stop()
    rmSync(certificate, { force: true })
  })

  const open = (url = backend.url, more: Partial<DatabaseOptions> = {}) =>
    openDatabase({ url, log: quiet, pool: hasty, ...more })
  const name = () => new URL(backend.url).pathname.slice(1)
  const as = (user: string, database = name(), query = '') =>
    `postgres://${user}@127.0.0.1:${postgres.place.port}/${database}${query}`

  /** Opens it, within five seconds, and answers what went wrong, which never has a password in it. */
  async function failure(url: string, more: Partial<DatabaseOptions> = {}): Promise<string> {
    const start = performance.now()
    const error: unknown = await open(url, more).then(
      (database) => database.close(),
      (thrown: unknown) => thrown,
    )
    expect(performance.now() - start).toBeLessThan(5000)
    expect(error).toBeInstanceOf(Unavailable)
    for (const secret of ['lion', 'bear', postgres.place.password])
      expect(inspect(error, { depth: 10, showHidden: true })).not.toContain(secret)
    return (error as Unavailable).message
  }

  describe('cannot be connected to, and says why', () => {
    it('nobody listens', async () => {
      const port = await freePort()
      expect(await failure(`postgres://u:lion@127.0.0.1:${port}/x`)).toBe(
        `PostgreSQL at 127.0.0.1:${port} does not accept connections: is it running, and listening there?`,
      )
      expect(await failure('postgres://u@/x?host=/nowhere')).toMatch(
        /^PostgreSQL at \/nowhere\/\.s\.PGSQL\.5432 does not/,
      )
    })

    it('the host has no address', async () => {
      expect(await failure('postgres://u:lion@nowhere.invalid/x')).toMatch(/^the host nowhere\.invalid has no address/)
    })

    it('somebody listens who says nothing', async () => {
      const silent = createServer(() => {})
      const port = await freePort()
      silent.listen(port, '127.0.0.1')
      expect(await failure(`postgres://u:lion@127.0.0.1:${port}/x`)).toMatch(/does not answer/)
      silent.close()
    })

    it.each([
      ['the password is wrong', () => as('latchkey:bear'), /does not accept the password of the user latchkey/],
      ['there is no password', () => as('latchkey'), /wants a password of the user latchkey: see database\.password/],
      ['there is no such user', () => as('nobody:lion'), /does not accept the password of the user nobody/],
      [
        'the user may not come this way',
        () => as('outsider:lion'),
        /does not let the user outsider into .* pg_hba\.conf/,
      ],
      [
        'there is no such database',
        () => postgres.url('nothing'),
        /there is no database nothing at .*create database nothing/,
      ],
      ['there are too many connections', () => as('lonely:lion'), /no connection left: nodes x database\.pool\.size/],
      [
        'the user may not make tables',
        () => as('guest:lion', 'postgres'),
        /the user guest lacks a permission in postgres/,
      ],
      [
        'the database has another encoding',
        () => postgres.url('latin'),
        /encoding LATIN1; create one with encoding 'UTF8'/,
      ],
      ['it wants TLS', () => postgres.url('only_tls'), /whether it wants TLS \(sslmode=disable here\)/],
    ])('%s', async (_, url, message) => {
      expect(await failure(url())).toMatch(message)
    })

    it('it is a replica', async () => {
      const replica = await startPostgres({
        prepare(folder, own) {
          const signal = join(folder, 'standby.signal')
          writeFileSync(signal, '')
          own(signal)
        },
      })
      expect(await failure(replica.url('postgres'))).toMatch(
        /is a read-only replica; point database\.url to the primary/,
      )
      await replica.stop()
    })
  })

  describe('over TLS', () => {
    const secured = (query: string, host = 'localhost') => postgres.url('only_tls', query).replace('127.0.0.1', host)
    const inTls = async (database: Database) => {
      const { rows } = await sql<{ ssl: boolean }>`
        select ssl from pg_stat_ssl where pid = pg_backend_pid()`.execute(database.db)
      await database.close()
      return rows[0]?.ssl
    }

    it('is verified by the authority that is named, and by the host’s name', async () => {
      expect(await inTls(await open(secured(`?sslmode=verify-full&sslrootcert=${certificate}`)))).toBe(true)
      expect(await failure(secured('?sslmode=verify-full'))).toMatch(/not signed by an authority .*sslrootcert/)
      const byAddress = secured(`?sslmode=verify-full&sslrootcert=${certificate}`, '127.0.0.1')
      expect(await failure(byAddress)).toMatch(/is not for 127\.0\.0\.1: connect by a name/)
    })

    it('is verified less where the URL says so', async () => {
      expect(await inTls(await open(secured(`?sslmode=verify-ca&sslrootcert=${certificate}`, '127.0.0.1')))).toBe(true)
      expect(await failure(secured('?sslmode=verify-ca', '127.0.0.1'))).toMatch(/not signed by an authority/)
      expect(await inTls(await open(secured('?sslmode=require', '127.0.0.1')))).toBe(true)
    })

    it('needs a file that can be read, and a server that has it', async () => {
      await expect(open(secured('?sslmode=verify-full&sslrootcert=/nowhere.pem'))).rejects.toThrow(InputFaults)
      const plain = await startPostgres()
      expect(await failure(plain.url('postgres', '?sslmode=require'))).toMatch(/offers no TLS: .*sslmode=disable/)
      await plain.stop()
    })
  })

  it('takes the password from beside the URL', async () => {
    const database = await open(as('latchkey'), { password: postgres.place.password })
    expect(await database.db.selectFrom('apps').selectAll().execute()).toEqual([])
    await database.close()
  })

  it('works for a user who owns the database and nothing else', async () => {
    await postgres.run('create database guests owner guest template template0')
    const database = await open(as('guest:lion', 'guests'))
    await database.db.insertInto('organizations').values(organization('a')).execute()
    await database.close()
  })

  describe('in operation', () => {
    let database: Database
    beforeAll(async () => {
      database = await open()
    })
    afterAll(() => database.close())
    const sleep = (seconds: number, from = database) => sql`select pg_sleep(${seconds})`.execute(from.db)
    const kill = () =>
      postgres.run(`select pg_terminate_backend(pid) from pg_stat_activity where datname = '${name()}'`)
    const works = async () => expect((await sql`select 1 as x`.execute(database.db)).rows).toEqual([{ x: 1 }])

    it('replaces connections that broke while nobody used them', async () => {
      await Promise.all([sleep(0.05), sleep(0.05), sleep(0.05)])
      await kill()
      // At once, before anybody has heard of it: what changes nothing is asked again.
      await Promise.all([works(), works(), database.transaction(async (trx) => sql`select 1`.execute(trx))])
      for (let i = 0; i < 5; i++) await works()
    })

    it('tells who was using them, keeps nothing, and goes on', async () => {
      const reading = sleep(0.5)
      const adding = sql`
        insert into organizations (id, plan, kind, name, created_at)
        select 'lost', 'prairie', 'individual', 'Lost', 0 from pg_sleep(0.9)`
        .execute(database.db)
        .catch((error: unknown) => error)
      const writing = database
        .transaction(async (trx) => {
          await trx.insertInto('organizations').values(organization('lost')).execute()
          await sql`select pg_sleep(0.9)`.execute(trx)
        })
        .catch((error: unknown) => error)
      const between = database
        .transaction(async (trx) => {
          await sql`select 1`.execute(trx)
          await new Promise((resolve) => setTimeout(resolve, 400))
          await sql`select 1`.execute(trx)
        })
        .catch((error: unknown) => error)
      await new Promise((resolve) => setTimeout(resolve, 200))
      await kill()
      for (const error of await Promise.all([adding, writing, between])) expect(error).toBeInstanceOf(Unavailable)
      expect((await reading).rows).toHaveLength(1)
      await works()
      expect(await database.db.selectFrom('organizations').selectAll().execute()).toEqual([])
    })

    it('ends a statement that takes too long', async () => {
      await expect(sleep(5)).rejects.toThrow(/took too long \(database\.pool\.statementSeconds\)/)
      await works()
    })

    it('gives up on a server that fell silent, and asks another connection', async () => {
      const one = await open(backend.url, { pool: { ...hasty, size: 1 } })
      const { rows } = await sql<{ pid: number }>`select pg_backend_pid() as pid`.execute(one.db)
      const pid = rows[0]?.pid ?? 0
      process.kill(pid, 'SIGSTOP')
      const start = performance.now()
      await expect(sql`select 1`.execute(one.db)).rejects.toThrow(/fell silent/)
      expect(performance.now() - start).toBeLessThan(3000)
      expect((await sql`select 1 as x`.execute(one.db)).rows).toEqual([{ x: 1 }])
      process.kill(pid, 'SIGCONT')
      await one.close()
    })

    it('makes nobody wait for a connection for ever', async () => {
      const one = await open(backend.url, { pool: { ...hasty, size: 1 } })
      const holding = one.transaction(() => new Promise((resolve) => setTimeout(resolve, 1500)))
      await expect(sleep(0, one)).rejects.toThrow(/all 1 connections to PostgreSQL at .* are in use/)
      await holding
      await one.close()
    })

    it('takes no writes, and says so', async () => {
      await postgres.run(`alter database ${name()} set default_transaction_read_only = on`)
      await kill()
      await works()
      const write = () => database.db.insertInto('organizations').values(organization('a')).execute()
      await expect(write()).rejects.toThrow(/takes no writes: it is a replica/)
      await postgres.run(`alter database ${name()} reset default_transaction_read_only`)
      await write()
      await database.db.deleteFrom('organizations').execute()
    })

    it('has its own idea of isolation, which is not ours', async () => {
      await postgres.run(`alter database ${name()} set default_transaction_isolation = 'serializable'`)
      await kill()
      const { rows } = await database.transaction((trx) => sql`show transaction_isolation`.execute(trx))
      expect(rows).toEqual([{ transaction_isolation: 'read committed' }])
      await postgres.run(`alter database ${name()} reset default_transaction_isolation`)
    })

    it('ends a deadlock: who was undone begins anew', async () => {
      for (const id of ['a', 'b']) await database.db.insertInto('organizations').values(organization(id)).execute()
      let [runs, commits] = [0, 0]
      const both = (first: string, second: string) =>
        database.transaction(async (trx) => {
          runs++
          const rename = (id: string) =>
            trx
              .updateTable('organizations')
              .set({ name: `${first}${second}` })
              .where('id', '=', id)
              .execute()
          await rename(first)
          await new Promise((resolve) => setTimeout(resolve, 50))
          await rename(second)
          afterCommit(trx, () => commits++)
        })
      await Promise.all([both('a', 'b'), both('b', 'a')])
      expect(runs).toBeGreaterThan(2)
      expect(commits).toBe(2)
    })

    it('commits nothing of a transaction in which a failed statement was ignored', async () => {
      const work = database.transaction(async (trx) => {
        await trx.insertInto('organizations').values(organization('c')).execute()
        await trx
          .insertInto('organizations')
          .values(organization('c'))
          .execute()
          .catch(() => {})
      })
      await expect(work).rejects.toThrow(/a statement of the transaction had failed/)
      const found = await database.db.selectFrom('organizations').selectAll().where('id', '=', 'c').execute()
      expect(found).toEqual([])
    })
  })
})
