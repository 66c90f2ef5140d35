/** A key that was revoked after the copy was made comes back with the copy, and goes again before it signs (R41, R46). */
import { renameSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { refresh } from '../support/authorize.ts'
import { initdb } from '../support/machine.ts'
import { headerOf } from '../support/wire.ts'
import { type House, openHouse, type Tokens } from './house.ts'

describe.for(['sqlite', 'postgres'] as const)('a compromised key and a restore: %s', (engine) => {
  const skipped = engine === 'postgres' && !initdb
  let house: House
  let tokens: Tokens
  let kid: string
  const published = async () => {
    const { keys } = (await (await fetch(`${house.app().issuer}/jwks`)).json()) as { keys: { kid: string }[] }
    return keys.map((key) => key.kid)
  }
  beforeAll(async () => {
    if (skipped) return
    house = await openHouse(engine)
    tokens = await house.tokens()
    kid = headerOf(tokens.access_token).kid
    const copy = join(house.folder, 'copy')
    expect((await house.run('backup', copy)).status).toBe(0)
    expect((await house.run('keys', 'revoke', kid, '--compromised')).status).toBe(0)
    await house.stop()
    await house.restore(copy)
    await house.start()
  })
  afterAll(() => house?.close())

  it.skipIf(skipped)('is published no more, and what it signed is refused', async () => {
    expect(await published()).not.toContain(kid)
    expect(await house.isActive(tokens.access_token)).toBe(false)
  })

  it.skipIf(skipped)('another one signs', async () => {
    const { status, body } = await refresh(house.app(), tokens.refresh_token)
    expect(status).toBe(200)
    expect(headerOf(body.access_token).kid).not.toBe(kid)
    expect(await published()).toContain(headerOf(body.access_token).kid)
  })

  it.skipIf(skipped)('the audit trail says so, and since when it is compromised', async () => {
    const [entry, ...more] = await house.entries('key.revoked')
    expect(more).toEqual([])
    expect(entry).toMatchObject({ writer: 'login-1/recovery', details: { kid, replayedFrom: expect.any(String) } })
  })
})

describe('the log of endings of a compromised key', () => {
  it('is the node’s own: where that is missed, the command makes no new one in its place', async () => {
    const house = await openHouse('sqlite')
    const { kid } = headerOf((await house.tokens()).access_token)
    await house.stop()
    renameSync(house.endingsLog, `${house.endingsLog}.away`)
    const { status, err } = await house.run('keys', 'revoke', kid, '--compromised')
    expect(status).toBe(1)
    expect(err).toContain('is not there')
    renameSync(`${house.endingsLog}.away`, house.endingsLog)
    expect((await house.run('keys', 'revoke', kid, '--compromised')).status).toBe(0)
    await house.close()
  })
})
