/** A revocation feed as a resource server can see one, of which a test says every byte. */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface TestFeed {
  url: string
  /** What was asked for: `stream` or `list`, with the Authorization header. */
  asked: { form: 'stream' | 'list'; authorization: string | undefined }[]
  entries: object[]
  /** Sends text to every open stream. */
  send(text: string | Uint8Array): void
  /** Cuts every open stream. */
  cut(): void
  streams(): number
  /** Answers in the feed's place. */
  answer: ((request: IncomingMessage, response: ServerResponse) => boolean) | undefined
  close(): Promise<void>
}

export const said = (entry: object): string => `event: revocation\ndata: ${JSON.stringify(entry)}\n\n`
export const ready = 'event: ready\ndata: {"as_of":1}\n\n'

export async function startFeed(): Promise<TestFeed> {
  const open = new Set<ServerResponse>()
  const feed: TestFeed = {
    url: '',
    asked: [],
    entries: [],
    send: (text) => {
      for (const response of open) response.write(text)
    },
    cut: () => {
      for (const response of open) response.destroy()
    },
    streams: () => open.size,
    answer: undefined,
    close: async () => {
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }
  const server = createServer((request, response) => {
    const form = request.headers.accept?.includes('text/event-stream') ? 'stream' : 'list'
    feed.asked.push({ form, authorization: request.headers.authorization })
    if (feed.answer?.(request, response)) return
    if (form === 'list') {
      response.setHeader('content-type', 'application/json')
      response.end(JSON.stringify({ as_of: 1, entries: feed.entries }))
      return
    }
    response.setHeader('content-type', 'text/event-stream')
    response.write(feed.entries.map(said).join('') + ready)
    open.add(response)
    response.on('close', () => open.delete(response))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  feed.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/revocations`
  return feed
}
