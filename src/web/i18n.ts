/**
 * Languages: the catalogues in views/locales, the choice among them, and words, dates and numbers in the one chosen.
 *
 * Owns: which catalogue answers (R31). Does not own: the words. A further language is one more `{code}.json` in the folder.
 * A key that English lacks too is a fault of ours and throws; one that another language lacks is said in English.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'

type Params = Record<string, string | number>

/** Says things in one language. */
export interface Translator {
  language: string
  /**
   * The words of `key`, `{name}` replaced from `params`. With `count` among them, `{key}.one`, `{key}.other`, … is taken
   * by the language's plural rules.
   */
  t(key: string, params?: Params): string
  has(key: string): boolean
  /**
   * Long form, for instance "March 4, 2027". Milliseconds are shown as the translator's time zone has them, unless told
   * otherwise; a day (`YYYY-MM-DD`) is that day everywhere.
   */
  date(value: number | string, options?: { time?: boolean; timeZone?: string }): string
  number(value: number): string
  /** "a, b, and c". */
  list(items: readonly string[]): string
}

/** What a language is chosen from; see `negotiate`. */
export interface Wishes {
  /** What the person chose on a page of ours. */
  cookie?: string | undefined
  /** OpenID Connect `ui_locales`, space separated. */
  uiLocales?: string | undefined
  acceptLanguage?: string | undefined
  offered: readonly string[]
  fallback: string
}

export interface I18n {
  /** Codes of every catalogue. */
  languages: readonly string[]
  /** A language's name in itself. */
  label(language: string): string
  negotiate(wishes: Wishes): string
  /** @param timeZone of dates; default UTC */
  translator(language: string, timeZone?: string): Translator
}

const Catalogue = z.record(z.string(), z.string())
const LAST_RESORT = 'en'

/** Reads every catalogue in `dir` at once. */
export function createI18n({ dir }: { dir: string }): I18n {
  const catalogues = new Map<string, Map<string, string>>()
  for (const file of readdirSync(dir).toSorted()) {
    if (!file.endsWith('.json')) continue
    const words = Catalogue.parse(JSON.parse(readFileSync(join(dir, file), 'utf8')))
    catalogues.set(file.slice(0, -'.json'.length), new Map(Object.entries(words)))
  }
  if (!catalogues.has(LAST_RESORT)) throw new Error(`${dir} has no ${LAST_RESORT}.json`)
  const translators = new Map<string, Translator>()

  function translator(language: string, timeZone = 'UTC'): Translator {
    const known = catalogues.has(language) ? language : LAST_RESORT
    const name = `${known} ${timeZone}`
    const found = translators.get(name) ?? createTranslator(known, timeZone, catalogues)
    translators.set(name, found)
    return found
  }

  return {
    languages: [...catalogues.keys()],
    label: (language) => translator(language).t('language.name'),
    negotiate,
    translator,
  }
}

/** The person's own choice first, then what the app asked for, then what the browser prefers. */
export function negotiate({ cookie, uiLocales, acceptLanguage, offered, fallback }: Wishes): string {
  const asked = [cookie ?? '', ...(uiLocales ?? '').split(' ').slice(0, 20), ...preferences(acceptLanguage ?? '')]
  for (const tag of asked) {
    const found = bestOf(offered, tag)
    if (found) return found
  }
  return fallback
}

/** "es-MX" finds "es-MX", or else "es" (RFC 4647, section 3.4). */
function bestOf(offered: readonly string[], tag: string): string | undefined {
  let range = tag.trim().toLowerCase()
  while (range) {
    const found = offered.find((code) => code.toLowerCase() === range)
    if (found) return found
    range = range.includes('-') ? range.slice(0, range.lastIndexOf('-')) : ''
  }
  return undefined
}

/** The tags of an Accept-Language header, the most wanted first (RFC 9110, section 12.5.4). */
function preferences(header: string): string[] {
  return header
    .slice(0, 500)
    .split(',')
    .map((part) => {
      const [tag = '', ...parameters] = part.trim().split(';')
      const weight = parameters.map((p) => /^\s*q=(\d(?:\.\d{1,3})?)\s*$/.exec(p)?.[1]).find((q) => q !== undefined)
      return { tag: tag.trim(), weight: weight === undefined ? 1 : Number(weight) }
    })
    .filter(({ tag, weight }) => tag !== '' && tag !== '*' && weight > 0)
    .toSorted((a, b) => b.weight - a.weight)
    .map(({ tag }) => tag)
}

const DAY = /^\d{4}-\d\d-\d\d$/

function createTranslator(language: string, ownZone: string, catalogues: Map<string, Map<string, string>>): Translator {
  const words = catalogues.get(language)
  const reserve = catalogues.get(LAST_RESORT)
  const plural = new Intl.PluralRules(language)
  // Members live in the United States: 3:28 p.m. and 1,234 in Spanish too, not 15:28 and 1.234.
  const locale = new Intl.Locale(language).region ? language : `${language}-US`
  const lists = new Intl.ListFormat(locale, { type: 'conjunction' })
  const numbers = new Intl.NumberFormat(locale)
  // Making one costs a hundred times what using it does.
  const dates = new Map<string, Intl.DateTimeFormat>()
  const dateFormat = (time: boolean, timeZone: string): Intl.DateTimeFormat => {
    const name = `${time} ${timeZone}`
    const known = dates.get(name)
    if (known) return known
    const format = new Intl.DateTimeFormat(locale, {
      dateStyle: 'long',
      ...(time ? { timeStyle: 'short' } : {}),
      timeZone,
    })
    dates.set(name, format)
    return format
  }
  const look = (key: string) => words?.get(key) ?? reserve?.get(key)

  return {
    language,
    has: (key) => look(key) !== undefined,
    t(key, params = {}) {
      const { count } = params
      const form =
        typeof count === 'number' ? (look(`${key}.${plural.select(count)}`) ?? look(`${key}.other`)) : undefined
      const text = form ?? look(key)
      if (text === undefined) throw new Error(`no words for ${key}`)
      return text.replaceAll(/\{(\w+)\}/g, (_, name: string) => {
        const value = params[name]
        if (value === undefined) throw new Error(`${key} needs ${name}`)
        return typeof value === 'number' ? numbers.format(value) : value
      })
    },
    date(value, { time = false, timeZone = ownZone } = {}) {
      const zone = typeof value === 'string' && DAY.test(value) ? 'UTC' : timeZone
      return dateFormat(time, zone).format(new Date(value))
    },
    number: (value) => numbers.format(value),
    list: (items) => lists.format(items),
  }
}
