/**
 * The parts of the consent page that an offer makes: bundles, sensitive categories, durations. Pure.
 *
 * Owns: from choices to what the view is handed. Does not own: words beyond the plan's own (views/locales), or the decision.
 */
import { sensitiveKind } from '../members/connection-words.ts'
import { inBundles, type TypeChoice } from '../smart/choices.ts'
import type { ResourceScope } from '../smart/scope.ts'
import type { Translator } from '../web/i18n.ts'
import type { ConsentPage, ConsentResource } from '../web/pages.ts'
import type { Boxes, Offer } from './offer.ts'
import type { TermAnswer, Terms } from './terms.ts'

/** What a scope of a type is narrowed to, in its own words; categories with boxes of their own are left out. */
const narrowedTo = ({ query }: ResourceScope, { categories }: TypeChoice): string =>
  query
    .filter(([name]) => !categories || name !== 'category')
    .map(([name, value]) => `${name}: ${value}`)
    .join(', ')

const resourceOf = (choice: TypeChoice, boxes: Boxes): ConsentResource => {
  const { type, scopes, whole, categories } = choice
  const details = [...new Set(scopes.map((scope) => narrowedTo(scope, choice)))]
  const checked = boxes.resources.includes(type)
  return {
    type,
    checked,
    details: details.includes('') ? [] : details,
    categories:
      categories?.map(({ key, named }) => {
        const value = `${type}/${key}`
        return { value, key, named, checked: checked && boxes.categories.includes(value) }
      }) ?? null,
    whole,
  }
}

/** What is shared, in bundles, as the boxes stand. */
export const bundlesPart = ({ choices }: Offer, boxes: Boxes): ConsentPage['bundles'] =>
  inBundles(choices, (choice) => resourceOf(choice, boxes))

/** Sensitive categories in the plan's words, or else the catalogue's. */
export const sensitivePart = ({ sensitive }: Offer, boxes: Boxes, words: Translator): ConsentPage['sensitive'] =>
  sensitive.map((category) => ({
    code: category.code,
    ...sensitiveKind(category, words),
    checked: boxes.sensitive.includes(category.code),
  }))

/** The durations beside sharing once. */
export const longerPart = ({ longer }: Terms, { duration, until }: TermAnswer): ConsentPage['longer'] =>
  longer && {
    duration,
    until,
    days: longer.days,
    choices: longer.choices.map(({ key, endsAt, cut }) => {
      const [, count = '0', unit = 'D'] = /^P(\d+)([DMY])$/.exec(key) ?? []
      return { key, unit, count: Number(count), endsAt, cut }
    }),
  }
