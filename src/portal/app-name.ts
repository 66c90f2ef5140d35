/** What an app may be called: members decide by its name, so it must be what it looks like. Pure. */

const longest = 80

/**
 * What a name cannot have: control characters, and what is not seen but changes what is (bidirectional overrides, joiners of
 * no width, surrogates, unassigned and private characters), lines and paragraphs.
 */
const unseen = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}\u{115f}\u{1160}\u{3164}\u{ffa0}]/u

/** More marks on one letter than any language has: they would cover the lines around. */
const stacked = /\p{M}{4}/u

/** What is taken for a letter when it is read in passing: digits, and letters of other alphabets. */
const alike: ReadonlyMap<string, string> = new Map(
  Object.entries({
    ...{
      a: '4аα',
      b: 'вβ',
      c: 'сϲ',
      d: 'ԁ',
      e: '3еε',
      h: 'һнհ',
      j: 'ј',
      k: 'кκ',
      l: '1iıіι',
      m: 'м',
      n: 'ոη',
      o: '0оοօ',
    },
    ...{ p: 'рρ', q: 'ԛ', s: '5ѕ', t: 'тτ', u: 'սυ', v: 'ν', w: 'ԝω', x: 'хχ', y: 'уγ' },
  }).flatMap(([letter, others]) => [...others].map((other): [string, string] => [other, letter])),
)

/** Letters and digits alone, in one spelling: what the eye compares. */
const bare = (text: string): string =>
  text
    .normalize('NFKD')
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}]/gu, '')
    .replaceAll(/./gu, (letter) => alike.get(letter) ?? letter)

/** Letters of an alphabet that is not ours. Those of East Asia stand beside ours in one word, and look like none of them. */
const foreign =
  /[\p{L}--[\p{Script=Latin}\p{Script=Common}\p{Script=Inherited}\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}\p{Script=Bopomofo}]]/v

/** Letters of several alphabets in one word: how one name is made to look like another (`Р` for `P`). */
const mixed = (text: string): boolean =>
  text.split(/[^\p{L}\p{M}]+/u).some((word) => /\p{Script=Latin}/u.test(word) && foreign.test(word))

/** A name as it is kept: trimmed, in one spelling of its letters. */
export const appName = (text: string): string => text.normalize('NFC').trim()

/** What is wrong with an app's name, or null. No app is called as the plan is, which members would take it for. */
export function appNameFault(text: string, planName: string): string | null {
  const name = appName(text)
  if (name === '' || [...name].length > longest) return `must be a name of 1 to ${longest} characters`
  if (unseen.test(name) || stacked.test(name))
    return 'must have letters, digits and signs that can be seen, on one line'
  if (!/[\p{L}\p{N}]/u.test(name)) return 'must have a letter or a digit'
  if (mixed(name)) return 'must not mix alphabets within a word'
  const plan = bare(planName)
  return plan !== '' && bare(name).includes(plan) ? 'must not have the name of the plan in it' : null
}
