/**
 * When keys change: by age, by command, and at once when one is compromised.
 *
 * Owns: the rule by which signing keys and secrets are made, come into force and go; the job that applies it. Does not own:
 * the rows (keys.ts), or how servers hear of a change (key-ring.ts).
 *
 * A key is known before it is used, and after it. One day each: longer than the copies of the JWKS that verifiers are known
 * to keep (jose and the resource-server library ten minutes, gateways an hour or two), and than any token or sign-in lives.
 */
import type { JWK } from 'jose'
import type { Transaction } from 'kysely'
import { InputFaults } from '../errors.ts'
import type { Jobs } from '../storage/jobs.ts'
import type { SealedSecretRow, SigningKeyRow, Tables } from '../storage/tables.ts'
import {
  addKey,
  addSecret,
  type KeyDeps,
  type KeyRows,
  lockKeys,
  newSigningKey,
  nextOf,
  type Purpose,
  purposes,
  readKeys,
  tellServers,
} from './keys.ts'
import { type Algorithm, algorithms } from './signer.ts'

const day = 86_400_000
/** How long a key is known before it is used. */
export const knownBefore = day
/** How long it is known after it was used. */
export const knownAfter = day
/** How long a secret is: that of refresh tokens until every copy of the store from which one may go back has it (R46). */
export const secretKnownBefore: Record<Purpose, number> = { cookies: day, forms: day, 'refresh-tokens': 30 * day }
/** Cookies are in browsers until the absolute end of a session (24 h at most), forms until their authorization ends (1 h). */
const secretsAfter = 2 * day
/** Somebody who changes keys waits so long at most for the server to take its turn. */
const turnEvery = 600_000

/** What a turn did, or what it left for later. */
export interface Turn {
  subject: Algorithm | Purpose
  /** The kid of a signing key, the id of a secret; none for a secret that was made now. */
  id: string | null
  step: 'made' | 'waiting' | 'in-force' | 'removed'
  /** When it comes into force, or when what it replaces goes. */
  at: number
  /** The key that it replaces. */
  replaces?: string
}

export interface KeyRotation {
  /**
   * Does what is due for an issuer: what is known for long enough comes into force, what nothing needs any more goes.
   * @param order.rotateDays how old keys become; null: only `begin` makes new ones
   * @param order.begin makes new keys now, where none wait already
   */
  turn(issuer: string, order: { rotateDays: number | null; begin: boolean }): Promise<Turn[]>
  /** Unpublishes a key at once; one that signed is replaced in the same transaction. */
  revoke(kid: string): Promise<Revocation>
  /** The same for a key that was revoked at `at` on a newer store than this one (R46). False: it is gone already. */
  revokeAgain(kid: string, at: number): Promise<boolean>
}

interface Revocation {
  issuer: string
  algorithm: Algorithm
  was: SigningKeyRow['state']
  /** What signs in its place. */
  signs: string | null
}

interface KeyPlan {
  algorithm: Algorithm
  /** A new one has to be made. */
  make: boolean
  /** Comes into force now. */
  promote: SigningKeyRow | undefined
  /** Not yet. */
  waiting: SigningKeyRow | undefined
  current: SigningKeyRow | undefined
  remove: SigningKeyRow[]
}

const planOf = (
  { keys }: KeyRows,
  algorithm: Algorithm,
  { now, rotateMillis, begin }: { now: number; rotateMillis: number; begin: boolean },
): KeyPlan => {
  const own = keys.filter((row) => row.algorithm === algorithm)
  const current = own.find((row) => row.state === 'current')
  const next = own.find((row) => row.state === 'next')
  const ready = next !== undefined && next.created_at + knownBefore <= now
  const aged = current !== undefined && current.created_at + rotateMillis - knownBefore <= now
  return {
    algorithm,
    make: !next && (begin || aged),
    promote: ready ? next : undefined,
    waiting: ready ? undefined : next,
    current,
    remove: own.filter((row) => row.state === 'retired' && (row.retired_at ?? 0) + knownAfter <= now),
  }
}

