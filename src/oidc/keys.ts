/**
 * The keys of an issuer: made at first start, sealed at rest.
 *
 * Owns: signing keys (ES256 for access tokens, RS256 because SMART wants it for ID tokens), and the issuer's other
 * secrets (cookies, forms, the MAC of refresh tokens).
 * Does not own: how they are sealed (secrets.ts) or what is signed (the engine).
 */
import { exportJWK, generateKeyPair, type JWK } from 'jose'
import type { Kysely } from 'kysely'
import type { Audit } from '../audit/audit.ts'
import { newId, randomToken, type Sealer } from '../secrets.ts'
import type { Database } from '../storage/database.ts'
import type { Tables } from '../storage/tables.ts'
import { lockByName } from '../storage/transaction-hooks.ts'

const algorithms = ['ES256', 'RS256'] as const
const purposes = ['cookies', 'forms', 'refresh-tokens'] as const
type Purpose = (typeof purposes)[number]

export interface IssuerKeys {
  /** Private JWKs, the signing ones first. */
  signing: JWK[]
  /** Secrets by purpose, the newest first. */
  secrets: Record<Purpose, string[]>
}

interface KeyDeps {
  database: Database
  sealer: Sealer
  audit: Audit
  now: () => number
}

const signingPlace = (kid: string) => ({ table: 'signing_keys', row: kid })
const secretPlace = (id: string) => ({ table: 'sealed_secrets', row: id })

const newSigningKey = async (algorithm: (typeof algorithms)[number]): Promise<JWK> => {
  const { privateKey } = await generateKeyPair(algorithm, { extractable: true, modulusLength: 2048 })
  return { ...(await exportJWK(privateKey)), kid: newId(), alg: algorithm, use: 'sig' }
}

/** Makes whatever key an issuer lacks. Safe when several processes start at once: the first one's keys stay. */
export const ensureKeys = async (issuer: string, { database, sealer, audit, now }: KeyDeps): Promise<void> => {
  const heldAlgorithms = (db: Kysely<Tables>) =>
    db.selectFrom('signing_keys').select('algorithm').where('issuer', '=', issuer).execute()
  const before = await heldAlgorithms(database.db)
  const missing = algorithms.filter((algorithm) => !before.some((row) => row.algorithm === algorithm))
  const fresh = await Promise.all(missing.map(newSigningKey))
  await database.transaction(async (trx) => {
    await lockByName(trx, `keys:${issuer}`)
    const held = await heldAlgorithms(trx)
    for (const jwk of fresh.filter((key) => !held.some((row) => row.algorithm === key.alg))) {
      const kid = jwk.kid as string
      await trx
        .insertInto('signing_keys')
        .values({
          kid,
          issuer,
          algorithm: jwk.alg as (typeof algorithms)[number],
          sealed_jwk: sealer.seal(JSON.stringify(jwk), signingPlace(kid)),
          state: 'current',
          created_at: now(),
          retired_at: null,
        })
        .execute()
      await audit.record(trx, {
        type: 'key.created',
        issuer,
        actor: 'system',
        details: { kid, algorithm: jwk.alg ?? '' },
      })
    }
    const known = await trx.selectFrom('sealed_secrets').select('purpose').where('issuer', '=', issuer).execute()
    for (const purpose of purposes.filter((p) => !known.some((row) => row.purpose === p))) {
      const id = newId()
      await trx
        .insertInto('sealed_secrets')
        .values({ purpose, issuer, id, sealed_value: sealer.seal(randomToken(), secretPlace(id)), created_at: now() })
        .execute()
    }
  })
}

/** The keys of an issuer, opened. Throws Unavailable where no sealing key of ours opens them. */
export const loadKeys = async (
  issuer: string,
  { database, sealer }: Pick<KeyDeps, 'database' | 'sealer'>,
): Promise<IssuerKeys> => {
  const rows = await database.db
    .selectFrom('signing_keys')
    .selectAll()
    .where('issuer', '=', issuer)
    .orderBy('created_at', 'desc')
    .execute()
  // The engine signs with the first key of an algorithm; all are published.
  const order = { current: 0, next: 1, retired: 2 }
  const signing = rows
    .sort((a, b) => order[a.state] - order[b.state])
    .map((row): JWK => JSON.parse(sealer.open(row.sealed_jwk, signingPlace(row.kid))))
  const sealed = await database.db
    .selectFrom('sealed_secrets')
    .selectAll()
    .where('issuer', '=', issuer)
    .orderBy('created_at', 'desc')
    .execute()
  const open = (purpose: Purpose) =>
    sealed.filter((row) => row.purpose === purpose).map((row) => sealer.open(row.sealed_value, secretPlace(row.id)))
  return {
    signing,
    secrets: { cookies: open('cookies'), forms: open('forms'), 'refresh-tokens': open('refresh-tokens') },
  }
}
