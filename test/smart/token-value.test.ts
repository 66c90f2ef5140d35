import { describe, expect, it } from 'vitest'
import { parseTokenValue, spellTokenValue, tokenIncludes, tokenOverlap } from '../../src/smart/token-value.ts'

const one = (text: string) => {
  const [value] = parseTokenValue(text)
  if (!value) throw new Error(`no value in ${text}`)
  return value
}

describe('a token value', () => {
  it.each([
    ['a', [{ system: undefined, code: 'a' }]],
    ['x|a', [{ system: 'x', code: 'a' }]],
    ['|a', [{ system: '', code: 'a' }]],
    ['x|', [{ system: 'x', code: undefined }]],
    [
      'a,x|b',
      [
        { system: undefined, code: 'a' },
        { system: 'x', code: 'b' },
      ],
    ],
    ['a\\,b', [{ system: undefined, code: 'a,b' }]],
    ['a\\|b', [{ system: undefined, code: 'a|b' }]],
    ['x|a|b', [{ system: 'x', code: 'a|b' }]],
    ['', []],
    ['|', []],
    [',,', []],
  ])('%j is %j', (text, values) => expect(parseTokenValue(text)).toEqual(values))

  it.each(['a', 'x|a', '|a', 'x|', 'a,x|b', 'a\\,b', 'a\\|b', 'a\\\\b'])('%j is spelt as it was read', (text) => {
    expect(spellTokenValue(parseTokenValue(text))).toBe(text)
  })

  it.each([
    ['a', 'x|a', true],
    ['a', '|a', true],
    ['x|', 'x|a', true],
    ['x|a', 'a', false],
    ['|a', 'a', false],
    ['|a', 'x|a', false],
    ['x|', 'y|a', false],
    ['x|a', 'x|', false],
    ['a', 'A', false],
  ])('%j includes %j: %s', (wide, narrow, included) => expect(tokenIncludes(one(wide), one(narrow))).toBe(included))

  it.each([
    ['a', 'x|', 'x|a'],
    ['a', 'a', 'a'],
    ['x|a', 'x|', 'x|a'],
  ])('%j and %j share %j', (left, right, both) => {
    expect(tokenOverlap(one(left), one(right))).toEqual(one(both))
    expect(tokenOverlap(one(right), one(left))).toEqual(one(both))
  })

  it.each([
    ['x|a', 'y|a'],
    ['a', 'x|b'],
    ['|a', 'x|'],
  ])('%j and %j share nothing', (left, right) => expect(tokenOverlap(one(left), one(right))).toBeUndefined())
})
