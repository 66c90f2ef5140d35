import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createPasswords } from '../../src/accounts/password.ts'
import { createSignIn, type SignIn, type SignInInput } from '../../src/accounts/sign-in.ts'
import { createThrottle } from '../../src/accounts/throttle.ts'
import { createSqlShortLived } from '../../src/storage/short-lived-sql.ts'
import { createWorld, ISSUER, OTHER_ISSUER, type World } from '../members/world.ts'

const limits = { failuresPerAccountAndAddress: 5, failuresPerAddress: 20, windowMinutes: 15 }
const passwords = createPasswords({ memoryKiB: 64, passes: 2 })
const PASSWORD = 'prairie-sandbox-1'

let world: World
let accounts: SignIn
beforeEach(async () => {
  world = await createWorld()
  accounts = signInWith(passwords)
})
afterEach(() => world.close())

function signInWith(work: typeof passwords): SignIn {
  const { database, audit, now } = world
  const throttle = (issuer: string) =>
    createThrottle({ shortLived: createSqlShortLived({ database, issuer, now }), limits, now })
  return createSignIn({ database, passwords: work, throttle, audit, now })
}

const form = (more: Partial<SignInInput> = {}): SignInInput => ({
  issuer: ISSUER,
  username: 'maria',
  password: PASSWORD,
  address: '198.51.100.7',
  requestId: 'request-1',
  ...more,
})

const people = {
  maria: async (more: Parameters<World['member']>[1] = {}) =>
    world.member('maria', { password_hash: await passwords.hash(PASSWORD), ...more }),
}

describe('signing in', () => {
  it('answers with the member, and says so in the trail (R35)', async () => {
    const maria = await people.maria()
    expect(await accounts.signIn(form())).toEqual({ kind: 'signed-in', member: maria })
    expect(await world.trail()).toMatchObject([
      {
        type: 'member.signed-in',
        outcome: 'success',
        plan: 'prairie',
        issuer: ISSUER,
        actor: `member:${maria.id}`,
        member_id: maria.id,
        request_id: 'request-1',
      },
    ])
  })

  it.each(['Maria', ' maria ', 'ＭＡＲＩＡ'])('takes %j for maria', async (username) => {
    await people.maria()
    expect(await accounts.signIn(form({ username }))).toMatchObject({ kind: 'signed-in' })
  })
})

