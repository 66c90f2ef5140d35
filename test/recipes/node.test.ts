/** Express, koa and Fastify, with the library and with jose alone: the text of docs/connecting.md, run (R42). */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { freePort } from '../support/port.ts'
import { answers, codeBelow, folderOf, type Issuing, type Program, start, startIssuing } from './recipe.ts'

let issuing: Issuing
beforeAll(async () => {
  issuing = await startIssuing()
})
afterAll(() => issuing.server.close())

/** The data layer of the recipes. */
const data = `
export const issuer = process.env.ISSUER
export const baseUrl = process.env.BASE
const resources = ['maria', 'david'].map((id) => ({ resourceType: 'Patient', id }))
export const read = async (type, id) => resources.find((one) => one.resourceType === type && one.id === id)
export const find = async (asked) => resources.filter(({ resourceType, id }) => resourceType === asked.resource && (!asked.id || id === asked.id))
`
const [onExpress = '', onKoa = '', onFastify = ''] = codeBelow('jose alone', 'js').slice(1)
const withJose = { 'jose.js': codeBelow('jose alone', 'js')[0] ?? '', 'fhir.js': data }
const listen = (file: string) => `import { app } from './${file}'\nawait app.listen(Number(process.env.PORT))\n`
const listenFastify = (file: string) =>
  `import { app } from './${file}'\nawait app.listen({ port: Number(process.env.PORT) })\n`
const withLibrary = (heading: string) => ({
  'app.ts': codeBelow(heading, 'ts')[0] ?? '',
  'fhir.ts': data
    .replace('(type, id)', '(type: string, id: string)')
    .replace('(asked)', '(asked: { resource?: string; id?: string })'),
})

const recipes: [string, Record<string, string>][] = [
  ['Express 5 with the library', { ...withLibrary('Express'), 'main.ts': listen('app.ts') }],
  ['koa with the library', { ...withLibrary('Koa'), 'main.ts': listen('app.ts') }],
  ['Fastify 5 with the library', { ...withLibrary('Fastify'), 'main.ts': listenFastify('app.ts') }],
  ['Express 5 with jose alone', { ...withJose, 'app.js': onExpress, 'main.ts': listen('app.js') }],
  ['koa with jose alone', { ...withJose, 'app.js': onKoa, 'main.ts': listen('app.js') }],
  ['Fastify 5 with jose alone', { ...withJose, 'app.js': onFastify, 'main.ts': listenFastify('app.js') }],
]

describe.each(recipes)('the recipe for %s (R42)', (name, files) => {
  const running: Program[] = []
  const { folder, remove } = folderOf(files)
  afterAll(async () => {
    for (const program of running) await program.stop()
    remove()
  })

  /** Starts the recipe as the API with this base, at this issuer; answers requests to it. */
  const startApi = async (base: string, issuer = issuing.app.issuer) => {
    const port = await freePort()
    const env = { ...process.env, NODE_OPTIONS: '', PORT: String(port), ISSUER: issuer, BASE: base }
    running.push(await start(process.execPath, ['main.ts'], { cwd: folder, env }, answers(`http://localhost:${port}/`)))
    return (id: string, authorization?: string) =>
      fetch(`http://localhost:${port}${new URL(base).pathname}/Patient/${id}`, {
        headers: authorization ? { authorization } : {},
      })
  }
  let get: Awaited<ReturnType<typeof startApi>>
  beforeAll(async () => {
    get = await startApi(issuing.app.fhirBase)
  })

  it('takes a good token, and shows the patient of it', async () => {
    const response = await get('maria', `Bearer ${issuing.good}`)
    expect([response.status, await response.text()]).toEqual([200, expect.stringContaining('"maria"')])
  })

  it('refuses a request without one, or in another scheme [SMART app-launch.rs-validates]', async () => {
    for (const header of [undefined, `Basic ${issuing.good}`, issuing.good, `DPoP ${issuing.good}`]) {
      const response = await get('maria', header)
      expect(response.status).toBe(401)
      expect(response.headers.get('www-authenticate')).toMatch(/^Bearer/)
    }
  })

  it('refuses every wrong one, and says nothing of anybody [SMART app-launch.rs-validates]', async () => {
    for (const [what, token] of issuing.wrong) {
      const response = await get('maria', `Bearer ${token}`)
      expect([400, 401], what).toContain(response.status)
      expect(await response.text(), what).not.toContain('"Patient"')
    }
  })

  it('opens nothing of another patient, and nothing that no scope opens [SMART app-launch.rs-validates]', async () => {
    for (const [id, token] of [
      ['david', issuing.good],
      ['maria', issuing.others],
      ['maria', issuing.narrow],
    ] as const) {
      const response = await get(id, `Bearer ${token}`)
      expect(response.status).toBe(403)
      expect(response.headers.get('www-authenticate')).toContain('insufficient_scope')
    }
  })

  it('takes no token that is meant for another API [SMART app-launch.rs-aud]', async () => {
    const elsewhere = await startApi(`${issuing.app.fhirBase}/other`)
    expect((await elsewhere('maria', `Bearer ${issuing.good}`)).status).toBe(401)
  })

  if (name.includes('jose'))
    it('blames nobody where the keys cannot be had: 503, and never 401 (R43)', async () => {
      const cut = await startApi(issuing.app.fhirBase, 'http://127.0.0.1:9/prairie/sandbox')
      const response = await cut('maria', `Bearer ${issuing.good}`)
      expect(response.status).toBe(503)
      expect(response.headers.get('retry-after')).toBe('5')
    })
})
