/** The member's own pages: what is shared, and what stopping, narrowing and extending do to an app's tokens (R8, R9, R11, R28, R34). */
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { sha256 } from '../../src/secrets.ts'
import { visibleText } from '../../src/web/visible-text.ts'
import { type App, confidentialApp, demoApp, obtainTokens, refresh } from '../support/authorize.ts'
import { connectionLinks, textOf, visitPages } from '../support/member-pages.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { formOf, type Page, type Visitor } from '../support/visitor.ts'
import { claimsOf } from '../support/wire.ts'

let server: TestServer
/** So far the server's clock is ahead. */
let ahead = 0
const day = 86_400_000

beforeAll(async () => {
  server = await startServer({
    now: () => Date.now() + ahead,
    change: (settings) => {
      const members = settings.plans[0]?.environments[0]?.demonstration?.members ?? []
      const [maria] = members
      if (!maria) throw new Error('no demonstration')
      // Whose record David shares, as a member of her own; and strangers, one for each story.
      const elena = { fhirId: 'elena', name: 'Elena Okafor', birthDate: null, coverageLabel: null }
      members.push({ ...maria, username: 'elena', name: 'Elena Okafor', patients: [elena], delegations: [] })
      for (const name of ['ann', 'bea', 'cleo', 'dora', 'eve', 'fay', 'gia', 'hana', 'ida', 'joan'])
        members.push({
          ...maria,
          username: name,
          name: `${name} Example`,
          patients: [{ fhirId: name, name: `${name} Example`, birthDate: null, coverageLabel: null }],
          delegations: [],
        })
    },
  })
})
afterAll(() => server.close())

const app = () => demoApp(server.url)
const other = () => confidentialApp(server.url)

const active = async (token: string): Promise<boolean> => {
  const { body } = await introspect(token)
  return body.active
}
const introspect = async (token: string) => {
  const response = await fetch(`${app().issuer}/introspect`, {
    method: 'POST',
    body: new URLSearchParams({ token }),
    headers: { authorization: `Basic ${btoa('demo-resource-server:demo-resource-server-secret')}` },
  })
  // biome-ignore lint/suspicious/noExplicitAny: a test reads what the wire says
  return { status: response.status, body: (await response.json()) as any }
}

const shareAs = async (member: string, which: App = app(), patient?: string) => {
  const tokens = await obtainTokens(which, { member, ...(patient ? { patient } : {}) })
  const { visitor, page } = await visitPages(which.issuer, member)
  const [link = ''] = connectionLinks(page)
  return { tokens, visitor, page, link }
}

describe('the list (R28)', () => {
  it('is reached by signing in, and says what is shared with whom, by whom, since when and until when [ASVS 10.7.3]', async () => {
    const { page } = await shareAs('ann')
    const text = textOf(page)
    expect(text).toContain('Prairie Sandbox Viewer')
    expect(text).toContain('Made by Latchkey demonstrations')
    expect(text).toMatch(/Your own records/)
    expect(text).toMatch(/Can read .*Claims and costs, .*Medicines/)
    expect(text).toMatch(/Approved by You Connected on \w+ \d+, \d{4} Last used \w+ \d+, \d{4} Ends on \w+ \d+, \d{4}/)
    expect(text).toMatch(/Stop sharing/)
    expect(page.html).toContain('/sign-out')
    expect(page.html).toContain('tel:')
  })

  it('says that nothing is shared', async () => {
    const { page } = await visitPages(app().issuer, 'joan')
    expect(textOf(page)).toContain('No app can get your health records')
    expect(connectionLinks(page)).toEqual([])
  })

  it('groups by person, the own record first, and shows a member what their delegate shared', async () => {
    await obtainTokens(app(), { member: 'david', patient: 'Elena' })
    await obtainTokens(app(), { member: 'david', patient: 'Lucy' })
    await obtainTokens(app(), { member: 'david', patient: 'David' })
    const david = textOf((await visitPages(app().issuer, 'david')).page)
    expect(david).toMatch(/Your own records.*Records of Elena Okafor.*Records of Lucy Okafor/)
    const { page } = await visitPages(app().issuer, 'elena')
    expect(textOf(page)).toContain('David Okafor, who acts for you')
    expect(textOf(page)).not.toContain('Lucy')
    expect(connectionLinks(page)).toHaveLength(1)
  })

  it('is in the language of the member', async () => {
    const { visitor } = await shareAs('ann')
    const page = await visitor.open(`${app().issuer}/connections?lang=es`)
    expect(textOf(page)).toMatch(/Aplicaciones conectadas.*Dejar de compartir/)
  })
})

