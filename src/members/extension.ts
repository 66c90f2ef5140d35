/** Until when a member can let a connection go on (R8): what the page offers, and what its form says. Pure. */
import type { Plan } from '../config/settings.ts'
import { type DurationChoice, dayOf, durationChoices, endOfDay, readDay } from './durations.ts'

const day = 86_400_000

/** What a page offers. Times are in milliseconds; days are those of the plan's time zone. */
export interface Extension {
  /** Ends that are later than the one that is. */
  choices: DurationChoice[]
  /** The first and the last day that may be chosen; null: none. */
  days: { first: string; last: string } | null
}

/**
 * @param endsAt the end as it is
 * @param shown when the page is shown: durations count from then
 * @param atMost when the authority to act for the patient ends (R34); infinite for an own record
 */
export const extensionOf = (
  { sharing, timeZone }: Plan,
  { endsAt, shown, atMost }: { endsAt: number; shown: number; atMost: number },
): Extension => {
  // The same day may have hours left, but nobody would see what was gained.
  const ends = dayOf(endsAt, timeZone)
  const choices = durationChoices(sharing, shown, atMost).filter((choice) => dayOf(choice.endsAt, timeZone) > ends)
  const distinct = choices.filter((choice, at) => choices.findIndex((each) => each.endsAt === choice.endsAt) === at)
  if (!sharing.durations.includes('date')) return { choices: distinct, days: null }
  const first = dayOf(endsAt + day, timeZone)
  const last = dayOf(Math.min(shown + sharing.longestDays * day, atMost - 1), timeZone)
  return { choices: distinct, days: last < first ? null : { first, last } }
}

/** The end that a form asks for, or what is wrong with it. */
export const chosenEnd = (
  { choices, days }: Extension,
  form: { duration: string | undefined; until: string },
  { language, timeZone, atMost }: { language: string; timeZone: string; atMost: number },
): { endsAt: number } | { fault: 'choose-one' | 'date' } => {
  const choice = choices.find(({ key }) => key === form.duration)
  if (choice) return { endsAt: choice.endsAt }
  if (form.duration !== 'date' || !days) return { fault: 'choose-one' }
  const until = readDay(form.until, language)
  if (until === undefined || until < days.first || until > days.last) return { fault: 'date' }
  return { endsAt: Math.min(endOfDay(until, timeZone), atMost) }
}
