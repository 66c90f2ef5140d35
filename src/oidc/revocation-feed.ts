/**
 * The revocation feed (R11): how resource servers hear that a connection has ended, or was narrowed, while its access tokens
 * still live. A list in JSON; or, to `Accept: text/event-stream`, the same as a stream that goes on.
 *
 * Owns: who may read it and of which APIs, both forms, and that no reader costs more than it may.
 * Does not own: what is in it (revocations.ts), or what a resource server makes of it (resource-server/revocations.ts).
 *
 * A stream begins with everything that counts, so whoever was away has missed nothing and needs no `Last-Event-ID`.
 */
import { once } from 'node:events'
import type { Context } from 'koa'
import type { Environment } from '../config/settings.ts'
import { LatchkeyError } from '../errors.ts'
import type { Log } from '../log.ts'
import { withPatience } from '../storage/patience.ts'
import type { ClientRecord, Clients } from './clients.ts'
import { secretIsRight } from './clients.ts'
import type { Heard, Revocations } from './revocations.ts'

const mostStreams = 20
const mostAtOnce = 200
/** Proxies cut what is silent, some after fifteen seconds. */
const heartbeatMillis = 10_000
/** A reader that takes nothing for so long is gone, or ought to be. */
const longestStallMillis = 30_000

interface Credentials {
  id: string
  secret: string
}

/** RFC 6749 §2.3.1: both halves are form-encoded before they are joined. */
const credentialsOf = (header: string): Credentials | undefined => {
  const [, encoded] = /^Basic +([A-Za-z0-9+/]+=*) *$/i.exec(header) ?? []
  const text = Buffer.from(encoded ?? '', 'base64').toString()
  const at = text.indexOf(':')
  if (at === -1) return undefined
  try {
    const [id = '', secret = ''] = [text.slice(0, at), text.slice(at + 1)].map((half) =>
      decodeURIComponent(half.replaceAll('+', ' ')),
    )
    return { id, secret }
  } catch {
    return undefined
  }
}

const event = (name: string, data: object): string => `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`

