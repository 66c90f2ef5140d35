import { describe, expect, it } from 'vitest'
import type { SensitiveCategory } from '../../src/config/settings.ts'
import {
  type Asked,
  type Boxes,
  firstBoxes,
  grantedScopes,
  nameOfOffer,
  type Offer,
  offeredBoxes,
  offerOf,
} from '../../src/interactions/offer.ts'
import { scopeText } from '../../src/smart/scope.ts'
import { visibleText } from '../../src/web/visible-text.ts'

const resources = ['Patient', 'Coverage', 'Observation', 'Condition']
const category = (code: string, scope: string | null = null): SensitiveCategory => ({
  code,
  name: {},
  explanation: {},
  labels: [{ system: 's', code }],
  scope,
})
const offer = (scope: string, more: Partial<Asked> = {}): Offer =>
  offerOf({ scope, approved: null, api: { resources, sensitivity: 'enforced' }, mask: null, categories: [], ...more })
const keysOf = (one: Offer, type: string) => one.choices.types.get(type)?.categories?.map(({ key }) => key)

/** What is granted with everything ticked but for what `boxes` says. */
const granted = (
  scope: string,
  boxes: Partial<Boxes> = {},
  { offline = true, ...more }: Partial<Asked> & { offline?: boolean } = {},
) => {
  const offered = offer(scope, more)
  return scopeText(grantedScopes(offered, { ...firstBoxes(offered, null), ...boxes }, { offline }))
}

describe('what a consent page offers (R21, R22, R26)', () => {
  it('expands a wildcard to every type of the API, in order', () => {
    const { choices } = offer('patient/*.rs')
    expect([...choices.types.keys()]).toEqual(resources)
    expect(choices.wildcard).toBe(true)
  })

  it('offers Condition and Observation by category, also where the whole type was asked (R22)', () => {
    const all = offer('patient/*.rs')
    expect(keysOf(all, 'Condition')).toEqual(['encounter-diagnosis', 'problem-list-item', 'health-concern'])
    expect(keysOf(all, 'Observation')).toHaveLength(6)
    expect(keysOf(all, 'Coverage')).toBeUndefined()
  })

  it('offers only the categories that were asked, each once', () => {
    const some = offer(
      'patient/Observation.rs?category=laboratory patient/Observation.rs?category=survey patient/Observation.r?category=survey',
    )
    expect([...some.choices.types.keys()]).toEqual(['Observation'])
    expect(keysOf(some, 'Observation')).toEqual(['laboratory', 'survey'])
    expect(some.choices.types.get('Observation')?.whole).toBe(false)
  })

  it('says whether the app learns who the member is, and asks for offline access', () => {
    expect(offer('openid fhirUser offline_access patient/Patient.r')).toMatchObject({ identity: true, offline: true })
    expect(offer('patient/Patient.r')).toMatchObject({ identity: false, offline: false })
  })

  it('never offers what a delegate’s mask names: a type, a category, everything (R34)', () => {
    const types = (...mask: string[]) => [...offer('patient/*.rs', { mask }).choices.types.keys()]
    expect(types('patient/Condition.rs')).toEqual(['Patient', 'Coverage', 'Observation'])
    expect(types('patient/*.rs')).toEqual([])
    const some = offer('patient/*.rs', { mask: ['patient/Condition.rs?category=health-concern'] })
    expect(keysOf(some, 'Condition')).toEqual(['encounter-diagnosis', 'problem-list-item'])
    expect(some.choices.types.get('Condition')?.whole).toBe(false)
  })
})

