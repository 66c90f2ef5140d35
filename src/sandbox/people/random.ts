/** Seeded pseudo-random numbers: the same seed gives the same people on every machine. */
export interface Random {
  /** 0 inclusive to 1 exclusive. */
  next(): number
  /** A whole number from `min` to `max`, both included. */
  int(min: number, max: number): number
  pick<T>(list: readonly T[]): T
  /** A measurement near `mean`, at most `spread` away, with so many decimal places. */
  near(mean: number, spread: number, places?: number): number
  /** An independent sequence: what one family of records draws never moves another. */
  fork(name: string): Random
}

// FNV-1a turns the seed's text into a state; mulberry32 goes on from there.
const hash = (text: string): number => {
  let value = 0x811c9dc5
  for (const character of text) value = Math.imul(value ^ (character.codePointAt(0) ?? 0), 0x01000193)
  return value >>> 0
}

/** A sequence of pseudo-random numbers, fixed by its seed. Not for secrets. */
export const createRandom = (seed: string): Random => {
  let state = hash(seed)
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
  }
  const int = (min: number, max: number) => min + Math.floor(next() * (max - min + 1))
  return {
    next,
    int,
    pick: (list) => {
      const picked = list[int(0, list.length - 1)]
      if (picked === undefined) throw new RangeError('nothing to pick from')
      return picked
    },
    near: (mean, spread, places = 0) => Number((mean + (next() * 2 - 1) * spread).toFixed(places)),
    fork: (name) => createRandom(`${seed}/${name}`),
  }
}
