/** An app's key, and the proofs that it makes with it (RFC 9449). */
import { createHash, randomUUID } from 'node:crypto'
import { calculateJwkThumbprint, exportJWK, generateKeyPair, type JWK, SignJWT } from 'jose'

export interface ProofKey {
  jwk: JWK
  /** The thumbprint of the public key. */
  jkt: string
  /** A proof for a request; `claims` and `header` say what is not so, undefined leaves a member out. */
  proof(
    method: string,
    url: string,
    more?: { claims?: Record<string, unknown>; header?: Record<string, unknown>; token?: string },
  ): Promise<string>
}

export const proofKey = async (alg = 'ES256'): Promise<ProofKey> => {
  const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true })
  const jwk = await exportJWK(publicKey)
  return {
    jwk,
    jkt: await calculateJwkThumbprint(jwk),
    proof: (method, url, { claims = {}, header = {}, token } = {}) => {
      const said = {
        jti: randomUUID(),
        htm: method,
        htu: url,
        iat: Math.floor(Date.now() / 1000),
        ...(token ? { ath: createHash('sha256').update(token).digest('base64url') } : {}),
        ...claims,
      }
      return new SignJWT(said).setProtectedHeader({ alg, typ: 'dpop+jwt', jwk, ...header }).sign(privateKey)
    },
  }
}
