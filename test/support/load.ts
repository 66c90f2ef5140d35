/**
 * Apps and members at work, as many as wanted, who write down what was acknowledged to them.
 *
 *     const load = await startLoad(url, { clients: 8 })   // each has signed in, consented and has tokens
 *     …                                                    // something fails
 *     await load.finish()                                  // asks for everything once more
 *     expect(load.breaches()).toEqual([])
 *
 * Every app is a good one: on 503 or without an answer it presents the same thing again, after a while. Beside each there
 * is somebody who presents what was used up already. What they do follows from their number and their turn, not from chance.
 */
import { setTimeout as pause } from 'node:timers/promises'
import { type App, confidentialApp, demoApp, pkce, walkToConsent } from './authorize.ts'
import { type Attempt, breaches, type OracleOptions, type Stall } from './oracle.ts'
import { Visitor } from './visitor.ts'
import { resourceServer } from './wire.ts'

export interface LoadOptions {
  clients?: number
  /** How long a client rests after each step. */
  restMs?: number
  /** Do some present a code for a second time? */
  replayCodes?: boolean
}

export interface Load {
  log: readonly Attempt[]
  /** How many attempts were acknowledged, and how many met a fault. */
  counts(): { done: number; unavailable: number; unanswered: number; walks: number }
  /** Waits until so many more were acknowledged. */
  more(count: number): Promise<void>
  /** Work goes on until then; everything must be well again. Asks for every connection once more. */
  finish(): Promise<void>
  breaches(options?: OracleOptions): string[]
}

/** Longer than anything may take, so that what hangs is seen to hang. */
const PATIENCE_MS = 8000
/** After the first failure, the second, and so on. */
const PAUSES_MS = [250, 1500, 3000]
/** As answers say it. */
const RETRY_AFTER_MS = 5000
const STALL_MS = 250
/** Well within the grace, an answer that takes its time included. */
const REPLAY_MS = 15_000

const people = [
  { member: 'maria' },
  { member: 'david', patient: 'David Okafor' },
  { member: 'david', patient: 'Elena Okafor' },
  { member: 'david', patient: 'Lucy Okafor' },
]

interface Connection {
  name: string
  code: string
  accessToken: string
  refreshToken: string
  /** The one before, and when it was used up. */
  spent: { token: string; at: number } | null
  ending: boolean
}

type Presented = Pick<Attempt, 'connection' | 'kind' | 'presented'> & { honest?: boolean }

/** A walk that met a fault: the member begins anew. */
class Interrupted extends Error {}

