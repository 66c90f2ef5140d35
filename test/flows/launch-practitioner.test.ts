/** A practitioner, for whom a launch vouches (SMART "Launch App: EHR Launch"; R32, R33). */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createLog } from '../../src/log.ts'
import { type Database, openDatabase } from '../../src/storage/database.ts'
import { authorizationUrl, demoApp, everythingOn, password, pkce, refresh } from '../support/authorize.ts'
import { launchScope, makeLaunch, tokensAfter, walkLaunched } from '../support/launches.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { formOf, type Page, Visitor } from '../support/visitor.ts'
import { claimsOf, post, resourceServer } from '../support/wire.ts'

let server: TestServer
let database: Database

beforeAll(async () => {
  server = await startServer()
  database = await openDatabase({ ...server.settings.database, log: createLog({ level: 'error' }) })
})
afterAll(async () => {
  await database.close()
  await server.close()
})

const member = 'dr.testwell'
const app = () => demoApp(server.url)
const issuer = () => `${server.url}/prairie/sandbox`
const make = (body: Record<string, unknown>) =>
  makeLaunch(server.url, { client_id: 'demo-public', user: member, patient: 'lucy', ...body })
const introspect = async (token: string) => (await post(`${issuer()}/introspect`, { token }, resourceServer)).body

const walk = async (body: Record<string, unknown> = {}, scope = launchScope, at = app()) => {
  const { verifier, challenge } = pkce()
  const launch = await make({ client_id: at.clientId, ...body })
  return { verifier, ...(await walkLaunched(at, challenge, launch, { member, params: { scope } })) }
}

const allow = async (body: Record<string, unknown> = {}, scope = launchScope) => {
  const { page, visitor, verifier } = await walk(body, scope)
  return tokensAfter(app(), verifier, await visitor.submit(page, '/allow'))
}

const forms = (page: Page, path: string) => {
  const { action, fields } = formOf(page, '/deny')
  return { address: action.replace(/deny$/, path), fields: [...fields] }
}

