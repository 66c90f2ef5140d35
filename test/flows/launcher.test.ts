/** The launcher of a sandbox: a form for developers, behind which a launch is made as by the launch API. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { textOf } from '../support/member-pages.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { Visitor } from '../support/visitor.ts'

let server: TestServer
let place: string

beforeAll(async () => {
  server = await startServer()
  place = `${server.url}/prairie/sandbox/launcher`
})
afterAll(() => server.close())

const press = async (fields: Record<string, string>, visitor = new Visitor()) =>
  visitor.submit(await visitor.open(place), '/launcher', { app: 'demo-public', ...fields })

describe('the launcher', () => {
  it('opens the app’s launch address with iss and launch [SMART app-launch.ehr-launch-url]', async () => {
    const visitor = new Visitor()
    const page = await visitor.open(place)
    const csrf = /name="csrf" value="([^"]+)"/.exec(page.html)?.[1] ?? ''
    const answer = await visitor.send(place, {
      method: 'POST',
      body: new URLSearchParams({ csrf, app: 'demo-public', who: 'maria|maria' }),
      headers: { 'sec-fetch-site': 'same-origin' },
    })
    expect(answer.status).toBe(303)
    const address = new URL(answer.headers.get('location') ?? '')
    expect(`${address.origin}${address.pathname}`).toBe(`${server.url}/prairie/sandbox/demo/launch`)
    expect(address.searchParams.get('iss')).toBe(`${server.url}/prairie/sandbox/fhir`)
    expect(address.searchParams.get('launch')).toMatch(/^[\w-]{43}$/)
  })

  it('gives every launch a value of its own', async () => {
    const values = await Promise.all(
      [1, 2, 3].map(async () => /launch=([\w-]{43})/.exec((await press({ who: 'maria|maria', show: '1' })).html)?.[1]),
    )
    expect(values).not.toContain(undefined)
    expect(new Set(values).size).toBe(3)
  })

  it('offers each person the patients whose records they may open', async () => {
    const { html } = await new Visitor().open(place)
    const offered = [...html.matchAll(/value="([a-z.]+\|[a-z]*)"/g)].map(([, value]) => value)
    expect(offered).toContain('david|lucy')
    expect(offered).toContain('dr.testwell|maria')
    expect(offered).toContain('maria|')
    expect(offered).not.toContain('maria|david')
    expect(offered).not.toContain('dr.testwell|')
  })

  it('shows no visit that is sensitive', async () => {
    expect((await new Visitor().open(place)).html).not.toContain('Follow-up visit')
  })

  it.each([
    ['no app', { app: '', who: 'maria|maria' }, 'Choose an app, or type a client id.'],
    ['no person', { who: '' }, 'Choose a person.'],
    [
      'another person’s visit',
      { who: 'maria|maria', encounter: 'david|david-encounter-1' },
      'This visit is another person’s.',
    ],
    ['no JSON', { who: 'maria|maria', fhirContext: '{' }, 'This is not JSON.'],
    [
      'a context that the API refuses',
      { who: 'maria|maria', fhirContext: '[{"reference":"Patient/david"}]' },
      'fhirContext.0.role',
    ],
    ['a patient who is not theirs', { who: 'maria|david' }, 'patient is none whose record this user may share now'],
    ['a practitioner without a patient', { who: 'dr.testwell|' }, 'patient is required for a practitioner'],
    ['an app that is not there', { other: 'nobody', who: 'maria|maria' }, 'client_id is no app here'],
    ['a backend service', { other: 'demo-service', who: 'maria|maria' }, 'client_id is no app here'],
    ['a person who is not there', { who: 'nobody|maria' }, 'user is not known here'],
  ])('refuses %s, and says so at its field', async (_what, fields, said) => {
    const page = await press(fields)
    expect(page.status).toBe(400)
    expect(textOf(page)).toContain(said)
    expect(page.html).not.toMatch(/launch=[\w-]{43}/)
  })

  it('shows an app without a launch address the two values', async () => {
    const page = await press({ app: '', other: 'demo-confidential', who: 'maria|maria' })
    expect(page.status).toBe(200)
    expect(page.html).toMatch(/id="launch" readonly value="[\w-]{43}"/)
    expect(page.html).toContain(`id="iss" readonly value="${server.url}/prairie/sandbox/fhir"`)
  })

  it('keeps what was typed as text', async () => {
    const page = await press({ who: '', intent: '"><script>alert(1)</script>' })
    expect(page.html).not.toContain('<script>alert')
  })

  it('takes no form of another site’s making', async () => {
    const bare = await new Visitor().send(place, { method: 'POST', body: new URLSearchParams({ who: 'maria|maria' }) })
    expect(bare.status).toBe(403)
    const visitor = new Visitor()
    const csrf = /name="csrf" value="([^"]+)"/.exec((await visitor.open(place)).html)?.[1] ?? ''
    const cross = await visitor.send(place, {
      method: 'POST',
      body: new URLSearchParams({ csrf, app: 'demo-public', who: 'maria|maria' }),
      headers: { 'sec-fetch-site': 'cross-site' },
    })
    expect(cross.status).toBe(403)
  })

  it('is at sandboxes alone', async () => {
    expect((await fetch(`${server.url}/v5/summit/launcher`)).status).toBe(200)
    for (const method of ['GET', 'POST'])
      expect((await fetch(`${server.url}/prairie/production/launcher`, { method })).status).toBe(404)
    expect((await fetch(place, { method: 'PUT' })).status).toBe(405)
  })
})
