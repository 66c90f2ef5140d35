import { describe, expect, it } from 'vitest'
import { isSensitive, mayRead, type ReadOptions } from '../../src/resource-server/index.ts'
import { tokenWith } from './tokens.ts'

const everything = tokenWith('patient/*.rs')
const reason = (
  resource: { resourceType: string } & Record<string, unknown>,
  token = everything,
  options?: ReadOptions,
) => mayRead(token, resource, options).reason
const reference = (text: unknown) => ({ reference: text })
const maria = reference('Patient/maria')

describe('whose a resource is', () => {
  it.each([
    [{ resourceType: 'Patient', id: 'maria' }],
    [{ resourceType: 'Observation', subject: maria }],
    [{ resourceType: 'Observation', subject: reference('Patient/maria/_history/3') }],
    [{ resourceType: 'Claim', patient: maria }],
    [{ resourceType: 'Coverage', beneficiary: maria, subscriber: reference('Patient/other') }],
    [{ resourceType: 'Task', for: maria }],
    [{ resourceType: 'Account', subject: [maria, maria] }],
    [{ resourceType: 'RelatedPerson', patient: maria }],
  ])('the patient’s: %j', (resource) => expect(reason(resource)).toBe('allowed'))

  it.each(['Organization', 'Practitioner', 'PractitionerRole', 'Location', 'Medication', 'InsurancePlan'])(
    'nobody’s, and so readable where the type is granted: %s',
    (resourceType) => {
      expect(reason({ resourceType })).toBe('allowed')
      expect(reason({ resourceType }, tokenWith('patient/Patient.rs'))).toBe('scope_missing')
    },
  )

  it.each([
    [{ resourceType: 'Patient', id: 'other' }],
    [{ resourceType: 'Patient' }],
    [{ resourceType: 'Patient', id: 'other', subject: maria }],
    [{ resourceType: 'Observation', subject: reference('Patient/other') }],
    [{ resourceType: 'Observation', subject: reference('Patient/Maria') }],
    [{ resourceType: 'Observation', subject: maria, patient: reference('Patient/other') }],
    [{ resourceType: 'Account', subject: [maria, reference('Patient/other')] }],
    [{ resourceType: 'Coverage', beneficiary: reference('Patient/other'), subscriber: maria }],
  ])('another patient’s: %j', (resource) => expect(reason(resource)).toBe('other_patient'))

  it.each([
    [{ resourceType: 'Observation' }],
    [{ resourceType: 'Observation', subject: null }],
    [{ resourceType: 'Observation', subject: [] }],
    [{ resourceType: 'Observation', subject: 'Patient/maria' }],
    [{ resourceType: 'Observation', subject: reference(7) }],
    [{ resourceType: 'Observation', subject: reference('#maria') }],
    [{ resourceType: 'Observation', subject: reference('maria') }],
    [{ resourceType: 'Observation', subject: reference('Group/maria') }],
    [{ resourceType: 'Observation', subject: reference('Patient/maria/extra') }],
    [{ resourceType: 'Observation', subject: reference('Patient/maria?x') }],
    [{ resourceType: 'Observation', subject: reference('https://elsewhere.example/Patient/maria') }],
    [{ resourceType: 'Observation', subject: { identifier: { value: 'maria' } } }],
    [{ resourceType: 'Observation', subject: maria, patient: {} }],
    [{ resourceType: 'Observation', performer: [maria] }],
    [{ resourceType: 'Binary' }],
    [{ resourceType: 'Group', member: [{ entity: maria }] }],
  ])('nobody’s that can be told: %j', (resource) => expect(reason(resource)).toBe('unknown_patient'))

  it('may be said by an absolute reference to this very server', () => {
    const resource = { resourceType: 'Observation', subject: reference('https://fhir.example/r4/Patient/maria') }
    expect(reason(resource, everything, { baseUrl: 'https://fhir.example/r4' })).toBe('allowed')
    expect(reason(resource, everything, { baseUrl: 'https://fhir.example/r4/' })).toBe('allowed')
    expect(reason(resource, everything, { baseUrl: 'https://fhir.example/r' })).toBe('unknown_patient')
  })
})

