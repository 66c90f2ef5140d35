/**
 * Requests to a server that may hang, lie, redirect or never end: each is bounded in time and size, and no redirect is followed.
 *
 * Owns: limits, and failures in words. Does not own: what an answer is worth (the checks).
 */

/** An answer that came whole, or as much of it as was read. */
export interface Answer {
  url: string
  status: number
  headers: Headers
  text: string
  /** The body as JSON; undefined where it is none. */
  json: unknown
}

export interface Call {
  method?: string
  headers?: Record<string, string>
  /** Sent as a form, or, where it is text, as it is. */
  body?: Record<string, string> | URLSearchParams | string
}

export interface Http {
  /** @throws Unreachable where no answer came */
  send(url: string, call?: Call): Promise<Answer>
  /** Milliseconds until the whole examination must end. */
  left(): number
  /** Time in which a person is waited for does not count. */
  extend(millis: number): void
}

/** No answer came. The message says why, in words. */
export class Unreachable extends Error {
  override name = 'Unreachable'
}

/** Larger answers are no documents. */
const LARGEST = 2 * 1024 * 1024

export interface Limits {
  /** Of one request, in milliseconds; default 10 s. */
  request?: number
  /** Of everything; default 2 minutes. */
  all?: number
}

export const createHttp = (options: { limits?: Limits; now?: () => number; signal?: AbortSignal } = {}): Http => {
  const { limits = {}, now = Date.now, signal: stopping } = options
  const { request = 10_000, all = 120_000 } = limits
  let end = now() + all

  const readText = async (response: Response): Promise<string> => {
    const decoder = new TextDecoder()
    let text = ''
    let size = 0
    const reader = response.body?.getReader()
    for (;;) {
      const { done, value } = (await reader?.read()) ?? { done: true, value: undefined }
      if (done || !value) break
      size += value.byteLength
      if (size > LARGEST) {
        await reader?.cancel()
        throw new Unreachable(`the answer is larger than ${LARGEST / 1024 / 1024} MiB`)
      }
      text += decoder.decode(value, { stream: true })
    }
    return text + decoder.decode()
  }

  return {
    left: () => end - now(),
    extend: (millis) => {
      end += millis
    },
    async send(url, { method = 'GET', headers = {}, body } = {}) {
      const patience = Math.min(request, end - now())
      if (patience <= 0) throw new Unreachable('the time for all checks is up')
      const timeout = AbortSignal.timeout(patience)
      try {
        const response = await fetch(url, {
          method,
          headers: { accept: 'application/json', 'user-agent': 'latchkey-doctor', ...headers },
          body: typeof body === 'string' || body === undefined ? body : new URLSearchParams(body),
          redirect: 'manual',
          signal: stopping ? AbortSignal.any([timeout, stopping]) : timeout,
        })
        const text = await readText(response)
        return { url, status: response.status, headers: response.headers, text, json: parsed(text) }
      } catch (error) {
        if (error instanceof Unreachable) throw error
        if (timeout.aborted) throw new Unreachable(`no whole answer within ${Math.ceil(patience / 1000)} s`)
        throw new Unreachable(why(error))
      }
    },
  }
}

const parsed = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

const words: Record<string, string> = {
  ECONNREFUSED: 'nobody listens there',
  ENOTFOUND: 'the host’s name is unknown',
  EAI_AGAIN: 'the host’s name cannot be looked up',
  ECONNRESET: 'the connection was cut',
  UND_ERR_SOCKET: 'the connection was cut',
  CERT_HAS_EXPIRED: 'the certificate has expired',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'the certificate is signed by itself',
  SELF_SIGNED_CERT_IN_CHAIN: 'the certificate is signed by an authority that is not trusted here',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'the certificate’s chain is incomplete, or its authority is not trusted here',
  ERR_TLS_CERT_ALTNAME_INVALID: 'the certificate is for another host',
}

/** Why a connection failed, from the error of fetch or of a socket. */
export const why = (error: unknown): string => {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error
  const several = cause instanceof AggregateError ? cause.errors[0] : cause
  const code = (several as NodeJS.ErrnoException | undefined)?.code ?? ''
  return words[code] ?? (several instanceof Error ? several.message : String(several)).slice(0, 200)
}
