/** From a parsed file to settings: secrets read, URLs derived, placeholders filled in. */
import { hostname } from 'node:os'
import { knownCategories } from '../smart/sensitivity.ts'
import type { UserAccessBrandConfig } from './brand-schema.ts'
import type { ApiConfig, DemonstrationConfig, EndpointOption, EnvironmentConfig } from './plan-schema.ts'
import { nodeOf, type RedisConfig } from './redis-schema.ts'
import type { Config } from './schema.ts'
import type { ReadSecret } from './secret-sources.ts'
import type {
  Api,
  Demonstration,
  Endpoints,
  Environment,
  Plan,
  RedisSettings,
  SelfTest,
  Settings,
  UserAccessBrand,
} from './settings.ts'
import { pathOf } from './urls.ts'
import type { SecretSource } from './values.ts'

/** The settings that a file stands for. */
export function derive(config: Config, readSecret: ReadSecret): Settings {
  const publicUrl = config.publicUrl ?? `http://localhost:${config.listen.port}`
  const databaseUrl = readSecret(config.database.url, 'database.url') ?? ''
  const node = config.audit.node ?? hostname()
  return {
    publicUrl,
    listen: config.listen,
    trustedProxies: config.trustedProxies,
    database: {
      url: databaseUrl,
      password: config.database.password && (readSecret(config.database.password, 'database.password') ?? null),
      pool: config.database.pool,
    },
    redis: config.redis && deriveRedis(config.redis, readSecret),
    sealingKeys: config.sealingKeys.map((key, index) => ({
      id: key.id,
      secret: readSecret(key.secret, `sealingKeys.${index}.secret`) ?? '',
      development: key.development,
    })),
    log: config.log,
    audit: { node, stream: config.audit.stream },
    recovery: { endingsLog: endingsLog(config.recovery.endingsLog, databaseUrl)?.replaceAll('{node}', node) ?? null },
    mail: {
      from: config.mail.from ?? `no-reply@${new URL(publicUrl).hostname}`,
      smtpUrl: config.mail.smtpUrl === null ? null : (readSecret(config.mail.smtpUrl, 'mail.smtpUrl') ?? null),
    },
    keys: config.keys,
    session: config.session,
    signIn: config.signIn,
    tokens: config.tokens,
    consent: config.consent,
    plans: Object.entries(config.plans).map(([id, plan]) => {
      const { environments, ...rest } = plan
      const sensitiveCategories = Object.entries(plan.sensitiveCategories).map(([code, category]) => ({
        ...category,
        code,
        labels: category.labels ?? knownCategories[code] ?? [],
      }))
      const defaultLanguage = plan.languages[0] ?? 'en'
      const contacts = { ...plan.contacts, educationUrl: educationUrls(plan.contacts.educationUrl, plan.languages) }
      const settings: Plan = {
        id,
        ...rest,
        contacts,
        sensitiveCategories,
        userAccessBrand: deriveBrand(plan.userAccessBrand, { name: plan.name, website: contacts.website, publicUrl }),
        defaultLanguage,
        environments: [],
      }
      settings.environments = Object.entries(environments).map(([name, each]) =>
        deriveEnvironment(settings, name, each, publicUrl, readSecret),
      )
      return settings
    }),
  }
}

/** The recommended identifier of a brand is the origin of its site, without `www.` and path (SMART "Brands"). */
function deriveBrand(
  config: UserAccessBrandConfig,
  { name, website, publicUrl }: { name: string; website: string | null; publicUrl: string },
): UserAccessBrand {
  const origin = new URL(website ?? publicUrl).origin.replace('//www.', '//')
  const { portal } = config
  return {
    ...config,
    identifiers: config.identifiers ?? [{ system: 'urn:ietf:rfc:3986', value: origin }],
    portal: { ...portal, name: portal.name ?? name, url: portal.url ?? website },
    developerUrl: config.developerUrl ?? `${publicUrl}/`,
  }
}

/** A language without a page of its own has that of the plan's first language that has one. */
function educationUrls(
  given: string | Record<string, string> | null,
  languages: readonly string[],
): Record<string, string> | null {
  if (given === null) return null
  const of = (language: string | undefined) => (typeof given === 'string' ? given : given[language ?? ''])
  const reserve = of(languages.find((language) => of(language) !== undefined))
  if (reserve === undefined) return null
  return Object.fromEntries(languages.map((language) => [language, of(language) ?? reserve]))
}

/** Beside a SQLite file by default; PostgreSQL is elsewhere, and only the operator knows a place that outlives the node. */
function endingsLog(configured: string | null | undefined, databaseUrl: string): string | null {
  if (configured !== undefined) return configured
  const file = /^sqlite:(?!:memory:)(.+)$/.exec(databaseUrl)?.[1]
  return file === undefined ? null : `${file}.endings.jsonl`
}

