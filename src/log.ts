/**
 * JSON lines for operators.
 *
 * Owns: what never reaches a log. Does not own: the audit trail (audit/), which is a record and not a log.
 * Everything that is logged passes `redact` or `scrub`: at any depth, by the field's name; and in every text, whatever
 * looks like a credential. Lists of paths, as log libraries have them, reach one level and miss the next error's cause.
 */
import { type Bindings, type DestinationStream, type Logger, pino } from 'pino'

export type Log = Logger

/** A log of one JSON line per entry, on standard output unless told otherwise. */
export function createLog(options: { level: string; destination?: DestinationStream }): Log {
  const log = pino(
    {
      level: options.level,
      timestamp: pino.stdTimeFunctions.isoTime,
      serializers: { err: (value: unknown) => value },
      formatters: {
        level: (label) => ({ level: label }),
      },
      hooks: {
        logMethod(args, method) {
          const [first, ...rest] = args.map((arg: unknown) => (typeof arg === 'string' ? scrub(arg) : redact(arg)))
          const isError = (args[0] as unknown) instanceof Error
          const shown = isError ? { err: first } : first
          const words = isError && rest.length === 0 ? [scrub((args[0] as unknown as Error).message)] : rest
          method.apply(this, [shown, ...words] as unknown as Parameters<typeof method>)
        },
      },
    },
    options.destination ?? pino.destination(1),
  )
  // Children inherit this from their parent; what is bound to them never passes `logMethod`.
  const { child } = log
  log.child = function (this: Log, bindings: object, childOptions?: object) {
    return child.call(this, redact(bindings) as Bindings, childOptions)
  } as typeof child
  return log
}

const REDACTED = '[redacted]'
const MAX_DEPTH = 8
const MAX_ENTRIES = 100
const MAX_TEXT = 4000

/** Field names, lower case, without `-` and `_`. A person's name or address is as little for a log as a secret. */
const SECRET_NAMES = new Set([
  ...[
    'authorization',
    'proxyauthorization',
    'cookie',
    'cookies',
    'setcookie',
    'rawheaders',
    'body',
    'query',
    'querystring',
  ],
  ...['password', 'passphrase', 'secret', 'apikey', 'csrf', 'smtpurl', 'jwk', 'privatekey', 'sealedvalue', 'sealedjwk'],
  ...[
    'code',
    'codeverifier',
    'state',
    'nonce',
    'token',
    'refreshtoken',
    'accesstoken',
    'idtoken',
    'idtokenhint',
    'jti',
  ],
  ...['clientsecret', 'clientassertion', 'assertion', 'subjecttoken', 'requesturi', 'launch', 'loginhint', 'username'],
  ...['email', 'recipient', 'birthdate', 'payload', 'parameters'],
])

function isSecret(name: string): boolean {
  const plain = name.toLowerCase().replace(/[-_]/g, '')
  return SECRET_NAMES.has(plain) || plain.endsWith('secret') || plain.endsWith('password') || plain.endsWith('token')
}

/** A copy that can be logged: secret fields blanked at any depth, texts scrubbed, errors and requests in short. */
export function redact(value: unknown): unknown {
  return copy(value, 0, [])
}

function copy(value: unknown, depth: number, above: readonly object[]): unknown {
  if (typeof value === 'string') return scrub(value)
  if (typeof value === 'bigint') return String(value)
  if (typeof value === 'function' || typeof value === 'symbol') return `[${typeof value}]`
  if (value === null || typeof value !== 'object') return value
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? 'invalid date' : value.toISOString()
  if (ArrayBuffer.isView(value)) return '[bytes]'
  if (above.includes(value)) return '[circular]'
  if (depth >= MAX_DEPTH) return '[deep]'

  const inner = (child: unknown) => copy(child, depth + 1, [...above, value])
  if (value instanceof Error) return inError(value, inner)
  if (value instanceof URL) return scrub(value.href)
  if (value instanceof Map || value instanceof URLSearchParams || value instanceof Headers) {
    const fields: [string, unknown][] = []
    value.forEach((entry: unknown, key: unknown) => void fields.push([String(key), entry]))
    return inner(Object.fromEntries(fields))
  }
  if (value instanceof Set) return inner([...value])
  if (Array.isArray(value)) return value.slice(0, MAX_ENTRIES).map(inner)
  // A live request or response holds its socket, its application and every header.
  if ('socket' in value || (depth > 0 && 'req' in value && 'res' in value)) return inRequest(value)
  return Object.fromEntries(
    Object.keys(value)
      .slice(0, MAX_ENTRIES)
      .map((key) => [key, isSecret(key) ? REDACTED : inner((value as Record<string, unknown>)[key])]),
  )
}

/** An error's `code` names a kind (`ECONNREFUSED`, `invalid_grant`), where other objects' `code` is a credential. */
const ERROR_CODE = /^(?:[A-Z][A-Z0-9_]{1,40}|[a-z][a-z_]{1,40}|\d{1,5})$/

function inError(error: Error, inner: (child: unknown) => unknown): Record<string, unknown> {
  const { code, status, detail, errors } = error as Error & Record<string, unknown>
  return {
    type: error.name,
    message: scrub(error.message),
    stack: error.stack === undefined ? undefined : scrub(error.stack),
    code: ERROR_CODE.test(String(code)) ? code : undefined,
    status: typeof status === 'number' ? status : undefined,
    detail: typeof detail === 'string' ? scrub(detail) : undefined,
    errors: Array.isArray(errors) ? inner(errors) : undefined,
    cause: error.cause === undefined ? undefined : inner(error.cause),
  }
}

function inRequest(value: object): Record<string, unknown> {
  const { method, url, status, statusCode } = value as Record<string, unknown>
  const text = (part: unknown) => (typeof part === 'string' ? scrub(part) : undefined)
  return { method: text(method), url: text(url), status: typeof status === 'number' ? status : statusCode }
}

/** A text without what looks like a credential: queries and fragments of URLs, user info, JWTs, headers, form fields. */
export function scrub(text: string): string {
  const short = text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)}…` : text
  return SCRUBBINGS.reduce((rest, [pattern, replacement]) => rest.replace(pattern, replacement), short)
}

const FIELDS =
  'code|code_verifier|state|nonce|password|token|access_token|refresh_token|id_token|id_token_hint|client_secret|' +
  'client_assertion|assertion|subject_token|launch|request_uri|login_hint|username|authorization|cookie|set-cookie'

const SCRUBBINGS: readonly [RegExp, string][] = [
  [/([?#])[^\s"'<>?#=]{1,200}=[^\s"'<>]*/g, `$1${REDACTED}`],
  [/(:\/\/)[^\s/@"'<>]+@/g, `$1${REDACTED}@`],
  [/\b(Bearer|Basic|DPoP)\s+[\w.~+/=-]{6,}/gi, `$1 ${REDACTED}`],
  [/\bey[\w-]{8,}\.[\w-]{8,}\.[\w-]*/g, REDACTED],
  [new RegExp(`(?<![\\w-])(${FIELDS})=[^\\s&"'<>]+`, 'gi'), `$1=${REDACTED}`],
  [new RegExp(`"(${FIELDS})"\\s*:\\s*"[^"]*"`, 'gi'), `"$1":"${REDACTED}"`],
]