describe('one answer for every refusal', () => {
  it.each([
    ['an unknown member', 'unknown', {}, { username: 'nobody' }],
    ['a wrong password', 'wrong-password', {}, { password: 'prairie-sandbox-2' }],
    ['an empty password', 'wrong-password', {}, { password: '' }],
    ['an overlong password', 'wrong-password', {}, { password: PASSWORD.padEnd(1025, 'x') }],
    ['a locked member', 'locked', { status: 'locked' as const }, {}],
    ['a locked member with a wrong password', 'wrong-password', { status: 'locked' as const }, { password: 'x' }],
    ['a member without a password', 'no-password', { password_hash: null }, {}],
    ['a member of another issuer', 'unknown', { issuer: OTHER_ISSUER }, {}],
    ['an issuer that is none', 'unknown', {}, { issuer: 'prairie' }],
    ['an empty name', 'unknown', {}, { username: '' }],
    ['an overlong name', 'unknown', {}, { username: 'x'.repeat(100_000) }],
    ['a name with NUL', 'unknown', {}, { username: 'maria\u0000' }],
    ['a name that is SQL', 'unknown', {}, { username: "maria' or '1'='1" }],
  ])('%s', async (_who, reason, member, input) => {
    await people.maria(member)
    expect(await accounts.signIn(form(input))).toEqual({ kind: 'refused' })
    expect(await world.trail()).toMatchObject([
      { type: 'member.sign-in-refused', outcome: 'refused', actor: 'anonymous', details: { reason } },
    ])
  })

  it('the trail names the member whose name was used, but nobody for an unknown one', async () => {
    const maria = await people.maria()
    await accounts.signIn(form({ password: 'wrong' }))
    await accounts.signIn(form({ username: 'nobody' }))
    expect((await world.trail()).map((entry) => entry.member_id)).toEqual([maria.id, null])
  })

  it('no name, password or address is in the trail', async () => {
    await people.maria()
    await accounts.signIn(form())
    await accounts.signIn(form({ password: 'hunter2-hunter2' }))
    await accounts.signIn(form({ username: 'typed-my-password-here' }))
    const text = JSON.stringify(await world.trail())
    for (const secret of ['maria', PASSWORD, 'hunter2', 'typed-my-password', '198.51.100.7']) {
      expect(text).not.toContain(secret)
    }
  })

  it('takes one duration for unknown, wrong and locked [ASVS 6.3.8]', async () => {
    const slow = createPasswords({ memoryKiB: 2048, passes: 2 })
    const hash = await slow.hash(PASSWORD)
    await world.member('maria', { password_hash: hash })
    await world.member('locked', { password_hash: hash, status: 'locked' })
    await world.member('elsewhere', { password_hash: hash, issuer: OTHER_ISSUER })
    const timed = signInWith(slow)
    const times: Record<string, number[]> = { maria: [], nobody: [], locked: [], elsewhere: [] }
    for (let round = 0; round < 15; round += 1) {
      for (const [username, list] of Object.entries(times)) {
        const start = performance.now()
        const address = `192.0.2.${round}`
        expect(await timed.signIn(form({ username, password: 'wrong-password', address }))).toEqual({ kind: 'refused' })
        list.push(performance.now() - start)
      }
    }
    const median = (list: number[] = []) => list.toSorted((a, b) => a - b)[7] ?? Number.NaN
    for (const username of ['nobody', 'locked', 'elsewhere']) {
      expect(median(times[username]) / median(times.maria)).toBeGreaterThan(0.4)
      expect(median(times[username]) / median(times.maria)).toBeLessThan(2.5)
    }
  })
})

describe('the throttle', () => {
  it('refuses after the limit even the right password, and writes that down once [ASVS 6.3.1]', async () => {
    await people.maria()
    for (let i = 0; i < 5; i += 1)
      expect(await accounts.signIn(form({ password: 'wrong' }))).toEqual({ kind: 'refused' })
    for (let i = 0; i < 3; i += 1) {
      expect(await accounts.signIn(form())).toEqual({ kind: 'throttled', retryAfter: 900 })
    }
    expect((await world.trail()).map((entry) => entry.type)).toEqual([
      ...Array(5).fill('member.sign-in-refused'),
      'member.sign-in-throttled',
    ])
  })

  it('treats unknown names as known ones: being throttled tells nothing', async () => {
    for (let i = 0; i < 5; i += 1) await accounts.signIn(form({ username: 'nobody' }))
    expect(await accounts.signIn(form({ username: 'nobody' }))).toMatchObject({ kind: 'throttled' })
  })

  it('counts all spellings of a name as one', async () => {
    await people.maria()
    for (const username of ['maria', 'MARIA', ' maria', 'ｍａｒｉａ', 'Maria ']) {
      await accounts.signIn(form({ username, password: 'wrong' }))
    }
    expect(await accounts.signIn(form({ username: 'mARIA' }))).toMatchObject({ kind: 'throttled' })
  })

  it('leaves the member alone at another address', async () => {
    await people.maria()
    for (let i = 0; i < 30; i += 1) await accounts.signIn(form({ password: 'wrong', address: '203.0.113.9' }))
    expect(await accounts.signIn(form())).toMatchObject({ kind: 'signed-in' })
  })

  it('a success forgives the slips before it [NIST throttle]', async () => {
    await people.maria()
    for (let round = 0; round < 3; round += 1) {
      for (let i = 0; i < 4; i += 1) await accounts.signIn(form({ password: 'wrong' }))
      expect(await accounts.signIn(form())).toMatchObject({ kind: 'signed-in' })
    }
  })

  it('of 100 parallel guesses checks at most the limit', async () => {
    await people.maria()
    const answers = await Promise.all(
      Array.from({ length: 100 }, (_, i) => accounts.signIn(form({ password: `x${i}` }))),
    )
    expect(answers.filter((answer) => answer.kind === 'refused')).toHaveLength(5)
    expect(answers.filter((answer) => answer.kind === 'throttled')).toHaveLength(95)
  })
})

