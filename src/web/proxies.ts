/**
 * Who is really asking: the forwarded headers, believed only from proxies that the operator named.
 *
 * Nothing behind this sees a forwarded header of the outside: the engine and Koa would believe all of them or none.
 */
import type { IncomingMessage } from 'node:http'
import { BlockList, isIP } from 'node:net'

export interface Proxies {
  /** The client's address. Takes the forwarded headers away; the Host of a trusted proxy's `X-Forwarded-Host` takes Host's place. */
  normalize(request: IncomingMessage): string
}

/** `blocks` are addresses or CIDR blocks. */
export function createProxies(blocks: readonly string[]): Proxies {
  const trusted = new BlockList()
  for (const block of blocks) {
    const [address = '', bits] = block.split('/')
    const family = isIP(address) === 6 ? 'ipv6' : 'ipv4'
    if (bits === undefined) trusted.addAddress(address, family)
    else trusted.addSubnet(address, Number(bits), family)
  }
  const isTrusted = (address: string) => trusted.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4')

  return {
    normalize({ headers, socket }) {
      let address = plain(socket.remoteAddress ?? '')
      const direct = address
      const hops = String(headers['x-forwarded-for'] ?? '').split(',')
      const host = String(headers['x-forwarded-host'] ?? '')
        .split(',')
        .at(-1)
        ?.trim()
      for (const name of Object.keys(headers)) {
        if (name.startsWith('x-forwarded-') || name === 'forwarded' || name === 'x-real-ip') delete headers[name]
      }
      if (!isIP(direct) || !isTrusted(direct)) return address
      if (host) headers.host = host
      // From the nearest hop outwards, as long as each was put there by somebody trusted.
      for (let hop = hops.pop(); hop !== undefined && isTrusted(address); hop = hops.pop()) {
        const candidate = plain(hop.trim())
        if (!isIP(candidate)) break
        address = candidate
      }
      return address
    },
  }
}

/** An IPv4 address that came over an IPv6 socket, as IPv4. */
function plain(address: string): string {
  return /^::ffff:(\d{1,3}(?:\.\d{1,3}){3})$/i.exec(address)?.[1] ?? address
}
