import { describe, expect, it } from 'vitest'
import { baseUrlFault, isLoopback, pathFault, redirectUriFault } from '../../src/config/urls.ts'

describe('isLoopback', () => {
  it.each([
    'http://localhost',
    'https://localhost:8443/x',
    'http://127.0.0.1:3000',
    'http://127.9.8.7',
    'http://[::1]:3000',
  ])('finds %s on this machine', (url) => expect(isLoopback(url)).toBe(true))
  it.each([
    'https://login.example.org',
    'http://localhost.example.org',
    'http://127.0.0.1.example.org',
    'http://0.0.0.0',
    'http://[::]',
    'http://128.0.0.1',
    'http://localhost@example.org',
    'localhost',
    '',
  ])('finds %s elsewhere', (url) => expect(isLoopback(url)).toBe(false))
})

describe('baseUrlFault', () => {
  it.each([
    'https://login.example.org',
    'https://login.example.org:8443/a/b',
    'http://localhost:3000',
    'http://[::1]:3000/x',
  ])('accepts %s', (url) => expect(baseUrlFault(url)).toBeNull())
  it.each([
    ['http://login.example.org', /must be https/],
    ['https://login.example.org/', /slash/],
    ['https://login.example.org/a/', /slash/],
    ['https://login.example.org?x=1', /query/],
    ['https://login.example.org?', /query/],
    ['https://login.example.org/a#b', /fragment/],
    ['https://user:hunter2@login.example.org', /user name or password/],
    ['https://LOGIN.example.org', /https:\/\/login\.example\.org$/],
    ['https://login.example.org:443', /canonical/],
    ['https://login.example.org/a/../b', /canonical/],
    ['https://login.example.org\\a', /must be an https/],
    ['https://login.example.org/a b', /must be an https/],
    ['https://login.example.org/\n', /must be an https/],
    ['ftp://login.example.org', /must be an https/],
    ['login.example.org', /must be an https/],
    ['', /must be an https/],
  ])('refuses %j', (url, message) => expect(baseUrlFault(url)).toMatch(message))

  it('repeats no password', () => {
    expect(baseUrlFault('https://user:hunter2@login.example.org')).not.toContain('hunter2')
  })
})

describe('pathFault', () => {
  it('accepts paths of unreserved characters (R41)', () => {
    for (const path of ['/a', '/v5/oauth/token', '/a.b/c-d_e~f']) expect(pathFault(path)).toBeNull()
  })
  it('refuses everything that a router could read in two ways', () => {
    for (const path of [
      '',
      '/',
      'a',
      '/a/',
      '//a',
      '/a//b',
      '/a/../b',
      '/.',
      '/a?b',
      '/a#b',
      '/%61',
      '/a b',
      '/:id',
      '/*',
    ]) {
      expect(pathFault(path), path).toMatch(/must be a path/)
    }
  })
})

describe('redirectUriFault (R12) [SMART app-launch.register-redirect-uris] [RFC 8252 localhost]', () => {
  const web = { sandbox: false, confidential: true }
  const native = { sandbox: false, confidential: false }

  it('accepts https, loopback by address and private-use schemes of public apps', () => {
    expect(redirectUriFault('https://app.example.com/callback?x=1', web)).toBeNull()
    expect(redirectUriFault('http://127.0.0.1/callback', web)).toBeNull()
    expect(redirectUriFault('http://[::1]/callback', web)).toBeNull()
    expect(redirectUriFault('com.example.app:/callback', native)).toBeNull()
    expect(redirectUriFault('com.example.app://callback', native)).toBeNull()
  })
  it('accepts http://localhost at sandboxes only', () => {
    expect(redirectUriFault('http://localhost:5173/callback', { sandbox: true, confidential: false })).toBeNull()
    expect(redirectUriFault('http://localhost:5173/callback', native)).toMatch(/outside a sandbox/)
  })
  it.each([
    ['http://app.example.com/callback', /must be https/],
    ['https://app.example.com/callback#x', /fragment/],
    ['https://app.example.com/*', /wildcard/],
    ['https://a:b@app.example.com/', /password/],
    ['/callback', /absolute/],
    ['javascript:alert(1)', /reverse-domain/],
    ['data:text/html,x', /reverse-domain/],
    ['myapp:/callback', /reverse-domain/],
    ['', /absolute/],
  ])('refuses %s', (uri, message) => expect(redirectUriFault(uri, native)).toMatch(message))
  it('refuses private-use schemes of confidential apps', () => {
    expect(redirectUriFault('com.example.app:/callback', web)).toMatch(/public apps/)
  })
})