describe('a practitioner who is launched for a patient', () => {
  it('sees a short page: who they are, the app and who makes it, the patient, what it can read; nothing to untick', async () => {
    const { page } = await walk()
    for (const words of [
      'Dr. Nora Testwell',
      'Prairie Sandbox Viewer',
      'Latchkey demonstrations',
      'Lucy Okafor',
      'Vaccines',
      'For 60 minutes',
    ])
      expect(page.html).toContain(words)
    expect(page.html).not.toMatch(/type="(checkbox|radio)"/)
    expect(page.html).not.toMatch(/href="[^"]*\/patient"/)
  })

  it('allows: the token is of that patient and of the practitioner, and the record can be read [SMART scopes.fhir-user]', async () => {
    const tokens = await allow({ encounter: 'enc-9', intent: 'review' })
    expect(tokens).toMatchObject({ patient: 'lucy', encounter: 'enc-9', intent: 'review' })
    const fhirUser = `${app().fhirBase}/Practitioner/prac-primary`
    expect(claimsOf(tokens.access_token)).toMatchObject({ patient: 'lucy', patient_id: 'lucy', fhirUser })
    expect(claimsOf(tokens.id_token)).toMatchObject({ fhirUser })
    expect(await introspect(tokens.access_token)).toMatchObject({ active: true, patient: 'lucy', fhirUser })
    const headers = { authorization: `Bearer ${tokens.access_token}` }
    expect((await fetch(`${app().fhirBase}/Patient/lucy`, { headers })).status).toBe(200)
    expect((await fetch(`${app().fhirBase}/Patient/maria`, { headers })).status).toBe(403)
  })

  it('never has offline access, and nothing sensitive is released', async () => {
    const tokens = await allow()
    expect(tokens.refresh_token).toBeUndefined()
    expect(tokens.scope).toBe('openid fhirUser launch patient/*.rs')
    expect(claimsOf(tokens.access_token).sensitivities).toBeUndefined()
    expect(tokens.grant_expires_at * 1000).toBeLessThanOrEqual(Date.now() + 60 * 60_000)
  })

  it('with online_access it lasts as long as they are signed in [SMART app-launch.online-access]', async () => {
    const { page, visitor, verifier } = await walk({}, 'openid launch online_access offline_access patient/Patient.rs')
    expect(page.html).toContain('Until you sign out')
    const tokens = await tokensAfter(app(), verifier, await visitor.submit(page, '/allow'))
    expect(tokens.scope).toBe('openid launch online_access patient/Patient.rs')
    const next = (await refresh(app(), tokens.refresh_token)).body
    expect(next).toMatchObject({ patient: 'lucy' })
    const out = await visitor.open(`${issuer()}/sign-out`)
    await visitor.submit(out, '/sign-out')
    const refused = await refresh(app(), next.refresh_token)
    expect(refused.body).toMatchObject({ error: 'invalid_grant', error_subcode: 'session_ended' })
    expect(await introspect(next.access_token)).toEqual({ active: false })
  })

  it('cancels: access_denied, and no grant', async () => {
    const { page, visitor } = await walk()
    const answer = new URL((await visitor.submit(page, '/deny')).url).searchParams
    expect(answer.get('error')).toBe('access_denied')
    expect(answer.get('error_description')).toBe('The practitioner decided against it.')
  })

  it('meets no warning about an app that answered nothing: that is for members (R24)', async () => {
    const { page } = await walk({}, launchScope, demoApp(server.url, 'demo-unanswered'))
    expect(page.url).not.toContain('/warning')
    expect(page.html).toContain('Let Quick Steps Tracker read')
  })

  it('cannot reach the pages of members from there, or another patient', async () => {
    const { page, visitor, verifier } = await walk()
    const maria = await database.db
      .selectFrom('patients')
      .select('id')
      .where('fhir_id', '=', 'maria')
      .where('issuer', '=', 'prairie/sandbox')
      .executeTakeFirstOrThrow()
    for (const path of ['consent', 'consent/language', 'patient', 'warning', 'leave']) {
      const { address, fields } = forms(page, path)
      const body = new URLSearchParams([...fields, ['patient', maria.id], ['type', 'Patient'], ['duration', 'P1Y']])
      const answer = await visitor.open(address, { method: 'POST', body, headers: { 'sec-fetch-site': 'same-origin' } })
      expect(answer.html, path).toContain('Lucy Okafor')
      expect(answer.url, path).not.toContain('code=')
    }
    const again = await visitor.open(page.url)
    const done = await visitor.submit(again, '/allow', { patient: maria.id, sensitive: 'hiv', duration: 'P1Y' })
    const tokens = await tokensAfter(app(), verifier, done)
    expect(tokens).toMatchObject({ patient: 'lucy', scope: 'openid fhirUser launch patient/*.rs' })
  })

  it('decides on what was shown to them only', async () => {
    const { page, visitor } = await walk()
    for (const shown of [null, 'made-up', '\u0000']) {
      const answer = await visitor.submit(page, '/allow', { shown })
      expect(answer.url).not.toContain('code=')
      expect(answer.html).toContain('Lucy Okafor')
    }
  })

  it('two presses at once are one decision', async () => {
    const { page, visitor } = await walk()
    const count = async () => (await database.db.selectFrom('consents').select('id').execute()).length
    const before = await count()
    await Promise.all([visitor.submit(page, '/allow'), visitor.submit(page, '/allow')])
    expect(await count()).toBe(before + 1)
  })
})

