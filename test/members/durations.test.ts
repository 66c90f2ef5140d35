/** For how long members may share, as days of a calendar and moments of a plan's clocks (R8, R23). */
import { describe, expect, it } from 'vitest'
import { dayOf, durationChoices, endOfDay, endOfDuration, startOfDay } from '../../src/members/durations.ts'

const at = (text: string) => Date.parse(text)
const iso = (time: number) => new Date(time).toISOString()

describe('the end of a duration', () => {
  it.each([
    ['P1D', '2026-11-22T20:00:00Z', '2026-11-23T20:00:00.000Z'],
    ['P90D', '2026-11-22T20:00:00Z', '2027-02-20T20:00:00.000Z'],
    ['P3M', '2026-11-22T20:00:00Z', '2027-02-22T20:00:00.000Z'],
    ['P1Y', '2026-11-22T20:00:00Z', '2027-11-22T20:00:00.000Z'],
    ['P13M', '2026-12-15T00:00:00Z', '2028-01-15T00:00:00.000Z'],
  ])('%s from %s is %s', (duration, from, end) => {
    expect(iso(endOfDuration(duration, at(from)))).toBe(end)
  })

  it.each([
    ['P3M', '2026-11-30T12:00:00Z', '2027-02-28T12:00:00.000Z'],
    ['P3M', '2027-11-30T12:00:00Z', '2028-02-29T12:00:00.000Z'],
    ['P1M', '2027-01-31T12:00:00Z', '2027-02-28T12:00:00.000Z'],
    ['P1M', '2027-03-31T12:00:00Z', '2027-04-30T12:00:00.000Z'],
    ['P1Y', '2028-02-29T12:00:00Z', '2029-02-28T12:00:00.000Z'],
    ['P4Y', '2028-02-29T12:00:00Z', '2032-02-29T12:00:00.000Z'],
  ])('%s from %s is the last day of a month that is shorter: %s', (duration, from, end) => {
    expect(iso(endOfDuration(duration, at(from)))).toBe(end)
  })

  it('of three months is never less than 89 days, from any day of four years (R8)', () => {
    for (let day = 0; day < 1461; day += 1) {
      const from = at('2026-01-01T12:00:00Z') + day * 86_400_000
      expect((endOfDuration('P3M', from) - from) / 86_400_000).toBeGreaterThanOrEqual(89)
    }
  })
})

describe('the first moment of a day', () => {
  it.each([
    ['2027-01-01', 'UTC', '2027-01-01T00:00:00.000Z'],
    ['2035-05-09', 'America/Chicago', '2035-05-09T05:00:00.000Z'],
    ['2027-03-15', 'America/Chicago', '2027-03-15T05:00:00.000Z'],
    ['2028-03-01', 'Pacific/Kiritimati', '2028-02-29T10:00:00.000Z'],
  ])('%s in %s', (day, zone, start) => {
    expect(iso(startOfDay(day, zone))).toBe(start)
  })
})

describe('the last moment of a day', () => {
  it.each([
    ['2026-12-31', 'UTC', '2026-12-31T23:59:59.999Z'],
    ['2026-12-31', 'America/Chicago', '2027-01-01T05:59:59.999Z'],
    ['2027-07-01', 'America/Chicago', '2027-07-02T04:59:59.999Z'],
    ['2027-07-01', 'Pacific/Honolulu', '2027-07-02T09:59:59.999Z'],
    ['2027-07-01', 'Pacific/Kiritimati', '2027-07-01T09:59:59.999Z'],
    ['2027-07-01', 'Asia/Kathmandu', '2027-07-01T18:14:59.999Z'],
    ['2028-02-29', 'UTC', '2028-02-29T23:59:59.999Z'],
  ])('%s in %s', (day, zone, end) => {
    expect(iso(endOfDay(day, zone))).toBe(end)
  })

  it.each([
    // The clocks go forward on March 14 and back on November 7, 2027, at two in the morning.
    ['2027-03-13', '2027-03-14T05:59:59.999Z'],
    ['2027-03-14', '2027-03-15T04:59:59.999Z'],
    ['2027-11-06', '2027-11-07T04:59:59.999Z'],
    ['2027-11-07', '2027-11-08T05:59:59.999Z'],
  ])('%s in Chicago, where the clocks change', (day, end) => {
    expect(iso(endOfDay(day, 'America/Chicago'))).toBe(end)
  })

  it.each([
    // At midnight itself: Cairo goes forward as April 30, 2027 begins, and back as October 29 begins.
    ['2027-04-29', '2027-04-29T21:59:59.999Z'],
    ['2027-04-30', '2027-04-30T20:59:59.999Z'],
    ['2027-10-29', '2027-10-29T21:59:59.999Z'],
  ])('%s in Cairo, where they change at midnight', (day, end) => {
    expect(iso(endOfDay(day, 'Africa/Cairo'))).toBe(end)
  })

  it('is still that day, and a millisecond later the next one, all through two years', () => {
    for (const zone of ['America/Chicago', 'America/New_York', 'America/Phoenix', 'Pacific/Honolulu'])
      for (let count = 0; count < 730; count += 1) {
        const day = new Date(at('2026-11-01T00:00:00Z') + count * 86_400_000).toISOString().slice(0, 10)
        const end = endOfDay(day, zone)
        expect(dayOf(end, zone)).toBe(day)
        expect(dayOf(end + 1, zone) > day).toBe(true)
      }
  })

  it.each(['2027-02-29', '2027-13-01', '2027-00-10', '2027-1-1', '', 'tomorrow', '2027-01-01T00:00:00Z', '12/31/2027'])(
    'of "%s" there is none',
    (day) => {
      expect(endOfDay(day, 'UTC')).toBeNaN()
    },
  )
})

describe('the day that it is', () => {
  it('depends on where', () => {
    const evening = at('2026-11-23T03:00:00Z')
    expect(dayOf(evening, 'America/Chicago')).toBe('2026-11-22')
    expect(dayOf(evening, 'UTC')).toBe('2026-11-23')
    expect(dayOf(evening, 'Asia/Tokyo')).toBe('2026-11-23')
  })
})

describe('a plan’s choices', () => {
  const sharing = { durations: ['P1Y', 'P3M', 'date'], preselected: 'P1Y', longestDays: 730 }
  const now = at('2026-11-22T20:00:00Z')

  it('are its durations in its order; a day of one’s own is none of them', () => {
    expect(durationChoices(sharing, now, Number.POSITIVE_INFINITY)).toEqual([
      { key: 'P1Y', endsAt: at('2027-11-22T20:00:00Z') },
      { key: 'P3M', endsAt: at('2027-02-22T20:00:00Z') },
    ])
  })

  it('never end after the authority that they rest on (R34)', () => {
    const atMost = at('2027-05-01T00:00:00Z')
    expect(durationChoices(sharing, now, atMost).map(({ endsAt }) => endsAt)).toEqual([
      atMost,
      at('2027-02-22T20:00:00Z'),
    ])
  })
})
