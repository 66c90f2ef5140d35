/**
 * The seam behind which tokens are signed: a private key of ours today, a key service tomorrow.
 *
 * Owns: what a signer is, and the one whose private key is in this process. Does not own: which of an issuer's signers
 * signs (key-ring.ts), or the token around the signature (the engine).
 * A signer that cannot sign is a fault of ours: whatever it throws becomes 503, and what was presented works afterwards (R43).
 */
import { createPrivateKey, type JsonWebKey, webcrypto } from 'node:crypto'
import type { JWK } from 'jose'

export const algorithms = ['ES256', 'RS256'] as const
export type Algorithm = (typeof algorithms)[number]

export interface Signer {
  kid: string
  algorithm: Algorithm
  /** What is published: with `kid`, `alg` and `use`, and nothing private. */
  publicJwk: JWK
  /** The signature of these bytes as a JWS has it (RFC 7518 §3): for ES256 `r` and `s`, joined. Settles within seconds. */
  sign(bytes: Uint8Array): Promise<Uint8Array>
}

/** Makes a signer of a private JWK that has `kid` and `alg`. */
export type OpenSigner = (privateJwk: JWK) => Signer

/** Members that only a private key has (RFC 7518 §6). */
const privateMembers = new Set(['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k'])
const publicPart = (jwk: JWK): JWK =>
  Object.fromEntries(Object.entries(jwk).filter(([name]) => !privateMembers.has(name))) as JWK

const schemes = {
  ES256: { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' },
  RS256: { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' },
} as const

/** Signs in this process, on the thread pool. The private key cannot be read out of it again. */
export const localSigner: OpenSigner = (jwk) => {
  const algorithm = jwk.alg as Algorithm
  const scheme = schemes[algorithm]
  const key = createPrivateKey({ key: jwk as JsonWebKey, format: 'jwk' }).toCryptoKey(scheme, false, ['sign'])
  return {
    kid: jwk.kid as string,
    algorithm,
    publicJwk: publicPart(jwk),
    sign: async (bytes) => new Uint8Array(await webcrypto.subtle.sign(scheme, key, bytes as Uint8Array<ArrayBuffer>)),
  }
}
