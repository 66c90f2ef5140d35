/**
 * What a driver's error means: the data refused (a constraint), or the store is at fault (R43).
 *
 * Owns: reading the error codes of the drivers. Does not own: what a caller does about either.
 */
import { LatchkeyError, Unavailable } from '../errors.ts'

export type Constraint = 'unique' | 'foreign-key' | 'check' | 'not-null' | 'trigger' | 'other'

/** The store refused a row because of a rule of its own; the store itself is well. */
export class ConstraintViolation extends Error {
  readonly constraint: Constraint

  constructor(constraint: Constraint, cause: Error) {
    super(cause.message, { cause })
    this.name = 'ConstraintViolation'
    this.constraint = constraint
  }
}

/** Did a unique constraint, the primary key included, refuse the row? */
export function isUniqueViolation(error: unknown): boolean {
  return error instanceof ConstraintViolation && error.constraint === 'unique'
}

/**
 * The error to throw in place of a driver's. Values that the store would bend (a `TypeError` of ours) and errors that
 * already say what they mean pass as they are; whatever else is not a constraint is a fault of ours.
 */
export function storeFault(error: unknown): Error {
  if (error instanceof LatchkeyError || error instanceof ConstraintViolation || error instanceof TypeError) return error
  if (!(error instanceof Error)) return new Unavailable('the store failed', { cause: error })
  const constraint = constraintOf(error)
  if (constraint) return new ConstraintViolation(constraint, error)
  return new Unavailable(`the store failed: ${error.message}`, { cause: error })
}

/** Extended result codes: https://www.sqlite.org/rescode.html */
const SQLITE_CONSTRAINT = 19
const SQLITE_CONSTRAINTS: Record<number, Constraint> = {
  275: 'check',
  787: 'foreign-key',
  1299: 'not-null',
  1555: 'unique', // primary key
  1811: 'trigger',
  2067: 'unique',
  2579: 'unique', // row id
}

/** Integrity constraint violations: https://www.postgresql.org/docs/current/errcodes-appendix.html */
const POSTGRES_CONSTRAINT = /^23/
const POSTGRES_CONSTRAINTS: Record<string, Constraint> = {
  '23000': 'trigger', // as our own triggers say it
  '23502': 'not-null',
  '23503': 'foreign-key',
  '23505': 'unique',
  '23514': 'check',
}

function constraintOf(error: Error & { errcode?: unknown; code?: unknown }): Constraint | undefined {
  const { errcode, code } = error
  if (typeof errcode === 'number' && (errcode & 0xff) === SQLITE_CONSTRAINT)
    return SQLITE_CONSTRAINTS[errcode] ?? 'other'
  if (typeof code === 'string' && POSTGRES_CONSTRAINT.test(code)) return POSTGRES_CONSTRAINTS[code] ?? 'other'
  return undefined
}
