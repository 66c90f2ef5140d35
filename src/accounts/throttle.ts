/**
 * How often someone may try to sign in.
 *
 * Owns: the two limits (one account from one address; one address over all accounts) and the arithmetic of their windows.
 * Does not own: the counters (the short-lived contract) or what is tried (sign-in.ts).
 *
 * There is no limit over one account from all addresses: with one, whoever knows a member's name could keep that member
 * out from anywhere, for good.
 */
import { isIPv6 } from 'node:net'
import type { Settings } from '../config/settings.ts'
import { sha256 } from '../secrets.ts'
import type { ShortLived } from '../storage/short-lived.ts'

interface Attempt {
  /** As `normalizeUsername` gives it. */
  account: string
  /** The client's IP address. */
  address: string
}

/** An attempt that was let through. It counts as a failure unless one of these is called; the first call decides. */
interface Allowed {
  allowed: true
  /** The password was right: this account starts afresh at this address; failures of the address with other accounts stay. */
  succeeded(): Promise<void>
  /** Nothing was learned, because something of ours failed (R43): the attempt counts for nothing. */
  faulted(): Promise<void>
}

interface Refused {
  allowed: false
  /** Seconds. */
  retryAfter: number
  /** True for one refusal a window and limit: the one worth an audit entry, so that a flood of guesses is not a flood of entries. */
  first: boolean
}

export interface Throttle {
  /** Counts the attempt, then says whether it may go on: of any number of parallel attempts, at most the limit may. */
  attempt(who: Attempt): Promise<Allowed | Refused>
}

export interface ThrottleDeps {
  /** The short-lived records of one issuer. */
  shortLived: ShortLived
  limits: Settings['signIn']
  now: () => number
}

export function createThrottle({ shortLived, limits, now }: ThrottleDeps): Throttle {
  const windowMs = limits.windowMinutes * 60_000
  const accounts = createTally(shortLived, 'sign-in-account', limits.failuresPerAccountAndAddress, windowMs)
  const addresses = createTally(shortLived, 'sign-in-address', limits.failuresPerAddress, windowMs)

  return {
    async attempt({ account, address }) {
      const network = networkOf(address)
      const ofAccount = await accounts.take(sha256(JSON.stringify([account, network])))
      if (ofAccount.full) return refuse(ofAccount, [ofAccount])
      // Only now: guesses that the first limit refuses must not use up the address for everybody behind it.
      const ofAddress = await addresses.take(sha256(JSON.stringify([network])))
      if (ofAddress.full) return refuse(ofAddress, [ofAccount, ofAddress])

      let settled = false
      const once = (work: () => Promise<void>) => async () => {
        if (settled) return
        settled = true
        await work()
      }
      return {
        allowed: true,
        succeeded: once(async () => {
          await ofAccount.clear()
          await ofAddress.giveBack()
        }),
        faulted: once(async () => {
          await ofAccount.giveBack()
          await ofAddress.giveBack()
        }),
      }
    },
  }

  async function refuse(full: Taken, taken: Taken[]): Promise<Refused> {
    for (const one of taken) await one.giveBack()
    const retryAfter = Math.max(1, Math.ceil((full.until - now()) / 1000))
    return { allowed: false, retryAfter, first: await full.mark() }
  }
}

interface Taken {
  full: boolean
  /** When the window ends, in milliseconds. */
  until: number
  giveBack(): Promise<void>
  clear(): Promise<void>
  /** True for the first caller in this window. */
  mark(): Promise<boolean>
}

/**
 * Attempts under a limit, a share of which is given back. The contract's counters only rise, so what is given back has a
 * counter of its own, bound to the window of the attempts by its end. It is read before the attempt is counted: read after,
 * it could hold what others gave back of attempts that this one's number does not include, and let too many through.
 */
function createTally(shortLived: ShortLived, kind: string, limit: number, windowMs: number) {
  const returned = `${kind}-returned`
  return {
    async take(key: string): Promise<Taken> {
      const before = await shortLived.count(kind, key)
      const back = before ? ((await shortLived.count(returned, `${key}.${before.expiresAt}`))?.count ?? 0) : 0
      const { count, expiresAt } = await shortLived.increment(kind, key, windowMs)
      const sameWindow = before?.expiresAt === expiresAt
      const window = `${key}.${expiresAt}`
      return {
        full: count - (sameWindow ? back : 0) > limit,
        until: expiresAt,
        async giveBack() {
          await shortLived.increment(returned, window, windowMs)
        },
        async clear() {
          await shortLived.reset(kind, key)
          await shortLived.reset(returned, window)
        },
        mark: () => shortLived.addIfAbsent(`${kind}-refused`, window, 1, expiresAt),
      }
    },
  }
}

/**
 * What counts as one address: an IPv4 address, or the /64 of an IPv6 one, because a single customer is handed at least
 * that much (RFC 6177) and could otherwise try from a new address every time. IPv4 mapped into IPv6 is IPv4.
 */
export function networkOf(address: string): string {
  const bare = address.replace(/%.*$/, '').toLowerCase()
  if (!isIPv6(bare)) return bare
  const mapped = /^(?:0*:){0,5}:?(?:0*:)?ffff:(\d+\.\d+\.\d+\.\d+)$/.exec(bare)
  if (mapped?.[1]) return mapped[1]
  const [head = '', tail] = bare.split('::')
  const groups = head.split(':').filter(Boolean)
  if (tail !== undefined) {
    const rest = tail.split(':').filter(Boolean)
    const width = rest.length + (tail.includes('.') ? 1 : 0)
    while (groups.length < 8 - width) groups.push('0')
    groups.push(...rest)
  }
  return `${groups
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(':')}::/64`
}
