/**
 * Which grants ended, or were narrowed, while their access tokens still live: follows the issuer's revocation feed.
 *
 * Owns: the way to the feed (its stream, and its list where no stream comes through), what it said, and how old that is.
 * Does not own: the decision about a token (verify.ts). What goes wrong is told to `onProblem` and tried again; nothing is
 * ever thrown at the process, and no error says the secret.
 */
import { chunksOf, discover, fetchJson } from './documents.ts'
import { readEvents } from './event-stream.ts'

export interface RevocationOptions {
  /** The credential of a resource server at the issuer. */
  clientId: string
  clientSecret: string
  /** The feed. Default: `revocation_feed_endpoint` of the issuer's `.well-known/openid-configuration`. */
  url?: string
  /**
   * What becomes of good tokens while the feed is away. `accept` (default): they are honoured, for as long as they live;
   * `refuse`: 503, until it is back.
   */
  whenAway?: 'accept' | 'refuse'
  /** After so many seconds without word of the feed it is away. Default 45: four of its heartbeats, and more. */
  awaySeconds?: number
  /** Hears, once each time, what is wrong with the feed. For your log. */
  onProblem?: (problem: string) => void
}

/** `off`: not followed yet; `starting`: nothing was heard yet; `away`: nothing was heard for too long. */
export type FeedState = 'off' | 'starting' | 'following' | 'away'

export interface Revocations {
  /** Begins to follow, if nobody has yet. Settles with the first word of the feed, or when it is closed. */
  follow(): Promise<void>
  state(): FeedState
  /** What the feed says of a token: `unknown` where it is away and that is not to be accepted. Begins to follow. */
  judge(grantId: string, revision: number): Promise<'good' | 'revoked' | 'unknown'>
  close(): void
}

interface Entry {
  revision: number | null
  until: number
}

/** How long the first tokens wait, at most, for the first word of the feed or for its failure. */
const firstWaitMilliseconds = 3_000
/** Without a word for so long a new stream is kept back by something on its way: then the list is read. */
const openingMilliseconds = 5_000
/** Four heartbeats, and more. */
const silenceMilliseconds = 45_000
const pollMilliseconds = 500
/** While the feed does not answer at all it is asked ever less often, up to this. */
const longestPauseMilliseconds = 10_000
/** A stream that does not come through, or is over at once, is tried again ever less often, up to this. */
const longestWithoutStreamMilliseconds = 60_000
/** What an answer says may be in a problem, and be another each time. */
const mostProblems = 20
const mostEntries = 1_000_000
const longestList = 64 * 1024 * 1024

export interface FollowerOptions extends RevocationOptions {
  issuer: string
  fetch: typeof fetch
  now: () => number
  clockTolerance: number
}

