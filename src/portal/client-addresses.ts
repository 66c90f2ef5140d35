/** Addresses that an app hands in: those that people are sent to (R12), pages, and where its keys are. Pure. */
import { isIP } from 'node:net'
import type { Environment, RegistrationPolicy } from '../config/settings.ts'
import { isLoopback, pageUrlFault, redirectUriFault } from '../config/urls.ts'
import { isPublic } from '../web/guarded-fetch.ts'

interface AddressRules {
  environment: Pick<Environment, 'issuer' | 'sandbox'>
  policy: Pick<RegistrationPolicy, 'redirectHosts'>
}

/** People and browsers would each read something else into other characters: the names of hosts have a spelling in ASCII. */
const spellingFault = (url: string): string | null =>
  /[^\x21-\x7e]/.test(url) ? 'must be spelt in ASCII, as browsers send it' : null

/** What is wrong with the address of a page, or null. */
export const pageFault = (url: string): string | null => spellingFault(url) ?? pageUrlFault(url)

const withinHosts = (url: string, hosts: readonly string[] | null): boolean => {
  if (hosts === null) return true
  const { hostname } = new URL(url)
  return hosts.some((host) => hostname === host || hostname.endsWith(`.${host}`))
}

/** What is wrong with an address that an app is sent to, or null; private-use schemes are for public apps. */
export const addressFault = (
  uri: string,
  { environment, policy }: AddressRules,
  privateSchemes: boolean,
): string | null => {
  const fault =
    spellingFault(uri) ?? redirectUriFault(uri, { sandbox: environment.sandbox, confidential: !privateSchemes })
  if (fault) return fault
  const { protocol, origin } = new URL(uri)
  if (origin === new URL(environment.issuer).origin) return 'must not be an address of this server'
  return protocol === 'https:' && !withinHosts(uri, policy.redirectHosts)
    ? `must be at ${policy.redirectHosts?.join(' or ')}`
    : null
}

/** Names that no public name server knows (RFC 6761, RFC 6762, RFC 8375, ICANN's `internal`). */
const innerName = /^[^.]+$|\.(?:localhost|local|internal|home\.arpa|test|invalid|onion)$/

/**
 * Where an app's keys are: https on the public internet, and loopback only where the issuer is there too. What a name means is
 * judged again whenever it is fetched (web/guarded-fetch.ts).
 */
export const keyAddressFault = (url: string, { environment }: AddressRules): string | null => {
  const fault = pageFault(url)
  if (fault) return fault
  if (isLoopback(url) && isLoopback(environment.issuer)) return null
  const host = new URL(url).hostname.replace(/^\[|\]$/g, '').replace(/\.$/, '')
  return (isIP(host) ? isPublic(host) : !innerName.test(host)) ? null : 'must be on the public internet'
}
