/**
 * Ids, random tokens, hashes, sealing and MACs: everything that is done with a secret, done in one way.
 *
 * Owns: the formats (`sha256:…`, `v1.{keyId}.{iv}.{box}`) and the algorithms behind them.
 * Does not own: where keys come from (config) or which row a sealed value lives in (the caller names its place).
 * Passwords are no matter of this file: people choose them, so they need a slow hash (accounts/password).
 */
import {
  createCipheriv,
  createDecipheriv,
  createHmac,
  createSecretKey,
  hash,
  hkdfSync,
  type KeyObject,
  randomBytes,
  timingSafeEqual,
} from 'node:crypto'
import { Unavailable } from './errors.ts'

/** A UUIDv7 (RFC 9562, 5.7): sorts by the millisecond it was made in, the rest is random. */
export function newId(now: number = Date.now()): string {
  const bytes = randomBytes(16)
  bytes.writeUIntBE(now, 0, 6)
  bytes[6] = 0x70 | (bytes.readUInt8(6) & 0x0f)
  bytes[8] = 0x80 | (bytes.readUInt8(8) & 0x3f)
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
}

/** Unguessable text in base64url; 32 bytes unless told. */
export function randomToken(bytes = 32): string {
  return randomBytes(bytes).toString('base64url')
}

/** SHA-256 of the text's UTF-8, in base64url. */
export function sha256(text: string): string {
  return hash('sha256', text, 'base64url')
}

/** How a secret of high entropy is kept: `sha256:{base64url}`. Never for a password that a person chose. */
export function hashSecret(text: string): string {
  return `sha256:${sha256(text)}`
}

/** Is `text` one of the secrets behind `hashes`? Takes the same time wherever the match is, or if there is none. */
export function secretMatches(text: string, hashes: readonly string[]): boolean {
  const candidate = hashSecret(text)
  let found = false
  for (const held of hashes) found = sameText(candidate, held) || found
  return found
}

/** Where a sealed value lives. It opens nowhere else, so that rows cannot be swapped. */
export interface Place {
  table: string
  row: string
}

/** A key that seals and opens what is secret at rest. Of a list the first seals; all open. */
export interface SealingKey {
  id: string
  secret: string
}

export interface Sealer {
  /** AES-256-GCM with the first key. Answers `v1.{keyId}.{iv}.{ciphertext and tag}`. */
  seal(plain: string, place: Place): string
  /** Throws `Unavailable` where no key of ours opens it: a fault of ours, never of who presented something (R43). */
  open(sealed: string, place: Place): string
  /** Was it sealed by another key than the first? */
  rotateNeeded(sealed: string): boolean
}

/** The id of the key that sealed it; undefined for what is not sealed. */
export const sealingKeyOf = (sealed: string): string | undefined => SEALED.exec(sealed)?.groups?.keyId

const SEALED = /^v1\.(?<keyId>.+)\.(?<iv>[\w-]{16})\.(?<box>[\w-]{22,})$/
const TAG_BYTES = 16

/** Seals with the first key, opens with any. Each key is derived from its secret by HKDF-SHA-256. */
export function createSealer(keys: readonly SealingKey[]): Sealer {
  const first = keys[0]
  if (!first) throw new TypeError('a sealer needs at least one key')
  const derived = new Map(keys.map((key) => [key.id, derive(key.secret)]))
  if (derived.size !== keys.length) throw new TypeError('two sealing keys have one id')

  return {
    seal(plain, place) {
      const iv = randomBytes(12)
      const cipher = createCipheriv('aes-256-gcm', derived.get(first.id) as KeyObject, iv, { authTagLength: TAG_BYTES })
      cipher.setAAD(binding(first.id, place))
      const box = Buffer.concat([cipher.update(plain, 'utf8'), cipher.final(), cipher.getAuthTag()])
      return `v1.${first.id}.${iv.toString('base64url')}.${box.toString('base64url')}`
    },

    open(sealed, place) {
      const name = `${place.table}/${place.row}`
      const parts = SEALED.exec(sealed)?.groups as { keyId: string; iv: string; box: string } | undefined
      if (!parts) throw new Unavailable(`${name} is not a sealed value`)
      const key = derived.get(parts.keyId)
      if (!key) throw new Unavailable(`${name} is sealed by the key ${parts.keyId}, which is not configured`)
      try {
        const box = Buffer.from(parts.box, 'base64url')
        const iv = Buffer.from(parts.iv, 'base64url')
        const decipher = createDecipheriv('aes-256-gcm', key, iv, { authTagLength: TAG_BYTES })
        decipher.setAAD(binding(parts.keyId, place))
        decipher.setAuthTag(box.subarray(-TAG_BYTES))
        return Buffer.concat([decipher.update(box.subarray(0, -TAG_BYTES)), decipher.final()]).toString('utf8')
      } catch (cause) {
        throw new Unavailable(`${name} does not open: changed, moved, or sealed by another key of that id`, { cause })
      }
    },

    rotateNeeded: (sealed) => sealingKeyOf(sealed) !== first.id,
  }
}

export interface Mac {
  /** HMAC-SHA-256 by the first secret, cut to 128 bits, in base64url (22 characters). */
  sign(text: string): string
  /** Is `mac` what any of the secrets makes of `text`? Constant time. */
  verify(text: string, mac: string): boolean
}

/** A message authentication code whose secrets can be rotated: the first signs, all verify. */
export function createMac(secrets: readonly string[]): Mac {
  const keys = secrets.map((secret) => createSecretKey(secret, 'utf8'))
  const [first] = keys
  if (!first || secrets.includes('')) throw new TypeError('a MAC needs at least one secret, and none that is empty')
  return {
    sign: (text) => mac(first, text),
    verify(text, presented) {
      let found = false
      for (const key of keys) found = sameText(mac(key, text), presented) || found
      return found
    },
  }
}

function mac(key: KeyObject, text: string): string {
  return createHmac('sha256', key).update(text, 'utf8').digest().subarray(0, 16).toString('base64url')
}

/** 32 bytes for one use of a secret, by HKDF-SHA-256; those of another use tell nothing of them. */
export function deriveBytes(secret: string, use: string): Buffer {
  return Buffer.from(hkdfSync('sha256', secret, '', use, 32))
}

function derive(secret: string): KeyObject {
  return createSecretKey(deriveBytes(secret, 'latchkey seal v1'))
}

/** JSON keeps the parts apart: `{table: 'a', row: 'b/c'}` and `{table: 'a/b', row: 'c'}` differ. */
function binding(keyId: string, place: Place): Buffer {
  return Buffer.from(JSON.stringify(['v1', keyId, place.table, place.row]))
}

/** Compares all of the text whatever differs; only a difference in length shows. */
function sameText(left: string, right: string): boolean {
  const a = Buffer.from(left)
  const b = Buffer.from(right)
  return a.length === b.length && timingSafeEqual(a, b)
}
