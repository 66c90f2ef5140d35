/**
 * The first page: what this server is, its issuers, and on a development server the way to the demonstration.
 *
 * Owns: what the first page lists. Does not own: the demonstration app (sandbox) or registration.
 */
import { managementUrl } from '../config/addresses.ts'
import type { Environment, Settings } from '../config/settings.ts'
import type { AttestationFace, HomePage } from '../web/pages.ts'
import type { Attestations } from './attestation.ts'

type HomeEnvironment = HomePage['plans'][number]['environments'][number]

const demonstrationOf = (
  { demonstration }: Environment,
  stateOf: (clientId: string) => AttestationFace['state'] | null,
): HomeEnvironment['demonstration'] =>
  demonstration && {
    members: demonstration.members.map((member) => ({
      username: member.username,
      password: member.password,
      name: member.name,
      own: member.patients.length > 0,
      actsFor: member.delegations.map((delegation) => delegation.name),
      practitioner: member.fhirUser !== null,
    })),
    apps: demonstration.apps.map(({ clientId, name, kind, secret, jwks, jwksUri, redirectUris }) => ({
      clientId,
      name,
      kind,
      secret,
      hasKeys: jwks !== null || jwksUri !== null,
      redirectUris,
      attestation: kind === 'resource-server' || kind === 'service' ? null : stateOf(clientId),
    })),
  }

const environmentOf = async (
  environment: Environment,
  letters: boolean,
  attestations: Attestations,
): Promise<HomeEnvironment> => {
  const { issuer } = environment
  const listed = environment.demonstration ? await attestations.list(environment.id) : []
  const states = new Map(listed.map(({ clientId, attestation }) => [clientId, attestation.state]))
  const document = (kind: 'openid' | 'oauth' | 'smart', name: string) => ({
    kind,
    url: `${issuer}/.well-known/${name}`,
  })
  return {
    id: environment.id,
    name: environment.name,
    issuer,
    sandbox: environment.sandbox,
    discovery: [
      document('smart', 'smart-configuration'),
      document('openid', 'openid-configuration'),
      document('oauth', 'oauth-authorization-server'),
    ],
    fhirBases: environment.apis.map(({ name, baseUrl }) => ({ name, url: baseUrl })),
    launcherUrl: environment.sandbox && environment.apis.some(({ sandbox }) => sandbox) ? `${issuer}/launcher` : null,
    lettersUrl: letters ? `${issuer}/letters` : null,
    connectionsUrl: managementUrl(environment),
    signOutUrl: `${issuer}/sign-out`,
    demonstration: demonstrationOf(environment, (clientId) => states.get(clientId) ?? null),
  }
}

/** The first page's contents. `demoUrl` is null where no demonstration app is served. */
export const homePage = async (
  settings: Settings,
  demoUrl: string | null,
  attestations: Attestations,
): Promise<HomePage> => ({
  demoUrl,
  plans: await Promise.all(
    settings.plans.map(async (plan) => ({
      id: plan.id,
      name: plan.name,
      environments: await Promise.all(
        plan.environments.map((environment) =>
          environmentOf(environment, settings.mail.smtpUrl === null && environment.sandbox, attestations),
        ),
      ),
    })),
  ),
})
