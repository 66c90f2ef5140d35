/**
 * The rule of refresh token rotation (house rule; RFC 9700 §4.14.2, R8), and the form of a token. Pure.
 *
 * A token may be presented again at most twice within 30 s of its first use, because answers get lost; each answer is a
 * sibling in one generation. The first use of one sibling kills the others. A further presentation within the 30 s is
 * refused and ends nothing; afterwards any reuse ends the family. Family and generation travel in the token under a MAC,
 * so that a spent token is known as spent when its row is gone (R46).
 */

/** How long after its first use a token may be presented again, in milliseconds. */
export const graceMillis = 30_000
/** How often a token is honoured in all: once, and twice more for lost answers. */
export const mostUses = 3

/** What the store knows of a token that is presented. */
export interface Standing {
  usedAt: number | null
  uses: number
  killedAt: number | null
  /** First use of the token that this one came from; null for the first generation. */
  parentUsedAt: number | null
  /** Was a token of the next generation used already? */
  childUsed: boolean
}

/**
 * `first` and `again` are honoured; `refuse` ends nothing; `reuse` ends the family.
 */
export type Verdict = 'first' | 'again' | 'refuse' | 'reuse'

const within = (since: number | null, now: number): boolean => since !== null && now - since <= graceMillis

/** Judges one presentation of a token. */
export const judge = (token: Standing, now: number): Verdict => {
  // Killed because a sibling was used: two parties hold siblings, unless one client raced itself within the grace.
  if (token.killedAt !== null) return within(token.parentUsedAt, now) ? 'refuse' : 'reuse'
  // What was handed out for it is used: whatever the row says, so was this.
  if (token.usedAt === null) return token.childUsed ? 'reuse' : 'first'
  if (!within(token.usedAt, now)) return 'reuse'
  return token.uses < mostUses && !token.childUsed ? 'again' : 'refuse'
}

/** What a refresh token says of itself. The family is the grant. */
export interface TokenName {
  family: string
  generation: number
}

interface Mac {
  sign(text: string): string
  verify(text: string, mac: string): boolean
}

const form = /^rt_([\w-]{20,64})\.(\d{1,9})\.([\w-]{22})\.([\w-]{22})$/

/** The text of a new token: family, generation, 128 random bits, and a MAC bound to the issuer. */
export const nameToken = (mac: Mac, issuer: string, name: TokenName, random: string): string => {
  const body = `rt_${name.family}.${name.generation}.${random}`
  return `${body}.${mac.sign(`${issuer} ${body}`)}`
}

/** Reads a token of ours; undefined for anything that we did not make for this issuer. */
export const readToken = (mac: Mac, issuer: string, token: string): TokenName | undefined => {
  const [, family, generation, , tag] = form.exec(token) ?? []
  if (!family || !generation || !tag) return undefined
  const body = token.slice(0, -(tag.length + 1))
  return mac.verify(`${issuer} ${body}`, tag) ? { family, generation: Number(generation) } : undefined
}
