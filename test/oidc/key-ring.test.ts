/** The keys that a server uses: soon after they change, while the store is away, and under other sealing keys. */
import { setTimeout as pause } from 'node:timers/promises'
import { exportJWK, generateKeyPair, jwtVerify, SignJWT } from 'jose'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createKeyRing, type KeyRing } from '../../src/oidc/key-ring.ts'
import { createKeyRotation, type KeyRotation } from '../../src/oidc/key-rotation.ts'
import { ensureKeys, type KeyDeps, readKeys, sealAgain } from '../../src/oidc/keys.ts'
import { localSigner, type OpenSigner } from '../../src/oidc/signer.ts'
import { createSealer, sealingKeyOf } from '../../src/secrets.ts'
import { createWorld, ISSUER, OTHER_ISSUER, type World } from '../members/world.ts'
import { openBackend } from '../support/backend.ts'
import { type Backend, quiet } from '../support/stores.ts'

const key = (id: string) => ({ id, secret: `secret of ${id}` })
const oldSealer = createSealer([key('old')])
/** As on a server that has the new one second, and on one that has it first. */
const knowsNew = createSealer([key('old'), key('new')])
const newFirst = createSealer([key('new'), key('old')])

let backend: Backend
let world: World
let deps: KeyDeps
let rotation: KeyRotation
let elapsed = 0
const rings: KeyRing[] = []

beforeEach(async () => {
  backend = await openBackend()
  world = await createWorld(backend.url)
  deps = { database: world.database, sealer: oldSealer, audit: world.audit, now: world.now }
  rotation = createKeyRotation(deps)
  elapsed = 0
  await ensureKeys(ISSUER, deps)
  await ensureKeys(OTHER_ISSUER, deps)
})
afterEach(async () => {
  world.store.fail(false)
  for (const ring of rings.splice(0)) await ring.close()
  await world.close()
  await backend.dispose()
})

const ring = async (sealer = oldSealer, openSigner?: OpenSigner) => {
  const made = await createKeyRing({
    ...{ database: world.database, sealer, issuers: [ISSUER, OTHER_ISSUER], log: quiet, elapsed: () => elapsed },
    ...(openSigner ? { openSigner } : {}),
  })
  rings.push(made)
  return made
}
const kids = (of: KeyRing, issuer = ISSUER) => of.of(issuer).signers.map(({ kid }) => kid)
const signs = (of: KeyRing, issuer = ISSUER) =>
  of.of(issuer).signers.find(({ algorithm }) => algorithm === 'ES256')?.kid ?? ''
const begin = { rotateDays: 90, begin: true }
const sealedBy = async (issuer = ISSUER) => {
  const { keys, secrets } = await readKeys(world.db, issuer)
  return new Set([...keys.map((row) => row.sealed_jwk), ...secrets.map((row) => row.sealed_value)].map(sealingKeyOf))
}

