import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { LatchkeyError } from '../../src/errors.ts'
import { createWorld, DAY, ISSUER, OTHER_ISSUER, type World } from './world.ts'

let world: World
let maria: string
let hers: string
beforeEach(async () => {
  world = await createWorld()
  maria = (await world.member('maria')).id
  hers = await world.patient('maria')
  await world.owns(maria, hers)
})
afterEach(() => world.close())

const letter = { recipient: 'maria@example.org', subject: 'You connected Binder', body: 'Hello.', language: 'es' }
const rows = (table: 'consents' | 'connections' | 'letters') => world.db.selectFrom(table).selectAll().execute()

describe('recording that a member shared', () => {
  it('completes the grant with what tokens will say (R3, R32)', async () => {
    const endsAt = world.clock.now + 90 * DAY
    const { grantId, connectionId } = await world.share(maria, hers, { endsAt })
    const row = await world.grantRow(grantId)
    expect(row).toMatchObject({
      connection_id: connectionId,
      patient_id: hers,
      scope: 'openid patient/Coverage.rs',
      expires_at: endsAt,
      ended_at: null,
    })
    expect(JSON.parse(row.context ?? '')).toEqual({ v: 1, patient: 'maria', fhirUser: 'Patient/maria', api: 'fhir' })
  })

  it('writes the consent down with what was shown (R35)', async () => {
    const { grantId, consentId } = await world.share(maria, hers)
    expect(await rows('consents')).toMatchObject([
      {
        id: consentId,
        issuer: ISSUER,
        member_id: maria,
        patient_id: hers,
        app_id: world.app().id,
        grant_id: grantId,
        decision: 'shared',
        requested_scope: 'openid patient/*.rs',
        granted_scope: 'openid patient/Coverage.rs',
        text_hash: 'hash-of-the-page',
        language: 'es',
        ends_at: world.clock.now + 365 * DAY,
        decided_at: world.clock.now,
      },
    ])
  })

  it('enters the trail and the outbox', async () => {
    const { grantId, connectionId } = await world.share(maria, hers, { letter })
    expect(await world.trail()).toMatchObject([
      {
        type: 'consent.shared',
        actor: `member:${maria}`,
        patient_id: hers,
        app_id: world.app().id,
        grant_id: grantId,
        request_id: 'request-1',
        details: { connectionId, relation: 'self', offline: true, letter: 'posted' },
      },
    ])
    expect(await world.mail.list(ISSUER)).toMatchObject([{ ...letter, plan: 'prairie' }])
  })

  it('posts no letter where the caller has none, and shares in spite of an address that is none', async () => {
    await world.share(maria, hers)
    await world.share(maria, hers, { letter: { ...letter, recipient: 'no address\r\nBcc: x@example.org' } })
    expect(await rows('letters')).toEqual([])
    expect((await world.trail()).map((entry) => entry.details.letter)).toEqual(['none', 'refused'])
  })

  it('keeps one connection for member, patient and app, with a grant for each authorization', async () => {
    const first = await world.share(maria, hers)
    const second = await world.share(maria, hers)
    expect(second.connectionId).toBe(first.connectionId)
    expect(await rows('connections')).toHaveLength(1)
    expect(await world.connections.overview(ISSUER, maria)).toMatchObject([{ id: first.connectionId, ended: null }])
  })

  it('makes another connection for another patient, another app, and after the first has ended', async () => {
    const first = await world.share(maria, hers)
    const lucy = await world.patient('lucy')
    await world.actsFor(maria, lucy)
    const forLucy = await world.share(maria, lucy)
    const otherApp = await world.share(maria, hers, { app: await world.anotherApp('Viewer') })
    await world.connections.endGrant(null, end(first.grantId))
    const again = await world.share(maria, hers)
    const ids = [first, forLucy, otherApp, again].map((one) => one.connectionId)
    expect(new Set(ids).size).toBe(4)
    expect(await world.connections.overview(ISSUER, maria)).toHaveLength(4)
    expect(await world.connections.overview(OTHER_ISSUER, maria)).toEqual([])
  })

  it('a delegate shares as RelatedPerson, never as the patient (R32)', async () => {
    const lucy = await world.patient('lucy')
    await world.actsFor(maria, lucy, { related_person: 'maria-lucy' })
    const { grantId } = await world.share(maria, lucy)
    expect(await world.connections.grantContext(ISSUER, grantId)).toMatchObject({
      patientFhirId: 'lucy',
      fhirUser: 'RelatedPerson/maria-lucy',
    })
  })

  it('two decisions at once make one connection', async () => {
    const grants = [await world.grant(maria), await world.grant(maria)]
    const shared = await Promise.all(grants.map((grantId) => world.share(maria, hers, { grantId })))
    expect(new Set(shared.map((one) => one.connectionId)).size).toBe(1)
  })
})

