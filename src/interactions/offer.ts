/**
 * What a consent page offers, and what comes out of the boxes that the member left ticked. Pure.
 *
 * Owns: which boxes there are, which of them are ticked at first, and the scopes and sensitive categories behind the ticks.
 * Does not own: how scopes make boxes (smart/choices.ts), or for how long (terms.ts).
 */
import type { Api, SensitiveCategory } from '../config/settings.ts'
import { sha256 } from '../secrets.ts'
import { allTicked, type Choices, choicesOf, chosen, type Ticked, tickedBy } from '../smart/choices.ts'
import { parseScopes, type Scope } from '../smart/scope.ts'

/** The choices behind one request for scopes. */
export interface Offer {
  asked: Scope[]
  api: Pick<Api, 'resources' | 'sensitivity'>
  choices: Choices
  /** Sensitive categories that can be released to this app, each by a box of its own (R25). */
  sensitive: SensitiveCategory[]
  /** The app learns who the member is. */
  identity: boolean
  offline: boolean
  /** The app wants new tokens for as long as the member is signed in. */
  online: boolean
}

/** The boxes of a page that are ticked, by the values of their fields. */
export interface Boxes {
  resources: string[]
  /** `Type/key`. */
  categories: string[]
  /** Codes. */
  sensitive: string[]
}

/** What an offer is made of. */
export interface Asked {
  /** What the app asked for, as far as it exists and is allowed. */
  scope: string
  /** The scopes that the app was approved for by name; null: all, but those of sensitive categories. */
  approved: readonly string[] | null
  api: Pick<Api, 'resources' | 'sensitivity'>
  /** What this delegate can never share; null: no such limit (R34). */
  mask: readonly string[] | null
  /** The plan's sensitive categories. */
  categories: readonly SensitiveCategory[]
}

/** What may be offered of the requested scopes, at an API with these resource types, to a member with this mask. */
export const offerOf = ({ scope, approved, api, mask, categories }: Asked): Offer => {
  const asked = parseScopes(scope).scopes
  const texts = asked.map(({ text }) => text)
  const mayRelease = ({ code, scope: needed }: SensitiveCategory) =>
    !mask?.includes(`sensitive/${code}`) &&
    (needed === null || (approved?.includes(needed) === true && texts.includes(needed)))
  return {
    asked,
    api,
    choices: choicesOf(asked, api.resources, mask),
    // Where the API holds nothing back, a box would be a choice that does nothing.
    sensitive: api.sensitivity === 'enforced' ? categories.filter(mayRelease) : [],
    identity: texts.includes('openid'),
    offline: texts.includes('offline_access'),
    online: texts.includes('online_access'),
  }
}

/** The boxes as a person meets them: everything asked, or what the last decision left of it; never a sensitive category. */
export const firstBoxes = (offer: Offer, last: { grantedScope: string } | null): Boxes => {
  const { resources, categories } = last
    ? tickedBy(offer.choices, parseScopes(last.grantedScope).scopes)
    : allTicked(offer.choices)
  return { resources: [...resources], categories: [...categories], sensitive: [] }
}

/** Of ticked boxes those that were offered: a form can be edited by hand. */
export const offeredBoxes = ({ choices, sensitive }: Offer, boxes: Boxes): Boxes => {
  const all = allTicked(choices)
  const categories = boxes.categories.filter((value) => all.categories.includes(value))
  const isLeft = (type: string) =>
    boxes.resources.includes(type) &&
    (!choices.types.get(type)?.categories || categories.some((value) => value.startsWith(`${type}/`)))
  return {
    resources: all.resources.filter(isLeft),
    categories,
    sensitive: sensitive.map(({ code }) => code).filter((code) => boxes.sensitive.includes(code)),
  }
}

/** By what two offers are known to be the same: what was offered is what is decided on. */
export const nameOfOffer = ({ choices, sensitive, api, offline, online, identity }: Offer): string => {
  const types = [...choices.types.values()].map(({ type, whole, categories }) => [
    type,
    whole,
    categories?.map(({ key }) => key) ?? null,
  ])
  const codes = sensitive.map(({ code }) => code)
  return sha256(JSON.stringify([types, choices.wildcard, codes, api.sensitivity, offline, online, identity]))
}

/**
 * The granted scopes: exactly what was left ticked, in the app's own words where all of a scope is granted, so that a
 * wildcard that was accepted whole stays a wildcard.
 */
export const grantedScopes = (
  offer: Offer,
  boxes: Boxes,
  { offline, online = false }: { offline: boolean; online?: boolean },
): Scope[] => {
  const { resources, categories, sensitive } = offeredBoxes(offer, boxes)
  const released = offer.sensitive.filter(({ code }) => sensitive.includes(code))
  // Whoever may go on while the member is away may do so while they are there.
  const long = offline ? ['offline_access', 'online_access'] : online ? ['online_access'] : []
  const plain = [...long, ...released.flatMap(({ scope }) => scope ?? [])]
  const ticked: Ticked = { resources, categories, plain }
  return chosen(offer.asked, offer.api.resources, offer.choices, ticked)
}
