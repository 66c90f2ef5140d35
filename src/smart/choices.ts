/**
 * What people can choose among scopes: resource types, for Condition and Observation each category (R22), and which scopes
 * stay of what was left ticked. The consent page and the members' own pages share it. Pure. A type is one box whether it was asked
 * for as `patient/` or as `user/`: both mean the records of the patient in context, and both stay or go with the box.
 *
 * Owns: which boxes a list of scopes makes, and the scopes behind the ticks, exactly.
 * Does not own: words (scope-words.ts names their keys), or whether a token has room for the result (token-size.ts).
 */
import { isSensitiveScope, parseScope, parseScopes, type ResourceScope, type Scope, spellScope } from './scope.ts'
import { covers, expand } from './scope-set.ts'
import { bundlesOf, type Category, categoriesOf } from './scope-words.ts'
import { parseTokenValue, spellTokenValue, type TokenValue, tokenIncludes, tokenOverlap } from './token-value.ts'

/** One category of a type: a box of its own. */
export interface CategoryChoice {
  /** Of a category with words its key (`laboratory`); of any other that an app named, its value. */
  key: string
  /** True: the catalogue has words, `category.{Type}.{key}`. */
  named: boolean
  /** `system|code`, as it stands in a scope. */
  value: string
}

/** One resource type: a box, and the boxes below it. */
export interface TypeChoice {
  type: string
  /** The scopes that name the type, wildcards expanded. */
  scopes: ResourceScope[]
  /** True: with everything ticked, all records of the type are shared, those that fit none of the categories too. */
  whole: boolean
  /** True: a mask has taken something of it away. */
  masked: boolean
  /** Null: the type is shared as it was asked or not at all. */
  categories: CategoryChoice[] | null
}

export interface Choices {
  /** In the order asked. */
  types: Map<string, TypeChoice>
  /** Every kind of record was asked for, future kinds too (R26), and no mask has an exception that the wildcard would not know. */
  wildcard: boolean
}

/** A category that an app named itself is as long as a scope may be, and stands behind its type. */
export const longestTick = 600

/** What was left ticked. */
export interface Ticked {
  /** Resource types. A type that is not here is not shared, whatever is ticked below it. */
  resources: readonly string[]
  /** `Type/key`, for types with categories. */
  categories: readonly string[]
  /** Of the plain scopes that are choices themselves (`offline_access`, `online_access`, `sensitive/…`), those that stay; all others stay anyway. */
  plain: readonly string[]
}

const isResource = (scope: Scope): scope is ResourceScope => scope.kind === 'resource'
const isChoice = (text: string): boolean =>
  text === 'offline_access' || text === 'online_access' || isSensitiveScope(text)

const categoryValues = (scope: ResourceScope): TokenValue[][] =>
  scope.query.filter(([name]) => name === 'category').map(([, value]) => parseTokenValue(value))

/** The value of the only restriction on the category; undefined where there is none or more than one. */
const soleCategory = (scope: Scope): string | undefined => {
  const [only, ...more] = isResource(scope) ? scope.query.filter(([name]) => name === 'category') : []
  return more.length > 0 ? undefined : only?.[1]
}

/** Restricted, and by something else than its category. */
const isRestrictedOtherwise = (scope: ResourceScope): boolean =>
  scope.query.length > 0 && categoryValues(scope).length === 0

const includes = (wide: CategoryChoice, narrow: CategoryChoice): boolean =>
  parseTokenValue(wide.value).some((one) => parseTokenValue(narrow.value).some((other) => tokenIncludes(one, other)))

/** May anything be in both? */
const meets = (choice: CategoryChoice, value: TokenValue): boolean =>
  parseTokenValue(choice.value).some((one) => tokenOverlap(one, value) !== undefined)

const namedChoice = ({ key, system, code }: Category): CategoryChoice => ({
  key,
  named: true,
  value: `${system}|${code}`,
})

/** The categories that a scope of a type with categories opens: the known ones, then what else it names. */
const categoriesWithin = (scope: ResourceScope): CategoryChoice[] => {
  const known = categoriesOf(scope.resource)
  const lists = categoryValues(scope)
  const opened = known.filter((each) => lists.every((list) => list.some((value) => tokenIncludes(value, each))))
  const [only = [], ...more] = lists
  const others = more.length > 0 ? [] : only.filter((value) => !known.some((each) => tokenIncludes(value, each)))
  return [
    ...opened.map(namedChoice),
    ...others.map((value) => ({ key: spellTokenValue([value]), named: false, value: spellTokenValue([value]) })),
  ]
}

/** A scope of one category, given as `system|code`: what is granted when only some are ticked (Inferno's form). */
export const categoryScope = (scope: ResourceScope, value: string): ResourceScope =>
  spellScope({
    ...scope,
    version: 2,
    query: [...scope.query.filter(([name]) => name !== 'category'), ['category', value]],
  })

