import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { confidentialApp, exchange, pkce, walkToConsent } from '../support/authorize.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { Visitor } from '../support/visitor.ts'

let server: TestServer
beforeAll(async () => {
  server = await startServer()
})
afterAll(() => server.close())

describe('a delegate who sees on the consent page that it is about somebody else (R32)', () => {
  it('chooses again, and shares the records of the person chosen last', async () => {
    const app = confidentialApp(server.url)
    const { verifier, challenge } = pkce()
    const { visitor, page } = await walkToConsent(app, challenge, { member: 'david', patient: 'Lucy' })
    const [, href] = /<a href="([^"]+\/patient)">/.exec(page.html) ?? []
    const picker = await visitor.open(new URL(href ?? '', page.url).href)
    expect(picker.html, 'the first choice is still marked').toMatch(/value="[^"]+"[^>]*required[^>]*checked/)
    const consent = await visitor.submit(picker, '/patient', { patient: Visitor.choiceNamed(picker, 'Elena') })
    expect(consent.html).toContain('Elena Okafor')
    const done = new URL((await visitor.submit(consent, '/consent')).url)
    const { body } = await exchange(app, done.searchParams.get('code') ?? '', verifier)
    expect(body.patient).toBe('elena')
  })

  it('is not offered to a member with one record of their own', async () => {
    const { page } = await walkToConsent(confidentialApp(server.url), pkce().challenge, { member: 'maria' })
    expect(page.html).toContain('Maria Alvarez')
    expect(page.html).not.toContain('/patient"')
  })

  it('opens nobody who is not theirs, whatever the form says', async () => {
    const app = confidentialApp(server.url)
    const lucy = await walkToConsent(app, pkce().challenge, { member: 'david', patient: 'Lucy' })
    const picker = await lucy.visitor.open(`${lucy.page.url.replace(/\/$/, '')}/patient`)
    const again = await lucy.visitor.submit(picker, '/patient', { patient: '00000000-0000-8000-8000-000000000000' })
    expect(again.status).toBe(400)
    expect(again.html).toContain('Okafor')
  })
})
