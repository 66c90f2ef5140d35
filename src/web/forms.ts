/**
 * Forms: reading what was posted, and knowing that a page of ours posted it.
 *
 * Owns: the size and kind of a form's body, the CSRF cookie and field. Does not own: what the fields mean (each route).
 * A token is HMAC(cookie, action), so one that was shown for one action is worthless for another, and a cookie alone for all.
 */
import type { Context } from 'koa'
import rawBody from 'raw-body'
import { LatchkeyError } from '../errors.ts'
import { randomToken } from '../secrets.ts'

export interface Mac {
  sign(text: string): string
  verify(text: string, mac: string): boolean
}

export interface Forms {
  /** The hidden field `csrf` of a form; `action` names what the form does, for instance `consent:{uid}`. Sets the cookie. */
  csrfToken(ctx: Context, action: string): string
  /** Throws `csrf_failed` (403) unless the form came from a page of ours that was made for `action`. */
  checkCsrf(ctx: Context, form: URLSearchParams, action: string): void
}

/** The body of a form, doubled fields and all. 415 for any other kind, 413 over `limit` bytes. */
export async function readForm(ctx: Context, { limit = 65_536 }: { limit?: number } = {}): Promise<URLSearchParams> {
  return new URLSearchParams(await readText(ctx, { type: 'application/x-www-form-urlencoded', limit }))
}

/** A body as text. 415 for any other type, 413 over `limit` bytes. */
export async function readText(ctx: Context, { type, limit }: { type: string; limit: number }): Promise<string> {
  if (!ctx.request.is(type)) throw new LatchkeyError('unsupported_media_type', 415)
  const encoding = ctx.get('content-encoding')
  if (encoding && encoding.toLowerCase() !== 'identity') throw new LatchkeyError('unsupported_media_type', 415)
  try {
    return await rawBody(ctx.req, { length: ctx.request.length ?? null, limit, encoding: 'utf-8' })
  } catch (cause) {
    const tooLarge = cause instanceof Error && 'type' in cause && cause.type === 'entity.too.large'
    throw tooLarge
      ? new LatchkeyError('too_large', 413, { cause })
      : new LatchkeyError('invalid_request', 400, { cause })
  }
}

/** The value of a field that may be there once; undefined if it is not there. Doubled or over-long is 400. */
export function oneValue(
  form: URLSearchParams,
  name: string,
  { max = 1000 }: { max?: number } = {},
): string | undefined {
  const [value, ...more] = form.getAll(name)
  if (more.length > 0) throw new LatchkeyError('invalid_request', 400, { detail: `${name} is doubled` })
  if (value !== undefined && value.length > max)
    throw new LatchkeyError('invalid_request', 400, { detail: `${name} is too long` })
  return value
}

/** The distinct values of a field that may be there many times (checkboxes). Over-long or too many is 400. */
export function manyValues(form: URLSearchParams, name: string, { max = 200, count = 200 } = {}): string[] {
  const values = form.getAll(name)
  if (values.length > count || values.some((value) => value.length > max)) {
    throw new LatchkeyError('invalid_request', 400, { detail: `${name} is too long` })
  }
  return [...new Set(values)]
}

/**
 * A cookie's name for the issuer of this request, so that issuers on one host do not read each other's.
 * `__Host-` where the scheme allows it: no other host of the domain can plant one.
 */
function cookieName(ctx: Context, kind: string): string {
  const issuer: string | undefined = ctx.state.environment?.id
  return `${ctx.secure ? '__Host-' : ''}lk_${kind}${issuer ? `.${issuer.replace('/', '.')}` : ''}`
}

export function createForms({ mac }: { mac: Mac }): Forms {
  return {
    csrfToken(ctx, action) {
      const name = cookieName(ctx, 'csrf')
      let value: string | undefined = ctx.state.csrfCookie ?? ctx.cookies.get(name)
      if (!value || !COOKIE.test(value)) {
        value = randomToken()
        ctx.cookies.set(name, value, { httpOnly: true, sameSite: 'lax', path: '/', secure: ctx.secure })
        // The next form on this page must not get another one.
        ctx.state.csrfCookie = value
      }
      return mac.sign(`csrf\n${value}\n${action}`)
    },

    checkCsrf(ctx, form, action) {
      const refuse = (detail: string) => new LatchkeyError('csrf_failed', 403, { detail })
      // Never the Origin header: our Referrer-Policy makes it `null` in forms of our own.
      const site = ctx.get('sec-fetch-site')
      if (site && site !== 'same-origin' && site !== 'none') throw refuse(`Sec-Fetch-Site: ${site}`)
      const value = ctx.cookies.get(cookieName(ctx, 'csrf'))
      if (!value || !COOKIE.test(value)) throw refuse('no cookie')
      const fields = form.getAll('csrf')
      if (fields.length !== 1 || !mac.verify(`csrf\n${value}\n${action}`, fields[0] ?? ''))
        throw refuse('no valid field')
    },
  }
}

const COOKIE = /^[\w-]{43}$/
