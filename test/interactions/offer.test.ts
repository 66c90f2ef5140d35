import { describe, expect, it } from 'vitest'
import { visibleText } from '../../src/interactions/consent.ts'
import { grantedScope, offerOf } from '../../src/interactions/offer.ts'

const resources = ['Patient', 'Coverage', 'Observation', 'Condition']
const granted = (scope: string, ticked: string[], { offline = true, mask = null as string[] | null } = {}) =>
  grantedScope(scope, resources, offerOf(scope, resources, mask), { resources: ticked, offline })

describe('what a consent page offers (R21, R26)', () => {
  it('expands a wildcard to every type of the API, in order', () => {
    const offer = offerOf('patient/*.rs', resources, null)
    expect([...offer.types.keys()]).toEqual(resources)
    expect(offer.wildcard).toBe(true)
  })

  it('offers each type once, however many scopes name it', () => {
    const offer = offerOf(
      'patient/Observation.rs?category=laboratory patient/Observation.rs?category=survey',
      resources,
      null,
    )
    expect([...offer.types]).toHaveLength(1)
    expect(offer.types.get('Observation')).toHaveLength(2)
    expect(offer.wildcard).toBe(false)
  })

  it('says whether the app learns who the member is, and asks for offline access', () => {
    expect(offerOf('openid fhirUser offline_access patient/Patient.r', resources, null)).toMatchObject({
      identity: true,
      offline: true,
    })
    expect(offerOf('patient/Patient.r', resources, null)).toMatchObject({ identity: false, offline: false })
  })

  it.each([['patient/Condition.rs'], ['patient/Condition.rs?category=health-concern']])(
    'never offers what a delegate’s mask names: %s (R34)',
    (masked) => {
      expect([...offerOf('patient/*.rs', resources, [masked]).types.keys()]).toEqual([
        'Patient',
        'Coverage',
        'Observation',
      ])
    },
  )

  it('offers nothing under a mask of everything (R34)', () => {
    expect(offerOf('patient/*.rs', resources, ['patient/*.rs']).types.size).toBe(0)
  })
})

describe('what is granted is what was left ticked (R22, R23)', () => {
  it('keeps a wildcard that was accepted whole, as it was asked', () => {
    expect(granted('launch/patient patient/*.read', resources)).toBe('launch/patient patient/*.read')
  })

  it('spells out a wildcard of which something was unticked, in the version asked', () => {
    expect(granted('patient/*.read', ['Patient', 'Coverage'])).toBe('patient/Patient.read patient/Coverage.read')
    expect(granted('patient/*.rs', ['Observation'])).toBe('patient/Observation.rs')
  })

  it('spells out a wildcard for a delegate whose mask withholds a type, however much is ticked (R34)', () => {
    expect(granted('patient/*.rs', resources, { mask: ['patient/Condition.rs'] })).toBe(
      'patient/Patient.rs patient/Coverage.rs patient/Observation.rs',
    )
  })

  it('drops offline access that was refused, and keeps the rest (R23)', () => {
    expect(granted('openid offline_access patient/Patient.rs', ['Patient'], { offline: false })).toBe(
      'openid patient/Patient.rs',
    )
  })

  it('ignores types that were not asked for: a form can be edited by hand', () => {
    expect(granted('patient/Patient.rs', ['Patient', 'Condition', '*', 'patient/*.rs'])).toBe('patient/Patient.rs')
  })

  it('says a scope once that two requests expand to', () => {
    expect(granted('patient/*.rs patient/Patient.rs', ['Patient'])).toBe('patient/Patient.rs')
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
