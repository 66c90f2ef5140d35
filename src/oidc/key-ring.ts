/**
 * The keys that this server uses now, of every issuer: opened, and renewed soon after they change in the store.
 *
 * Owns: asking the store whether anything has changed (one row, twice a second), opening what is new, and saying when the
 * keys known here are too old to be used. Does not own: the rows (keys.ts), or when keys change (key-rotation.ts).
 * Hands to: issuers.ts, which builds an engine for each new set of keys.
 *
 * What was opened once stays open, so that sealing again disturbs no server that runs. While the store is away, the keys
 * known last go on, for as long as nobody could have revoked one for longer than verifiers keep a copy anyway.
 */
import { setTimeout } from 'node:timers/promises'
import { createLocalJWKSet } from 'jose'
import { Unavailable } from '../errors.ts'
import type { Log } from '../log.ts'
import { createMac, type Mac, type Sealer } from '../secrets.ts'
import type { Database } from '../storage/database.ts'
import type { SealedSecretRow, SigningKeyRow } from '../storage/tables.ts'
import { type KeyRows, nextOf, type Purpose, readKeys, secretPlace, signingPlace } from './keys.ts'
import { algorithms, localSigner, type OpenSigner, type Signer } from './signer.ts'

/** The keys of one issuer at one time; another set is another object. */
export interface IssuerKeys {
  /** Of one algorithm the first signs; all are published. */
  signers: readonly Signer[]
  /** Finds a published key for a token's header. */
  published: ReturnType<typeof createLocalJWKSet>
  /** By purpose: the first makes, all check. */
  secrets: Record<Purpose, readonly string[]>
}

export interface KeyRing {
  /** The keys of an issuer in force. Throws Unavailable where they cannot be opened here, or are too old. */
  of(issuer: string): IssuerKeys
  /** A MAC by the secrets in force at each call. */
  mac(issuer: string, purpose: Purpose): Mac
  /** Asks the store now, for whoever must not miss a change of a moment ago. Never fails: `of` says what is known. */
  ask(): Promise<void>
  /** The store is another one now, in which the same number may stand for other keys: they are read anew. */
  forget(): void
  /** Rejects with the reason if the keys of an issuer cannot be used. */
  check(): Promise<void>
  close(): Promise<void>
}

/** The number of a store that was not read yet. */
const NEVER = -1
/** Every server knows of a change within a second. */
const pollMillis = 500
/** As long as the JWKS may be cached by its own header: a server that hears nothing hands out no older keys than a cache. */
const longestSilenceMillis = 300_000
const longestWaitMillis = 1_000
/** Whoever asks for the health of a server does not make it sign each time. */
const proofMillis = 2_000

const keptIn = <T>(kept: Map<string, T>, id: string, open: () => T): T => {
  const found = kept.get(id) ?? open()
  kept.set(id, found)
  return found
}

const order = { current: 0, next: 1, retired: 2 }

