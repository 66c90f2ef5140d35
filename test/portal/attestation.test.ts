/** What the people behind apps answer, which answer counts, and which apps may stand in another's place (R18, R24). */
import type { Insertable } from 'kysely'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { InputFaults } from '../../src/errors.ts'
import { createAttestations, type Said } from '../../src/portal/attestation.ts'
import { answersOf, parseAnswers } from '../../src/portal/attestation-questions.ts'
import { newId } from '../../src/secrets.ts'
import type { AttestationRow, CredentialRow } from '../../src/storage/tables.ts'
import { createI18n } from '../../src/web/i18n.ts'
import { createWorld, DAY, ISSUER, OTHER_ISSUER, type World } from '../members/world.ts'

const good = {
  sold: 'never',
  shared: 'service',
  used: 'service',
  consent: 'yes',
  device: 'no',
  kept: 'united-states',
  deleted: 'request',
  policy: 'yes',
  policyUrl: 'https://app.example.org/privacy',
  stop: 'Choose Leave in the settings.',
}
const faultsOf = (given: unknown): string[] => {
  try {
    parseAnswers(given)
    return []
  } catch (error) {
    if (!(error instanceof InputFaults)) throw error
    return error.faults.map(({ path, message }) => `${path}: ${message}`)
  }
}
const without = (name: keyof typeof good) => Object.fromEntries(Object.entries(good).filter(([key]) => key !== name))

describe('the questionnaire (R18)', () => {
  it('takes whole answers, in the order of the questions', () => {
    expect(parseAnswers(Object.fromEntries(Object.entries(good).reverse()))).toEqual(good)
    expect(Object.keys(parseAnswers(Object.fromEntries(Object.entries(good).reverse())))[0]).toBe('sold')
  })

  it('tells every fault at once, each with its path and what is accepted', () => {
    const faults = faultsOf({ sold: 'maybe', shared: 'never', device: true, stop: '', price: '1', policy: 'yes' })
    const paths = faults.map((each) => each.split(':')[0]?.replace('answers.', ''))
    expect(paths.toSorted()).toEqual(
      ['consent', 'deleted', 'device', 'kept', 'policyUrl', 'price', 'sold', 'stop', 'used'].toSorted(),
    )
    expect(faults.join('\n')).toContain('answers.sold: must be "never" or "consent" or "yes": may the records be sold?')
    expect(faults.join('\n')).toContain('answers.price: is no question; they are sold, shared,')
    expect(faults.join('\n')).not.toMatch(/maybe|: 1/)
  })

  it.each([
    ['no map', ['never'], 'answers: must be a map'],
    ['nothing', null, 'answers: must be a map'],
    ['text', 'yes', 'answers: must be a map'],
    ['no consent where it is needed', { ...good, sold: 'consent', consent: 'no' }, 'answers.consent: must be "yes"'],
    ['consent that is passed over', { ...good, used: 'yes' }, 'answers.consent: must be "no"'],
    ['a policy that is nowhere', without('policyUrl'), 'answers.policyUrl: is required'],
    ['the address of no policy', { ...good, policy: 'no' }, 'answers.policyUrl: must be left out'],
    [
      'a policy on plain http',
      { ...good, policyUrl: 'http://app.example.org/' },
      'answers.policyUrl: must be the https',
    ],
    ['a script for an address', { ...good, policyUrl: 'javascript:alert(1)' }, 'answers.policyUrl: must be the https'],
    ['no word on stopping', without('stop'), 'answers.stop: must say how'],
    ['two lines', { ...good, stop: 'one\ntwo' }, 'answers.stop: must be one line'],
    ['text that turns around', { ...good, stop: 'a \u202Eeno' }, 'answers.stop: must be one line'],
    ['an essay', { ...good, stop: 'x'.repeat(301) }, 'answers.stop: must have at most 300'],
    ['a key of every object', JSON.parse('{"__proto__": "x"}'), 'answers.sold: must be'],
  ])('refuses %s', (_what, given, message) => {
    expect(faultsOf(given).join('\n')).toContain(message)
  })

  it('an address for stopping is a link only where it is https; anything else is text', () => {
    const stopOf = (stop: string) => answersOf(1, JSON.stringify({ v: 1, ...good, stop })).at(-1)
    expect(stopOf('https://app.example.org/leave')).toMatchObject({
      answer: 'url',
      url: 'https://app.example.org/leave',
    })
    expect(stopOf('javascript:alert(1)')).toMatchObject({ answer: 'text', text: 'javascript:alert(1)', url: null })
  })

  it.each([
    ['a later version', 2, JSON.stringify({ v: 2, ...good })],
    ['a later version with other questions', 2, JSON.stringify({ v: 2, ai: 'yes' })],
    ['questions that this release does not have', 1, JSON.stringify({ v: 1, ...good, ai: 'yes' })],
    ['nothing', 1, null],
  ])('shows no answers of %s, and does not break', (_what, version, stored) => {
    expect(answersOf(version, stored)).toEqual([])
  })

  it.each(['en', 'es'])('every answer there can be has words in %s (R31)', (language) => {
    const { has } = createI18n({ dir: 'views/locales' }).translator(language)
    const choices = {
      sold: ['never', 'consent', 'yes'],
      shared: ['never', 'service', 'consent', 'yes'],
      used: ['service', 'consent', 'yes'],
      consent: ['yes', 'no'],
      device: ['no', 'yes'],
      kept: ['device', 'united-states', 'abroad'],
      deleted: ['yes', 'request', 'no'],
      policy: ['yes', 'no'],
      stop: ['https://app.example.org/leave'],
    }
    const seen = new Set<string>()
    for (const [name, values] of Object.entries(choices))
      for (const value of values)
        for (const { question, answer, url } of answersOf(1, JSON.stringify({ v: 1, ...good, [name]: value }))) {
          seen.add(`${question}.${answer}`)
          if (url) seen.add(`link.${question}`)
        }
    for (const key of seen) expect(has(`attestation.${key}`), key).toBe(true)
    expect(seen.size).toBe(26)
  })
})

