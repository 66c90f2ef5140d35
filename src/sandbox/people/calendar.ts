/** Calendar arithmetic on FHIR dates (`2026-06-30`), in UTC so that no machine's time zone shows. */

const day = 86_400_000

export const addDays = (date: string, days: number): string =>
  new Date(Date.parse(`${date}T00:00:00Z`) + days * day).toISOString().slice(0, 10)

export const addMonths = (date: string, months: number): string => {
  const moved = new Date(`${date}T00:00:00Z`)
  moved.setUTCMonth(moved.getUTCMonth() + months)
  return moved.toISOString().slice(0, 10)
}

export const yearsBetween = (from: string, to: string): number => {
  const years = Number(to.slice(0, 4)) - Number(from.slice(0, 4))
  return to.slice(5) < from.slice(5) ? years - 1 : years
}

/** An instant on that day; `hour` is UTC, 15 being a morning in the Midwest. */
export const at = (date: string, hour = 15, minute = 0): string =>
  `${date}T${String(hour).padStart(2, '0')}:${String(minute).padStart(2, '0')}:00Z`
