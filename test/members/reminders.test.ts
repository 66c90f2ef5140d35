/** The letter thirty days before an end (R8). */
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { loadSettings } from '../../src/config/load.ts'
import { remind } from '../../src/members/reminders.ts'
import { createI18n } from '../../src/web/i18n.ts'
import { createWorld, DAY, ISSUER, type World } from './world.ts'

const i18n = createI18n({ dir: join(import.meta.dirname, '../../views/locales') })
const environments = loadSettings({ env: {} }).settings.plans.flatMap((plan) => plan.environments)
const wide = 'openid offline_access patient/Coverage.rs'

let world: World
let maria: string
let hers: string

beforeEach(async () => {
  world = await createWorld()
  maria = (await world.member('maria', { name: 'Maria Alvarez', locale: 'en' })).id
  hers = await world.patient('maria')
  await world.owns(maria, hers)
})
afterEach(() => world.close())

const deps = () => ({ ...world, environments, i18n })
const share = (days: number, more: Parameters<World['share']>[2] = {}) =>
  world.share(maria, hers, { grantedScope: wide, endsAt: world.clock.now + days * DAY, ...more })
const run = (batch?: number) => remind({ ...deps(), ...(batch ? { batch } : {}) })
const later = (days: number): void => {
  world.clock.now += days * DAY
}
const letters = async () =>
  (await world.mail.list(ISSUER)).map(({ recipient, subject, body }) => ({ recipient, subject, body }))
const change = (connectionId: string) => ({
  ...{ issuer: ISSUER, plan: 'prairie', memberId: maria, connectionId, shown: null, requestId: null },
})

