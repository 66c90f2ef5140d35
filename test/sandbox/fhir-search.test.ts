import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Resource } from '../../src/sandbox/people/index.ts'
import { type Bundle, base, idsOf, linkOf, ownOf, type Sandbox, startSandbox } from './world.ts'

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

describe('a search', () => {
  it('gives a searchset with absolute addresses and links', async () => {
    const bundle = await sandbox.search('/Observation?_count=3', maria)
    expect(bundle).toMatchObject({
      resourceType: 'Bundle',
      type: 'searchset',
      total: ownOf('maria', 'Observation').length,
    })
    expect(bundle.entry?.length).toBe(3)
    for (const { fullUrl, resource, search } of bundle.entry ?? []) {
      expect(fullUrl).toBe(`${base}/Observation/${resource.id}`)
      expect(search).toEqual({ mode: 'match' })
    }
    expect(linkOf(bundle, 'self')).toBe(`${base}/Observation?_count=3`)
    expect(linkOf(bundle, 'next')).toMatch(new RegExp(`^${base}/Observation\\?_count=3&_cursor=[A-Za-z0-9_-]+$`))
  })

  it('gives the newest first', async () => {
    const dates = (await sandbox.pages('/ExplanationOfBenefit?_count=20', maria)).flatMap((page) =>
      (page.entry ?? []).map(({ resource }) => (resource.billablePeriod as { start: string }).start),
    )
    expect(dates).toEqual([...dates].sort().reverse())
  })

  it('is the same with a slash after the type, within the compartment, and by POST of a form', async () => {
    const plain = await sandbox.search('/Condition?category=problem-list-item', maria)
    expect(plain.total).toBeGreaterThan(0)
    expect(await sandbox.search('/Condition/?category=problem-list-item', maria)).toEqual(plain)
    expect(await sandbox.search('/Patient/maria/Condition?category=problem-list-item', maria)).toEqual(plain)
    const posted = await sandbox
      .request('post', '/Condition/_search', maria)
      .type('form')
      .send('category=problem-list-item')
      .expect(200)
    expect(posted.body).toEqual(plain)
    const both = await sandbox
      .request('post', '/Condition/_search?category=problem-list-item', maria)
      .type('form')
      .send('_count=1')
    expect(both.body.entry.length).toBe(1)
  })

  it('without results has no entries', async () => {
    const bundle = await sandbox.search('/Observation?code=nothing-at-all', maria)
    expect(bundle.total).toBe(0)
    expect(bundle.entry).toBeUndefined()
    expect(linkOf(bundle, 'next')).toBeUndefined()
  })
})

