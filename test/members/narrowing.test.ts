/** What a later decision leaves of an earlier one: the rule, and a new consent beside older grants (R29). */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { leftOf, narrowedScope, unionOf } from '../../src/members/narrowing.ts'
import { lineOf, parseLine } from '../../src/recovery/endings.ts'
import { parseScope, parseScopes, type Scope } from '../../src/smart/scope.ts'
import { covers } from '../../src/smart/scope-set.ts'
import { createWorld, DAY, type World } from './world.ts'

const category = (code: string) =>
  `patient/Observation.rs?category=http://terminology.hl7.org/CodeSystem/observation-category|${code}`
const lab = category('laboratory')
const vital = category('vital-signs')

describe('narrowing a scope', () => {
  it.each([
    ['to one of several', 'patient/Coverage.rs patient/Observation.rs', 'patient/Coverage.rs', 'patient/Coverage.rs'],
    ['a wildcard', 'patient/*.rs', 'patient/Coverage.rs patient/Claim.r', 'patient/Coverage.rs patient/Claim.r'],
    ['in its own spelling', 'patient/*.read', 'patient/Coverage.rs', 'patient/Coverage.read'],
    ['to categories of a type', 'patient/Observation.rs', `${lab} ${vital}`, `${lab} ${vital}`],
    ['to the categories in both', `${lab} ${vital}`, vital, vital],
    ['never widens', lab, 'patient/*.cruds', lab],
    ['interactions too', 'patient/Coverage.cruds', 'patient/Coverage.rs', 'patient/Coverage.rs'],
    [
      'who and how long stays, whatever is allowed',
      'openid fhirUser launch/patient offline_access patient/*.rs',
      'patient/Coverage.rs',
      'openid fhirUser launch/patient offline_access patient/Coverage.rs',
    ],
    [
      'another context is not allowed by it',
      'user/Coverage.rs patient/Coverage.rs',
      'patient/*.rs',
      'patient/Coverage.rs',
    ],
  ])('%s', (_, held, allowed, left) => {
    expect(narrowedScope(held, allowed)).toBe(left)
  })

  it('takes the scope of a sensitive category with the category (R25)', () => {
    const held = 'openid patient/Coverage.rs sensitive/substance-use'
    expect(narrowedScope(held, 'patient/Coverage.rs')).toBe('openid patient/Coverage.rs')
    expect(narrowedScope(held, 'patient/Coverage.rs sensitive/substance-use')).toBe(held)
  })
})

describe('many restrictions of two decisions, each with each', () => {
  const each = (name: string, count: number, value: (at: number) => string) =>
    Array.from({ length: count }, (_, at) => `patient/Observation.rs?${name}=${value(at)}`).join(' ')
  const codes = each('code', 60, (at) => `http://loinc.org|${10_000 + at}-1`)
  const statuses = each('status', 60, (at) => `status-${at}`)
  const readable = (scope: string) => parseScopes(scope).scopes.map(({ text }) => text)

  it('leave a list that can be read, and that the log of endings can hold', () => {
    const left = narrowedScope(`openid ${codes} offline_access`, statuses)
    expect(readable(left).length).toBeGreaterThan(100)
    expect(readable(left).join(' ')).toBe(left)
    expect(readable(left)).toEqual(expect.arrayContaining(['openid', 'offline_access']))
    const both = parseScopes(codes).scopes
    for (const scope of parseScopes(left).scopes.filter(({ kind }) => kind === 'resource'))
      expect(covers(both, scope) && covers(parseScopes(statuses).scopes, scope), scope.text).toBe(true)
    const line = lineOf({
      ...{ kind: 'narrowing', at: 1, issuer: 'prairie/sandbox', grantId: 'g', actor: 'system' },
      ...{ scope: left, sensitivities: [], endsAt: 2, revision: 1 },
    })
    expect(parseLine(line)).not.toBeNull()
    expect(narrowedScope(left, statuses), 'and once more takes nothing away').toBe(left)
  })

  it('lose nothing where fewer words say all of it', () => {
    const categories = each('category', 100, (at) => `http://plan.example/a-rather-long-name-of-a-system|${at}`)
    const left = narrowedScope(categories, 'patient/Observation.rs?status=final patient/Observation.rs?status=amended')
    expect(readable(left).join(' ')).toBe(left)
    for (const { text } of parseScopes(categories).scopes)
      expect(covers(parseScopes(left).scopes, parseScope(`${text}&status=amended`) as Scope), text).toBe(true)
  })

  it('are all told of several grants, though their lists together are too long', () => {
    const of = (name: string) => ({
      scope: each('code', 100, (at) => `http://${name}.example/${'x'.repeat(60)}|${at}`),
    })
    const grants = ['one', 'two'].map((name) => ({ ...of(name), sensitivities: [], endsAt: 1 }))
    expect(grants.map(({ scope }) => scope).join(' ').length).toBeGreaterThan(16_384)
    expect(unionOf(grants).scope.split(' ')).toHaveLength(200)
  })
})

