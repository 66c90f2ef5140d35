/** What a refresh token without a row is worth (R46): every order in which a restored family can come back. */
import { describe, expect, it } from 'vitest'
import { type Family, worthOf } from '../../src/oidc/adoption.ts'
import type { RecoveryWindow } from '../../src/recovery/lives.ts'

const DAY = 86_400_000
const LIFE = 180 * DAY
/** A copy of day 300, restored on day 301. */
const since = 300 * DAY
const restored = 301 * DAY
const window: RecoveryWindow = { since, openedAt: restored, endsAt: restored + LIFE }
const now = restored + DAY
const family = (generation: number, createdAt: number): Family => ({
  grantCreatedAt: 250 * DAY,
  newest: { generation, createdAt },
})
const worth = (generation: number, of: Family, windows: RecoveryWindow[] = [window], at = now) =>
  worthOf({ generation }, of, windows, at).is

describe('in a recovery window', () => {
  const asInTheCopy = family(5, since - DAY)

  it.each([
    ['newer than the copy', 8, 'adopted'],
    ['a sibling of its newest', 5, 'adopted'],
    ['older', 4, 'spent'],
  ])('a token that is %s is %3$s', (_, generation, is) => {
    expect(worth(generation, asInTheCopy)).toBe(is)
  })

  it('a family that has come back knows its own: whatever else is as new or newer is another line of it', () => {
    const cameBack = family(9, restored + 1)
    expect([8, 9, 10, 50].map((generation) => worth(generation, cameBack))).toEqual([
      ...['spent', 'forked', 'forked', 'forked'],
    ])
  })

  it('a family that is younger than the restored store is judged by it alone', () => {
    expect(worth(1, { grantCreatedAt: restored + 1, newest: { generation: 0, createdAt: restored + 1 } })).toBe(
      'forked',
    )
    expect(worth(1, { grantCreatedAt: restored + 1, newest: null })).toBe('expired')
  })

  it('a family of which the copy has no token got its first one after it if its code was still to be redeemed', () => {
    const made = (grantCreatedAt: number) =>
      [0, 3].map((generation) => worth(generation, { grantCreatedAt, newest: null }))
    expect(made(since + 1000)).toEqual(['adopted', 'adopted'])
    expect(made(since - 60_000)).toEqual(['adopted', 'adopted'])
    // Otherwise its tokens were swept away: whoever still has one has one that is spent or has expired.
    expect(made(since - 3_600_000)).toEqual(['expired', 'expired'])
    expect(made(since - LIFE + DAY)).toEqual(['expired', 'expired'])
  })

  it('closes when no token of before lives any more', () => {
    expect(worth(8, asInTheCopy, [window], window.endsAt - 1)).toBe('adopted')
    expect(worth(8, asInTheCopy, [window], window.endsAt)).toBe('expired')
    expect(worth(0, { grantCreatedAt: since - 1000, newest: null }, [window], window.endsAt)).toBe('expired')
  })

  it('a second restore opens the families that came back after the first', () => {
    const again: RecoveryWindow = {
      since: restored + 2 * DAY,
      openedAt: restored + 3 * DAY,
      endsAt: restored + 3 * DAY + LIFE,
    }
    expect(worth(12, family(9, restored + DAY), [window, again], restored + 4 * DAY)).toBe('adopted')
  })
})

describe('without a window', () => {
  it('what is newer than the store shows that the store lacks something: our fault, not the app’s (R43)', () => {
    expect(worth(6, family(5, since), [])).toBe('ahead')
  })

  it.each([
    ['older', 4, 'spent'],
    ['as new', 5, 'unknown'],
  ])('what is %s is %3$s', (_, generation, is) => {
    expect(worth(generation, family(5, since), [])).toBe(is)
  })

  it('a live grant without a token had one that lay unused for too long (R8)', () => {
    expect(worth(3, { grantCreatedAt: 0, newest: null }, [])).toBe('expired')
  })
})
