import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { allTypes, isPrivate, ownOf, people, type Sandbox, startSandbox } from './world.ts'

let sandbox: Sandbox
let maria: string
beforeAll(async () => {
  sandbox = await startSandbox()
  maria = await sandbox.token('maria')
})
afterAll(() => sandbox.close())

describe('reading one resource', () => {
  it.each(allTypes)('gives a %s that the token allows, whole', async (type) => {
    const [first] = [...ownOf('maria', type), ...people.filter((r) => r.resourceType === type)]
    const response = await sandbox.get(`/${type}/${first?.id}`, maria).expect(200)
    expect(response.body).toEqual(first)
    expect(response.headers.etag).toBe('W/"1"')
    expect(Date.parse(response.headers['last-modified'] ?? '')).toBe(Date.parse(first?.meta.lastUpdated ?? ''))
  })

  it('answers 304 to a client that has this version', async () => {
    const response = await sandbox.get('/Patient/maria', maria).set('If-None-Match', 'W/"1"').expect(304)
    expect(response.text).toBeFalsy()
    await sandbox.get('/Patient/maria', maria).set('If-None-Match', 'W/"0"').expect(200)
  })

  it('shapes it by _summary and _pretty', async () => {
    const whole = (await sandbox.get('/Patient/maria', maria)).body
    const data = (await sandbox.get('/Patient/maria?_summary=data', maria)).body
    expect(data.text).toBeUndefined()
    expect(data.address).toEqual(whole.address)
    const text = (await sandbox.get('/Coverage/maria-coverage-1?_summary=text', maria)).body
    expect(Object.keys(text).sort()).toEqual(['beneficiary', 'id', 'meta', 'payor', 'resourceType', 'status', 'text'])
    const short = (await sandbox.get('/Patient/maria?_summary=true', maria)).body
    expect(short.name).toEqual(whole.name)
    expect(short.communication).toBeUndefined()
    expect(short.meta.tag).toContainEqual(expect.objectContaining({ code: 'SUBSETTED' }))
    await sandbox.get('/Patient/maria?_summary=count', maria).expect(400)
    await sandbox.get('/Patient/maria?_summary=nonsense', maria).expect(400)
    expect((await sandbox.get('/Patient/maria?_pretty=true', maria)).text).toContain('\n')
  })

  it('answers the same for what is missing, foreign or withheld, but for the id (R25)', async () => {
    const withheld = people.filter((r) => isPrivate(r) && r.id.startsWith('maria-'))
    const foreign = people
      .filter((r) => r.id.startsWith('elena-') || r.id.startsWith('lucy-'))
      .filter((_, index) => index % 12 === 0)
    expect(withheld.length).toBeGreaterThan(40)
    const missing = await sandbox.get('/Observation/maria-lab-99999', maria).expect(404)
    for (const { resourceType, id } of [...withheld, ...foreign]) {
      const response = await sandbox.get(`/${resourceType}/${id}`, maria)
      expect(response.status, `${resourceType}/${id}`).toBe(404)
      expect(response.text.replaceAll(`${resourceType}/${id}`, 'X')).toBe(
        missing.text.replaceAll('Observation/maria-lab-99999', 'X'),
      )
      expect(response.headers.etag).toBeUndefined()
    }
  }, 60_000)

  it('answers the same for another patient whether or not there is one', async () => {
    const other = await sandbox.get('/Patient/elena', maria).expect(403)
    const nobody = await sandbox.get('/Patient/nobody', maria).expect(403)
    expect(other.text).toBe(nobody.text)
    expect(other.headers['www-authenticate']).toBe(nobody.headers['www-authenticate'])
  })

  it('keeps to the categories of the token: others are as if they were not there (R22)', async () => {
    const vitals =
      'patient/Observation.rs?category=http://terminology.hl7.org/CodeSystem/observation-category|vital-signs'
    const token = await sandbox.token('maria', vitals)
    await sandbox.get('/Observation/maria-vital-1', token).expect(200)
    await sandbox.get('/Observation/maria-lab-1', token).expect(404)
    await sandbox.get('/Condition/maria-problem-1', token).expect(403)
  })
})
