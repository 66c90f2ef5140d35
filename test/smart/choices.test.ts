import { describe, expect, it } from 'vitest'
import { allTicked, categoryScope, choicesOf, chosen, tickedBy } from '../../src/smart/choices.ts'
import { parseScope, parseScopes, type ResourceScope, type Scope } from '../../src/smart/scope.ts'
import { covers } from '../../src/smart/scope-set.ts'
import { categoriesOf } from '../../src/smart/scope-words.ts'
import { createRandom, randomScope } from './generator.ts'

const resources = ['Patient', 'Observation', 'Condition', 'Coverage']
const observation = 'http://terminology.hl7.org/CodeSystem/observation-category'
const all = (text: string) => parseScopes(text).scopes
const boxes = (scope: string, mask: string[] | null = null) => allTicked(choicesOf(all(scope), resources, mask))
const plain = ['offline_access', 'sensitive/hiv']

/** What is granted with everything ticked but these, of types and `Type/key`. */
const without = (scope: string, unticked: string[], mask: string[] | null = null): string[] => {
  const choices = choicesOf(all(scope), resources, mask)
  const { resources: types, categories } = allTicked(choices)
  const ticked = {
    resources: types.filter((type) => !unticked.includes(type)),
    categories: categories.filter((key) => !unticked.includes(key)),
    plain,
  }
  return chosen(all(scope), resources, choices, ticked).map(({ text }) => text)
}

const lab = `${observation}|laboratory`
const vitals = `${observation}|vital-signs`
const others = ['clinical-test', 'social-history', 'sdoh', 'survey', 'vital-signs']

describe('what can be chosen', () => {
  it('offers Condition and Observation by category, also where the whole type or a wildcard was asked (R22)', () => {
    for (const scope of ['patient/Observation.read', 'patient/*.rs', 'patient/Observation.r patient/Observation.s'])
      expect(boxes(scope).categories.filter((key) => key.startsWith('Observation/'))).toEqual(
        categoriesOf('Observation').map(({ key }) => `Observation/${key}`),
      )
    expect(choicesOf(all('patient/Coverage.rs'), resources).types.get('Coverage')?.categories).toBeNull()
  })

  it('offers only the categories that an app asked for itself, in the order of people (R22)', () => {
    const asked = `patient/Observation.rs?category=vital-signs patient/Observation.rs?category=${lab}`
    expect(boxes(asked).categories).toEqual(['Observation/laboratory', 'Observation/vital-signs'])
    expect(choicesOf(all(asked), resources).types.get('Observation')?.whole).toBe(false)
  })

  it('gives a category without words a box of its own, under its value', () => {
    const choice = choicesOf(all('patient/Observation.rs?category=x|imaging,laboratory'), resources)
    expect(choice.types.get('Observation')?.categories).toEqual([
      { key: 'laboratory', named: true, value: lab },
      { key: 'x|imaging', named: false, value: 'x|imaging' },
    ])
  })

  it.each(['patient/Observation.rs?code=8480-6', 'patient/Coverage.rs?category=a,b'])('%s is one box', (scope) => {
    const [choice] = choicesOf(all(scope), resources).types.values()
    expect(choice).toMatchObject({ categories: null, whole: false })
  })

  it('an app cannot escape the categories of a type by naming one more restriction', () => {
    const asked = 'patient/Observation.rs patient/Observation.rs?code=1'
    expect(without(asked, ['Observation/laboratory']).every((text) => text.includes('category='))).toBe(true)
    expect(without(asked, ['Observation/laboratory']).some((text) => text.includes('laboratory'))).toBe(false)
  })
})

