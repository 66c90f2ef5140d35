/** Fetching what others name an address of: only from the public internet, only so much, only so long. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer, type RequestListener, type Server } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo, LookupFunction } from 'node:net'
import { createServer as createTcpServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { createGuardedFetch, FetchRefused } from '../../src/web/guarded-fetch.ts'

const open: { close: () => void }[] = []
afterEach(() => {
  for (const each of open.splice(0)) each.close()
})

const listening = async (server: Server): Promise<number> => {
  server.listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  open.push({
    close: () => {
      server.closeAllConnections()
      server.close()
    },
  })
  return (server.address() as AddressInfo).port
}

/** A server on this machine, as `http://127.0.0.1:port`, and what was asked of it. */
const serve = async (listener: RequestListener) => {
  const asked: { method?: string | undefined; accept?: string | undefined }[] = []
  const port = await listening(
    createServer((req, res) => {
      asked.push({ method: req.method, accept: req.headers.accept })
      listener(req, res)
    }),
  )
  return { url: `http://127.0.0.1:${port}`, port, asked }
}

const json =
  (body: unknown, headers: Record<string, string> = {}): RequestListener =>
  (_req, res) => {
    res.writeHead(200, { 'content-type': 'application/json', ...headers })
    res.end(JSON.stringify(body))
  }

/** Names as a hostile resolver would tell them; counts how often it was asked. */
const resolver = (...answers: string[][]) => {
  const names: string[] = []
  const lookup: LookupFunction = (name, _how, done) => {
    const addresses = answers[Math.min(names.length, answers.length - 1)] ?? []
    names.push(name)
    // biome-ignore lint/suspicious/noExplicitAny: as node:dns answers with `all`
    ;(done as any)(
      null,
      addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })),
    )
  }
  return { lookup, names }
}

const refusal = async (work: Promise<unknown>): Promise<string> => {
  const error = await work.then(
    () => new Error('it was fetched'),
    (thrown) => thrown,
  )
  expect(error).toBeInstanceOf(FetchRefused)
  return error.message
}

const notPublic = 'the address is not on the public internet'
const special = [
  ...['127.0.0.1', '127.8.8.8', '10.0.0.1', '172.16.0.1', '172.31.255.255', '192.168.1.1', '169.254.1.1'],
  ...['169.254.169.254', '0.0.0.0', '100.64.0.1', '100.127.255.255', '192.0.0.8', '198.18.0.1', '203.0.113.7'],
  ...['224.0.0.1', '255.255.255.255', '192.0.2.1', '198.51.100.1', '240.0.0.1', '192.88.99.1'],
]
const special6 = [
  ...['::1', '::', '::ffff:127.0.0.1', '::ffff:8.8.8.8', '::ffff:a9fe:a9fe', 'fc00::1', 'fd12:3456::1', 'fe80::1'],
  ...['ff02::1', '2001:db8::1', '2002:7f00:1::', '64:ff9b::7f00:1', '2001::1', '::127.0.0.1', '3fff::1', '100::1'],
]