describe('what is left of a grant', () => {
  const held = { scope: 'openid patient/*.rs', sensitivities: ['hiv', 'genetics'], endsAt: 100 }

  it('is the part in both, until the earlier end', () => {
    const allowed = { scope: 'patient/Coverage.rs', sensitivities: ['hiv', 'violence'], endsAt: 50 }
    expect(leftOf(held, allowed)).toEqual({
      scope: 'openid patient/Coverage.rs',
      sensitivities: ['hiv'],
      endsAt: 50,
      cut: true,
    })
  })

  it('is itself where as much or more is allowed', () => {
    expect(leftOf(held, { ...held, sensitivities: ['genetics', 'hiv', 'violence'], endsAt: 200 })).toEqual({
      ...held,
      cut: false,
    })
  })

  it('is nothing without any of its data, although it says who the member is', () => {
    expect(leftOf(held, { ...held, scope: 'openid user/Coverage.rs' })).toBeUndefined()
  })

  it('of one that never had data is itself', () => {
    const identity = { ...held, scope: 'openid fhirUser', sensitivities: [] }
    expect(leftOf(identity, { ...held, scope: 'patient/Coverage.rs' })).toMatchObject({ scope: 'openid fhirUser' })
  })
})

it('together, grants say each thing once', () => {
  const one = { scope: `openid ${lab} patient/Coverage.r`, sensitivities: ['hiv'], endsAt: 1 }
  const two = {
    scope: 'openid patient/Observation.rs patient/Coverage.rs',
    sensitivities: ['genetics', 'hiv'],
    endsAt: 2,
  }
  expect(unionOf([one, two])).toEqual({
    scope: 'openid patient/Observation.rs patient/Coverage.rs',
    sensitivities: ['genetics', 'hiv'],
    endsAt: 2,
  })
})

