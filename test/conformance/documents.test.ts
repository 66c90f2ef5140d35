/** How conformance is told: that no row is lost, and that nothing is said to pass which does not. */
import { describe, expect, it } from 'vitest'
import { checklist, checklistParts } from './checklist.ts'
import { checklistDocument, citedIn, conformanceDocument, faultsOf, type TestOutcome, testsById } from './documents.ts'
import { pages, shalls } from './shalls.ts'

const outcome = (name: string, over: Partial<TestOutcome> = {}): TestOutcome => ({
  file: 'test/a.test.ts',
  suites: ['a story'],
  name,
  state: 'passed',
  ...over,
})

describe('the lists', () => {
  it('have each id once, on a page that there is, with a sentence', () => {
    const ids = [...shalls, ...checklist].map(({ id }) => id)
    expect(ids.filter((id, at) => ids.indexOf(id) !== at)).toEqual([])
    for (const { id, text, section } of shalls) {
      expect(Object.keys(pages)).toContain(id.split('.')[0])
      expect([text.length > 10, section.length > 3], id).toEqual([true, true])
    }
    for (const { id, part, text } of checklist) {
      expect(Object.keys(checklistParts), id).toContain(part)
      expect(text.length, id).toBeGreaterThan(10)
    }
  })

  it('point at ids that there are', () => {
    const known = new Set([...shalls.map(({ id }) => `SMART ${id}`), ...checklist.map(({ id }) => id)])
    expect(checklist.flatMap(({ also = [] }) => also).filter((id) => !known.has(id))).toEqual([])
  })
})

describe('what a name cites', () => {
  it('is every id in its brackets', () => {
    expect(citedIn('walks (R1) [SMART a.b, c.d] [ASVS 6.2.1] [RFC 9700 1, 2]')).toEqual([
      ...['SMART a.b', 'SMART c.d', 'ASVS 6.2.1', 'RFC 9700 1', 'RFC 9700 2'],
    ])
    expect(citedIn('a list [1, 2] of [nothing]')).toEqual([])
  })

  it('counts for all tests of a describe', () => {
    const cited = testsById([outcome('one', { suites: ['all [ASVS 6.2.1]'] }), outcome('two', { suites: ['others'] })])
    expect(cited.get('ASVS 6.2.1')?.map(({ name }) => name)).toEqual(['one'])
  })
})

describe('a row', () => {
  const rowOf = (outcomes: TestOutcome[], id = 'app-launch.aud') =>
    conformanceDocument(testsById(outcomes))
      .split('\n')
      .find((line) => line.includes(`**${id}**`))

  it('passes with its tests, fails with one of them, in whichever project, and is not held by one that was skipped', () => {
    const test = outcome('aud [SMART app-launch.aud]')
    expect(rowOf([test])).toMatch(/`test\/a\.test\.ts`<br>· a story \\> aud \| passes \|$/)
    expect(rowOf([test, outcome('b [SMART app-launch.aud]', { state: 'failed' })])).toMatch(/\*\*fails\*\* \|$/)
    expect(rowOf([test, { ...test, state: 'failed' }])).toMatch(/\*\*fails\*\* \|$/)
    expect(rowOf([{ ...test, state: 'failed' }, test])).toMatch(/\*\*fails\*\* \|$/)
    expect(rowOf([{ ...test, state: 'skipped' }])).toMatch(/\*\*not run\*\* \|$/)
    expect(rowOf([])).toMatch(/\*\*no test\*\* \|$/)
    expect(rowOf([], 'app-state.access')).toMatch(/not offered \|$/)
  })

  it('stays one cell, whatever a test is called', () => {
    const row = rowOf([outcome('a | b <script> *c* [SMART app-launch.aud]')]) ?? ''
    expect(row.match(/(?<!\\)\|/g)).toHaveLength(5)
    expect(row).not.toContain('<script>')
  })

  it('of the checklist is held by the tests of the ids that it names', () => {
    const document = checklistDocument(testsById([outcome('a [RFC 9700 10]')]))
    const line = document.split('\n').find((each) => each.includes('**ASVS 10.4.2**'))
    expect(line).toMatch(/a story \\> a \| passes \|$/)
  })
})

describe('a run', () => {
  it('of some tests hears of unknown ids; one of all of rows without test and reason as well', () => {
    const cited = testsById([outcome('a [SMART app-launch.aud] [SMART app-launch.typo]')])
    expect(faultsOf(cited, false)).toEqual(['[SMART app-launch.typo] is in no list: test/a.test.ts'])
    const whole = faultsOf(cited, true)
    expect(whole).toContain('SMART app-launch.state-returned has neither a test nor a reason why not')
    expect(whole.join()).not.toContain('app-launch.aud has')
    expect(whole.join()).not.toContain('app-state')
  })
})
