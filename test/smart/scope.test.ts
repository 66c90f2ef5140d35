import { describe, expect, it } from 'vitest'
import { resourceTypes } from '../../src/smart/resource-types.ts'
import { parseScope, parseScopes, type ResourceScope, scopeText, spellScope } from '../../src/smart/scope.ts'
import { createRandom, randomScope } from './generator.ts'

function resource(text: string): ResourceScope {
  const scope = parseScope(text)
  if (scope?.kind !== 'resource') throw new Error(`${text} is no resource scope`)
  return scope
}

describe('parseScope', () => {
  it.each([
    'openid',
    'sensitive/hiv',
    'sensitive/substance-use',
    'fhirUser',
    'profile',
    'launch',
    'launch/patient',
    'launch/encounter',
    'offline_access',
    'online_access',
  ])('knows %s', (text) => expect(parseScope(text)).toEqual({ kind: 'plain', text }))

  it.each([
    ['patient/Observation.read', 'rs', 1],
    ['patient/Observation.write', 'cud', 1],
    ['patient/Observation.*', 'cruds', 1],
    ['patient/*.read', 'rs', 1],
    ['patient/*.*', 'cruds', 1],
    ['patient/Observation.rs', 'rs', 2],
    ['patient/Observation.cruds', 'cruds', 2],
    ['user/Patient.r', 'r', 2],
    ['system/*.cud', 'cud', 2],
  ] as const)('reads %s as %s in version %i (R1) [SMART scopes.v1-to-v2]', (text, interactions, version) => {
    expect(resource(text)).toMatchObject({ interactions, version, text, query: [] })
  })

  it('accepts exactly the 31 in-order subsets of cruds [SMART scopes.suffix-order]', () => {
    const letters = [...'cruds']
    const words = Array.from({ length: 32 }, (_, bits) => letters.filter((_letter, at) => bits & (1 << at)).join(''))
    const inOrder = new Set(words.filter((word) => word !== ''))
    const pairs = letters.flatMap((one) => letters.map((other) => one + other))
    expect(inOrder.size).toBe(31)
    for (const word of [...words, ...pairs]) {
      expect(parseScope(`patient/Patient.${word}`) !== undefined, word).toBe(inOrder.has(word))
    }
  })

  it('never reads .read as .rd [SMART scopes.suffix-order]', () => {
    expect(resource('patient/Patient.read').interactions).toBe('rs')
    expect(resource('patient/Patient.rd').interactions).toBe('rd')
  })

  it.each([
    '',
    'email',
    'Openid',
    'launch/practitioner',
    'patient/Observation',
    'patient/Observation.',
    'patient/Observation.sr',
    'patient/Observation.dus',
    'patient/Observation.rr',
    'patient/Observation.Read',
    'patient/Observation.reads',
    'patient/Observation.r*',
    'patient/Observation.**',
    'patient/Observation.constructor',
    'patient/Observation.rs.rs',
    'patient/observation.rs',
    'patient/Resource.rs',
    'patient/DomainResource.rs',
    'patient/Spaceship.rs',
    'patient/constructor.rs',
    'patient/Observation*.rs',
    'patient/.rs',
    'Patient/Observation.rs',
    'practitioner/Observation.rs',
    'patient/Observation.rs ',
    ' patient/Observation.rs',
    'patient/Observation.rs\n',
    'patient//Observation.rs',
    'patient/Observation/x.rs',
    'patient/Observation.rs?',
    'patient/Observation.rs?category',
    'patient/Observation.rs?category=',
    'patient/Observation.rs?=laboratory',
    'patient/Observation.rs?category=laboratory&',
    'patient/Observation.rs?category=%',
    'patient/Observation.rs?category=%ff',
    'patient/Observation.read?category=laboratory',
    'patient/Observation.*?category=laboratory',
  ])('does not know %j (R7)', (text) => expect(parseScope(text)).toBeUndefined())

  it('decodes granular restrictions and keeps the text as written (R7)', () => {
    const system = 'http://terminology.hl7.org/CodeSystem/observation-category'
    const plain = `patient/Observation.rs?category=${system}|laboratory`
    const encoded = `patient/Observation.rs?category=${encodeURIComponent(`${system}|laboratory`)}`
    expect(resource(plain).query).toEqual([['category', `${system}|laboratory`]])
    expect(resource(encoded).query).toEqual(resource(plain).query)
    expect(resource(encoded).text).toBe(encoded)
  })

  it('reads several restrictions in order, values with = included', () => {
    expect(resource('patient/Observation.rs?category=a%20b+c&code=x=y').query).toEqual([
      ['category', 'a b c'],
      ['code', 'x=y'],
    ])
  })

  it.each([
    ['a long scope', `patient/Observation.rs?category=${'a'.repeat(512)}`],
    ['many restrictions', `patient/Observation.rs?${'c=1&'.repeat(9).slice(0, -1)}`],
    ['a very long suffix', `patient/Observation.${'cruds'.repeat(100_000)}`],
  ])('refuses %s', (_what, text) => expect(parseScope(text)).toBeUndefined())

  it('knows the 146 resource types of FHIR R4', () => {
    expect(resourceTypes.size).toBe(146)
    for (const type of resourceTypes) expect(parseScope(`patient/${type}.rs`), type).toBeDefined()
  })
})

