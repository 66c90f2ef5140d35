/**
 * What is shared, as members are told it: bundles, types, categories, sensitive kinds. Pure.
 *
 * Owns: the way from scopes to what a page shows. Does not own: which boxes scopes make (smart/choices), or the pages.
 */
import type { Api, Environment, Plan, SensitiveCategory } from '../config/settings.ts'
import { type Choices, choicesOf, inBundles, type TypeChoice } from '../smart/choices.ts'
import { parseScopes, type ResourceScope } from '../smart/scope.ts'
import { bundlesOf } from '../smart/scope-words.ts'
import type { Translator } from '../web/i18n.ts'
import type { SharedRecords } from '../web/member-pages.ts'

/** What of a connection, or of one decision, says how much is shared. */
interface Shared {
  scope: string
  sensitivities: readonly string[]
  /** Ids of the APIs. */
  apis: readonly string[]
}

/** The APIs of a connection that are still configured. */
export const apisOf = ({ apis }: Environment, ids: readonly string[]): Api[] =>
  apis.filter(({ id }) => ids.includes(id))

/** The resource types of its APIs: what a wildcard stands for. */
export const sharedTypes = (environment: Environment, { apis }: Pick<Shared, 'apis'>): string[] => [
  ...new Set(apisOf(environment, apis).flatMap(({ resources }) => resources)),
]

/** The boxes behind what is shared. */
export const sharedChoices = (environment: Environment, shared: Pick<Shared, 'scope' | 'apis'>): Choices =>
  choicesOf(parseScopes(shared.scope).scopes, sharedTypes(environment, shared))

/** A category's words: those of `key` where the catalogue has them, else its value. */
export const categoryLabel = (
  type: string,
  { key, named, value }: NonNullable<TypeChoice['categories']>[number],
  { t }: Translator,
): string => (named ? t(`category.${type}.${key}`) : value)

/** To what a type is narrowed, in words; empty: all of it is shared. */
export const detailsOf = ({ type, whole, categories, scopes }: TypeChoice, words: Translator): string[] => {
  if (whole) return []
  if (categories) return categories.map((each) => categoryLabel(type, each, words))
  return restrictionsOf(scopes)
}

/** What scopes are restricted to, each restriction once. */
export const restrictionsOf = (scopes: readonly ResourceScope[]): string[] => [
  ...new Set(scopes.map(({ query }) => query.map(([name, value]) => `${name}: ${value}`).join(', '))),
]

/** A sensitive category in the plan's own words, or else the catalogue's. */
export const sensitiveKind = ({ code, name, explanation }: SensitiveCategory, { t, language }: Translator) => ({
  name: name[language] ?? t(`sensitive.${code}.title`),
  text: explanation[language] ?? t(`sensitive.${code}.text`),
})

/** The released categories in the plan's order. One that is configured no more has no words, and opens nothing. */
export const releasedKinds = ({ sensitiveCategories }: Plan, codes: readonly string[]): SensitiveCategory[] =>
  sensitiveCategories.filter(({ code }) => codes.includes(code))

/** The keys of the bundles that are shared, all or in part. */
export const bundleKeys = (environment: Environment, shared: Pick<Shared, 'scope' | 'apis'>): string[] =>
  bundlesOf(sharedChoices(environment, shared).types.keys()).map(({ key }) => key)

/** Everything that is shared, down to the category. */
export const sharedRecords = (environment: Environment, shared: Shared, words: Translator): SharedRecords => {
  const choices = sharedChoices(environment, shared)
  return {
    bundles: inBundles(choices, (choice) => ({ type: choice.type, details: detailsOf(choice, words) })),
    wildcard: choices.wildcard,
    identity: parseScopes(shared.scope).scopes.some(({ text }) => text === 'openid'),
    sensitive: releasedKinds(environment.plan, shared.sensitivities).map((category) => sensitiveKind(category, words)),
    unguarded: apisOf(environment, shared.apis).some(({ sensitivity }) => sensitivity !== 'enforced'),
  }
}