describe('sensitive categories (R25)', () => {
  const categories = [category('hiv'), category('mental-health', 'sensitive/mental-health')]
  const codes = (scope: string, more: Partial<Asked> = {}) =>
    offer(scope, { categories, ...more }).sensitive.map(({ code }) => code)

  it('are offered to every app where they name no scope', () => {
    expect(codes('patient/*.rs')).toEqual(['hiv'])
  })

  it.each([
    ['did not ask', 'patient/*.rs', ['patient/*.rs', 'sensitive/mental-health'], []],
    ['may have everything, but was not approved by name', 'patient/*.rs sensitive/mental-health', null, []],
    ['was approved for other things', 'patient/*.rs sensitive/mental-health', ['patient/*.rs', 'sensitive/hiv'], []],
    [
      'asked and is approved',
      'patient/*.rs sensitive/mental-health',
      ['patient/*.rs', 'sensitive/mental-health'],
      ['mental-health'],
    ],
  ])('with a scope of their own, to an app that %s', (_what, scope, approved, more) => {
    expect(codes(scope, { approved })).toEqual(['hiv', ...more])
  })

  it('are not offered where a mask names them, nor where the API does not hold them back', () => {
    expect(codes('patient/*.rs', { mask: ['sensitive/hiv'] })).toEqual([])
    for (const sensitivity of ['stated', 'refused'] as const)
      expect(codes('patient/*.rs', { api: { resources, sensitivity } })).toEqual([])
  })

  it('are never ticked at first, and never by the last decision', () => {
    const offered = offer('patient/*.rs', { categories })
    expect(firstBoxes(offered, null).sensitive).toEqual([])
    expect(firstBoxes(offered, { grantedScope: 'patient/*.rs sensitive/hiv' }).sensitive).toEqual([])
  })

  it('leave their scope in what is granted only where they are ticked', () => {
    const scope = 'patient/Patient.rs sensitive/mental-health'
    const more = { categories, approved: ['patient/*.rs', 'sensitive/mental-health'] }
    expect(granted(scope, {}, more)).toBe('patient/Patient.rs')
    expect(granted(scope, { sensitive: ['mental-health'] }, more)).toBe(scope)
    expect(granted(scope, { sensitive: ['mental-health'] }, { ...more, approved: null })).toBe('patient/Patient.rs')
    expect(granted(scope, { sensitive: ['mental-health'] }, { ...more, mask: ['sensitive/mental-health'] })).toBe(
      'patient/Patient.rs',
    )
  })

  it('that were not offered are no boxes, whatever a form says', () => {
    const offered = offer('patient/*.rs', { categories })
    const boxes = offeredBoxes(offered, {
      resources: [],
      categories: [],
      sensitive: ['hiv', 'mental-health', '__proto__'],
    })
    expect(boxes.sensitive).toEqual(['hiv'])
  })
})

describe('which boxes are ticked at first', () => {
  it('everything that was asked', () => {
    const boxes = firstBoxes(offer('patient/Coverage.rs patient/Condition.rs'), null)
    expect(boxes.resources).toEqual(['Coverage', 'Condition'])
    expect(boxes.categories).toHaveLength(3)
  })

  it('what the last decision left, and nothing that is new', () => {
    const boxes = firstBoxes(offer('patient/*.rs'), {
      grantedScope:
        'patient/Coverage.rs patient/Condition.rs?category=http://terminology.hl7.org/CodeSystem/condition-category|problem-list-item',
    })
    expect(boxes.resources).toEqual(['Coverage', 'Condition'])
    expect(boxes.categories).toEqual(['Condition/problem-list-item'])
  })

  it('nothing that the last decision allowed only a part of', () => {
    expect(firstBoxes(offer('patient/Patient.cruds'), { grantedScope: 'patient/Patient.r' }).resources).toEqual([])
  })
})

describe('of boxes in a form', () => {
  const offered = offer('patient/Coverage.rs patient/Condition.rs')

  it('only those count that were offered', () => {
    const boxes = offeredBoxes(offered, {
      resources: ['Coverage', 'Observation', '*', 'patient/*.rs', 'Condition'],
      categories: ['Condition/problem-list-item', 'Condition/made-up', 'Observation/laboratory', 'Condition'],
      sensitive: [],
    })
    expect(boxes).toEqual({
      resources: ['Coverage', 'Condition'],
      categories: ['Condition/problem-list-item'],
      sensitive: [],
    })
  })

  it('a type without any of its categories is no longer one', () => {
    expect(offeredBoxes(offered, { resources: ['Condition'], categories: [], sensitive: [] }).resources).toEqual([])
  })
})