describe('a reminder', () => {
  it('is written thirty days before the end and no day sooner, once [SMART reminders]', async () => {
    const { connectionId } = await share(90)
    later(59)
    expect(await run()).toBe(0)
    later(1)
    expect(await run()).toBe(1)
    const [letter] = await letters()
    expect(letter?.recipient).toBe('maria@example.org')
    expect(letter?.subject).toBe('Sharing with Binder ends on April 14, 2026')
    expect(letter?.body).toContain(`/prairie/sandbox/connections/${connectionId}/extend`)
    expect(await run()).toBe(0)
    later(29)
    expect(await run()).toBe(0)
    expect(await letters()).toHaveLength(1)
  })

  it('says whose record, which app and until when, and nothing of health', async () => {
    await share(90, { grantedScope: 'openid offline_access patient/Condition.rs', sensitivities: ['hiv'] })
    later(70)
    await run()
    const text = JSON.stringify(await letters())
    for (const said of ['Maria Alvarez', 'Binder', 'April']) expect(text).toContain(said)
    expect(text).not.toMatch(/Condition|hiv|Health problem/i)
    const [entry] = (await world.trail()).filter(({ type }) => type === 'connection.reminded')
    expect(entry).toMatchObject({ actor: 'system', member_id: maria, patient_id: hers, details: { letter: 'posted' } })
  })

  it('is in the language of the member, else in that of the page on which they decided', async () => {
    await share(90)
    await world.db.updateTable('members').set({ locale: 'es' }).execute()
    later(65)
    await run()
    expect((await letters())[0]?.subject).toBe('Se comparte con Binder hasta el 14 de abril de 2026')
    const other = (await world.member('david')).id
    await world.owns(other, await world.patient('david'))
    const patient = (await world.directory.patientChoices(ISSUER, other))[0]?.patientId ?? ''
    await world.share(other, patient, { grantedScope: wide, endsAt: world.clock.now + 90 * DAY })
    later(65)
    await run()
    // `decision` of the world was shown in Spanish.
    expect((await letters())[0]?.subject).toMatch(/^Se comparte con Binder/)
  })

  it('comes again for the end to which it was extended, thirty days before that', async () => {
    const { connectionId } = await share(90)
    later(61)
    expect(await run()).toBe(1)
    await world.connections.extend({ ...change(connectionId), endsAt: world.clock.now + 100 * DAY })
    expect(await run()).toBe(0)
    later(69)
    expect(await run()).toBe(0)
    later(2)
    expect(await run()).toBe(1)
    expect(await letters()).toHaveLength(2)
  })

  it('is not written where the authority ends too, so that nothing can be put off (R34)', async () => {
    const rosa = (await world.member('rosa', { locale: 'en' })).id
    const ends = world.clock.now + 90 * DAY
    const delegation = await world.actsFor(rosa, hers, { ends_at: ends })
    await world.share(rosa, hers, { grantedScope: wide, endsAt: ends })
    later(70)
    expect(await run()).toBe(0)
    expect(await letters()).toEqual([])
    // The desk lets the delegation go on.
    await world.db
      .updateTable('delegations')
      .set({ ends_at: ends + 90 * DAY })
      .where('id', '=', delegation)
      .execute()
    expect(await run()).toBe(1)
  })

  it('goes to nobody who has just chosen an end that is near', async () => {
    await share(20)
    expect(await run()).toBe(0)
    later(10)
    expect(await run()).toBe(0)
    const { connectionId } = await share(60)
    later(45)
    await world.connections.extend({ ...change(connectionId), endsAt: world.clock.now + 29 * DAY })
    expect(await run()).toBe(0)
  })

  it.each<[string, (shared: { connectionId: string; grantId: string }) => Promise<unknown>]>([
    ['one that has ended', ({ connectionId }) => world.connections.end(change(connectionId))],
    ['a locked member', () => world.db.updateTable('members').set({ status: 'locked' }).execute()],
    ['a record that is no longer theirs', () => world.db.deleteFrom('own_records').execute()],
    ['one that is over', async () => later(40)],
    [
      'what is shared once',
      ({ grantId }) => world.db.updateTable('grants').set({ scope: 'openid' }).where('id', '=', grantId).execute(),
    ],
  ])('is not for %s', async (_what, spoil) => {
    const shared = await share(90)
    later(61)
    await spoil(shared)
    expect(await run()).toBe(0)
    expect(await letters()).toEqual([])
  })

  it('of a connection with a longer-lived grant waits for that one', async () => {
    await share(90)
    // Another device's, which lasts longer and was not narrowed.
    await world.db
      .insertInto('grants')
      .columns([
        'id',
        'issuer',
        'client_id',
        'connection_id',
        'member_id',
        'patient_id',
        'scope',
        'context',
        'payload',
        'expires_at',
        'created_at',
        'revision',
      ])
      .expression((eb) =>
        eb
          .selectFrom('grants')
          .select(({ val }) => [
            val('another').as('id'),
            'issuer',
            'client_id',
            'connection_id',
            'member_id',
            'patient_id',
            'scope',
            'context',
            'payload',
            val(world.clock.now + 200 * DAY).as('expires_at'),
            'created_at',
            'revision',
          ]),
      )
      .execute()
    later(65)
    expect(await run()).toBe(0)
    later(110)
    expect(await run()).toBe(1)
  })

  it('is written once however many servers look at once', async () => {
    await share(90)
    later(65)
    const runs = await Promise.all([run(), run(), run(), run()])
    expect(runs.reduce((sum, each) => sum + each, 0)).toBe(1)
    expect(await letters()).toHaveLength(1)
  })

  it('finds all, batch by batch, and one address that no letter can be sent to holds up nobody', async () => {
    for (let at = 0; at < 7; at += 1) {
      const email = at === 2 ? 'not an address\r\nBcc: x' : at === 4 ? null : `member-${at}@example.org`
      const member = (await world.member(`member-${at}`, { email })).id
      const patient = await world.patient(`member-${at}`)
      await world.owns(member, patient)
      await world.share(member, patient, { grantedScope: wide, endsAt: world.clock.now + 90 * DAY })
    }
    later(65)
    expect(await run(2)).toBe(7)
    expect(await letters()).toHaveLength(5)
    const outcomes = (await world.trail()).filter(({ type }) => type === 'connection.reminded')
    expect(outcomes.map(({ details }) => details.letter).sort()).toEqual(
      [...Array(5).fill('posted'), 'none', 'refused'].sort(),
    )
    expect(await run(2)).toBe(0)
  })

  it('keeps the name of an app on its line', async () => {
    const app = await world.anotherApp('An app\r\nBcc: everybody@example.org\r\n\r\nYou won')
    await share(90, { app })
    later(65)
    await run()
    const [letter] = await letters()
    expect(letter?.subject).toContain('An app Bcc: everybody@example.org You won')
    expect(letter?.body).not.toMatch(/\nBcc:/)
  })
})
