/** Whom and what launches may name at an issuer: its apps, its people, their records. */
import { normalizeUsername } from '../accounts/username.ts'
import type { Environment } from '../config/settings.ts'
import type { LaunchDirectory } from '../launches/launches.ts'
import type { Directory } from '../members/directory.ts'
import { sparing } from '../smart/token-size.ts'
import type { Clients } from './clients.ts'
import { availableScopes, frameOf } from './resources.ts'

export const createLaunchDirectory = (deps: {
  environment: Environment
  clients: Clients
  directory: Directory
}): LaunchDirectory => {
  const { environment, clients, directory } = deps
  const { id: issuer } = environment
  const { sensitiveCategories } = environment.plan

  return {
    async app(clientId) {
      const client = await clients.find(clientId)
      if (client?.kind !== 'public' && client?.kind !== 'confidential') return undefined
      const { scopes } = client
      return {
        appId: client.app.id,
        apis: client.apis,
        mayLaunch: scopes?.includes('launch') ?? true,
        launchUrls: client.launchUrls,
        hasRoom(apiId, context, patient) {
          const api = environment.apis.find(({ id }) => id === apiId)
          if (!api) return false
          const most = `openid fhirUser launch offline_access online_access patient/*.${api.interactions}`
          const asked = availableScopes(most, api, scopes, sensitiveCategories)
          return sparing(asked, frameOf(environment, api, clientId, { launch: context, patient })) !== undefined
        },
      }
    },

    async user(name) {
      const username = normalizeUsername(name)
      const bySubject = await directory.findBySubject(issuer, name)
      const member =
        bySubject ?? (username === undefined ? undefined : await directory.findByUsername(issuer, username))
      return member?.status === 'active' ? { id: member.id, practitioner: member.fhir_user !== null } : undefined
    },

    patient: (fhirId) => directory.findPatient(issuer, fhirId),

    mayShare: async (memberId, patientId) => (await directory.choice(issuer, memberId, patientId)) !== undefined,
  }
}
