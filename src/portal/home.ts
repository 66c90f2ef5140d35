/**
 * The first page: what this server is, its issuers, and on a development server the way to the demonstration.
 *
 * Owns: what the first page lists. Does not own: the demonstration app (sandbox) or registration.
 */
import type { Environment, Settings } from '../config/settings.ts'
import type { HomePage } from '../web/pages.ts'

type HomeEnvironment = HomePage['plans'][number]['environments'][number]

const demonstrationOf = ({ demonstration }: Environment): HomeEnvironment['demonstration'] =>
  demonstration && {
    members: demonstration.members.map((member) => ({
      username: member.username,
      password: member.password,
      name: member.name,
      own: member.patients.length > 0,
      actsFor: member.delegations.map((delegation) => delegation.name),
    })),
    apps: demonstration.apps.map(({ clientId, name, kind, secret, redirectUris }) => ({
      clientId,
      name,
      kind,
      secret,
      redirectUris,
    })),
  }

const environmentOf = (environment: Environment, letters: boolean): HomeEnvironment => {
  const { issuer } = environment
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
    lettersUrl: letters ? `${issuer}/letters` : null,
    signOutUrl: `${issuer}/sign-out`,
    demonstration: demonstrationOf(environment),
  }
}

/** The first page's contents. `demoUrl` is null where no demonstration app is served. */
export const homePage = (settings: Settings, demoUrl: string | null): HomePage => ({
  demoUrl,
  plans: settings.plans.map((plan) => ({
    id: plan.id,
    name: plan.name,
    environments: plan.environments.map((environment) =>
      environmentOf(environment, settings.mail.smtpUrl === null && environment.sandbox),
    ),
  })),
})
