/**
 * Signing in at an issuer's local directory.
 *
 * Owns: the order of the steps, the one answer for every refusal, and the audit of both outcomes.
 * Does not own: the work on passwords (password.ts), the limits (throttle.ts), sessions (the engine), or pages.
 * Hands to: interactions, which show the answer and tell the engine who it is.
 */
import type { Audit } from '../audit/audit.ts'
import { LatchkeyError } from '../errors.ts'
import type { Database } from '../storage/database.ts'
import type { MemberRow } from '../storage/tables.ts'
import type { Passwords } from './password.ts'
import type { Throttle } from './throttle.ts'
import { normalizeUsername } from './username.ts'

export interface SignInInput {
  /** The issuer's id, `{plan}/{environment}`. */
  issuer: string
  /** As typed. */
  username: string
  /** As typed. */
  password: string
  /** The client's IP address. */
  address: string
  requestId: string | null
}

type SignInResult =
  | { kind: 'signed-in'; member: MemberRow }
  /** Unknown, wrong, locked, of another issuer: no caller can tell which. */
  | { kind: 'refused' }
  | { kind: 'throttled'; retryAfter: number }

export interface SignIn {
  /**
   * Checks a name and a password. Throws `busy` (503) when too many checks wait and `Unavailable` (503) when the store
   * fails; neither counts against the member (R43).
   */
  signIn(input: SignInInput): Promise<SignInResult>
}

export interface SignInDeps {
  database: Database
  passwords: Passwords
  /** The throttle of an issuer, by its id. */
  throttle: (issuer: string) => Throttle
  audit: Audit
  now: () => number
}

type Refusal = 'unknown' | 'wrong-password' | 'no-password' | 'locked'

export function createSignIn({ database, passwords, throttle, audit, now }: SignInDeps): SignIn {
  async function find(issuer: string, username: string | undefined): Promise<MemberRow | undefined> {
    if (username === undefined) return undefined
    return database.db
      .selectFrom('members')
      .selectAll()
      .where('issuer', '=', issuer)
      .where('username', '=', username)
      .executeTakeFirst()
  }

  async function recordRefusal(
    input: SignInInput,
    type: 'member.sign-in-refused' | 'member.sign-in-throttled',
    details: { reason?: Refusal; retryAfter?: number },
    member?: MemberRow,
  ): Promise<void> {
    await database.transaction((trx) =>
      audit.record(trx, {
        type,
        outcome: 'refused',
        issuer: input.issuer,
        // Whoever this was has proved nothing; `memberId` says whose name was used.
        actor: 'anonymous',
        memberId: member?.id,
        requestId: input.requestId ?? undefined,
        details,
      }),
    )
  }

  /** The hash of today's cost, or undefined: the old one does until another sign-in if there is no room for the work now. */
  async function rehash(password: string, member: MemberRow): Promise<string | undefined> {
    if (member.password_hash === null || !passwords.needsRehash(member.password_hash)) return undefined
    try {
      return await passwords.hash(password)
    } catch (error) {
      if (error instanceof LatchkeyError && error.code === 'busy') return undefined
      throw error
    }
  }

  async function recordSuccess(input: SignInInput, member: MemberRow, newHash: string | undefined): Promise<MemberRow> {
    return database.transaction(async (trx) => {
      if (newHash !== undefined) {
        await trx
          .updateTable('members')
          .set({ password_hash: newHash, updated_at: now() })
          .where('id', '=', member.id)
          // Not if it was changed since it was read: the old password must not come back.
          .where('password_hash', '=', member.password_hash)
          .execute()
      }
      await audit.record(trx, {
        type: 'member.signed-in',
        issuer: input.issuer,
        actor: `member:${member.id}`,
        memberId: member.id,
        requestId: input.requestId ?? undefined,
        details: { method: 'password' },
      })
      return newHash === undefined ? member : { ...member, password_hash: newHash, updated_at: now() }
    })
  }

  return {
    async signIn(input) {
      const username = normalizeUsername(input.username)
      const gate = await throttle(input.issuer).attempt({ account: username ?? '', address: input.address })
      if (!gate.allowed) {
        if (gate.first) await recordRefusal(input, 'member.sign-in-throttled', { retryAfter: gate.retryAfter })
        return { kind: 'throttled', retryAfter: gate.retryAfter }
      }
      try {
        const member = await find(input.issuer, username)
        const right = await passwords.verify(input.password, member?.password_hash ?? null)
        const reason = refusalOf(member, right)
        if (member === undefined || reason !== undefined) {
          await recordRefusal(input, 'member.sign-in-refused', { reason: reason ?? 'unknown' }, member)
          return { kind: 'refused' }
        }
        const newHash = await rehash(input.password, member)
        // Before the entry, so that nothing can fail after the trail says that somebody signed in.
        await gate.succeeded()
        return { kind: 'signed-in', member: await recordSuccess(input, member, newHash) }
      } catch (error) {
        // The store that failed may be the one that counts; its first error is the one to tell.
        await gate.faulted().catch(() => undefined)
        throw error
      }
    },
  }
}

/** Why not, or undefined. A locked member is told nothing that a wrong password would not tell. */
function refusalOf(member: MemberRow | undefined, passwordRight: boolean): Refusal | undefined {
  if (member === undefined) return 'unknown'
  if (member.password_hash === null) return 'no-password'
  if (!passwordRight) return 'wrong-password'
  return member.status === 'active' ? undefined : 'locked'
}
