/** Rules for addresses: which hosts are this machine, and how a base address is written. Pure. */

/** Is the address on this machine: `localhost`, 127.0.0.0/8 or `[::1]`? False for what is no URL. */
export function isLoopback(url: string): boolean {
  if (!URL.canParse(url)) return false
  const host = new URL(url).hostname
  return host === 'localhost' || host === '[::1]' || /^127(\.\d{1,3}){3}$/.test(host)
}

/** Every private-use character that a URL parser would drop or rewrite without a word. */
const UNPRINTABLE = /[\s\p{Cc}\\]/u

/**
 * What is wrong with a base address (an issuer, a FHIR base, and with a rule of its own `publicUrl`), or null. It is compared byte for byte by
 * clients (RFC 8414 section 2, RFC 9207), so it has one spelling only: lower-case host, no default port, no trailing slash.
 */
export function baseUrlFault(text: string): string | null {
  const accepted = 'an https address, host and optional path, for instance https://login.example.org/plan'
  if (UNPRINTABLE.test(text) || !URL.canParse(text)) return `must be ${accepted}`
  const url = new URL(text)
  if (url.protocol !== 'https:' && url.protocol !== 'http:') return `must be ${accepted}`
  if (url.username || url.password) return 'must not have a user name or password'
  if (text.includes('?')) return 'must not have a query'
  if (text.includes('#')) return 'must not have a fragment'
  if (text.endsWith('/')) return 'must not end with a slash'
  if (url.protocol === 'http:' && !isLoopback(text)) {
    return 'must be https: plain http is accepted for localhost, 127.0.0.0/8 and [::1] only'
  }
  const canonical = url.href.replace(/\/$/, '')
  return text === canonical ? null : `must be written in its one canonical spelling, ${canonical}`
}

/**
 * What is wrong with `publicUrl`, or null. It has no path: pages, their style sheets and the probes are at the root of a
 * host, and issuers are told apart by paths of their own.
 */
export function publicUrlFault(text: string): string | null {
  const fault = baseUrlFault(text)
  if (fault !== null) return fault
  return new URL(text).pathname === '/' ? null : 'must have no path: give each issuer its path with its option url'
}

/** What is wrong with a path on a host (`/v5/oauth/token`), or null: segments of unreserved characters, as RFC 3986 names them. */
export function pathFault(text: string): string | null {
  const segments = text.split('/').slice(1)
  const good =
    text.startsWith('/') && segments.every((part) => /^[A-Za-z0-9._~-]+$/.test(part) && !/^\.\.?$/.test(part))
  return good ? null : 'must be a path that starts with a slash and does not end with one, for instance /v5/oauth/token'
}

/** What is wrong with the address of a page that people open, or null: https, or http on this machine. */
export function pageUrlFault(text: string): string | null {
  if (UNPRINTABLE.test(text) || !URL.canParse(text))
    return 'must be an https address, for instance https://example.org/apps'
  const url = new URL(text)
  if (url.username || url.password) return 'must not have a user name or password'
  return url.protocol === 'https:' || (url.protocol === 'http:' && isLoopback(text)) ? null : 'must be an https address'
}

/** An address that a page may link to, as it was given; null where it is none: `javascript:` would run here, not lead anywhere. */
export function linkable(address: string | null): string | null {
  return /^https?:$/.test(URL.parse(address ?? '')?.protocol ?? '') ? address : null
}

/**
 * What is wrong with a redirect URI for an app of this kind at this sort of environment, or null (R12; RFC 8252 section 7;
 * RFC 9700 section 2.1): https, loopback http by address, reverse-domain private-use schemes for public apps, and
 * `http://localhost` at sandboxes only.
 */
export function redirectUriFault(uri: string, app: { sandbox: boolean; confidential: boolean }): string | null {
  if (UNPRINTABLE.test(uri) || !URL.canParse(uri)) return 'must be an absolute address'
  if (uri.includes('#')) return 'must not have a fragment'
  if (uri.includes('*')) return 'must not have a wildcard: redirect addresses match exactly'
  const url = new URL(uri)
  if (url.username || url.password) return 'must not have a user name or password'
  if (url.protocol === 'https:') return null
  if (url.protocol === 'http:') {
    if (!isLoopback(uri)) return 'must be https: plain http is accepted for http://127.0.0.1 and http://[::1] only'
    if (url.hostname === 'localhost' && !app.sandbox) {
      return 'must not be http://localhost outside a sandbox: use http://127.0.0.1 or http://[::1]'
    }
    return null
  }
  if (!url.protocol.slice(0, -1).includes('.')) {
    return 'must be https, http on 127.0.0.1, or a private-use scheme in reverse-domain form, for instance org.example.app:/callback'
  }
  return app.confidential ? 'must not be a private-use scheme: those belong to public apps' : null
}

/** The path of a base address, without a trailing slash: '' for a host alone. */
export function pathOf(url: string): string {
  return new URL(url).pathname.replace(/\/$/, '')
}