describe('recording is refused, and nothing is left behind', () => {
  const nothing = async () => {
    expect(await rows('consents')).toEqual([])
    expect(await rows('connections')).toEqual([])
    expect(await rows('letters')).toEqual([])
    expect(await world.trail()).toEqual([])
  }
  const alreadyDecided = expect.objectContaining({ code: 'already_decided', status: 409 }) as LatchkeyError
  const authorityEnded = expect.objectContaining({ code: 'authority_ended', status: 403 }) as LatchkeyError

  it.each([
    ['a grant that does not exist', async () => 'no-such-grant'],
    ['a grant of another issuer', () => world.grant(maria, { issuer: OTHER_ISSUER })],
    ["another member's grant", async () => world.grant((await world.member('david')).id)],
    ["another app's grant", () => world.grant(maria, { client_id: 'other' })],
    ['a grant that has ended', () => world.grant(maria, { ended_at: 1, end_reason: 'code_reused' })],
  ])('%s', async (_what, make) => {
    const grantId = await make()
    await expect(world.share(maria, hers, { grantId, letter })).rejects.toEqual(alreadyDecided)
    await nothing()
  })

  it('the same form sent twice: one consent', async () => {
    const grantId = await world.grant(maria)
    const results = await Promise.allSettled([1, 2, 3].map(() => world.share(maria, hers, { grantId, letter })))
    expect(results.filter((one) => one.status === 'fulfilled')).toHaveLength(1)
    expect(await rows('consents')).toHaveLength(1)
    expect(await rows('letters')).toHaveLength(1)
    expect(await world.trail()).toHaveLength(1)
  })

  it('a delegation that ended while the page was open (R34)', async () => {
    const lucy = await world.patient('lucy')
    await world.actsFor(maria, lucy, { ends_at: world.clock.now + 1000 })
    const choice = await world.choice(maria, lucy)
    world.clock.now += 1000
    await expect(world.share(maria, hers, { choice, letter })).rejects.toEqual(authorityEnded)
    await nothing()
  })

  it("a choice that is not this member's", async () => {
    const david = await world.member('david')
    const his = await world.patient('david')
    await world.owns(david.id, his)
    const choice = await world.choice(david.id, his)
    await expect(world.share(maria, hers, { choice })).rejects.toEqual(authorityEnded)
    await nothing()
  })

  it('a choice that was tampered with', async () => {
    const choice = await world.choice(maria, hers)
    await expect(world.share(maria, hers, { choice: { ...choice, fhirId: 'david' } })).rejects.toEqual(authorityEnded)
    await expect(world.share(maria, hers, { choice: { ...choice, fhirUser: 'Patient/david' } })).rejects.toEqual(
      authorityEnded,
    )
    await nothing()
  })

  it('a member who was locked while the page was open', async () => {
    const choice = await world.choice(maria, hers)
    await world.db.updateTable('members').set({ status: 'locked' }).execute()
    await expect(world.share(maria, hers, { choice })).rejects.toEqual(authorityEnded)
    await nothing()
  })

  it.each(['consents', 'connections', 'audit', 'letters'])(
    'a store that fails at %s: 503, all or nothing (R43)',
    async (table) => {
      const grantId = await world.grant(maria)
      world.store.fail((step) => step.kind === 'query' && step.sql.includes(`insert into "${table}"`))
      await expect(world.share(maria, hers, { grantId, letter })).rejects.toMatchObject({ status: 503 })
      world.store.fail(false)
      await nothing()
      expect((await world.grantRow(grantId)).connection_id).toBeNull()
      await world.share(maria, hers, { grantId, letter })
    },
  )
})

describe('recording that a member refused', () => {
  it('writes consent and trail, and no connection', async () => {
    const { consentId } = await world.connections.recordDenied(world.decision(maria, await world.choice(maria, hers)))
    expect(await rows('consents')).toMatchObject([
      { id: consentId, decision: 'denied', grant_id: null, granted_scope: null, ends_at: null },
    ])
    expect(await world.trail()).toMatchObject([{ type: 'consent.denied', member_id: maria, grant_id: null }])
    expect(await rows('connections')).toEqual([])
  })
})

it('notes the last use of a connection', async () => {
  const { connectionId } = await world.share(maria, hers)
  world.clock.now += DAY
  await world.database.transaction((trx) => world.connections.touch(trx, connectionId))
  expect((await world.connectionRow(connectionId)).last_used_at).toBe(world.clock.now)
})

const end = (grantId: string) => ({
  issuer: ISSUER,
  grantId,
  reason: 'revoked_by_member' as const,
  actor: `member:${maria}`,
  requestId: 'request-2',
})
