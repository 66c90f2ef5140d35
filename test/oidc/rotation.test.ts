import { describe, expect, it } from 'vitest'
import { graceMillis, judge, mostUses, nameToken, readToken, type Standing } from '../../src/oidc/rotation.ts'
import { createMac } from '../../src/secrets.ts'

const fresh: Standing = { usedAt: null, uses: 0, killedAt: null, parentUsedAt: null, childUsed: false }
const t0 = 1_000_000

describe('the rule of rotation (R8, RFC 9700 §4.14.2)', () => {
  it('honours nothing whose child was used, whatever its own row says', () => {
    expect(judge({ ...fresh, childUsed: true }, t0)).toBe('reuse')
  })

  it('honours the first use whenever it comes', () => {
    expect(judge(fresh, t0)).toBe('first')
    expect(judge({ ...fresh, parentUsedAt: 1 }, t0 * 1000)).toBe('first')
  })

  it('honours a lost answer at most twice more within 30 s', () => {
    expect(judge({ ...fresh, usedAt: t0, uses: 1 }, t0)).toBe('again')
    expect(judge({ ...fresh, usedAt: t0, uses: 2 }, t0 + graceMillis)).toBe('again')
    expect(judge({ ...fresh, usedAt: t0, uses: mostUses }, t0 + 1)).toBe('refuse')
  })

  it('ends the family for any reuse after the 30 s', () => {
    expect(judge({ ...fresh, usedAt: t0, uses: 1 }, t0 + graceMillis + 1)).toBe('reuse')
    expect(judge({ ...fresh, usedAt: t0, uses: mostUses }, t0 + graceMillis + 1)).toBe('reuse')
  })

  it('does not honour a spent token once one of its answers was used, and ends nothing within the grace', () => {
    expect(judge({ ...fresh, usedAt: t0, uses: 1, childUsed: true }, t0 + 10)).toBe('refuse')
    expect(judge({ ...fresh, usedAt: t0, uses: 1, childUsed: true }, t0 + graceMillis + 1)).toBe('reuse')
  })

  it('keeps a killed sibling dead, and takes its later use for theft', () => {
    const killed = { ...fresh, killedAt: t0 + 5, parentUsedAt: t0 }
    expect(judge(killed, t0 + 10)).toBe('refuse')
    expect(judge(killed, t0 + graceMillis + 1)).toBe('reuse')
    expect(judge({ ...killed, parentUsedAt: null }, t0 + 10)).toBe('reuse')
  })
})

describe('a refresh token says its family and generation (R46)', () => {
  const mac = createMac(['a secret of thirty-two characters!!'])
  const name = { family: 'f'.repeat(43), generation: 7 }
  const random = 'r'.repeat(22)
  const token = nameToken(mac, 'prairie/sandbox', name, random)

  it('is read back', () => {
    expect(readToken(mac, 'prairie/sandbox', token)).toEqual(name)
  })

  it.each([
    ['another issuer', 'summit/production', token],
    ['another generation', 'prairie/sandbox', token.replace('.7.', '.8.')],
    ['another family', 'prairie/sandbox', token.replace('f'.repeat(43), 'g'.repeat(43))],
    ['other randomness', 'prairie/sandbox', token.replace(random, 's'.repeat(22))],
    ['a cut MAC', 'prairie/sandbox', token.slice(0, -1)],
    ['a longer token', 'prairie/sandbox', `${token}A`],
    ['nothing', 'prairie/sandbox', ''],
    ['a JWT', 'prairie/sandbox', 'eyJhbGciOiJub25lIn0.e30.'],
  ])('is unknown with %s', (_, issuer, text) => {
    expect(readToken(mac, issuer, text)).toBeUndefined()
  })

  it('is unknown under another secret', () => {
    expect(readToken(createMac(['another secret of thirty-two chars']), 'prairie/sandbox', token)).toBeUndefined()
  })

  it('is still known after its secret was rotated', () => {
    const rotated = createMac(['a newer secret of thirty-two chars!', 'a secret of thirty-two characters!!'])
    expect(readToken(rotated, 'prairie/sandbox', token)).toEqual(name)
  })
})
