import { describe, expect, it } from 'vitest'
import { parseScope, parseScopes, type Scope, scopeText } from '../../src/smart/scope.ts'
import { covers, expand, intersect, narrow, withLaunchPatient } from '../../src/smart/scope-set.ts'
import { createRandom, randomScope, randomScopes } from './generator.ts'

function one(text: string): Scope {
  const scope = parseScope(text)
  if (!scope) throw new Error(`unknown: ${text}`)
  return scope
}
const all = (text: string) => parseScopes(text).scopes
const common = (asked: string, allowed: string) => scopeText(intersect(one(asked), all(allowed)))

describe('covers', () => {
  it.each([
    ['openid', 'openid'],
    ['patient/Observation.rs', 'patient/Observation.r'],
    ['patient/Observation.read', 'patient/Observation.rs'],
    ['patient/Observation.rs', 'patient/Observation.read'],
    ['patient/*.read', 'patient/Observation.s'],
    ['patient/*.cruds', 'patient/*.read'],
    ['patient/Observation.r patient/Observation.s', 'patient/Observation.rs'],
    ['patient/Observation.rs', 'patient/Observation.rs?category=laboratory'],
    ['patient/Observation.rs?category=laboratory', 'patient/Observation.r?category=laboratory'],
    ['patient/Observation.rs?category=laboratory', 'patient/Observation.rs?category=laboratory&code=1'],
    ['patient/Observation.rs?category=laboratory', 'patient/Observation.rs?category=http://x|laboratory'],
    ['patient/Observation.rs?category=laboratory,survey', 'patient/Observation.rs?category=survey'],
    ['patient/Observation.rs?category=x|', 'patient/Observation.rs?category=x|laboratory'],
    ['patient/*.rs?category=laboratory', 'patient/Observation.rs?category=laboratory'],
    ['patient/Observation.rs?category=a patient/Observation.rs?category=b', 'patient/Observation.rs?category=a,b'],
    ['patient/Observation.rs?category=a&code=1 patient/*.rs?category=b', 'patient/Observation.r?category=a,b&code=1'],
    ['patient/Observation.rs?category=a patient/Observation.r', 'patient/Observation.r?category=a,b'],
  ])('%s covers %s', (held, asked) => expect(covers(all(held), one(asked))).toBe(true))

  it.each([
    ['', 'openid'],
    ['launch', 'launch/patient'],
    ['openid', 'patient/Observation.r'],
    ['patient/Observation.r', 'patient/Observation.rs'],
    ['patient/Observation.write', 'patient/Observation.r'],
    ['patient/Observation.cruds', 'patient/*.r'],
    ['patient/Observation.rs', 'patient/Condition.rs'],
    ['user/Observation.rs', 'patient/Observation.rs'],
    ['system/*.cruds', 'patient/Observation.rs'],
    ['patient/*.cruds', 'user/Observation.rs'],
    ['patient/Observation.rs?category=laboratory', 'patient/Observation.rs'],
    ['patient/Observation.rs?category=laboratory', 'patient/Observation.rs?code=1'],
    ['patient/Observation.rs?category=laboratory', 'patient/Observation.rs?category=survey'],
    ['patient/Observation.rs?category=laboratory', 'patient/Observation.rs?category=laboratory,survey'],
    ['patient/Observation.rs?category=x|laboratory', 'patient/Observation.rs?category=laboratory'],
    ['patient/Observation.rs?category=x|laboratory', 'patient/Observation.rs?category=y|laboratory'],
    ['patient/Observation.rs?category=|laboratory', 'patient/Observation.rs?category=x|laboratory'],
    ['patient/Observation.rs?category=a&code=1', 'patient/Observation.rs?category=a'],
    ['patient/Observation.rs?category:in=a,b', 'patient/Observation.rs?category:in=a'],
    ['patient/Observation.rs?date=ge2020', 'patient/Observation.rs?date=ge2021'],
    ['patient/Observation.rs?category=a', 'patient/Observation.rs?category=,'],
    ['patient/Observation.r patient/Observation.s?category=a', 'patient/Observation.rs'],
    ['patient/Observation.rs?category=a patient/Condition.rs?category=b', 'patient/Observation.rs?category=a,b'],
    ['patient/Observation.rs?category=a patient/Observation.r?category=b', 'patient/Observation.rs?category=a,b'],
    [
      'patient/Observation.rs?category=a patient/Observation.rs?category=b&code=1',
      'patient/Observation.r?category=a,b',
    ],
    ['patient/Observation.rs?category=a patient/Observation.rs?code=1', 'patient/Observation.rs?category=a,b'],
    ['patient/Observation.rs?code=a patient/Observation.rs?code=b', 'patient/Observation.rs?code=a,b'],
  ])('%s does not cover %s', (held, asked) => expect(covers(all(held), one(asked))).toBe(false))
})