describe('what stays of the ticks', () => {
  it.each([
    'patient/Observation.rs',
    'patient/*.read',
    'openid fhirUser launch/patient offline_access patient/*.rs patient/Condition.read',
    'patient/Observation.rs?category=laboratory',
    'patient/Observation.rs?code=1',
  ])('everything: the words of the app stay as they are: %s', (scope) => {
    expect(without(scope, []).join(' ')).toBe(scope)
  })

  it('a category unticked: one scope for each that is left, in the form of the guides (R22)', () => {
    expect(without('patient/Condition.read', ['Condition/problem-list-item'])).toEqual([
      'patient/Condition.rs?category=http://terminology.hl7.org/CodeSystem/condition-category|encounter-diagnosis',
      'patient/Condition.rs?category=http://hl7.org/fhir/us/core/CodeSystem/condition-category|health-concern',
    ])
  })

  it('a type unticked: nothing of it, whatever is ticked below it (R22)', () => {
    expect(without('patient/Observation.rs patient/Coverage.rs', ['Observation'])).toEqual(['patient/Coverage.rs'])
  })

  it('a type without a single category: nothing of it', () => {
    const none = categoriesOf('Observation').map(({ key }) => `Observation/${key}`)
    expect(without('patient/Observation.rs patient/Coverage.rs', none)).toEqual(['patient/Coverage.rs'])
  })

  it('a wildcard that was narrowed: each type by itself, the narrowed one by category (R22, R26)', () => {
    expect(without('patient/*.rs', ['Coverage', ...others.map((key) => `Observation/${key}`)])).toEqual([
      'patient/Patient.rs',
      `patient/Observation.rs?category=${lab}`,
      'patient/Condition.rs',
    ])
  })

  it('a scope of the app keeps its words where only another one lost something', () => {
    const asked = 'patient/Observation.rs?category=laboratory patient/Observation.rs?category=vital-signs'
    expect(without(asked, ['Observation/vital-signs'])).toEqual(['patient/Observation.rs?category=laboratory'])
  })

  it('the whole type goes with any box of it, one without words too', () => {
    const asked = 'patient/Observation.rs patient/Observation.rs?category=x|imaging'
    const left = without(asked, ['Observation/x|imaging'])
    expect(left).toHaveLength(6)
    expect(covers(left.flatMap(all), parseScope('patient/Observation.r?category=x|imaging') as Scope)).toBe(false)
  })

  it('a system that was asked whole goes with any of its categories', () => {
    const left = without(`patient/Observation.rs?category=${observation}|`, ['Observation/laboratory'])
    expect(left).toContain(`patient/Observation.rs?category=${vitals}`)
    expect(left.some((text) => text.endsWith('|') || text.includes('laboratory'))).toBe(false)
  })

  it('plain scopes that are choices go where they were not left; all others stay', () => {
    const asked = all('openid launch/patient offline_access patient/Patient.rs')
    const choices = choicesOf(asked, resources)
    const granted = chosen(asked, resources, choices, { ...allTicked(choices), plain: [] })
    expect(granted.map(({ text }) => text)).toEqual(['openid', 'launch/patient', 'patient/Patient.rs'])
  })

  it('ticks that were not offered count for nothing', () => {
    const asked = all(`patient/Observation.rs?category=${lab}`)
    const choices = choicesOf(asked, resources)
    const ticked = { resources: ['Observation', 'Coverage'], categories: ['Observation/survey', 'Coverage/x'], plain }
    expect(chosen(asked, resources, choices, ticked)).toEqual([])
  })

  it('no ticks of any kind give more than was asked, or than was ticked', () => {
    const random = createRandom(4)
    for (let round = 0; round < 3000; round += 1) {
      const asked = all(Array.from({ length: 1 + random.below(4) }, () => randomScope(random)).join(' '))
      const choices = choicesOf(asked, resources)
      const { resources: types, categories } = allTicked(choices)
      const ticked = { resources: random.some(types), categories: random.some(categories), plain: [] }
      const granted = chosen(asked, resources, choices, ticked)
      for (const scope of granted) expect(covers(asked, scope), scope.text).toBe(true)
      for (const { type, scopes, categories: offered } of choices.types.values())
        for (const { key, value } of offered ?? []) {
          if (ticked.resources.includes(type) && ticked.categories.includes(`${type}/${key}`)) continue
          const taken = scopes.map((scope) => categoryScope({ ...scope, query: [] }, value))
          for (const scope of taken)
            expect(
              granted.some((one) => covers([one], scope)),
              scope.text,
            ).toBe(false)
        }
    }
  })
})

describe('a mask (R34)', () => {
  it('of a type that the API does not list takes a wildcard apart: it would open that type at a server that has it', () => {
    const choices = choicesOf(all('patient/*.rs'), resources, ['patient/AuditEvent.rs'])
    expect(choices.wildcard).toBe(false)
    const granted = without('patient/*.rs', [], ['patient/AuditEvent.rs'])
    expect(granted).toEqual(resources.map((type) => `patient/${type}.rs`))
  })

  it.each([
    [['patient/Observation.rs']],
    [['patient/*.r']],
    [['patient/Observation.rs?code=1']],
    [['patient/*.rs?category=laboratory', 'patient/Observation.r']],
  ])('%j takes the type away', (mask) => {
    expect(boxes('patient/Observation.rs', mask).resources).toEqual([])
  })

  it('takes a category away, and with it the type as a whole', () => {
    const mask = [`patient/Observation.rs?category=${lab}`]
    expect(boxes('patient/*.rs', mask).categories).not.toContain('Observation/laboratory')
    const granted = without('patient/*.rs', [], mask)
    expect(granted).toContain('patient/Condition.rs')
    expect(granted.filter((text) => text.startsWith('patient/Observation'))).toHaveLength(5)
    expect(covers(granted.flatMap(all), parseScope(`patient/Observation.r?category=${lab}`) as Scope)).toBe(false)
  })

  it('that names what is no category of ours takes the type away, unless the app asked for just that', () => {
    const mask = ['patient/Observation.rs?category=x|imaging']
    expect(without('patient/Observation.rs', [], mask)).toEqual([])
    expect(without('patient/Observation.rs?category=x|imaging,laboratory', [], mask)).toEqual([
      `patient/Observation.rs?category=${lab}`,
    ])
  })

  it('takes what was asked without a system by its code', () => {
    const mask = [`patient/Observation.rs?category=${lab}`]
    expect(without('patient/Observation.rs?category=laboratory', [], mask)).toEqual([])
    expect(without('patient/Observation.rs?category=x|laboratory,survey', [], mask)).toEqual([
      `patient/Observation.rs?category=${observation}|survey`,
      'patient/Observation.rs?category=x|laboratory',
    ])
  })

  it('takes a type that is one box away with any part of it', () => {
    expect(boxes('patient/Coverage.rs', ['patient/Coverage.rs?type=a']).resources).toEqual([])
    expect(boxes('patient/Coverage.rs?category=a', ['patient/Coverage.rs?category=b']).resources).toEqual([])
  })
})

