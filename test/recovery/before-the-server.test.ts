/** A restored store that something else meets before its server does, or that its server meets without its log (R46). */
import { renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createAudit } from '../../src/audit/audit.ts'
import { noteLife } from '../../src/recovery/lives.ts'
import { refresh } from '../support/authorize.ts'
import { memoryDatabase, quiet } from '../support/stores.ts'
import { type House, openHouse, type Tokens } from './house.ts'

const HOUR = 3600

describe('a store', () => {
  let house: House
  let node: string
  beforeEach(async () => {
    node = 'login-1'
    house = await openHouse('sqlite', ({ audit, recovery }) => {
      recovery.endingsLog = recovery.endingsLog?.replace(audit.node, node) ?? null
      audit.node = node
    })
  })
  afterEach(() => house.close())

  /** A copy, and an ending that it lacks; all of it was hours ago. */
  const revokedSinceTheCopy = async (): Promise<Tokens> => {
    await house.stop()
    house.later(-3 * HOUR)
    await house.start()
    const tokens = await house.tokens()
    await house.run('backup', join(house.folder, 'copy'))
    await house.revoke(tokens.refresh_token)
    await house.stop()
    await house.restore(join(house.folder, 'copy'))
    return tokens
  }

  it('that is restored, and met by a command first: nothing is hidden from the replay when the server starts', async () => {
    const tokens = await revokedSinceTheCopy()
    expect(await house.run('keys', 'rotate')).toMatchObject({ status: 0 })
    await house.start()
    expect((await refresh(house.app(), tokens.refresh_token)).body.error_subcode).toBe('revoked_by_app')
  })

  it('whose log of endings is not there, for instance since its disk is not mounted, is not served until it is', async () => {
    const tokens = await revokedSinceTheCopy()
    const elsewhere = join(house.folder, 'unmounted')
    renameSync(house.endingsLog, elsewhere)
    for (let attempt = 0; attempt < 2; attempt++)
      await expect(house.start()).rejects.toMatchObject({
        code: 'endings_log_missing',
        message: expect.stringMatching(/login-1 .*endings-login-1\.jsonl is not there.*recover --log.*empty file/),
      })
    renameSync(elsewhere, house.endingsLog)
    await house.start()
    expect((await refresh(house.app(), tokens.refresh_token)).body.error_subcode).toBe('revoked_by_app')
  })

  it('whose log of endings is lost is served with an empty one', async () => {
    await revokedSinceTheCopy()
    writeFileSync(house.endingsLog, '')
    await house.start()
  })

  it('that is restored and met by a node by a new name: its operator hears that it has no log of before', async () => {
    await revokedSinceTheCopy()
    node = 'login-7'
    await house.start()
    expect(house.log()).toMatch(/no log of endings of before.*latchkey recover --log/)
  })
})

it('a store lacks what was done since its servers were last at work, whatever commands did on it later', async () => {
  const database = await memoryDatabase()
  const record = (node: string, time: number) =>
    database.transaction((trx) =>
      createAudit({ node, now: () => time, log: quiet }).record(trx, { type: 'server.started', actor: 'system' }),
    )
  const begin = (store: string, now: number) =>
    database.transaction((trx) => noteLife(trx, { store, now, tokenMillis: 1000 }))
  expect(await begin('here', 10)).toEqual([])
  await record('one', 20)
  await record('one/2', 21)
  for (const aside of ['one/cli', 'two/recovery']) await record(aside, 90)
  expect(await begin('elsewhere', 100)).toEqual([{ since: 21, openedAt: 100, endsAt: 1100 }])
  await database.close()
})