describe('parseScopes', () => {
  it('keeps order, says each once, and tells what it does not know (R7)', () => {
    const { scopes, unknown } = parseScopes(' openid  patient/Patient.rs email openid patient/Patient.sr email ')
    expect(scopeText(scopes)).toBe('openid patient/Patient.rs')
    expect(unknown).toEqual(['email', 'patient/Patient.sr'])
  })

  it('takes nothing but the space for a separator', () => {
    expect(parseScopes('openid\tfhirUser\npatient/Patient.rs').scopes).toEqual([])
  })

  it('does not know a hostile list at all, rather than cutting a restriction off it', () => {
    const list = `${'x '.repeat(8_200)}patient/Observation.rs?category=laboratory`
    const { scopes, unknown } = parseScopes(list)
    expect(scopes).toEqual([])
    expect(unknown).toHaveLength(1)
    expect(unknown[0]?.length).toBeLessThan(100)
  })

  it('is quick with the longest list that it reads', () => {
    const started = performance.now()
    parseScopes('patient/Observation.rs?category=%41 '.repeat(450))
    parseScopes(`patient/Observation.${'r'.repeat(16_000)}`)
    expect(performance.now() - started).toBeLessThan(2000)
  })
})

describe('spellScope', () => {
  it('keeps version 1 where it says the same, and else takes version 2 (R42)', () => {
    const parts = { ...resource('patient/Observation.*'), interactions: 'rs' }
    expect(spellScope(parts).text).toBe('patient/Observation.read')
    expect(spellScope({ ...parts, interactions: 'r' })).toMatchObject({ text: 'patient/Observation.r', version: 2 })
    expect(spellScope({ ...parts, query: [['category', 'laboratory']] }).text).toBe(
      'patient/Observation.rs?category=laboratory',
    )
  })

  it('leaves system|code readable and encodes what would break out of a scope', () => {
    const text = spellScope({
      ...resource('patient/Observation.rs'),
      query: [['category', 'http://a/b|c d&e=f"']],
    }).text
    expect(text).toBe('patient/Observation.rs?category=http://a/b|c%20d%26e%3Df%22')
  })

  it('is read back as what was spelt, for any scope', () => {
    const random = createRandom(1)
    for (let round = 0; round < 2_000; round += 1) {
      const scope = parseScope(randomScope(random))
      if (scope?.kind !== 'resource') continue
      const { text: _, ...meaning } = scope
      expect(parseScope(spellScope(scope).text)).toMatchObject(meaning)
    }
  })
})