export async function startLoad(url: string, options: LoadOptions = {}): Promise<Load> {
  const { clients = 8, restMs = 15, replayCodes = true } = options
  const log: Attempt[] = []
  let afterwards = false
  let stopping = false
  const stalls = watchStalls()

  /** One request, written down when it has ended. */
  const attempt = async (
    what: Presented,
    send: (signal: AbortSignal) => Promise<{ status: number; headers: Headers; text: string }>,
    // biome-ignore lint/suspicious/noExplicitAny: reads what the wire says
  ): Promise<{ attempt: Attempt; body: any }> => {
    const { honest = true, ...rest } = what
    const entry: Attempt = {
      ...{ ...rest, honest, afterwards, startedAt: performance.now(), endedAt: 0 },
      ...{ status: null, error: null, retryAfter: false, received: null },
    }
    // biome-ignore lint/suspicious/noExplicitAny: reads what the wire says
    let body: any
    try {
      const { status, headers, text } = await send(AbortSignal.timeout(PATIENCE_MS))
      if (headers.get('content-type')?.includes('json')) body = JSON.parse(text)
      entry.status = status
      entry.retryAfter = Number(headers.get('retry-after')) > 0
      entry.error = body?.error ?? (body?.active === false ? 'inactive' : null)
      entry.received = body?.refresh_token ?? null
    } catch {
      // The connection ended.
    }
    entry.endedAt = performance.now()
    log.push(entry)
    return { attempt: entry, body }
  }

  const post = (
    what: Presented,
    address: string,
    fields: Record<string, string>,
    headers: Record<string, string> = {},
  ) =>
    attempt(what, async (signal) => {
      const response = await fetch(address, { method: 'POST', body: new URLSearchParams(fields), headers, signal })
      return { status: response.status, headers: response.headers, text: await response.text() }
    })

  const asApp = (what: Presented, app: App, path: 'token' | 'revoke', fields: Record<string, string>) =>
    app.secret
      ? post(what, `${app.issuer}/${path}`, fields, {
          authorization: `Basic ${Buffer.from(`${app.clientId}:${app.secret}`).toString('base64')}`,
        })
      : post(what, `${app.issuer}/${path}`, { ...fields, client_id: app.clientId })

  /** Presents the same until there is an answer; a refusal is one. */
  const insist = async (present: () => ReturnType<typeof post>): ReturnType<typeof post> => {
    for (let tried = 0; ; tried++) {
      const answer = await present()
      const { status } = answer.attempt
      if ((status !== null && status < 500) || afterwards) return answer
      // What is owed of a code is paid when the store is back: it says when to come. A refresh token bears impatience.
      const { kind } = answer.attempt
      await pause(kind === 'exchange' && status !== null ? RETRY_AFTER_MS : (PAUSES_MS[tried] ?? PAUSES_MS.at(-1)))
    }
  }

  class LoggedVisitor extends Visitor {
    connection = ''
    override async send(address: string, init: RequestInit = {}): Promise<Response> {
      const { pathname } = new URL(address)
      const what: Presented = { connection: this.connection, kind: 'page', presented: pathname }
      let headers = new Headers()
      let text = ''
      const { attempt: entry } = await attempt(what, async (signal) => {
        const response = await super.send(address, { ...init, signal })
        headers = response.headers
        text = await response.text()
        return { status: response.status, headers, text }
      })
      if (entry.status === null || entry.status >= 400) throw new Interrupted(`${pathname}: ${entry.status}`)
      return new Response(text, { status: entry.status, headers })
    }
  }

  const client = async (index: number) => {
    const app = index % 2 === 0 ? demoApp(url) : confidentialApp(url)
    const person = people[Math.floor(index / 2) % people.length] ?? { member: 'maria' }
    const visitor = new LoggedVisitor()
    const all: Connection[] = []
    let current: Connection

    /** Signs in where that is asked for, consents, redeems the code: as often as it takes. */
    const connect = async (): Promise<void> => {
      for (let tried = 0; ; tried++) {
        const { verifier, challenge } = pkce()
        const name = `${index}/${all.length}/${tried}`
        visitor.connection = name
        const code = await consent(challenge)
        const fields = { grant_type: 'authorization_code', redirect_uri: app.redirectUri, code_verifier: verifier }
        const redeem = (honest = true) =>
          asApp({ connection: name, kind: 'exchange', presented: code, honest }, app, 'token', { ...fields, code })
        const { attempt: entry, body } = await insist(redeem)
        if (entry.status !== 200) continue
        current = {
          name,
          code,
          accessToken: body.access_token,
          refreshToken: body.refresh_token,
          spent: null,
          ending: false,
        }
        all.push(current)
        if (replayCodes && all.length % 3 === 2) {
          current.ending = true
          await insist(() => redeem(false))
          continue
        }
        return
      }
    }

    const consent = async (challenge: string): Promise<string> => {
      for (let tried = 0; ; tried++) {
        try {
          const { page } = await walkToConsent(app, challenge, { ...person, visitor })
          const done = await visitor.submit(page, '/consent')
          const code = new URL(done.url).searchParams.get('code')
          if (code) return code
          throw new Interrupted(`no code: ${done.url}`)
        } catch (error) {
          if (!(error instanceof Interrupted)) throw error
          await pause(PAUSES_MS[tried] ?? PAUSES_MS.at(-1))
        }
      }
    }

    const present = (token: string, connection: Connection, honest = true) =>
      asApp({ connection: connection.name, kind: 'refresh', presented: token, honest }, app, 'token', {
        grant_type: 'refresh_token',
        refresh_token: token,
      })

    const refresh = async (connection: Connection): Promise<boolean> => {
      const at = performance.now()
      const { attempt: entry, body } = await insist(() => present(connection.refreshToken, connection))
      if (entry.status !== 200) return false
      connection.spent = { token: connection.refreshToken, at }
      connection.refreshToken = body.refresh_token
      connection.accessToken = body.access_token
      return true
    }

    const introspect = (connection: Connection) =>
      post(
        { connection: connection.name, kind: 'introspect', presented: connection.accessToken },
        `${app.issuer}/introspect`,
        { token: connection.accessToken },
        resourceServer,
      )

    const revoke = async (connection: Connection): Promise<void> => {
      connection.ending = true
      const token = connection.refreshToken
      const what: Presented = { connection: connection.name, kind: 'revoke', presented: token }
      await insist(() => asApp(what, app, 'revoke', { token }))
      await introspect(connection)
      await present(token, connection)
    }

    const step = async (turn: number): Promise<void> => {
      if (turn % 3 === 1) await introspect(current)
      else if (turn % 24 === 20) {
        await revoke(current)
        await connect()
      } else {
        const { spent } = current
        if (!(await refresh(current))) return connect()
        // The one before the one that was just used: refused, and nothing ends while the grace of its first use lasts.
        if (turn % 8 === 5 && spent && performance.now() - spent.at < REPLAY_MS)
          await present(spent.token, current, false)
      }
    }

    await connect()
    const work = async (): Promise<void> => {
      for (let turn = index * 5; !stopping; turn++) {
        await step(turn)
        await pause(restMs)
      }
    }
    return {
      work,
      async verify() {
        for (const connection of all) {
          if (connection.ending) await introspect(connection)
          await refresh(connection)
        }
      },
    }
  }

  const all = await Promise.all(Array.from({ length: clients }, (_, i) => client(i)))
  const working = all.map(({ work }) => work())
  // Heard of at the end.
  for (const each of working) each.catch(() => {})

  return {
    log,
    counts: () => ({
      done: log.filter(({ status, kind }) => status === 200 && kind !== 'page').length,
      unavailable: log.filter(({ status }) => status === 503).length,
      unanswered: log.filter(({ status }) => status === null).length,
      walks: log.filter(({ kind, status }) => kind === 'exchange' && status === 200).length,
    }),
    async more(count) {
      const done = () => log.filter(({ status }) => status === 200).length
      for (const enough = done() + count; done() < enough; ) await pause(20)
    },
    async finish() {
      stopping = true
      await Promise.all(working)
      afterwards = true
      await Promise.all(all.map(({ verify }) => verify()))
      stalls.stop()
    },
    breaches: (given = {}) => breaches(log, { stalls: stalls.found, ...given }),
  }
}

/** Notes when this process got no time: then nobody else on this machine did either, or no answer could be read. */
function watchStalls(): { found: Stall[]; stop(): void } {
  const found: Stall[] = []
  let last = performance.now()
  const timer = setInterval(() => {
    const now = performance.now()
    if (now - last > STALL_MS) found.push({ from: last, to: now })
    last = now
  }, 50)
  return { found, stop: () => clearInterval(timer) }
}
