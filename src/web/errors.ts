/**
 * From an error to an answer: a page for browsers, JSON for programs, the cause for the log, one reference id for all three.
 */
import type { Context, Next } from 'koa'
import type { Settings } from '../config/settings.ts'
import { InputFaults, LatchkeyError } from '../errors.ts'
import type { Log } from '../log.ts'
import type { Translator } from './i18n.ts'
import type { Views } from './views.ts'
import './state.ts'

export interface Errors {
  middleware(ctx: Context, next: Next): Promise<void>
  /** Answers with an error as the middleware would, for parts that catch their own (the engine). */
  answer(ctx: Context, error: unknown): void
  wrongHost(): LatchkeyError
  badTarget(): LatchkeyError
}

/** Errors of Koa and its kin, by status. */
const BY_STATUS: Record<number, string> = {
  400: 'invalid_request',
  404: 'not_found',
  405: 'method_not_allowed',
  413: 'too_large',
  415: 'unsupported_media_type',
  501: 'method_not_allowed',
}

export function createErrors({ settings, log, views }: { settings: Settings; log: Log; views: Views }): Errors {
  function answer(ctx: Context, thrown: unknown): void {
    const error = known(thrown)
    const level = error.status >= 500 ? 'error' : 'info'
    log[level](
      { requestId: ctx.state.requestId, error: error.code, status: error.status, detail: error.detail, err: thrown },
      'refused',
    )
    if (ctx.headerSent || !ctx.writable) return
    if (error.retryAfter !== undefined) ctx.set('Retry-After', String(Math.max(1, Math.ceil(error.retryAfter))))
    ctx.set('Cache-Control', 'no-store')
    // What failed on its way to a redirect must not hand out where it would have led.
    ctx.remove('Location')
    ctx.state.formAction = []
    const faults = error instanceof InputFaults ? error.faults.map(({ path, message }) => ({ path, message })) : []
    if (ctx.get('accept').includes('text/html')) {
      const page = { code: error.code, status: error.status, reference: ctx.state.requestId, faults }
      views.renderPage(ctx, 'error', { ...page, ...words(error, views.translator(ctx)) }, { status: error.status })
      return
    }
    ctx.status = error.status
    ctx.body = {
      error: error.code,
      error_description: ascii(words(error, views.i18n.translator('en')).text),
      reference: ctx.state.requestId,
      ...(faults.length > 0 ? { faults } : {}),
    }
  }

  function words(
    { code, status }: LatchkeyError,
    { t, has }: Translator,
  ): { title: string; text: string; next: string } {
    const key = has(`error.${code}.title`) ? code : status >= 500 ? 'server_error' : 'refused'
    const params = { address: settings.publicUrl }
    return {
      title: t(`error.${key}.title`),
      text: t(`error.${key}.text`, params),
      next: t(`error.${key}.next`, params),
    }
  }

  return {
    answer,
    async middleware(ctx, next) {
      try {
        await next()
        // Whoever answers on its own (the engine) says so; what nobody answered is an error like any other.
        if (ctx.respond === false || ctx.headerSent || ctx.body != null) return
        if (ctx.status === 404 || ctx.status === 405 || ctx.status === 501)
          throw new LatchkeyError(BY_STATUS[ctx.status] ?? 'not_found', ctx.status === 501 ? 405 : ctx.status)
      } catch (error) {
        answer(ctx, error)
      }
    },
    wrongHost: () => new LatchkeyError('wrong_host', 421),
    badTarget: () => new LatchkeyError('invalid_request', 400),
  }
}

function known(thrown: unknown): LatchkeyError {
  if (thrown instanceof LatchkeyError) return thrown
  const status =
    thrown instanceof Error && 'status' in thrown && typeof thrown.status === 'number' ? thrown.status : 500
  if (status >= 400 && status < 500) return new LatchkeyError(BY_STATUS[status] ?? 'refused', status, { cause: thrown })
  return new LatchkeyError('server_error', 500, { cause: thrown })
}

/** `error_description` is printable ASCII without quotes and backslashes (RFC 6749, section 5.2). */
function ascii(text: string): string {
  return text.replaceAll(/[’‘]/g, "'").replaceAll(/[^\x20-\x21\x23-\x5b\x5d-\x7e]/g, ' ')
}