describe('a new consent for the same member, patient and app (R29)', () => {
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

  const wide = 'openid offline_access patient/*.rs'
  const share = (more: Parameters<World['share']>[2] = {}) => world.share(maria, hers, { grantedScope: wide, ...more })
  const scopeOf = async (id: string) => (await world.grantRow(id)).scope
  const contextOf = async (id: string) => JSON.parse((await world.grantRow(id)).context ?? '')

  it('cuts wider tokens: the older grant allows no more than the new one', async () => {
    const first = await share()
    world.clock.now += DAY
    const second = await share({ grantedScope: 'openid patient/Coverage.rs' })
    expect(await world.grantRow(first.grantId)).toMatchObject({
      scope: 'openid offline_access patient/Coverage.rs',
      revision: 1,
      narrowed_at: world.clock.now,
      ended_at: null,
    })
    expect(second.connectionId).toBe(first.connectionId)
    expect((await world.trail()).find((entry) => entry.type === 'grant.narrowed')).toMatchObject({
      actor: `member:${maria}`,
      member_id: maria,
      patient_id: hers,
      grant_id: first.grantId,
      details: { connectionId: first.connectionId, revision: 1, scope: 'openid offline_access patient/Coverage.rs' },
    })
  })

  it('leaves another device’s equal consent alone, and one that allowed less', async () => {
    const equal = await share()
    const less = await share({ grantedScope: 'openid patient/Coverage.rs' })
    const before = await Promise.all([equal, less].map(({ grantId }) => world.grantRow(grantId)))
    world.clock.now += DAY
    // What the second one cut is equal to it by now.
    await share({ grantedScope: 'openid offline_access patient/Coverage.rs patient/Claim.rs' })
    expect(await Promise.all([equal, less].map(({ grantId }) => world.grantRow(grantId)))).toEqual(before)
  })

  it('widens nothing', async () => {
    const { grantId } = await share({ grantedScope: 'openid patient/Coverage.rs', endsAt: world.clock.now + DAY })
    await share({ sensitivities: ['hiv'] })
    expect(await world.grantRow(grantId)).toMatchObject({
      scope: 'openid patient/Coverage.rs',
      expires_at: world.clock.now + DAY,
      revision: 0,
    })
    expect(await contextOf(grantId)).not.toHaveProperty('sensitivities')
  })

  it('takes back sensitive categories that it does not release (R25)', async () => {
    const { grantId } = await share({ sensitivities: ['hiv', 'genetics'] })
    await share({ sensitivities: ['genetics'] })
    expect(await contextOf(grantId)).toMatchObject({ v: 1, patient: 'maria', sensitivities: ['genetics'] })
    expect((await world.grantRow(grantId)).revision).toBe(1)
    await share()
    expect(await contextOf(grantId)).not.toHaveProperty('sensitivities')
    expect((await world.grantRow(grantId)).revision).toBe(2)
  })

  it('ends older ones no later than itself; tokens that cannot outlive that end stay as they are', async () => {
    const { grantId } = await share()
    await share({ endsAt: world.clock.now + 30 * DAY })
    expect(await world.grantRow(grantId)).toMatchObject({ expires_at: world.clock.now + 30 * DAY, revision: 0 })
    await share({ endsAt: world.clock.now + 60_000 })
    expect(await world.grantRow(grantId)).toMatchObject({ expires_at: world.clock.now + 60_000, revision: 1 })
  })

  it('ends an older one of which no data is left, as replaced, and the connection goes on', async () => {
    const first = await share({ grantedScope: 'openid patient/Observation.rs' })
    await world.refreshToken(first.grantId, 'hash-1')
    const second = await share({ grantedScope: 'openid patient/Coverage.rs' })
    expect(await world.grantRow(first.grantId)).toMatchObject({ ended_at: world.clock.now, end_reason: 'replaced' })
    expect(await world.db.selectFrom('refresh_tokens').selectAll().execute()).toEqual([])
    expect(await world.connectionRow(second.connectionId)).toMatchObject({ ended_at: null })
    expect((await world.grantRow(second.grantId)).ended_at).toBeNull()
  })

  it.each([
    ['of another API', { context: { api: 'other' } }],
    ['that has ended', { ended: true }],
    ['whose end has come', { endsAt: 1 }],
  ])(
    'leaves a grant %s as it is',
    async (_, { ended, ...more }: { ended?: boolean } & Parameters<World['share']>[2]) => {
      const { grantId } = await share(more)
      if (ended) await world.db.updateTable('grants').set({ ended_at: 1, end_reason: 'token_reused' }).execute()
      const before = await world.grantRow(grantId)
      await share({ grantedScope: 'openid patient/Coverage.rs' })
      expect(await world.grantRow(grantId)).toEqual(before)
    },
  )

  it('does nothing to another app’s, another patient’s or another member’s', async () => {
    const app = await world.anotherApp('Ledger')
    const his = await world.patient('tomas')
    await world.actsFor(maria, his)
    const rosa = (await world.member('rosa')).id
    await world.actsFor(rosa, hers)
    const others = [await share({ app }), await world.share(maria, his, { grantedScope: wide })]
    others.push(await world.share(rosa, hers, { grantedScope: wide }))
    await share({ grantedScope: 'openid patient/Coverage.rs' })
    for (const { grantId } of others) expect(await scopeOf(grantId)).toBe(wide)
  })

  it('that is refused changes nothing, nor one that fails on the way (R43)', async () => {
    const { grantId } = await share()
    await world.connections.recordDenied(world.decision(maria, await world.choice(maria, hers)))
    expect(await scopeOf(grantId)).toBe(wide)
    world.store.fail((step) => step.kind === 'query' && step.sql.includes('insert into "letters"'))
    const letter = { recipient: 'maria@example.org', subject: 's', body: 'b', language: 'en' }
    await expect(share({ grantedScope: 'openid patient/Coverage.rs', letter })).rejects.toMatchObject({ status: 503 })
    world.store.fail(false)
    expect(await world.grantRow(grantId)).toMatchObject({ scope: wide, revision: 0 })
  })
})
