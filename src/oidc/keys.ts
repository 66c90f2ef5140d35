/**
 * The keys of an issuer in the store: made at first start, sealed at rest, sealed again when the sealing key changes.
 *
 * Owns: the rows of signing keys (ES256 for access tokens, RS256 because SMART wants it for ID tokens) and of the issuer's
 * other secrets (cookies, forms, the MAC of refresh tokens), and the number by which servers hear of a change.
 * Does not own: how they are sealed (secrets.ts), when they change (key-rotation.ts), or their use (key-ring.ts).
 */
import { exportJWK, generateKeyPair, type JWK } from 'jose'
import type { Kysely, Transaction } from 'kysely'
import type { Audit } from '../audit/audit.ts'
import type { EndingsLog } from '../recovery/endings-log.ts'
import { newId, type Place, randomToken, type Sealer } from '../secrets.ts'
import type { Database } from '../storage/database.ts'
import type { SealedSecretRow, SigningKeyRow, Tables } from '../storage/tables.ts'
import { lockByName } from '../storage/transaction-hooks.ts'
import { type Algorithm, algorithms } from './signer.ts'

export const purposes = ['cookies', 'forms', 'refresh-tokens'] as const
export type Purpose = (typeof purposes)[number]
/** A secret that every server knows and checks with, before one of them makes anything with it. */
export const nextOf = (purpose: Purpose) => `next ${purpose}` as const

export interface KeyDeps {
  database: Database
  sealer: Sealer
  audit: Audit
  /** Left out where no log is kept, and where no key is revoked. */
  endingsLog?: EndingsLog | undefined
  now: () => number
}

export const signingPlace = (kid: string): Place => ({ table: 'signing_keys', row: kid })
export const secretPlace = (id: string): Place => ({ table: 'sealed_secrets', row: id })

/** Makes a private key. RSA takes its time, so never inside of a transaction. */
export const newSigningKey = async (algorithm: Algorithm): Promise<JWK> => {
  const { privateKey } = await generateKeyPair(algorithm, { extractable: true, modulusLength: 2048 })
  return { ...(await exportJWK(privateKey)), kid: newId(), alg: algorithm, use: 'sig' }
}

export interface KeyRows {
  keys: SigningKeyRow[]
  secrets: SealedSecretRow[]
}

/** Waits until nobody else changes this issuer's keys; then reads them. */
export const lockKeys = async (trx: Transaction<Tables>, issuer: string): Promise<KeyRows> => {
  await lockByName(trx, `keys:${issuer}`)
  return readKeys(trx, issuer)
}

/** An issuer's rows, the newest first. */
export const readKeys = async (db: Kysely<Tables>, issuer: string): Promise<KeyRows> => ({
  keys: await db
    .selectFrom('signing_keys')
    .selectAll()
    .where('issuer', '=', issuer)
    .orderBy('created_at', 'desc')
    .execute(),
  secrets: await db
    .selectFrom('sealed_secrets')
    .selectAll()
    .where('issuer', '=', issuer)
    .orderBy('created_at', 'desc')
    .execute(),
})

/**
 * Tells every server that keys have changed: each asks for this number all the time.
 * @param version on a store that is older than what servers have read: a number that none of them can have seen
 */
export const tellServers = async (trx: Transaction<Tables>, version?: number): Promise<void> => {
  await trx
    .insertInto('key_changes')
    .values({ id: 'all', version: version ?? 1 })
    .onConflict((conflict) =>
      conflict.column('id').doUpdateSet((eb) => ({ version: version ?? eb('key_changes.version', '+', 1) })),
    )
    .execute()
}

/** Keeps a new signing key. */
export const addKey = async (
  trx: Transaction<Tables>,
  { sealer, audit, now }: KeyDeps,
  { issuer, jwk, state }: { issuer: string; jwk: JWK; state: 'next' | 'current' },
): Promise<void> => {
  const kid = jwk.kid as string
  const algorithm = jwk.alg as Algorithm
  await trx
    .insertInto('signing_keys')
    .values({
      kid,
      issuer,
      algorithm,
      sealed_jwk: sealer.seal(JSON.stringify(jwk), signingPlace(kid)),
      state,
      created_at: now(),
      retired_at: null,
    })
    .execute()
  await audit.record(trx, { type: 'key.created', issuer, actor: 'system', details: { kid, algorithm, state } })
}

/** Keeps a new secret. */
export const addSecret = async (
  trx: Transaction<Tables>,
  { sealer, audit, now }: KeyDeps,
  { issuer, purpose }: { issuer: string; purpose: Purpose | ReturnType<typeof nextOf> },
): Promise<void> => {
  const id = newId()
  await trx
    .insertInto('sealed_secrets')
    .values({ purpose, issuer, id, sealed_value: sealer.seal(randomToken(), secretPlace(id)), created_at: now() })
    .execute()
  await audit.record(trx, { type: 'secret.created', issuer, actor: 'system', details: { id, purpose } })
}

/** Makes whatever key an issuer lacks. Safe when several processes start at once: the first one's keys stay. */
export const ensureKeys = async (issuer: string, deps: KeyDeps): Promise<void> => {
  const { database } = deps
  const lacking = ({ keys }: KeyRows) =>
    algorithms.filter((algorithm) => !keys.some((row) => row.algorithm === algorithm && row.state === 'current'))
  const fresh = await Promise.all(lacking(await readKeys(database.db, issuer)).map(newSigningKey))
  await database.transaction(async (trx) => {
    const held = await lockKeys(trx, issuer)
    const missing = lacking(held)
    const made = fresh.filter((jwk) => missing.includes(jwk.alg as Algorithm))
    for (const jwk of made) await addKey(trx, deps, { issuer, jwk, state: 'current' })
    const unknown = purposes.filter((purpose) => !held.secrets.some((row) => row.purpose === purpose))
    for (const purpose of unknown) await addSecret(trx, deps, { issuer, purpose })
    if (made.length + unknown.length > 0) await tellServers(trx)
  })
}

/**
 * Seals again, by the first sealing key, what an older one sealed. Servers that run have opened it long ago, and need the
 * new sealing key when they start the next time.
 */
export const sealAgain = async (issuer: string, { database, sealer, audit }: KeyDeps): Promise<void> => {
  const again = (sealed: string, place: Place) => sealer.seal(sealer.open(sealed, place), place)
  const needed = ({ keys, secrets }: KeyRows): KeyRows => ({
    keys: keys.filter((row) => sealer.rotateNeeded(row.sealed_jwk)),
    secrets: secrets.filter((row) => sealer.rotateNeeded(row.sealed_value)),
  })
  const before = needed(await readKeys(database.db, issuer))
  if (before.keys.length + before.secrets.length === 0) return
  await database.transaction(async (trx) => {
    const { keys, secrets } = needed(await lockKeys(trx, issuer))
    if (keys.length + secrets.length === 0) return
    for (const { kid, sealed_jwk } of keys)
      await trx
        .updateTable('signing_keys')
        .set({ sealed_jwk: again(sealed_jwk, signingPlace(kid)) })
        .where('kid', '=', kid)
        .execute()
    for (const { id, sealed_value } of secrets)
      await trx
        .updateTable('sealed_secrets')
        .set({ sealed_value: again(sealed_value, secretPlace(id)) })
        .where('issuer', '=', issuer)
        .where('id', '=', id)
        .execute()
    await audit.record(trx, {
      type: 'keys.sealed-again',
      issuer,
      actor: 'system',
      details: { keys: keys.length, secrets: secrets.length },
    })
  })
}
