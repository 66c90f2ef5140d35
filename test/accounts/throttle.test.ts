import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createThrottle, networkOf, type Throttle } from '../../src/accounts/throttle.ts'
import { normalizeUsername } from '../../src/accounts/username.ts'
import { createSqlShortLived } from '../../src/storage/short-lived-sql.ts'
import { createWorld, ISSUER, OTHER_ISSUER, type World } from '../members/world.ts'

const limits = { failuresPerAccountAndAddress: 5, failuresPerAddress: 20, windowMinutes: 15 }
const WINDOW = 15 * 60_000
const here = '198.51.100.7'
const there = '203.0.113.9'

let world: World
let throttle: Throttle
const throttleAt = (issuer: string) => {
  const shortLived = createSqlShortLived({ database: world.database, issuer, now: world.now })
  return createThrottle({ shortLived, limits, now: world.now })
}
beforeEach(async () => {
  world = await createWorld()
  throttle = throttleAt(ISSUER)
})
afterEach(() => world.close())

/** Tries one after another, each a failure unless told; answers how many were let through. */
async function attempts(count: number, account: (index: number) => string, address: string): Promise<number> {
  let allowed = 0
  for (let index = 0; index < count; index += 1) {
    if ((await throttle.attempt({ account: account(index), address })).allowed) allowed += 1
  }
  return allowed
}

async function through(account: string, address: string) {
  const gate = await throttle.attempt({ account, address })
  if (!gate.allowed) throw new Error('refused')
  return gate
}

describe('failures of one account from one address', () => {
  it('lets the limit through and then none, until the window ends [ASVS 6.3.1] [NIST throttle]', async () => {
    expect(await attempts(8, () => 'maria', here)).toBe(5)
    world.clock.now += WINDOW - 1
    expect(await attempts(1, () => 'maria', here)).toBe(0)
    world.clock.now += 1
    expect(await attempts(8, () => 'maria', here)).toBe(5)
  })

  it('says after how many whole seconds to come back', async () => {
    await attempts(5, () => 'maria', here)
    world.clock.now += 500
    expect(await throttle.attempt({ account: 'maria', address: here })).toMatchObject({
      allowed: false,
      retryAfter: 900,
    })
    world.clock.now += WINDOW - 600
    expect(await throttle.attempt({ account: 'maria', address: here })).toMatchObject({ allowed: false, retryAfter: 1 })
  })

  it('does not keep the member out elsewhere: no lockout that an attacker can cause [ASVS 6.1.1]', async () => {
    expect(await attempts(1000, () => 'maria', there)).toBe(5)
    expect(await attempts(1, () => 'maria', here)).toBe(1)
  })

  it('being refused does not prolong the wait', async () => {
    await attempts(5, () => 'maria', here)
    for (let minute = 0; minute < 15; minute += 1) {
      world.clock.now += 60_000
      await attempts(20, () => 'maria', here).then((allowed) => expect(allowed).toBe(minute === 14 ? 5 : 0))
    }
  })

  it('counts the same name at another issuer by itself', async () => {
    await attempts(5, () => 'maria', here)
    expect(await throttleAt(OTHER_ISSUER).attempt({ account: 'maria', address: here })).toMatchObject({ allowed: true })
  })

  it('marks one refusal a window as the first, for the audit', async () => {
    await attempts(5, () => 'maria', here)
    const refused = []
    for (let i = 0; i < 4; i += 1) refused.push(await throttle.attempt({ account: 'maria', address: here }))
    expect(refused.map((one) => !one.allowed && one.first)).toEqual([true, false, false, false])
  })
})

describe('failures of one address over all accounts', () => {
  it('stops one password against many names', async () => {
    expect(await attempts(50, (index) => `member-${index}`, here)).toBe(20)
    expect(await attempts(1, () => 'yet-another', here)).toBe(0)
    expect(await attempts(1, () => 'yet-another', there)).toBe(1)
  })

  it('does not count those who sign in: an office behind one address goes on', async () => {
    for (let i = 0; i < 100; i += 1) await (await through(`member-${i}`, here)).succeeded()
    expect(await attempts(50, (index) => `stranger-${index}`, here)).toBe(20)
  })

  it('is not reset by a success: an own account is no way to wash failures away', async () => {
    let guesses = 0
    for (let i = 0; i < 60; i += 1) {
      if ((await throttle.attempt({ account: `victim-${i}`, address: here })).allowed) guesses += 1
      const own = await throttle.attempt({ account: 'attacker', address: here })
      if (own.allowed) await own.succeeded()
    }
    expect(guesses).toBeLessThanOrEqual(20)
  })

  it('does not count attempts that were refused', async () => {
    await attempts(500, () => 'maria', here)
    expect(await attempts(50, (index) => `member-${index}`, here)).toBe(15)
  })

  it.each([
    ['2001:db8:1:2::1', '2001:db8:1:2:ffff:eeee:dddd:cccc'],
    ['::ffff:198.51.100.7', '198.51.100.7'],
  ])('%s and %s are one address', async (one, other) => {
    await attempts(20, (index) => `member-${index}`, one)
    expect(await attempts(1, () => 'maria', other)).toBe(0)
  })
})

