/** Views hold no words and no raw output; the catalogues say the same in every language, and nothing that nobody reads. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'

const root = join(import.meta.dirname, '../..')

function files(folder: string, ...endings: string[]): { path: string; text: string }[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((path) => endings.some((ending) => path.endsWith(ending)))
    .map((path) => ({ path: join(folder, path), text: readFileSync(join(root, folder, path), 'utf8') }))
}

const views = files('views', '.ejs')
const catalogues = files('views/locales', '.json').map(({ path, text }) => ({
  path,
  words: new Map<string, string>(Object.entries(JSON.parse(text))),
}))
const english = new Map(catalogues.find(({ path }) => path.endsWith('en.json'))?.words)

describe.each(views)('$path', ({ text }) => {
  it('writes nothing raw but includes', () => {
    for (const [, code = ''] of text.matchAll(/<%-([\s\S]*?)%>/g))
      expect(code.trim()).toMatch(/^include\('[\w/-]+'(, \{[^;]*\})?\)$/)
  })

  it('has no words of its own', () => {
    const markup = text.replaceAll(/<%(?![-=])[\s\S]*?%>/g, '').replaceAll(/<%[-=][\s\S]*?%>/g, '§')
    expect(markup.replaceAll(/<!DOCTYPE html>|<[a-z/][^>]*>/gi, '')).not.toMatch(/\p{Letter}/u)
    for (const [, name, value] of markup.matchAll(
      /\s(title|alt|placeholder|aria-label|aria-description|label)="([^"]*)"/g,
    )) {
      expect(value, name).not.toMatch(/\p{Letter}/u)
    }
  })

  it('has no inline script, style or handler, which our own policy would stop', () => {
    expect(text).not.toMatch(/<style|\sstyle=|\son[a-z]+=|javascript:/i)
    expect(text).not.toMatch(/<script(?![^>]*\ssrc=)/)
  })
})

describe('the catalogues', () => {
  it.each(catalogues)('$path has every key of English, and no other (R31)', ({ words }) => {
    expect([...words.keys()]).toEqual([...english.keys()])
  })

  it.each(catalogues)('$path is sorted, and says something everywhere', ({ words }) => {
    expect([...words.keys()]).toEqual([...words.keys()].toSorted())
    for (const [key, text] of words) expect(text.trim(), key).not.toBe('')
  })

  it.each(catalogues)('$path names the same parameters', ({ words }) => {
    const names = (text = '') => [...new Set(text.match(/\{\w+\}/g))].toSorted()
    for (const [key, text] of words) expect(names(text), key).toEqual(names(english.get(key)))
  })

  it('have a title, a text and a next step for every error', () => {
    const codes = new Set(
      [...english.keys()].flatMap((key) => /^error\.(\w+)\.(?:title|text|next)$/.exec(key)?.[1] ?? []),
    )
    for (const code of codes) {
      for (const part of ['title', 'text', 'next'])
        expect(english.has(`error.${code}.${part}`), `${code} ${part}`).toBe(true)
    }
  })
})

describe('keys', () => {
  const sources = [...views, ...files('src', '.ts'), ...files('views/assets', '.js')]
  /** `t('a.b')` and the like: keys in full. */
  const named = new Map<string, string>()
  /** t(`a.${b}.c`): every key of that shape. */
  const shapes = new Map<string, string>()
  for (const { path, text } of sources) {
    for (const [, key = ''] of text.matchAll(/\bt\(\s*'([^']+)'/g)) named.set(key, path)
    for (const [, shape = ''] of text.matchAll(/\bt\(\s*`([^`]+)`/g)) shapes.set(shape, path)
  }
  const plain = (text: string) => text.replaceAll(/[.*+?^$()|[\]\\{}]/g, '\\$&')
  const pattern = (shape: string) =>
    new RegExp(
      `^${shape
        .split(/\$\{[^}]*\}/)
        .map(plain)
        .join('.+')}$`,
    )
  const withoutPlural = (key: string) => key.replace(/\.(?:zero|one|two|few|many|other)$/, '')

  it('that are used exist', () => {
    const known = new Set([...english.keys()].flatMap((key) => [key, withoutPlural(key)]))
    for (const [key, path] of named) expect(known, `${key} in ${path}`).toContain(key)
    for (const [shape, path] of shapes) {
      const expected = pattern(shape)
      expect(
        [...known].some((key) => expected.test(key)),
        `${shape} in ${path}`,
      ).toBe(true)
    }
  })

  it('that exist are used', () => {
    const patterns = [...shapes.keys()].map(pattern)
    const idle = [...english.keys()].filter(
      (key) => !named.has(key) && !named.has(withoutPlural(key)) && !patterns.some((shape) => shape.test(key)),
    )
    expect(idle).toEqual([])
  })
})