describe('search parameters', () => {
  it('_id: one, several, none', async () => {
    expect(await whole('/Observation?_id=maria-lab-1')).toEqual(['maria-lab-1'])
    expect(sorted(await whole('/Observation?_id=maria-lab-1,maria-lab-2,nothing'))).toEqual([
      'maria-lab-1',
      'maria-lab-2',
    ])
    expect(await whole('/Patient?_id=maria')).toEqual(['maria'])
    expect(await whole('/Observation?_id=elena-lab-1')).toEqual([])
  })

  it('identifier: value, system and value, system alone', async () => {
    const system = 'https://plan.example.org/prairie/member-id'
    expect(await whole('/Patient?identifier=SYN-PRAIRIE-MARIA')).toEqual(['maria'])
    expect(await whole(`/Patient?identifier=${system}|SYN-PRAIRIE-MARIA`)).toEqual(['maria'])
    expect(await whole(`/Patient?identifier=${encodeURIComponent(`${system}|`)}`)).toEqual(['maria'])
    expect(await whole('/Patient?identifier=http://other|SYN-PRAIRIE-MARIA')).toEqual([])
    expect(await whole(`/Patient?identifier=${system}|SYN-PRAIRIE-ELENA`)).toEqual([])
  })

  it('gender: a code, its system, alternatives', async () => {
    expect(await whole('/Patient?gender=female')).toEqual(['maria'])
    expect(await whole('/Patient?gender=http://hl7.org/fhir/administrative-gender|female')).toEqual(['maria'])
    expect(await whole('/Patient?gender=male,female')).toEqual(['maria'])
    expect(await whole('/Patient?gender=male')).toEqual([])
  })

  it.each([
    'patient=maria',
    'patient=Patient/maria',
    `patient=${base}/Patient/maria`,
    'subject=Patient/maria',
    'subject:Patient=maria',
  ])('patient as %s', async (parameter) => {
    expect((await sandbox.search(`/Observation?${parameter}&_count=0`, maria)).total).toBe(
      ownOf('maria', 'Observation').length,
    )
  })

  it('patient of somebody else is refused in the same way whether or not there is one', async () => {
    const elena = await sandbox.get('/Observation?patient=elena', maria).expect(403)
    const nobody = await sandbox.get('/Observation?patient=nobody', maria).expect(403)
    expect(elena.text).toBe(nobody.text)
    await sandbox.get('/Observation?patient=maria,elena', maria).expect(403)
    await sandbox.get('/Patient?_id=elena', maria).expect(403)
  })

  it('category: code, system and code, alternatives, several at once', async () => {
    const has = (code: string) => (r: Resource) => codesIn(r.category).includes(code)
    expect(sorted(await whole('/Observation?category=laboratory'))).toEqual(expected('Observation', has('laboratory')))
    const either = `/Observation?category=${observationCategory}|survey,${observationCategory}|laboratory`
    expect(sorted(await whole(either))).toEqual(
      expected('Observation', (r) => has('survey')(r) || has('laboratory')(r)),
    )
    const both = '/Observation?category=survey&category=sdoh'
    expect(sorted(await whole(both))).toEqual(expected('Observation', (r) => has('survey')(r) && has('sdoh')(r)))
    expect(await whole('/Observation?category=http://other|laboratory')).toEqual([])
  })

  it('code: LOINC, SNOMED, RxNorm, with a patient and a date beside', async () => {
    const coded = (code: string) => (r: Resource) => codesIn(r.code).includes(code)
    expect(sorted(await whole('/Observation?code=http://loinc.org|4548-4'))).toEqual(
      expected('Observation', coded('4548-4')),
    )
    expect(sorted(await whole('/Condition?code=44054006'))).toEqual(expected('Condition', coded('44054006')))
    const metformin = '/MedicationRequest?patient=maria&code=http://www.nlm.nih.gov/research/umls/rxnorm|860975'
    expect((await whole(metformin)).length).toBe(5)
    const recent = await whole('/Observation?patient=maria&code=4548-4&date=ge2025-01-01')
    expect(recent.length).toBeGreaterThan(0)
    expect(recent.length).toBeLessThan(expected('Observation', coded('4548-4')).length)
  })

  it.each([
    ['2024', (d: string) => d.startsWith('2024')],
    ['eq2024', (d: string) => d.startsWith('2024')],
    ['ne2024', (d: string) => !d.startsWith('2024')],
    ['ge2024', (d: string) => d >= '2024'],
    ['gt2024', (d: string) => d >= '2025'],
    ['sa2024', (d: string) => d >= '2025'],
    ['lt2024', (d: string) => d < '2024'],
    ['eb2024', (d: string) => d < '2024'],
    ['le2024', (d: string) => d < '2025'],
    ['ge2024-03-01T00:00:00Z', (d: string) => d >= '2024-03-01'],
    ['2023,2024', (d: string) => d.startsWith('2023') || d.startsWith('2024')],
  ])('date=%s', async (value, test) => {
    const effective = (r: Resource) => String(r.effectiveDateTime)
    expect(sorted(await whole(`/Observation?date=${value}`))).toEqual(
      expected('Observation', (r) => test(effective(r))),
    )
  })

  it('dates of one search make a range, and periods are met by any overlap', async () => {
    const between = await whole('/Observation?date=ge2024-01-01&date=lt2024-07-01')
    expect(sorted(between)).toEqual(
      expected(
        'Observation',
        (r) => String(r.effectiveDateTime) >= '2024-01' && String(r.effectiveDateTime) < '2024-07',
      ),
    )
    const elena = await sandbox.token('elena')
    const [stay] = ownOf('elena', 'Encounter').filter((r) => (r.class as { code: string }).code === 'IMP')
    const { start, end } = (stay?.period ?? {}) as { start: string; end: string }
    const overlapping = await whole(`/Encounter?date=ge${start.slice(0, 10)}&date=le${end.slice(0, 10)}`, elena)
    expect(overlapping).toContain(stay?.id)
    expect(await whole(`/Encounter?date=sa${end.slice(0, 10)}`, elena)).not.toContain(stay?.id)
  })

  it.each(['yesterday', '2024-13', '2024-02-30', 'xx2024', 'ge', '20240101'])('date=%s is refused', async (value) => {
    const response = await sandbox.get(`/Observation?date=${value}`, maria).expect(400)
    expect(response.body.issue[0].diagnostics).toContain('date must be a date')
  })

  it('service-date and type of claims, references, names', async () => {
    const claims = await whole('/ExplanationOfBenefit?type=pharmacy&service-date=2025')
    expect(claims.length).toBeGreaterThan(3)
    expect((await whole('/ExplanationOfBenefit?coverage=maria-coverage-1')).length).toBe(
      ownOf('maria', 'ExplanationOfBenefit').length,
    )
    expect(await whole('/Patient?family=alv')).toEqual(['maria'])
    expect(await whole('/Organization?name=sample%20gen')).toEqual(['org-hospital'])
    const { reference: encounter } = (ownOf('maria', 'Observation').at(0)?.encounter ?? {}) as { reference?: string }
    expect((await whole(`/Observation?encounter=${encounter}`)).length).toBeGreaterThan(5)
  })

  it('_lastUpdated', async () => {
    expect(sorted(await whole('/Observation?_lastUpdated=ge2026-01-01'))).toEqual(
      expected('Observation', (r) => r.meta.lastUpdated >= '2026-01-01'),
    )
  })
})

