/** `backup`, `restore` and `recover`, and what happens where nobody says that a store is an older one (R46). */
import { copyFileSync, existsSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { refresh } from '../support/authorize.ts'
import { initdb } from '../support/machine.ts'
import { claimsOf } from '../support/wire.ts'
import { type House, openHouse, type Tokens } from './house.ts'

describe('on SQLite', () => {
  let house: House
  const file = (name: string) => join(house.folder, name)
  const store = () => file('latchkey.db')
  /** Stops the server, and puts a plain copy of its file back after something was done. */
  const goBackAfter = async (work: () => Promise<void>) => {
    await house.stop()
    copyFileSync(store(), file('plain'))
    await house.start()
    await work()
    await house.stop()
    copyFileSync(file('plain'), store())
  }
  const rotated = async (tokens: Tokens) => (await refresh(house.app(), tokens.refresh_token)).body
  beforeAll(async () => {
    house = await openHouse('sqlite')
  })
  afterAll(() => house.close())

  describe('backup', () => {
    it('copies a store that is being written to: one file, whole, for its own user', async () => {
      const first = await house.tokens()
      let writing = true
      const writer = (async () => {
        let newest = first
        while (writing) newest = await rotated(newest)
      })()
      const { status, out } = await house.run('backup', file('copy'))
      writing = false
      await writer
      expect(status).toBe(0)
      expect(out).toContain(`${file('copy')}: ${statSync(file('copy')).size} bytes`)
      expect(statSync(file('copy')).mode & 0o777).toBe(0o600)
      expect(readdirSync(house.folder).filter((name) => name.startsWith('copy'))).toEqual(['copy'])
      const copy = new DatabaseSync(file('copy'), { readOnly: true })
      expect(copy.prepare('pragma integrity_check').get()).toEqual({ integrity_check: 'ok' })
      expect(copy.prepare('select count(*) as n from grants').get()).toEqual({ n: 1 })
      copy.close()
    })

    it('never overwrites', async () => {
      writeFileSync(file('taken'), 'mine')
      const { status, err } = await house.run('backup', file('taken'))
      expect(status).toBe(1)
      expect(err).toContain('taken exists, and is not overwritten')
      expect(statSync(file('taken')).size).toBe(4)
    })

    it('needs a name', async () => {
      expect(await house.run('backup')).toMatchObject({ status: 2, err: expect.stringContaining('backup needs FILE') })
    })
  })

  describe('restore', () => {
    it('is refused while the server runs', async () => {
      const { status, err } = await house.run('restore', file('copy'))
      expect(status).toBe(1)
      expect(err).toContain('Another Latchkey server is using')
    })

    it.each([
      ['no database', 'is not a database'],
      ['nothing', 'does not exist'],
    ])('refuses %s and leaves the store as it is', async (what, message) => {
      if (what !== 'nothing') writeFileSync(file(what), 'x'.repeat(5000))
      await house.stop()
      const before = statSync(store()).size
      const { status, err } = await house.run('restore', file(what))
      expect(status).toBe(1)
      expect(err).toContain(message)
      expect(statSync(store()).size).toBe(before)
      await house.start()
    })

    it('keeps the store that was there as one file, with what was committed last', async () => {
      await house.stop()
      // As after a server that was killed: the last commit is in the log beside the file, and nowhere else.
      const killed = new DatabaseSync(store())
      killed.exec('pragma journal_mode = wal; create table last_commit (id text)')
      for (const rest of ['', '-wal']) copyFileSync(store() + rest, file(`killed${rest}`))
      killed.close()
      for (const rest of ['', '-wal']) copyFileSync(file(`killed${rest}`), store() + rest)
      const { status, out } = await house.run('restore', file('copy'))
      expect(status).toBe(0)
      const [, kept = ''] = /kept as (.*)/.exec(out) ?? []
      expect(['-wal', '-shm'].filter((rest) => existsSync(kept + rest) || existsSync(store() + rest))).toEqual([])
      const old = new DatabaseSync(kept, { readOnly: true })
      expect(old.prepare('select count(*) as n from last_commit').get()).toEqual({ n: 0 })
      old.close()
      await house.start()
      expect(await house.entries('store.recovered')).toHaveLength(1)
    })

    it('keeps a damaged store as it is, and leaves no log beside the new one', async () => {
      await house.stop()
      writeFileSync(store(), 'x'.repeat(5000))
      writeFileSync(`${store()}-wal`, 'left over')
      const { status, out } = await house.run('restore', file('copy'))
      expect(status).toBe(0)
      const [, kept = ''] = /kept as (.*)/.exec(out) ?? []
      expect(statSync(kept).size).toBe(5000)
      expect(existsSync(`${store()}-wal`)).toBe(false)
      await house.start()
    })

    it('opens the window once, however often the server starts', async () => {
      await house.stop()
      await house.start()
      expect(await house.entries('store.recovered')).toHaveLength(1)
    })

    it('signs members out: what they did since is not known', async () => {
      const sessions = () =>
        house.withDatabase(({ db }) => db.selectFrom('short_lived').where('kind', '=', 'Session').selectAll().execute())
      await house.tokens()
      expect((await sessions()).length).toBeGreaterThan(0)
      await house.stop()
      copyFileSync(store(), file('with-sessions'))
      expect((await house.run('restore', file('with-sessions'))).status).toBe(0)
      await house.start()
      expect(await sessions()).toEqual([])
    })
  })

  describe('a store of which nobody said that it is an older one', () => {
    it('refuses no newer token for good: a fault of ours, told to the operator (R43)', async () => {
      const tokens = await house.tokens()
      let newest = tokens
      writeFileSync(house.endingsLog, '')
      await goBackAfter(async () => {
        newest = await rotated(newest)
        newest = await rotated(newest)
      })
      await house.start()
      // The windows of the tests before would adopt it.
      await house.withDatabase(({ db }) => db.deleteFrom('lives').execute())
      const refused = await refresh(house.app(), newest.refresh_token)
      expect([refused.status, refused.body.error]).toEqual([503, 'temporarily_unavailable'])
      expect(refused.headers.get('retry-after')).toMatch(/^\d+$/)
      expect(house.log()).toMatch(/newer than the store knows.*latchkey recover --since/)

      const since = new Date(Date.now() - 60_000).toISOString()
      const { status, out } = await house.run('recover', '--since', since)
      expect(status).toBe(0)
      expect(out).toMatch(/adopted until \d{4}-/)
      expect((await refresh(house.app(), newest.refresh_token)).status).toBe(200)
      expect((await refresh(house.app(), tokens.refresh_token)).body.error_subcode).toBe('token_reused')
    })
  })

  describe('recover', () => {
    it('replays the log of a node that is gone', async () => {
      const tokens = await house.tokens()
      await goBackAfter(async () => {
        await house.revoke(tokens.refresh_token)
      })
      copyFileSync(house.endingsLog, file('other-node.jsonl'))
      writeFileSync(house.endingsLog, '')
      await house.start()
      expect((await refresh(house.app(), tokens.refresh_token)).status).toBe(200)
      const { status, out } = await house.run('recover', '--log', file('other-node.jsonl'))
      expect(status).toBe(0)
      expect(out).toMatch(/other-node\.jsonl: \d+ endings read, 1 of them replayed\n/)
      expect((await refresh(house.app(), tokens.refresh_token)).body.error_subcode).toBe('revoked_by_app')
      expect((await house.run('recover', '--log', file('other-node.jsonl'))).out).toContain('0 of them replayed')
    })

    it('brings back that an access token was revoked', async () => {
      const tokens = await house.tokens()
      await goBackAfter(async () => {
        await house.revoke(tokens.access_token)
      })
      await house.start()
      expect(await house.isActive(tokens.access_token)).toBe(false)
      expect(await house.isActive(tokens.refresh_token)).toBe(true)
    })

    it.each([
      [['recover'], 1, 'needs --since TIME, --log FILE or both'],
      [['recover', '--since', 'yesterday'], 1, 'must be a time in the past with its zone'],
      [['recover', '--since', '2999-01-01T00:00Z'], 1, 'must be a time in the past with its zone'],
      [['recover', '--log', '/nowhere.jsonl'], 1, 'cannot be read (ENOENT)'],
      [['check', '--since', '2026-01-01T00:00Z'], 2, 'check takes no --since'],
    ])('%j is answered with what is wrong', async (args, status, message) => {
      const answer = await house.run(...args)
      expect(answer.status).toBe(status)
      expect(answer.err).toContain(message)
    })
  })

  it('a grant whose tokens the copy has none of is not thought to have lain unused', async () => {
    const walk = await house.tokens()
    const { grant_id } = claimsOf(walk.access_token)
    await goBackAfter(async () => {})
    const copy = new DatabaseSync(store())
    copy.prepare('delete from refresh_tokens where grant_id = ?').run(grant_id)
    copy.close()
    const since = new Date(Date.now() - 1000).toISOString()
    expect((await house.run('recover', '--since', since)).status).toBe(0)
    await house.start()
    const { status, body } = await refresh(house.app(), walk.refresh_token)
    expect(status).toBe(200)
    expect(body).toMatchObject({ patient: walk.patient, scope: walk.scope })
    expect((await refresh(house.app(), body.refresh_token)).status).toBe(200)
  })
})

describe.skipIf(!initdb)('on PostgreSQL', () => {
  it('restore names pg_restore; a backup that fails says why and leaves nothing', async () => {
    const house = await openHouse('postgres')
    const target = join(house.folder, 'dump')
    expect((await house.run('restore', target)).err).toContain('restore with pg_restore into a new database')
    const path = process.env.PATH
    process.env.PATH = house.folder
    const missing = await house.run('backup', target)
    process.env.PATH = path
    expect(missing).toMatchObject({ status: 1, err: expect.stringContaining('pg_dump is not here') })
    const failed = await house.run('backup', join(house.folder, 'nowhere', 'dump'))
    expect(failed).toMatchObject({ status: 1, err: expect.stringContaining('pg_dump failed') })
    expect(existsSync(target)).toBe(false)
    expect((await house.run('backup', target)).status).toBe(0)
    expect(statSync(target).mode & 0o777).toBe(0o600)
    await house.close()
  })
})
