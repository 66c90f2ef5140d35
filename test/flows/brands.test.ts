/** The user-access brand bundle over HTTP, and how an app that knows a FHIR base finds it (SMART App Launch 2.2, "Brands"). */
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Api, Settings } from '../../src/config/settings.ts'
import { createLog } from '../../src/log.ts'
import { createServer } from '../../src/server.ts'
import { startServer, type TestServer } from '../support/server.ts'

let server: TestServer
const second = (api: Api): Api => ({
  ...api,
  id: 'second',
  name: 'Second API',
  baseUrl: 'https://second.example.org/r4',
  aliases: [],
})
beforeAll(async () => {
  server = await startServer({
    change: ({ plans }) => {
      const production = plans[0]?.environments.find(({ id }) => id === 'prairie/production')
      const [api] = production?.apis ?? []
      if (api) production?.apis.push(second(api))
    },
  })
})
afterAll(() => server.close())

// biome-ignore lint/suspicious/noExplicitAny: a test reads what the wire says
const json = async (path: string): Promise<any> => (await fetch(server.url + path)).json()
const brands = (issuer = '/prairie/sandbox') => json(`${issuer}/brands.json`)
// biome-ignore lint/suspicious/noExplicitAny: a test reads what the wire says
const ofType = (bundle: any, type: string): any[] =>
  bundle.entry
    .map(({ resource }: { resource: object }) => resource)
    .filter((each: { resourceType: string }) => each.resourceType === type)

describe('the bundle', () => {
  it('is FHIR whatever Accept says, for everybody, to be kept for a while', async () => {
    for (const accept of ['text/html', 'application/fhir+xml', '*/*']) {
      const response = await fetch(`${server.url}/prairie/sandbox/brands.json`, { headers: { accept } })
      expect(response.status).toBe(200)
      expect(response.headers.get('content-type')).toMatch(/^application\/fhir\+json/)
      expect(response.headers.get('cache-control')).toBe('public, max-age=300')
      expect(response.headers.get('set-cookie')).toBeNull()
    }
  })

  it('is for scripts of any origin, conditional requests too [SMART brands.cors]', async () => {
    const address = `${server.url}/prairie/sandbox/brands.json`
    const preflight = await fetch(address, {
      method: 'OPTIONS',
      headers: {
        origin: 'https://app.example',
        'access-control-request-method': 'GET',
        'access-control-request-headers': 'if-none-match',
      },
    })
    expect(preflight.status).toBe(204)
    expect(preflight.headers.get('access-control-allow-origin')).toBe('*')
    expect(preflight.headers.get('access-control-allow-headers')).toBe('if-none-match')
    const read = await fetch(address, { headers: { origin: 'https://app.example' } })
    expect(read.headers.get('access-control-allow-origin')).toBe('*')
    expect(read.headers.get('access-control-expose-headers')).toBe('ETag')
  })

  it('has a weak ETag, and is not sent to whoever has it [SMART brands.etag]', async () => {
    const address = `${server.url}/prairie/sandbox/brands.json`
    const etag = (await fetch(address)).headers.get('etag') ?? ''
    expect(etag).toMatch(/^W\/"[\w-]{22}"$/)
    for (const known of [etag, `"other", ${etag}`, '*']) {
      const again = await fetch(address, { headers: { 'if-none-match': known } })
      expect(again.status).toBe(304)
      expect(again.headers.get('etag')).toBe(etag)
      expect(again.headers.get('access-control-allow-origin')).toBe('*')
      expect(await again.text()).toBe('')
    }
    expect((await fetch(address, { headers: { 'if-none-match': 'W/"other"' } })).status).toBe(200)
    expect((await fetch(address, { method: 'HEAD' })).headers.get('etag')).toBe(etag)
    expect((await fetch(address, { method: 'POST' })).status).toBe(405)
  })

  it('names the endpoints of its own sort: members who look for their plan are not offered the sandbox', async () => {
    const [sandbox, production] = [await brands(), await brands('/prairie/production')]
    expect(ofType(sandbox, 'Endpoint')).toMatchObject([
      { address: `${server.url}/prairie/sandbox/fhir`, status: 'test' },
    ])
    expect(ofType(production, 'Endpoint')).toMatchObject([
      { address: 'https://fhir.prairie.example/r4', status: 'active' },
      { address: 'https://second.example.org/r4', status: 'active' },
    ])
    expect(ofType(production, 'Organization')).toMatchObject([{ name: 'Prairie Health Plan', alias: ['Prairie'] }])
  })

  it('says since when it says so: the same after another start, later when the plan says something else [SMART brands.timestamp]', async () => {
    const before = await brands()
    expect(Date.parse(before.timestamp)).toBeLessThanOrEqual(Date.now())
    const log = createLog({ level: 'error' })
    const day = 86_400_000
    const startAgain = async (change: (settings: Settings) => void) => {
      const folder = join(server.folder, 'copy.db')
      const settings = structuredClone(server.settings)
      settings.database.url = `sqlite:${folder}`
      settings.recovery.endingsLog = null
      change(settings)
      const again = await createServer({ settings, log, now: () => Date.now() + day })
      await again.close()
      const db = new DatabaseSync(folder, { readOnly: true })
      const row = db.prepare("select hash, changed_at from brands where issuer = 'prairie/sandbox'").get()
      db.close()
      return row
    }
    const first = await startAgain(() => undefined)
    expect(await startAgain(() => undefined)).toEqual(first)
    const renamed = await startAgain(({ plans }) => {
      if (plans[0]) plans[0].userAccessBrand.aliases = ['Prairie', 'PHP']
    })
    expect(renamed?.hash).not.toBe(first?.hash)
    expect(Number(renamed?.changed_at)).toBeGreaterThanOrEqual(Number(first?.changed_at))
  })
})

describe('the SMART configuration', () => {
  it.each(['/prairie/sandbox', '/prairie/sandbox/fhir', '/prairie/production', '/v5/summit/fhir'])(
    '%s leads to the bundle, and to exactly one brand in it [SMART brands.identifier]',
    async (base) => {
      const configuration = await json(`${base}/.well-known/smart-configuration`)
      const { user_access_brand_bundle: address, user_access_brand_identifier: wanted } = configuration
      expect(wanted.value).toBeTruthy()
      expect(wanted.system).toBe('urn:ietf:rfc:3986')
      const bundle = await (await fetch(address)).json()
      const found = ofType(bundle, 'Organization').filter(({ identifier }) =>
        identifier.some(
          ({ system, value }: { system: string; value: string }) => system === wanted.system && value === wanted.value,
        ),
      )
      expect(found).toHaveLength(1)
    },
  )

  it('names the other APIs of its issuer, each with what it can [SMART discovery.associated-endpoints]', async () => {
    const issuer = await json('/prairie/production/.well-known/smart-configuration')
    expect(issuer.associated_endpoints.map(({ url }: { url: string }) => url)).toEqual([
      'https://fhir.prairie.example/r4',
      'https://second.example.org/r4',
    ])
    for (const { capabilities } of issuer.associated_endpoints) expect(capabilities).toContain('launch-standalone')
    expect(await json('/prairie/sandbox/.well-known/smart-configuration')).not.toHaveProperty('associated_endpoints')
  })
})
