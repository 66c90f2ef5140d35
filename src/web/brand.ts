/**
 * A plan's colour on its pages: as it is where white stands on it, and nearer to black or white where it is itself what is
 * read, so that links can be read in both schemes whatever the colour is (WCAG 1.4.3, 1.4.11).
 */
import { contrast, mixed } from '../config/contrast.ts'

/** What text stands on in views/assets/style.css; its tint is that much of the accent in the card. */
export const schemes = {
  light: { paper: '#f4f3ef', card: '#ffffff', tint: 0.06, towards: '#000000', first: 1 },
  dark: { paper: '#12161b', card: '#1b2127', tint: 0.08, towards: '#ffffff', first: 0.4 },
} as const

const ENOUGH = 4.5

/** The colour of links in a scheme: as much of the plan's as can be read. */
export function accentOf(color: string, scheme: keyof typeof schemes): string {
  const { paper, card, tint, towards, first } = schemes[scheme]
  for (let share = first; share > 0; share -= 0.02) {
    const accent = mixed(color, share, towards)
    const grounds = [paper, card, mixed(accent, tint, card)]
    if (grounds.every((ground) => contrast(accent, ground) >= ENOUGH)) return accent
  }
  return towards
}

/** A stylesheet of its own, because the policy allows no inline style. On paper everything is black. */
export function brandCss(color: string): string {
  // The colour comes from the operator's file; it must not be able to say more than a colour. Else the stylesheet's own holds.
  if (!/^#(?:[\da-f]{3}|[\da-f]{6})$/i.test(color)) return ''
  return [
    `:root{--brand:${color}}`,
    `@media screen{:root{--accent:${accentOf(color, 'light')}}}`,
    `@media screen and (prefers-color-scheme:dark){:root{--accent:${accentOf(color, 'dark')}}}\n`,
  ].join('\n')
}
