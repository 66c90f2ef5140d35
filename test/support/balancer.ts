/**
 * A balancer before several servers, as plain as they come: the next request goes to the next node, nothing is sticky. It
 * asks every node's /readyz and leaves out who is not ready; where nobody is, it asks all, as many real ones do. A request
 * goes to another node only if its own refused the connection: one that was sent is never sent twice.
 */
import { once } from 'node:events'
import { Agent, createServer, type IncomingMessage, request, type ServerResponse } from 'node:http'
import { setTimeout as pause } from 'node:timers/promises'

const CHECK_EVERY_MS = 200
const CHECK_PATIENCE_MS = 4000

interface Target {
  port: number
  ready: boolean
  /** Requests that were answered. */
  answered: number
}

export interface Balancer {
  port: number
  targets: readonly Readonly<Target>[]
  /** From now on every request goes to this node, or again to any. */
  only(index: number | null): void
  close(): Promise<void>
}

/** Listens on `port` and spreads over the nodes at `ports`, on this machine. */
export async function startBalancer(port: number, ports: readonly number[]): Promise<Balancer> {
  const targets: Target[] = ports.map((each) => ({ port: each, ready: false, answered: 0 }))
  const agent = new Agent({ keepAlive: true })
  let turn = 0
  let chosen: number | null = null
  let closing = false

  /** Who is asked, in this order. */
  const order = (): Target[] => {
    if (chosen !== null) return targets.slice(chosen, chosen + 1)
    turn += 1
    const round = targets.map((_, i) => targets[(turn + i) % targets.length] as Target)
    return round.some(({ ready }) => ready) ? round.filter(({ ready }) => ready) : round
  }

  const ask = (target: Target, incoming: IncomingMessage, body: Buffer, response: ServerResponse): Promise<boolean> =>
    new Promise((resolve) => {
      const { method = 'GET', url = '/', rawHeaders } = incoming
      const headers = withoutHops(rawHeaders).concat('X-Forwarded-For', incoming.socket.remoteAddress ?? '')
      const outgoing = request({ agent, host: '127.0.0.1', port: target.port, method, path: url, headers })
      response.once('close', () => {
        if (!response.writableFinished) outgoing.destroy()
      })
      outgoing.once('error', (error: NodeJS.ErrnoException) => {
        if (error.code === 'ECONNREFUSED') return resolve(false)
        response.destroy()
        resolve(true)
      })
      outgoing.once('response', (answer) => {
        target.answered += 1
        response.writeHead(answer.statusCode ?? 502, withoutHops(answer.rawHeaders))
        answer.once('error', () => response.destroy())
        answer.pipe(response)
        resolve(true)
      })
      outgoing.end(body)
    })

  const server = createServer({ keepAliveTimeout: 65_000 }, async (incoming, response) => {
    try {
      const body = Buffer.concat(await incoming.toArray())
      for (const target of order()) if (await ask(target, incoming, body, response)) return
    } catch {
      // The client has gone.
    }
    // Nobody listens: to the client it is as if the house were not there.
    response.destroy()
  })

  const check = async (target: Target): Promise<void> => {
    while (!closing) {
      target.ready = await isReady(target.port)
      await pause(CHECK_EVERY_MS)
    }
  }

  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  const checks = targets.map(check)

  return {
    port,
    targets,
    only(index) {
      chosen = index
    },
    async close() {
      closing = true
      server.close()
      server.closeAllConnections()
      agent.destroy()
      await Promise.all(checks)
    },
  }
}

/** Does the server at this port say that it can serve? */
export const isReady = async (port: number): Promise<boolean> => {
  try {
    const signal = AbortSignal.timeout(CHECK_PATIENCE_MS)
    const { status, body } = await fetch(`http://127.0.0.1:${port}/readyz`, { signal })
    await body?.cancel()
    return status === 200
  } catch {
    return false
  }
}

/** Headers that are about one connection only stay behind. */
const withoutHops = (raw: readonly string[]): string[] =>
  raw.flatMap((name, i) =>
    i % 2 === 0 && !/^(?:connection|keep-alive|transfer-encoding)$/i.test(name) ? [name, raw[i + 1] ?? ''] : [],
  )
