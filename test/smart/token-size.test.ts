import { describe, expect, it } from 'vitest'
import { narrowedScope } from '../../src/members/narrowing.ts'
import { answeredScope } from '../../src/oidc/token-response.ts'
import { allTicked, briefly, choicesOf, chosen } from '../../src/smart/choices.ts'
import { parseScopes, type Scope, scopeText } from '../../src/smart/scope.ts'
import { covers } from '../../src/smart/scope-set.ts'
import { categoriesOf } from '../../src/smart/scope-words.ts'
import { fitting, longestToken, sparing, type TokenFrame, tokenLength } from '../../src/smart/token-size.ts'
import { createRandom, randomScope } from './generator.ts'

const resources = (
  'Patient Coverage ExplanationOfBenefit Condition Observation Encounter Medication MedicationRequest ' +
  'MedicationDispense MedicationStatement Immunization AllergyIntolerance Procedure DiagnosticReport ' +
  'DocumentReference CareTeam CarePlan Goal Device Organization Practitioner PractitionerRole Location ' +
  'RelatedPerson InsurancePlan'
).split(' ')
const frame: TokenFrame = {
  issuer: 'https://login.plan.example/prairie/production',
  clientId: '0190a7ee-5e1c-7000-8000-000000000000',
  api: {
    baseUrl: 'https://fhir.plan.example/r4',
    resources,
    tokenProfile: {
      algorithm: 'ES256',
      typ: 'JWT',
      scopeClaim: 'scp',
      scopeFormat: 'array',
      patientAliases: ['mpiid'],
      clientIdAliases: ['azp'],
      claims: { contract: 'H0000' },
    },
  },
  sensitivities: ['substance-use', 'mental-health', 'sexual-health', 'hiv', 'genetics', 'violence'],
}
const all = (text: string) => parseScopes(text).scopes
const plain = 'openid fhirUser launch/patient offline_access'
const same = (one: readonly Scope[], other: readonly Scope[]) =>
  one.every((scope) => covers(other, scope)) && other.every((scope) => covers(one, scope))

/** What is granted with everything ticked but these. */
const without = (asked: readonly Scope[], unticked: string[]) => {
  const choices = choicesOf(asked, resources)
  const ticks = allTicked(choices)
  return scopeText(
    chosen(asked, resources, choices, {
      resources: ticks.resources.filter((type) => !unticked.includes(type)),
      categories: ticks.categories.filter((key) => !unticked.includes(key)),
      plain: ['offline_access'],
    }),
  )
}

describe('categories in one scope', () => {
  it('say the same', () => {
    const apart = all(without(all('patient/*.rs'), ['Observation/survey', 'Condition/problem-list-item']))
    const together = briefly(apart)
    expect(together.length).toBeLessThan(apart.length)
    expect(same(apart, together)).toBe(true)
  })

  it('are joined only where all else is the same', () => {
    const asked =
      'patient/Observation.r?category=a patient/Observation.s?category=b patient/Condition.r?category=c ' +
      'patient/Observation.r?category=d&code=1 patient/Observation.r?category=e&category=f patient/Observation.r openid'
    expect(scopeText(briefly(all(asked)))).toBe(asked)
    expect(scopeText(briefly(all(`${asked} patient/Observation.r?category=z`)))).toBe(
      asked.replace('category=a', 'category=a,z'),
    )
  })

  it('stay within what the grammar reads', () => {
    const many = all(
      Array.from({ length: 20 }, (_, at) => `patient/Observation.rs?category=http://x|${`${at}`.repeat(40)}`).join(' '),
    )
    const together = briefly(many)
    expect(all(scopeText(together))).toHaveLength(together.length)
    expect(same(many, together)).toBe(true)
  })
})

