/**
 * For how long members may share: the plan's choices as dates, and days as people write them (R8, R23). Pure.
 */
import type { Plan, Sharing } from '../config/settings.ts'

const day = 86_400_000

/** One choice of a duration; `once` is not among them. */
export interface DurationChoice {
  /** As in the settings: `P3M`; it is the value of a form's field. */
  key: string
  /** Milliseconds. */
  endsAt: number
}

/** The end of a duration such as `P3M` that begins at `from` (milliseconds): months and years are the calendar's. */
export const endOfDuration = (duration: string, from: number): number => {
  const [, count = '0', unit = 'D'] = /^P(\d+)([DMY])$/.exec(duration) ?? []
  if (unit === 'D') return from + Number(count) * day
  const start = new Date(from)
  const months = Number(count) * (unit === 'Y' ? 12 : 1)
  const end = new Date(from)
  end.setUTCMonth(start.getUTCMonth() + months)
  // The 31st of a month that has none is its last day.
  if (end.getUTCDate() !== start.getUTCDate()) end.setUTCDate(0)
  return end.getTime()
}

/** How far the clocks of a time zone are from UTC at `time`, in milliseconds. */
const offsetAt = (time: number, timeZone: string): number => {
  const parts = new Intl.DateTimeFormat('en-US', {
    timeZone,
    hourCycle: 'h23',
    year: 'numeric',
    month: 'numeric',
    day: 'numeric',
    hour: 'numeric',
    minute: 'numeric',
    second: 'numeric',
  }).formatToParts(time)
  const of = (type: string): number => Number(parts.find((part) => part.type === type)?.value)
  const shown = Date.UTC(of('year'), of('month') - 1, of('day'), of('hour'), of('minute'), of('second'))
  return shown - Math.floor(time / 1000) * 1000
}

/** The last moment of a day (`YYYY-MM-DD`) in a time zone, in milliseconds; NaN where there is no such day. */
export const endOfDay = (date: string, timeZone: string): number => {
  const midnight = /^\d{4}-\d\d-\d\d$/.test(date) ? Date.parse(`${date}T00:00:00Z`) : Number.NaN
  if (Number.isNaN(midnight) || !new Date(midnight).toISOString().startsWith(date)) return Number.NaN
  const wanted = midnight + day - 1
  const guess = wanted - offsetAt(wanted, timeZone)
  // The clocks may change in between: asked again at the guess.
  return wanted - offsetAt(guess, timeZone)
}

/** The first moment of a day (`YYYY-MM-DD`) in a time zone, in milliseconds. */
export const startOfDay = (date: string, timeZone: string): number => {
  const before = new Date(Date.parse(`${date}T00:00:00Z`) - day).toISOString().slice(0, 10)
  return endOfDay(before, timeZone) + 1
}

/** The day (`YYYY-MM-DD`) that it is at `time` in a time zone. */
export const dayOf = (time: number, timeZone: string): string =>
  new Date(time + offsetAt(time, timeZone)).toISOString().slice(0, 10)

/** Counted on the calendar: where the clocks change, a day has other than 24 hours. */
const daysAfter = (date: string, count: number): string =>
  new Date(Date.parse(`${date}T00:00:00Z`) + count * day).toISOString().slice(0, 10)

/** A year of four digits, or one that `Date` would not take for another. */
const written = /^(\d{4})-(\d{1,2})-(\d{1,2})$|^(\d{1,2})[/.-](\d{1,2})[/.-](\d{4})$/

const iso = (year: number, month: number, date: number): string | undefined => {
  const time = Date.UTC(year, month - 1, date)
  const text = new Date(time).toISOString().slice(0, 10)
  const said = `${year}-${String(month).padStart(2, '0')}-${String(date).padStart(2, '0')}`
  return text === said ? said : undefined
}

/**
 * A day as people write it where their browser has no calendar: `2027-12-31`, in English also `12/31/2027`. In other languages
 * the day or the month may come first, so that there only what can be read in one way is read. Undefined for anything else.
 */
export const readDay = (text: string, language: string): string | undefined => {
  const [matched, year, month, date, one, other, lastYear] = written.exec(text.trim()) ?? []
  if (matched === undefined) return undefined
  if (year !== undefined) return iso(Number(year), Number(month), Number(date))
  const monthFirst = iso(Number(lastYear), Number(one), Number(other))
  const dayFirst = iso(Number(lastYear), Number(other), Number(one))
  if (language.startsWith('en')) return monthFirst ?? dayFirst
  return monthFirst && dayFirst && monthFirst !== dayFirst ? undefined : (dayFirst ?? monthFirst)
}

/** The plan's durations as ends, in its order, none later than `atMost` (the authority's end); `date` is left out. */
export const durationChoices = (sharing: Sharing, now: number, atMost: number): DurationChoice[] =>
  sharing.durations
    .filter((key) => key !== 'date')
    .map((key) => ({ key, endsAt: Math.min(endOfDuration(key, now), atMost) }))

/** The first and the last day (`YYYY-MM-DD`) that may be chosen. */
export interface Days {
  first: string
  last: string
}

/**
 * The days of a plan's own calendar that may be chosen; null: none.
 * @param from when the page is shown: the longest time counts from then
 * @param after the first day is the next one after this moment's
 * @param atMost when the authority to act for the patient ends (R34); infinite for an own record
 */
export const daysOf = (
  { sharing, timeZone }: Pick<Plan, 'sharing' | 'timeZone'>,
  { from, after, atMost }: { from: number; after: number; atMost: number },
): Days | null => {
  if (!sharing.durations.includes('date')) return null
  const first = daysAfter(dayOf(after, timeZone), 1)
  const latest = daysAfter(dayOf(from, timeZone), sharing.longestDays)
  const authority = Number.isFinite(atMost) ? dayOf(atMost - 1, timeZone) : latest
  const last = authority < latest ? authority : latest
  return last < first ? null : { first, last }
}

export type DayFault = 'until-empty' | 'until-unclear' | 'until-early' | 'until-late'

/** When sharing until a day, as somebody wrote it, ends (milliseconds), or what is wrong with it. */
export const endOfChosenDay = (
  { first, last }: Days,
  until: string,
  { language, timeZone, atMost }: { language: string; timeZone: string; atMost: number },
): number | DayFault => {
  if (until.trim() === '') return 'until-empty'
  const chosen = readDay(until, language)
  if (chosen === undefined) return 'until-unclear'
  if (chosen < first) return 'until-early'
  if (chosen > last) return 'until-late'
  return Math.min(endOfDay(chosen, timeZone), atMost)
}
