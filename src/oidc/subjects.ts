/**
 * Who tokens speak of: the member as the engine's account, and the claims of the ID token.
 *
 * Owns: `sub` (opaque, stable per plan) and `fhirUser` (R32). Does not own: the directory (members).
 */
import type { Environment } from '../config/settings.ts'
import type { Connections } from '../members/connections.ts'
import type { Directory } from '../members/directory.ts'
import type { GrantContext } from '../members/grants.ts'
import { type Configuration, tellFaults } from './engine.ts'
import { stateOf } from './request-state.ts'

/** `fhirUser` as an absolute URL at the API that the grant opens (SMART, "Identity data"). */
export const fhirUserUrl = (environment: Environment, grant: Pick<GrantContext, 'api' | 'fhirUser'>): string => {
  const api = environment.apis.find((candidate) => candidate.id === grant.api)
  return `${api?.baseUrl ?? environment.issuer}/${grant.fhirUser}`
}

export const createSubjects = (deps: { environment: Environment; directory: Directory; connections: Connections }) => {
  const { environment, directory, connections } = deps

  /** The engine's account of a subject; undefined for one who is unknown or locked, so that nothing is issued. */
  const findAccount: NonNullable<Configuration['findAccount']> = async (ctx, subject, token) => {
    // A grant that is live is one of an active member: that was just asked.
    if (stateOf(ctx.req).grant?.memberSubject !== subject) {
      const member = await directory.findBySubject(environment.id, subject)
      if (member?.status !== 'active') return undefined
    }
    return {
      accountId: subject,
      claims: tellFaults(async () => {
        const grant = token?.grantId ? await connections.grantContext(environment.id, token.grantId) : undefined
        return { sub: subject, ...(grant ? { fhirUser: fhirUserUrl(environment, grant) } : {}) }
      }),
    }
  }

  return { findAccount }
}
