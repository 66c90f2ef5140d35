import { describe, expect, it } from 'vitest'
import { createPasswords, MAX_PASSWORD_LENGTH } from '../../src/accounts/password.ts'
import { InputFaults, LatchkeyError, Unavailable } from '../../src/errors.ts'

/** Cheap enough to run many. */
const light = { memoryKiB: 64, passes: 1 }

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

describe('hashing', () => {
  it('makes argon2id with 19 MiB, two passes, one lane (R38) [OWASP argon2id]', async () => {
    expect(await createPasswords().hash('correct horse')).toMatch(/^\$argon2id\$v=19\$m=19456,p=1,t=2\$/)
  })

  it('salts: one password has two hashes, and both verify [OWASP argon2id]', async () => {
    const passwords = createPasswords(light)
    const [a, b] = [await passwords.hash('correct horse'), await passwords.hash('correct horse')]
    expect(a).not.toBe(b)
    expect(await passwords.verify('correct horse', a)).toBe(true)
    expect(await passwords.verify('correct horse', b)).toBe(true)
  })

  it.each(['Correct horse', 'correct horse ', 'correct hors', ''])(
    'refuses %j for "correct horse" [ASVS 6.2.8]',
    async (wrong) => {
      const passwords = createPasswords(light)
      expect(await passwords.verify(wrong, await passwords.hash('correct horse'))).toBe(false)
    },
  )

  it('takes one password however the keyboard composes it', async () => {
    const passwords = createPasswords(light)
    const hash = await passwords.hash('caf\u00e9 \ufb01ve')
    expect(await passwords.verify('cafe\u0301 five', hash)).toBe(true)
  })

  it('never cuts: the longest password differs from one with another last letter, and a longer one is refused [ASVS 6.2.8, 6.2.9] [NIST max-length]', async () => {
    const passwords = createPasswords(light)
    const long = 'x'.repeat(MAX_PASSWORD_LENGTH)
    const hash = await passwords.hash(long)
    expect(await passwords.verify(long, hash)).toBe(true)
    expect(await passwords.verify(`${long.slice(0, -1)}y`, hash)).toBe(false)
    expect(await passwords.verify(`${long}x`, hash)).toBe(false)
    await expect(passwords.hash(`${long}x`)).rejects.toThrow(InputFaults)
  })

  it('refuses a password that normalizing makes too long, without a fault', async () => {
    const passwords = createPasswords(light)
    const growing = '\ufdfa'.repeat(MAX_PASSWORD_LENGTH)
    expect(await passwords.verify(growing, await passwords.hash('x'))).toBe(false)
    await expect(passwords.hash(growing)).rejects.toThrow(InputFaults)
  })

  it('refuses to hash an empty password', async () => {
    await expect(createPasswords(light).hash('')).rejects.toThrow(InputFaults)
  })
})

describe('checking for nobody', () => {
  it('is false for every password, the empty one too', async () => {
    const passwords = createPasswords(light)
    expect(await passwords.verify('', null)).toBe(false)
    expect(await passwords.verify('anything', null)).toBe(false)
    expect(await passwords.verify('x'.repeat(5000), null)).toBe(false)
  })

  it('takes as long as a wrong password takes (no telling who exists) [ASVS 6.3.8]', async () => {
    const passwords = createPasswords({ memoryKiB: 2048, passes: 2 })
    const hash = await passwords.hash('correct horse')
    const times = { nobody: [] as number[], wrong: [] as number[], overlong: [] as number[] }
    for (let round = 0; round < 15; round += 1) {
      times.nobody.push(await duration(() => passwords.verify('battery staple', null)))
      times.wrong.push(await duration(() => passwords.verify('battery staple', hash)))
      times.overlong.push(await duration(() => passwords.verify('x'.repeat(2000), hash)))
    }
    const wrong = median(times.wrong)
    // Without the work the ratio would be a hundred and more.
    for (const other of [median(times.nobody), median(times.overlong)]) {
      expect(other / wrong).toBeGreaterThan(0.4)
      expect(other / wrong).toBeLessThan(2.5)
    }
  })
})

