/**
 * How a plan looks, for apps that are launched from it and want to look alike (SMART App Launch 2.2, "Styling"). Pure.
 *
 * The address carries a hash of what it says, so that it never says anything else: another look has another address.
 */
import { createHash } from 'node:crypto'
import type { Environment, Plan } from './settings.ts'

/** As views/assets/style.css has them, in its light scheme. */
const house = {
  color_background: '#f4f3ef',
  color_error: '#a3231c',
  color_modal_backdrop: '#1b2430',
  color_success: '#1f6b3a',
  color_text: '#1b2430',
  dim_border_radius: '12px',
  dim_font_size: '16px',
  dim_spacing_size: '16px',
  font_family_body: "system-ui, -apple-system, 'Segoe UI', sans-serif",
  font_family_heading: "system-ui, -apple-system, 'Segoe UI', sans-serif",
}

/** The JSON of `smart_style_url`: the properties that SMART names. */
export const styleOf = ({ brand }: Pick<Plan, 'brand'>): Record<string, string> => ({
  ...house,
  color_highlight: brand.color,
})

/** The path of an issuer's style. */
export const stylePath = ({ plan }: Pick<Environment, 'plan'>): string => {
  const hash = createHash('sha256')
    .update(JSON.stringify(styleOf(plan)))
    .digest('base64url')
  return `/styles/${hash.slice(0, 16)}.json`
}

export const styleUrl = (environment: Environment): string => `${environment.issuer}${stylePath(environment)}`