export const createKeyRotation = (deps: KeyDeps): KeyRotation => {
  const { database, audit, now } = deps

  const setState = (trx: Transaction<Tables>, kid: string, state: 'current' | 'retired') =>
    trx
      .updateTable('signing_keys')
      .set({ state, retired_at: state === 'retired' ? now() : null })
      .where('kid', '=', kid)
      .execute()

  const removeKey = (trx: Transaction<Tables>, kid: string) =>
    trx.deleteFrom('signing_keys').where('kid', '=', kid).execute()

  const turnKey = async (
    trx: Transaction<Tables>,
    issuer: string,
    plan: KeyPlan,
    fresh: JWK | undefined,
  ): Promise<Turn[]> => {
    const { algorithm, promote, waiting, current } = plan
    const turns: Turn[] = []
    const record = (type: 'key.rotated' | 'key.removed', details: Record<string, string | null>) =>
      audit.record(trx, { type, issuer, actor: 'system', details: { algorithm, ...details } })
    for (const { kid } of plan.remove) {
      await removeKey(trx, kid)
      await record('key.removed', { kid })
      turns.push({ subject: algorithm, id: kid, step: 'removed', at: now() })
    }
    if (promote) {
      // Only one of an algorithm may be current: first out, then in.
      if (current) await setState(trx, current.kid, 'retired')
      await setState(trx, promote.kid, 'current')
      await record('key.rotated', { kid: promote.kid, retired: current?.kid ?? null })
      turns.push({
        subject: algorithm,
        id: promote.kid,
        step: 'in-force',
        at: now() + knownAfter,
        ...(current ? { replaces: current.kid } : {}),
      })
    }
    if (waiting)
      turns.push({ subject: algorithm, id: waiting.kid, step: 'waiting', at: waiting.created_at + knownBefore })
    if (plan.make && fresh?.kid) {
      await addKey(trx, deps, { issuer, jwk: fresh, state: 'next' })
      turns.push({ subject: algorithm, id: fresh.kid, step: 'made', at: now() + knownBefore })
    }
    return turns
  }

  /** Is there nothing more that a secret has made, now that another makes since `since`? */
  const isSpent = async (
    trx: Transaction<Tables>,
    issuer: string,
    purpose: Purpose,
    since: number,
  ): Promise<boolean> => {
    if (purpose !== 'refresh-tokens') return since + secretsAfter <= now()
    // A server may not have heard at once, or its clock be ahead: for a while tokens are made with either.
    const made = since + day
    if (now() < made) return false
    // A refresh token may be as old as its grant, and is told why it is refused until the grant would have ended.
    const grant = await trx
      .selectFrom('grants')
      .select('id')
      .where('issuer', '=', issuer)
      .where('created_at', '<=', made)
      .where('expires_at', '>', now())
      .limit(1)
      .executeTakeFirst()
    return grant === undefined
  }

  const turnSecret = async (
    trx: Transaction<Tables>,
    issuer: string,
    purpose: Purpose,
    { rows, rotateMillis, begin }: { rows: SealedSecretRow[]; rotateMillis: number; begin: boolean },
  ): Promise<Turn[]> => {
    const makers = rows.filter((row) => row.purpose === purpose)
    const next = rows.find((row) => row.purpose === nextOf(purpose))
    const known = secretKnownBefore[purpose]
    const turns: Turn[] = []
    for (const [i, { id }] of makers.entries()) {
      const successor = makers[i - 1]
      if (!successor || !(await isSpent(trx, issuer, purpose, successor.created_at))) continue
      await trx.deleteFrom('sealed_secrets').where('issuer', '=', issuer).where('id', '=', id).execute()
      await audit.record(trx, { type: 'secret.removed', issuer, actor: 'system', details: { id, purpose } })
      turns.push({ subject: purpose, id, step: 'removed', at: now() })
    }
    const aged = makers[0] !== undefined && makers[0].created_at + rotateMillis - known <= now()
    if (next && next.created_at + known <= now()) {
      await trx
        .updateTable('sealed_secrets')
        .set({ purpose, created_at: now() })
        .where('issuer', '=', issuer)
        .where('id', '=', next.id)
        .execute()
      await audit.record(trx, { type: 'secret.rotated', issuer, actor: 'system', details: { id: next.id, purpose } })
      turns.push({ subject: purpose, id: next.id, step: 'in-force', at: now() })
    } else if (next) {
      turns.push({ subject: purpose, id: next.id, step: 'waiting', at: next.created_at + known })
    } else if (begin || aged) {
      await addSecret(trx, deps, { issuer, purpose: nextOf(purpose) })
      turns.push({ subject: purpose, id: null, step: 'made', at: now() + known })
    }
    return turns
  }

  const revoke = async (kid: string, replayedFrom?: number): Promise<Revocation | undefined> => {
    const before = await database.db.selectFrom('signing_keys').selectAll().where('kid', '=', kid).executeTakeFirst()
    if (!before) return undefined
    const { issuer, algorithm } = before
    const fresh = await newSigningKey(algorithm)
    return database.transaction(async (trx) => {
      const { keys } = await lockKeys(trx, issuer)
      const was = keys.find((row) => row.kid === kid)?.state
      if (!was) return undefined
      await removeKey(trx, kid)
      const replayed: Record<string, string> =
        replayedFrom === undefined ? {} : { replayedFrom: new Date(replayedFrom).toISOString() }
      const details = { kid, algorithm, state: was, reason: 'compromised', ...replayed }
      await audit.record(trx, { type: 'key.revoked', issuer, actor: 'system', details })
      if (replayedFrom === undefined) deps.endingsLog?.note(trx, { kind: 'signing-key', at: now(), issuer, kid })
      const next = keys.find((row) => row.algorithm === algorithm && row.state === 'next' && row.kid !== kid)
      let signs: string | null = null
      if (was === 'current') {
        signs = next?.kid ?? (fresh.kid as string)
        if (next) {
          await setState(trx, next.kid, 'current')
          await audit.record(trx, {
            type: 'key.rotated',
            issuer,
            actor: 'system',
            details: { algorithm, kid: next.kid, retired: null },
          })
        } else await addKey(trx, deps, { issuer, jwk: fresh, state: 'current' })
      }
      await tellServers(trx, replayedFrom === undefined ? undefined : now())
      return { issuer, algorithm, was, signs }
    })
  }

  return {
    async turn(issuer, { rotateDays, begin }) {
      const rotateMillis = rotateDays === null ? Number.POSITIVE_INFINITY : rotateDays * day
      const plans = (held: KeyRows) =>
        algorithms.map((algorithm) => planOf(held, algorithm, { now: now(), rotateMillis, begin }))
      const needed = plans(await readKeys(database.db, issuer)).filter(({ make }) => make)
      const fresh = await Promise.all(needed.map(({ algorithm }) => newSigningKey(algorithm)))
      return database.transaction(async (trx) => {
        const held = await lockKeys(trx, issuer)
        const turns: Turn[] = []
        for (const plan of plans(held))
          turns.push(
            ...(await turnKey(
              trx,
              issuer,
              plan,
              fresh.find(({ alg }) => alg === plan.algorithm),
            )),
          )
        for (const purpose of purposes)
          turns.push(...(await turnSecret(trx, issuer, purpose, { rows: held.secrets, rotateMillis, begin })))
        if (turns.some(({ step }) => step !== 'waiting')) await tellServers(trx)
        return turns
      })
    },

    async revoke(kid) {
      const revoked = await revoke(kid)
      if (!revoked) throw new InputFaults([{ path: 'KID', message: 'must be a key that `keys list` names' }])
      return revoked
    },

    revokeAgain: async (kid, at) => (await revoke(kid, at)) !== undefined,
  }
}

/** Registers the recurring job `keys`. */
export const addKeyRotation = (deps: {
  rotation: KeyRotation
  jobs: Jobs
  issuers: readonly string[]
  rotateDays: number | null
}): void => {
  const { rotation, jobs, issuers, rotateDays } = deps
  jobs.handle('keys', async ({ signal }) => {
    for (const issuer of issuers) {
      if (signal.aborted) return
      await rotation.turn(issuer, { rotateDays, begin: false })
    }
  })
  jobs.every('keys', turnEvery)
}
