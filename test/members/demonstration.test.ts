import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createPasswords } from '../../src/accounts/password.ts'
import { createSignIn } from '../../src/accounts/sign-in.ts'
import { createThrottle } from '../../src/accounts/throttle.ts'
import { loadSettings } from '../../src/config/load.ts'
import type { Demonstration, Settings } from '../../src/config/settings.ts'
import { InputFaults } from '../../src/errors.ts'
import { loadDemonstration } from '../../src/members/demonstration.ts'
import { createAttestations } from '../../src/portal/attestation.ts'
import { hashSecret } from '../../src/secrets.ts'
import { createSqlShortLived } from '../../src/storage/short-lived-sql.ts'
import type { Tables } from '../../src/storage/tables.ts'
import { createWorld, DAY, ISSUER, type World } from './world.ts'

const passwords = createPasswords({ memoryKiB: 64, passes: 1 })
const TABLES = [
  ...['organizations', 'apps', 'credentials', 'credential_secrets'],
  ...['members', 'patients', 'own_records', 'delegations', 'attestations'],
] as (keyof Tables)[]

let world: World
beforeEach(async () => {
  world = await createWorld()
})
afterEach(() => world.close())

const published = (env: Record<string, string> = {}): Settings => loadSettings({ env }).settings

/** The published settings with one change to the prairie sandbox's demonstration. */
function changed(change: (demonstration: Demonstration) => void): Settings {
  const settings = structuredClone(published())
  const demonstration = sandboxOf(settings).demonstration
  if (!demonstration) throw new Error('the development configuration has a demonstration')
  change(demonstration)
  return settings
}

function sandboxOf(settings: Settings) {
  const found = settings.plans.flatMap((plan) => plan.environments).find((one) => one.id === ISSUER)
  if (!found) throw new Error(`no ${ISSUER}`)
  return found
}

const load = (settings: Settings, into = world, work = passwords) =>
  loadDemonstration({ ...into, settings, passwords: work, attest: createAttestations(into).put })

async function dump(from = world) {
  const tables: Record<string, unknown[]> = {}
  for (const table of TABLES) tables[table] = await from.db.selectFrom(table).selectAll().orderBy('id').execute()
  return tables
}

const member = async (username: string, issuer = ISSUER) =>
  world.db
    .selectFrom('members')
    .selectAll()
    .where('username', '=', username)
    .where('issuer', '=', issuer)
    .executeTakeFirstOrThrow()

const credential = async (clientId: string) =>
  world.db.selectFrom('credentials').selectAll().where('client_id', '=', clientId).executeTakeFirstOrThrow()

const choices = async (username: string, issuer = ISSUER) =>
  world.directory.patientChoices(issuer, (await member(username, issuer)).id)

function signIn(username: string, password: string, issuer = ISSUER) {
  const { database, audit, now } = world
  const limits = { failuresPerAccountAndAddress: 5, failuresPerAddress: 20, windowMinutes: 15 }
  const throttle = (id: string) =>
    createThrottle({ shortLived: createSqlShortLived({ database, issuer: id, now }), limits, now })
  const accounts = createSignIn({ database, passwords, throttle, audit, now })
  return accounts.signIn({ issuer, username, password, address: '127.0.0.1', requestId: null })
}

