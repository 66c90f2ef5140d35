import { describe, expect, it } from 'vitest'
import { Unavailable } from '../src/errors.ts'
import { createMac, createSealer, hashSecret, newId, randomToken, secretMatches, sha256 } from '../src/secrets.ts'

const key = (id: string, secret = `secret of ${id}`) => ({ id, secret, development: false })
const place = { table: 'signing_keys', row: 'kid-1' }

describe('newId', () => {
  it('is a UUIDv7 of its millisecond (RFC 9562, 5.7)', () => {
    const id = newId(0x017f22e279b0)
    expect(id).toMatch(/^017f22e2-79b0-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
  })

  it('sorts by time and never repeats', () => {
    expect(newId(1_000) < newId(1_001)).toBe(true)
    expect(new Set(Array.from({ length: 10_000 }, () => newId(1_000))).size).toBe(10_000)
  })
})

describe('randomToken', () => {
  it('has 256 bits unless told, and never repeats', () => {
    expect(randomToken()).toMatch(/^[\w-]{43}$/)
    expect(randomToken(16)).toMatch(/^[\w-]{22}$/)
    expect(new Set(Array.from({ length: 1000 }, () => randomToken())).size).toBe(1000)
  })
})

describe('hashes of secrets', () => {
  it('are those of the standard', () => {
    expect(sha256('abc')).toBe('ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0')
    expect(hashSecret('abc')).toBe('sha256:ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0')
  })

  it('match any of several, at whatever place (R15)', () => {
    const hashes = ['a', 'b', 'c'].map(hashSecret)
    for (const secret of ['a', 'b', 'c']) expect(secretMatches(secret, hashes)).toBe(true)
  })

  it.each([
    ['another secret', 'd', ['a', 'b'].map(hashSecret)],
    ['no hash at all', 'a', []],
    ['the hash itself', hashSecret('a'), [hashSecret('a')]],
    ['the secret in the clear', 'a', ['a']],
    ['a hash without its name', 'a', [sha256('a')]],
    ['a hash that is cut', 'a', [hashSecret('a').slice(0, -1)]],
    ['a hash that goes on', 'a', [`${hashSecret('a')}=`]],
    ['an empty hash', '', ['', 'sha256:']],
    ['a secret with a space more', 'a ', [hashSecret('a')]],
  ])('do not match %s', (_, secret, hashes) => {
    expect(secretMatches(secret, hashes)).toBe(false)
  })
})

describe('a sealer', () => {
  const sealer = createSealer([key('one')])

  it.each(['', 'plain', '{"kty":"EC"}', 'é🩺\0', 'x'.repeat(100_000)])('opens what it sealed', (plain) => {
    expect(sealer.open(sealer.seal(plain, place), place)).toBe(plain)
  })

  it('never seals one text to the same value twice, and shows nothing of it', () => {
    const first = sealer.seal('plain text', place)
    expect(first).not.toBe(sealer.seal('plain text', place))
    expect(first).toMatch(/^v1\.one\.[\w-]{16}\.[\w-]+$/)
    expect(Buffer.from(first.split('.')[3] ?? '', 'base64url').toString('latin1')).not.toContain('plain')
  })

  it.each([
    ['another row', { ...place, row: 'kid-2' }],
    ['another table', { ...place, table: 'sealed_secrets' }],
    ['a place whose parts are joined otherwise', { table: 'signing_keys/kid', row: '1' }],
    ['a place that is swapped', { table: place.row, row: place.table }],
  ])('does not open in %s', (_, elsewhere) => {
    expect(() => sealer.open(sealer.seal('plain', place), elsewhere)).toThrow(Unavailable)
  })

  it('does not open with any one character changed', () => {
    const sealed = sealer.seal('plain', place)
    for (let i = 0; i < sealed.length; i++) {
      // The last character of base64url holds bits that mean nothing; changing those alone changes no byte.
      const other = sealed[i] === 'A' ? 'Q' : 'A'
      const changed = sealed.slice(0, i) + other + sealed.slice(i + 1)
      expect(() => sealer.open(changed, place), changed).toThrow(Unavailable)
    }
  })

  it.each([
    '',
    'plain',
    'v1.one',
    'v1.one..',
    'v2.one.AAAAAAAAAAAAAAAA.AAAAAAAAAAAAAAAAAAAAAA',
    'v1..AAAAAAAAAAAAAAAA.AAAAAAAAAAAAAAAAAAAAAA',
    'v1.one.AAAAAAAAAAAAAAAA.AAAA',
    'v1.one.AAAAAAAAAAAAAAAA.AAAAAAAAAAAAAAAAAAAAAA',
    'v1.one.AAAAAAAAAAAAAAAA.AAAAAAAAAAAAAAAAAAAAAA\n',
  ])('does not open %j', (sealed) => {
    expect(() => sealer.open(sealed, place)).toThrow(Unavailable)
  })

  it('does not open what is cut short or goes on', () => {
    const sealed = sealer.seal('a text that is long enough', place)
    for (const changed of [sealed.slice(0, -4), `${sealed}AAAA`, sealed.slice(0, -22)]) {
      expect(() => sealer.open(changed, place)).toThrow(Unavailable)
    }
  })

  it('names the key that is missing, and a fault of ours it is (R43)', () => {
    const sealed = createSealer([key('old')]).seal('plain', place)
    expect(() => sealer.open(sealed, place)).toThrow(/key old, which is not configured/)
    expect(() => sealer.open(sealed, place)).toThrow(Unavailable)
  })

  it('does not open with a key of the same id and another secret', () => {
    const sealed = createSealer([key('one', 'another secret')]).seal('plain', place)
    expect(() => sealer.open(sealed, place)).toThrow(Unavailable)
  })

  it('does not open under another key’s id, even if the secrets are the same', () => {
    const both = createSealer([key('a', 'same'), key('b', 'same')])
    const sealed = both.seal('plain', place).replace('v1.a.', 'v1.b.')
    expect(() => both.open(sealed, place)).toThrow(Unavailable)
  })

  it('tells nothing of the plain text or the secret when it does not open', () => {
    const sealed = sealer.seal('plain', place)
    let message = ''
    try {
      sealer.open(sealed, { ...place, row: 'x' })
    } catch (error) {
      message = String(error)
    }
    expect(message).toContain('signing_keys/x')
    expect(message).not.toContain('plain')
    expect(message).not.toContain('secret of one')
  })

  it('seals with the first key, opens with all, and says what to seal again', () => {
    const old = sealer.seal('plain', place)
    const rotated = createSealer([key('two'), key('one')])
    expect(rotated.open(old, place)).toBe('plain')
    expect(rotated.rotateNeeded(old)).toBe(true)
    const fresh = rotated.seal(rotated.open(old, place), place)
    expect(fresh).toMatch(/^v1\.two\./)
    expect(rotated.rotateNeeded(fresh)).toBe(false)
    expect(() => sealer.open(fresh, place)).toThrow(Unavailable)
  })

  it('takes ids with dots', () => {
    const dotted = createSealer([key('2026.01'), key('one')])
    expect(dotted.open(dotted.seal('plain', place), place)).toBe('plain')
    expect(dotted.rotateNeeded(dotted.seal('plain', place))).toBe(false)
  })

  it('is not made without keys, or with two of one id', () => {
    expect(() => createSealer([])).toThrow(TypeError)
    expect(() => createSealer([key('one'), key('one', 'other')])).toThrow(TypeError)
  })
})

describe('a MAC', () => {
  const mac = createMac(['first', 'second'])

  it('is 128 bits of HMAC-SHA-256', () => {
    expect(mac.sign('text')).toMatch(/^[\w-]{22}$/)
    expect(mac.sign('text')).toBe(createMac(['first']).sign('text'))
  })

  it('is made by the first secret and verified by all', () => {
    expect(mac.verify('text', mac.sign('text'))).toBe(true)
    expect(mac.verify('text', createMac(['second']).sign('text'))).toBe(true)
    expect(createMac(['second']).verify('text', mac.sign('text'))).toBe(false)
  })

  it.each([
    ['another text', 'Text', mac.sign('text')],
    ['a text that goes on', 'text ', mac.sign('text')],
    ['a MAC of a secret that is gone', 'text', createMac(['third']).sign('text')],
    ['nothing', 'text', ''],
    ['a MAC that is cut', 'text', mac.sign('text').slice(0, -1)],
    ['a MAC that goes on', 'text', `${mac.sign('text')}A`],
    ['characters of several bytes', 'text', 'é'.repeat(22)],
  ])('does not verify %s', (_, text, presented) => {
    expect(mac.verify(text, presented)).toBe(false)
  })

  it('is not made without a secret', () => {
    expect(() => createMac([])).toThrow(TypeError)
    expect(() => createMac([''])).toThrow(TypeError)
  })
})
