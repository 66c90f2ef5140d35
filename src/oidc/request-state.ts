/** What one HTTP request carries from part to part: the engine makes a context of its own, so it hangs on the request. */
import type { IncomingMessage } from 'node:http'
import type { Api } from '../config/settings.ts'
import type { GrantContext, GrantStanding } from '../members/grants.ts'
import type { Adopting } from './adoption.ts'
import type { ClientRecord } from './clients.ts'

/** Why what was presented is refused (R9); stable, for machines. */
export type Refusal = Exclude<GrantStanding, 'live'>['ended'] | 'already_used' | 'wrong_key'

export interface RequestState {
  requestId: string | null
  /** Where a program has asked, as the outside knows the address; none for what browsers are sent to. */
  address?: string
  /** The client assertion whose claims and header were found right; its signature is the engine's to check. */
  assertion?: string
  /** What a backend service gets: for which API, and with which scopes. */
  service?: { api: Api; scope: string }
  /** Was a DPoP proof looked at? */
  proof?: true
  /** Why the engine will refuse what was presented. */
  refusal?: Refusal
  /** The client that the request is of, read once. */
  client?: ClientRecord
  /** A refresh token that is newer than the store, and is taken over with its first use. */
  adopting?: Adopting
  /** The live grant that the request is about. */
  grant?: GrantContext
  /** The scopes of the token that it is answered with. */
  scope?: string
  /** What to do if no good answer leaves the house: gives back what the request used up (debts.ts). */
  spoilt: (() => Promise<void>)[]
  /** An error that must be shown on a page of ours. */
  pageError?: Error
}

const states = new WeakMap<IncomingMessage, RequestState>()

/** Remembers what the edge knows of a request. */
export const rememberRequest = (req: IncomingMessage, known: Pick<RequestState, 'requestId'>): RequestState => {
  const state = { ...known, spoilt: [] }
  states.set(req, state)
  return state
}

/** The state of a request; an empty one where none was remembered. */
export const stateOf = (req: IncomingMessage | undefined): RequestState =>
  (req && states.get(req)) ?? { requestId: null, spoilt: [] }
