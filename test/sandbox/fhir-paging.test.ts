import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Resource } from '../../src/sandbox/people/index.ts'
import { type Bundle, idsOf, isPrivate, linkOf, ownOf, people, type Sandbox, startSandbox } from './world.ts'

let sandbox: Sandbox
let maria: string
beforeAll(async () => {
  sandbox = await startSandbox()
  maria = await sandbox.token('maria')
})
afterAll(() => sandbox.close())

const sorted = (ids: string[]) => [...ids].sort()
const codesIn = (element: unknown): string[] =>
  [element].flat().flatMap((one) => ((one as { coding?: { code: string }[] })?.coding ?? []).map((c) => c.code))
const whole = async (where: string, token = maria): Promise<string[]> =>
  (await sandbox.pages(where, token)).flatMap(idsOf)
const expected = (type: string, test: (r: Resource) => boolean) =>
  sorted(
    ownOf('maria', type)
      .filter(test)
      .map((r) => r.id),
  )

const observationCategory = 'http://terminology.hl7.org/CodeSystem/observation-category'

describe('paging', () => {
  it.each([
    ['Observation', 7],
    ['Observation', 50],
    ['ExplanationOfBenefit', 1],
    ['Condition', 1000],
  ])('%s by %i: all pages together are the whole, without repeats', async (type, count) => {
    const pages = await sandbox.pages(`/${type}?_count=${count}`, maria)
    const ids = pages.flatMap(idsOf)
    expect(new Set(ids).size).toBe(ids.length)
    expect(sorted(ids)).toEqual(expected(type, () => true))
    expect(pages.length).toBe(Math.ceil(ids.length / count))
    expect(new Set(pages.map((page) => page.total))).toEqual(new Set([ids.length]))
    for (const page of pages) expect(idsOf(page).length).toBeLessThanOrEqual(count)
  })

  it('carries the search along, and its links survive another server and another token', async () => {
    const first = await sandbox.search(
      '/Observation?patient=maria&category=vital-signs&date=ge2023&_count=5&_summary=data',
      maria,
    )
    const next = linkOf(first, 'next') ?? ''
    for (const part of ['category=vital-signs', 'date=ge2023', '_count=5', '_summary=data'])
      expect(next).toContain(part)
    const second = await sandbox.search(next, maria)
    const other = await startSandbox()
    expect(await other.search(next, await other.token('maria', 'patient/Observation.s patient/Observation.r'))).toEqual(
      second,
    )
    await other.close()
  })

  it('refuses a cursor that is damaged, made up, or of another search', async () => {
    const first = await sandbox.search('/Observation?_count=5', maria)
    const cursor = new URL(linkOf(first, 'next') ?? '').searchParams.get('_cursor') ?? ''
    const forged = Buffer.from('Observation/maria-lab-1 0000000000000000').toString('base64url')
    for (const where of [
      '/Observation?_count=5&_cursor=nonsense',
      '/Observation?_count=5&_cursor=',
      `/Observation?_count=5&_cursor=${forged}`,
      `/Observation?_count=5&_cursor=${cursor.slice(2)}`,
      `/Observation?_count=5&_cursor=${cursor}&_cursor=${cursor}`,
      `/Observation?category=laboratory&_count=5&_cursor=${cursor}`,
      `/Condition?_count=5&_cursor=${cursor}`,
    ]) {
      const response = await sandbox.get(where, maria).expect(400)
      expect(response.body.resourceType).toBe('OperationOutcome')
    }
    await sandbox.get(`/Observation?_count=9&_cursor=${cursor}`, maria).expect(200)
    await sandbox.get(`/Observation?_count=5&_cursor=${cursor}`, await sandbox.token('elena')).expect(400)
  })
})

describe('what a token may find', () => {
  const inBundles = (bundles: Bundle[]) =>
    bundles.flatMap((bundle) => bundle.entry ?? []).map(({ resource }) => resource)

  it.each(['maria', 'david', 'elena', 'lucy'])(
    'is the record of %s only, withheld records never (R25)',
    async (patient) => {
      const token = await sandbox.token(patient)
      for (const type of [
        'Condition',
        'Observation',
        'ExplanationOfBenefit',
        'Encounter',
        'MedicationRequest',
        'RelatedPerson',
        'Device',
      ]) {
        const found = inBundles(await sandbox.pages(`/${type}?_count=40`, token))
        expect(found.some(isPrivate)).toBe(false)
        for (const resource of found) {
          const { reference } = (resource.subject ?? resource.patient) as { reference: string }
          expect(reference).toBe(`Patient/${patient}`)
        }
      }
      expect((await sandbox.search('/Patient', token)).total).toBe(1)
    },
  )

  it('leaves withheld records out of totals and out of every search that names them (R25)', async () => {
    const hidden = people.filter((r) => isPrivate(r) && r.id.startsWith('maria-') && r.resourceType === 'Condition')
    expect(hidden.length).toBeGreaterThan(1)
    for (const { id, code } of hidden) {
      expect((await sandbox.search(`/Condition?_id=${id}`, maria)).total).toBe(0)
      for (const one of codesIn(code)) expect((await sandbox.search(`/Condition?code=${one}`, maria)).total).toBe(0)
    }
    expect((await sandbox.search('/Observation?code=56888-1', maria)).total).toBe(0)
    expect((await sandbox.search('/ExplanationOfBenefit?_summary=count', maria)).total).toBe(
      ownOf('maria', 'ExplanationOfBenefit').length,
    )
  })

  it('is narrowed by type', async () => {
    const token = await sandbox.token('maria', 'patient/Coverage.rs patient/ExplanationOfBenefit.read')
    expect((await sandbox.search('/Coverage', token)).total).toBe(1)
    expect((await sandbox.search('/ExplanationOfBenefit?_count=1', token)).total).toBeGreaterThan(60)
    for (const type of ['Condition', 'Observation', 'Patient', 'Organization'])
      await sandbox.get(`/${type}`, token).expect(403)
  })

  it('is narrowed by category, in totals and pages too (R22)', async () => {
    const conditions = 'http://terminology.hl7.org/CodeSystem/condition-category'
    const token = await sandbox.token(
      'maria',
      `patient/Observation.rs?category=${observationCategory}|laboratory patient/Condition.rs?category=${conditions}|problem-list-item`,
    )
    const labs = await sandbox.pages('/Observation?_count=10', token)
    const laboratory = expected('Observation', (r) => codesIn(r.category).includes('laboratory'))
    expect(sorted(labs.flatMap(idsOf))).toEqual(laboratory)
    expect(labs[0]?.total).toBe(laboratory.length)
    await sandbox.get('/Observation?category=vital-signs', token).expect(403)
    const listed = expected('Condition', (r) => codesIn(r.category).includes('problem-list-item'))
    expect(sorted(await whole('/Condition', token))).toEqual(listed)
  })

  it('reading without searching does not search', async () => {
    const token = await sandbox.token('maria', 'patient/Observation.r')
    await sandbox.get('/Observation', token).expect(403)
    await sandbox.get('/Observation/maria-vital-1', token).expect(200)
  })
})
