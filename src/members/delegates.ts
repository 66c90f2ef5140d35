/**
 * The rules about members who act for a patient (R32, R34). Pure.
 */
import type { DelegationRow } from '../storage/tables.ts'

/** Why a record is open to a member: it is their own, or the basis of their delegation. */
export type Relation = 'self' | DelegationRow['basis']

/** Is the delegation in force at `now` (milliseconds)? Its start belongs to it, its end does not. */
export function delegationInForce(row: Pick<DelegationRow, 'starts_at' | 'ends_at'>, now: number): boolean {
  return row.starts_at <= now && (row.ends_at === null || now < row.ends_at)
}

/** When the last of some delegations ends: infinite where one has no end, 0 where there is none. */
export function lastEnd(rows: readonly Pick<DelegationRow, 'ends_at'>[]): number {
  return Math.max(0, ...rows.map((row) => row.ends_at ?? Number.POSITIVE_INFINITY))
}

/**
 * Who the signed-in person is, as a FHIR reference: their own Patient where the record is theirs, otherwise the
 * RelatedPerson for (person, patient). Never the Patient of the one they act for (R32).
 */
export function fhirUserOf(
  record: { relation: 'self'; fhirId: string } | { relation: DelegationRow['basis']; relatedPerson: string },
): string {
  return record.relation === 'self' ? `Patient/${record.fhirId}` : `RelatedPerson/${record.relatedPerson}`
}

/** Of two delegations for one patient: the one that lasts longer, then the one with fewer scopes masked. */
export function stronger<T extends Pick<DelegationRow, 'ends_at' | 'mask'>>(a: T, b: T): T {
  const end = (row: T) => row.ends_at ?? Number.POSITIVE_INFINITY
  if (end(a) !== end(b)) return end(a) > end(b) ? a : b
  return maskOf(b.mask).length < maskOf(a.mask).length ? b : a
}

/** The scopes of a stored mask; none for null. */
export function maskOf(mask: string | null): string[] {
  return mask === null ? [] : (JSON.parse(mask) as string[])
}
