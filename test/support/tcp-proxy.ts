/** A network between two programs, that fails on command. */
import { once } from 'node:events'
import { createConnection, createServer, type Socket } from 'node:net'

/** `through`: nothing is wrong. `refusing`: every connection is cut, also new ones. `silent`: they stay, and nothing passes. */
type Mode = 'through' | 'refusing' | 'silent'

export interface TcpProxy {
  port: number
  set(mode: Mode): void
  /** Leads new connections to another port. */
  aim(port: number): void
  /** Lets the next request that matches pass, drops what is answered, and cuts that connection. */
  swallow(request: RegExp): void
  /** How many answers were swallowed. */
  swallowed(): number
  close(): Promise<void>
}

export async function startProxy(port: number): Promise<TcpProxy> {
  let target = port
  let mode: Mode = 'through'
  let wanted: RegExp | undefined
  let swallowed = 0
  const pairs = new Set<[Socket, Socket]>()

  const server = createServer((client) => {
    if (mode === 'refusing') {
      client.destroy()
      return
    }
    const upstream = createConnection(target, '127.0.0.1')
    const pair: [Socket, Socket] = [client, upstream]
    pairs.add(pair)
    const cut = () => {
      pairs.delete(pair)
      for (const each of pair) each.destroy()
    }
    for (const each of pair) each.on('error', cut).on('close', cut)
    let swallowing = false
    client.on('data', (chunk) => {
      if (mode === 'silent') return
      if (wanted?.test(chunk.toString('latin1'))) {
        wanted = undefined
        swallowing = true
      }
      upstream.write(chunk)
    })
    upstream.on('data', (chunk) => {
      if (mode === 'silent') return
      if (!swallowing) return void client.write(chunk)
      swallowed++
      cut()
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()

  const cutAll = () => {
    for (const pair of pairs) for (const each of pair) each.destroy()
  }
  return {
    port: typeof address === 'object' && address ? address.port : 0,
    set(next) {
      mode = next
      if (mode === 'refusing') cutAll()
    },
    aim(next) {
      target = next
    },
    swallow(request) {
      wanted = request
    },
    swallowed: () => swallowed,
    async close() {
      cutAll()
      server.close()
      await once(server, 'close')
    },
  }
}
