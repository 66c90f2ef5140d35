/** A plan's colour, whatever it is, leaves every link readable in both schemes (R30). */
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { contrast, mixed } from '../../src/config/contrast.ts'
import { accentOf, brandCss, schemes } from '../../src/web/brand.ts'

const style = readFileSync('views/assets/style.css', 'utf8')
const [light = '', dark = ''] = [/^:root \{(.*?)^\}/ms, /prefers-color-scheme: dark\) \{(.*?)^\}/ms].map(
  (block) => block.exec(style)?.[1] ?? '',
)
const valueIn = (block: string, name: string) => new RegExp(`--${name}: ([^;]+);`).exec(block)?.[1]
const full = (color: string) => (color.length === 4 ? color.replace(/[0-9a-f]/gi, '$&$&') : color)

/** Colours across the whole space that a plan may have: those on which white can be read. */
const levels = ['00', '33', '66', '77', '99', 'cc', 'ff']
const allowed = levels
  .flatMap((red) => levels.flatMap((green) => levels.map((blue) => `#${red}${green}${blue}`)))
  .filter((color) => contrast(color, '#fff') >= 4.5)

describe('the colours that text stands on', () => {
  it.each([
    ['light', light],
    ['dark', dark],
  ] as const)('%s: are those of the stylesheet', (scheme, block) => {
    const { paper, card, tint } = schemes[scheme]
    expect(full(valueIn(block, 'paper') ?? '')).toBe(paper)
    expect(full(valueIn(block, 'card') ?? '')).toBe(card)
    expect(valueIn(block, 'tint')).toBe(`color-mix(in oklab, var(--accent) ${tint * 100}%, var(--card))`)
  })
})

describe('links', () => {
  it.each(['light', 'dark'] as const)('%s: can be read in every colour that a plan may have', (scheme) => {
    expect(allowed.length).toBeGreaterThan(100)
    const { paper, card, tint } = schemes[scheme]
    for (const color of allowed) {
      const accent = accentOf(color, scheme)
      for (const ground of [paper, card, mixed(accent, tint, card)])
        expect(contrast(accent, ground), `${color} as ${accent} on ${ground}`).toBeGreaterThanOrEqual(4.5)
    }
  })

  it('have the plan’s own colour wherever that can be read', () => {
    expect(accentOf('#1f5a8a', 'light')).toBe('#1f5a8a')
    expect(accentOf('#767676', 'light')).not.toBe('#767676')
    expect(accentOf('#000000', 'dark')).not.toBe('#000000')
  })

  it('are black on paper: the colours are of screens', () => {
    const css = brandCss('#1f5a8a')
    for (const [line] of css.matchAll(/.*--accent.*/g)) expect(line).toMatch(/^@media screen/)
  })
})

describe('mixing and contrast', () => {
  it('are what browsers and WCAG say', () => {
    expect(contrast('#000', '#ffffff')).toBeCloseTo(21)
    expect(contrast('#777777', '#fff')).toBeCloseTo(4.48, 2)
    expect(contrast('#fff', '#777777')).toBe(contrast('#777', '#fff'))
    // As Chromium computes color-mix(in oklab, …).
    expect(mixed('#000', 0.5, '#fff')).toBe('#636363')
    expect(mixed('#1f5a8a', 1, '#fff')).toBe('#1f5a8a')
    expect(mixed('#1f5a8a', 0, '#fff')).toBe('#ffffff')
  })

  it('leave a colour that says more than a colour unsaid', () => {
    for (const color of ['red}body{x:y', '#12', '#1234567', 'url(//evil.example)', '']) expect(brandCss(color)).toBe('')
  })
})
