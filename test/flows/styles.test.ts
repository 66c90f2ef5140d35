/** How a plan looks, for apps that are launched from it (SMART App Launch 2.2, "Styling"). */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Environment } from '../../src/config/settings.ts'
import { styleOf, styleUrl } from '../../src/config/style.ts'
import { startServer, type TestServer } from '../support/server.ts'

let server: TestServer
let environment: Environment

beforeAll(async () => {
  server = await startServer()
  environment = server.settings.plans[0]?.environments[0] as Environment
})
afterAll(() => server.close())

describe('the style of a plan', () => {
  it('is JSON with the properties that SMART names, for any page, and kept for good', async () => {
    const response = await fetch(styleUrl(environment), { headers: { origin: 'https://app.example.org' } })
    expect(response.status).toBe(200)
    expect(response.headers.get('content-type')).toContain('application/json')
    expect(response.headers.get('access-control-allow-origin')).toBe('*')
    expect(response.headers.get('cache-control')).toBe('public, max-age=31536000, immutable')
    const style = await response.json()
    expect(Object.keys(style).sort()).toEqual([
      ...['color_background', 'color_error', 'color_highlight', 'color_modal_backdrop', 'color_success', 'color_text'],
      ...['dim_border_radius', 'dim_font_size', 'dim_spacing_size', 'font_family_body', 'font_family_heading'],
    ])
    for (const [name, value] of Object.entries(style)) {
      if (name.startsWith('color_')) expect(value, name).toMatch(/^#[\da-f]{6}$/)
      if (name.startsWith('dim_')) expect(value, name).toMatch(/^\d+px$/)
    }
    expect(style.color_highlight).toBe('#1f5a8a')
  })

  it('has another address when it changes [SMART scopes.style-changes]', () => {
    const { plan } = environment
    const changed = { ...environment, plan: { ...plan, brand: { ...plan.brand, color: '#7a3b12' } } }
    expect(styleOf(changed.plan)).not.toEqual(styleOf(plan))
    expect(styleUrl(changed)).not.toBe(styleUrl(environment))
    expect(styleUrl({ ...environment, plan: { ...plan, name: 'Another name' } })).toBe(styleUrl(environment))
  })

  it('is nowhere else, and takes nothing', async () => {
    expect((await fetch(`${environment.issuer}/styles/AAAAAAAAAAAAAAAA.json`)).status).toBe(404)
    expect((await fetch(styleUrl(environment), { method: 'POST' })).status).toBe(405)
  })
})
