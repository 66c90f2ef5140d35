/** For how long a member may share, as the page offers it and the form says it (R8, R23, R34). */
import { describe, expect, it } from 'vitest'
import type { Plan } from '../../src/config/settings.ts'
import { endOf, firstTerm, type TermAnswer, type Terms, termsOf } from '../../src/interactions/terms.ts'
import { readDay } from '../../src/members/durations.ts'

const timeZone = 'America/Chicago'
const sharing = { durations: ['P3M', 'P1Y', 'date'], preselected: 'P1Y', longestDays: 730 }
const plan = { sharing, timeZone } as Plan
/** November 22, 2026, 2 p.m. in Chicago. */
const now = Date.UTC(2026, 10, 22, 20)
const minute = 60_000
const own = Number.POSITIVE_INFINITY

const terms = (more: { atMost?: number; offline?: boolean; at?: number; of?: Plan } = {}): Terms =>
  termsOf(more.of ?? plan, {
    offline: more.offline ?? true,
    now: more.at ?? now,
    atMost: more.atMost ?? own,
    onceMinutes: 60,
  })
const keys = ({ longer }: Terms) => longer?.choices.map(({ key, cut }) => (cut ? `${key} cut` : key))
const end = (answer: Partial<TermAnswer>, of = terms(), more = {}) =>
  endOf(of, { duration: 'date', until: '', ...answer }, { language: 'en', timeZone, atMost: own, ...more })

describe('the terms of a page', () => {
  it('are the plan’s durations with their ends, and days from tomorrow on, in the plan’s time zone', () => {
    const { once, longer } = terms()
    expect(once).toBe(now + 60 * minute)
    expect(longer?.choices).toEqual([
      { key: 'P3M', endsAt: Date.UTC(2027, 1, 22, 20), cut: false },
      { key: 'P1Y', endsAt: Date.UTC(2027, 10, 22, 20), cut: false },
    ])
    expect(longer?.days).toEqual({ first: '2026-11-23', last: '2028-11-21' })
  })

  it('begin on the day after the one that it is at the plan, also where the clocks change that night', () => {
    // 00:30 of the longest day of the year: 25 hours.
    expect(terms({ at: Date.UTC(2026, 10, 1, 5, 30) }).longer?.days?.first).toBe('2026-11-02')
    // 11:30 p.m. in Chicago is the next day in UTC.
    expect(terms({ at: Date.UTC(2026, 10, 23, 5, 30) }).longer?.days?.first).toBe('2026-11-23')
  })

  it('are once only, where no more was asked', () => {
    expect(terms({ offline: false })).toEqual({ once: now + 60 * minute, longer: null })
  })

  it('never pass the end of a delegation, and say once what it cuts (R34)', () => {
    const atMost = Date.UTC(2027, 0, 10, 6)
    const cut = terms({ atMost })
    expect(keys(cut)).toEqual(['P3M cut'])
    expect(cut.longer?.choices[0]?.endsAt).toBe(atMost)
    // It ends at midnight, so that the day before is the last one.
    expect(cut.longer?.days?.last).toBe('2027-01-09')
    expect(keys(terms({ atMost: Date.UTC(2027, 5, 1) }))).toEqual(['P3M', 'P1Y cut'])
    expect(terms({ atMost: now + minute }).once).toBe(now + minute)
    expect(terms({ atMost: now + 60 * minute }).longer?.days).toBeNull()
  })

  it('have no day where the plan offers none', () => {
    const of = { sharing: { ...sharing, durations: ['P3M'] }, timeZone } as Plan
    expect(terms({ of }).longer).toMatchObject({ days: null, choices: [{ key: 'P3M' }] })
  })
})