describe('intersect', () => {
  it.each([
    ['patient/Observation.read', 'patient/*.cruds', 'patient/Observation.read'],
    ['patient/Observation.rs', 'patient/*.read', 'patient/Observation.rs'],
    [
      'patient/*.read',
      'patient/Observation.rs patient/Condition.rs',
      'patient/Observation.read patient/Condition.read',
    ],
    ['patient/Observation.*', 'patient/Observation.rs', 'patient/Observation.read'],
    ['patient/Observation.*', 'patient/Observation.cud', 'patient/Observation.write'],
    ['patient/Observation.*', 'patient/Observation.rud', 'patient/Observation.rud'],
    ['patient/Observation.cruds', 'patient/Observation.read', 'patient/Observation.rs'],
    ['patient/*.*', 'patient/Observation.r patient/Observation.s', 'patient/Observation.read'],
    ['patient/Observation.read', 'patient/Observation.rs?category=a', 'patient/Observation.rs?category=a'],
    ['patient/Observation.rs?category=a,b', 'patient/Observation.rs?category=b,c', 'patient/Observation.rs?category=b'],
    ['patient/Observation.rs?category=a', 'patient/Observation.rs?code=1', 'patient/Observation.rs?category=a&code=1'],
    ['patient/*.rs', 'patient/Observation.rs?category=a patient/Observation.rs', 'patient/Observation.rs'],
    ['patient/*.rs', 'patient/Observation.rs patient/*.r', 'patient/Observation.rs patient/*.r'],
  ])('of %s, %s leaves %s (R42)', (asked, allowed, left) => expect(common(asked, allowed)).toBe(left))

  it.each([
    ['openid', 'fhirUser patient/*.cruds'],
    ['patient/Observation.read', 'patient/Observation.cud'],
    ['patient/Observation.read', 'patient/Condition.read'],
    ['patient/Observation.read', 'user/*.cruds'],
    ['user/Observation.read', 'patient/*.cruds'],
    ['patient/Observation.rs?category=a', 'patient/Observation.rs?category=b'],
    ['patient/Observation.rs?date=ge2020', 'patient/Observation.rs?date=ge2021'],
    ['patient/Observation.rs?category:in=a,b', 'patient/Observation.rs?category:in=b,c'],
    ['patient/Observation.rs', ''],
  ])('of %s, %s leaves nothing', (asked, allowed) => expect(common(asked, allowed)).toBe(''))

  it('never gives more than either side has, and is stable, for any scopes (R7)', () => {
    const random = createRandom(2)
    const wrong: string[] = []
    for (let round = 0; round < 3_000; round += 1) {
      const asked = one(randomScope(random))
      const allowed = all(randomScopes(random, 4).join(' '))
      const left = intersect(asked, allowed)
      const within = left.every((scope) => covers([asked], scope) && covers(allowed, scope))
      const whole = !covers(allowed, asked) || scopeText(left) === asked.text
      const stable = scopeText(left.flatMap((scope) => intersect(scope, allowed))) === scopeText(left)
      const spelt = scopeText(parseScopes(scopeText(left)).scopes) === scopeText(left)
      if (!within || !whole || !stable || !spelt) {
        wrong.push(`${asked.text} with ${scopeText(allowed)} left ${scopeText(left)}`)
      }
    }
    expect(wrong).toEqual([])
  })

  it('loses nothing that both sides have, for any scopes', () => {
    const random = createRandom(3)
    const wrong: string[] = []
    const probes = ['Patient', 'Observation'].flatMap((type) =>
      ['', '?category=a', '?category=x|a', '?category=x|a&code=b'].flatMap((query) =>
        [...'cruds'].map((letter) => one(`patient/${type}.${letter}${query}`)),
      ),
    )
    for (let round = 0; round < 1_000; round += 1) {
      const asked = one(randomScope(random))
      const allowed = all(randomScopes(random, 4).join(' '))
      const left = intersect(asked, allowed)
      for (const probe of probes) {
        const had = covers([asked], probe) && covers(allowed, probe)
        if (covers(left, probe) !== had) wrong.push(`${probe.text} of ${asked.text} with ${scopeText(allowed)}`)
      }
    }
    expect(wrong).toEqual([])
  })
})

