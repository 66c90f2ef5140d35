/**
 * The names of everything that Latchkey keeps in Redis; there is no other place that makes one.
 *
 *     lk:{issuer}:r:{kind}:{key}       hash        one record; its fields are in redis-scripts.ts
 *     lk:{issuer}:c:{kind}:{key}       hash        one counter: c count, e end of the window
 *     lk:{issuer}:u:{kind}:{uid}       string      the key of the record that was set with this uid, as JSON
 *     lk:{issuer}:g:{grant}            sorted set  of {kind}:{key}, records that were set with this grant, by their expiry
 *     lk:{issuer}:m:{kind}:{member}    sorted set  of {kind}:{key}, records of one kind that were set with this member
 *     lk:ready:{0 to 63}               string      written by readiness, to know that writing works
 *
 * The braces stand for values and are not written: a name in braces would bind keys to one slot of a Cluster. `{issuer}`
 * is plan/environment; `{kind}` a word of ours; `{key}`, `{uid}`, `{grant}` and `{member}` are SHA-256 in base64url of
 * whatever text came, so that no name holds a secret, and none is long or hostile. Every key has a time to live. An
 * operator's ACL needs `~lk:*` and the commands that docs/operating.md lists.
 */
import { sha256 } from '../secrets.ts'

/** So many names that one of them falls to each master of a Cluster. */
export const READY_KEYS: readonly string[] = Array.from({ length: 64 }, (_, i) => `lk:ready:${i}`)

/** JSON, because a text with half a surrogate pair has no UTF-8 of its own. */
export const keyHash = (text: string): string => sha256(JSON.stringify(text))

/** The names of one issuer's keys. */
export const keysOf = (issuer: string) => {
  const prefix = `lk:${issuer}`
  const place = (kind: string, key: string) => `${encodeURIComponent(kind)}:${keyHash(key)}`
  return {
    /** What indexes hold: a record's name without the prefix. */
    place,
    record: (kind: string, key: string) => `${prefix}:r:${place(kind, key)}`,
    recordAt: (placed: string) => `${prefix}:r:${placed}`,
    counter: (kind: string, key: string) => `${prefix}:c:${place(kind, key)}`,
    uid: (kind: string, uid: string) => `${prefix}:u:${place(kind, uid)}`,
    grant: (grant: string) => `${prefix}:g:${keyHash(grant)}`,
    member: (kind: string, member: string) => `${prefix}:m:${place(kind, member)}`,
  }
}
