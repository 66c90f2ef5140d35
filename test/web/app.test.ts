import { describe, expect, it } from 'vitest'
import { InputFaults, LatchkeyError, Unavailable } from '../../src/errors.ts'
import { createSite, html, signInPage } from './site.ts'

const UUID7 = /^[\da-f]{8}-[\da-f]{4}-7[\da-f]{3}-[89ab][\da-f]{3}-[\da-f]{12}$/

function withPage(change?: Parameters<typeof createSite>[1]) {
  return createSite(({ app, views }) => {
    app.use(async (ctx, next) => {
      if (ctx.path === '/echo') {
        ctx.body = {
          address: ctx.state.address,
          protocol: ctx.protocol,
          host: ctx.host,
          forwarded: Object.fromEntries(
            Object.entries(ctx.req.headers).filter(([name]) => /^x-forwarded|^forwarded|^x-real/.test(name)),
          ),
        }
      } else if (ctx.path.endsWith('/page')) views.renderPage(ctx, 'interaction/sign-in', signInPage)
      else if (ctx.path === '/to-app') {
        ctx.state.formAction = ['https://binder.example.com', 'com.example.binder:', 'http://127.0.0.1:4321']
        views.renderPage(ctx, 'interaction/sign-in', signInPage)
      } else if (ctx.path === '/bad-source') {
        ctx.state.formAction = ["https://a.example; script-src 'unsafe-inline'"]
        views.renderPage(ctx, 'interaction/sign-in', signInPage)
      } else if (ctx.path === '/throws') throw new Error('the password of the database is hunter2')
      else if (ctx.path.endsWith('/unavailable')) throw new Unavailable('the store is gone', { retryAfter: 7 })
      else if (ctx.path === '/faults') throw new InputFaults([{ path: 'app.name', message: '<b>is needed</b>' }])
      else if (ctx.path === '/strange') throw new LatchkeyError('a_code_without_words', 418)
      else if (ctx.path === '/healthz') ctx.body = 'ok'
      else return next()
    })
  }, change)
}

describe('every answer', () => {
  const site = withPage()

  it('carries a request id of our own, never one that came in', async () => {
    const { headers } = await site.get('/prairie/sandbox/page', { 'x-request-id': 'mine' })
    expect(headers['x-request-id']).toMatch(UUID7)
    expect((await site.get('/prairie/sandbox/page')).headers['x-request-id']).not.toBe(headers['x-request-id'])
  })

  it('carries the security headers, and no HSTS over http [RFC 9700 12, 13]', async () => {
    for (const path of ['/prairie/sandbox/page', '/echo', '/nothing', '/throws', '/assets/style.css']) {
      const { headers } = await site.get(path)
      expect(headers, path).toMatchObject({
        'x-content-type-options': 'nosniff',
        'x-frame-options': 'DENY',
        'referrer-policy': 'no-referrer',
      })
      expect(headers['content-security-policy'], path).toContain("default-src 'none'")
      expect(headers['content-security-policy'], path).toContain("frame-ancestors 'none'")
      expect(headers).not.toHaveProperty('strict-transport-security')
    }
  })

  it('carries HSTS where the address is https, and no policy that cuts pop-ups from their app', async () => {
    const secure = withPage((settings) => {
      settings.publicUrl = 'https://auth.prairie.example'
    })
    const { headers } = await secure.get('/page', { host: 'auth.prairie.example' })
    expect(headers['strict-transport-security']).toMatch(/^max-age=\d{8}/)
    expect(headers).not.toHaveProperty('cross-origin-opener-policy')
  })

  it('is logged by its path alone', async () => {
    await site.get('/prairie/sandbox/page?code=should-not-be-logged')
    expect(site.logged()).toContain('/prairie/sandbox/page')
    expect(site.logged()).not.toContain('should-not-be-logged')
  })
})

