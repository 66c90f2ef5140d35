import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { createAssets } from '../../src/web/assets.ts'
import { formActionSource } from '../../src/web/headers.ts'
import { createSite, viewsFolder } from './site.ts'

const site = createSite()

describe('assets', () => {
  it('never change under the address that pages use', async () => {
    const { status, headers, text } = await site.get(site.views.assets.url('style.css'))
    expect(status).toBe(200)
    expect(headers['content-type']).toBe('text/css; charset=utf-8')
    expect(headers['cache-control']).toBe('public, max-age=31536000, immutable')
    expect(text).toContain('--brand')
  })

  it('are asked about again under any other', async () => {
    for (const path of ['/assets/style.css', '/assets/style.css?v=old']) {
      const { headers } = await site.get(path)
      expect(headers['cache-control']).toBe('no-cache')
      const again = await site.get(path, { 'if-none-match': headers.etag ?? '' })
      expect(again.status).toBe(304)
    }
  })

  it('carry each plan’s colour', async () => {
    const { text } = await site.get('/assets/brand/prairie.css')
    expect(text).toContain(':root{--brand:#1f5a8a}\n')
  })

  it('let a colour say nothing but a colour', () => {
    const [plan] = site.settings.plans
    if (!plan) throw new Error('no plan')
    const mean = { ...plan, id: 'mean', brand: { ...plan.brand, color: 'red}body{background:url(//evil.example)' } }
    const assets = createAssets({ dir: join(viewsFolder, 'assets'), plans: [mean] })
    const empty = createHash('sha256').update('').digest('base64url').slice(0, 16)
    expect(assets.url('brand/mean.css')).toBe(`/assets/brand/mean.css?v=${empty}`)
  })

  it('are a fixed table', async () => {
    for (const path of [
      '/assets/',
      '/assets/../error.ejs',
      '/assets/%2e%2e/error.ejs',
      '/assets/..%2ferror.ejs',
      '/assets/constructor',
      '/assets//etc/passwd',
    ]) {
      expect((await site.get(path)).status, path).toBe(404)
    }
    expect(() => site.views.assets.url('nothing.css')).toThrow('nothing.css')
    expect((await site.post('/assets/style.css', '')).status).toBe(405)
  })
})

describe('the source that a form may lead to', () => {
  it.each([
    ['https://app.example.com/callback?x=1', 'https://app.example.com'],
    ['http://127.0.0.1:51004/callback', 'http://127.0.0.1:51004'],
    ['com.example.app:/callback', 'com.example.app:'],
    ['http://[::1]:51004/callback', null],
    ['not an address', null],
  ])('%s', (uri, source) => {
    expect(formActionSource(uri)).toBe(source)
  })
})