describe('the published demonstration', () => {
  beforeEach(() => load(published()))

  it.each([
    ['maria', [['maria', 'self', 'Patient/maria']]],
    [
      'david',
      [
        ['david', 'self', 'Patient/david'],
        ['elena', 'power-of-attorney', 'RelatedPerson/david-elena'],
        ['lucy', 'parent', 'RelatedPerson/david-lucy'],
      ],
    ],
    ['noor', []],
  ])('%s signs in and has these records (R19, R32)', async (username, records) => {
    expect(await signIn(username, 'prairie-sandbox-1')).toMatchObject({ kind: 'signed-in' })
    expect(await signIn(username, 'prairie-sandbox-2')).toEqual({ kind: 'refused' })
    expect((await choices(username)).map((one) => [one.fhirId, one.relation, one.fhirUser])).toEqual(records)
  })

  it('members are at their own issuer only', async () => {
    expect(await signIn('sam', 'prairie-sandbox-1', 'summit/sandbox')).toMatchObject({ kind: 'signed-in' })
    expect(await signIn('sam', 'prairie-sandbox-1')).toEqual({ kind: 'refused' })
    expect(await signIn('maria', 'prairie-sandbox-1', 'prairie/production')).toEqual({ kind: 'refused' })
  })

  it('apps have their credentials, secrets hashed', async () => {
    const app = await credential('demo-confidential')
    expect(app).toMatchObject({
      issuer: ISSUER,
      kind: 'confidential',
      status: 'active',
      scopes: null,
      apis: '["fhir"]',
    })
    expect(JSON.parse(app.redirect_uris)).toEqual(['http://127.0.0.1/callback'])
    const secrets = await world.db.selectFrom('credential_secrets').selectAll().execute()
    expect(secrets.filter((one) => one.credential_id === app.id).map((one) => one.hash)).toEqual([
      hashSecret('demo-confidential-secret'),
    ])
    expect(secrets.map((one) => one.credential_id)).not.toContain((await credential('demo-public')).id)
    expect((await credential('demo-resource-server')).kind).toBe('resource-server')
  })

  it('no password and no secret is stored in the clear, nor in the trail', async () => {
    const text = JSON.stringify([await dump(), await world.trail()])
    expect(text).not.toContain('prairie-sandbox-1')
    expect(text).not.toContain('demo-confidential-secret')
  })

  it("a delegation that the file ends, ends: lucy's 18th birthday, as it begins where the plan is (R34)", async () => {
    world.clock.now = Date.UTC(2035, 4, 9, 5) - 1
    expect((await choices('david')).map((one) => one.fhirId)).toContain('lucy')
    world.clock.now += 1
    expect((await choices('david')).map((one) => one.fhirId)).toEqual(['david', 'elena'])
  })
})

describe('at a further start', () => {
  it('nothing changes: no row, no new hash, no entry in the trail', async () => {
    await load(published())
    const before = [await dump(), await world.trail()]
    world.clock.now += DAY
    let hashed = 0
    const counting = {
      ...passwords,
      hash(password: string) {
        hashed += 1
        return passwords.hash(password)
      },
    }
    await load(published(), world, counting)
    expect([await dump(), await world.trail()]).toEqual(before)
    expect(hashed).toBe(0)
  })

  it('on another port the same records have moved redirects, and ids and subjects stay', async () => {
    await load(published())
    const before = await dump()
    await load(published({ PORT: '4000' }))
    const redirects = JSON.parse((await credential('demo-public')).redirect_uris)
    expect(redirects).toEqual(['http://127.0.0.1/callback', 'http://localhost:4000/prairie/sandbox/demo/'])
    const after = await dump()
    for (const table of TABLES) expect(ids(after[table])).toEqual(ids(before[table]))
    expect(after.members).toEqual(before.members)
    expect((await world.db.selectFrom('apps').selectAll().execute()).map((app) => app.website)).toContain(
      'http://localhost:4000/prairie/sandbox/demo/',
    )
  })

  it('with a new password the new one opens and the old one does not', async () => {
    await load(published())
    const { id, subject } = await member('maria')
    await load(
      changed((demo) => {
        for (const one of demo.members) one.password = 'another-password'
      }),
    )
    expect(await signIn('maria', 'another-password')).toMatchObject({ kind: 'signed-in', member: { id, subject } })
    expect(await signIn('maria', 'prairie-sandbox-1')).toEqual({ kind: 'refused' })
  })

  it('with a new secret the published old one stops, and one that was added since stays', async () => {
    await load(published())
    const { id } = await credential('demo-confidential')
    const own = { id: 'own', credential_id: id, hash: 'sha256:own', created_at: 1, expires_at: null }
    await world.db.insertInto('credential_secrets').values(own).execute()
    await load(
      changed((demo) => {
        for (const app of demo.apps) if (app.clientId === 'demo-confidential') app.secret = 'new-secret'
      }),
    )
    const hashes = await world.db
      .selectFrom('credential_secrets')
      .select('hash')
      .where('credential_id', '=', id)
      .execute()
    expect(hashes.map((one) => one.hash).toSorted()).toEqual([hashSecret('new-secret'), 'sha256:own'].toSorted())
  })

  it('on another machine has the same ids and subjects', async () => {
    await load(published())
    const other = await createWorld()
    other.clock.now += 100 * DAY
    await load(published(), other)
    const [here, there] = [await dump(), await dump(other)]
    for (const table of ['credentials', 'members', 'patients', 'own_records', 'delegations']) {
      expect(ids(there[table])).toEqual(ids(here[table]))
    }
    await other.close()
  })
})