export const createRevocationFeed = (deps: {
  environment: Environment
  clients: Clients
  revocations: Revocations
  log: Log
  now: () => number
  heartbeatMillis?: number
  stallMillis?: number
}) => {
  const { environment, clients, revocations, log, now } = deps
  const open = new Map<string, Set<() => void>>()

  /** The resource server that these are the credentials of; undefined for everybody else's. */
  const readerOf = async ({ id, secret }: Credentials): Promise<ClientRecord | undefined> => {
    const client = await clients.find(id)
    if (!client || client.kind === 'public' || !secretIsRight(secret, client.secretHashes.join(' '))) return undefined
    return client
  }

  const refuse = (ctx: Context, status: number, error: string, description: string): void => {
    log.info({ requestId: ctx.state.requestId, route: 'revocations', error, reason: description }, 'refused')
    ctx.status = status
    ctx.body = { error, error_description: description }
  }

  const asOf = () => ({ as_of: Math.floor(now() / 1000) })

  const list = async (ctx: Context, { apis }: ClientRecord): Promise<void> => {
    const entries = (await revocations.list()).filter(({ api }) => apis.includes(api))
    ctx.type = 'application/json'
    ctx.body = JSON.stringify({ ...asOf(), entries: entries.map(({ revocation }) => revocation) })
  }

  const stream = async (ctx: Context, client: ClientRecord, credentials: Credentials): Promise<void> => {
    const { res } = ctx
    const { clientId, apis } = client
    const streams = open.get(clientId) ?? new Set()
    if (streams.size >= mostStreams) {
      ctx.set('Retry-After', '30')
      return refuse(ctx, 429, 'temporarily_unavailable', `${clientId} has ${mostStreams} streams here already`)
    }
    const gone = new AbortController()
    let cursor = 0
    let ready = false
    let sending = false

    const end = (): void => {
      if (res.writableNeedDrain) res.destroy()
      else res.end()
    }

    const write = async (text: string): Promise<void> => {
      if (res.write(text)) return
      const signal = AbortSignal.any([gone.signal, AbortSignal.timeout(deps.stallMillis ?? longestStallMillis)])
      await once(res, 'drain', { signal })
    }

    /** What was heard and not said yet. It waits for the reader, and so keeps nothing for it. */
    const send = async (): Promise<void> => {
      if (sending) return
      sending = true
      try {
        const next = (): Heard[] => revocations.next(cursor, mostAtOnce)
        for (let batch = next(); batch.length > 0; batch = next()) {
          cursor = batch.at(-1)?.order ?? cursor
          const own = batch.filter(({ api }) => apis.includes(api))
          if (own.length > 0) await write(own.map((each) => event('revocation', each.revocation)).join(''))
        }
        if (!ready) {
          ready = true
          await write(event('ready', asOf()))
        }
      } catch {
        res.destroy()
      } finally {
        sending = false
      }
    }

    /** Is the credential still good, and for the same APIs? Then the silence means that nothing has ended. */
    const beat = async (): Promise<void> => {
      try {
        const found = await withPatience(() => readerOf(credentials))
        if (found?.kind !== 'resource-server' || found.apis.join() !== apis.join()) return end()
        if (revocations.fresh() && !sending) await write(':\n\n')
      } catch (error) {
        if (gone.signal.aborted) return
        if (error instanceof LatchkeyError) log.warn({ err: error, client: clientId }, 'a reader could not be checked')
        else res.destroy()
      }
    }

    // Counted before anything is waited for: many may come at once.
    streams.add(end)
    open.set(clientId, streams)
    const leave = (): void => {
      streams.delete(end)
      if (streams.size === 0) open.delete(clientId)
    }
    const over = await revocations.watch(send).catch((error: unknown) => {
      leave()
      throw error
    })
    const heart = setInterval(beat, deps.heartbeatMillis ?? heartbeatMillis)
    const finish = (): void => {
      gone.abort()
      clearInterval(heart)
      over()
      leave()
    }
    if (res.destroyed) return finish()
    res.once('close', finish)
    ctx.respond = false
    // The connection is for this stream alone, and ends with it.
    res.writeHead(200, {
      'Content-Type': 'text/event-stream; charset=utf-8',
      Connection: 'close',
      'X-Accel-Buffering': 'no',
    })
    res.write('retry: 1000\n\n')
    await send()
  }

  return {
    /** Answers a request for the feed, in either form. */
    async handle(ctx: Context): Promise<void> {
      const streamed = ctx.get('accept').includes('text/event-stream')
      // Refused in JSON whatever Accept says. No CORS: a browser has no business here.
      ctx.req.headers.accept = 'application/json'
      ctx.set('Cache-Control', 'no-store')
      if (ctx.method !== 'GET') {
        ctx.set('Allow', 'GET')
        throw new LatchkeyError('method_not_allowed', 405)
      }
      const credentials = credentialsOf(ctx.get('authorization'))
      const client = credentials && (await readerOf(credentials))
      if (!client) {
        ctx.set('WWW-Authenticate', `Basic realm="${environment.issuer}", charset="UTF-8"`)
        const wrong = credentials
          ? 'the client_id or the client_secret is wrong'
          : 'send Authorization: Basic with the client_id and client_secret of a resource server'
        return refuse(ctx, 401, 'invalid_client', wrong)
      }
      // An app is right about who it is, and no reader all the same: what others shared is none of its business.
      if (client.kind !== 'resource-server')
        return refuse(ctx, 403, 'unauthorized_client', `${client.clientId} is no resource server`)
      if (streamed) await stream(ctx, client, credentials)
      else await list(ctx, client)
    },

    /** Ends every stream; whoever follows comes back, to another server or to the next start of this one. */
    close(): void {
      for (const streams of open.values()) for (const end of streams) end()
    },
  }
}

export type RevocationFeed = ReturnType<typeof createRevocationFeed>
