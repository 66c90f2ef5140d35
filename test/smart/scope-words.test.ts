import { describe, expect, it } from 'vitest'
import { resourceTypes } from '../../src/smart/resource-types.ts'
import { bundleKeys, bundleOf, bundlesOf, categoriesOf } from '../../src/smart/scope-words.ts'

describe('bundles', () => {
  it('has a bundle for every resource type of FHIR R4 (R21) [SMART scope-words]', () => {
    for (const type of resourceTypes) expect(bundleKeys).toContain(bundleOf(type))
  })

  it.each(['Spaceship', 'constructor', '*', ''])('puts %j, which is no type, with the rest', (type) => {
    expect(bundleOf(type)).toBe('other')
  })

  it('shows bundles and types in one order, whatever the app asked first (R21)', () => {
    const asked = ['Subscription', 'Medication', 'Coverage', 'MedicationRequest', 'Patient', 'Coverage']
    const shown = [
      { key: 'personal', resources: ['Patient'] },
      { key: 'coverage', resources: ['Coverage'] },
      { key: 'medicines', resources: ['MedicationRequest', 'Medication'] },
      { key: 'other', resources: ['Subscription'] },
    ]
    expect(bundlesOf(asked)).toEqual(shown)
    expect(bundlesOf([...asked].reverse())).toEqual(shown)
  })
})

describe('categories', () => {
  it('has the three of Condition and the six of Observation (R22)', () => {
    expect(categoriesOf('Condition').map(({ key }) => key)).toEqual([
      'encounter-diagnosis',
      'problem-list-item',
      'health-concern',
    ])
    expect(categoriesOf('Observation').map(({ key }) => key)).toEqual([
      'clinical-test',
      'laboratory',
      'social-history',
      'sdoh',
      'survey',
      'vital-signs',
    ])
  })

  it.each(['Patient', 'constructor', '__proto__'])('has none for %s', (type) => expect(categoriesOf(type)).toEqual([]))
})
