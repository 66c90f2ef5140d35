/** Rules of apps that register themselves: a policy that contradicts itself lets in nobody, or more than was meant. */
import type { Fault } from '../errors.ts'
import { parseScope } from '../smart/scope.ts'
import { optionOf } from './addresses.ts'
import type { Environment, RegistrationPolicy, StatementIssuer } from './settings.ts'
import { isLoopback } from './urls.ts'

/** Every fault of an environment's registration. */
export function registrationFaults(environment: Environment): Fault[] {
  const { registration } = environment
  if (!registration) return []
  const path = `${optionOf(environment)}.registration`
  const faults: Fault[] = []
  const byStatement = registration.by.includes('software-statement')
  if (byStatement && registration.softwareStatements.length === 0)
    faults.push({ path: `${path}.softwareStatements`, message: 'is required where by names software-statement' })
  registration.softwareStatements.forEach((issuer, index, all) => {
    const at = `${path}.softwareStatements.${index}`
    faults.push(...issuerFaults(issuer, environment, at))
    if (all.findIndex((other) => other.issuer === issuer.issuer) < index)
      faults.push({ path: `${at}.issuer`, message: 'is given twice' })
  })
  return [...faults, ...policyFaults(registration.policy, environment, `${path}.policy`)]
}

function issuerFaults({ jwks, jwksUri }: StatementIssuer, environment: Environment, at: string): Fault[] {
  if (jwks === null && jwksUri === null) return [{ path: `${at}.jwks`, message: 'is required, or jwksUri' }]
  if (jwks !== null && jwksUri !== null) return [{ path: `${at}.jwksUri`, message: 'must not be set beside jwks' }]
  const secret = jwks?.keys.some((key) => key.kty === 'oct' || 'd' in key)
  if (secret) return [{ path: `${at}.jwks`, message: 'must have public keys only' }]
  if (jwksUri && isLoopback(jwksUri) && !isLoopback(environment.issuer))
    return [{ path: `${at}.jwksUri`, message: 'must not be on this machine' }]
  return []
}

function policyFaults(policy: RegistrationPolicy, { apis }: Environment, path: string): Fault[] {
  const faults: Fault[] = []
  if (policy.kinds.includes('service') && policy.scopes === null)
    faults.push({ path: `${path}.scopes`, message: 'is required where kinds names service: what services may have' })
  if (policy.kinds.every((kind) => kind === 'public') && !policy.profiles.includes('smart'))
    faults.push({ path: `${path}.profiles`, message: 'must name smart for public apps: fapi2 has none' })
  if (!policy.profiles.includes('smart') && !policy.authMethods.includes('private_key_jwt'))
    faults.push({ path: `${path}.authMethods`, message: 'must name private_key_jwt, which fapi2 requires' })
  policy.scopes?.forEach((scope, index) => {
    if (!parseScope(scope))
      faults.push({
        path: `${path}.scopes.${index}`,
        message: 'is no scope; accepted are for instance openid, launch/patient, patient/Observation.rs',
      })
  })
  policy.apis?.forEach((id, index) => {
    if (!apis.some((api) => api.id === id))
      faults.push({
        path: `${path}.apis.${index}`,
        message: `must be one of this environment’s: ${apis.map((api) => api.id).join(', ')}`,
      })
  })
  return faults
}
