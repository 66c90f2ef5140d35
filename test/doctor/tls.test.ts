/** TLS: old versions, certificates that end, and certificates that nobody trusts (R40). */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { getCACertificates, type SecureVersion, setDefaultCACertificates } from 'node:tls'
import { afterAll, describe, expect, it } from 'vitest'
import { examine } from '../../src/doctor/doctor.ts'

const folder = mkdtempSync(join(tmpdir(), 'latchkey-tls-'))
const usual = getCACertificates()
afterAll(() => {
  setDefaultCACertificates(usual)
  rmSync(folder, { recursive: true })
})

const certificateFor = (days: number) => {
  const [key, cert] = [join(folder, `${days}.key`), join(folder, `${days}.pem`)]
  const line = `req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost -addext subjectAltName=DNS:localhost -days ${days} -keyout ${key} -out ${cert}`
  execFileSync('openssl', line.split(' '), { stdio: 'ignore' })
  return { key: readFileSync(key, 'utf8'), cert: readFileSync(cert, 'utf8') }
}

const look = async (options: { days: number; trusted: boolean; oldest?: SecureVersion }) => {
  const { key, cert } = certificateFor(options.days)
  setDefaultCACertificates(options.trusted ? [...usual, cert] : usual)
  const server = createServer(
    { key, cert, minVersion: options.oldest ?? 'TLSv1.2', ciphers: 'DEFAULT@SECLEVEL=0' },
    (_request, response) => response.writeHead(200, { 'content-type': 'application/json' }).end('{"capabilities":[]}'),
  )
  server.listen(0, 'localhost')
  await new Promise((resolve) => server.once('listening', resolve))
  const target = `https://localhost:${(server.address() as AddressInfo).port}/fhir`
  const report = await examine({ target, only: ['tls', 'smart.discovery.served'], limits: { request: 2000 } })
  server.closeAllConnections()
  server.close()
  return Object.fromEntries(report.results.map(({ id, outcome, seen }) => [id, `${outcome}: ${seen}`]))
}

describe('over TLS', () => {
  it('a sound server passes', async () => {
    const found = await look({ days: 100, trusted: true })
    expect(found['smart.discovery.served']).toMatch(/^passed/)
    expect(found['tls.version']).toMatch(/^passed: localhost:\d+ TLSv1\.3$/)
    expect(found['tls.old-versions']).toBe('passed: refused')
    expect(found['tls.certificate']).toMatch(/^passed: localhost:\d+ until \d{4}-\d\d-\d\d$/)
  })

  it('one that speaks TLS 1.1 is told so', async () => {
    const found = await look({ days: 100, trusted: true, oldest: 'TLSv1' })
    expect(found['tls.old-versions']).toMatch(/^failed: localhost:\d+ speaks TLSv1/)
  })

  it('a certificate that ends soon is a warning', async () => {
    expect((await look({ days: 5, trusted: true }))['tls.certificate']).toMatch(/^warned/)
  })

  it('a certificate that nobody trusts is told in words', async () => {
    const found = await look({ days: 100, trusted: false })
    expect(found['tls.version']).toMatch(/^failed: localhost:\d+: the certificate is signed by itself$/)
    expect(found['smart.discovery.served']).toBe('failed: the certificate is signed by itself')
  })
})
