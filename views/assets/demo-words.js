/*
 * The demonstration app: the page's words, and dates, money and numbers in its language.
 *
 * Owns: reading the words that the server wrote into the page. Does not own: any word itself (views/locales).
 */

// As the plan's own pages write it: $170.00 and 3:28 p.m., in Spanish too.
const page = document.documentElement.lang || 'en'
const language = page.includes('-') ? page : `${page}-US`
const written = document.querySelector('[data-words]').content.querySelectorAll('data')
const words = new Map([...written].map((element) => [element.value, element.textContent]))

/** The text behind a key, its `{name}`s filled in; `fallback` (or nothing) when there is none. */
export function word(key, values = {}, fallback = '') {
  const text = words.get(key) ?? fallback
  return text.replaceAll(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole))
}

/** A FHIR date, which may be a year, a month, a day or an instant, as the day that the record names. */
export function writeDate(date) {
  if (!date) return ''
  const [year, month, day] = date.slice(0, 10).split('-').map(Number)
  const fields = { year: 'numeric', ...(month && { month: 'long' }), ...(day && { day: 'numeric' }), timeZone: 'UTC' }
  return new Intl.DateTimeFormat(language, fields).format(Date.UTC(year, (month ?? 1) - 1, day ?? 1))
}

/** Seconds since 1970, as a time of today's clock. */
export function writeTime(seconds) {
  return new Intl.DateTimeFormat(language, { dateStyle: 'medium', timeStyle: 'medium' }).format(seconds * 1000)
}

export function writeMoney(money) {
  if (money?.value === undefined) return ''
  const currency = money.currency ?? 'USD'
  return new Intl.NumberFormat(language, { style: 'currency', currency }).format(money.value)
}

/** The parts that `readValues` found, in one line. */
export function writeValues(values) {
  return values.map(({ label, ...value }) => [label, writeValue(value)].filter(Boolean).join(' ')).join(' · ')
}

function writeValue({ number, unit, text }) {
  if (number === undefined) return text
  return [new Intl.NumberFormat(language).format(number), unit].filter(Boolean).join(' ')
}

/** Remaining seconds as minutes and seconds. */
export function writeCountdown(seconds) {
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`
}
