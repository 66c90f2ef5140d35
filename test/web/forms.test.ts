import { describe, expect, it } from 'vitest'
import { manyValues, oneValue, readForm } from '../../src/web/forms.ts'
import { createSite, type Site } from './site.ts'

const site = createSite(({ app, forms }) => {
  app.use(async (ctx, next) => {
    if (ctx.method === 'GET' && ctx.path.endsWith('/form')) {
      ctx.body = { one: forms.csrfToken(ctx, 'consent:1'), two: forms.csrfToken(ctx, 'consent:2') }
    } else if (ctx.method === 'POST' && ctx.path.endsWith('/form')) {
      const form = await readForm(ctx)
      forms.checkCsrf(ctx, form, 'consent:1')
      ctx.body = { one: oneValue(form, 'one', { max: 5 }) ?? null, many: manyValues(form, 'many', { count: 3 }) }
    } else if (ctx.path === '/small') ctx.body = { fields: [...(await readForm(ctx, { limit: 20 }))] }
    else return next()
  })
})

async function open(at: Site = site, path = '/prairie/sandbox/form', headers = {}) {
  const { body, headers: answer } = await at.get(path, headers)
  const [cookie = ''] = answer['set-cookie'] ?? []
  return { one: String(body.one), two: String(body.two), cookie: cookie.split(';')[0] ?? '', line: cookie }
}

describe('the form of a page of ours', () => {
  it('is taken with its cookie and its field', async () => {
    const { one, cookie } = await open()
    for (const site_ of ['same-origin', 'none', '']) {
      const headers = { cookie, ...(site_ ? { 'sec-fetch-site': site_ } : {}) }
      const { status } = await site.post('/prairie/sandbox/form', `csrf=${one}`, headers)
      expect(status, site_).toBe(200)
    }
  })

  it('has a cookie for this issuer alone, out of reach of scripts', async () => {
    const { cookie, line } = await open()
    expect(cookie).toMatch(/^lk_csrf\.prairie\.sandbox=/)
    expect(line).toMatch(/samesite=lax/i)
    expect(line).toMatch(/httponly/i)
    expect(line).not.toMatch(/secure/i)
    expect((await open(site, '/prairie/production/form')).cookie).toMatch(/^lk_csrf\.prairie\.production=/)
  })

  it('has a secure cookie bound to the host where the address is https', async () => {
    const secure = createSite(
      ({ app, forms }) => {
        app.use((ctx) => {
          ctx.body = { one: forms.csrfToken(ctx, 'a') }
        })
      },
      (settings) => {
        settings.publicUrl = 'https://auth.prairie.example'
      },
    )
    const { line } = await open(secure, '/form', { host: 'auth.prairie.example' })
    expect(line).toMatch(/^__Host-lk_csrf=.*path=\/.*secure/i)
  })

  it('keeps its cookie, so that two windows work', async () => {
    const first = await open()
    const second = await site.get('/prairie/sandbox/form', { cookie: first.cookie })
    expect(second.headers['set-cookie']).toBeUndefined()
    expect(second.body.one).toBe(first.one)
  })

  const refusals: [
    string,
    (page: Awaited<ReturnType<typeof open>>) => { body: string; headers: Record<string, string> },
  ][] = [
    ['without the cookie', ({ one }) => ({ body: `csrf=${one}`, headers: {} })],
    ['without the field', ({ cookie }) => ({ body: 'a=b', headers: { cookie } })],
    ['with an empty field', ({ cookie }) => ({ body: 'csrf=', headers: { cookie } })],
    ['with another action’s field', ({ two, cookie }) => ({ body: `csrf=${two}`, headers: { cookie } })],
    ['with a doubled field', ({ one, cookie }) => ({ body: `csrf=${one}&csrf=${one}`, headers: { cookie } })],
    [
      'with the cookie’s own value as field',
      ({ cookie }) => ({ body: `csrf=${cookie.split('=')[1]}`, headers: { cookie } }),
    ],
    [
      'with a cookie that somebody made up',
      ({ one }) => ({ body: `csrf=${one}`, headers: { cookie: `lk_csrf.prairie.sandbox=${'a'.repeat(43)}` } }),
    ],
    [
      'from another site',
      ({ one, cookie }) => ({ body: `csrf=${one}`, headers: { cookie, 'sec-fetch-site': 'cross-site' } }),
    ],
    [
      'from another host of the same site',
      ({ one, cookie }) => ({ body: `csrf=${one}`, headers: { cookie, 'sec-fetch-site': 'same-site' } }),
    ],
    [
      'from another site that says it is ours',
      ({ one, cookie }) => ({
        body: `csrf=${one}`,
        headers: { cookie, 'sec-fetch-site': 'cross-site', origin: 'http://localhost:3000' },
      }),
    ],
  ]
  it.each(refusals)('is refused %s, with a way on', async (_, make) => {
    const { body, headers } = make(await open())
    const { status, text } = await site.post('/prairie/sandbox/form', body, headers)
    expect(status).toBe(403)
    expect(text).toContain('Go back, reload the page, and try again.')
  })
})

describe('reading a form', () => {
  it('takes no other kind of body', async () => {
    for (const type of ['application/json', 'multipart/form-data; boundary=a', 'text/plain']) {
      expect((await site.post('/small', '{}', { 'content-type': type })).status, type).toBe(415)
    }
    const packed = { 'content-encoding': 'gzip' }
    expect((await site.post('/small', 'a=b', packed)).status).toBe(415)
  })

  it('takes no more than its limit', async () => {
    expect((await site.post('/small', `a=${'b'.repeat(18)}`)).status).toBe(200)
    expect((await site.post('/small', `a=${'b'.repeat(19)}`)).status).toBe(413)
  })

  it('shows doubled fields', async () => {
    const { body } = await site.post('/small', 'a=1&a=2&b=%C3%A9')
    expect(body.fields).toEqual([
      ['a', '1'],
      ['a', '2'],
      ['b', 'é'],
    ])
  })

  it('gives one value of a field that may be there once, and the distinct ones of a field with many', async () => {
    const { one, cookie } = await open()
    const send = (rest: string) => site.post('/prairie/sandbox/form', `csrf=${one}&${rest}`, { cookie })
    expect((await send('one=12345&many=a&many=b&many=a')).body).toEqual({ one: '12345', many: ['a', 'b'] })
    expect((await send('')).body).toEqual({ one: null, many: [] })
    expect((await send('one=1&one=1')).status).toBe(400)
    expect((await send('one=123456')).status).toBe(400)
    expect((await send('many=1&many=2&many=3&many=4')).status).toBe(400)
  })
})