describe('a change of keys', () => {
  it('is known within a second, and only the issuer concerned has another set', async () => {
    const node = await ring()
    const before = node.of(OTHER_ISSUER)
    const { signs: replacement } = await rotation.revoke(signs(node))
    await pause(1000)
    expect(signs(node)).toBe(replacement)
    expect(kids(node)).toHaveLength(2)
    expect(node.of(OTHER_ISSUER)).toBe(before)
  })

  it('is known also where another store has another change by the same number', async () => {
    const node = await ring()
    const kid = signs(node)
    await world.db.updateTable('signing_keys').set({ state: 'retired' }).where('kid', '=', kid).execute()
    await ensureKeys(ISSUER, deps)
    await world.db
      .updateTable('key_changes')
      .set({ version: (eb) => eb('version', '-', 1) })
      .execute()
    await node.ask()
    expect(signs(node)).toBe(kid)
    node.forget()
    await node.ask()
    expect(signs(node)).not.toBe(kid)
  })

  it('is known at once to whoever asks', async () => {
    const node = await ring()
    for (let i = 0; i < 5; i++) {
      const kid = signs(node)
      await rotation.revoke(kid)
      await Promise.all([node.ask(), node.ask()])
      expect(kids(node)).not.toContain(kid)
    }
  })

  it('on a promoted store that lacks it: the keys of that store, also where as many changes were made on either', async () => {
    const node = await ring()
    const compromised = signs(node)
    const tables = ['signing_keys', 'key_changes'] as const
    const before = await Promise.all(tables.map((table) => world.db.selectFrom(table).selectAll().execute()))
    await rotation.revoke(compromised)
    await node.ask()
    const lost = signs(node)
    for (const [i, table] of tables.entries()) {
      await world.db.deleteFrom(table).execute()
      for (const row of before[i] ?? []) await world.db.insertInto(table).values(row).execute()
    }
    expect(await rotation.revokeAgain(compromised, world.now())).toBe(true)
    await node.ask()
    expect([compromised, lost]).not.toContain(signs(node))
    expect(kids(node).sort()).toEqual((await readKeys(world.db, ISSUER)).keys.map(({ kid }) => kid).sort())
    expect(await rotation.revokeAgain(compromised, world.now())).toBe(false)
  })

  it('reads one row while nothing changes', async () => {
    const node = await ring()
    world.store.fail((step) => step.kind === 'query' && /signing_keys|sealed_secrets/.test(step.sql))
    await node.ask()
    await pause(600)
    expect(world.store.failures()).toBe(0)
  })

  it('a next key is published and does not sign; a next secret checks and makes nothing', async () => {
    const node = await ring()
    const before = signs(node)
    const mac = node.mac(ISSUER, 'forms')
    const made = mac.sign('text')
    await rotation.turn(ISSUER, begin)
    await node.ask()
    expect(kids(node)).toHaveLength(4)
    expect(signs(node)).toBe(before)
    expect(mac.sign('text')).toBe(made)

    // A server that is a moment ahead makes with the new one, and the other one checks it.
    world.clock.now += 86_400_000
    const behind = await ring()
    world.store.fail((step) => step.kind === 'query' && /key_changes/.test(step.sql) && /select/.test(step.sql))
    await rotation.turn(ISSUER, { rotateDays: 90, begin: false })
    expect(signs(behind)).toBe(before)
    world.store.fail(false)
    const ahead = await ring()
    expect(signs(ahead)).not.toBe(before)
    expect(kids(behind)).toContain(signs(ahead))
    const fresh = ahead.mac(ISSUER, 'forms').sign('text')
    expect(fresh).not.toBe(made)
    expect(behind.of(ISSUER).secrets.forms).toHaveLength(2)
    expect(ahead.mac(ISSUER, 'forms').verify('text', made)).toBe(true)
    expect(behind.mac(ISSUER, 'forms').verify('text', fresh)).toBe(true)
  })
})

describe('while the store is away', () => {
  it('the last known keys go on for five minutes, and no longer: one may have been revoked (R43)', async () => {
    const node = await ring()
    const kid = signs(node)
    world.store.fail(true)
    await pause(600)
    elapsed = 299_000
    expect(signs(node)).toBe(kid)
    elapsed = 301_000
    expect(() => node.of(ISSUER)).toThrow(expect.objectContaining({ status: 503 }))
    await expect(node.check()).rejects.toThrow(/five minutes/)
    world.store.fail(false)
    await pause(1000)
    expect(signs(node)).toBe(kid)
    await node.check()
  })
})