describe('what is chosen at first', () => {
  const first = (last: { duration: string | null; endsAt: number | null } | null, of = terms(), by = sharing) =>
    firstTerm(of, { sharing: by, timeZone }, last)

  it('is what the plan says', () => {
    expect(first(null)).toEqual({ duration: 'P1Y', until: '' })
    expect(first(null, terms(), { ...sharing, preselected: 'date' })).toEqual({ duration: 'date', until: '' })
  })

  it('is what was chosen last, as long as it is offered', () => {
    expect(first({ duration: 'P3M', endsAt: now })).toEqual({ duration: 'P3M', until: '' })
    expect(first({ duration: 'once', endsAt: now })).toEqual({ duration: 'once', until: '' })
    expect(first({ duration: 'P5Y', endsAt: now })).toEqual({ duration: 'P1Y', until: '' })
    expect(first({ duration: null, endsAt: now })).toEqual({ duration: 'P1Y', until: '' })
  })

  it('is the day that was chosen last, unless it is over', () => {
    // The end of March 1, 2027 in Chicago.
    expect(first({ duration: 'date', endsAt: Date.UTC(2027, 2, 2, 6) - 1 })).toEqual({
      duration: 'date',
      until: '2027-03-01',
    })
    expect(first({ duration: 'date', endsAt: now - 1 })).toEqual({ duration: 'P1Y', until: '' })
  })

  it('is the end of the delegation, where that cuts what the plan says', () => {
    expect(first(null, terms({ atMost: Date.UTC(2027, 0, 10) }))).toEqual({ duration: 'P3M', until: '' })
  })

  it('is always one that is offered', () => {
    for (const preselected of ['P3M', 'P1Y', 'date'])
      for (const atMost of [own, now + minute, Date.UTC(2027, 0, 10), Date.UTC(2027, 5, 1)]) {
        const offered = terms({ atMost })
        const { duration } = first(null, offered, { ...sharing, preselected })
        const known = [
          ...(offered.longer?.choices.map(({ key }) => key) ?? []),
          ...(offered.longer?.days ? ['date'] : []),
        ]
        expect(known).toContain(duration)
      }
  })
})

describe('what a form says of it', () => {
  it('ends when the page said', () => {
    expect(end({ duration: 'once' })).toBe(now + 60 * minute)
    expect(end({ duration: 'P3M' })).toBe(Date.UTC(2027, 1, 22, 20))
  })

  it('ends with the last moment of the chosen day, in the plan’s time zone', () => {
    expect(end({ until: '2026-12-31' })).toBe(Date.UTC(2027, 0, 1, 6) - 1)
    expect(end({ until: '2027-07-01' })).toBe(Date.UTC(2027, 6, 2, 5) - 1)
  })

  it('never ends after the delegation, also where that was shortened since (R34)', () => {
    const atMost = Date.UTC(2026, 11, 24)
    for (const answer of [{ duration: 'P3M' }, { duration: 'P1Y' }, { until: '2027-05-05' }])
      expect(end(answer, terms(), { atMost })).toBe(atMost)
    expect(end({ duration: 'once' }, terms(), { atMost: now })).toBe(now)
  })

  it.each([
    ['P2Y', '', 'no-duration'],
    ['', '', 'no-duration'],
    ['__proto__', '', 'no-duration'],
    ['date', '', 'until-empty'],
    ['date', '   ', 'until-empty'],
    ['date', 'next year', 'until-unclear'],
    ['date', '2027-02-30', 'until-unclear'],
    ['date', '2026-11-22', 'until-early'],
    ['date', '1999-01-01', 'until-early'],
    ['date', '2028-11-22', 'until-late'],
    ['date', '9999-12-31', 'until-late'],
  ])('a duration of "%s" with "%s" is a fault: %s', (duration, until, fault) => {
    expect(end({ duration, until })).toBe(fault)
  })

  it('a day is a fault where none was offered', () => {
    const of = terms({ of: { sharing: { ...sharing, durations: ['P3M'] }, timeZone } as Plan })
    expect(end({ until: '2027-01-01' }, of)).toBe('no-duration')
  })

  it('is once where nothing else was offered, whatever it says', () => {
    for (const duration of ['P1Y', 'date', ''])
      expect(end({ duration, until: '2027-01-01' }, terms({ offline: false }))).toBe(now + 60 * minute)
  })
})

describe('a day as people write it', () => {
  it.each([
    ['2027-12-31', 'en', '2027-12-31'],
    [' 2027-1-5 ', 'es', '2027-01-05'],
    ['12/31/2027', 'en', '2027-12-31'],
    ['5/6/2027', 'en-US', '2027-05-06'],
    ['31/12/2027', 'en', '2027-12-31'],
    ['31/12/2027', 'es', '2027-12-31'],
    ['31.12.2027', 'es', '2027-12-31'],
    ['12/31/2027', 'es', '2027-12-31'],
    ['5/5/2027', 'es', '2027-05-05'],
    ['5/6/2027', 'es', undefined],
    ['13/13/2027', 'en', undefined],
    ['2/29/2027', 'en', undefined],
    ['2/29/2028', 'en', '2028-02-29'],
    ['12/31/27', 'en', undefined],
    ['0000-00-00', 'en', undefined],
    ['2027-12-31T00:00', 'en', undefined],
    ['mañana', 'es', undefined],
  ])('%s in %s is %s', (text, language, day) => {
    expect(readDay(text, language)).toBe(day)
  })
})
