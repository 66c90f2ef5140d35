/**
 * For how long members may share: the plan's choices as dates (R8, R23). Pure.
 */
import type { Sharing } from '../config/settings.ts'

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

/** The plan's durations as ends, in its order, none later than `atMost` (the authority's end); `date` is left out. */
export const durationChoices = (sharing: Sharing, now: number, atMost: number): DurationChoice[] =>
  sharing.durations
    .filter((key) => key !== 'date')
    .map((key) => ({ key, endsAt: Math.min(endOfDuration(key, now), atMost) }))