describe('what the token must hold', () => {
  const resource = { resourceType: 'Observation', subject: maria }

  it.each(['', 'openid', 'patient/Condition.rs', 'patient/Observation.cud', 'user/Observation.cud', 'system/*.cruds'])(
    '%j is not enough',
    (scope) => expect(reason(resource, tokenWith(scope))).toBe('scope_missing'),
  )

  it('a wildcard is not enough without a patient, not even for an organization', () => {
    const token = tokenWith('patient/*.rs', { patient: undefined })
    expect(reason(resource, token)).toBe('no_patient')
    expect(reason({ resourceType: 'Organization' }, token)).toBe('no_patient')
  })

  it.each(['patient/Observation.r', 'patient/Observation.s', 'patient/*.read', 'user/*.rs', 'user/Observation.read'])(
    '%s is enough',
    (scope) => expect(reason(resource, tokenWith(scope))).toBe('allowed'),
  )
})

describe('granular scopes (R22)', () => {
  const laboratory = {
    resourceType: 'Observation',
    subject: maria,
    category: [
      { coding: [{ system: 'http://c', code: 'laboratory' }] },
      { coding: [{ code: 'local' }], text: 'Local' },
    ],
    code: { coding: [{ system: 'http://loinc.org', code: '718-7' }] },
  }

  it.each([
    'category=laboratory',
    'category=http://c|laboratory',
    'category=http://c|',
    'category=survey,laboratory',
    'category=local',
    'category=|local',
    'code=718-7',
    'category=laboratory&code=http://loinc.org|718-7',
  ])('?%s opens it', (query) =>
    expect(reason(laboratory, tokenWith(`patient/Observation.rs?${query}`))).toBe('allowed'),
  )

  it.each([
    'category=survey',
    'category=Laboratory',
    'category=http://d|laboratory',
    'category=|laboratory',
    'category=http://c|survey',
    'category=laboratory&code=1',
    'code=laboratory',
    'code=http://c|718-7',
  ])('?%s does not', (query) => {
    expect(reason(laboratory, tokenWith(`patient/Observation.rs?${query}`))).toBe('category_not_granted')
  })

  it.each(['date=ge2020', 'category:in=x', '_security=N', 'category:not=survey', 'constructor=1', 'category=|'])(
    '?%s is not understood and opens nothing, also beside one that is',
    (query) => {
      expect(reason(laboratory, tokenWith(`patient/Observation.rs?${query}`))).toBe('scope_missing')
      expect(reason(laboratory, tokenWith(`patient/Observation.rs?category=laboratory&${query}`))).toBe('scope_missing')
    },
  )

  it.each([
    [{ resourceType: 'Observation', subject: maria }],
    [{ resourceType: 'Observation', subject: maria, category: null }],
    [{ resourceType: 'Observation', subject: maria, category: [] }],
    [{ resourceType: 'Observation', subject: maria, category: [{ text: 'laboratory' }] }],
    [{ resourceType: 'Observation', subject: maria, category: [{ coding: [{ display: 'laboratory' }] }] }],
  ])('a resource without a category is in none: %j', (resource) => {
    expect(reason(resource, tokenWith('patient/Observation.rs?category=laboratory'))).toBe('category_not_granted')
  })

  it('a second scope opens what the first leaves closed', () => {
    const token = tokenWith('patient/Observation.rs?category=survey patient/Observation.rs?category=laboratory')
    expect(reason(laboratory, token)).toBe('allowed')
  })

  it('reads categories of other shapes: one concept, plain codes', () => {
    const lab = tokenWith('patient/*.rs?category=a')
    expect(reason({ resourceType: 'CarePlan', subject: maria, category: { coding: [{ code: 'a' }] } }, lab)).toBe(
      'allowed',
    )
    expect(reason({ resourceType: 'AllergyIntolerance', patient: maria, category: ['a'] }, lab)).toBe('allowed')
    expect(reason({ resourceType: 'AllergyIntolerance', patient: maria, category: ['b'] }, lab)).toBe(
      'category_not_granted',
    )
  })
})

