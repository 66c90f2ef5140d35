/** A seeded generator (mulberry32): the same cases on every run. */
export function createRandom(seed: number) {
  let state = seed
  const next = () => {
    state = (state + 0x6d2b79f5) | 0
    let value = Math.imul(state ^ (state >>> 15), 1 | state)
    value = (value + Math.imul(value ^ (value >>> 7), 61 | value)) ^ value
    return ((value ^ (value >>> 14)) >>> 0) / 4_294_967_296
  }
  const below = (limit: number) => Math.floor(next() * limit)
  return {
    below,
    pick: <T>(list: readonly T[]): T => list[below(list.length)] as T,
    some: <T>(list: readonly T[]): T[] => list.filter(() => next() < 0.5),
  }
}

export type Random = ReturnType<typeof createRandom>

const types = ['*', 'Patient', 'Observation', 'Condition', 'Coverage']
const values = ['a', 'b', 'x|a', 'x|b', 'y|a', 'x|', 'a,b', 'x|a,y|a', '|a']

/** A scope text of the grammar, out of a small world so that scopes meet often. */
export function randomScope(random: Random): string {
  if (random.below(10) === 0) return random.pick(['openid', 'fhirUser', 'launch/patient', 'offline_access'])
  const context = random.below(8) === 0 ? 'user' : 'patient'
  const resource = random.pick(types)
  if (random.below(3) === 0) return `${context}/${resource}.${random.pick(['read', 'write', '*'])}`
  const interactions = random.some([...'cruds']).join('') || 'r'
  const query = random.below(2) === 0 ? [] : [`category=${random.pick(values)}`]
  if (random.below(6) === 0) query.push(`code=${random.pick(values)}`)
  return `${context}/${resource}.${interactions}${query.length > 0 ? `?${query.join('&')}` : ''}`
}

export function randomScopes(random: Random, most: number): string[] {
  return Array.from({ length: random.below(most + 1) }, () => randomScope(random))
}
