/** Until when a member can let a connection go on (R8): what the page offers, and what its form says. Pure. */
import type { Plan } from '../config/settings.ts'
import { type Days, type DurationChoice, dayOf, daysOf, durationChoices, endOfChosenDay } from './durations.ts'

/** What a page offers. Times are in milliseconds; days are those of the plan's time zone. */
export interface Extension {
  /** Ends that are later than the one that is. */
  choices: DurationChoice[]
  /** The first and the last day that may be chosen; null: none. */
  days: Days | null
}

/**
 * @param endsAt the end as it is
 * @param shown when the page is shown: durations count from then
 * @param atMost when the authority to act for the patient ends (R34); infinite for an own record
 */
export const extensionOf = (
  plan: Pick<Plan, 'sharing' | 'timeZone'>,
  { endsAt, shown, atMost }: { endsAt: number; shown: number; atMost: number },
): Extension => {
  const { sharing, timeZone } = plan
  // The same day may have hours left, but nobody would see what was gained.
  const ends = dayOf(endsAt, timeZone)
  const choices = durationChoices(sharing, shown, atMost).filter((choice) => dayOf(choice.endsAt, timeZone) > ends)
  return {
    choices: choices.filter((choice, at) => choices.findIndex((each) => each.endsAt === choice.endsAt) === at),
    days: daysOf(plan, { from: shown, after: endsAt, atMost }),
  }
}

/** The end that a form asks for, or what is wrong with it. */
export const chosenEnd = (
  { choices, days }: Extension,
  form: { duration: string | undefined; until: string },
  reading: { language: string; timeZone: string; atMost: number },
): { endsAt: number } | { fault: 'choose-one' | 'date' } => {
  const choice = choices.find(({ key }) => key === form.duration)
  if (choice) return { endsAt: choice.endsAt }
  if (form.duration !== 'date' || !days) return { fault: 'choose-one' }
  const end = endOfChosenDay(days, form.until, reading)
  return typeof end === 'number' ? { endsAt: end } : { fault: 'date' }
}