describe('a token of at most 3,072 bytes', () => {
  const observations = categoriesOf('Observation').map(({ key }) => `Observation/${key}`)

  it.each([
    ['a wildcard', 'patient/*.rs'],
    ['every type', resources.map((type) => `patient/${type}.rs`).join(' ')],
    ['every type in the longest words', resources.map((type) => `patient/${type}.read`).join(' ')],
  ])('has room for every choice of %s (R22)', (_what, text) => {
    const asked = sparing(all(`${plain} ${text}`), frame)
    expect(asked && scopeText(asked)).toBe(`${plain} ${text}`)
    for (const key of observations) {
      const granted = without(asked ?? [], [key, 'Condition/encounter-diagnosis'])
      expect(tokenLength(granted, frame)).toBeGreaterThan(longestToken)
      const fit = fitting(granted, frame)
      expect(tokenLength(fit, frame)).toBeLessThanOrEqual(longestToken)
      expect(same(all(fit), all(granted))).toBe(true)
    }
  })

  it('keeps one scope for each category where there is room (R22)', () => {
    const granted = without(all(`${plain} patient/Observation.rs patient/Condition.rs`), ['Observation/survey'])
    expect(fitting(granted, frame)).toBe(granted)
  })

  const labs = (count: number) =>
    Array.from({ length: count }, (_, at) => `patient/Observation.r?code=http://loinc.org|${10_000 + at}-1`).join(' ')

  it.each([
    ['a refresh that names hundreds of scopes', answeredScope('openid patient/Observation.rs', `openid ${labs(200)}`)],
    [
      'what two decisions restricted differently',
      narrowedScope(`openid ${labs(12)}`, without(all('patient/Observation.rs'), ['Observation/survey'])),
    ],
  ])('holds for %s, and says no more than it', (_what, text) => {
    expect(tokenLength(text, frame)).toBeGreaterThan(2 * longestToken)
    const fit = all(fitting(text, frame))
    expect(tokenLength(scopeText(fit), frame)).toBeLessThanOrEqual(longestToken)
    expect(fit.every((scope) => covers(all(text), scope))).toBe(true)
    expect(scopeText(fit)).toContain('openid')
    expect(scopeText(fit)).toContain('patient/Observation.r?')
  })

  it.each([
    ['user/*.read patient/*.read', 'patient/*.read'],
    ['patient/*.rs user/*.cruds', 'user/*.cruds'],
    ['user/*.read patient/Patient.rs patient/Observation.rs', 'user/*.read'],
  ])('what is asked of the user and of the patient is said once where there is no room for both: %s', (asked, left) => {
    expect(scopeText(sparing(all(asked), frame) ?? [])).toBe(left)
  })

  it('and both are answered where there is room', () => {
    const asked = 'user/Patient.rs patient/Patient.rs'
    expect(scopeText(sparing(all(asked), frame) ?? [])).toBe(asked)
  })

  it('is refused to whoever asks for hundreds of restrictions, before they are compared', () => {
    const many = (count: number) =>
      all(Array.from({ length: count }, (_, at) => `patient/*.r?category=${at}`).join(' '))
    const from = performance.now()
    expect(sparing(many(500), frame)).toBeUndefined()
    expect(sparing(many(20), frame)).toBeUndefined()
    expect(performance.now() - from).toBeLessThan(500)
  })

  it('costs little, however many values the restrictions have: of an authorization, and of a refresh', () => {
    const values = (at: number) => Array.from({ length: 30 }, (_, place) => `a${at}x${place}`).join(',')
    const hostile = Array.from({ length: 55 }, (_, at) => `patient/Observation.rs?category=${values(at)}`).join(' ')
    const fastest = (work: () => unknown) =>
      Math.min(
        ...[1, 2, 3].map(() => {
          const from = performance.now()
          work()
          return performance.now() - from
        }),
      )
    expect(fastest(() => expect(sparing(all(hostile), frame)).toBeUndefined())).toBeLessThan(50)
    const answered = answeredScope('openid patient/*.rs', hostile)
    expect(fastest(() => expect(fitting(answered, frame)).toContain('patient/Observation.rs?'))).toBeLessThan(50)
  })

  it('holds for whatever is asked and ticked, and never changes what it means', () => {
    const random = createRandom(11)
    let large = 0
    for (let round = 0; round < 300; round += 1) {
      const types = resources
        .filter(() => random.below(10) > 0)
        .map((type) => `patient/${type}.${random.pick(['read', 'rs'])}`)
      const more = Array.from({ length: random.below(8) }, () => randomScope(random))
      const text = [...types, ...more].join(' ')
      const asked = sparing(all(text), frame)
      if (!asked) continue
      const choices = choicesOf(asked, resources)
      const ticks = allTicked(choices)
      const categories = ticks.categories.filter(() => random.below(10) > 0)
      const ticked = { resources: ticks.resources.filter(() => random.below(20) > 0), categories, plain: [] }
      const granted = chosen(asked, resources, choices, ticked)
      const fit = fitting(scopeText(granted), frame)
      if (fit !== scopeText(granted)) large += 1
      expect(tokenLength(fit, frame)).toBeLessThanOrEqual(longestToken)
      expect(same(all(fit), granted)).toBe(true)
    }
    expect(large).toBeGreaterThan(0)
  })
})