export function createRevocations(options: FollowerOptions): Revocations {
  const { issuer, fetch, now, clockTolerance, whenAway = 'accept', awaySeconds = 45 } = options
  // RFC 6749 section 2.3.1: both halves are encoded first, so what is joined is plain ASCII.
  const credential = [options.clientId, options.clientSecret].map(encodeURIComponent).join(':')
  const authorization = `Basic ${btoa(credential)}`
  const entries = new Map<string, Entry>()
  const stop = new AbortController()
  const first = Promise.withResolvers<void>()
  let heardAt: number | undefined
  /** Since the stream last came through. */
  const told = new Set<string>()
  let address = options.url

  function tell(problem: string): void {
    if (told.has(problem) || told.size >= mostProblems || stop.signal.aborted) return
    told.add(problem)
    try {
      options.onProblem?.(problem)
    } catch {
      // Whoever listens has their own troubles; the feed is followed all the same.
    }
  }

  /** Whatever is known is true as of now. */
  function heard(): void {
    heardAt = performance.now()
    first.resolve()
  }

  function take(value: unknown): void {
    const entry = readEntry(value)
    if (!entry) {
      tell('the feed sent an entry that is none')
      return
    }
    const known = entries.get(entry.grantId)
    if (!known && entries.size >= mostEntries) throw new Error(`the feed has more than ${mostEntries} entries`)
    // What was heard once is never taken back: not by an older entry, and not by an issuer that forgot.
    const revision =
      known?.revision === null || entry.revision === null ? null : Math.max(known?.revision ?? 0, entry.revision)
    entries.set(entry.grantId, { revision, until: Math.max(known?.until ?? 0, entry.until) })
  }

  function forgetWhatIsOver(): void {
    const clock = now() / 1000 - clockTolerance
    for (const [grantId, { until }] of entries) if (until < clock) entries.delete(grantId)
  }

  async function findAddress(): Promise<string> {
    if (address !== undefined) return address
    const found = (await discover(issuer, fetch, stop.signal)).revocation_feed_endpoint
    if (typeof found !== 'string') throw new Error('the discovery document has no revocation_feed_endpoint')
    // The secret goes to the issuer and to nobody else, whatever a document says.
    if (URL.parse(found)?.origin !== new URL(issuer).origin) throw new Error('the feed is not at the issuer’s own host')
    address = found
    return found
  }

  async function readList(): Promise<void> {
    const list = await fetchJson(await findAddress(), fetch, {
      headers: { authorization },
      longest: longestList,
      signal: stop.signal,
    })
    if (!Array.isArray(list.entries)) throw new Error('the feed has no entries')
    list.entries.forEach(take)
    heard()
  }

  /** Whether the list could be read. */
  async function tryList(): Promise<boolean> {
    try {
      await readList()
      return true
    } catch (error) {
      tell(reasonOf(error))
      return false
    }
  }

  /** Follows one stream to its end. Answers whether it came through, and lasted. */
  async function tryStream(): Promise<boolean> {
    const silence = new AbortController()
    let watchdog: ReturnType<typeof setTimeout> | undefined
    const wait = (milliseconds: number): void => {
      clearTimeout(watchdog)
      watchdog = setTimeout(() => silence.abort(new Error('the feed was silent')), milliseconds)
    }
    let readyAt = Number.POSITIVE_INFINITY
    try {
      wait(openingMilliseconds)
      const response = await fetch(await findAddress(), {
        headers: { accept: 'text/event-stream', authorization },
        redirect: 'error',
        signal: AbortSignal.any([stop.signal, silence.signal]),
      })
      const type = response.headers.get('content-type') ?? ''
      if (response.status !== 200 || !type.startsWith('text/event-stream')) {
        await response.body?.cancel()
        throw new Error(`the feed answered ${response.status} ${type}`)
      }
      for await (const event of readEvents(chunksOf(response))) {
        if (event?.name === 'revocation') take(parse(event.data))
        else forgetWhatIsOver()
        if (event?.name === 'ready') {
          readyAt = performance.now()
          told.clear()
        }
        const ready = readyAt < Number.POSITIVE_INFINITY
        if (ready) heard()
        wait(ready ? silenceMilliseconds : openingMilliseconds)
      }
      throw new Error('the feed ended')
    } catch (error) {
      tell(reasonOf(silence.signal.aborted ? silence.signal.reason : error))
    } finally {
      clearTimeout(watchdog)
    }
    return performance.now() - readyAt > openingMilliseconds
  }

  async function run(): Promise<void> {
    let failures = 0
    while (!stop.signal.aborted) {
      failures = (await tryStream()) ? 0 : failures + 1
      const withoutStream = failures === 0 ? 0 : Math.min(longestWithoutStreamMilliseconds, 500 * 2 ** failures)
      const streamAgain = performance.now() + withoutStream
      let misses = 0
      do {
        const away = misses > 0
        misses = (await tryList()) ? 0 : misses + 1
        if (away && misses === 0) break
        await pause(
          misses === 0
            ? Math.min(pollMilliseconds, withoutStream)
            : Math.min(longestPauseMilliseconds, 250 * 2 ** misses),
        )
      } while (!stop.signal.aborted && performance.now() < streamAgain)
    }
  }

  /** Not in step with others who lost the feed at the same moment; over at once when it is closed. */
  function pause(milliseconds: number): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer)
        stop.signal.removeEventListener('abort', done)
        resolve()
      }
      const timer = setTimeout(done, milliseconds * (0.75 + Math.random() / 2))
      stop.signal.addEventListener('abort', done)
    })
  }

  let firstWait: Promise<unknown> | undefined
  function follow(): Promise<void> {
    if (!firstWait && !stop.signal.aborted) {
      // The list first: it is known sooner than whether a stream comes through.
      const attempt = tryList()
      firstWait = Promise.race([attempt, pause(firstWaitMilliseconds)])
      void attempt.then(run)
    }
    return first.promise
  }

  function state(): FeedState {
    if (!firstWait) return 'off'
    if (heardAt === undefined) return 'starting'
    return performance.now() - heardAt > awaySeconds * 1000 ? 'away' : 'following'
  }

  return {
    follow,
    state,

    async judge(grantId, revision) {
      void follow()
      if (heardAt === undefined) await firstWait
      const entry = entries.get(grantId)
      if (entry && (entry.revision === null || revision < entry.revision)) return 'revoked'
      return whenAway === 'accept' || state() === 'following' ? 'good' : 'unknown'
    },

    close() {
      stop.abort()
      first.resolve()
    },
  }
}

/** An entry of the feed; undefined for anything else. */
function readEntry(value: unknown): (Entry & { grantId: string }) | undefined {
  const { grant_id: grantId, revision, until } = (value ?? {}) as Record<string, unknown>
  if (typeof grantId !== 'string' || grantId === '' || grantId.length > 200) return undefined
  if (typeof until !== 'number' || !Number.isFinite(until)) return undefined
  if (revision !== null && !(Number.isSafeInteger(revision) && Number(revision) > 0)) return undefined
  return { grantId, revision: revision as number | null, until }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** `fetch failed` alone helps nobody. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const { code } = (error.cause ?? {}) as { code?: unknown }
  return typeof code === 'string' ? `${error.message}: ${code}` : error.message
}
