import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Resource } from '../../src/sandbox/people/index.ts'
import { type Bundle, base, isPrivate, linkOf, ownOf, people, type Sandbox, startSandbox } from './world.ts'

let sandbox: Sandbox
let maria: string
beforeAll(async () => {
  sandbox = await startSandbox()
  maria = await sandbox.token('maria')
})
afterAll(() => sandbox.close())

const resources = (pages: Bundle[]): Resource[] =>
  pages.flatMap((page) => (page.entry ?? []).map(({ resource }) => resource))
const key = (resource: Resource) => `${resource.resourceType}/${resource.id}`
const around = ['Organization', 'Practitioner', 'PractitionerRole', 'Location', 'Medication', 'InsurancePlan']
const claims = ['Coverage', 'ExplanationOfBenefit']

function* references(value: unknown): Generator<string> {
  if (typeof value !== 'object' || value === null) return
  for (const [name, child] of Object.entries(value)) {
    if (name === 'reference' && typeof child === 'string') yield child
    else yield* references(child)
  }
}

describe('Patient/[id]/$everything', () => {
  it('comes in phases by next links: the person, care, claims, then the people and places named', async () => {
    const pages = await sandbox.pages('/Patient/maria/$everything', maria)
    expect(pages.length).toBeGreaterThan(4)
    const phase = (type: string) =>
      ['Patient', 'RelatedPerson'].includes(type) ? 0 : claims.includes(type) ? 2 : around.includes(type) ? 3 : 1
    const phases = pages.map((page) => new Set(resources([page]).map((r) => phase(r.resourceType))))
    for (const one of phases) expect(one.size).toBe(1)
    expect([...new Set(phases.flatMap((one) => [...one]))]).toEqual([0, 1, 2, 3])
    expect(pages[0]?.entry?.[0]?.resource.id).toBe('maria')
    for (const page of pages) expect(page.link[0]?.url).toContain(`${base}/Patient/maria/$everything`)
  })

  it.each([1000, 33])('by %i is the whole open record, each resource once', async (count) => {
    const pages = await sandbox.pages(`/Patient/maria/$everything?_count=${count}`, maria)
    const found = resources(pages)
    expect(new Set(found.map(key)).size).toBe(found.length)
    expect(pages[0]?.total).toBe(found.length)
    const own = people
      .filter((r) => !around.includes(r.resourceType))
      .flatMap((r) => (ownOf('maria', r.resourceType).includes(r) ? [key(r)] : []))
    expect(
      found
        .filter((r) => !around.includes(r.resourceType))
        .map(key)
        .sort(),
    ).toEqual(own.sort())
    expect(found.some(isPrivate)).toBe(false)
  })

  it('is complete: what the resources refer to came along, and nothing of the withheld ones (R25)', async () => {
    const found = resources(await sandbox.pages('/Patient/maria/$everything', maria))
    const keys = new Set(found.map(key))
    for (const resource of found) for (const reference of references(resource)) expect(keys).toContain(reference)
    // Only withheld records lead to the counselor, the counseling practice and the medicine.
    for (const secret of [
      'Practitioner/prac-counselor',
      'Organization/org-counseling',
      'Location/loc-counseling',
      'Medication/med-sertraline',
    ]) {
      expect(people.some((r) => key(r) === secret)).toBe(true)
      expect(keys).not.toContain(secret)
    }
    const text = JSON.stringify(found)
    for (const word of ['HIV', 'Chlamydia', 'depress', 'Alcohol', 'sertraline', 'psycho', 'counsel', 'F33', '"PSY"']) {
      expect(text.toLowerCase(), word).not.toContain(word.toLowerCase())
    }
  })

  it.each(['david', 'elena', 'lucy'])('of %s holds nothing of another patient', async (patient) => {
    const found = resources(
      await sandbox.pages('/Patient/'.concat(patient, '/$everything?_count=500'), await sandbox.token(patient)),
    )
    const own = new RegExp(`^(${patient}(-|$)|david-${patient}$|org-|loc-|prac-|role-|med-|product-)`)
    for (const resource of found) {
      expect(resource.id).toMatch(own)
      for (const reference of references(resource))
        if (reference.startsWith('Patient/')) expect(reference).toBe(`Patient/${patient}`)
    }
    expect(found.some(isPrivate)).toBe(false)
  })

  it('is narrowed by the token: types and categories (R22)', async () => {
    const vitals = 'http://terminology.hl7.org/CodeSystem/observation-category|vital-signs'
    const token = await sandbox.token(
      'maria',
      `patient/Patient.rs patient/Coverage.rs patient/Observation.rs?category=${vitals}`,
    )
    const found = resources(await sandbox.pages('/Patient/maria/$everything', token))
    expect([...new Set(found.map((r) => r.resourceType))].sort()).toEqual(['Coverage', 'Observation', 'Patient'])
    for (const observation of found.filter((r) => r.resourceType === 'Observation')) {
      expect(JSON.stringify(observation.category)).toContain('vital-signs')
    }
    await sandbox.get('/Patient/maria/$everything', await sandbox.token('maria', 'patient/Observation.rs')).expect(403)
  })

  it('is refused for another patient, in the same way whether or not there is one', async () => {
    const elena = await sandbox.get('/Patient/elena/$everything', maria).expect(403)
    const nobody = await sandbox.get('/Patient/nobody/$everything', maria).expect(403)
    expect(elena.text).toBe(nobody.text)
  })

  it('keeps to _type, start, end and _since, through all of its pages', async () => {
    const some = resources(
      await sandbox.pages('/Patient/maria/$everything?_type=Observation,Coverage&_count=10', maria),
    )
    expect([...new Set(some.map((r) => r.resourceType))].sort()).toEqual(['Coverage', 'Observation'])
    const year = resources(
      await sandbox.pages('/Patient/maria/$everything?start=2024-01-01&end=2024-12-31&_count=20', maria),
    )
    const dated = year.filter((r) => r.resourceType === 'Observation').map((r) => String(r.effectiveDateTime))
    expect(dated.length).toBeGreaterThan(10)
    for (const date of dated) expect(date.slice(0, 4)).toBe('2024')
    expect(year.some((r) => r.resourceType === 'Coverage')).toBe(true)
    const since = resources(await sandbox.pages('/Patient/maria/$everything?_since=2026-01-01T00:00:00Z', maria))
    expect(since.length).toBeGreaterThan(0)
    for (const { meta } of since) expect(meta.lastUpdated >= '2026-01-01').toBe(true)
    for (const bad of ['_type=Nonsense', '_type=Claim', 'start=soon', 'end=2024-99', '_since=x', '_count=-1']) {
      await sandbox.get(`/Patient/maria/$everything?${bad}`, maria).expect(400)
    }
  })

  it('refuses cursors of another operation or search', async () => {
    const first = await sandbox.search('/Patient/maria/$everything?_count=10', maria)
    const cursor = new URL(linkOf(first, 'next') ?? '').searchParams.get('_cursor')
    await sandbox.get(`/Patient/maria/$everything?_cursor=${cursor}`, maria).expect(200)
    await sandbox.get(`/Patient/maria/$everything?_type=Coverage&_cursor=${cursor}`, maria).expect(400)
    await sandbox.get(`/Observation?_cursor=${cursor}`, maria).expect(400)
    await sandbox.get('/Patient/maria/$everything?_cursor=x', maria).expect(400)
  })

  it('gives the number alone for _summary=count, and summaries for _summary=true', async () => {
    const count = await sandbox.search('/Patient/maria/$everything?_summary=count', maria)
    expect(count.entry).toBeUndefined()
    expect(count.total).toBeGreaterThan(400)
    const short = await sandbox.search('/Patient/maria/$everything?_summary=true', maria)
    expect(short.entry?.[0]?.resource).not.toHaveProperty('communication')
  })
})