describe('a stored hash that cannot be read', () => {
  it.each([
    'plain',
    '',
    '$2b$10$abcdefghijklmnopqrstuv',
    '$argon2i$v=19$m=64,t=1,p=1$c29tZXNhbHRzb21l$c29tZWhhc2hzb21laGFzaA',
  ])('is a fault of ours, never a wrong password: %j (R43)', async (hash) => {
    await expect(createPasswords(light).verify('anything', hash)).rejects.toThrow(Unavailable)
  })
})

describe('needsRehash', () => {
  it('says yes to hashes with less memory or fewer passes, no to those with as much or more', async () => {
    const old = await createPasswords({ memoryKiB: 64, passes: 2 }).hash('x')
    expect(createPasswords({ memoryKiB: 128, passes: 2 }).needsRehash(old)).toBe(true)
    expect(createPasswords({ memoryKiB: 64, passes: 3 }).needsRehash(old)).toBe(true)
    expect(createPasswords({ memoryKiB: 64, passes: 2 }).needsRehash(old)).toBe(false)
    expect(createPasswords({ memoryKiB: 32, passes: 1 }).needsRehash(old)).toBe(false)
  })

  it('an old hash still verifies after the parameters rose', async () => {
    const old = await createPasswords(light).hash('correct horse')
    expect(await createPasswords({ memoryKiB: 256, passes: 2 }).verify('correct horse', old)).toBe(true)
  })
})

describe('the bound [OWASP bounded-hashing]', () => {
  it('never has more in flight than the bound, and works off the queue', async () => {
    const passwords = createPasswords({ concurrency: 2, queue: 64, memoryKiB: 4096, passes: 2 })
    const all = Promise.all(Array.from({ length: 20 }, () => passwords.verify('x', null)))
    let most = 0
    let done = false
    all.finally(() => {
      done = true
    })
    expect(passwords.load()).toEqual({ running: 2, waiting: 18 })
    while (!done) {
      most = Math.max(most, passwords.load().running)
      await sleep(1)
    }
    await all
    expect(most).toBe(2)
    expect(passwords.load()).toEqual({ running: 0, waiting: 0 })
  })

  it('turns away what the queue cannot hold: 503 with Retry-After, and the others are answered', async () => {
    const passwords = createPasswords({ concurrency: 1, queue: 3, ...light })
    const hash = await passwords.hash('correct horse')
    const results = await Promise.allSettled(Array.from({ length: 10 }, () => passwords.verify('correct horse', hash)))
    const refused = results.filter((result) => result.status === 'rejected').map((result) => result.reason)
    expect(results.filter((result) => result.status === 'fulfilled' && result.value)).toHaveLength(4)
    expect(refused).toHaveLength(6)
    for (const error of refused) {
      expect(error).toBeInstanceOf(LatchkeyError)
      expect(error).toMatchObject({ code: 'busy', status: 503, retryAfter: expect.any(Number) })
    }
    expect(await passwords.verify('correct horse', hash)).toBe(true)
  })

  it('gives its place back after a failure', async () => {
    const passwords = createPasswords({ concurrency: 1, queue: 0, ...light })
    // Well-formed, but argon2 wants 8 KiB a lane at least.
    const bad = '$argon2id$v=19$m=1,t=1,p=9$c29tZXNhbHRzb21l$c29tZWhhc2hzb21laGFzaA'
    await expect(passwords.verify('x', bad)).rejects.toThrow(Unavailable)
    expect(passwords.load()).toEqual({ running: 0, waiting: 0 })
    expect(await passwords.verify('x', null)).toBe(false)
  })
})

async function duration(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now()
  await work()
  return performance.now() - start
}

function median(values: number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN
}