describe('whether keys can be used', () => {
  it('rejects where an issuer has no current key of an algorithm, and serves the others', async () => {
    const node = await ring()
    await node.check()
    await world.db.deleteFrom('signing_keys').where('issuer', '=', ISSUER).where('algorithm', '=', 'RS256').execute()
    await rotation.revoke(signs(node, OTHER_ISSUER))
    await node.ask()
    await expect(node.check()).rejects.toThrow('prairie/sandbox has no current key of RS256')
    expect(() => node.of(ISSUER)).toThrow(expect.objectContaining({ status: 503 }))
    expect(kids(node, OTHER_ISSUER)).toHaveLength(2)
  })

  it('rejects where a key does not sign', async () => {
    let well = true
    const node = await ring(oldSealer, (jwk) => ({
      ...localSigner(jwk),
      sign: (bytes) => (well ? localSigner(jwk).sign(bytes) : Promise.reject(new Error('the key service is away'))),
    }))
    await node.check()
    well = false
    elapsed += 2001
    await expect(node.check()).rejects.toThrow('the key service is away')
    well = true
    elapsed += 2001
    await node.check()
  })

  it('opens a key again that it could not open at first: where keys are elsewhere, that is away now and then', async () => {
    let well = true
    const node = await ring(oldSealer, (jwk) => {
      if (!well) throw new Error('the key service is away')
      return localSigner(jwk)
    })
    well = false
    const { signs: replacement } = await rotation.revoke(signs(node))
    await node.ask()
    expect(() => node.of(ISSUER)).toThrow(expect.objectContaining({ status: 503 }))
    expect(kids(node, OTHER_ISSUER)).toHaveLength(2)
    well = true
    await node.ask()
    expect(signs(node)).toBe(replacement)
  })

  it('does not start with a key that it cannot open, and says which sealing key is missing', async () => {
    await expect(ring(createSealer([key('another')]))).rejects.toThrow(/sealed by the key old/)
  })
})

describe('another sealing key', () => {
  it('seals everything again at a start with it in first place; servers that run go on', async () => {
    const running = await ring(knowsNew)
    const behind = await ring(oldSealer)
    await sealAgain(ISSUER, { ...deps, sealer: knowsNew })
    expect(await sealedBy()).toEqual(new Set(['old']))

    await sealAgain(ISSUER, { ...deps, sealer: newFirst })
    expect(await sealedBy()).toEqual(new Set(['new']))
    const started = await ring(newFirst)
    expect(kids(started)).toEqual(kids(running))
    expect(started.mac(ISSUER, 'refresh-tokens').verify('x', running.mac(ISSUER, 'refresh-tokens').sign('x'))).toBe(
      true,
    )

    // Keys change after that: a server that knows both hears of it; one that lacks the new one keeps what it has opened.
    await sealAgain(OTHER_ISSUER, { ...deps, sealer: newFirst })
    const { signs: replacement } = await createKeyRotation({ ...deps, sealer: newFirst }).revoke(signs(running))
    await running.ask()
    await behind.ask()
    expect(signs(running)).toBe(replacement)
    expect(kids(behind, OTHER_ISSUER)).toEqual(kids(running, OTHER_ISSUER))
    await expect(behind.check()).rejects.toThrow(/sealed by the key new/)
    expect(() => behind.of(ISSUER)).toThrow(expect.objectContaining({ status: 503 }))
  })

  it('several that start at once seal once, and say so in the audit trail (R35)', async () => {
    await Promise.all([1, 2, 3].map(() => sealAgain(ISSUER, { ...deps, sealer: newFirst })))
    expect(await sealedBy()).toEqual(new Set(['new']))
    const said = await world.db.selectFrom('audit').selectAll().where('type', '=', 'keys.sealed-again').execute()
    expect(said.map(({ details }) => JSON.parse(details))).toEqual([{ v: 1, keys: 2, secrets: 3 }])
    await sealAgain(OTHER_ISSUER, { ...deps, sealer: newFirst })
    await (await ring(createSealer([key('new')]))).check()
  })
})

describe('a signer of this process', () => {
  it.each(['ES256', 'RS256'] as const)('signs %s as a JWS wants it, and shows nothing private', async (alg) => {
    const { privateKey } = await generateKeyPair(alg, { extractable: true })
    const signer = localSigner({ ...(await exportJWK(privateKey)), alg, kid: 'k' })
    expect(Object.keys(signer.publicJwk).filter((name) => ['d', 'p', 'q', 'dp', 'dq', 'qi'].includes(name))).toEqual([])
    const unsigned = (await new SignJWT({ a: 1 }).setProtectedHeader({ alg }).sign(privateKey)).split('.').slice(0, 2)
    const signature = Buffer.from(await signer.sign(Buffer.from(unsigned.join('.')))).toString('base64url')
    const { payload } = await jwtVerify([...unsigned, signature].join('.'), signer.publicJwk)
    expect(payload).toEqual({ a: 1 })
  })
})