describe('stopping (R11)', () => {
  it('ends refresh and introspection at once, and says what it means [ASVS 10.4.9, 10.7.3]', async () => {
    const { tokens, visitor, page, link } = await shareAs('bea')
    expect(await active(tokens.access_token)).toBe(true)
    const done = await visitor.submit(page, '/end')
    expect(done.url).toBe(link)
    expect(textOf(done)).toMatch(
      /Sharing with Prairie Sandbox Viewer has ended.*gets no new records.*may keep the records/,
    )
    expect(await active(tokens.access_token)).toBe(false)
    expect(await active(tokens.refresh_token)).toBe(false)
    const refused = await refresh(app(), tokens.refresh_token)
    expect(refused.status).toBe(400)
    expect(refused.body).toMatchObject({ error: 'invalid_grant', error_subcode: 'revoked_by_member' })
    const list = await visitor.open(`${app().issuer}/connections`)
    expect(textOf(list)).toMatch(/No longer connected Prairie Sandbox Viewer Sharing was stopped\. \w+ \d+, \d{4}/)
  })

  it('pressed twice it ends once, and both lead to the page that says so', async () => {
    const { visitor, page, link } = await shareAs('bea')
    const [one, two] = await Promise.all([visitor.submit(page, '/end'), visitor.submit(page, '/end')])
    for (const done of [one, two]) {
      expect(done.status).toBe(200)
      expect(done.url).toBe(link)
    }
    // Once beside what it means, and once in the history.
    expect(textOf(two).match(/You stopped sharing with/g)).toHaveLength(2)
  })

  it('another app goes on', async () => {
    const mine = await obtainTokens(other(), { member: 'bea' })
    const { tokens, visitor, page } = await shareAs('bea')
    expect(connectionLinks(page).length).toBeGreaterThan(1)
    const [first] = connectionLinks(page)
    await visitor.submit(page, `${new URL(first ?? '').pathname}/end`)
    expect(await active(tokens.access_token)).toBe(false)
    expect(await active(mine.access_token)).toBe(true)
  })

  it('whose record it is ends what a delegate shared, and can do no more with it (R34)', async () => {
    const tokens = await obtainTokens(other(), { member: 'david', patient: 'Elena' })
    const { visitor, page } = await visitPages(app().issuer, 'elena')
    const link = connectionLinks(page).find((href) => page.html.includes(`${new URL(href).pathname}/end`)) ?? ''
    expect(page.html).not.toContain('/narrow')
    expect(page.html).not.toContain('/extend')
    for (const path of ['/narrow', '/extend']) expect((await visitor.open(link + path)).status).toBe(404)
    for (const href of connectionLinks(page)) {
      const detail = await visitor.open(href)
      if (detail.html.includes('/end"')) await visitor.submit(detail, '/end')
    }
    expect((await refresh(other(), tokens.refresh_token)).body.error_subcode).toBe('revoked_by_member')
    const david = await visitPages(app().issuer, 'david')
    const seen = await david.visitor.open(link)
    expect(textOf(seen), 'whoever approved is told who ended it').toContain('Elena Okafor stopped sharing')
  })
})