describe('where an app stands', () => {
  let world: World
  let attestations: ReturnType<typeof createAttestations>
  beforeEach(async () => {
    world = await createWorld()
    attestations = createAttestations(world)
    await world.db.updateTable('apps').set({ plan: 'prairie' }).where('id', '=', world.app().id).execute()
    await world.db.updateTable('apps').set({ plan: 'summit' }).where('id', '=', world.app(OTHER_ISSUER).id).execute()
  })
  afterEach(() => world.close())

  const say = (more: Partial<Said> = {}) =>
    world.database.transaction((trx) =>
      attestations.put(trx, {
        actor: 'system',
        issuer: ISSUER,
        appId: world.app().id,
        state: 'attested',
        answers: more.state === 'declined' ? null : good,
        person: 'Ana Binder',
        evidence: 'ticket 7',
        expiresAt: null,
        ...more,
      }),
    )
  const state = async () => (await attestations.stateOf(world.app().id)).state
  const later = (days: number) => {
    world.clock.now += days * DAY
  }

  it('nobody answered at first, and of an app that there is not', async () => {
    expect(await attestations.stateOf(world.app().id)).toEqual({
      state: 'unanswered',
      id: null,
      answeredAt: null,
      expiresAt: null,
      answers: [],
    })
    expect(await attestations.stateOf('no-such-app')).toMatchObject({ state: 'unanswered' })
  })

  it('attested: the answers, when, and until when; who said so is in the audit (R35)', async () => {
    const id = await say({ expiresAt: world.now() + DAY })
    const { answers, ...rest } = await attestations.stateOf(world.app().id)
    expect(rest).toEqual({ state: 'attested', id, answeredAt: world.now(), expiresAt: world.now() + DAY })
    expect(answers[0]).toEqual({ question: 'sold', answer: 'never', text: null, url: null })
    expect(answers.find(({ question }) => question === 'policy')?.url).toBe(good.policyUrl)
    const [entry] = (await world.trail()).filter(({ type }) => type === 'app.attested')
    expect(entry).toMatchObject({ plan: 'prairie', issuer: ISSUER, actor: 'system', app_id: world.app().id })
    expect(entry?.details).toMatchObject({ attestationId: id, version: 1, person: 'Ana Binder', evidence: 'ticket 7' })
  })

  it('declined: no answers, and in the audit too', async () => {
    await say({ state: 'declined', answers: { sold: 'never' } })
    expect(await attestations.stateOf(world.app().id)).toMatchObject({ state: 'declined', answers: [] })
    expect((await world.trail()).map(({ type }) => type)).toContain('app.declined')
  })

  it('the newest answer counts, also one of the same moment, whichever way they changed their mind', async () => {
    await say()
    later(1)
    await say({ state: 'declined' })
    expect(await state()).toBe('declined')
    later(1)
    await say()
    expect(await state()).toBe('attested')
  })

  it('ends with its day; an answer that it replaced does not come back', async () => {
    await say({ answers: { ...good, sold: 'never' } })
    later(1)
    await say({ answers: { ...good, sold: 'yes', consent: 'no' }, expiresAt: world.now() + DAY })
    expect(await state()).toBe('attested')
    later(1)
    expect(await attestations.stateOf(world.app().id)).toMatchObject({ state: 'unanswered', id: null, answers: [] })
  })

  it('keeps nothing of answers with a fault', async () => {
    await expect(say({ answers: { ...good, sold: 'maybe' } })).rejects.toThrow(InputFaults)
    expect(await world.db.selectFrom('attestations').selectAll().execute()).toEqual([])
    expect(await world.trail()).toEqual([])
  })

  it('a row of a later release is an attestation whose answers are not shown', async () => {
    const id = await say()
    const row: Partial<AttestationRow> = { version: 9, answers: '{"v":9,"ai":"yes"}' }
    await world.db.updateTable('attestations').set(row).where('id', '=', id).execute()
    expect(await attestations.stateOf(world.app().id)).toMatchObject({ state: 'attested', id, answers: [] })
  })

  it('what is written of another plan says nothing of this app', async () => {
    await say({ issuer: OTHER_ISSUER })
    expect(await state()).toBe('unanswered')
    expect((await attestations.stateOf(world.app(OTHER_ISSUER).id)).state).toBe('unanswered')
  })

  describe('suggested in the place of another (R24)', () => {
    const credential = async (appId: string, clientId: string, more: Partial<CredentialRow> = {}) => {
      const row: Insertable<CredentialRow> = {
        id: newId(world.now()),
        issuer: ISSUER,
        client_id: clientId,
        app_id: appId,
        kind: 'public',
        status: 'active',
        redirect_uris: '[]',
        scopes: null,
        apis: '["fhir"]',
        created_at: world.now(),
        updated_at: world.now(),
        ...more,
      }
      await world.db.insertInto('credentials').values(row).execute()
    }
    const suggested = async (api = 'fhir', appId = 'another', issuer = ISSUER) =>
      (await attestations.attestedApps(issuer, api, appId)).map(({ name }) => name)

    it('an app that attested, once, with who makes it and where it is', async () => {
      await say()
      await credential(world.app().id, 'binder')
      await credential(world.app().id, 'binder-too')
      await world.db.updateTable('apps').set({ website: 'https://binder.example.org' }).execute()
      expect(await attestations.attestedApps(ISSUER, 'fhir', 'another')).toEqual([
        { name: 'Binder', developer: 'Binder', website: 'https://binder.example.org' },
      ])
    })

    it.each<[string, { said?: Partial<Said>; credential?: Partial<CredentialRow> }]>([
      ['one that declined', { said: { state: 'declined', answers: null } }],
      ['one whose answers have expired', { said: { expiresAt: Date.UTC(2026, 0, 15) } }],
      ['one that is suspended', { credential: { status: 'suspended' } }],
      ['one that was approved for another API', { credential: { apis: '["directory"]' } }],
      ['one of another issuer', { credential: { issuer: OTHER_ISSUER } }],
      ['a resource server', { credential: { kind: 'resource-server' } }],
    ])('never %s', async (_what, given) => {
      await say(given.said)
      await credential(world.app().id, 'binder', given.credential)
      expect(await suggested()).toEqual([])
    })

    it('never the app itself, nor one that nobody asked', async () => {
      await say()
      await credential(world.app().id, 'binder')
      await credential((await world.anotherApp('Silent')).id, 'silent')
      expect(await suggested('fhir', world.app().id)).toEqual([])
      expect(await suggested()).toEqual(['Binder'])
    })

    it('no address that a page must not link to', async () => {
      await say()
      await credential(world.app().id, 'binder')
      await world.db.updateTable('apps').set({ website: 'javascript:alert(1)' }).execute()
      expect((await attestations.attestedApps(ISSUER, 'fhir', 'another'))[0]?.website).toBeNull()
    })
  })
})