describe('an address that is not on the public internet [OWASP ssrf-addresses]', () => {
  const guarded = createGuardedFetch({ allowLoopback: false, millis: 1000 })

  it.each(special)('https://%s is refused as it stands', async (address) => {
    expect(await refusal(guarded.fetch(`https://${address}/jwks`))).toBe(notPublic)
  })

  it.each(special6)('https://[%s] is refused as it stands', async (address) => {
    expect(await refusal(guarded.fetch(`https://[${address}]/jwks`))).toBe(notPublic)
  })

  it.each([
    ...['https://2130706433/', 'https://0x7f000001/', 'https://0177.0.0.1/', 'https://127.1/', 'https://0/'],
    ...['https://①②⑦.0.0.1/', 'https://127.0.0.1./'],
  ])('%s, which is loopback in another spelling', async (url) => {
    expect(await refusal(guarded.fetch(url))).toMatch(/public internet|could not be reached/)
  })

  it.each([...special, ...special6])('a name that resolves to %s', async (address) => {
    const { lookup, names } = resolver([address])
    const { fetch } = createGuardedFetch({ allowLoopback: false, lookup, millis: 1000 })
    expect(await refusal(fetch('https://keys.example.com/jwks'))).toBe(notPublic)
    expect(names).toEqual(['keys.example.com'])
  })

  it('one bad address among good ones condemns the name', async () => {
    const { lookup } = resolver(['93.184.215.14', '10.0.0.1'])
    const { fetch } = createGuardedFetch({ allowLoopback: false, lookup, millis: 1000 })
    expect(await refusal(fetch('https://keys.example.com/jwks'))).toBe(notPublic)
  })

  it('a name is asked about once for each connection, and what it said then is what is connected to (DNS rebinding)', async () => {
    const { port, asked } = await serve(json({}))
    const { lookup, names } = resolver(['127.0.0.1'], ['10.0.0.1'], ['127.0.0.1'])
    const { fetch } = createGuardedFetch({ allowLoopback: true, lookup, millis: 1000 })
    const url = `http://localhost:${port}/jwks`
    expect((await fetch(url)).status).toBe(200)
    expect(names).toHaveLength(1)
    expect(await refusal(fetch(url)), 'it is asked again, and no connection of before is used').toBe(notPublic)
    expect(names).toHaveLength(2)
    expect(asked).toHaveLength(1)
  })

  it('a name without an address, and one that does not resolve', async () => {
    const { lookup } = resolver([])
    expect(await refusal(createGuardedFetch({ allowLoopback: false, lookup }).fetch('https://keys.example.com/'))).toBe(
      notPublic,
    )
    const failing: LookupFunction = (_name, _how, done) => done(new Error('ENOTFOUND'), '')
    expect(
      await refusal(createGuardedFetch({ allowLoopback: false, lookup: failing }).fetch('https://keys.example.com/')),
    ).toBe('the address could not be reached')
  })

  it.each([
    ['http://keys.example.com/jwks', 'the address must be https'],
    ['http://127.0.0.1/jwks', 'the address must be https'],
    ['ftp://keys.example.com/jwks', 'the address must be https'],
    ['file:///etc/passwd', 'the address must be https'],
    ['data:application/json,{}', 'the address must be https'],
    ['https://user:secret@keys.example.com/jwks', 'the address must not have a user name or password'],
    ['https://keys.example.com@127.0.0.1/jwks', 'the address must not have a user name or password'],
    ['no url', 'the address is no URL'],
    ['//keys.example.com/', 'the address is no URL'],
  ])('%s: %s', async (url, message) => {
    expect(await refusal(guarded.fetch(url))).toBe(message)
  })

  it('is not posted to', async () => {
    expect(await refusal(guarded.fetch('https://keys.example.com/', { method: 'POST' }))).toBe('only GET is fetched')
  })
})

describe('where the issuer is on this machine itself', () => {
  it('loopback is fetched from, over http too', async () => {
    const { url, asked } = await serve(json({ keys: [] }, { 'cache-control': 'max-age=60' }))
    const { body, headers } = await createGuardedFetch({ allowLoopback: true }).fetchJson(`${url}/jwks`)
    expect(body).toEqual({ keys: [] })
    expect(headers.get('cache-control')).toBe('max-age=60')
    expect(asked).toEqual([{ method: 'GET', accept: 'application/json' }])
  })

  it('and nothing else: not another network, and not a name over http, wherever it leads', async () => {
    const { fetch } = createGuardedFetch({ allowLoopback: true, millis: 1000 })
    expect(await refusal(fetch('http://10.0.0.1/'))).toBe('the address must be https')
    expect(await refusal(fetch('http://keys.example.com/'))).toBe('the address must be https')
    expect(await refusal(fetch('https://10.0.0.1/'))).toBe(notPublic)
    expect(await refusal(fetch('https://169.254.169.254/'))).toBe(notPublic)
    const { lookup } = resolver(['93.184.215.14'])
    const lied = createGuardedFetch({ allowLoopback: true, lookup })
    expect(await refusal(lied.fetch('http://localhost/')), 'localhost that is elsewhere').toBe(notPublic)
  })

  it('a certificate that nobody vouches for is refused', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'latchkey-tls-'))
    const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')]
    const made = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2']
    execFileSync('openssl', [...made, '-subj', '/CN=localhost', '-keyout', key, '-out', cert], { stdio: 'ignore' })
    const server = createTlsServer({ key: readFileSync(key), cert: readFileSync(cert) }, json({}))
    rmSync(folder, { recursive: true })
    const port = await listening(server as unknown as Server)
    expect(await refusal(createGuardedFetch({ allowLoopback: true }).fetch(`https://localhost:${port}/`))).toBe(
      'the address could not be reached',
    )
  })
})