describe('sharing less (R22)', () => {
  const uncheck = async (visitor: Visitor, link: string, without: (value: string) => boolean): Promise<Page> => {
    const page = await visitor.open(`${link}/narrow`)
    const { fields } = formOf(page, '/narrow')
    const left = (name: string) => fields.getAll(name).filter((value) => !without(value))
    return visitor.submit(page, '/narrow', { type: left('type'), category: left('category') })
  }

  it('takes types and categories away from the tokens, and the app does nothing [ASVS 10.7.3]', async () => {
    const { tokens, visitor, link } = await shareAs('cleo')
    const done = await uncheck(visitor, link, (value) =>
      ['MedicationRequest', 'Observation/laboratory'].includes(value),
    )
    expect(textOf(done)).toContain('Saved. You now share less.')
    expect(textOf(done)).toMatch(/Test results and measurements Only: (?!.*Lab tests.*Test reports)/)
    expect(await active(tokens.access_token), 'a token that says too much').toBe(false)
    const next = await refresh(app(), tokens.refresh_token)
    expect(next.status).toBe(200)
    expect(next.body.scope).not.toMatch(/MedicationRequest|patient\/\*|\|laboratory/)
    expect(next.body.scope).toMatch(/patient\/MedicationDispense\.rs/)
    expect(next.body.scope).toMatch(/\|vital-signs/)
    expect(claimsOf(next.body.access_token)).toMatchObject({ scope: next.body.scope, grant_revision: 1 })
    expect(await active(next.body.access_token)).toBe(true)
  })

  it('takes a category away that an app named itself, however long its name is', async () => {
    const long = `urn:of-the-app|${'x'.repeat(300)}`
    const scope = `launch/patient offline_access patient/Observation.rs?category=${long} patient/Observation.rs?category=laboratory`
    const tokens = await obtainTokens(other(), { member: 'maria', params: { scope } })
    expect(tokens.scope).toContain(long)
    const { visitor, page } = await visitPages(app().issuer, 'maria')
    const [link = ''] = connectionLinks(page)
    const done = await uncheck(visitor, link, (value) => value === 'Observation/laboratory')
    expect(textOf(done)).toContain('Saved. You now share less.')
    const { body } = await refresh(other(), tokens.refresh_token)
    expect(body.scope).toContain(long)
    expect(body.scope).not.toContain('laboratory')
  })

  it('shows what is left, and never offers more', async () => {
    const { visitor, page } = await visitPages(app().issuer, 'cleo')
    const narrow = await visitor.open(`${connectionLinks(page)[0]}/narrow`)
    expect(narrow.html).not.toContain('value="MedicationRequest"')
    expect(narrow.html).not.toContain('value="Observation/laboratory"')
    expect(textOf(narrow)).toContain('Here you can only take away.')
  })

  it('what is added to the form by hand is not granted', async () => {
    const { tokens, visitor, link } = await shareAs('dora')
    await uncheck(visitor, link, (value) => value === 'Coverage' || value === 'Condition/health-concern')
    const page = await visitor.open(`${link}/narrow`)
    const { fields } = formOf(page, '/narrow')
    await visitor.submit(page, '/narrow', {
      type: [...fields.getAll('type'), 'Coverage', '*', 'Binary', 'patient/*.cruds'].filter((type) => type !== 'Goal'),
      category: [...fields.getAll('category'), 'Condition/health-concern', 'Coverage/x', '__proto__/x'],
      sensitive: ['substance-use', 'hiv', '*'],
      scope: 'patient/*.cruds',
      sensitivities: 'hiv',
    })
    const { body } = await refresh(app(), tokens.refresh_token)
    expect(body.scope).not.toMatch(/Coverage|health-concern|\*|Binary|Goal|sensitive/)
    expect(claimsOf(body.access_token)).not.toHaveProperty('sensitivities')
  })

  it('keeps what the page said with the change: the hash of its text, its language, its version (R35)', async () => {
    const { visitor, link } = await shareAs('dora')
    const page = await visitor.open(`${link}/narrow?lang=es`)
    await visitor.submit(page, '/narrow', { type: ['Patient'], category: null })
    const database = new DatabaseSync(join(server.folder, 'latchkey.db'), { readOnly: true })
    const row = database.prepare('select * from connection_changes order by changed_at desc limit 1').get()
    database.close()
    expect(row).toMatchObject({ kind: 'narrowed', text_hash: sha256(visibleText(page.html)), language: 'es' })
    expect(row?.text_version).toMatch(/^\d+\.\d+\.\d+\+es\./)
    // Of the server that showed it: beside another release, who receives the form has other words.
    expect(formOf(page, '/narrow').fields.get('said')).toContain(` ${row?.text_version}`)
    const again = await visitor.open(`${link}/narrow`)
    expect((await visitor.submit(again, '/narrow', { said: 'another-hash en 0.0.0' })).status).toBe(403)
    await visitor.open(`${link}/narrow?lang=en`)
  })

  it('takes a kind of sensitive records back, and nothing else; what was not released cannot be added (R25)', async () => {
    const [released = '', other = '', never = ''] = (server.settings.plans[0]?.sensitiveCategories ?? [])
      .filter(({ scope }) => scope === null)
      .map(({ code }) => code)
    const tokens = await obtainTokens(app(), { member: 'joan', consent: { sensitive: [released, other] } })
    expect(claimsOf(tokens.access_token).sensitivities).toEqual([released, other])
    const { visitor, page } = await visitPages(app().issuer, 'joan')
    const [link = ''] = connectionLinks(page)
    const form = await visitor.open(`${link}/narrow`)
    expect(formOf(form, '/narrow').fields.getAll('sensitive')).toEqual([released, other])
    await visitor.submit(form, '/narrow', { sensitive: [other, ...(never ? [never] : [])] })
    expect(await active(tokens.access_token)).toBe(false)
    const { body } = await refresh(app(), tokens.refresh_token)
    expect(body.scope).toBe(tokens.scope)
    expect(claimsOf(body.access_token).sensitivities).toEqual([other])
    const receipt = await visitor.open(`${link}/receipt.json`)
    const { provision } = JSON.parse(receipt.html).provision
    const labelled = (type: string) =>
      provision.filter((each: { type: string }) => each.type === type && 'securityLabel' in each)
    expect(labelled('permit')).toHaveLength(1)
    expect(labelled('deny').length).toBeGreaterThan(0)
  })

  it('with every box as it was nothing is changed', async () => {
    const { tokens, visitor, link } = await shareAs('eve')
    const done = await visitor.submit(await visitor.open(`${link}/narrow`), '/narrow')
    expect(done.url).toBe(link)
    expect(await active(tokens.access_token)).toBe(true)
    expect((await refresh(app(), tokens.refresh_token)).body.scope).toBe(tokens.scope)
  })

  it('with nothing left it ends', async () => {
    const { tokens, visitor, link } = await shareAs('eve')
    const page = await visitor.open(`${link}/narrow`)
    const done = await visitor.submit(page, '/narrow', { type: null, category: null })
    expect(textOf(done)).toContain('has ended')
    expect((await refresh(app(), tokens.refresh_token)).body.error_subcode).toBe('revoked_by_member')
  })

  it('a form that was made for something else changes nothing, and shows how it stands (R29)', async () => {
    const { visitor, link } = await shareAs('fay')
    const old = await visitor.open(`${link}/narrow`)
    await uncheck(visitor, link, (value) => value === 'Goal')
    const stale = await visitor.submit(old, '/narrow', { type: ['Patient'], category: null })
    expect(stale.status).toBe(409)
    expect(textOf(stale)).toContain('This is how it stands now.')
    expect(formOf(stale, '/narrow').fields.getAll('type')).toContain('Coverage')
    expect(textOf(await visitor.open(link))).toContain('Health coverage')
  })

  it('a form for one that has ended meanwhile says so, calmly', async () => {
    const { visitor, link } = await shareAs('fay')
    const [narrow, extend] = [await visitor.open(`${link}/narrow`), await visitor.open(`${link}/extend`)]
    await visitor.submit(await visitor.open(link), '/end')
    for (const late of [await visitor.submit(narrow, '/narrow'), await visitor.submit(extend, '/extend')]) {
      expect(late.status).toBe(409)
      expect(textOf(late)).toMatch(/has ended .*Nothing more was changed/)
    }
    for (const path of ['/narrow', '/extend']) expect((await visitor.open(link + path)).url).toBe(link)
  })
})