export const createKeyRing = async (deps: {
  database: Database
  sealer: Sealer
  issuers: readonly string[]
  log: Log
  openSigner?: OpenSigner
  /** Milliseconds that no change of the clock touches. */
  elapsed?: () => number
}): Promise<KeyRing> => {
  const { database, sealer, issuers, log, openSigner = localSigner, elapsed = () => performance.now() } = deps
  /** What was opened, by kid and id. */
  const signers = new Map<string, Signer>()
  const secrets = new Map<string, string>()
  let known = new Map<string, { rows: string; keys: IssuerKeys | Unavailable }>()
  let stores = 1
  let version = NEVER
  let readAt = Number.NEGATIVE_INFINITY
  let silent = false
  let proof: { at: number; result: Promise<void> } | undefined

  const signerOf = (row: SigningKeyRow): Signer =>
    keptIn(signers, row.kid, () => openSigner(JSON.parse(sealer.open(row.sealed_jwk, signingPlace(row.kid)))))
  const secretOf = (row: SealedSecretRow): string =>
    keptIn(secrets, row.id, () => sealer.open(row.sealed_value, secretPlace(row.id)))

  const open = (issuer: string, held: KeyRows): IssuerKeys => {
    const lacking = algorithms.find((each) => !held.keys.some((k) => k.algorithm === each && k.state === 'current'))
    if (lacking) throw new Unavailable(`${issuer} has no current key of ${lacking}`)
    const ofPurpose = (purpose: Purpose) =>
      [purpose, nextOf(purpose)].flatMap((name) => held.secrets.filter((row) => row.purpose === name).map(secretOf))
    const all = [...held.keys].sort((a, b) => order[a.state] - order[b.state]).map(signerOf)
    return {
      signers: all,
      published: createLocalJWKSet({ keys: all.map((signer) => signer.publicJwk) }),
      secrets: {
        cookies: ofPurpose('cookies'),
        forms: ofPurpose('forms'),
        'refresh-tokens': ofPurpose('refresh-tokens'),
      },
    }
  }

  const openOrFault = (issuer: string, held: KeyRows, again: boolean): IssuerKeys | Unavailable => {
    try {
      const keys = open(issuer, held)
      if (again) log.info({ issuer }, 'the keys of an issuer can be used again')
      return keys
    } catch (cause) {
      if (!again) log.error({ err: cause, issuer }, 'the keys of an issuer cannot be used')
      return cause instanceof Unavailable ? cause : new Unavailable(`the keys of ${issuer}`, { cause })
    }
  }

  /** Answers whether every issuer's keys could be opened. */
  const load = async (): Promise<boolean> => {
    const read: typeof known = new Map()
    const ids = new Set<string>()
    for (const issuer of issuers) {
      const held = await readKeys(database.db, issuer)
      for (const { kid } of held.keys) ids.add(kid)
      for (const { id } of held.secrets) ids.add(id)
      const rows = JSON.stringify([held.keys.map((k) => [k.kid, k.state]), held.secrets.map((s) => [s.id, s.purpose])])
      const before = known.get(issuer)
      const faulty = before?.keys instanceof Unavailable
      const same = before?.rows === rows && !faulty
      read.set(issuer, same ? before : { rows, keys: openOrFault(issuer, held, faulty) })
    }
    for (const kept of [signers, secrets]) for (const id of kept.keys()) if (!ids.has(id)) kept.delete(id)
    known = read
    proof = undefined
    return ![...known.values()].some(({ keys }) => keys instanceof Unavailable)
  }

  const read = async (): Promise<void> => {
    const row = await database.db.selectFrom('key_changes').select('version').where('id', '=', 'all').executeTakeFirst()
    // Read before the keys: what changes meanwhile is read once more.
    const found = row?.version ?? 0
    const store = stores
    // What could not be opened may be another time: where keys are elsewhere, that is away now and then.
    if (found !== version) version = (await load()) && store === stores ? found : NEVER
    readAt = elapsed()
  }

  const tryToRead = async (): Promise<void> => {
    try {
      await read()
      if (!silent) return
      log.info('keys can be read again')
      silent = false
      proof = undefined
    } catch (error) {
      if (!silent) log.warn({ err: error }, 'keys cannot be read: the last known go on for five minutes')
      silent = true
    }
  }

  let reading: Promise<void> = Promise.resolve()
  let waiting: Promise<void> | undefined
  /** One at a time; whoever comes while one runs waits for the next, which began after they came. */
  const readSoon = (): Promise<void> => {
    waiting ??= reading.then(() => {
      waiting = undefined
      reading = tryToRead()
      return reading
    })
    return waiting
  }

  const of = (issuer: string): IssuerKeys => {
    if (elapsed() - readAt > longestSilenceMillis) throw new Unavailable('keys could not be read for five minutes')
    const keys = known.get(issuer)?.keys ?? new Unavailable(`${issuer} has no keys here`)
    if (keys instanceof Unavailable) throw keys
    return keys
  }

  /** Every key that signs does sign. */
  const prove = async (): Promise<void> => {
    for (const issuer of issuers) {
      const { signers: all } = of(issuer)
      for (const algorithm of algorithms)
        await all.find((signer) => signer.algorithm === algorithm)?.sign(Buffer.from('ready?'))
    }
  }

  await read()
  for (const { keys } of known.values()) if (keys instanceof Unavailable) throw keys
  const timer = setInterval(readSoon, pollMillis).unref()

  return {
    of,

    mac(issuer, purpose) {
      let made: { of: IssuerKeys; mac: Mac } | undefined
      const inForce = (): Mac => {
        const keys = of(issuer)
        if (made?.of !== keys) made = { of: keys, mac: createMac(keys.secrets[purpose]) }
        return made.mac
      }
      return {
        sign: (text) => inForce().sign(text),
        verify: (text, presented) => inForce().verify(text, presented),
      }
    },

    async ask() {
      // Of a store that is known to be away nobody waits to hear, and of a slow one not for long.
      if (!silent) await Promise.race([readSoon(), setTimeout(longestWaitMillis, undefined, { ref: false })])
    },

    forget() {
      stores++
      version = NEVER
    },

    check() {
      if (!proof || elapsed() - proof.at > proofMillis) proof = { at: elapsed(), result: prove() }
      return proof.result
    },

    async close() {
      clearInterval(timer)
      await (waiting ?? reading)
    },
  }
}
