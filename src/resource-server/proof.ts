/**
 * Does the sender of a token hold the key that it is bound to? (DPoP: RFC 9449 sections 4.3 and 7.)
 *
 * Owns: the checks of a proof, and that each proof counts once.
 * Does not own: the token (verify.ts), which says by `cnf.jkt` whose key it must be.
 */
import { base64url, calculateJwkThumbprint, EmbeddedJWK, type JWK, jwtVerify } from 'jose'
import { readCompactJws } from './compact-jws.ts'

/** What a proof is compared with. */
export interface ProvenRequest {
  /** The header `DPoP` as it came; undefined if there was none. Sent twice, or joined by a comma, it is refused. */
  proof: string | readonly string[] | undefined
  /** As on the request line. */
  method: string
  /** The absolute URL to which the app sent the request: the public one, where a proxy rewrites it. The query does not matter. */
  url: string
}

/** Where proofs are remembered, so that each counts once. Servers that answer for one base share one store. */
export interface ReplayStore {
  /** Remembers `key` for so many seconds; false if it is remembered already. One step, or two requests at once both count. */
  remember(key: string, seconds: number): boolean | Promise<boolean>
}

/** How proofs may be signed: by a public key that they carry along, never by a shared secret. */
export const proofAlgorithms = ['ES256', 'ES384', 'ES512', 'PS256', 'PS384', 'PS512', 'EdDSA', 'Ed25519']

/** Seconds that a proof's time may differ from ours, either way: it is made for one request, and there is no nonce to make up for it. */
const leeway = 60
const longestProof = 8_192
/** A proof is remembered for two minutes, so this is more than 1,600 requests a second. */
const mostRemembered = 200_000

/** Remembers in this process, and refuses to forget too soon: it throws where there are more than it has room for. */
export function createMemoryReplays(now: () => number, most = mostRemembered): ReplayStore {
  const ends = new Map<string, number>()
  return {
    remember(key, seconds) {
      const clock = now()
      // All are remembered for the same time, so the first in are the first out.
      for (const [old, end] of ends) {
        if (end > clock) break
        ends.delete(old)
      }
      if (ends.has(key)) return false
      if (ends.size >= most) throw new Error('too many proofs within two minutes')
      ends.set(key, clock + seconds * 1000)
      return true
    },
  }
}

/** What is wrong with a proof, in words for the app's developer; undefined for a good one, which `key` names for the replay store. */
export type Proof = { fault: string } | { fault?: undefined; key: string; remember: number }

/** Checks a proof for a token that is bound to the key with this thumbprint. Never throws but for a URL that is not absolute. */
export async function checkProof(
  { proof, method, url }: ProvenRequest,
  token: string,
  thumbprint: string,
  now: number,
): Promise<Proof> {
  const own = targetOf(url)
  if (own === undefined) throw new TypeError('authenticate: url must be the absolute URL of the request')
  const [text, ...more] = typeof proof === 'string' ? [proof] : (proof ?? [])
  if (text === undefined) return { fault: 'Send a proof for this very request in the header DPoP.' }
  if (more.length > 0 || text.includes(',')) return { fault: 'Send the header DPoP once, with one proof.' }
  const claims = await verifiedClaims(text, now)
  if (claims === undefined) {
    return { fault: 'The proof must be a JWT of the type dpop+jwt, signed by the public key in its header jwk.' }
  }
  const { jwk, jti, iat, htm, htu, ath } = claims
  if (typeof jti !== 'string' || jti === '') return { fault: 'The proof needs a jti of its own.' }
  if (typeof iat !== 'number' || Math.abs(now / 1000 - iat) > leeway) {
    return { fault: 'The iat of the proof must be now. Make one for each request, and check the clocks.' }
  }
  if (htm !== method) return { fault: 'The htm of the proof must be the method of the request.' }
  if (typeof htu !== 'string' || targetOf(htu) !== own) {
    return { fault: 'The htu of the proof must be the URL of the request, without its query.' }
  }
  if (ath !== (await digest(token))) return { fault: 'The ath of the proof must be the hash of this access token.' }
  const key = await calculateJwkThumbprint(jwk as JWK)
  if (key !== thumbprint) return { fault: 'The access token is bound to another key than that of the proof.' }
  return { key: await digest(`${key}.${jti}`), remember: 2 * leeway }
}

/** The claims of a proof that is signed by the key it carries, and that key; undefined for anything else. */
async function verifiedClaims(proof: string, now: number): Promise<Record<string, unknown> | undefined> {
  if (!readCompactJws(proof, longestProof)) return undefined
  try {
    // A key that is not public, or is a shared secret, is refused by `EmbeddedJWK`.
    const { payload, protectedHeader } = await jwtVerify(proof, EmbeddedJWK, {
      typ: 'dpop+jwt',
      algorithms: proofAlgorithms,
      currentDate: new Date(now),
      clockTolerance: leeway,
    })
    return { ...payload, jwk: protectedHeader.jwk }
  } catch {
    return undefined
  }
}

/** Scheme, host, port and path (RFC 9449 section 4.3, check 9): capitals, default ports and dots in the path make no other URL. */
function targetOf(text: string): string | undefined {
  const url = URL.parse(text)
  if (!url || !/^https?:$/.test(url.protocol) || url.username !== '' || url.password !== '') return undefined
  return url.origin + url.pathname
}

async function digest(text: string): Promise<string> {
  return base64url.encode(new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text))))
}
