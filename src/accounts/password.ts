/**
 * Passwords of members, developers and staff: hashing and checking, with a bound on the work.
 *
 * Owns: argon2id and its parameters, how many checks run at once and how many may wait, and that a check for nobody
 * costs what a check for somebody costs.
 * Does not own: who may try (throttle.ts), what a right password leads to (sign-in.ts), or rows.
 */
import { randomBytes } from 'node:crypto'
import { availableParallelism } from 'node:os'
import argon2 from 'argon2'
import { InputFaults, Unavailable } from '../errors.ts'
import { createGate } from './gate.ts'

/** Longer passwords are refused, never cut: a cut password would open with a prefix of itself. */
export const MAX_PASSWORD_LENGTH = 1024

/** Two at most, and one core is left for those who wait for tokens. */
export const passwordsAtOnce = Math.max(1, Math.min(availableParallelism() - 1, 2))

export interface PasswordOptions {
  /** Checks that run at once. */
  concurrency?: number
  /** Checks that may wait for their turn; beyond that the answer is 503. */
  queue?: number
  /** argon2id memory in KiB; the default is OWASP's first choice of the smaller ones. */
  memoryKiB?: number
  /** argon2id passes over the memory. */
  passes?: number
}

export interface Passwords {
  /** argon2id in PHC form. Throws `InputFaults` for an empty or overlong password, `busy` (503) when too many wait. */
  hash(password: string): Promise<string>
  /**
   * Is this the password? With `null` for the hash the same work is done and the answer is false, so that its duration
   * does not tell who exists. Throws `busy` (503) when too many wait, `Unavailable` for a stored hash it cannot read.
   */
  verify(password: string, hash: string | null): Promise<boolean>
  /** Was this hash made with less work than today's? To be asked after a sign-in, while the password is at hand. */
  needsRehash(hash: string): boolean
  /** How much is going on: for metrics. */
  load(): { running: number; waiting: number }
}

const SALT_BYTES = 16
const HASH_BYTES = 32

/** @param options the bounds and the cost of one hash; the defaults are the ones for production. */
export function createPasswords(options: PasswordOptions = {}): Passwords {
  const memoryCost = options.memoryKiB ?? 19_456
  const timeCost = options.passes ?? 2
  const gate = createGate(options.concurrency ?? passwordsAtOnce, options.queue ?? 64)
  // Random bytes in the place of a digest: no password leads to it, and checking one against it costs the usual work.
  const nobody = `$argon2id$v=19$m=${memoryCost},t=${timeCost},p=1$${phcBytes(SALT_BYTES)}$${phcBytes(HASH_BYTES)}`

  return {
    async hash(password) {
      const text = normalize(password)
      if (text === undefined || text === '') {
        throw new InputFaults([{ path: 'password', message: `must have 1 to ${MAX_PASSWORD_LENGTH} characters` }])
      }
      return gate.run(() =>
        argon2.hash(text, { type: argon2.argon2id, memoryCost, timeCost, parallelism: 1, hashLength: HASH_BYTES }),
      )
    },

    async verify(password, hash) {
      const text = normalize(password)
      const target = text === undefined ? null : hash
      if (target !== null && costOf(target) === undefined) {
        unreadable()
      }
      const right = await gate.run(() => argon2.verify(target ?? nobody, text ?? '').catch(unreadable))
      return right && target !== null
    },

    needsRehash(hash) {
      const cost = costOf(hash)
      // More work than today's is left alone: lowering the parameters must not weaken what is stored.
      return cost === undefined || cost.memory < memoryCost || cost.passes < timeCost
    },

    load: () => gate.load(),
  }
}

/** NFKC, so that one password typed on two keyboards is one (NIST SP 800-63B, 3.1.1.2); undefined: longer than allowed. */
function normalize(password: string): string | undefined {
  if (password.length > MAX_PASSWORD_LENGTH) return undefined
  const text = password.normalize('NFKC')
  return text.length > MAX_PASSWORD_LENGTH ? undefined : text
}

function unreadable(cause?: unknown): never {
  throw new Unavailable('a stored password hash is no argon2id hash that can be checked', { cause })
}

/** The work that a stored hash asks for; undefined: not one of ours. The order of the parameters is the writer's choice. */
function costOf(hash: string): { memory: number; passes: number } | undefined {
  const [, parameters = ''] =
    /^\$argon2id\$v=19\$([a-z0-9=,]{9,40})\$[A-Za-z0-9+/]{11,}\$[A-Za-z0-9+/]{16,}$/.exec(hash) ?? []
  const value = (name: string) => Number(new RegExp(`(?:^|,)${name}=(\\d{1,9})(?:,|$)`).exec(parameters)?.[1])
  const [memory, passes, lanes] = [value('m'), value('t'), value('p')]
  return memory > 0 && passes > 0 && lanes > 0 ? { memory, passes } : undefined
}

function phcBytes(count: number): string {
  return randomBytes(count).toString('base64').replace(/=+$/, '')
}