describe('a fault of ours (R43)', () => {
  it.each([
    ['the members cannot be read', (sql: string) => /from "members"/.test(sql)],
    ['the trail cannot be written', (sql: string) => /into "audit"/.test(sql)],
    ['nothing works', () => true],
  ])('is 503 and no failure of the member: %s', async (_what, failing) => {
    await people.maria()
    world.store.fail((step) => step.kind === 'query' && failing(step.sql))
    for (let i = 0; i < 30; i += 1) {
      const password = i % 2 ? PASSWORD : 'wrong'
      await expect(accounts.signIn(form({ password }))).rejects.toMatchObject({ status: 503 })
    }
    world.store.fail(false)
    expect(await world.trail()).toEqual([])
    for (let i = 0; i < 4; i += 1)
      expect(await accounts.signIn(form({ password: 'wrong' }))).toEqual({ kind: 'refused' })
    expect(await accounts.signIn(form())).toMatchObject({ kind: 'signed-in' })
  })

  it('too many at once is 503 busy with Retry-After, and counts for nothing', async () => {
    await people.maria()
    const narrow = signInWith(createPasswords({ memoryKiB: 64, passes: 2, concurrency: 1, queue: 1 }))
    const tries = Array.from({ length: 15 }, (_, i) => narrow.signIn(form({ username: `someone-${i}`, password: 'x' })))
    const results = await Promise.allSettled(tries)
    const busy = results.filter((one) => one.status === 'rejected')
    expect(busy.length).toBeGreaterThan(0)
    for (const one of busy)
      expect(one.reason).toMatchObject({ code: 'busy', status: 503, retryAfter: expect.any(Number) })
    expect(await narrow.signIn(form())).toMatchObject({ kind: 'signed-in' })
  })

  it('a hash that cannot be read is 503, not a wrong password', async () => {
    await world.member('maria', { password_hash: 'md5:no' })
    for (let i = 0; i < 10; i += 1) await expect(accounts.signIn(form())).rejects.toMatchObject({ status: 503 })
  })
})

describe('rehashing', () => {
  const weak = createPasswords({ memoryKiB: 32, passes: 1 })
  const hashNow = async () => (await world.db.selectFrom('members').selectAll().executeTakeFirstOrThrow()).password_hash

  it('makes a hash of today at the next sign-in, once [OWASP rehash]', async () => {
    await world.member('maria', { password_hash: await weak.hash(PASSWORD) })
    const signedIn = await accounts.signIn(form())
    const renewed = await hashNow()
    expect(renewed).toContain('m=64,')
    expect(signedIn).toMatchObject({ member: { password_hash: renewed } })
    expect(await accounts.signIn(form())).toMatchObject({ kind: 'signed-in' })
    expect(await hashNow()).toBe(renewed)
  })

  it('does nothing for a wrong password or a locked member', async () => {
    const old = await weak.hash(PASSWORD)
    await world.member('maria', { password_hash: old, status: 'locked' })
    await accounts.signIn(form({ password: 'wrong' }))
    await accounts.signIn(form())
    expect(await hashNow()).toBe(old)
  })

  it('waits for another day when there is no room for the work', async () => {
    const old = await weak.hash(PASSWORD)
    await world.member('maria', { password_hash: old })
    const full = { ...passwords, hash: createPasswords({ concurrency: 0, queue: 0 }).hash }
    expect(await signInWith(full).signIn(form())).toMatchObject({ kind: 'signed-in' })
    expect(await hashNow()).toBe(old)
  })

  it('does not bring an old password back that was changed meanwhile', async () => {
    await world.member('maria', { password_hash: await weak.hash(PASSWORD) })
    const changed = await passwords.hash('another-password')
    const slow = {
      ...passwords,
      async hash(password: string) {
        await world.db.updateTable('members').set({ password_hash: changed }).execute()
        return passwords.hash(password)
      },
    }
    await signInWith(slow).signIn(form())
    expect(await hashNow()).toBe(changed)
  })
})