describe('what a search brings along', () => {
  const entries = (bundle: Bundle, mode: string) =>
    (bundle.entry ?? []).filter(({ search }) => search.mode === mode).map(({ resource }) => resource)

  it('is what the resources of the page refer to, once each, and is not counted', async () => {
    const bundle = await sandbox.search('/Observation?_include=Observation:encounter&_count=20', maria)
    const matches = entries(bundle, 'match')
    const brought = entries(bundle, 'include').map(({ id }) => id)
    expect(matches.every(({ resourceType }) => resourceType === 'Observation')).toBe(true)
    expect(bundle.total).toBe(ownOf('maria', 'Observation').length)
    const named = matches.flatMap(
      ({ encounter }) => (encounter as { reference: string } | undefined)?.reference.split('/')[1] ?? [],
    )
    expect(brought.sort()).toEqual([...new Set(named)].sort())
    expect(brought.length).toBeGreaterThan(0)
    expect(linkOf(bundle, 'next')).toContain('_include=Observation%3Aencounter')
  })

  it('is what refers to them', async () => {
    const bundle = await sandbox.search('/Encounter?_revinclude=Condition:encounter&_count=5', maria)
    const ids = entries(bundle, 'match').map(({ id }) => `Encounter/${id}`)
    const brought = entries(bundle, 'include')
    expect(brought.length).toBeGreaterThan(0)
    for (const { resourceType, encounter } of brought) {
      expect(resourceType).toBe('Condition')
      expect(ids).toContain((encounter as { reference: string }).reference)
    }
  })

  it.each([
    '_include=Observation:encounter:Patient',
    '_include=Condition:encounter',
    '_revinclude=Observation:encounter:Location',
  ])('is nothing where the types do not fit: %s', async (parameter) => {
    const bundle = await sandbox.search(`/Observation?${parameter}`, maria)
    expect(entries(bundle, 'include')).toEqual([])
  })

  it('is nothing that the token may not see', async () => {
    const category = 'http://terminology.hl7.org/CodeSystem/condition-category'
    const scope = `patient/Encounter.rs patient/Condition.rs?category=${category}|problem-list-item`
    const few = await sandbox.token('maria', scope)
    const bundle = await sandbox.search('/Encounter?_revinclude=Condition:encounter', few)
    // Every Condition of a visit is one of its diagnoses.
    expect(entries(bundle, 'include')).toEqual([])
    await sandbox.get('/Encounter?_revinclude=Observation:encounter', few).expect(403)
  })
})

