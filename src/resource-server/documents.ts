/** JSON documents of the issuer, fetched with a limit on everything: time, redirects, size. */

const timeoutMilliseconds = 5_000
const longestDocument = 256 * 1024

export interface FetchOptions {
  headers?: Record<string, string>
  /** In bytes. */
  longest?: number
  signal?: AbortSignal
}

/** A JSON object, or an error that says what came instead. */
export async function fetchJson(
  uri: string,
  fetcher: typeof fetch,
  { headers = {}, longest = longestDocument, signal }: FetchOptions = {},
): Promise<Record<string, unknown>> {
  const timeout = AbortSignal.timeout(timeoutMilliseconds)
  const response = await fetcher(uri, {
    headers: { accept: 'application/json', ...headers },
    redirect: 'error',
    signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
  })
  if (response.status !== 200) {
    await response.body?.cancel()
    throw new Error(`${uri} answered ${response.status}`)
  }
  const value: unknown = JSON.parse(await readText(response, longest, uri))
  if (typeof value !== 'object' || value === null) throw new Error(`${uri} did not answer with a JSON object`)
  return value as Record<string, unknown>
}

/** The body of an answer as it comes; whoever stops reading closes it. */
export async function* chunksOf(response: Response): AsyncGenerator<Uint8Array> {
  const reader = response.body?.getReader()
  if (!reader) return
  try {
    for (let next = await reader.read(); !next.done; next = await reader.read()) yield next.value
  } finally {
    await reader.cancel().catch(() => {})
  }
}

async function readText(response: Response, longest: number, uri: string): Promise<string> {
  const decoder = new TextDecoder()
  let text = ''
  let size = 0
  for await (const chunk of chunksOf(response)) {
    size += chunk.length
    if (size > longest) throw new Error(`${uri} answered with more than ${longest} bytes`)
    text += decoder.decode(chunk, { stream: true })
  }
  return text + decoder.decode()
}

/** The issuer's `.well-known/openid-configuration`. */
export async function discover(
  issuer: string,
  fetcher: typeof fetch,
  signal?: AbortSignal,
): Promise<Record<string, unknown>> {
  const document = await fetchJson(`${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`, fetcher, { signal })
  // OpenID Connect Discovery section 4.3: the document must be about this very issuer.
  if (document.issuer !== issuer) throw new Error('the discovery document names another issuer')
  return document
}
