/** The transport: which versions of TLS a server speaks, and how long its certificate lasts. */
import { connect, type PeerCertificate, type SecureVersion } from 'node:tls'
import { type Check, failed, faultless, passed, Skip, warned } from './check.ts'
import type { Examination } from './examination.ts'
import { why } from './http.ts'

const section = 'SMART App Launch 2.2, Best Practices; RFC 9325'
const DAY = 86_400_000

/** The https hosts that apps and members meet. */
const hostsOf = async ({ server }: Examination): Promise<URL[]> => {
  const addresses = [server.target]
  for (const name of ['authorization_endpoint', 'token_endpoint', 'jwks_uri'])
    try {
      addresses.push(await server.endpoint(name))
    } catch (error) {
      if (!(error instanceof Skip)) throw error
    }
  const hosts = new Map(addresses.map((address) => new URL(address)).map((url) => [url.host, url]))
  const https = [...hosts.values()].filter(({ protocol }) => protocol === 'https:')
  if (https.length === 0) throw new Skip('http on this machine: there is no TLS to look at')
  return https
}

interface Greeting {
  version: string | null
  certificate: PeerCertificate
}

const greet = (url: URL, range: { min: SecureVersion; max: SecureVersion }, patience: number): Promise<Greeting> =>
  new Promise((resolve, reject) => {
    const host = url.hostname.replace(/^\[|\]$/g, '')
    const socket = connect({
      host,
      port: Number(url.port || 443),
      ...(/^[\d.]+$|:/.test(host) ? {} : { servername: host }),
      minVersion: range.min,
      maxVersion: range.max,
      // Old versions are offered only so that the server can refuse them.
      ...(range.min === 'TLSv1' ? { ciphers: 'DEFAULT@SECLEVEL=0' } : {}),
    })
    socket.setTimeout(patience, () => socket.destroy(new Error('no answer in time')))
    socket.once('secureConnect', () => {
      resolve({ version: socket.getProtocol(), certificate: socket.getPeerCertificate() })
      socket.destroy()
    })
    socket.once('error', reject)
  })

const patienceOf = ({ http }: Examination): number => Math.max(1, Math.min(10_000, http.left()))

export const tlsChecks: readonly Check[] = [
  {
    id: 'tls.version',
    title: 'TLS 1.2 or later is spoken, with a certificate that is trusted',
    expected: 'a handshake with TLS 1.2 or 1.3',
    hint: 'Let the proxy speak TLS 1.2 and 1.3, with the whole chain of the certificate.',
    section,
    async run(examination) {
      const seen: string[] = []
      for (const url of await hostsOf(examination))
        try {
          const { version } = await greet(url, { min: 'TLSv1.2', max: 'TLSv1.3' }, patienceOf(examination))
          seen.push(`${url.host} ${version}`)
        } catch (error) {
          return failed(`${url.host}: ${why(error)}`)
        }
      return passed(seen.join(', '))
    },
  },
  {
    id: 'tls.old-versions',
    title: 'TLS 1.1 and older are refused',
    expected: 'no handshake with TLS 1.0 or 1.1',
    hint: 'Switch the old versions off at the proxy.',
    section,
    async run(examination) {
      const faults: string[] = []
      for (const url of await hostsOf(examination))
        try {
          const { version } = await greet(url, { min: 'TLSv1', max: 'TLSv1.1' }, patienceOf(examination))
          faults.push(`${url.host} speaks ${version}`)
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code === 'ERR_SSL_NO_PROTOCOLS_AVAILABLE')
            throw new Skip('this machine cannot offer them')
        }
      return faultless(faults, 'refused')
    },
  },
  {
    id: 'tls.certificate',
    title: 'The certificate lasts for a while',
    expected: 'more than 14 days until its end',
    hint: 'Renew it, and let something renew it by itself.',
    section,
    async run(examination) {
      const seen: string[] = []
      let soon = false
      for (const url of await hostsOf(examination)) {
        const { certificate } = await greet(url, { min: 'TLSv1.2', max: 'TLSv1.3' }, patienceOf(examination)).catch(
          (error: unknown) => {
            throw new Skip(`no handshake with ${url.host}: ${why(error)}`)
          },
        )
        const days = Math.floor((Date.parse(certificate.valid_to) - examination.now()) / DAY)
        soon ||= days <= 14
        seen.push(`${url.host} until ${new Date(certificate.valid_to).toISOString().slice(0, 10)}`)
      }
      return soon ? warned(seen.join(', ')) : passed(seen.join(', '))
    },
  },
]