function deriveRedis(config: RedisConfig, readSecret: ReadSecret): RedisSettings {
  const read = (source: SecretSource | null, option: string) =>
    source === null ? null : (readSecret(source, `redis.${option}`) ?? null)
  const { tls, sentinel } = config
  return {
    ...config,
    nodes: config.nodes.map(nodeOf),
    password: read(config.password, 'password'),
    sentinel: sentinel && { ...sentinel, password: read(sentinel.password, 'sentinel.password') },
    tls: tls && {
      ...tls,
      ca: read(tls.ca, 'tls.ca'),
      certificate: read(tls.certificate, 'tls.certificate'),
      key: read(tls.key, 'tls.key'),
    },
  }
}

function deriveEnvironment(
  plan: Plan,
  key: string,
  config: EnvironmentConfig,
  publicUrl: string,
  readSecret: ReadSecret,
): Environment {
  const issuer = absolute(config.url ?? `/${plan.id}/${key}`, publicUrl)
  return {
    id: `${plan.id}/${key}`,
    name: config.name ?? key.charAt(0).toUpperCase() + key.slice(1),
    plan,
    issuer,
    sandbox: config.sandbox,
    endpoints: deriveEndpoints(config.endpoints, pathOf(issuer)),
    apis: Object.entries(config.apis).map(([id, api]) => deriveApi(id, api, issuer, publicUrl)),
    registration: config.registration,
    selfTest:
      config.selfTest && deriveSelfTest(config.selfTest, `plans.${plan.id}.environments.${key}.selfTest`, readSecret),
    demonstration: config.demonstration && deriveDemonstration(config.demonstration, { issuer, publicUrl }),
  }
}

function deriveSelfTest(
  config: NonNullable<EnvironmentConfig['selfTest']>,
  path: string,
  readSecret: ReadSecret,
): SelfTest {
  const read = (source: SecretSource | null, name: string): string | null =>
    source === null ? null : (readSecret(source, `${path}.${name}`) ?? '')
  const { member, service } = config
  return {
    ...config,
    clientSecret: read(config.clientSecret, 'clientSecret'),
    clientKey: read(config.clientKey, 'clientKey'),
    member: member && { ...member, password: read(member.password, 'member.password') ?? '' },
    service: service && { ...service, key: read(service.key, 'service.key') ?? '' },
  }
}

/** A path below the public URL becomes an address; an address stays as it is. */
function absolute(address: string, publicUrl: string): string {
  return address.startsWith('/') ? publicUrl + address : address
}

function deriveEndpoints(options: EnvironmentConfig['endpoints'], issuerPath: string): Endpoints {
  const endpoint = (option: EndpointOption | undefined, name: string) => {
    const given = typeof option === 'string' ? { path: option, aliases: [] } : option
    return { path: given?.path ?? `${issuerPath}/${name}`, aliases: given?.aliases ?? [] }
  }
  return {
    authorization: endpoint(options.authorization, 'authorize'),
    token: endpoint(options.token, 'token'),
    pushedAuthorization: endpoint(options.pushedAuthorization, 'par'),
    introspection: endpoint(options.introspection, 'introspect'),
    revocation: endpoint(options.revocation, 'revoke'),
    userinfo: endpoint(options.userinfo, 'userinfo'),
    jwks: endpoint(options.jwks, 'jwks'),
    revocations: endpoint(options.revocations, 'revocations'),
    registration: endpoint(options.registration, 'register'),
    brands: endpoint(options.brands, 'brands.json'),
    endSession: endpoint(options.endSession, 'logout'),
    launches: endpoint(options.launches, 'launches'),
  }
}

/** A FHIR API elsewhere has no default base: check.ts asks for it, and until then '' stands for none. */
function deriveApi(id: string, config: ApiConfig, issuer: string, publicUrl: string): Api {
  const baseUrl = config.baseUrl ?? (config.sandbox ? `${issuer}/fhir` : '')
  return {
    ...config,
    id,
    encounters: config.encounters ?? config.sandbox,
    sensitivity: config.sensitivity ?? (config.sandbox ? 'enforced' : 'stated'),
    baseUrl: baseUrl && absolute(baseUrl, publicUrl),
    aliases: config.aliases.map((alias) => absolute(alias, publicUrl)),
  }
}

function deriveDemonstration(config: DemonstrationConfig, known: { issuer: string; publicUrl: string }): Demonstration {
  const fill = (text: string) =>
    text.replace(/^\{(issuer|publicUrl)\}/, (_, name: 'issuer' | 'publicUrl') => known[name])
  return {
    apps: Object.entries(config.apps).map(([clientId, app]) => ({
      ...app,
      clientId,
      website: app.website && fill(app.website),
      privacyPolicyUrl: app.privacyPolicyUrl && fill(app.privacyPolicyUrl),
      redirectUris: app.redirectUris.map(fill),
      jwksUri: app.jwksUri && fill(app.jwksUri),
      launchUrls: app.launchUrls.map(fill),
      logoutUris: app.logoutUris.map(fill),
    })),
    members: Object.entries(config.members).map(([username, member]) => ({
      ...member,
      username,
      patients: Object.entries(member.patients).map(([fhirId, patient]) => ({ fhirId, ...patient })),
      delegations: Object.entries(member.delegations).map(([fhirId, patient]) => ({ fhirId, ...patient })),
    })),
  }
}