const distinct = (scopes: readonly Scope[]): Scope[] => [
  ...new Map(scopes.map((scope) => [scope.text, scope])).values(),
]

const unique = (choices: readonly CategoryChoice[]): CategoryChoice[] => [
  ...new Map(choices.map((choice) => [choice.key, choice])).values(),
]

/** Known categories in the order in which people see them, then others as they came. */
const inOrder = (type: string, choices: readonly CategoryChoice[]): CategoryChoice[] => {
  const place = new Map(categoriesOf(type).map(({ key }, at) => [key, at]))
  const placeOf = ({ key }: CategoryChoice) => place.get(key) ?? place.size
  return unique(choices).sort((one, other) => placeOf(one) - placeOf(other))
}

/** What a delegate's mask says of a type: nothing, all of it, or these categories. What is no category of ours counts as all. */
const maskOf = (
  type: string,
  mask: readonly ResourceScope[],
  asked: readonly CategoryChoice[],
): 'nothing' | 'all' | TokenValue[] => {
  const named = mask.filter((scope) => scope.resource === '*' || scope.resource === type)
  if (named.length === 0) return 'nothing'
  const values = named.flatMap((scope) => categoryValues(scope).flat())
  const known = [...categoriesOf(type).map(namedChoice), ...asked]
  const byCategory = named.every((scope) => scope.query.length === 1 && categoryValues(scope).length === 1)
  return byCategory && values.every((value) => known.some((each) => meets(each, value))) ? values : 'all'
}

const typeChoice = (type: string, scopes: ResourceScope[], mask: readonly ResourceScope[]): TypeChoice | undefined => {
  const asked = scopes.flatMap(categoriesWithin)
  const taken = maskOf(type, mask, asked)
  const masked = taken !== 'nothing'
  const unrestricted = scopes.some((scope) => scope.query.length === 0)
  if (categoriesOf(type).length === 0 || scopes.every(isRestrictedOtherwise)) {
    // What is left of a type that is one box could not be said simply, so nothing of it is offered (R34).
    return masked ? undefined : { type, scopes, whole: unrestricted, masked, categories: null }
  }
  const isTaken = (choice: CategoryChoice) => taken === 'all' || (masked && taken.some((value) => meets(choice, value)))
  const categories = inOrder(type, asked).filter((category) => !isTaken(category))
  return categories.length === 0 ? undefined : { type, scopes, whole: unrestricted && !masked, masked, categories }
}

/**
 * The choices behind scopes that are asked for, or held, at an API with these resource types. What a delegate's mask names is not
 * among them: a type, or `?category=…` of a type with categories.
 */
export const choicesOf = (
  scopes: readonly Scope[],
  resources: readonly string[],
  mask: readonly string[] | null = null,
): Choices => {
  const asked = scopes.filter(isResource)
  const masked = parseScopes(mask?.join(' ') ?? '').scopes.filter(isResource)
  const byType = new Map<string, ResourceScope[]>()
  for (const scope of asked.flatMap((one) => expand(one, resources)))
    byType.set(scope.resource, [...(byType.get(scope.resource) ?? []), scope])
  const types = [...byType].flatMap(([type, named]) => typeChoice(type, named, masked) ?? [])
  return {
    types: new Map(types.map((choice) => [choice.type, choice])),
    wildcard: masked.length === 0 && asked.some(({ resource }) => resource === '*'),
  }
}

/** True for a scope that opens its categories and nothing else. */
const isExact = (scope: ResourceScope): boolean => {
  const lists = categoryValues(scope)
  return lists.length === 1 && lists.flat().every(({ code }) => code !== undefined)
}

/** What stays of one scope of a type: itself where nothing of it was taken away, else one scope for each category left. */
const partsLeft = (scope: ResourceScope, choice: TypeChoice | undefined, ticked: Ticked): ResourceScope[] => {
  if (!choice || !ticked.resources.includes(choice.type)) return []
  const { type, categories, masked } = choice
  if (!categories) return [scope]
  const unticked = categories.filter(({ key }) => !ticked.categories.includes(`${type}/${key}`))
  // Of two that an app named, one may lie within the other: the wider one goes too, because it would open it.
  const kept = categories.filter((each) => !unticked.some((other) => includes(each, other)))
  const opened = categoriesWithin(scope)
  const left = opened.filter(({ key }) => kept.some((each) => each.key === key))
  const untouched = isExact(scope) ? left.length === opened.length : kept.length === categories.length
  if (untouched && !masked) return [scope]
  // What cannot be spelt within the grammar's limits is not handed out.
  return left.map(({ value }) => categoryScope(scope, value)).filter(({ text }) => parseScope(text) !== undefined)
}

/**
 * The scopes that stay of what was left ticked, in the app's own words where all of a scope stays, so that a wildcard that was
 * accepted whole stays a wildcard. Ticks that were not offered count for nothing.
 */
