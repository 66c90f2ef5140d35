import { describe, expect, it } from 'vitest'
import { delegationInForce, fhirUserOf, maskOf, stronger } from '../../src/members/delegates.ts'

describe('delegationInForce (R34)', () => {
  it.each([
    ['before its start', { starts_at: 100, ends_at: null }, 99, false],
    ['at its start', { starts_at: 100, ends_at: null }, 100, true],
    ['without an end', { starts_at: 100, ends_at: null }, 1e15, true],
    ['just before its end', { starts_at: 100, ends_at: 200 }, 199, true],
    ['at its end', { starts_at: 100, ends_at: 200 }, 200, false],
    ['after its end', { starts_at: 100, ends_at: 200 }, 201, false],
    ['that ends before it starts', { starts_at: 200, ends_at: 100 }, 150, false],
    ['that ends as it starts', { starts_at: 100, ends_at: 100 }, 100, false],
  ])('%s', (_when, row, now, inForce) => {
    expect(delegationInForce(row, now)).toBe(inForce)
  })
})

describe('fhirUserOf (R32)', () => {
  it('is the own Patient for oneself', () => {
    expect(fhirUserOf({ relation: 'self', fhirId: 'maria' })).toBe('Patient/maria')
  })

  it.each(['parent', 'guardian', 'power-of-attorney', 'member-designated'] as const)(
    'is the RelatedPerson for %s, never the Patient acted for',
    (relation) => {
      expect(fhirUserOf({ relation, relatedPerson: 'david-lucy' })).toBe('RelatedPerson/david-lucy')
    },
  )
})

describe('stronger', () => {
  const row = (ends_at: number | null, mask: string | null = null) => ({ ends_at, mask })

  it('prefers the later end, and none to any', () => {
    expect(stronger(row(100), row(200))).toEqual(row(200))
    expect(stronger(row(null), row(200))).toEqual(row(null))
    expect(stronger(row(200), row(null))).toEqual(row(null))
  })

  it('prefers the smaller mask where both end alike', () => {
    expect(stronger(row(100, '["a"]'), row(100))).toEqual(row(100))
    expect(stronger(row(null), row(null, '["a"]'))).toEqual(row(null))
  })
})

it('maskOf reads what is stored', () => {
  expect(maskOf(null)).toEqual([])
  expect(maskOf('["patient/Condition.rs"]')).toEqual(['patient/Condition.rs'])
})
