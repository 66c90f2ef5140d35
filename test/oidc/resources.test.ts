import { describe, expect, it } from 'vitest'
import type { Api } from '../../src/config/settings.ts'
import { sessionSeconds } from '../../src/oidc/provider.ts'
import { apiNamed, availableScopes } from '../../src/oidc/resources.ts'
import { answeredScope, releasedCategories } from '../../src/oidc/token-response.ts'

const api: Api = {
  id: 'fhir',
  name: 'FHIR',
  baseUrl: 'https://fhir.plan.example/r4',
  aliases: ['https://old.plan.example/fhir/'],
  sandbox: false,
  resources: ['Patient', 'Coverage', 'Observation'],
  interactions: 'rs',
  audienceRequired: true,
  encounters: false,
  sensitivity: 'enforced',
  tokenProfile: {
    algorithm: 'ES256',
    typ: 'at+jwt',
    scopeClaim: 'scope',
    scopeFormat: 'string',
    patientAliases: [],
    clientIdAliases: [],
    claims: {},
  },
}
const category = (code: string, scope: string | null) => ({ code, name: {}, explanation: {}, labels: [], scope })
const categories = [category('hiv', null), category('adolescent-care', 'sensitive/adolescent-care')]
const available = (scope: string, allowed: string[] | null = null, at = api) =>
  availableScopes(scope, at, allowed, categories)
    .map(({ text }) => text)
    .join(' ')

describe('aud picks the API (R6, R42)', () => {
  it.each(['https://fhir.plan.example/r4', 'https://fhir.plan.example/r4/', 'https://old.plan.example/fhir'])(
    'by %s',
    (aud) => {
      expect(apiNamed([api], aud)).toBe(api)
    },
  )

  it.each([
    'https://fhir.plan.example',
    'https://fhir.plan.example/r4/Patient',
    'http://fhir.plan.example/r4',
    'https://fhir.plan.example.evil/r4',
    '',
  ])('never by %s', (aud) => {
    expect(apiNamed([api], aud)).toBeUndefined()
  })
})

describe('scopes that exist and are allowed are kept, in the words asked (R7)', () => {
  it('drops what is unknown, and infers launch/patient', () => {
    expect(available('openid nonsense patient/Patient.rs patient/Medication.rs')).toBe(
      'openid patient/Patient.rs launch/patient',
    )
  })

  it.each([
    ['patient/Observation.cruds', 'patient/Observation.rs launch/patient'],
    ['patient/Observation.*', 'patient/Observation.read launch/patient'],
    ['patient/Observation.rs?category=laboratory', 'patient/Observation.rs?category=laboratory launch/patient'],
  ])('keeps of %s what the API offers', (asked, kept) => {
    expect(available(asked)).toBe(kept)
  })

  it.each(['patient/Observation.write', 'patient/Observation.sr', 'system/*.rs', 'patient/*.cud', 'launches'])(
    'leaves nothing of %s',
    (asked) => {
      expect(available(asked)).toBe('')
    },
  )

  it('leaves an app only what it was approved for [ASVS 10.4.11]', () => {
    expect(available('openid patient/*.rs', ['patient/Patient.rs', 'patient/Coverage.rs'])).toBe(
      'patient/Patient.rs patient/Coverage.rs launch/patient',
    )
  })
})

describe('the scope of a sensitive category (R25)', () => {
  const asked = 'openid sensitive/adolescent-care sensitive/hiv'
  it('is for an app that was approved for it by name', () => {
    expect(available(asked, ['openid', 'sensitive/adolescent-care', 'sensitive/hiv'])).toBe(
      'openid sensitive/adolescent-care',
    )
  })

  it.each([[null], [['openid', 'patient/*.rs']], [['openid', 'sensitive/*']]])('never for one with %j', (allowed) => {
    expect(available(asked, allowed)).toBe('openid')
  })

  it.each(['stated', 'refused'] as const)('never at an API that does not hold such records back: %s', (sensitivity) => {
    expect(available(asked, ['openid', 'sensitive/adolescent-care'], { ...api, sensitivity })).toBe('openid')
  })
})

describe('the sensitive categories of a token (R25)', () => {
  const plan = { sensitiveCategories: categories }
  it('are those released, with their scope where they have one', () => {
    const both = ['adolescent-care', 'hiv']
    expect(releasedCategories(plan, both, 'openid sensitive/adolescent-care')).toEqual(['hiv', 'adolescent-care'])
    expect(releasedCategories(plan, both, 'openid')).toEqual(['hiv'])
    expect(releasedCategories(plan, [], 'openid sensitive/adolescent-care')).toEqual([])
  })

  it('are none that the plan has not any more', () => {
    expect(releasedCategories(plan, ['mental-health'], 'openid')).toEqual([])
  })
})

describe('the scope of one answer (R3)', () => {
  const granted = 'openid offline_access patient/Observation.rs'
  it('is all that was granted where a refresh asks for nothing', () => {
    expect(answeredScope(granted, undefined)).toBe(granted)
  })
  it('is what a refresh asks of it, in its own words, and never more', () => {
    expect(answeredScope(granted, 'patient/Observation.r patient/Condition.rs')).toBe('patient/Observation.r')
  })
})

describe('a session ends after idling and at its absolute end (ASVS 7.3)', () => {
  const limits = { idleMinutes: 15, absoluteHours: 8 }
  it('idles for a quarter of an hour', () => {
    expect(sessionSeconds(limits, { loginTs: 1000 }, 1000)).toBe(900)
  })
  it('has less left near its absolute end, and nothing after', () => {
    expect(sessionSeconds(limits, { loginTs: 1000 }, 1000 + 8 * 3600 - 60)).toBe(60)
    expect(sessionSeconds(limits, { loginTs: 1000 }, 1000 + 9 * 3600)).toBe(1)
  })
})