describe('what is granted is what was left ticked (R22, R23)', () => {
  const problems = 'http://terminology.hl7.org/CodeSystem/condition-category|problem-list-item'
  const concerns = 'http://hl7.org/fhir/us/core/CodeSystem/condition-category|health-concern'

  it('keeps a wildcard that was accepted whole, as it was asked', () => {
    expect(granted('launch/patient patient/*.read')).toBe('launch/patient patient/*.read')
  })

  it('spells out a wildcard of which something was unticked, in the version asked', () => {
    const coverage = { resources: ['Patient', 'Coverage'], categories: [] }
    expect(granted('patient/*.read', coverage)).toBe('patient/Patient.read patient/Coverage.read')
  })

  it('names each category that was left, where one was not', () => {
    expect(
      granted('patient/Condition.rs', { categories: ['Condition/problem-list-item', 'Condition/health-concern'] }),
    ).toBe(`patient/Condition.rs?category=${problems} patient/Condition.rs?category=${concerns}`)
    expect(granted('patient/Condition.rs')).toBe('patient/Condition.rs')
  })

  it('spells out a wildcard for a delegate whose mask withholds a category, however much is ticked (R34)', () => {
    const scopes = granted('patient/*.rs', {}, { mask: ['patient/Condition.rs?category=encounter-diagnosis'] }).split(
      ' ',
    )
    expect(scopes).not.toContain('patient/*.rs')
    expect(scopes).not.toContain('patient/Condition.rs')
    expect(scopes).toContain(`patient/Condition.rs?category=${problems}`)
    expect(scopes.join(' ')).not.toContain('encounter-diagnosis')
    expect(scopes).toContain('patient/Observation.rs')
  })

  it('drops offline access that was refused, and keeps the rest (R23)', () => {
    expect(granted('openid offline_access patient/Patient.rs', {}, { offline: false })).toBe(
      'openid patient/Patient.rs',
    )
  })

  it('ignores types that were not asked for: a form can be edited by hand', () => {
    expect(granted('patient/Patient.rs', { resources: ['Patient', 'Condition', '*', 'patient/*.rs'] })).toBe(
      'patient/Patient.rs',
    )
  })
})

describe('the name of an offer', () => {
  const categories = [category('hiv')]
  it('is the same for the same boxes, and another where anything is offered that was not, or no longer', () => {
    const name = (scope: string, more: Partial<Asked> = {}) => nameOfOffer(offer(scope, { categories, ...more }))
    expect(name('patient/*.rs')).toBe(name('patient/*.rs'))
    const others = [
      name('patient/*.rs', { mask: ['patient/Coverage.rs'] }),
      name('patient/*.rs', { mask: ['patient/Condition.rs?category=health-concern'] }),
      name('patient/*.rs', { mask: ['sensitive/hiv'] }),
      name('patient/*.rs', { api: { resources, sensitivity: 'stated' } }),
      name('patient/*.rs', { api: { resources: resources.slice(1), sensitivity: 'enforced' } }),
      name('patient/*.rs offline_access'),
      name('patient/*.rs openid'),
    ]
    expect(new Set([name('patient/*.rs'), ...others]).size).toBe(others.length + 1)
  })
})

describe('the text of a page, for the record of a consent (R35)', () => {
  it('is what a person reads, whatever the form’s hidden fields say', () => {
    const page = (csrf: string) =>
      `<html><header>Plan</header><main id="main"><h1>Share\n  this?</h1><input type="hidden" value="${csrf}"><p>Until <b>May</b></p></main></html>`
    expect(visibleText(page('one'))).toBe('Share this? Until May')
    expect(visibleText(page('two'))).toBe(visibleText(page('one')))
  })
})
