/**
 * How hard a text is to read: US school grades for English, the INFLESZ scale for Spanish. Syllables are counted by rules, with
 * a list of words in which the rules err; test/house/reading-level.test.ts holds them to known words and texts.
 */

export interface Text {
  words: number
  sentences: number
  syllables: number
}

const wordsOf = (text: string): string[] => text.match(/[\p{Letter}][\p{Letter}\p{Mark}'’-]*|\d[\d.,:-]*/gu) ?? []

/** Sentences end with their mark, or with the line: a heading is read as one. */
export const sentencesOf = (text: string): string[] =>
  text
    .split(/(?<=[.?!…:])[\s"”»)]+|\n+/u)
    .map((sentence) => sentence.trim())
    .filter((sentence) => wordsOf(sentence).length > 0)

/** English words that the rules count wrongly. */
const exceptions: Record<string, number> = {
  ...{ area: 3, being: 2, business: 2, created: 3, diagnoses: 4, every: 2, everyone: 3, everything: 3, evening: 2 },
  ...{ science: 2, quiet: 2, diet: 2, client: 2, medicine: 3, medicines: 3, people: 2, something: 2, someone: 2 },
  ...{ sometimes: 2, somebody: 3, somewhere: 2, therefore: 2, whoever: 3, reuse: 2, vaccines: 2, hospital: 3 },
  ...{ themselves: 2, website: 2, websites: 2, privacy: 3, anyone: 3, ideas: 3, idea: 3, used: 1, uses: 2 },
  ...{ caregiver: 3, caregivers: 3, elsewhere: 2, pacemaker: 3, pacemakers: 3, safety: 2, specially: 3 },
  ...{ ecg: 3, utc: 3, hiv: 3, id: 2, fhir: 1, ok: 2, json: 2, api: 3, oauth: 2, us: 1, pdf: 3 },
}

/** Of one English word. */
export const syllablesEn = (raw: string): number => {
  const word = raw.toLowerCase().replaceAll(/['’]s?$|['’]/g, '')
  if (/^\d/.test(word)) return 1
  if (word.includes('-')) return word.split('-').reduce((sum, part) => sum + (part ? syllablesEn(part) : 0), 0)
  const known = exceptions[word]
  if (known !== undefined) return known
  const plain = word
    // Silent at the end, but for -le after a consonant, and for the ends that are spoken.
    .replace(/(?<=[^aeiouy]l)es?$/, 'ə')
    .replace(/(?<=[sxz]|ch|sh|[cg])es$/, 'əs')
    .replace(/(?<=[td])ed$/, 'əd')
    .replace(/(?<=[^aeiou])(?:es|ed|e)$/, '')
    .replace(/(?<=[aeiouy][^aeiouy]*)(?:e)(?=(?:ly|less|ness|ful|ment)$)/, '')
  const groups = plain.match(/[aeiouyə]+/g) ?? []
  // Two vowels that are spoken apart.
  const apart = plain.match(
    /ia(?!l$|n$)|io(?!n)|iu|eo(?!p)|(?<!g)ua(?!r|nt)|[iu]ous|uou|(?<=[aeiouy])ing|ual$|(?<![cstg])ia[ln]$|(?<=[^qg])uity?/g,
  )
  return Math.max(1, groups.length + (apart?.length ?? 0))
}

/** Of one Spanish word: strong vowels stand alone, weak ones lean on them unless they carry the accent. */
export const syllablesEs = (raw: string): number => {
  const word = raw
    .toLowerCase()
    .normalize('NFC')
    .replaceAll(/(?<=q)u|(?<=g)u(?=[eiéí])/g, '')
    .replace(/y$/, 'i')
    // Silent between vowels, and no border.
    .replaceAll(/(?<=[aeiouáéíóúü])h(?=[aeiouáéíóúü])/g, '')
  if (/^\d/.test(word)) return 1
  let count = 0
  for (const [group] of word.matchAll(/[aeiouáéíóúü]+/g)) {
    count += 1
    for (let at = 1; at < group.length; at += 1) {
      const pair = group.slice(at - 1, at + 1)
      if (/[aeoáéó]{2}|[íú][aeoáéó]|[aeoáéó][íú]/.test(pair)) count += 1
    }
  }
  return Math.max(1, count)
}

export const measure = (text: string, syllables: (word: string) => number): Text => {
  const sentences = sentencesOf(text)
  const words = sentences.flatMap(wordsOf)
  return {
    sentences: sentences.length,
    words: words.length,
    syllables: words.reduce((sum, word) => sum + syllables(word), 0),
  }
}

/** Flesch-Kincaid grade level (Kincaid et al. 1975): the US school grade whose pupils understand a text. */
export const grade = ({ words, sentences, syllables }: Text): number =>
  0.39 * (words / sentences) + 11.8 * (syllables / words) - 15.59

/** Flesch reading ease, by which the counting is checked against published scores. */
export const ease = ({ words, sentences, syllables }: Text): number =>
  206.835 - 1.015 * (words / sentences) - 84.6 * (syllables / words)

/** Flesch-Szigriszt, the index behind INFLESZ: over 65 "quite easy", over 80 "very easy". */
export const inflesz = ({ words, sentences, syllables }: Text): number =>
  206.835 - 62.3 * (syllables / words) - words / sentences