describe('what the file says that developers answered (R18)', () => {
  const standing = async (clientId = 'demo-public') =>
    createAttestations(world).stateOf((await credential(clientId)).app_id)
  const appOf = (demonstration: Demonstration, clientId = 'demo-public') => {
    const found = demonstration.apps.find((app) => app.clientId === clientId)
    if (!found) throw new Error(`no ${clientId}`)
    return found
  }

  it('there is an app in each state', async () => {
    await load(published())
    expect(await standing()).toMatchObject({ state: 'attested', expiresAt: null })
    expect(await standing('demo-declined')).toMatchObject({ state: 'declined' })
    expect(await standing('demo-unanswered')).toMatchObject({ state: 'unanswered' })
    expect(await standing('summit-demo')).toMatchObject({ state: 'attested' })
  })

  it('another answer in the file takes the place of the first, there and back again', async () => {
    const declined = changed((demonstration) => {
      appOf(demonstration).attestation = { state: 'declined', answers: null, expiresAt: null }
    })
    const silent = changed((demonstration) => {
      appOf(demonstration).attestation = null
    })
    for (const [settings, state] of [
      [published(), 'attested'],
      [declined, 'declined'],
      [published(), 'attested'],
      [silent, 'unanswered'],
    ] as const) {
      world.clock.now += DAY
      await load(settings)
      expect((await standing()).state).toBe(state)
    }
  })

  it('an answer that was given since by command outlasts a restart', async () => {
    await load(published())
    world.clock.now += DAY
    const attestations = createAttestations(world)
    const { app_id: appId } = await credential('demo-public')
    const said = { actor: 'system', issuer: ISSUER, appId, person: 'A', evidence: null, expiresAt: null }
    await world.database.transaction((trx) =>
      attestations.put(trx, { ...said, state: 'declined' as const, answers: null }),
    )
    world.clock.now += DAY
    await load(published())
    expect((await standing()).state).toBe('declined')
  })

  it('counts through its last day, as the plan’s clocks have it', async () => {
    const limited = changed((demonstration) => {
      const app = appOf(demonstration)
      if (app.attestation) app.attestation.expiresAt = '2026-01-20'
    })
    await load(limited)
    world.clock.now = Date.UTC(2026, 0, 21, 5, 59)
    expect((await standing()).state).toBe('attested')
    world.clock.now = Date.UTC(2026, 0, 21, 6)
    expect((await standing()).state).toBe('unanswered')
  })

  it('answers with faults stop the start, each with its option’s path, and leave nothing', async () => {
    const wrong = changed((demonstration) => {
      appOf(demonstration).attestation = { state: 'attested', answers: { sold: 'maybe', price: '1' }, expiresAt: null }
    })
    const at = 'plans.prairie.environments.sandbox.demonstration.apps.demo-public.attestation.answers'
    const error = await load(wrong).catch((fault: unknown) => fault)
    const paths = error instanceof InputFaults ? error.faults.map(({ path }) => path) : []
    expect(paths).toEqual(expect.arrayContaining([`${at}.sold`, `${at}.price`, `${at}.stop`]))
    expect(
      await world.db.selectFrom('credentials').selectAll().where('client_id', '=', 'demo-public').execute(),
    ).toEqual([])
  })
})

