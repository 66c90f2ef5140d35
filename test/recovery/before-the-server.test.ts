/** A restored store that something else meets before its server does, or that its server meets without its log (R46). */
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createAudit } from '../../src/audit/audit.ts'
import { noteLife } from '../../src/recovery/lives.ts'
import { refresh } from '../support/authorize.ts'
import { memoryDatabase, quiet } from '../support/stores.ts'
import { type House, openHouse, type Tokens } from './house.ts'

const HOUR = 3600

describe('a command on a restored store', () => {
  let house: House
  beforeEach(async () => {
    house = await openHouse('sqlite')
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

  it('hides nothing from the replay when the server starts', async () => {
    const tokens = await revokedSinceTheCopy()
    expect(await house.run('keys', 'rotate')).toMatchObject({ status: 0 })
    await house.start()
    expect((await refresh(house.app(), tokens.refresh_token)).body.error_subcode).toBe('revoked_by_app')
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
