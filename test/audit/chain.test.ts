import { describe, expect, it } from 'vitest'
import { canonicalJson, entryHash, GENESIS, verifyChain } from '../../src/audit/chain.ts'
import type { AuditRow } from '../../src/storage/tables.ts'

/** A sound chain of one writer. */
function chain(writer: string, length: number): AuditRow[] {
  const rows: AuditRow[] = []
  for (let sequence = 1; sequence <= length; sequence++) {
    const entry = {
      ...{ writer, sequence, time: 1000 + sequence, plan: 'prairie', issuer: 'prairie/sandbox', type: 'token.issued' },
      ...{
        outcome: 'success' as const,
        actor: 'client:demo',
        member_id: 'm',
        patient_id: 'p',
        app_id: 'a',
        grant_id: 'g',
      },
      ...{ request_id: 'r', details: '{"v":1}', previous_hash: rows.at(-1)?.hash ?? GENESIS },
    }
    rows.push({ ...entry, hash: entryHash(entry) })
  }
  return rows
}

const breaksOf = async (rows: AuditRow[], seen: Parameters<typeof verifyChain>[1] = []) =>
  (await verifyChain(rows, seen)).breaks
const at = (rows: AuditRow[], index: number) => rows[index] as AuditRow

describe('verifyChain (R35)', () => {
  it('finds nothing in a sound chain, in none, or in several that are mixed', async () => {
    const [a, b] = [chain('a', 5), chain('b', 3)]
    expect(await breaksOf([])).toEqual([])
    expect(await verifyChain(a)).toMatchObject({
      entries: 5,
      breaks: [],
      heads: [{ writer: 'a', sequence: 5, hash: at(a, 4).hash }],
    })
    const mixed = [at(b, 0), at(a, 0), at(a, 1), at(b, 1), at(a, 2), at(b, 2)]
    expect(await breaksOf(mixed)).toEqual([])
  })

  const changes: Partial<AuditRow>[] = [
    ...[{ time: 1 }, { plan: null }, { issuer: 'summit/production' }, { type: 'x' }, { outcome: 'refused' as const }],
    ...[
      { actor: 'x' },
      { member_id: 'x' },
      { patient_id: null },
      { app_id: 'x' },
      { grant_id: 'x' },
      { request_id: 'x' },
    ],
    ...[{ details: '{"v":2}' }, { previous_hash: 'x' }, { hash: 'x' }],
  ]
  it.each(changes)('finds the change %j', async (change) => {
    const rows = chain('a', 5)
    rows[2] = { ...at(rows, 2), ...change }
    expect(await breaksOf(rows)).toContainEqual({ writer: 'a', sequence: 3, fault: 'changed' })
  })

  it('finds a change whose hash was made again', async () => {
    const rows = chain('a', 5)
    const changed = { ...at(rows, 2), member_id: 'x' }
    rows[2] = { ...changed, hash: entryHash(changed) }
    expect(await breaksOf(rows)).toEqual([{ writer: 'a', sequence: 4, fault: 'not-linked' }])
  })

  it('finds entries that were removed, at the beginning or in the middle', async () => {
    expect(await breaksOf(chain('a', 5).slice(1))).toEqual([{ writer: 'a', sequence: 1, fault: 'missing' }])
    expect(await breaksOf(chain('a', 5).toSpliced(2, 1))).toEqual([{ writer: 'a', sequence: 3, fault: 'missing' }])
    expect(await breaksOf(chain('a', 9).toSpliced(2, 5))).toEqual([{ writer: 'a', sequence: 3, fault: 'missing' }])
  })

  it('finds entries that were removed and the rest renumbered', async () => {
    const rows = chain('a', 5)
      .toSpliced(2, 1)
      .map((row, index) => ({ ...row, sequence: index + 1 }))
    expect(await breaksOf(rows)).toContainEqual({ writer: 'a', sequence: 3, fault: 'changed' })
  })

  it('finds entries that changed places', async () => {
    const rows = chain('a', 4)
    const swapped = [at(rows, 0), at(rows, 2), at(rows, 1), at(rows, 3)]
    expect(await breaksOf(swapped)).toContainEqual({ writer: 'a', sequence: 2, fault: 'out-of-order' })
    expect(await breaksOf([at(rows, 0), at(rows, 0)])).toContainEqual({
      writer: 'a',
      sequence: 1,
      fault: 'out-of-order',
    })
  })

  it('finds an entry that was moved to another writer’s chain', async () => {
    const rows = chain('a', 3)
    rows[1] = { ...at(chain('b', 3), 1), writer: 'a' }
    expect(await breaksOf(rows)).toContainEqual({ writer: 'a', sequence: 2, fault: 'changed' })
  })

  it('finds an end that was cut off only with the head that was seen elsewhere', async () => {
    const rows = chain('a', 5)
    const head = { writer: 'a', sequence: 5, hash: at(rows, 4).hash }
    expect(await breaksOf(rows, [head])).toEqual([])
    expect(await breaksOf(rows.slice(0, 3))).toEqual([])
    expect(await breaksOf(rows.slice(0, 3), [head])).toEqual([{ writer: 'a', sequence: 4, fault: 'truncated' }])
    expect(await breaksOf([], [head])).toEqual([{ writer: 'a', sequence: 1, fault: 'truncated' }])
  })

  it('finds a last entry that was changed, its hash made again, with that head', async () => {
    const rows = chain('a', 5)
    const head = { writer: 'a', sequence: 5, hash: at(rows, 4).hash }
    const changed = { ...at(rows, 4), member_id: 'x' }
    rows[4] = { ...changed, hash: entryHash(changed) }
    expect(await breaksOf(rows)).toEqual([])
    expect(await breaksOf(rows, [head])).toEqual([{ writer: 'a', sequence: 5, fault: 'changed' }])
  })

  it('goes on after a break, and reports the next', async () => {
    const rows = chain('a', 9).toSpliced(2, 1)
    rows[6] = { ...at(rows, 6), actor: 'x' }
    expect(await breaksOf(rows)).toEqual([
      { writer: 'a', sequence: 3, fault: 'missing' },
      { writer: 'a', sequence: 8, fault: 'changed' },
    ])
  })
})

describe('canonicalJson', () => {
  it('is one text for equal values, at any depth', () => {
    expect(canonicalJson({ b: 1, a: { d: [2, { y: 1, x: 2 }], c: null } })).toBe(
      '{"a":{"c":null,"d":[2,{"x":2,"y":1}]},"b":1}',
    )
    expect(canonicalJson({ a: 1, b: 2 })).toBe(canonicalJson({ b: 2, a: 1 }))
    expect(canonicalJson([2, 1])).toBe('[2,1]')
  })
})
