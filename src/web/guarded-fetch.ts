/**
 * Fetching from addresses that others name: keys of clients, issuers of software statements.
 *
 * Owns: that such a fetch reaches the public internet only, and costs little. The address that is judged is the one that is
 * connected to, so a name that changes its mind in between gains nothing (DNS rebinding).
 * Does not own: what is made of the answer, or how long it is kept.
 * By node:https, because the `fetch` of Node has no public way to judge an address before it is connected to.
 */
import { type LookupAddress, lookup as systemLookup } from 'node:dns'
import { type IncomingMessage, request as requestHttp } from 'node:http'
import { request as requestHttps } from 'node:https'
import { BlockList, isIP, type LookupFunction } from 'node:net'
import { isLoopback } from '../config/urls.ts'

/** Why nothing was fetched, in words that may be told to whoever named the address: nothing of the answer is in them. */
export class FetchRefused extends Error {
  constructor(message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.name = 'FetchRefused'
  }
}

export interface FetchedJson {
  body: unknown
  headers: Headers
}

export interface GuardedFetch {
  /** Like `fetch`, for GET without a body. Throws `FetchRefused` where it may not, cannot, or was sent elsewhere. */
  fetch(url: string | URL, init?: { method?: string; headers?: HeadersInit; signal?: AbortSignal }): Promise<Response>
  /** The JSON at an address: status 200, of a JSON type. Throws `FetchRefused`. */
  fetchJson(url: string, options?: { accept?: string }): Promise<FetchedJson>
}

export interface GuardedFetchOptions {
  /** Only where the issuer itself is plain http on this machine: loopback then, over http too. */
  allowLoopback: boolean
  /** As of node:dns. */
  lookup?: LookupFunction
  /** For the whole of it. */
  millis?: number
  bytes?: number
}

const longestMillis = 5_000
const mostBytes = 65_536

const listOf = (family: 'ipv4' | 'ipv6', subnets: readonly string[]): BlockList => {
  const list = new BlockList()
  for (const subnet of subnets) {
    const [address = '', bits] = subnet.split('/')
    list.addSubnet(address, Number(bits), family)
  }
  return list
}

/** The special-purpose registry of IPv4 (RFC 6890), with multicast and what is reserved. */
const special4 = listOf('ipv4', [
  ...['0.0.0.0/8', '10.0.0.0/8', '100.64.0.0/10', '127.0.0.0/8', '169.254.0.0/16', '172.16.0.0/12', '192.0.0.0/24'],
  ...['192.0.2.0/24', '192.31.196.0/24', '192.52.193.0/24', '192.88.99.0/24', '192.168.0.0/16', '192.175.48.0/24'],
  ...['198.18.0.0/15', '198.51.100.0/24', '203.0.113.0/24', '224.0.0.0/4', '240.0.0.0/4'],
])
const loopback4 = listOf('ipv4', ['127.0.0.0/8'])
/** Of IPv6 the other way round: what is no global unicast is special, IPv4 in its clothes included; and so are a few within. */
const global6 = listOf('ipv6', ['2000::/3'])
const special6 = listOf('ipv6', [...['2001::/23', '2001:db8::/32', '2002::/16', '2620:4f:8000::/48', '3fff::/20']])

/** Is an address, not a name, one of the public internet? */
export const isPublic = (address: string): boolean =>
  isIP(address) === 4
    ? !special4.check(address, 'ipv4')
    : isIP(address) === 6 && global6.check(address, 'ipv6') && !special6.check(address, 'ipv6')

const isLoopbackAddress = (address: string): boolean =>
  isIP(address) === 4 ? loopback4.check(address, 'ipv4') : address === '::1'

const isJson = (type: string | null): boolean => /^application\/(?:[\w.-]+\+)?json *(?:;|$)/i.test(type ?? '')

