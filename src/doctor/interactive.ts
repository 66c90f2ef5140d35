/**
 * A person's browser in place of the walker: the address is printed, and the answer awaited at a loopback redirect URI.
 *
 * Owns: the listener, its deadline. Does not own: what is asked for (app.ts).
 */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { InputFaults } from '../errors.ts'
import { Skip } from './check.ts'
import type { Http } from './http.ts'
import { type Arrival, createWalker, type Walker } from './walker.ts'

/** How long a person may take. */
const PATIENCE = 5 * 60_000

export interface PersonWalker {
  redirectUri: string
  walker(http: Http): Walker
  close(): Promise<void>
}

/**
 * Listens at the redirect URI, by default at http://127.0.0.1:{a free port}/callback.
 * @throws InputFaults where that is not an address of this machine
 */
export const openPersonWalker = async (options: {
  redirectUri: string | undefined
  say(text: string): void
  patience?: number
}): Promise<PersonWalker> => {
  const wished = new URL(options.redirectUri ?? 'http://127.0.0.1/callback')
  if (wished.protocol !== 'http:' || !['127.0.0.1', 'localhost', '[::1]'].includes(wished.hostname))
    throw new InputFaults([{ path: '--redirect-uri', message: 'must be http on this machine with --interactive' }])
  let arrived: ((url: URL) => void) | undefined
  const listener = createServer((request, response) => {
    const url = URL.parse(request.url ?? '/', wished.origin)
    const ours = url?.pathname === wished.pathname && (url.searchParams.has('code') || url.searchParams.has('error'))
    response.writeHead(ours ? 200 : 404, { 'content-type': 'text/plain; charset=utf-8', 'cache-control': 'no-store' })
    response.end(ours ? 'Thank you. The doctor goes on; this window can be closed.\n' : 'Not here.\n')
    if (ours && url) arrived?.(url)
  })
  listener.listen(Number(wished.port || 0), wished.hostname.replace(/^\[|\]$/g, ''))
  await once(listener, 'listening')
  wished.port = String((listener.address() as AddressInfo).port)
  const redirectUri = wished.href

  const walker = (http: Http): Walker => ({
    open: createWalker({ http, person: undefined, redirectUri }).open,
    async walk(address): Promise<Arrival> {
      const began = Date.now()
      options.say(`Open this address in a browser, sign in as the test member, and share:\n\n  ${address}\n\n`)
      const patience = options.patience ?? PATIENCE
      let timer: NodeJS.Timeout | undefined
      const late = new Promise<never>((_, reject) => {
        timer = setTimeout(() => reject(new Skip('nobody came back from the browser in time')), patience)
      })
      try {
        const url = await Promise.race([new Promise<URL>((resolve) => (arrived = resolve)), late])
        return { at: 'app', url }
      } finally {
        clearTimeout(timer)
        // A person's time is not the server's.
        http.extend(Date.now() - began)
      }
    },
  })
  return {
    redirectUri,
    walker,
    async close() {
      listener.closeAllConnections()
      listener.close()
    },
  }
}