describe('sharing longer (R8)', () => {
  it('moves the end; the tokens go on, and the app does nothing [ASVS 10.7.3]', async () => {
    const tokens = await obtainTokens(app(), { member: 'gia', consent: { duration: 'P3M' } })
    const first = (await introspect(tokens.access_token)).body.grant_expires_at
    const { visitor, page } = await visitPages(app().issuer, 'gia')
    const [link = ''] = connectionLinks(page)
    const form = await visitor.open(`${link}/extend`)
    const done = await visitor.submit(form, '/extend', { duration: 'P1Y' })
    expect(textOf(done)).toContain('Saved. The new end date counts from now on.')
    expect(textOf(done)).toMatch(/You chose to share longer, until/)
    expect(await active(tokens.access_token), 'nothing was taken away').toBe(true)
    const next = await refresh(app(), tokens.refresh_token)
    expect(next.status).toBe(200)
    expect(next.body.scope).toBe(tokens.scope)
    const moved = (next.body.grant_expires_at - first) / 86_400
    expect(moved).toBeGreaterThan(270)
    expect((await introspect(next.body.access_token)).body.grant_expires_at).toBe(next.body.grant_expires_at)
    const again = await visitor.submit(form, '/extend', { duration: 'P1Y' })
    expect(again.url, 'pressed twice').toBe(done.url)
    expect((await introspect(next.body.access_token)).body.grant_expires_at).toBe(next.body.grant_expires_at)
  })

  it('until a day of the member’s choice, which ends in the plan’s time zone', async () => {
    const tokens = await obtainTokens(app(), { member: 'hana', consent: { duration: 'P3M' } })
    const { visitor, page } = await visitPages(app().issuer, 'hana')
    const until = new Date(Date.now() + 200 * day).toISOString().slice(0, 10)
    const form = await visitor.open(`${connectionLinks(page)[0]}/extend`)
    // As people write it where there is no calendar.
    const [year, month, date] = until.split('-')
    const written = `${month}/${date}/${year}`
    expect((await visitor.submit(form, '/extend', { duration: 'date', until: written })).status).toBe(200)
    const end = new Date((await introspect(tokens.access_token)).body.grant_expires_at * 1000)
    const told = end.toLocaleString('sv', { timeZone: 'America/Chicago' })
    expect(told).toMatch(new RegExp(`^${until} 23:59`))
  })

  it.each([
    { duration: '', until: '' },
    { duration: 'P99Y', until: '' },
    { duration: 'once', until: '' },
    { duration: 'date', until: '' },
    { duration: 'date', until: '2020-01-01' },
    { duration: 'date', until: '9999-12-31' },
    { duration: 'date', until: '2027-02-31' },
    { duration: 'date', until: "' or 1=1 --" },
    { duration: '__proto__', until: '' },
  ])('never by $duration $until', async (asked) => {
    const tokens = await obtainTokens(app(), { member: 'hana', consent: { duration: 'P3M' } })
    const before = (await introspect(tokens.access_token)).body.grant_expires_at
    const { visitor, page } = await visitPages(app().issuer, 'hana')
    const form = await visitor.open(`${connectionLinks(page)[0]}/extend`)
    const answer = await visitor.submit(form, '/extend', asked)
    expect(answer.status).toBe(400)
    expect(answer.html).toContain('role="alert"')
    expect((await introspect(tokens.access_token)).body.grant_expires_at).toBe(before)
  })

  it('the day from which it counts is not to be moved by hand', async () => {
    const { visitor, link } = await shareAs('hana')
    const form = await visitor.open(`${link}/extend`)
    const moved = await visitor.submit(form, '/extend', { duration: 'P1Y', shown: String(Date.now() + 900 * day) })
    expect(moved.status).toBe(403)
  })

  it('never past the end of the authority to act (R34), and not what is shared once', async () => {
    const once = await obtainTokens(app(), { member: 'ida', consent: { duration: 'once' } })
    expect(once.refresh_token).toBeUndefined()
    const { visitor, page } = await visitPages(app().issuer, 'ida')
    const [link = ''] = connectionLinks(page)
    expect(page.html).not.toContain('/extend')
    expect((await visitor.open(`${link}/extend`)).url).toBe(link)
  })

  it('comes before the end: afterwards there is nothing to extend', async () => {
    const tokens = await obtainTokens(app(), { member: 'ida', consent: { duration: 'P3M' } })
    const before = await visitPages(app().issuer, 'ida')
    const [link = ''] = connectionLinks(before.page)
    ahead = 100 * day
    try {
      const { visitor } = await visitPages(app().issuer, 'ida')
      expect(textOf(await visitor.open(link))).toMatch(/has ended.*The end date came\./)
      expect((await visitor.open(`${link}/extend`)).url).toBe(link)
      expect((await refresh(app(), tokens.refresh_token)).body.error).toBe('invalid_grant')
    } finally {
      ahead = 0
    }
  })
})