describe('narrow', () => {
  it('keeps order and spelling, and names what fell away entirely (R7)', () => {
    const asked = all('openid patient/*.read launch/patient patient/Claim.rs offline_access')
    const { kept, dropped } = narrow(asked, all('openid launch/patient patient/Patient.rs patient/Coverage.rs'))
    expect(scopeText(kept)).toBe('openid patient/Patient.read patient/Coverage.read launch/patient')
    expect(dropped).toEqual(['patient/Claim.rs', 'offline_access'])
  })

  it('says each scope once', () => {
    expect(scopeText(narrow(all('patient/*.r patient/Patient.r'), all('patient/Patient.r')).kept)).toBe(
      'patient/Patient.r',
    )
  })

  it('allows .r out of a granted .rs, and never the other way', () => {
    expect(scopeText(narrow(all('patient/Patient.r'), all('patient/Patient.rs')).kept)).toBe('patient/Patient.r')
    expect(scopeText(narrow(all('patient/Patient.rs'), all('patient/Patient.r')).kept)).toBe('patient/Patient.r')
  })
})

describe('expand', () => {
  it('turns a wildcard into one scope per type, spelt the same way (R26) [SMART scopes.wildcard]', () => {
    const wild = one('patient/*.read')
    if (wild.kind !== 'resource') throw new Error('not a resource scope')
    expect(scopeText(expand(wild, ['Patient', 'Coverage']))).toBe('patient/Patient.read patient/Coverage.read')
  })

  it('leaves every other scope as it is', () => {
    const scope = one('patient/Patient.rs')
    if (scope.kind !== 'resource') throw new Error('not a resource scope')
    expect(expand(scope, ['Coverage'])).toEqual([scope])
  })
})

describe('withLaunchPatient', () => {
  it('infers launch/patient from any user/ scope: one token, one patient (R33)', () => {
    expect(scopeText(withLaunchPatient(all('openid user/Patient.read')))).toBe(
      'openid user/Patient.read launch/patient',
    )
  })

  it('infers launch/patient from any patient/ scope, once (R7)', () => {
    expect(scopeText(withLaunchPatient(all('openid patient/Patient.rs')))).toBe(
      'openid patient/Patient.rs launch/patient',
    )
    expect(scopeText(withLaunchPatient(all('launch/patient patient/Patient.rs')))).toBe(
      'launch/patient patient/Patient.rs',
    )
  })

  it('does not infer it from anything else', () => {
    expect(scopeText(withLaunchPatient(all('openid launch/encounter system/*.rs')))).toBe(
      'openid launch/encounter system/*.rs',
    )
  })
})

it('costs little where each of hundreds of scopes meets each of hundreds of others', () => {
  const asked = Array.from({ length: 30 }, (_, at) => `patient/Observation.rs?category=a${at}`).join(' ')
  const allowed = Array.from({ length: 400 }, (_, at) => `patient/Observation.rs?code=b${at}`).join(' ')
  const from = performance.now()
  const { kept } = narrow(all(asked), all(allowed))
  expect(performance.now() - from).toBeLessThan(2000)
  expect(kept.length).toBeGreaterThan(0)
  expect(kept.every((scope) => covers(all(allowed), scope) && covers(all(asked), scope))).toBe(true)
})

it('a wildcard keeps each of the many scopes that are left of it', () => {
  const types = ['Patient', 'Coverage', 'ExplanationOfBenefit', 'Condition', 'Encounter', 'Procedure', 'Goal', 'Device']
  const categories = Array.from({ length: 12 }, (_, at) => `patient/Observation.rs?category=c${at}`)
  const allowed = [...types.map((type) => `patient/${type}.rs`), ...categories]
  const { kept, dropped } = narrow(all('patient/*.rs'), all(allowed.join(' ')))
  expect(kept.map(({ text }) => text)).toEqual(allowed)
  expect(dropped).toEqual([])
})