export const chosen = (
  scopes: readonly Scope[],
  resources: readonly string[],
  choices: Choices,
  ticked: Ticked,
): Scope[] => {
  const left = scopes.flatMap((scope): Scope[] => {
    if (!isResource(scope)) return isChoice(scope.text) && !ticked.plain.includes(scope.text) ? [] : [scope]
    const parts = expand(scope, resources)
    const kept = parts.map((part) => partsLeft(part, choices.types.get(part.resource), ticked))
    const isWhole = scope.resource !== '*' || choices.wildcard
    return isWhole && kept.every((some, at) => some.length === 1 && some[0] === parts[at]) ? [scope] : kept.flat()
  })
  return distinct(left)
}

/** What a scope of a type becomes at the most when something is unticked. */
const mostLeft = (scope: ResourceScope, { categories }: TypeChoice): ResourceScope[] => {
  const opened = categories ? categoriesWithin(scope) : []
  // A scope that opens all that is offered is only taken apart when one of its categories is missing: at best the shortest.
  const isAll = !isExact(scope) && opened.length === categories?.length
  const left = opened.sort((one, other) => other.value.length - one.value.length).slice(0, isAll ? -1 : undefined)
  return left.map(({ value }) => categoryScope(scope, value))
}

/**
 * The longest words that what is offered can lead to, whatever is unticked: for the size of a token. No more types than make
 * `enough` characters.
 */
export const longestWords = ({ types }: Choices, enough = Number.POSITIVE_INFINITY): Scope[] => {
  const length = (scopes: readonly Scope[]) => scopes.reduce((sum, { text }) => sum + text.length + 1, 0)
  const words: Scope[] = []
  for (const choice of types.values()) {
    if (length(words) > enough) break
    const parts = choice.scopes.flatMap((scope) => {
      const left = mostLeft(scope, choice)
      return length(briefly(left)) > length(briefly([scope])) ? left : [scope]
    })
    words.push(...briefly(parts))
  }
  return words
}

/** The same scopes in fewer words: `.rs` for `.read`, and the categories of a type in one scope. */
export const briefly = (scopes: readonly Scope[]): Scope[] => {
  const shorter = (scope: Scope): Scope => {
    const second = isResource(scope) ? spellScope({ ...scope, version: 2 }) : scope
    return second.text.length < scope.text.length ? second : scope
  }
  return joined(distinct(scopes.map(shorter)))
}

/** Categories of one scope after one comma (FHIR R4, "Search": alternatives), as many as a scope of the grammar holds. */
const joined = (scopes: readonly Scope[]): Scope[] => {
  const result: Scope[] = []
  const places = new Map<string, number>()
  for (const scope of scopes) {
    const value = soleCategory(scope)
    const key = isResource(scope) && value !== undefined ? categoryScope(scope, '').text : undefined
    const place = key === undefined ? undefined : places.get(key)
    const before = place === undefined ? undefined : result[place]
    const both = isResource(scope) && before && categoryScope(scope, `${soleCategory(before)},${value}`)
    if (place !== undefined && both && parseScope(both.text)) result[place] = both
    else {
      if (key !== undefined) places.set(key, result.length)
      result.push(scope)
    }
  }
  return result
}

/** The types in bundles, both in the order in which people see them, each as `part` makes it. */
export const inBundles = <Part>({ types }: Choices, part: (choice: TypeChoice) => Part) =>
  bundlesOf(types.keys()).map(({ key, resources }) => ({
    key,
    resources: resources.flatMap((type) => {
      const choice = types.get(type)
      return choice ? [part(choice)] : []
    }),
  }))

/** Everything that is offered, ticked: what a consent page shows at first, but for the plain scopes. */
export const allTicked = ({ types }: Choices): Omit<Ticked, 'plain'> => ({
  resources: [...types.keys()],
  categories: [...types.values()].flatMap(({ type, categories }) =>
    (categories ?? []).map(({ key }) => `${type}/${key}`),
  ),
})

/** The boxes of `choices` that other scopes held already: what an earlier decision left ticked. */
export const tickedBy = ({ types }: Choices, held: readonly Scope[]): Omit<Ticked, 'plain'> => {
  const ticks = [...types.values()].map(({ type, scopes, categories }) => {
    const holds = (asked: readonly ResourceScope[]) => asked.every((scope) => covers(held, scope))
    const keys = (categories ?? []).filter((category) =>
      holds(
        scopes
          .filter((scope) => categoriesWithin(scope).some(({ key }) => key === category.key))
          .map((scope) => categoryScope(scope, category.value)),
      ),
    )
    return { type, ticked: categories ? keys.length > 0 : holds(scopes), keys }
  })
  return {
    resources: ticks.filter(({ ticked }) => ticked).map(({ type }) => type),
    categories: ticks.flatMap(({ type, keys }) => keys.map(({ key }) => `${type}/${key}`)),
  }
}
