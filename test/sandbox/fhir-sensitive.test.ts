/** Records of a sensitive category are read with that category, by every way of reading, and with nothing else (R25). */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { isSensitive } from '../../src/resource-server/index.ts'
import type { Resource } from '../../src/sandbox/people/index.ts'
import { allTypes, idsOf, isPrivate, people, type Sandbox, sensitiveCategories, startSandbox } from './world.ts'

let sandbox: Sandbox
beforeAll(async () => {
  sandbox = await startSandbox()
})
afterAll(() => sandbox.close())

/** The sensitive records of a patient, by the category that their label belongs to. */
const recordsOf = (patient: string, category: string): Resource[] =>
  people.filter((r) => r.id.startsWith(`${patient}-`) && isSensitive(r, sensitiveCategories[category]))

const categories = Object.keys(sensitiveCategories)
const others = (category: string) => categories.filter((each) => each !== category)

describe.each([
  ['maria', 'substance-use'],
  ['maria', 'mental-health'],
  ['maria', 'sexual-health'],
  ['maria', 'hiv'],
  ['david', 'substance-use'],
  ['david', 'hiv'],
])('%s’s records of %s', (patient, category) => {
  const tokenWith = (...released: string[]) => sandbox.token(patient, 'patient/*.rs', released)

  it('exist', () => expect(recordsOf(patient, category).length).toBeGreaterThan(0))

  it('are read with their category, and are not there without it, whatever else is released', async () => {
    const open = await tokenWith(category)
    const closed = [await sandbox.token(patient), await tokenWith(...others(category))]
    for (const { resourceType, id } of recordsOf(patient, category)) {
      await sandbox.get(`/${resourceType}/${id}`, open).expect(200)
      for (const token of closed) await sandbox.get(`/${resourceType}/${id}`, token).expect(404)
    }
  })

  it('are found by searches, page by page, with their category only', async () => {
    const found = async (token: string) => {
      const types = allTypes.filter((type) => recordsOf(patient, category).some((r) => r.resourceType === type))
      const pages = await Promise.all(types.map((type) => sandbox.pages(`/${type}?_count=7`, token)))
      return { ids: new Set(pages.flat().flatMap(idsOf)), totals: pages.map(([first]) => first?.total) }
    }
    const open = await found(await tokenWith(category))
    const closed = await found(await tokenWith(...others(category)))
    for (const { id } of recordsOf(patient, category)) {
      expect(open.ids).toContain(id)
      expect(closed.ids).not.toContain(id)
    }
    expect(open.totals).not.toEqual(closed.totals)
  })

  it('are part of $everything with their category, and no other sensitive record is', async () => {
    const everything = async (token: string) =>
      (await sandbox.pages(`/Patient/${patient}/$everything?_count=40`, token)).flatMap((page) =>
        (page.entry ?? []).map(({ resource }) => resource),
      )
    const keyOf = ({ resourceType, id }: Resource) => `${resourceType}/${id}`
    const open = (await everything(await tokenWith(category))).filter(isPrivate).map(keyOf)
    expect(open.sort()).toEqual(recordsOf(patient, category).map(keyOf).sort())
    const closed = (await everything(await tokenWith(...others(category)))).map(keyOf)
    for (const record of recordsOf(patient, category)) expect(closed).not.toContain(keyOf(record))
  })

  it('stay within the scopes and the patient of the token', async () => {
    const [record] = recordsOf(patient, category).filter(({ resourceType }) => resourceType !== 'Coverage')
    if (!record) throw new Error('no record')
    const where = `/${record.resourceType}/${record.id}`
    await sandbox.get(where, await sandbox.token(patient, 'patient/Coverage.rs', [category])).expect(403)
    await sandbox.get(where, await sandbox.token('lucy', 'patient/*.rs', [category])).expect(404)
  })
})

it.each([
  ['substance-use', 'david', '/Encounter?_revinclude=Condition:encounter&_count=1000'],
  ['mental-health', 'maria', '/Encounter?_revinclude=Condition:encounter&_count=1000'],
  ['mental-health', 'maria', '/Condition?_include=Condition:encounter&_count=1000'],
  ['mental-health', 'maria', '/Patient?_revinclude=MedicationRequest:patient'],
  ['hiv', 'maria', '/Patient?_revinclude=Observation:patient'],
])('records of %s of %s come along with their category only: %s (R25)', async (category, patient, where) => {
  const records = new Set(recordsOf(patient, category))
  const brought = async (released: string[]) => {
    const bundle = await sandbox.search(where, await sandbox.token(patient, 'patient/*.rs', released))
    const ids = (bundle.entry ?? [])
      .filter(({ search }) => search.mode === 'include')
      .map(({ resource }) => resource.id)
    return [...records].filter(({ id }) => ids.includes(id))
  }
  expect((await brought([category])).length).toBeGreaterThan(0)
  expect(await brought(others(category))).toEqual([])
  expect(await brought([])).toEqual([])
})

it('a token whose claim has a wrong form opens nothing at all (R25)', async () => {
  const token = await sandbox.token('maria', 'patient/*.rs', 'hiv' as unknown as string[])
  await sandbox.get('/Patient/maria', token).expect(401)
})

it('a link to the next page goes no further with a token that releases less (R25)', async () => {
  const first = await sandbox.search(
    '/Observation?_count=300',
    await sandbox.token('maria', 'patient/*.rs', categories),
  )
  const last = first.link.find(({ relation }) => relation === 'next')?.url
  const pages = await sandbox.pages('/Observation?_count=20', await sandbox.token('maria'))
  expect(pages.flatMap(idsOf).some((id) => id.includes('private'))).toBe(false)
  expect(first.entry?.some(({ resource }) => isPrivate(resource))).toBe(true)
  if (last) {
    const page = await sandbox.get(last, await sandbox.token('maria'))
    expect(JSON.stringify(page.body)).not.toContain('private')
  }
})
