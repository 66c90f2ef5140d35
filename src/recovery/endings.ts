/**
 * What the log of endings says, line by line (R46): everything that must stay ended when the store is an older one. Ids and
 * scopes only. Nothing in it brings anything back to life: whoever can write to the file can end or narrow what they know the id of, and no more.
 */
import { z } from 'zod'
import { longestList } from '../smart/scope.ts'

/** An entry stands in the log before it is in the store, and clocks are set back by a little now and then. */
export const MARGIN_MS = 3_600_000

/** The short-lived records of access tokens that were revoked, by `jti`. */
export const REVOKED_TOKENS = 'RevokedAccessToken'

const id = z.string().min(1).max(200)
/** `order`: where a clock was set back, the newest `at` of the lines before, so that the file stays in one order. */
const common = { v: z.literal(1), at: z.int().min(0), order: z.int().min(0).optional(), issuer: id }
const end = { ...common, reason: id, actor: id }

const endingSchema = z.discriminatedUnion('kind', [
  z.object({ ...end, kind: z.literal('grant'), grantId: id }),
  z.object({ ...end, kind: z.literal('connection'), connectionId: id }),
  z.object({
    ...common,
    kind: z.literal('narrowing'),
    grantId: id,
    actor: id,
    // What was left of the grant.
    scope: z.string().max(longestList),
    sensitivities: z.array(id),
    endsAt: z.int(),
    revision: z.int().min(0),
  }),
  z.object({ ...common, kind: z.literal('delegation'), delegationId: id, actor: id }),
  z.object({ ...common, kind: z.literal('access-token'), jti: id, expiresAt: z.int() }),
  z.object({ ...common, kind: z.literal('signing-key'), kid: id }),
])

/** Something that ended at `at`, in milliseconds. */
export type Ending = z.infer<typeof endingSchema>

type Unversioned<T> = T extends unknown ? Omit<T, 'v'> : never

/** As it is handed to the log. */
export type NewEnding = Unversioned<Ending>

/** The line for an ending. */
export const lineOf = (ending: NewEnding): string => `${JSON.stringify({ v: 1, ...ending })}\n`

/** By what the lines of a file are in order. */
export const orderOf = ({ at, order = at }: NewEnding): number => order

/** What a line says; null for one that says nothing that we know. */
export function parseLine(line: string): Ending | null {
  try {
    return endingSchema.safeParse(JSON.parse(line)).data ?? null
  } catch {
    return null
  }
}
