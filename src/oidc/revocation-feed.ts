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
import { type Clients, secretIsRight } from './clients.ts'
import type { Introspection } from './introspection.ts'
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

/** Who reads, and of which APIs. */
interface Reader {
  clientId: string
  apis: readonly string[]
}

/** Why somebody does not: a status, an error, and words for it. */
type Refused = [status: number, error: string, description: string]

const isReader = (known: Reader | Refused): known is Reader => !Array.isArray(known)

const event = (name: string, data: object): string => `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`

export const createRevocationFeed = (deps: {
  environment: Environment
  clients: Clients
  introspection: Pick<Introspection, 'liveServiceToken'>
  revocations: Revocations
  log: Log
  now: () => number
  heartbeatMillis?: number
  stallMillis?: number
}) => {
  const { environment, clients, introspection, revocations, log, now } = deps
  const open = new Map<string, Set<() => void>>()

  /** A resource server by its secret. */
  const bySecret = async (credentials: Credentials | undefined): Promise<Reader | Refused> => {
    if (!credentials)
      return [
        401,
        'invalid_client',
        'send Authorization: Basic with the client_id and client_secret of a resource server, or Bearer with a token that has the scope introspect',
      ]
    const client = await clients.find(credentials.id)
    if (!client || client.kind === 'public' || !secretIsRight(credentials.secret, client.secretHashes.join(' ')))
      return [401, 'invalid_client', 'the client_id or the client_secret is wrong']
    // An app is right about who it is, and no reader all the same: what others shared is none of its business.
    return client.kind === 'resource-server'
      ? client
      : [403, 'unauthorized_client', `${client.clientId} is no resource server`]
  }

  /** A FHIR server that holds a key and no secret comes as a backend service: whoever may introspect may know what has ended. */
  const byToken = async (token: string): Promise<Reader | Refused> => {
    const live = await introspection.liveServiceToken(token)
    if (!live) return [401, 'invalid_token', 'the bearer token is unknown, expired or revoked, or no service has it']
    return live.scope.split(' ').includes('introspect')
      ? { clientId: live.client.clientId, apis: [live.api.id] }
      : [403, 'insufficient_scope', 'the bearer token lacks the scope introspect']
  }

  const readerOf = (authorization: string): Promise<Reader | Refused> => {
    const [, token] = /^Bearer +([\w.~+/=-]+) *$/i.exec(authorization) ?? []
    return token === undefined ? bySecret(credentialsOf(authorization)) : byToken(token)
  }

  const refuse = (ctx: Context, status: number, error: string, description: string): void => {
    log.info({ requestId: ctx.state.requestId, route: 'revocations', error, reason: description }, 'refused')
    ctx.status = status
    ctx.body = { error, error_description: description }
  }

  const asOf = () => ({ as_of: Math.floor(now() / 1000) })

  const list = async (ctx: Context, { apis }: Reader): Promise<void> => {
    const entries = (await revocations.list()).filter(({ api }) => apis.includes(api))
    ctx.type = 'application/json'
    ctx.body = JSON.stringify({ ...asOf(), entries: entries.map(({ revocation }) => revocation) })
  }

  const stream = async (ctx: Context, { clientId, apis }: Reader): Promise<void> => {
    const { res } = ctx
    const authorization = ctx.get('authorization')
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
        const found = await withPatience(() => readerOf(authorization))
        if (!isReader(found) || found.apis.join() !== apis.join()) return end()
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
      const reader = await readerOf(ctx.get('authorization'))
      if (!isReader(reader)) {
        const [status, error, description] = reader
        const scheme = error === 'invalid_token' ? 'Bearer' : 'Basic'
        const rest = scheme === 'Bearer' ? `error="${error}"` : 'charset="UTF-8"'
        if (status === 401) ctx.set('WWW-Authenticate', `${scheme} realm="${environment.issuer}", ${rest}`)
        return refuse(ctx, status, error, description)
      }
      if (streamed) await stream(ctx, reader)
      else await list(ctx, reader)
    },

    /** Ends every stream; whoever follows comes back, to another server or to the next start of this one. */
    close(): void {
      for (const streams of open.values()) for (const end of streams) end()
    },
  }
}

export type RevocationFeed = ReturnType<typeof createRevocationFeed>