describe('sensitive labels (R25)', () => {
  const actCode = 'http://terminology.hl7.org/CodeSystem/v3-ActCode'
  const confidentiality = 'http://terminology.hl7.org/CodeSystem/v3-Confidentiality'
  const labelled = (...security: unknown[]) => ({ resourceType: 'Condition', subject: maria, meta: { security } })

  it.each([
    { system: confidentiality, code: 'R' },
    { system: confidentiality, code: 'V' },
    ...['ETH', 'PSY', 'SEX', 'HIV', 'SUD'].map((code) => ({ system: actCode, code })),
    { code: 'HIV' },
  ])('withholds %j', (label) => {
    expect(isSensitive(labelled(label))).toBe(true)
    expect(reason(labelled(label))).toBe('sensitive')
  })

  it.each([
    { system: confidentiality, code: 'N' },
    { system: 'https://elsewhere.example', code: 'R' },
    { system: actCode, code: 'constructor' },
    { system: actCode },
    null,
    'N',
    ['N', null],
    { code: ['HIV'] },
    { coding: [{ system: actCode, code: 'HIVE' }] },
  ])('does not withhold %j', (label) => {
    expect(isSensitive(labelled(label))).toBe(false)
    expect(reason(labelled(label))).toBe('allowed')
  })

  it.each([
    ['its name in STU3', labelled({ system: 'http://hl7.org/fhir/v3/Confidentiality', code: 'R' })],
    ['its OID', labelled({ system: 'urn:oid:2.16.840.1.113883.5.4', code: 'HIV' })],
    ['an empty name', labelled({ system: '', code: 'HIV' })],
    ['no name but null', labelled({ system: null, code: 'HIV' })],
    ['its bare OID', labelled({ system: '2.16.840.1.113883.5.4', code: 'HIV' })],
    ['the bare OID of the other', labelled({ system: '2.16.840.1.113883.5.25', code: 'R' })],
    ['its OID in capitals', labelled({ system: ' URN:OID:2.16.840.1.113883.5.4', code: 'HIV' })],
    ['its address as https', labelled({ system: actCode.replace('http:', 'https:'), code: 'HIV' })],
    ['its address with a slash', labelled({ system: `${actCode}/`, code: 'HIV' })],
    ['its address in small letters', labelled({ system: confidentiality.toLowerCase(), code: 'R' })],
    ['its name with a version', labelled({ system: `${actCode}|9.0.0`, code: 'HIV' })],
    ['its older address as https', labelled({ system: 'https://hl7.org/fhir/v3/ActCode/', code: 'HIV' })],
    ['a version of nothing', labelled({ system: '|9.0.0', code: 'HIV' })],
  ])('knows a code system by %s', (_name, resource) => {
    expect(reason(resource)).toBe('sensitive')
  })

  it.each([
    ['in small letters', labelled({ system: actCode, code: 'hiv' })],
    ['with spaces around', labelled({ system: actCode, code: ' HIV\n' })],
    ['as a string', labelled('HIV')],
    ['as a concept', labelled({ coding: [{ system: actCode, code: 'HIV' }] })],
    ['as a concept beside one that is open', labelled({ coding: [{ code: 'N' }, null, { code: 'HIV' }] })],
    ['as no list', { ...labelled(), meta: { security: { system: actCode, code: 'HIV' } } }],
    ['in a list of metadata', { ...labelled(), meta: [{ security: [{ system: actCode, code: 'HIV' }] }] }],
    ['as a code of a document', { ...labelled(), securityLabel: ['HIV'] }],
  ])('counts and is released however it is written: %s', (_how, resource) => {
    expect(reason(resource)).toBe('sensitive')
    expect(reason(resource, tokenWith('patient/*.rs', { sensitivities: ['hiv'] }))).toBe('allowed')
  })

  it.each([
    ['of the document that it leads to', { securityLabel: [{ coding: [{ system: confidentiality, code: 'V' }] }] }],
    ['of a composition', { resourceType: 'Composition', confidentiality: 'R' }],
    ['of what it contains', { contained: [labelled({ system: actCode, code: 'PSY' })] }],
    ['of a document contained', { contained: [{ securityLabel: [{ coding: [{ code: 'SUD' }] }] }] }],
  ])('counts the label %s', (_where, more) => {
    expect(reason({ resourceType: 'DocumentReference', subject: maria, ...more })).toBe('sensitive')
  })

  it.each([
    { securityLabel: [{ coding: [{ system: confidentiality, code: 'N' }] }, null, 7, { coding: [null, 'N'] }] },
    { confidentiality: 'N', contained: [null, 'R', { meta: null }] },
  ])('is not led astray by %j', (more) => {
    expect(reason({ resourceType: 'DocumentReference', subject: maria, ...more })).toBe('allowed')
  })

  const restricted = { system: confidentiality, code: 'R' }
  const act = (code: string) => ({ system: actCode, code })
  const holding = (...sensitivities: string[]) => tokenWith('patient/*.rs', { sensitivities })

  it.each([
    ['of the category itself', 'hiv', [act('HIV')]],
    ['without a system', 'hiv', [{ code: 'HIV' }]],
    ['by an older name', 'hiv', [{ system: 'urn:oid:2.16.840.1.113883.5.4', code: 'HIV' }]],
    ['that say how confidential it is besides', 'substance-use', [restricted, act('SUD'), act('ETH')]],
    ['that are not sensitive besides', 'mental-health', [act('PSY'), { system: 'https://else.example', code: 'x' }]],
  ])('are released with their category: labels %s', (_which, category, security) => {
    expect(reason(labelled(...security), holding(category))).toBe('allowed')
    expect(reason(labelled(...security), holding(...['genetics', 'violence']))).toBe('sensitive')
  })

  it('all need their category: one of two is not enough', () => {
    const both = labelled(restricted, act('HIV'), act('PSY'))
    expect(reason(both, holding('hiv'))).toBe('sensitive')
    expect(reason(both, holding('mental-health'))).toBe('sensitive')
    expect(reason(both, holding('hiv', 'mental-health'))).toBe('allowed')
  })

  const everyCategory = ['substance-use', 'mental-health', 'sexual-health', 'hiv', 'genetics', 'violence']
  it.each([
    ['restricted, and nothing says why', labelled(restricted)],
    ['very restricted, and nothing says why', labelled({ code: 'V' })],
    ['restricted where only what contains it says why', { ...labelled(act('HIV')), contained: [labelled(restricted)] }],
  ])('withhold whatever is released: %s', (_which, resource) => {
    expect(reason(resource, holding(...everyCategory))).toBe('sensitive')
  })

  it.each(['HIV', 'R', 'constructor', 'hiv '])('are not released by %j, which is no code of a category', (code) => {
    expect(reason(labelled(act('HIV')), holding(code))).toBe('sensitive')
  })

  it('are released by the category of every resource that is contained', () => {
    const resource = { ...labelled(act('HIV')), contained: [labelled(restricted, act('PSY'))] }
    expect(reason(resource, holding('hiv'))).toBe('sensitive')
    expect(reason(resource, holding('hiv', 'mental-health'))).toBe('allowed')
  })

  describe('with categories of the plan', () => {
    const ofPlan = { 'teen-care': [act('ADOL')], hiv: [act('HIV')] }
    const options = { sensitiveCategories: ofPlan }

    it('withholds and releases what the plan says', () => {
      expect(reason(labelled(act('ADOL')), holding(), options)).toBe('sensitive')
      expect(reason(labelled(act('ADOL')), holding('teen-care'), options)).toBe('allowed')
      expect(reason(labelled(act('ADOL')))).toBe('allowed')
    })

    it('withholds a usual label that belongs to no category of the plan, whatever a token says', () => {
      expect(reason(labelled(act('PSY')), holding('mental-health', 'hiv', 'teen-care'), options)).toBe('sensitive')
    })

    it('knows a label of the plan by the older names of its system', () => {
      const older = { 'teen-care': [{ system: 'urn:oid:2.16.840.1.113883.5.4', code: 'ADOL' }] }
      expect(reason(labelled(act('ADOL')), holding(), { sensitiveCategories: older })).toBe('sensitive')
    })

    it('knows a label of the plan however the plan spells it', () => {
      const spelt = { 'teen-care': [{ system: 'https://Plan.example/labels/', code: 'adol' }] }
      const resource = labelled({ system: 'http://plan.example/labels', code: 'ADOL' })
      expect(reason(resource, holding(), { sensitiveCategories: spelt })).toBe('sensitive')
      expect(reason(resource, holding('teen-care'), { sensitiveCategories: spelt })).toBe('allowed')
    })
  })

  it('withholds infrastructure as well', () => {
    const resource = { resourceType: 'Location', meta: { security: [{ system: actCode, code: 'PSY' }] } }
    expect(reason(resource)).toBe('sensitive')
  })

  it('lets the operator say what is sensitive', () => {
    const sensitive = [{ system: 'https://plan.example/labels', code: 'employee' }]
    const resource = labelled({ system: 'https://plan.example/labels', code: 'employee' })
    expect(reason(resource)).toBe('allowed')
    expect(reason(resource, everything, { sensitive })).toBe('sensitive')
    expect(isSensitive(labelled({ system: actCode, code: 'HIV' }), sensitive)).toBe(false)
  })
})