describe('a page', () => {
  const site = withPage()

  it('has a policy without inline script or style, and is not kept [RFC 9700 12, 13] [OWASP logo]', async () => {
    const { headers, text } = await site.get('/prairie/sandbox/page')
    expect(headers['content-security-policy']).toBe(
      "default-src 'none'; base-uri 'none'; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; " +
        "img-src 'self' data:; script-src 'self'; style-src 'self'",
    )
    expect(headers['cache-control']).toBe('no-store')
    expect(text).not.toMatch(/<script(?![^>]* src=)|<style| style=| on[a-z]+=/)
  })

  it('lets its forms lead to this request’s app only', async () => {
    const { headers } = await site.get('/to-app')
    expect(headers['content-security-policy']).toContain(
      "form-action 'self' https://binder.example.com com.example.binder: http://127.0.0.1:4321;",
    )
  })

  it('refuses a source that says more than a source', async () => {
    const { status, headers } = await site.get('/bad-source')
    expect(status).toBe(500)
    expect(headers['content-security-policy']).not.toContain('unsafe-inline')
  })

  it('shows the service desk of the plan that its address belongs to (R48)', async () => {
    expect((await site.get('/prairie/sandbox/page')).text).toContain('1-800-555-0142')
    expect((await site.get('/v5/summit/page')).text).toContain('1-888-555-0117')
  })
})

describe('the host allow-list', () => {
  const site = withPage()

  it('refuses any other host and names the right address', async () => {
    for (const host of ['evil.example', 'localhost', 'localhost:3000.evil.example', '127.0.0.1:3000', '']) {
      const { status, text } = await site.get('/prairie/sandbox/page', { host })
      expect(status, host).toBe(421)
      expect(text).toContain('http://localhost:3000')
      expect(text).not.toContain('evil.example')
    }
  })

  it('answers in any spelling of ours, and at probes for everybody', async () => {
    expect((await site.get('/prairie/sandbox/page', { host: 'LOCALHOST:3000' })).status).toBe(200)
    expect((await site.get('/healthz', { host: '10.1.2.3' })).status).toBe(200)
  })

  it('answers at the host of every issuer, with its scheme (R41)', async () => {
    const moved = withPage((settings) => {
      const environment = settings.plans[1]?.environments[0]
      if (environment) environment.issuer = 'https://login.summit.example/v5'
    })
    for (const host of ['login.summit.example', 'login.summit.example:443', 'LOGIN.Summit.example']) {
      const { body } = await moved.get('/echo', { host })
      expect(body, 'one spelling, which the routes know').toMatchObject({
        protocol: 'https',
        host: 'login.summit.example',
      })
    }
    expect((await moved.get('/echo')).body.protocol).toBe('http')
  })
})

describe('forwarded headers', () => {
  const spoofed = {
    'x-forwarded-for': '203.0.113.9, 198.51.100.7',
    'x-forwarded-proto': 'https',
    'x-forwarded-host': 'evil.example',
    'x-forwarded-prefix': '/evil',
    'x-real-ip': '203.0.113.9',
    forwarded: 'for=203.0.113.9;host=evil.example;proto=https',
  }

  it('are nothing to us when a stranger sends them [RFC 9700 18]', async () => {
    const { body } = await withPage().get('/echo', spoofed)
    expect(body).toEqual({
      address: '127.0.0.1',
      protocol: 'http',
      host: 'localhost:3000',
      forwarded: { 'x-forwarded-proto': 'http' },
    })
  })

  const behind = (...trusted: string[]) =>
    withPage((settings) => {
      settings.trustedProxies = trusted
    })

  it('tell the address as far as trusted proxies wrote it, and never more [RFC 9700 18]', async () => {
    const headers = { 'x-forwarded-for': spoofed['x-forwarded-for'] }
    const one = await behind('127.0.0.0/8', '::1').get('/echo', headers)
    expect(one.body).toMatchObject({ address: '198.51.100.7', forwarded: { 'x-forwarded-proto': 'http' } })
    const two = await behind('127.0.0.0/8', '198.51.100.0/24').get('/echo', headers)
    expect(two.body.address).toBe('203.0.113.9')
    const nonsense = await behind('127.0.0.0/8').get('/echo', { 'x-forwarded-for': '203.0.113.9, unknown' })
    expect(nonsense.body.address).toBe('127.0.0.1')
  })

  it('pass on the host of a trusted proxy through the same allow-list', async () => {
    const site = behind('127.0.0.0/8')
    expect((await site.get('/echo', { host: '10.0.0.5', 'x-forwarded-host': 'localhost:3000' })).status).toBe(200)
    expect((await site.get('/echo', { 'x-forwarded-host': 'evil.example' })).status).toBe(421)
  })
})

