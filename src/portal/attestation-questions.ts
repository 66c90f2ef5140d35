/**
 * What a plan asks of those who make apps (R18), and what may be answered. Pure.
 *
 * Owns: the questionnaire, version 1, as data; its rules. Does not own: rows (attestation.ts), or words: pages say each answer
 * as `attestation.{question}.{answer}`, in the member's language. A changed question is a new version: answers of an earlier
 * one keep theirs, and a reader shows no answers of a version that it does not know.
 */
import { z } from 'zod'
import { pageUrlFault } from '../config/urls.ts'
import { type Fault, InputFaults } from '../errors.ts'

export const QUESTIONNAIRE_VERSION = 1

/** One answer as a page shows it: the words are those of `attestation.{question}.{answer}`. */
export interface Answer {
  question: string
  answer: string
  /** The developer's own words, in whatever language. */
  text: string | null
  url: string | null
}

const address = (text: string): boolean => pageUrlFault(text) === null
/** Nothing that breaks a line, or turns the words around it. */
const oneLine = (text: string): boolean => !/[\p{Cc}\p{Zl}\p{Zp}\u202a-\u202e\u2066-\u2069]/u.test(text)

/** A question that is answered by one of a few words; its own are for the developer, who writes the answers by hand. */
const choice = <const A extends readonly string[]>(question: string, ...answers: A) =>
  z.enum(answers, { error: `must be ${answers.map((each) => `"${each}"`).join(' or ')}: ${question}` })

/** In the order in which members read the answers: what they ask first comes first. */
const shape = z.strictObject({
  sold: choice('may the records be sold?', 'never', 'consent', 'yes'),
  shared: choice('are the records given to others?', 'never', 'service', 'consent', 'yes'),
  used: choice('are the records used for more than what people want of the app?', 'service', 'consent', 'yes'),
  consent: choice('do people expressly agree before their records are so used, shared or sold?', 'yes', 'no'),
  device: choice('does the app read other data of the device?', 'no', 'yes'),
  kept: choice('where are the records kept?', 'device', 'united-states', 'abroad'),
  deleted: choice('are the records deleted when a person stops?', 'yes', 'request', 'no'),
  policy: choice('is there a public privacy policy in plain words that people agree to first?', 'yes', 'no'),
  policyUrl: z
    .string({ error: 'must be the https address of the privacy policy' })
    .max(500, { error: 'must have at most 500 characters' })
    .refine(address, { error: 'must be the https address of the privacy policy' })
    .optional(),
  stop: z
    .string({ error: 'must say how a person stops: one sentence, or an https address' })
    .trim()
    .min(1, { error: 'must say how a person stops: one sentence, or an https address' })
    .max(300, { error: 'must have at most 300 characters' })
    .refine(oneLine, { error: 'must be one line' }),
})

/** Answers by question, as a developer hands them in. Beside the choices, two texts of the developer's own: `policyUrl`, `stop`. */
export type Answers = z.infer<typeof shape>

/** What one answer says of another, as far as both are there. */
const contradictions = (given: Readonly<Record<string, unknown>>): Fault[] => {
  const uses = (['sold', 'shared', 'used'] as const).map((question) => given[question])
  const faults: Fault[] = []
  if (given.consent === 'no' && uses.includes('consent'))
    faults.push({ path: 'consent', message: 'must be "yes" where sold, shared or used is "consent"' })
  if (given.consent === 'yes' && uses.includes('yes'))
    faults.push({ path: 'consent', message: 'must be "no" where sold, shared or used is "yes"' })
  if (given.policy === 'yes' && given.policyUrl === undefined)
    faults.push({ path: 'policyUrl', message: 'is required where policy is "yes"' })
  if (given.policy === 'no' && given.policyUrl !== undefined)
    faults.push({ path: 'policyUrl', message: 'must be left out where policy is "no"' })
  return faults
}

const faultsOf = (issue: z.core.$ZodIssue): Fault[] =>
  issue.code === 'unrecognized_keys'
    ? issue.keys.map((key) => ({
        path: key,
        message: `is no question; they are ${Object.keys(shape.shape).join(', ')}`,
      }))
    : [{ path: issue.path.join('.'), message: issue.message }]

/** The answers that were handed in. Throws `InputFaults` with every fault at once, each with its path below `at`. */
export const parseAnswers = (given: unknown, at = 'answers'): Answers => {
  const parsed = shape.safeParse(given)
  const group = typeof given === 'object' && given !== null && !Array.isArray(given)
  const faults = [
    ...(parsed.success
      ? []
      : group
        ? parsed.error.issues.flatMap(faultsOf)
        : [{ path: '', message: 'must be a map of answers' }]),
    ...(group ? contradictions(given as Record<string, unknown>) : []),
  ]
  if (parsed.success && faults.length === 0) return parsed.data
  throw new InputFaults(faults.map(({ path, message }) => ({ path: path ? `${at}.${path}` : at, message })))
}

/** Stored answers as pages show them; none of a version, or in a state, that this release cannot read. */
export const answersOf = (version: number, stored: string | null): Answer[] => {
  if (version !== QUESTIONNAIRE_VERSION || stored === null) return []
  const { v: _, ...rest } = JSON.parse(stored)
  const parsed = shape.safeParse(rest)
  if (!parsed.success) return []
  const { stop, policyUrl = null, ...chosen } = parsed.data
  const stopping = address(stop) ? { answer: 'url', text: null, url: stop } : { answer: 'text', text: stop, url: null }
  return [
    ...Object.entries(chosen).map(([question, answer]) => ({
      question,
      answer,
      text: null,
      url: question === 'policy' ? policyUrl : null,
    })),
    { question: 'stop', ...stopping },
  ]
}