describe('what a search does not know', () => {
  it('is left out, of the self link too, unless the app is strict', async () => {
    const lenient = await sandbox.search('/Observation?nonsense=1&code=4548-4&_sort=date&category=', maria)
    expect(linkOf(lenient, 'self')).toBe(`${base}/Observation?code=4548-4`)
    for (const unknown of ['nonsense=1', '_sort=date', 'code=', '__proto__=1', 'constructor=1']) {
      const response = await sandbox.get(`/Observation?${unknown}`, maria).set('Prefer', 'handling=strict').expect(400)
      expect(response.body.issue[0].code).toBe('not-supported')
    }
    await sandbox
      .get('/Observation?code=4548-4&_count=1&_pretty=true', maria)
      .set('Prefer', 'handling=strict')
      .expect(200)
  })

  it.each([
    '_include=Observation:performer',
    '_include=Observation:code',
    '_revinclude=Provenance:target',
    '_include:iterate=Observation:encounter',
    'patient.name=alvarez',
    'encounter.class=AMB',
    '_has:Observation:patient:code=1',
    '_filter=code eq 1',
    'code:text=sugar',
    'code:not=4548-4',
    'date:missing=true',
    'encounter:Patient=maria',
  ])('is refused with plain words: %s', async (parameter) => {
    const response = await sandbox.get(`/Observation?${parameter}`, maria).expect(400)
    expect(response.body).toMatchObject({ resourceType: 'OperationOutcome', issue: [{ code: 'not-supported' }] })
    expect(response.body.issue[0].diagnostics.length).toBeGreaterThan(20)
  })
})

describe('_count and _summary', () => {
  it.each(['-1', 'ten', '1.5', '', '99999999999'])('_count=%s is refused', async (value) => {
    await sandbox.get(`/Observation?_count=${value}`, maria).expect(400)
  })

  it('_count is capped, and 0 asks for the number alone', async () => {
    const capped = await sandbox.search('/Observation?_count=5000', maria)
    expect(linkOf(capped, 'self')).toContain('_count=1000')
    const none = await sandbox.search('/Observation?_count=0', maria)
    expect(none.entry).toBeUndefined()
    expect(none.total).toBe(ownOf('maria', 'Observation').length)
    await sandbox.get('/Observation?_count=1&_count=2', maria).expect(400)
  })

  it('_summary shapes the resources', async () => {
    const count = await sandbox.search('/Observation?_summary=count', maria)
    expect(count.entry).toBeUndefined()
    expect(count.total).toBe(ownOf('maria', 'Observation').length)
    const first = async (summary: string) =>
      (await sandbox.search(`/Coverage?_summary=${summary}`, maria)).entry?.[0]?.resource
    expect(await first('false')).toEqual(ownOf('maria', 'Coverage')[0])
    expect(await first('data')).not.toHaveProperty('text')
    expect(await first('text')).toHaveProperty('text')
    expect(await first('text')).not.toHaveProperty('class')
    expect(await first('true')).toHaveProperty('subscriberId')
    expect(await first('true')).not.toHaveProperty('class')
    await sandbox.get('/Coverage?_summary=nonsense', maria).expect(400)
  })
})
