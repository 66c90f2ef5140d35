/**
 * The error values of the whole server.
 *
 * Owns: what an error carries (a stable code, a status, a private detail for the log).
 * Does not own: words for people (the catalogues in views/locales, by code) or responses (web/app.ts).
 */

/** One fault in something that was handed in: where it is, and what would have been accepted. */
export interface Fault {
  /** Dotted path of the option, field or parameter, for instance `plans.prairie.name`. */
  path: string
  message: string
}

/**
 * An error that a person or a program may be told of. `code` is stable and names the catalogue's words
 * (`error.{code}.title`, `error.{code}.text`); `message` and `detail` are for the log only.
 */
export class LatchkeyError extends Error {
  readonly code: string
  readonly status: number
  readonly detail: string | undefined
  /** Seconds after which another try makes sense; becomes `Retry-After`. */
  readonly retryAfter: number | undefined

  constructor(
    code: string,
    status: number,
    options: { message?: string; detail?: string; retryAfter?: number; cause?: unknown } = {},
  ) {
    super(options.message ?? code, { cause: options.cause })
    this.name = new.target.name
    this.code = code
    this.status = status
    this.detail = options.detail
    this.retryAfter = options.retryAfter
  }
}

/** Input that is wrong in one or more places; all of them are told at once. */
export class InputFaults extends LatchkeyError {
  readonly faults: readonly Fault[]

  constructor(faults: readonly Fault[], code = 'invalid_input') {
    super(code, 400, { message: faults.map((f) => `${f.path}: ${f.message}`).join('; ') })
    this.faults = faults
  }
}

/** A fault of ours (store, directory, key service): 503, never blamed on the client, and what was presented works afterwards (R43). */
export class Unavailable extends LatchkeyError {
  constructor(detail: string, options: { retryAfter?: number; cause?: unknown } = {}) {
    super('temporarily_unavailable', 503, {
      message: detail,
      detail,
      retryAfter: options.retryAfter ?? 5,
      cause: options.cause,
    })
  }
}
