import { base64url } from 'jose'
import { parseUniqueObject } from './strict-json.ts'

/**
 * Header and claims of a signed JWT in the one canonical spelling; undefined for anything else, and for critical extensions
 * (RFC 7515 section 4.1.11), of which none is understood here. The signature is not verified.
 */
export function readCompactJws(
  text: string,
  longest: number,
): { header: Record<string, unknown>; claims: Record<string, unknown> } | undefined {
  const parts = text.length > longest ? [] : text.split('.').map(canonicalBytes)
  const [header, claims] = parts.slice(0, 2).map((bytes) => bytes && parseUniqueObject(asText(bytes)))
  if (parts.length !== 3 || !parts[2] || !header || !claims || 'crit' in header) return undefined
  return { header, claims }
}

/** The bytes of one part of a token; undefined for base64url that is spelt in any but the one canonical way. */
function canonicalBytes(part: string): Uint8Array | undefined {
  try {
    const bytes = base64url.decode(part)
    return part !== '' && base64url.encode(bytes) === part ? bytes : undefined
  } catch {
    return undefined
  }
}

/** Bytes that are no UTF-8 become no text, and no text is no JSON. */
function asText(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    return ''
  }
}
