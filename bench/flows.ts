/** The operations of apps and resource servers, on every system: whole flow, refresh, introspection. */
import type { Member } from './member.ts'
import type { System } from './systems.ts'
import type { Contender } from './windows.ts'

export type Operation = 'flow' | 'sign-in' | 'refresh' | 'introspection'

export const operations: Record<Operation, { title: string; note: string }> = {
  flow: {
    title: 'Whole code flow of a member who is signed in',
    note: 'Authorization request, consent page, decision, code, tokens: five requests on every system. Aim: 0.8 of the raw engine.',
  },
  'sign-in': {
    title: 'Whole code flow with signing in',
    note: 'Eight requests. Latchkey checks the password with argon2id (19 MiB, two passes), two at a time; the raw engine does not look at it.',
  },
  refresh: { title: 'Refresh with rotation', note: 'No ID token on either side. Aim: 0.9 of the raw engine.' },
  introspection: {
    title: 'Introspection of an access token',
    note: 'Of a JWT at Latchkey; of an opaque token at the raw engine, which introspects no JWT.',
  },
}

/** The raw engine keeps every token of a family in memory and goes through them all, so families stay young. */
const longestFamily = 50
const hops: Record<'flow' | 'sign-in', number> = { flow: 5, 'sign-in': 8 }

/** One operation at one system, with its members taking turns. */
export const contenderOf = (system: System, operation: Operation): Contender => {
  /** In turns, also from one window to the next: sessions and tokens stay in use. */
  const waiting: Member[] = []
  let freshAt = 0

  /** At the beginning all; later those whose last operation failed. */
  const absent = (): Member[] => system.members.filter((member) => !waiting.includes(member))

  const next = (): Member => {
    const member = waiting.shift()
    if (!member) throw new Error('no member is free')
    return member
  }

  const walk = async (member: Member, kind: 'flow' | 'sign-in'): Promise<void> => {
    if (kind === 'sign-in') member.forget()
    const went = await member.connect()
    if (went.signedIn !== (kind === 'sign-in') || went.hops !== hops[kind])
      throw new Error(`a walk of ${went.hops} requests, ${went.signedIn ? 'with' : 'without'} signing in`)
    if (!went.tokens.id_token || !went.tokens.refresh_token) throw new Error('tokens are missing')
  }

  const work: Record<Operation, (member: Member) => Promise<unknown>> = {
    flow: (member) => walk(member, 'flow'),
    'sign-in': (member) => walk(member, 'sign-in'),
    refresh: (member) => member.refresh(),
    introspection: (member) => member.introspect(),
  }

  /** Few at a time: nobody is to be refused for too many passwords at once. */
  const each = async (members: readonly Member[], task: (member: Member) => Promise<unknown>): Promise<void> => {
    const left = [...members]
    const lane = async () => {
      for (let member = left.pop(); member; member = left.pop()) await task(member)
    }
    await Promise.all([lane(), lane(), lane(), lane()])
  }

  const prepare: Record<Operation, () => Promise<void>> = {
    async flow() {
      await each(absent(), (member) => member.connect())
    },
    'sign-in': async () => {},
    refresh: () =>
      each(
        system.members.filter((member) => member.rotations() > longestFamily),
        (member) => member.renew(),
      ),
    async introspection() {
      // Access tokens live ten minutes.
      if (Date.now() - freshAt < 240_000) return
      await each(system.members, (member) => member.renew(system.place.introspectedApi))
      freshAt = Date.now()
    },
  }

  return {
    name: system.name,
    async begin() {
      // Connections that were idle during the others' turns may be closed by now.
      system.wire.close()
      await prepare[operation]()
      waiting.push(...absent())
    },
    async operation() {
      const member = next()
      await work[operation](member)
      waiting.push(member)
    },
    cpu: () => system.cpu(),
  }
}