describe('what an answer may cost', () => {
  const guarded = createGuardedFetch({ allowLoopback: true, millis: 300, bytes: 1000 })

  it.each([301, 302, 303, 307, 308, 304])('a redirect (%i) is not followed [OWASP ssrf-redirects]', async (status) => {
    let followed = 0
    const target = await serve((_req, res) => {
      followed += 1
      res.end()
    })
    const { url } = await serve((_req, res) => res.writeHead(status, { location: target.url }).end())
    expect(await refusal(guarded.fetch(url))).toBe(`the answer was ${status}, and redirects are not followed`)
    expect(followed).toBe(0)
  })

  it('a body that is too large, said or unsaid [OWASP ssrf-caps]', async () => {
    const { url } = await serve(json('x'.repeat(2000)))
    expect(await refusal(guarded.fetch(url))).toBe('the answer is larger than 1000 bytes')
    const chunked = await serve((_req, res) => {
      res.writeHead(200, { 'content-type': 'application/json' })
      const timer = setInterval(() => res.write('x'.repeat(200)), 1)
      res.once('close', () => clearInterval(timer))
    })
    expect(await refusal(guarded.fetch(chunked.url))).toBe('the answer is larger than 1000 bytes')
  })

  it('a body that comes drop by drop [OWASP ssrf-caps]', async () => {
    const { url } = await serve((_req, res) => {
      res.writeHead(200, { 'content-type': 'application/json' })
      const timer = setInterval(() => res.write(' '), 50)
      res.once('close', () => clearInterval(timer))
    })
    const began = performance.now()
    expect(await refusal(guarded.fetch(url))).toBe('the answer took too long')
    expect(performance.now() - began).toBeLessThan(2000)
  })

  it('an answer that never begins, and a connection that says nothing [OWASP ssrf-caps]', async () => {
    const { url } = await serve(() => undefined)
    expect(await refusal(guarded.fetch(url))).toBe('the answer took too long')
    const silent = createTcpServer(() => undefined).listen(0, '127.0.0.1')
    await new Promise((resolve) => silent.once('listening', resolve))
    open.push({ close: () => silent.close() })
    const { port } = silent.address() as AddressInfo
    expect(await refusal(guarded.fetch(`https://127.0.0.1:${port}/`)), 'no TLS either').toBe('the answer took too long')
  })

  it('a name that takes for ever to resolve', async () => {
    const { fetch } = createGuardedFetch({ allowLoopback: false, millis: 200, lookup: () => undefined })
    expect(await refusal(fetch('https://keys.example.com/'))).toBe('the answer took too long')
  })

  it('nobody there', async () => {
    const { url } = await serve(() => undefined)
    for (const each of open.splice(0)) each.close()
    expect(await refusal(guarded.fetch(url))).toBe('the address could not be reached')
  })

  it('whoever asked can give up earlier', async () => {
    const { url } = await serve(() => undefined)
    expect(await refusal(guarded.fetch(url, { signal: AbortSignal.timeout(30) }))).toBe('the answer took too long')
  })

  it('compression, which could make much of little', async () => {
    const { url } = await serve(json({}, { 'content-encoding': 'gzip' }))
    expect(await refusal(guarded.fetch(url))).toBe('the answer is compressed, which was not asked for')
  })
})

describe('JSON', () => {
  const guarded = createGuardedFetch({ allowLoopback: true })

  it.each([
    [404, 'application/json', '{}', 'the answer was 404 instead of 200'],
    [500, 'application/json', '{}', 'the answer was 500 instead of 200'],
    [204, 'application/json', '', 'the answer was 204 instead of 200'],
    [200, 'text/html', '{}', 'the answer is not of a JSON type'],
    [200, 'text/json; application/json', '{}', 'the answer is not of a JSON type'],
    [200, 'application/json', '<html>', 'the answer is no JSON'],
    [200, 'application/json', '', 'the answer is no JSON'],
  ])('%i %s %j is refused', async (status, type, body, message) => {
    const { url } = await serve((_req, res) => {
      res.writeHead(status, { 'content-type': type })
      res.end(body)
    })
    expect(await refusal(guarded.fetchJson(url))).toBe(message)
  })

  it.each(['application/json', 'application/jwk-set+json', 'Application/JSON; charset=utf-8'])(
    '%s is read',
    async (type) => {
      const { url } = await serve(json([1], { 'content-type': type }))
      expect((await guarded.fetchJson(url)).body).toEqual([1])
    },
  )

  it('nothing of an answer is in what is told of it [OWASP ssrf-caps]', async () => {
    const { url } = await serve((_req, res) => {
      res.writeHead(200, { 'content-type': 'application/json' })
      res.end('root:x:0:0')
    })
    const error = await guarded.fetchJson(url).catch((thrown) => thrown)
    expect(error.message).toBe('the answer is no JSON')
  })
})
