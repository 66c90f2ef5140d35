/**
 * For how long a member may share: what a consent page offers, which of it is chosen at first, and what its form says (R8, R23).
 * Pure.
 */
import type { Plan, Sharing } from '../config/settings.ts'
import {
  type DayFault,
  type Days,
  type DurationChoice,
  dayOf,
  daysOf,
  durationChoices,
  endOfChosenDay,
  endOfDuration,
} from '../members/durations.ts'

/** The terms of one page. Times are in milliseconds: the ends that the member sees are the ends that count. */
export interface Terms {
  /** When sharing once ends. */
  once: number
  /** The plan's durations; null where the app did not ask for offline access. */
  longer: null | {
    choices: (DurationChoice & {
      /** The authority to act for the patient ends before the duration does. */
      cut: boolean
    })[]
    /** The first and the last day that may be chosen; null: the plan offers none. */
    days: Days | null
  }
}

/** What a form says. */
export interface TermAnswer {
  /** `once`, a duration's key, or `date`. */
  duration: string
  /** With `date`: a day as somebody wrote it. */
  until: string
}

export type TermFault = 'no-duration' | DayFault

/**
 * The terms of a page that is shown at `now`.
 * @param known.atMost when the authority to act for the patient ends (R34); infinite for an own record
 * @param known.visitEndsAt when the member is signed out at the latest, where sharing once is for as long as that (`online_access`)
 */
export const termsOf = (
  plan: Plan,
  known: { offline: boolean; now: number; atMost: number; onceMinutes: number; visitEndsAt?: number | null },
): Terms => {
  const { offline, now, atMost, onceMinutes, visitEndsAt } = known
  const once = Math.min(visitEndsAt ?? now + onceMinutes * 60_000, atMost)
  if (!offline) return { once, longer: null }
  const choices = durationChoices(plan.sharing, now, atMost).map((choice) => ({
    ...choice,
    cut: endOfDuration(choice.key, now) > atMost,
  }))
  const firstCut = choices.find(({ cut }) => cut)
  // All that are cut say the same.
  const distinct = choices.filter((choice) => !choice.cut || choice === firstCut)
  return { once, longer: { choices: distinct, days: daysOf(plan, { from: now, after: now, atMost }) } }
}

/** What is chosen at first: as the last decision was, where that is offered still, else as the plan says. */
export const firstTerm = (
  terms: Terms,
  { sharing, timeZone }: { sharing: Sharing; timeZone: string },
  last: { duration: string | null; endsAt: number | null } | null,
): TermAnswer => {
  const { longer } = terms
  if (!longer || last?.duration === 'once') return { duration: 'once', until: '' }
  const offers = (key: string | null | undefined) => longer.choices.some((choice) => choice.key === key)
  if (last?.duration === 'date' && longer.days && last.endsAt !== null) {
    const { first, last: latest } = longer.days
    const until = dayOf(last.endsAt, timeZone)
    if (until >= first && until <= latest) return { duration: 'date', until }
  }
  if (last?.duration && offers(last.duration)) return { duration: last.duration, until: '' }
  const { preselected } = sharing
  const known = preselected === 'date' ? longer.days !== null : offers(preselected)
  const cut = longer.choices.find((choice) => choice.cut)
  return { duration: known ? preselected : (cut?.key ?? longer.choices.at(-1)?.key ?? 'once'), until: '' }
}

/** When what a form says ends, or what is wrong with it. Whatever was not offered is a fault. */
export const endOf = (
  terms: Terms,
  { duration, until }: TermAnswer,
  reading: { language: string; timeZone: string; atMost: number },
): number | TermFault => {
  const { once, longer } = terms
  // Where nothing was to be chosen, nothing was.
  if (duration === 'once' || !longer) return Math.min(once, reading.atMost)
  if (duration === 'date' && longer.days) return endOfChosenDay(longer.days, until, reading)
  const choice = longer.choices.find(({ key }) => key === duration)
  return choice ? Math.min(choice.endsAt, reading.atMost) : 'no-duration'
}
