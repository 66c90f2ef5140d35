/**
 * The client of every system that is compared: node:http with connections that are kept, which costs the least.
 *
 * Owns: requests, and a browser's cookies and redirects. Does not own: what is asked (member.ts).
 */
import { Agent, type IncomingHttpHeaders, request } from 'node:http'

export interface Answer {
  status: number
  headers: IncomingHttpHeaders
  text: string
}

export interface Wire {
  send(method: 'GET' | 'POST', path: string, headers?: Record<string, string>, body?: string): Promise<Answer>
  /** Ends what is idle. What is sent afterwards opens connections anew. */
  close(): void
}

/** A wire to one server, or to several that take turns; `host` is what the browser's address bar says. */
export const createWire = (ports: readonly number[], host: string): Wire => {
  const agent = new Agent({ keepAlive: true, maxSockets: 256 })
  let turn = 0
  return {
    send: (method, path, headers = {}, body) =>
      new Promise((resolve, reject) => {
        turn += 1
        const length = body === undefined ? {} : { 'content-length': Buffer.byteLength(body) }
        const sent = request(
          {
            host: '127.0.0.1',
            port: ports[turn % ports.length],
            agent,
            method,
            path,
            headers: { host, ...headers, ...length },
            timeout: 60_000,
          },
          (response) => {
            let text = ''
            response.setEncoding('utf8')
            response.on('data', (chunk: string) => {
              text += chunk
            })
            response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, text }))
            response.on('error', reject)
          },
        )
        sent.on('timeout', () => sent.destroy(new Error(`no answer to ${method} ${path}`)))
        sent.on('error', reject)
        sent.end(body)
      }),
    close: () => agent.destroy(),
  }
}

/** A page, or the address outside of the server at which a walk ended. */
export type Arrival = { page: string; path: string } | { callback: URL }

export interface Browser {
  open(path: string): Promise<Arrival>
  post(path: string, fields: URLSearchParams): Promise<Arrival>
  /** Requests so far: the same on every system, or they are not compared like with like. */
  hops(): number
}

export const createBrowser = (wire: Wire, host: string): Browser => {
  const cookies = new Map<string, { pair: string; path: string }>()
  const origin = `http://${host}`
  let hops = 0

  const keep = (lines: readonly string[] | undefined, path: string): void => {
    for (const line of lines ?? []) {
      const [pair = '', ...attributes] = line.split(/;\s*/)
      const within = attributes.find((each) => /^path=/i.test(each))?.slice(5) ?? path
      const key = `${pair.slice(0, pair.indexOf('='))} ${within}`
      if (attributes.some((each) => /^expires=Thu, 01 Jan 1970/i.test(each))) cookies.delete(key)
      else cookies.set(key, { pair, path: within })
    }
  }

  const send = async (method: 'GET' | 'POST', path: string, body?: string): Promise<Answer> => {
    const cookie = [...cookies.values()].filter((each) => path.startsWith(each.path)).map(({ pair }) => pair)
    const answer = await wire.send(
      method,
      path,
      {
        accept: 'text/html',
        'accept-language': 'en',
        ...(cookie.length > 0 ? { cookie: cookie.join('; ') } : {}),
        ...(body === undefined
          ? {}
          : { 'content-type': 'application/x-www-form-urlencoded', 'sec-fetch-site': 'same-origin' }),
      },
      body,
    )
    hops += 1
    keep(answer.headers['set-cookie'], path.split('?')[0] ?? path)
    return answer
  }

  const follow = async (start: string, first: Answer): Promise<Arrival> => {
    let [path, answer] = [start, first]
    while (answer.headers.location) {
      const next = new URL(answer.headers.location, origin + path)
      if (next.origin !== origin) return { callback: next }
      path = next.pathname + next.search
      answer = await send('GET', path)
    }
    if (answer.status !== 200) throw new Error(`${answer.status} at ${path}: ${answer.text.slice(0, 300)}`)
    return { page: answer.text, path }
  }

  return {
    open: async (path) => follow(path, await send('GET', path)),
    post: async (path, fields) => follow(path, await send('POST', path, fields.toString())),
    hops: () => hops,
  }
}