describe('what an earlier decision left ticked', () => {
  it('is what its scopes cover (R21)', () => {
    const asked = 'patient/*.rs'
    const choices = choicesOf(all(asked), resources)
    const unticked = ['Coverage', 'Observation/laboratory', 'Condition/health-concern']
    const held = without(asked, unticked).flatMap(all)
    const ticked = { ...tickedBy(choices, held), plain }
    expect(chosen(all(asked), resources, choices, ticked)).toEqual(held)
    expect(tickedBy(choices, all(asked))).toEqual(allTicked(choices))
  })

  it('is nothing that is new, and no type without a category', () => {
    const choices = choicesOf(all('patient/Observation.rs patient/Coverage.cruds'), resources)
    expect(tickedBy(choices, all('patient/Patient.rs patient/Coverage.rs'))).toEqual({ resources: [], categories: [] })
  })
})

describe('the scope of one category', () => {
  it('is one that the whole type covers, and not the other way (R22)', () => {
    const whole = parseScope('patient/Observation.read') as ResourceScope
    for (const { system, code } of categoriesOf('Observation')) {
      const scope = categoryScope(whole, `${system}|${code}`)
      expect(parseScope(scope.text)).toEqual(scope)
      expect(covers([whole], scope)).toBe(true)
      expect(covers([scope], whole)).toBe(false)
    }
    expect(categoryScope(whole, lab).text).toBe(`patient/Observation.rs?category=${lab}`)
  })
})

describe('user/ scopes [SMART scopes.user-semantics]', () => {
  it('make the same boxes as patient/ scopes do, and fall with them', () => {
    expect(boxes('user/*.rs')).toEqual(boxes('patient/*.rs'))
    expect(boxes('user/Observation.read patient/Observation.rs')).toEqual(boxes('patient/Observation.rs'))
    expect(without('user/*.read patient/Coverage.rs', ['Coverage', 'Observation', 'Condition'])).toEqual([
      'user/Patient.read',
    ])
    expect(
      without(
        'user/Observation.rs patient/Observation.r',
        others.map((key) => `Observation/${key}`),
      ),
    ).toEqual([`user/Observation.rs?category=${lab}`, `patient/Observation.r?category=${lab}`])
  })

  it('are masked by what a mask says of patient/ scopes (R34)', () => {
    expect(boxes('user/*.rs', ['patient/Coverage.rs']).resources).not.toContain('Coverage')
    const masked = without('user/Observation.read', [], [`patient/Observation.rs?category=${vitals}`])
    expect(masked).toContain(`user/Observation.rs?category=${lab}`)
    expect(masked.join(' ')).not.toMatch(/vital-signs|user\/Observation\.read/)
  })

  it('with contexts, versions and restrictions mixed: what is unticked is opened by none of what stays', () => {
    const random = createRandom(29)
    for (let round = 0; round < 500; round += 1) {
      const scope = Array.from({ length: 4 }, () =>
        randomScope(random).replace(/^patient/, random.below(2) === 0 ? 'user' : 'patient'),
      ).join(' ')
      const offered = allTicked(choicesOf(all(scope), resources)).resources
      const unticked = offered.filter(() => random.below(2) === 0)
      const left = all(without(scope, unticked).join(' '))
      for (const one of left) if (one.kind === 'resource') expect(unticked, scope).not.toContain(one.resource)
      for (const one of left) expect(covers(all(scope), one), `${scope} -> ${one.text}`).toBe(true)
    }
  })
})