export function createGuardedFetch(options: GuardedFetchOptions): GuardedFetch {
  const { allowLoopback, lookup = systemLookup as LookupFunction } = options
  const millis = options.millis ?? longestMillis
  const bytes = options.bytes ?? mostBytes

  const allowed = (address: string, url: URL): boolean => {
    if (allowLoopback && isLoopbackAddress(address)) return true
    // Without TLS nothing leaves this machine, whatever a name resolves to.
    return url.protocol === 'https:' && isPublic(address)
  }

  const urlOf = (given: string | URL): URL => {
    const url = URL.parse(String(given))
    if (!url) throw new FetchRefused('the address is no URL')
    if (url.protocol !== 'https:' && !(allowLoopback && url.protocol === 'http:' && isLoopback(url.href)))
      throw new FetchRefused('the address must be https')
    if (url.username || url.password) throw new FetchRefused('the address must not have a user name or password')
    const literal = url.hostname.replace(/^\[|\]$/g, '')
    // No name is resolved for these.
    if (isIP(literal) && !allowed(literal, url)) throw new FetchRefused('the address is not on the public internet')
    return url
  }

  /** Resolves a name for the connection itself; one address that may not be reached condemns them all. */
  const guardedLookup =
    (url: URL): LookupFunction =>
    (name, how, done) =>
      lookup(name, { ...how, all: true }, (error, found) => {
        if (error) return done(error, '')
        const addresses = found as unknown as LookupAddress[]
        if (addresses.length === 0 || !addresses.every(({ address }) => allowed(address, url)))
          return done(new FetchRefused('the address is not on the public internet'), '')
        const [first] = addresses
        if (how.all) done(null, addresses)
        else done(null, first?.address ?? '', first?.family)
      })

  const answerOf = (url: URL, headers: Record<string, string>, signal: AbortSignal): Promise<IncomingMessage> =>
    new Promise((resolve, reject) => {
      const request = url.protocol === 'https:' ? requestHttps : requestHttp
      const sent = request(url, {
        headers,
        signal,
        lookup: guardedLookup(url),
        // A connection of its own: none that another request left open, to whatever the name meant then.
        agent: false,
      })
      sent.once('response', resolve).once('error', reject).end()
    })

  const bodyOf = async (message: IncomingMessage): Promise<Buffer<ArrayBuffer>> => {
    const chunks: Buffer[] = []
    let size = 0
    for await (const chunk of message) {
      size += chunk.length
      if (size > bytes) throw new FetchRefused(`the answer is larger than ${bytes} bytes`)
      chunks.push(chunk)
    }
    return Buffer.concat(chunks)
  }

  const fetch: GuardedFetch['fetch'] = async (given, init = {}) => {
    if (init.method !== undefined && init.method !== 'GET') throw new FetchRefused('only GET is fetched')
    const url = urlOf(given)
    const limit = AbortSignal.timeout(millis)
    const signal = init.signal ? AbortSignal.any([limit, init.signal]) : limit
    let message: IncomingMessage | undefined
    try {
      const asked: Record<string, string> = {}
      new Headers(init.headers).forEach((value, name) => {
        asked[name] = value
      })
      message = await answerOf(url, asked, signal)
      const { statusCode: status = 0 } = message
      if (status < 200 || (status >= 300 && status < 400))
        throw new FetchRefused(`the answer was ${status}, and redirects are not followed`)
      const headers = new Headers()
      for (const [name, value] of Object.entries(message.headersDistinct))
        for (const each of value ?? []) headers.append(name, each)
      const coding = headers.get('content-encoding')
      if (coding && coding !== 'identity') throw new FetchRefused('the answer is compressed, which was not asked for')
      const body = await bodyOf(message)
      return new Response(status === 204 || status === 205 ? null : body, { status, headers })
    } catch (cause) {
      if (cause instanceof FetchRefused) throw cause
      if (signal.aborted) throw new FetchRefused('the answer took too long', { cause })
      throw new FetchRefused('the address could not be reached', { cause })
    } finally {
      message?.destroy()
    }
  }

  return {
    fetch,
    async fetchJson(url, { accept = 'application/json' } = {}) {
      const response = await fetch(url, { headers: { accept } })
      if (response.status !== 200) throw new FetchRefused(`the answer was ${response.status} instead of 200`)
      if (!isJson(response.headers.get('content-type'))) throw new FetchRefused('the answer is not of a JSON type')
      try {
        return { body: await response.json(), headers: response.headers }
      } catch (cause) {
        throw new FetchRefused('the answer is no JSON', { cause })
      }
    },
  }
}
