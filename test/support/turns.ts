/**
 * Requests past the balancer, to the node that the test names, or to one node after the other: a member's browser, an app
 * and a FHIR server who never meet the same node twice in a row.
 *
 *     const turns = startTurns(deployment.url, [a, b])
 *     await walkToConsent(app, challenge, { visitor: turns.visitor })
 *     await turns.post(app.token, { grant_type: 'refresh_token', … })
 *     turns.taken   // [{ node: 'node-1', path: '/prairie/sandbox/authorize' }, { node: 'node-2', … }]
 */
import type { TokenAnswer } from './authorize.ts'
import type { DeployedNode } from './deployment.ts'
import { Visitor } from './visitor.ts'
import { post } from './wire.ts'

export interface Turns {
  /** A browser of which each request goes to the next node. */
  visitor: Visitor
  /** A form, posted to the next node. */
  post(address: string, fields: Record<string, string>, headers?: Record<string, string>): Promise<TokenAnswer>
  /** Who was asked for what, in this order. */
  taken: readonly { node: string; path: string }[]
}

/** An address of the deployment at `url` as one node has it, with what a balancer says of who was asked. */
export const at = (url: string, { port }: Pick<DeployedNode, 'port'>, address: string) => ({
  url: address.replace(url, `http://127.0.0.1:${port}`),
  headers: { 'x-forwarded-host': new URL(url).host, 'x-forwarded-for': '127.0.0.1' },
})

/** The first request goes to the first of `nodes`. */
export const startTurns = (url: string, nodes: readonly Pick<DeployedNode, 'name' | 'port'>[]): Turns => {
  const taken: { node: string; path: string }[] = []
  const next = (address: string) => {
    const node = nodes[taken.length % nodes.length]
    if (!node) throw new Error('no nodes')
    taken.push({ node: node.name, path: new URL(address).pathname })
    return at(url, node, address)
  }

  class RovingVisitor extends Visitor {
    override send(address: string, init: RequestInit = {}): Promise<Response> {
      const there = next(address)
      return super.send(there.url, { ...init, headers: { ...there.headers, ...init.headers } })
    }
  }

  return {
    visitor: new RovingVisitor(),
    post(address, fields, headers) {
      const there = next(address)
      return post(there.url, fields, { ...there.headers, ...headers })
    },
    taken,
  }
}
