/** Servers that hang, lie or never end, and what a server says: told in words, in bounded time (R40). */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { examine } from '../../src/doctor/doctor.ts'
import { createHidden } from '../../src/doctor/hidden.ts'
import { formsOf } from '../../src/doctor/html-forms.ts'
import { openPersonWalker } from '../../src/doctor/interactive.ts'
import { reportText } from '../../src/doctor/report.ts'
import { type FakeServer, member, redirectUri, startFake } from './fake-server.ts'

let fake: FakeServer
afterEach(() => fake?.close())

describe('a server that does not answer well', () => {
  it.each([
    ['hangs', /no whole answer within 1 s/],
    ['cut off', /the connection was cut|socket/],
    ['endless', /larger than 2 MiB|no whole answer/],
    ['HTML instead', /200 text\/html/],
    ['a list instead', /200 application\/json/],
    ['redirects', /302 to https:\/\/elsewhere\.example\//],
  ])('%s', async (defect, seen) => {
    fake = await startFake(defect)
    const began = Date.now()
    const report = await examine({
      target: fake.base,
      limits: { request: 1000 },
      client: { clientId: 'app' },
      redirectUri,
      member,
    })
    expect(Date.now() - began).toBeLessThan(10_000)
    const failed = report.results.filter(({ outcome }) => outcome === 'failed')
    expect(failed.map(({ id }) => id)).toEqual(['smart.discovery.served'])
    expect(failed[0]?.seen).toMatch(seen)
    const text = reportText(report, { color: false })
    expect(text).toMatch(/do +Serve it at the FHIR base/)
    expect(text).not.toMatch(/\bat .*\.ts:\d+|TypeError/)
  })

  it('all of it ends when the time for all is up', async () => {
    fake = await startFake()
    const report = await examine({ target: fake.base, limits: { request: 1000, all: 40 } })
    expect(report.results.some(({ seen }) => seen === 'the time for all checks was up')).toBe(true)
    expect(report.counts.skipped).toBeGreaterThan(50)
  })

  it.each([
    'null',
    '[]',
    '"x"',
    '{"capabilities":5,"token_endpoint":["x"],"issuer":{},"scopes_supported":"a b"}',
    '{"capabilities":["launch-standalone"],"authorization_endpoint":"javascript:alert(1)","token_endpoint":"http://[bad","issuer":"not an address"}',
  ])('any JSON is read: %s', async (body) => {
    const server = createServer((_request, response) =>
      response.writeHead(200, { 'content-type': 'application/json' }).end(body),
    )
    server.listen(0, '127.0.0.1')
    await new Promise((resolve) => server.once('listening', resolve))
    const target = `http://127.0.0.1:${(server.address() as AddressInfo).port}/fhir`
    try {
      const report = await examine({
        target,
        limits: { request: 1000 },
        client: { clientId: 'app', secret: 'a-secret' },
        member,
        redirectUri,
      })
      expect(report.outcome).toBe('failed')
      expect(report.results.filter(({ seen }) => /the check itself failed/.test(seen))).toEqual([])
    } finally {
      server.close()
    }
  })

  it('sends no secret without TLS to another machine', async () => {
    const bodies: string[] = []
    const server = createServer((request, response) => {
      request.on('data', (chunk) => bodies.push(`${request.headers.authorization} ${chunk}`))
      const body = { capabilities: ['launch-standalone'], token_endpoint: 'http://192.0.2.1/token' }
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body))
    })
    server.listen(0, '127.0.0.1')
    await new Promise((resolve) => server.once('listening', resolve))
    const target = `http://127.0.0.1:${(server.address() as AddressInfo).port}/fhir`
    const report = await examine({
      target,
      limits: { request: 300 },
      client: { clientId: 'web', secret: 'a-secret' },
      only: ['R13'],
    })
    server.close()
    expect(report.results.filter(({ outcome }) => outcome !== 'skipped')).toEqual([])
    expect(report.results.find(({ id }) => id === 'R13.accepted')?.seen).toBe('credentials are not sent without TLS')
    expect(bodies.join()).not.toContain('a-secret')
  })
})

describe('what is told', () => {
  it('has no secrets, no tokens and no controls of the terminal', () => {
    const hidden = createHidden()
    hidden.add('a-secret/of+ours')
    expect(hidden.clean('x a-secret/of+ours a-secret%2Fof%2Bours y')).toBe('x [hidden] [hidden] y')
    expect(hidden.clean('Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.sig')).toBe('Bearer [hidden]')
    expect(hidden.clean('\u001b[2Jgone\r\nnew\u202e')).toBe(' [2Jgone new ')
    expect(hidden.clean('x'.repeat(1000)).length).toBeLessThan(310)
  })
})

describe('a person in place of the walker', () => {
  it('is shown the address, and what comes back is used', async () => {
    fake = await startFake()
    const said: string[] = []
    const person = await openPersonWalker({ redirectUri: undefined, say: (text) => said.push(text) })
    const going = person
      .walker({ extend: () => {}, left: () => 1000, send: () => Promise.reject(new Error('not asked')) })
      .walk('https://login.example.org/authorize?x=1')
    expect(said.join()).toContain('https://login.example.org/authorize?x=1')
    const wrong = await fetch(`${new URL(person.redirectUri).origin}/elsewhere?code=no`)
    expect(wrong.status).toBe(404)
    await fetch(`${person.redirectUri}?code=abc&state=s`)
    expect(await going).toMatchObject({ at: 'app', url: expect.objectContaining({ search: '?code=abc&state=s' }) })
    await person.close()
  })

  it('is not waited for without end', async () => {
    const person = await openPersonWalker({ redirectUri: undefined, say: () => {}, patience: 20 })
    const going = person
      .walker({ extend: () => {}, left: () => 1000, send: () => Promise.reject(new Error('no')) })
      .walk('https://x.example/')
    await expect(going).rejects.toThrow('nobody came back')
    await person.close()
  })
})

describe('the forms of a page', () => {
  it('are read however they are written', () => {
    const [first, second] = formsOf(`
      <!-- <form action="/no"></form> --><script>"<form action='/no'>"</script>
      <FORM Action=/in METHOD=post><label for=n>Your &quot;name&quot;</label><input id=n name=name value='a&amp;b'>
      <input type=checkbox name=c checked><input type=checkbox name=d value=2><input disabled name=e value=3>
      <select name=s><option value=1><option value=2 selected></select><textarea name=t>x &lt; y</textarea>
      <button form=other>Stop</button><button name=go value=1>Go <b>on</b></button></form>
      <form id="other" action="?deny"></form>`)
    expect(first).toMatchObject({ action: '/in', method: 'post', buttons: [{ name: 'go', value: '1', text: 'Go on' }] })
    expect(first?.fields.map(({ name, value, on, label }) => [name, value, on, label])).toEqual([
      ['name', 'a&b', true, 'Your "name"'],
      ['c', 'on', true, ''],
      ['d', '2', false, ''],
      ['s', '2', true, ''],
      ['t', 'x < y', true, ''],
    ])
    expect(second).toMatchObject({ id: 'other', action: '?deny', method: 'get', buttons: [{ text: 'Stop' }] })
  })
})