describe('what vanished from the file', () => {
  const withoutDavid = () =>
    changed((demo) => {
      demo.members = demo.members.filter((one) => one.username !== 'david')
      demo.apps = demo.apps.filter((one) => one.clientId !== 'demo-confidential')
    })

  it('is out of use: the member cannot sign in, what they shared is over, the app is suspended', async () => {
    await load(published())
    const david = await member('david')
    const [own, elena] = await choices('david')
    const shared = []
    for (const choice of [own, elena]) if (choice) shared.push(await world.share(david.id, choice.patientId))
    await load(withoutDavid())

    expect(await signIn('david', 'prairie-sandbox-1')).toEqual({ kind: 'refused' })
    expect(await choices('david')).toEqual([])
    for (const { grantId } of shared) {
      expect(await world.connections.grantStatus(ISSUER, grantId, world.now())).toEqual({ ended: 'authority_ended' })
    }
    expect(await credential('demo-confidential')).toMatchObject({ status: 'suspended' })
    const secrets = await world.db.selectFrom('credential_secrets').select('hash').execute()
    expect(secrets.map((one) => one.hash)).not.toContain(hashSecret('demo-confidential-secret'))
    expect(await signIn('maria', 'prairie-sandbox-1')).toMatchObject({ kind: 'signed-in' })
  })

  it('is left as it is at the start after that', async () => {
    await load(published())
    await load(withoutDavid())
    const before = [await dump(), await world.trail()]
    world.clock.now += DAY
    await load(withoutDavid())
    expect([await dump(), await world.trail()]).toEqual(before)
  })

  it('comes back with the same id and subject, and what was shared as a delegate stays over (R34)', async () => {
    await load(published())
    const david = await member('david')
    const elena = (await choices('david')).find((choice) => choice.fhirId === 'elena')
    const { grantId } = await world.share(david.id, elena?.patientId ?? '')
    world.clock.now += DAY
    await load(withoutDavid())
    world.clock.now += DAY
    await load(published())
    expect(await member('david')).toMatchObject({ id: david.id, subject: david.subject, status: 'active' })
    expect((await choices('david')).map((one) => one.fhirId)).toEqual(['david', 'elena', 'lucy'])
    expect(await world.connections.grantStatus(ISSUER, grantId, world.now())).toEqual({ ended: 'authority_ended' })
  })

  it('one record less: only that one', async () => {
    await load(published())
    await load(
      changed((demo) => {
        for (const one of demo.members) if (one.username === 'david') one.delegations.shift()
      }),
    )
    expect((await choices('david')).map((one) => one.fhirId)).toEqual(['david', 'lucy'])
  })

  it('nobody else is touched: neither real members, apps and records, nor another issuer', async () => {
    const real = await world.member('real', { password_hash: await passwords.hash('real-password') })
    const record = await world.patient('real')
    await world.owns(real.id, record)
    await world.actsFor(real.id, await world.patient('child'))
    await load(published())
    await load(changed((demo) => Object.assign(demo, { apps: [], members: [] })))
    expect(await member('real')).toEqual(real)
    expect((await choices('real')).map((one) => one.fhirId)).toEqual(['real', 'child'])
    expect(await signIn('sam', 'prairie-sandbox-1', 'summit/sandbox')).toMatchObject({ kind: 'signed-in' })
  })

  it('a database that moves to a deployment without a demonstration keeps no published password or secret', async () => {
    await load(published())
    const settings = structuredClone(published())
    for (const plan of settings.plans) for (const one of plan.environments) one.demonstration = null
    await load(settings)
    const members = await world.db.selectFrom('members').selectAll().execute()
    expect(members.length).toBeGreaterThan(3)
    expect(members.every((one) => one.status === 'locked' && one.password_hash === null)).toBe(true)
    expect(await world.db.selectFrom('credential_secrets').selectAll().execute()).toEqual([])
    expect(
      (await world.db.selectFrom('credentials').selectAll().execute()).every((one) => one.status === 'suspended'),
    ).toBe(true)
  })
})

describe('a patient whom two members name', () => {
  it('is one record, and a further start does not write it again', async () => {
    const settings = changed((demo) => {
      const [maria] = demo.members
      maria?.delegations.push({
        fhirId: 'david',
        name: 'Dave',
        birthDate: null,
        coverageLabel: null,
        basis: 'member-designated',
        relatedPerson: 'maria-david',
        endsAt: null,
      })
    })
    await load(settings)
    const before = [await dump(), await world.trail()]
    await load(settings)
    expect([await dump(), await world.trail()]).toEqual(before)
    expect((await choices('maria')).map((one) => one.relation)).toEqual(['self', 'member-designated'])
  })
})

describe('a store that fails (R43)', () => {
  it('leaves an environment whole or untouched, and the next start completes it', async () => {
    world.store.fail((step) => step.kind === 'query' && step.sql.includes('insert into "delegations"'))
    await expect(load(published())).rejects.toMatchObject({ status: 503 })
    world.store.fail(false)
    expect(await world.db.selectFrom('members').select('id').execute()).toEqual([])
    await load(published())
    expect((await choices('david')).map((one) => one.fhirId)).toEqual(['david', 'elena', 'lucy'])
  })
})

it('a file on disk: a second server finds what the first has made', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'latchkey-'))
  const url = `sqlite:${join(folder, 'data', 'latchkey.db')}`
  try {
    const first = await createWorld(url)
    await load(published(), first)
    const before = await dump(first)
    await first.close()
    const second = await createWorld(url)
    await load(published(), second)
    const after = await dump(second)
    for (const table of ['members', 'patients', 'own_records', 'delegations', 'credentials']) {
      expect(after[table]).toEqual(before[table])
    }
    await second.close()
  } finally {
    rmSync(folder, { recursive: true })
  }
})

function ids(rows: unknown[] = []): unknown[] {
  return rows.map((row) => (row as { id: string; subject?: string }).id + ((row as { subject?: string }).subject ?? ''))
}
