/**
 * The contract of short-lived records: what nobody would miss tomorrow. Sessions, interactions, codes, pushed requests,
 * replay ids, launch handles, throttles.
 *
 * Owns: the contract. Does not own: a backend (short-lived-sql.ts; a further one runs the same conformance suite).
 * One `ShortLived` belongs to one issuer; equal keys of two issuers never meet. Keys may be any text, values whatever
 * JSON can say. Every operation is atomic by itself, across processes; none takes part in a database transaction.
 */
export interface ShortLived {
  /** The record, unless there is none or it has expired. `usedAt`: milliseconds, of the first `use`. */
  get<T>(kind: string, key: string): Promise<{ value: T; usedAt: number | null } | undefined>

  /** Writes the record whole, in place of an earlier one and its used mark. `expiresAt`: milliseconds since the epoch. */
  set(kind: string, key: string, value: unknown, expiresAt: number, index?: Index): Promise<void>

  delete(kind: string, key: string): Promise<void>

  /**
   * Marks the record as used. `first` to exactly one caller ever; it is kept until it expires, so that reuse is seen.
   * `by`: a name that no other use has, for whoever may want to take it back.
   */
  use(kind: string, key: string, by?: string): Promise<'first' | 'again' | 'missing'>

  /** Undoes the use by this name, if it was done, and keeps it from being done later. Other uses stay. */
  takeBack(kind: string, key: string, by: string): Promise<void>

  /** Writes the record if there is none; true to exactly one caller. An expired record counts as none. */
  addIfAbsent(kind: string, key: string, value: unknown, expiresAt: number): Promise<boolean>

  /** Counts one in a window that opens with its first count and does not move. */
  increment(kind: string, key: string, windowMs: number): Promise<Count>

  /** The count, if its window is still open. */
  count(kind: string, key: string): Promise<Count | undefined>

  /** Forgets the count. */
  reset(kind: string, key: string): Promise<void>

  /** The record that was set with this `uid`. */
  findByUid<T>(kind: string, uid: string): Promise<{ key: string; value: T } | undefined>

  /** Deletes the records of every kind that were set with this grant. */
  deleteByGrant(grant: string): Promise<void>

  /** Deletes the records of one kind that were set with this member, for instance all sessions. */
  deleteByMember(kind: string, member: string): Promise<void>
}

/** By what, beside its key, a record can be found or deleted. */
export interface Index {
  uid?: string
  grant?: string
  member?: string
}

export interface Count {
  count: number
  /** When the window closes, in milliseconds since the epoch. */
  expiresAt: number
}
