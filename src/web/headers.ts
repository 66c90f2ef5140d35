/**
 * The header table: what every answer carries, and what a page adds.
 *
 * Owns: the content security policy and its kin. Does not own: caching of documents and CORS, which belong to their routes.
 * There is no Cross-Origin-Opener-Policy on purpose: apps open the authorization in a pop-up, and a policy of ours in the
 * middle of that walk would cut the pop-up from the app's window for good.
 */

/** Everything, pages or not. */
export function securityHeaders({ https }: { https: boolean }): Record<string, string> {
  return {
    'X-Content-Type-Options': 'nosniff',
    'X-Frame-Options': 'DENY',
    'Referrer-Policy': 'no-referrer',
    'Permissions-Policy': 'camera=(), geolocation=(), microphone=(), payment=(), usb=(), browsing-topics=()',
    'Content-Security-Policy': "default-src 'none'; frame-ancestors 'none'",
    ...(https ? { 'Strict-Transport-Security': 'max-age=31536000' } : {}),
  }
}

/** A page's own policy; `formAction` and `images` are sources beside our own origin. */
export function pageHeaders({
  formAction,
  images,
}: {
  formAction: readonly string[]
  images: readonly string[]
}): Record<string, string> {
  for (const source of [...formAction, ...images]) {
    if (!SOURCE.test(source)) throw new Error(`not a source expression: ${source}`)
  }
  const policy = [
    "default-src 'none'",
    "base-uri 'none'",
    "connect-src 'self'",
    ["form-action 'self'", ...formAction].join(' '),
    "frame-ancestors 'none'",
    ["img-src 'self' data:", ...images].join(' '),
    "script-src 'self'",
    "style-src 'self'",
  ]
  return {
    'Content-Security-Policy': policy.join('; '),
    'Cache-Control': 'no-store',
    'Content-Type': 'text/html; charset=utf-8',
  }
}

const SOURCE = /^(?:[a-z][a-z0-9+.-]*:|https?:\/\/[a-z0-9.-]+(?::\d{1,5})?)$/

/**
 * The source expression that lets a form's answer redirect to `uri`: its origin, or the scheme of a private-use one
 * (RFC 8252, section 7.1). Null where CSP has no word for it (an IPv6 literal): end in the page `interaction/return` then.
 */
export function formActionSource(uri: string): string | null {
  if (!URL.canParse(uri)) return null
  const { protocol, host } = new URL(uri)
  const source = protocol === 'http:' || protocol === 'https:' ? `${protocol}//${host}` : protocol
  return SOURCE.test(source) ? source : null
}
