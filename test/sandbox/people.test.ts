import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { createPeople, type Resource } from '../../src/sandbox/people/index.ts'
import { shapeFaults } from './shapes.ts'

const prairie = createPeople({ id: 'prairie', name: 'Prairie Health Plan' })
const summit = createPeople({ id: 'summit', name: 'Summit Mutual' })
const everything: [string, Resource[]][] = [
  ['prairie', prairie],
  ['summit', summit],
]

const key = (resource: Resource) => `${resource.resourceType}/${resource.id}`
const isPrivate = (resource: Resource) => resource.meta.security !== undefined
const of = (person: string, type?: string) =>
  prairie.filter((r) => r.id.startsWith(`${person}-`) && (type === undefined || r.resourceType === type))

function* references(value: unknown): Generator<string> {
  if (typeof value !== 'object' || value === null) return
  for (const [name, child] of Object.entries(value)) {
    if (name === 'reference' && typeof child === 'string') yield child
    else yield* references(child)
  }
}

function* codings(value: unknown): Generator<{ system: string; code: string }> {
  if (typeof value !== 'object' || value === null) return
  if ('system' in value && 'code' in value) yield value as { system: string; code: string }
  for (const child of Object.values(value)) yield* codings(child)
}

describe('the generator of synthetic people', () => {
  it('gives the same records for the same seed, byte for byte, and others for another', () => {
    const plan = { id: 'prairie', name: 'Prairie Health Plan' }
    expect(JSON.stringify(createPeople(plan))).toBe(JSON.stringify(prairie))
    expect(JSON.stringify(createPeople(plan, { seed: 'another' }))).not.toBe(JSON.stringify(prairie))
  })

  it('moves every date with the last day', () => {
    const earlier = createPeople({ id: 'summit', name: 'Summit Mutual' }, { anchor: '2020-02-29' })
    const dates = JSON.stringify(earlier).match(/"20\d\d-\d\d-\d\d/g) ?? []
    const future = dates.filter((date) => date.slice(1) > '2020-02-29')
    // Goals are due, and implants expire, later on; nothing else does.
    expect(new Set(future).size).toBeLessThanOrEqual(2)
  })

  it('gives a plan without people of its own those of the demonstration', () => {
    const other = createPeople({ id: 'elsewhere', name: 'Elsewhere Health' })
    expect(other.some((r) => key(r) === 'Patient/maria')).toBe(true)
    expect(other.find((r) => key(r) === 'Organization/org-insurer')?.name).toBe('Elsewhere Health')
  })

  it('is quick enough to run at every start', () => {
    const started = process.cpuUsage().user
    createPeople({ id: 'prairie', name: 'Prairie Health Plan' })
    expect((process.cpuUsage().user - started) / 1000).toBeLessThan(2000)
  })

  it('has the people, names and birth dates of the demonstration', () => {
    const file = parse(readFileSync(new URL('../../config/development.yaml', import.meta.url), 'utf8'))
    for (const [plan, people] of everything) {
      const members: Record<string, unknown>[] = Object.values(
        file.plans[plan].environments.sandbox.demonstration.members,
      )
      const patients = members.flatMap((m) =>
        Object.entries({ ...(m.patients ?? {}), ...(m.delegations ?? {}) } as Record<
          string,
          { name: string; birthDate: Date | string; coverageLabel: string; relatedPerson?: string }
        >),
      )
      expect(patients.length).toBeGreaterThan(0)
      for (const [id, known] of patients) {
        const patient = people.find((r) => key(r) === `Patient/${id}`)
        const [name] = (patient?.name ?? []) as { given: string[]; family: string }[]
        expect(`${name?.given[0]} ${name?.family}`).toBe(known.name)
        expect(patient?.birthDate).toBe(String(known.birthDate))
        expect(JSON.stringify(people.find((r) => key(r) === `Coverage/${id}-coverage-1`))).toContain(
          known.coverageLabel,
        )
        if (known.relatedPerson) {
          const related = people.find((r) => key(r) === `RelatedPerson/${known.relatedPerson}`)
          expect(related?.patient).toMatchObject({ reference: `Patient/${id}` })
        }
      }
    }
  })
})

describe.each(everything)('the records of %s', (_plan, resources) => {
  it('have unique ids that FHIR allows', () => {
    expect(new Set(resources.map(key)).size).toBe(resources.length)
    for (const resource of resources) expect(resource.id).toMatch(/^[A-Za-z0-9.-]{1,64}$/)
  })

  it('refer to nothing outside themselves', () => {
    const known = new Set(resources.map(key))
    for (const resource of resources) {
      for (const reference of references(resource))
        expect(known, `${key(resource)} → ${reference}`).toContain(reference)
    }
  })

  it('never lead from one patient to another, nor from an open record to a withheld one (R25)', () => {
    const patients = resources.filter((r) => r.resourceType === 'Patient').map((r) => r.id)
    const withheld = new Set(resources.filter(isPrivate).map(key))
    const owner = (resource: Resource) =>
      patients.find((id) =>
        [...references({ r: resource.patient ?? resource.subject ?? resource.beneficiary })].includes(`Patient/${id}`),
      )
    const byKey = new Map(resources.map((r) => [key(r), r]))
    for (const resource of resources) {
      const own = owner(resource)
      for (const reference of references(resource)) {
        const target = byKey.get(reference)
        const theirs = target && (target.resourceType === 'Patient' ? target.id : owner(target))
        if (theirs !== undefined) expect(theirs, `${key(resource)} → ${reference}`).toBe(own ?? resource.id)
        if (!isPrivate(resource)) expect(withheld, `${key(resource)} → ${reference}`).not.toContain(reference)
      }
    }
  })

  it('carry id, version, date, versioned profiles and the mark of test data', () => {
    for (const { meta } of resources) {
      expect(meta.versionId).toBe('1')
      expect(meta.lastUpdated).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/)
      expect(meta.profile.length).toBeGreaterThan(0)
      for (const profile of meta.profile) expect(profile).toMatch(/\|(6\.1\.0|2\.1\.0|4\.0\.1)$/)
      expect(meta.tag).toContainEqual(expect.objectContaining({ code: 'HTEST' }))
    }
  })

  it('have what their profiles require', () => {
    expect(resources.flatMap(shapeFaults)).toEqual([])
  })

  it('name providers by identifiers with a right check digit that nobody real has', () => {
    const luhn = (digits: string) =>
      [...digits].reverse().reduce((sum, d, i) => {
        const doubled = Number(d) * (i % 2 === 1 ? 2 : 1)
        return sum + (doubled > 9 ? doubled - 9 : doubled)
      }, 0) % 10
    const npis = resources.flatMap((r) => JSON.stringify(r).match(/us-npi","value":"(\d+)"/)?.[1] ?? [])
    expect(new Set(npis).size).toBe(14)
    for (const npi of npis) {
      expect(npi).toMatch(/^9\d{9}$/)
      expect(luhn(`80840${npi}`)).toBe(0)
    }
  })
})

describe('the records of the demonstration', () => {
  it('are enough to page through', () => {
    expect(of('maria', 'ExplanationOfBenefit').filter((r) => !isPrivate(r)).length).toBeGreaterThanOrEqual(60)
    expect(of('maria', 'Observation').filter((r) => !isPrivate(r)).length).toBeGreaterThanOrEqual(120)
    expect(of('lucy', 'Immunization').length).toBeGreaterThanOrEqual(20)
  })

  it('hold every resource type that the sandbox offers', () => {
    expect([...new Set(prairie.map((r) => r.resourceType))].sort()).toEqual(
      [
        ...['AllergyIntolerance', 'CarePlan', 'CareTeam', 'Condition', 'Coverage', 'Device', 'DiagnosticReport'],
        ...[
          'DocumentReference',
          'Encounter',
          'ExplanationOfBenefit',
          'Goal',
          'Immunization',
          'InsurancePlan',
          'Location',
        ],
        ...[
          'Medication',
          'MedicationDispense',
          'MedicationRequest',
          'MedicationStatement',
          'Observation',
          'Organization',
        ],
        ...['Patient', 'Practitioner', 'PractitionerRole', 'Procedure', 'RelatedPerson'],
      ].sort(),
    )
  })

  it.each([
    ['Condition', 'condition-category', 'encounter-diagnosis'],
    ['Condition', 'condition-category', 'problem-list-item'],
    ['Condition', 'us/core/CodeSystem/condition-category', 'health-concern'],
    ['Observation', 'observation-category', 'procedure'],
    ['Observation', 'observation-category', 'laboratory'],
    ['Observation', 'observation-category', 'social-history'],
    ['Observation', 'us-core-category', 'sdoh'],
    ['Observation', 'observation-category', 'survey'],
    ['Observation', 'observation-category', 'vital-signs'],
  ])('hold an open %s of category %s|%s for maria (R22)', (type, system, code) => {
    const found = of('maria', type).filter(
      (r) => !isPrivate(r) && [...codings(r.category)].some((c) => c.system.endsWith(system) && c.code === code),
    )
    expect(found.length).toBeGreaterThan(0)
  })

  it.each(['Inpatient-Institutional', 'Outpatient-Institutional', 'Professional-NonClinician', 'Pharmacy', 'Oral'])(
    'hold a claim of the CARIN kind %s for maria',
    (name) => {
      const profile = `http://hl7.org/fhir/us/carin-bb/StructureDefinition/C4BB-ExplanationOfBenefit-${name}|2.1.0`
      expect(of('maria', 'ExplanationOfBenefit').some((r) => r.meta.profile.includes(profile))).toBe(true)
    },
  )

  it('label sensitive records of several kinds, each with its confidentiality (R25)', () => {
    const kinds = new Set<string>()
    for (const resource of prairie.filter(isPrivate)) {
      const codes = (resource.meta.security ?? []).map((label) => label.code)
      expect(codes).toContain('R')
      for (const code of codes) kinds.add(code)
    }
    expect([...kinds].sort()).toEqual(['ETH', 'HIV', 'PSY', 'R', 'SEX', 'SUD'])
    const types = new Set(
      of('maria')
        .filter(isPrivate)
        .map((r) => r.resourceType),
    )
    for (const type of [
      'Condition',
      'Observation',
      'ExplanationOfBenefit',
      'MedicationRequest',
      'Encounter',
      'DocumentReference',
    ]) {
      expect(types).toContain(type)
    }
  })

  it('number open records without gaps, so that no gap tells of a withheld one', () => {
    for (const person of ['maria', 'david', 'elena', 'lucy']) {
      const numbers = new Map<string, number[]>()
      for (const resource of of(person).filter((r) => !isPrivate(r))) {
        const [, kind = '', n] = /^[a-z]+-(.+)-(\d+)$/.exec(resource.id) ?? []
        if (n !== undefined) numbers.set(kind, [...(numbers.get(kind) ?? []), Number(n)])
      }
      for (const found of numbers.values()) {
        expect(found.sort((a, b) => a - b)).toEqual(found.map((_, index) => index + 1))
      }
    }
  })

  it('add up: what a claim paid and what the member owes is what was eligible', () => {
    for (const claim of prairie.filter((r) => r.resourceType === 'ExplanationOfBenefit')) {
      const total = claim.total as { category: { coding: { code: string }[] }; amount: { value: number } }[]
      const amount = (code: string) =>
        total.find((t) => t.category.coding[0]?.code === code)?.amount.value ?? Number.NaN
      expect(amount('paidtoprovider') + amount('memberliability')).toBeCloseTo(amount('eligible'), 2)
      expect(amount('submitted') - amount('discount')).toBeCloseTo(amount('eligible'), 2)
    }
  })
})
