/**
 * Everybody can read what they decide on (R31): consent and warnings at the US sixth grade, all other pages at the eighth; in
 * Spanish "quite easy" and "normal" on the INFLESZ scale. Measured on the words of the pages, with names and dates filled in.
 */
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import {
  ease,
  grade,
  inflesz,
  measure,
  sentencesOf,
  syllablesEn,
  syllablesEs,
  type Text,
} from '../support/readability.ts'

interface Limits {
  /** Of all words of a kind together. */
  together: number
  /** Of one text; those of a few words say nothing about a school grade. */
  alone: number
  /** Words in a sentence. */
  longest: number
}

const fewWords = 10

interface Language {
  code: string
  syllables: (word: string) => number
  /** Higher is harder. */
  difficulty: (text: Text) => number
  decision: Limits
  other: Limits
}

const languages: Language[] = [
  {
    code: 'en',
    syllables: syllablesEn,
    difficulty: grade,
    decision: { together: 6, alone: 9, longest: 20 },
    other: { together: 8, alone: 10, longest: 24 },
  },
  {
    code: 'es',
    syllables: syllablesEs,
    // Barrio-Cantalejo et al., "Validación de la Escala INFLESZ…", An. Sist. Sanit. Navar. 2008; 31 (2): 55 and more is
    // normal, 65 and more quite easy, the level of primary school. More is easier, so it is turned round.
    difficulty: (text) => -inflesz(text),
    decision: { together: -65, alone: -50, longest: 22 },
    other: { together: -55, alone: -40, longest: 28 },
  },
]

/** What members read before they decide. */
const deciding = [
  'consent',
  'warning',
  'attestation',
  'sensitive',
  'resource',
  'category',
  'bundle',
  'relation',
  'patient',
]

const filledIn: Record<string, string> = {
  ...{ app: 'Binder', plan: 'Prairie Health', name: 'Maria', patient: 'Elena', developer: 'Binder', count: '3' },
  ...{ date: '2027', until: '2027', phone: '911', desk: 'Prairie Health', minutes: '60', language: 'es' },
}

const catalogue = (code: string): [string, string][] =>
  Object.entries<string>(JSON.parse(readFileSync(`views/locales/${code}.json`, 'utf8')))
    // Addresses and references are copied, not read.
    .map(([key, text]) => [key, text.replaceAll(/\{(\w+)\}/g, (_, name: string) => filledIn[name] ?? 'Binder')])

/** Sentences, and whatever is long enough to be one. */
const isRead = (text: string): boolean => /[.?!]/.test(text) || text.split(/\s+/).length >= 6
const kindOf = (key: string): string => key.split('.')[0] ?? ''

describe.each(languages)('the words in $code', ({ code, syllables, difficulty, decision, other }) => {
  const words = catalogue(code).filter(([, text]) => isRead(text))
  const sizeOf = (kind: string) => measure(textOf(kind), syllables).words
  const textOf = (kind: string) =>
    words
      .filter(([key]) => kindOf(key) === kind)
      .map(([, text]) => text)
      .join('\n')
  const limitsOf = (key: string) => (deciding.includes(kindOf(key)) ? decision : other)
  const kinds = [...new Set(words.map(([key]) => kindOf(key)))]
  const measurable = kinds.filter((kind) => sizeOf(kind) >= 40)

  it('have all that a decision rests on among them', () => {
    for (const kind of ['consent', 'warning', 'attestation', 'sensitive', 'connections'])
      expect(measurable).toContain(kind)
  })

  it.each(measurable)('%s: can be read by whom they are for', (kind) => {
    expect(difficulty(measure(textOf(kind), syllables))).toBeLessThanOrEqual(limitsOf(kind).together)
  })

  it('of the small kinds, all together', () => {
    const small = kinds.filter((kind) => !measurable.includes(kind))
    expect(difficulty(measure(small.map(textOf).join('\n'), syllables))).toBeLessThanOrEqual(other.together)
  })

  it('have no text that is much harder than the others', () => {
    const hard = words.flatMap(([key, text]) => {
      const measured = measure(text, syllables)
      const found = Math.round(difficulty(measured) * 10) / 10
      return measured.words >= fewWords && found > limitsOf(key).alone ? [`${key}: ${found}: ${text}`] : []
    })
    expect(hard).toEqual([])
  })

  it('have no sentence that is too long', () => {
    const long = words.flatMap(([key, text]) =>
      sentencesOf(text)
        .map((sentence) => measure(sentence, syllables).words)
        .filter((count) => count > limitsOf(key).longest)
        .map((count) => `${key}: ${count} words`),
    )
    expect(long).toEqual([])
  })
})

describe('the measure', () => {
  const english: Record<number, string> = {
    1: 'a share used called stopped they health health’s through year lets eye please closed asks',
    2: 'people member before doctor safety someone answered changes ended being password language table',
    3: 'medicine decided family privacy company another hospital genetic area remember surgery caregiver',
    4: 'information application reproductive available temperature developer medication',
    5: 'organization university examination',
  }
  const spanish: Record<number, string> = {
    1: 'un muy hay pies buey que bien',
    2: 'salud país ciudad queso leer día cuando guerra',
    3: 'guitarra héroe vergüenza compartir acceso usuario',
    4: 'información aplicación aéreo decidido compartirá medicinas',
    5: 'necesitamos autorización enfermedades',
  }

  it.each([
    ['English', english, syllablesEn],
    ['Spanish', spanish, syllablesEs],
  ] as const)('counts the syllables of %s words', (_name, lists, syllables) => {
    for (const [count, list] of Object.entries(lists))
      for (const word of list.split(' ')) expect(syllables(word), word).toBe(Number(count))
  })

  it('agrees with published scores', () => {
    // Wikipedia, "Flesch-Kincaid readability tests".
    const proof = 'This sentence, taken as a reading passage unto itself, is being used to prove a point.'
    expect(ease(measure(proof, syllablesEn))).toBeCloseTo(69, 0)
    // "The Australian platypus is seemingly a hybrid of a mammal and reptilian creature", as it is counted there.
    const platypus = { words: 13, sentences: 1, syllables: 24 }
    expect(ease(platypus)).toBeCloseTo(37.5, 1)
    expect(grade(platypus)).toBeCloseTo(11.3, 1)
    expect(ease(measure('The cat sat on the mat.', syllablesEn))).toBeCloseTo(116, 0)
  })

  it('knows a legal text from a plain one, in both languages', () => {
    const law =
      'Notwithstanding the foregoing, authorization for the disclosure of individually identifiable information may be revoked by the individual at any time, except to the extent that action has been taken in reliance thereupon.'
    expect(grade(measure(law, syllablesEn))).toBeGreaterThan(15)
    const ley =
      'La autorización para la divulgación de información individualmente identificable podrá ser revocada por el interesado en cualquier momento, excepto en la medida en que se hayan adoptado medidas en virtud de la misma.'
    expect(inflesz(measure(ley, syllablesEs))).toBeLessThan(40)
    expect(inflesz(measure('El gato come pan. La casa es mía. Hoy hace sol.', syllablesEs))).toBeGreaterThan(80)
  })
})