describe('a practitioner without a launch for a patient', () => {
  const standalone = async (params: Record<string, string | null> = {}) => {
    const visitor = new Visitor()
    const first = await visitor.open(authorizationUrl(app(), pkce().challenge, params))
    return { visitor, page: await visitor.submit(first, '/sign-in', { username: member, password }) }
  }

  it('is told so in plain words, and no patient is offered', async () => {
    const { page } = await standalone()
    expect(page.html).toContain('Open Prairie Sandbox Viewer from your own system')
    expect(page.html).not.toContain('name="patient"')
    expect(page.html).not.toContain('name="type"')
  })

  it('goes back with access_denied and launch_required', async () => {
    const { page, visitor } = await standalone({ scope: 'openid launch patient/*.rs' })
    const answer = new URL((await visitor.submit(page, '/deny')).url).searchParams
    expect(answer.get('error')).toBe('access_denied')
    expect(answer.get('error_description')).toMatch(/^launch_required: /)
  })

  it('gets nowhere by forms of their own making', async () => {
    const { page, visitor } = await standalone()
    for (const path of ['allow', 'consent', 'patient']) {
      const { address, fields } = forms(page, path)
      const body = new URLSearchParams([...fields, ['patient', 'lucy'], ['type', 'Patient']])
      const answer = await visitor.open(address, { method: 'POST', body, headers: { 'sec-fetch-site': 'same-origin' } })
      expect(answer.url, path).not.toContain('code=')
      expect(answer.html, path).toContain('from your own system')
    }
  })

  it('has nothing on the pages of what members share', async () => {
    const { visitor } = await standalone()
    await allow()
    const page = await visitor.open(`${issuer()}/connections`)
    const list = page.html.includes('name="password"')
      ? await visitor.submit(page, '/sign-in', { username: member, password })
      : page
    expect(list.status).toBe(200)
    expect(list.html).not.toContain('Lucy')
  })
})

describe('what a practitioner did is not what a delegate did', () => {
  it('is not on the page of whoever owns the record (R28, R34)', async () => {
    await allow({ patient: 'maria' })
    const visitor = new Visitor()
    const first = await visitor.open(`${issuer()}/connections`)
    const list = await visitor.submit(first, '/sign-in', { username: 'maria', password })
    expect(list.status).toBe(200)
    expect(list.html).not.toContain('Nora Testwell')
    expect(list.html).not.toContain('Prairie Sandbox Viewer')
  })

  it('ends when the practitioner is locked', async () => {
    const tokens = await allow()
    expect((await introspect(tokens.access_token)).active).toBe(true)
    const set = (status: 'active' | 'locked') =>
      database.db.updateTable('members').set({ status }).where('username', '=', member).execute()
    await set('locked')
    try {
      expect(await introspect(tokens.access_token)).toEqual({ active: false })
    } finally {
      await set('active')
    }
  })

  it('a grant like it, but not vouched for, opens nothing', async () => {
    const tokens = await allow()
    const id = String(claimsOf(tokens.access_token).grant_id)
    expect(await database.db.selectFrom('grants').select('vouched').where('id', '=', id).execute()).toEqual([
      { vouched: 1 },
    ])
    await database.db.updateTable('grants').set({ vouched: null }).where('id', '=', id).execute()
    expect(await introspect(tokens.access_token)).toEqual({ active: false })
  })
})

describe('a member whose right to share ends between launch and decision (R34)', () => {
  const delegation = async (ends: number | null) =>
    database.db
      .updateTable('delegations')
      .set({ ends_at: ends })
      .where('related_person', '=', 'david-elena')
      .where('issuer', '=', 'prairie/sandbox')
      .execute()
  const launched = async () => {
    const launch = await makeLaunch(server.url, { client_id: 'demo-public', user: 'david', patient: 'elena' })
    return { launch, ...pkce() }
  }

  it('before they sign in: a page that says so, and launch_authority for the app', async () => {
    const { launch, challenge } = await launched()
    await delegation(Date.now() - 1000)
    try {
      const { page, visitor } = await walkLaunched(app(), challenge, launch, { member: 'david' })
      expect(page.html).toContain('You cannot share this record')
      expect(page.html).not.toContain('Elena')
      const answer = new URL((await visitor.submit(page, '/deny')).url).searchParams
      expect(answer.get('error')).toBe('access_denied')
      expect(answer.get('error_description')).toMatch(/^launch_authority: /)
    } finally {
      await delegation(null)
    }
  })

  it('while they read the consent page: nothing is shared', async () => {
    const { launch, challenge } = await launched()
    const { page, visitor } = await walkLaunched(app(), challenge, launch, { member: 'david' })
    expect(page.html).toContain('Elena Okafor')
    await delegation(Date.now() - 1000)
    try {
      const answer = await visitor.submit(page, '/consent', everythingOn(page))
      expect(answer.status).toBe(403)
      expect(answer.url).not.toContain('code=')
    } finally {
      await delegation(null)
    }
  })
})
