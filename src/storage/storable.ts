/** Which values may go to a store: the same ones to each, whatever its driver would make of others. */

/** As much as every driver takes. */
export type Storable = null | string | number | bigint | Uint8Array

/**
 * Refuses what a driver would bend in silence (a Date, NaN, half a surrogate) or an engine does not take in text (NUL).
 * @throws TypeError that names the kind of the value, never the value: it may be secret
 */
export function storable(parameters: readonly unknown[]): Storable[] {
  for (const value of parameters) {
    const fine =
      value === null ||
      typeof value === 'bigint' ||
      value instanceof Uint8Array ||
      (typeof value === 'number' && Number.isFinite(value)) ||
      (typeof value === 'string' && value.isWellFormed() && !value.includes('\0'))
    if (!fine)
      throw new TypeError(`${kindOf(value)} cannot be stored; give null, text, a finite number, bigint or bytes`)
  }
  return parameters as Storable[]
}

function kindOf(value: unknown): string {
  if (typeof value === 'string') return value.includes('\0') ? 'text with NUL' : 'text with half a surrogate pair'
  if (typeof value === 'number') return String(value)
  return value instanceof Object ? value.constructor.name : typeof value
}
