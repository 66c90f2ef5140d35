/** Rules of self-tests: whoever is named can be played. */
import type { Fault } from '../errors.ts'
import { optionOf } from './addresses.ts'
import type { Environment } from './settings.ts'

const isPrivateKey = (text: string): boolean => {
  try {
    return typeof JSON.parse(text).d === 'string'
  } catch {
    return false
  }
}

/** Every fault of an environment's self-test. */
export function selfTestFaults(environment: Environment): Fault[] {
  const { selfTest } = environment
  if (!selfTest) return []
  const path = `${optionOf(environment)}.selfTest`
  const faults: Fault[] = []
  const { clientId, clientSecret, clientKey, member, service } = selfTest
  if (clientId === null)
    for (const name of ['clientSecret', 'clientKey', 'redirectUri', 'member'] as const)
      if (selfTest[name] !== null) faults.push({ path: `${path}.${name}`, message: 'needs clientId' })
  if (clientSecret !== null && clientKey !== null)
    faults.push({ path: `${path}.clientKey`, message: 'must not be set beside clientSecret' })
  if (clientKey && !isPrivateKey(clientKey))
    faults.push({ path: `${path}.clientKey`, message: 'must be a private JWK: a JSON object with the member d' })
  if (service?.key && !isPrivateKey(service.key))
    faults.push({ path: `${path}.service.key`, message: 'must be a private JWK: a JSON object with the member d' })
  if (member === null && selfTest.otherPatient !== null)
    faults.push({ path: `${path}.otherPatient`, message: 'needs member' })
  return faults
}

/** The options of a self-test that hold secrets. */
export const selfTestSecrets = (environment: Environment): string[] =>
  ['clientSecret', 'clientKey', 'member.password', 'service.key'].map(
    (name) => `${optionOf(environment)}.selfTest.${name}`,
  )