describe('the error page', () => {
  const site = withPage()

  it('shows a reference that the log has the cause for, and nothing of the inside', async () => {
    const { status, text, headers } = await site.get('/throws')
    const reference = headers['x-request-id'] ?? 'none'
    expect(status).toBe(500)
    expect(text).toContain(reference)
    expect(text).not.toMatch(/hunter2|Error|\.ts|node_modules/)
    const line = site
      .logged()
      .split('\n')
      .find((entry) => entry.includes(reference) && entry.includes('refused'))
    expect(line).toContain('the password of the database')
  })

  it('names the service desk in the member’s language (R31, R48)', async () => {
    const { text, headers } = await site.get('/prairie/sandbox/unavailable', { 'accept-language': 'es-MX,en;q=0.5' })
    expect(text).toContain('<html lang="es">')
    expect(text).toContain('No estamos disponibles en este momento')
    expect(text).toContain('1-800-555-0142')
    expect(headers['content-language']).toBe('es')
  })

  it('is 503 with Retry-After for a fault of ours (R43)', async () => {
    const { status, headers } = await site.get('/prairie/sandbox/unavailable')
    expect(status).toBe(503)
    expect(headers['retry-after']).toBe('7')
  })

  it('lists every fault of an input, escaped', async () => {
    const { status, text } = await site.get('/faults')
    expect(status).toBe(400)
    expect(text).toContain('app.name')
    expect(text).toContain('&lt;b&gt;is needed')
  })

  it('has words for a code that the catalogues do not know', async () => {
    const { status, text } = await site.get('/strange')
    expect(status).toBe(418)
    expect(text).toContain('We could not do that')
  })

  it('is JSON for programs', async () => {
    for (const accept of ['application/json', '*/*']) {
      const { status, body, headers } = await site.get('/prairie/sandbox/unavailable', {
        accept,
        'accept-language': 'es',
      })
      expect(status).toBe(503)
      expect(body).toEqual({
        error: 'temporarily_unavailable',
        error_description: expect.stringMatching(/^[\x20-\x21\x23-\x5b\x5d-\x7e]+$/),
        reference: headers['x-request-id'],
      })
      expect(headers['cache-control']).toBe('no-store')
    }
    const { body } = await site.get('/faults', { accept: 'application/json' })
    expect(body.faults).toEqual([{ path: 'app.name', message: '<b>is needed</b>' }])
  })

  it('answers what nobody answers: 404, and 400 for a target that is no path', async () => {
    expect((await site.get('/nothing/here')).status).toBe(404)
    expect((await site.get('/nothing/here')).text).toContain('This page does not exist')
    expect((await site.post('/nothing', '')).status).toBe(404)
  })
})

describe('a switch of language', () => {
  const site = withPage()

  it('keeps the choice and the flow: same address, without the switch (R31)', async () => {
    const { status, headers } = await site.get('/prairie/sandbox/page?a=1%262&lang=es&b=c')
    expect(status).toBe(303)
    expect(headers.location).toBe('http://localhost:3000/prairie/sandbox/page?a=1%262&b=c')
    const [cookie = ''] = headers['set-cookie'] ?? []
    expect(cookie).toMatch(/^lk_lang=es; .*samesite=lax; httponly/i)
    const { text } = await site.get('/prairie/sandbox/page', { cookie: 'lk_lang=es', 'accept-language': 'en' })
    expect(text).toContain('<html lang="es">')
    expect(text).toContain('href="/prairie/sandbox/page?lang=en"')
  })

  it('never leads to another host', async () => {
    for (const path of ['//evil.example/?lang=es', '/\\evil.example/?lang=es', '///evil.example?lang=es']) {
      const { status, headers } = await site.get(path)
      if (status === 303) expect(new URL(headers.location ?? '').host).toBe('localhost:3000')
      else expect(status).toBeGreaterThanOrEqual(400)
    }
    const { text } = await site.get('//evil.example/nothing')
    expect(text).not.toContain('href="//')
  })

  it('takes no language that does not exist, and nothing from programs', async () => {
    expect((await site.get('/prairie/sandbox/page?lang=%0d%0aset-cookie:a=b')).status).toBe(200)
    expect((await site.get('/prairie/sandbox/page?lang=xx')).status).toBe(200)
    expect((await site.get('/echo?lang=es', { accept: 'application/json' })).status).toBe(200)
  })

  it('is not offered where a form was posted and the page has no address of its own', async () => {
    expect((await site.post('/throws', '', { accept: html })).text).not.toContain('lang=es')
  })
})