describe('a success', () => {
  it('starts the account afresh at this address only', async () => {
    await attempts(4, () => 'maria', here)
    await attempts(5, () => 'maria', there)
    await (await through('maria', here)).succeeded()
    expect(await attempts(8, () => 'maria', here)).toBe(5)
    expect(await attempts(1, () => 'maria', there)).toBe(0)
  })

  it('said twice, or after a fault, is said once', async () => {
    await attempts(19, (index) => `member-${index}`, here)
    const gate = await through('maria', here)
    await gate.succeeded()
    await gate.succeeded()
    await gate.faulted()
    expect(await attempts(5, (index) => `other-${index}`, here)).toBe(1)
  })
})

describe('a fault of ours (R43)', () => {
  it('counts for nothing', async () => {
    for (let i = 0; i < 100; i += 1) await (await through('maria', here)).faulted()
    expect(await attempts(8, () => 'maria', here)).toBe(5)
  })

  it('is not turned into a refusal: the store that counts is down', async () => {
    world.store.fail(true)
    await expect(throttle.attempt({ account: 'maria', address: here })).rejects.toMatchObject({ status: 503 })
    world.store.fail(false)
    expect(await attempts(8, () => 'maria', here)).toBe(5)
  })

  it('given back in an older window is not credited to the next', async () => {
    const late = await through('maria', here)
    world.clock.now += WINDOW
    await attempts(5, () => 'maria', here)
    await late.faulted()
    expect(await attempts(1, () => 'maria', here)).toBe(0)
  })
})

describe('at the same time', () => {
  it('of 100 parallel guesses at one account at most the limit goes through', async () => {
    const all = await Promise.all(
      Array.from({ length: 100 }, () => throttle.attempt({ account: 'maria', address: here })),
    )
    expect(all.filter((one) => one.allowed)).toHaveLength(5)
    expect(all.filter((one) => !one.allowed && one.first)).toHaveLength(1)
  })

  it('of 100 parallel guesses at many accounts at most the limit of the address goes through', async () => {
    const all = await Promise.all(
      Array.from({ length: 100 }, (_, index) => throttle.attempt({ account: `member-${index}`, address: here })),
    )
    expect(all.filter((one) => one.allowed).length).toBeLessThanOrEqual(20)
  })

  it('failures stay under the limit while others are being given back', async () => {
    let failures = 0
    await Promise.all(
      Array.from({ length: 200 }, async (_, index) => {
        const gate = await throttle.attempt({ account: 'maria', address: here })
        if (!gate.allowed) return
        if (index % 2) await gate.faulted()
        else failures += 1
      }),
    )
    expect(failures).toBeLessThanOrEqual(5)
  })
})

describe('what is kept', () => {
  it('has no account name in it', async () => {
    await attempts(6, () => 'maria.alvarez@example.org', here)
    const rows = [
      ...(await world.db.selectFrom('counters').selectAll().execute()),
      ...(await world.db.selectFrom('short_lived').selectAll().execute()),
    ]
    expect(rows.length).toBeGreaterThan(2)
    expect(JSON.stringify(rows)).not.toContain('maria')
  })
})

describe('networkOf', () => {
  it.each([
    ['198.51.100.7', '198.51.100.7'],
    ['::ffff:198.51.100.7', '198.51.100.7'],
    ['::FFFF:198.51.100.7', '198.51.100.7'],
    ['0:0:0:0:0:ffff:198.51.100.7', '198.51.100.7'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:0DB8:0001:0002::', '2001:db8:1:2::/64'],
    ['2001:db8::1', '2001:db8:0:0::/64'],
    ['::1', '0:0:0:0::/64'],
    ['::', '0:0:0:0::/64'],
    ['1::8', '1:0:0:0::/64'],
    ['1:2:3::8', '1:2:3:0::/64'],
    ['1:2:3:4::', '1:2:3:4::/64'],
    ['::2:3:4:5:6:7:8', '0:2:3:4::/64'],
    ['::5:6:7:198.51.100.7', '0:0:0:5::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['unix:', 'unix:'],
    ['', ''],
  ])('%s is %s', (address, network) => {
    expect(networkOf(address)).toBe(network)
  })
})

describe('normalizeUsername', () => {
  it.each([
    ['maria', 'maria'],
    ['  Maria ', 'maria'],
    ['ＭＡＲＩＡ', 'maria'],
    ['JOSÉ', 'josé'],
    ['jose\u0301', 'josé'],
    ['\u00a0maria\u3000', 'maria'],
    ['Maria@Example.org', 'maria@example.org'],
  ])('%j is %j', (typed, name) => {
    expect(normalizeUsername(typed)).toBe(name)
  })

  it('is stable: normalizing twice changes nothing', () => {
    for (const typed of ['İstanbul', 'ﬁona', 'ẞtraße', 'Ǆ', 'ͅα', 'K']) {
      const once = normalizeUsername(typed) ?? ''
      expect(normalizeUsername(once)).toBe(once)
    }
  })

  it.each([
    ['', 'empty'],
    ['   ', 'spaces'],
    ['x'.repeat(201), 'too long'],
    ['x'.repeat(100_000), 'far too long'],
  ])('nobody is called that (%#)', (typed) => {
    expect(normalizeUsername(typed)).toBeUndefined()
  })

  it.each(['mar\u0000ia', 'mar\nia', '\ud800maria', '\u007f'])('nobody is called %j', (typed) => {
    expect(normalizeUsername(typed)).toBeUndefined()
  })
})
