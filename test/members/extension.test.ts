/** Until when a connection can go on (R8, R34). */
import { describe, expect, it } from 'vitest'
import type { Plan } from '../../src/config/settings.ts'
import { chosenEnd, extensionOf } from '../../src/members/extension.ts'

const timeZone = 'America/Chicago'
const shown = Date.UTC(2026, 0, 15, 18)
const day = 86_400_000
const planOf = (durations: string[], longestDays = 730) =>
  ({ timeZone, sharing: { durations, preselected: durations[0], longestDays } }) as unknown as Plan
const all = planOf(['P3M', 'P1Y', 'date'])
const offer = (endsAt: number, { plan = all, atMost = Number.POSITIVE_INFINITY, at = shown } = {}) =>
  extensionOf(plan, { endsAt, shown: at, atMost })
const keys = (...asked: Parameters<typeof offer>) => offer(...asked).choices.map(({ key }) => key)

describe('what is offered', () => {
  it('are ends on a later day than the one that is', () => {
    expect(keys(shown + 10 * day)).toEqual(['P3M', 'P1Y'])
    expect(keys(shown + 200 * day)).toEqual(['P1Y'])
    expect(keys(shown + 400 * day)).toEqual([])
    // One that ends an hour earlier on the same day gains nothing that anybody sees.
    expect(keys(Date.UTC(2026, 3, 15, 17))).toEqual(['P1Y'])
  })

  it('never passes the end of the authority to act, and says each end once', () => {
    const atMost = shown + 60 * day
    const { choices, days } = offer(shown + 10 * day, { atMost })
    expect(choices).toEqual([{ key: 'P3M', endsAt: atMost }])
    expect(days?.last).toBe('2026-03-16')
    expect(offer(atMost, { atMost })).toEqual({ choices: [], days: null })
  })

  it('has a day of one’s own from the day after the end to the longest that the plan lets', () => {
    const endsAt = Date.UTC(2026, 1, 10, 18)
    expect(offer(endsAt).days).toEqual({ first: '2026-02-11', last: '2028-01-15' })
    expect(offer(endsAt, { plan: planOf(['P3M']) }).days).toBeNull()
    expect(offer(shown + 800 * day).days).toBeNull()
  })

  it('has the next day also where the clocks change in between', () => {
    const plan = { ...all, timeZone: 'America/New_York' }
    // March 7, 2026, 23:59:59.999; the next day has 23 hours.
    expect(offer(Date.UTC(2026, 2, 8, 5) - 1, { plan }).days?.first).toBe('2026-03-08')
    // October 31, 2026; the next day has 25 hours. And from summer to winter an hour is gained.
    expect(offer(Date.UTC(2026, 10, 1, 4) - 1, { plan }).days?.first).toBe('2026-11-01')
    const at = Date.UTC(2026, 2, 9, 4)
    expect(offer(at, { plan: { ...plan, sharing: { ...plan.sharing, longestDays: 300 } }, at }).days?.last).toBe(
      '2027-01-03',
    )
  })

  it('counts days in the plan’s time zone', () => {
    // 04:00 UTC is the evening before in Chicago.
    expect(offer(Date.UTC(2026, 1, 10, 4)).days?.first).toBe('2026-02-10')
  })
})

describe('what is chosen', () => {
  const offered = offer(shown + 10 * day)
  const choose = (duration: string | undefined, until = '', atMost = Number.POSITIVE_INFINITY) =>
    chosenEnd(offered, { duration, until }, { language: 'en', timeZone, atMost })

  it('is a duration of the plan', () => {
    expect(choose('P1Y')).toEqual({ endsAt: Date.UTC(2027, 0, 15, 18) })
  })

  it('or the last moment of a day', () => {
    expect(choose('date', '2026-06-30')).toEqual({ endsAt: Date.UTC(2026, 6, 1, 5) - 1 })
    expect(choose('date', '6/30/2026'), 'as people write it').toEqual(choose('date', '2026-06-30'))
    const atMost = Date.UTC(2026, 5, 30, 12)
    expect(choose('date', '2026-06-30', atMost)).toEqual({ endsAt: atMost })
  })

  it.each([undefined, '', 'P2Y', 'once', 'toString'])('not %s', (duration) => {
    expect(choose(duration)).toEqual({ fault: 'choose-one' })
  })

  it.each(['', '2026-01-20', '2028-01-16', '2026-02-30', '2026-6-31', 'tomorrow', '2026-06-30T00:00', '٢٠٢٦-٠٦-٣٠'])(
    'not the day %j',
    (until) => {
      expect(choose('date', until)).toEqual({ fault: 'date' })
    },
  )

  it('nor a day where the plan has none', () => {
    const none = offer(shown + 10 * day, { plan: planOf(['P3M']) })
    expect(
      chosenEnd(none, { duration: 'date', until: '2026-06-30' }, { language: 'en', timeZone, atMost: Infinity }),
    ).toEqual({
      fault: 'choose-one',
    })
  })
})
