/**
 * The settings of a deployment, as every other part reads them: defaults filled in, secrets read, URLs derived.
 *
 * Owns: the shape after loading. `schema.ts` owns what a file may say, `load.ts` the way from one to the other.
 */

import type { SealingKey } from '../secrets.ts'
import type { PoolSettings } from './postgres-url.ts'

/** A sealing key, and where it may be used. */
export interface ConfiguredKey extends SealingKey {
  /** A published development key: refused wherever `publicUrl` is not loopback. */
  development: boolean
}

export interface Settings {
  /** Where people and apps reach the server; no trailing slash. */
  publicUrl: string
  listen: {
    host: string
    port: number
    /** How long a server that is told to stop goes on answering, so that balancers see /readyz turn. */
    drainSeconds: number
  }
  /** CIDR blocks of the proxies whose X-Forwarded-For is believed. */
  trustedProxies: string[]
  /** `password` where it does not stand in the URL; `pool` is PostgreSQL's. */
  database: { url: string; password: string | null; pool: PoolSettings }
  /** Where short-lived records are kept; null: in the database. */
  redis: RedisSettings | null
  sealingKeys: ConfiguredKey[]
  log: { level: 'trace' | 'debug' | 'info' | 'warn' | 'error' }
  audit: {
    /** Name of this node in the audit chain; default: the host's name. */
    node: string
    /** A file that gets every audit entry as a JSON line, or null. */
    stream: string | null
  }
  recovery: {
    /** The file that keeps what has ended, for a store that is restored or promoted (R46); null: none is kept. */
    endingsLog: string | null
  }
  mail: {
    from: string
    /** `smtp://` or `smtps://`; null keeps letters on a page of the development server. */
    smtpUrl: string | null
  }
  /** After how many days keys are replaced; null: by command only. */
  keys: { rotateDays: number | null }
  session: { idleMinutes: number; absoluteHours: number }
  signIn: {
    /** Failures of one account from one address within the window, before it must wait. */
    failuresPerAccountAndAddress: number
    /** Failures from one address, over all accounts. */
    failuresPerAddress: number
    windowMinutes: number
  }
  tokens: { accessTokenMinutes: number; refreshTokenDays: number; idTokenOnRefresh: boolean }
  consent: {
    /** How long a connection without offline access is honoured. */
    onceMinutes: number
  }
  plans: Plan[]
}

export interface RedisSettings {
  kind: 'single' | 'sentinel' | 'cluster'
  /** The server; for `sentinel` the Sentinels, for `cluster` some of its nodes. */
  nodes: { host: string; port: number }[]
  sentinel: { master: string; username: string | null; password: string | null } | null
  username: string | null
  password: string | null
  db: number
  /** Null: plain TCP. PEM texts; null in them is what the runtime has. */
  tls: { ca: string | null; certificate: string | null; key: string | null; serverName: string | null } | null
}

export interface Plan {
  id: string
  name: string
  languages: string[]
  /** BCP 47; the first of `languages`. */
  defaultLanguage: string
  /** IANA name: in which a day on the plan's pages begins and ends. */
  timeZone: string
  sharing: Sharing
  /** By code, in the order in which members see them (R25). */
  sensitiveCategories: SensitiveCategory[]
  /** The notice that help in other languages is free (45 CFR 92.11), each text in its own language. */
  languageAssistance: { language: string; text: string; url: string | null }[]
  brand: {
    /** CSS colour of buttons and links; contrast with white is checked at load. */
    color: string
    /** URL of a logo on the plan's own site or under /assets, or null. */
    logoUrl: string | null
  }
  contacts: {
    /** The service desk that error and sign-in pages name. */
    serviceDesk: { name: string; phone: string; hours: string | null; email: string | null }
    website: string | null
    /** Where developers write to. */
    developerEmail: string | null
    /** The plan's page on choosing apps and protecting one's data (42 CFR 422.119(g)), for each of the plan's languages. */
    educationUrl: Record<string, string> | null
  }
  userAccessBrand: UserAccessBrand
  environments: Environment[]
}

/** How apps show the plan to people who look for it. */
export interface UserAccessBrand {
  /** At least one; the first is the one that discovery names. `system` null: none. */
  identifiers: { system: string | null; value: string }[]
  aliases: string[]
  /** Codes of HL7's organization types. */
  categories: string[]
  logoLicenseUrl: string | null
  portal: {
    name: string
    url: string | null
    description: string | null
    logoUrl: string | null
    logoLicenseUrl: string | null
  }
  addresses: {
    line: string[]
    city: string | null
    state: string | null
    postalCode: string | null
    country: string
  }[]
  /** Where developers arrange for access. */
  developerUrl: string
}

/** How long members of a plan may share. */
export interface Sharing {
  /** ISO 8601 durations (`P3M`), and `date` for an end of the member's choice; one is at least 3 months (R8). */
  durations: string[]
  /** The one that is chosen at first; one of `durations`. */
  preselected: string
  /** The latest end that `date` may have, in days from now. */
  longestDays: number
}

/** Records of a kind that members release by a control of its own, or not at all (R25). */
export interface SensitiveCategory {
  /** What tokens say in `sensitivities`. */
  code: string
  /** By language; a language that is missing is said by the catalogue, which knows the usual categories. */
  name: Record<string, string>
  explanation: Record<string, string>
  /** Security labels by which a FHIR server knows such a record. */
  labels: { system: string; code: string }[]
  /** A scope that an app must have been approved for and ask for, or the category is not offered to it; null: to every app. */
  scope: string | null
}

/** Plan x environment: one issuer. */
export interface Environment {
  /** `{plan}/{environment}`: the issuer's id in storage and logs. */
  id: string
  name: string
  plan: Plan
  /** The issuer's URL, byte for byte as in `iss`; no trailing slash. */
  issuer: string
  /** True where synthetic members and the FHIR server of ours live. */
  sandbox: boolean
  /** `http://localhost` redirects are allowed at sandboxes only (R12). */
  endpoints: Endpoints
  apis: Api[]
  /** Apps that register themselves; null: none can. */
  registration: Registration | null
  /** How it tests itself from outside (R40); null: it does not. */
  selfTest: SelfTest | null
  demonstration: Demonstration | null
}

/** Secrets are read; what is null is left out of the test. */
export interface SelfTest {
  everyHours: number
  clientId: string | null
  clientSecret: string | null
  /** A private JWK, as text. */
  clientKey: string | null
  redirectUri: string | null
  member: { username: string; password: string; patient: string | null } | null
  otherPatient: string | null
  service: { clientId: string; key: string } | null
}

/** Who may register apps at an issuer, and what such apps may set (R20). */
export interface Registration {
  /** What lets an app in, each by itself. */
  by: ('initial-access-token' | 'software-statement')[]
  softwareStatements: StatementIssuer[]
  policy: RegistrationPolicy
}

/** Somebody whose software statements are believed; `jwks` or `jwksUri`. */
export interface StatementIssuer {
  issuer: string
  jwks: { keys: Record<string, unknown>[] } | null
  jwksUri: string | null
  algorithms: string[]
}

export interface RegistrationPolicy {
  kinds: ('public' | 'confidential' | 'service')[]
  /** Of confidential apps; a service has keys, whatever stands here. */
  authMethods: ('client_secret_basic' | 'private_key_jwt')[]
  profiles: ('smart' | 'fapi2')[]
  dpop: 'optional' | 'required'
  /** Null: what the issuer lists, without sensitive categories. */
  scopes: string[] | null
  /** Ids; null: every API of the issuer. */
  apis: string[] | null
  redirectHosts: string[] | null
  maximumRedirectUris: number
}

/** Absolute paths on the issuer's host (R41). `path` is what discovery names; every alias answers too. */
export interface Endpoints {
  authorization: { path: string; aliases: string[] }
  token: { path: string; aliases: string[] }
  /** Where apps send their requests for authorization beforehand (RFC 9126). */
  pushedAuthorization: { path: string; aliases: string[] }
  introspection: { path: string; aliases: string[] }
  revocation: { path: string; aliases: string[] }
  userinfo: { path: string; aliases: string[] }
  jwks: { path: string; aliases: string[] }
  /** The revocation feed, for resource servers. */
  revocations: { path: string; aliases: string[] }
  /** Where apps register themselves (RFC 7591), where `registration` is on. */
  registration: { path: string; aliases: string[] }
  /** The user-access brand bundle. */
  brands: { path: string; aliases: string[] }
  /** Where apps send people to sign out (OpenID Connect RP-Initiated Logout). */
  endSession: { path: string; aliases: string[] }
  /** Where portals and EHRs make launches. */
  launches: { path: string; aliases: string[] }
}

/** Something that tokens of this issuer open (R42). */
export interface Api {
  id: string
  name: string
  /** The FHIR base, as in the JWT's `aud`; no trailing slash. */
  baseUrl: string
  /** Other spellings of the base that `aud` may have. */
  aliases: string[]
  /** True: served by src/sandbox under `baseUrl`. */
  sandbox: boolean
  /** Resource types whose `patient/` and `user/` scopes exist. */
  resources: string[]
  /** In-order subset of `cruds` that the API offers. */
  interactions: string
  /**
   * Does the FHIR server hold back what has not been released (R25)? `stated`: no, and the consent page says so; `refused`:
   * no, and so no app may read from it.
   */
  sensitivity: 'enforced' | 'stated' | 'refused'
  /** Is an authorization request without `aud` refused (R6)? */
  audienceRequired: boolean
  /** May apps ask which visit they are about (`launch/encounter`)? Read at the API with a token of the issuer's own. */
  encounters: boolean
  tokenProfile: TokenProfile
}

/** What the access token looks like, to fit verifiers that exist (R42). */
export interface TokenProfile {
  algorithm: 'ES256' | 'RS256'
  typ: 'at+jwt' | 'JWT'
  scopeClaim: 'scope' | 'scp'
  scopeFormat: 'string' | 'array'
  /** Claim names that repeat the patient's id, beside `patient` and `patient_id` (R3). */
  patientAliases: string[]
  /** Claim names that repeat the app's id, beside `client_id`, for instance `azp`. */
  clientIdAliases: string[]
  /** Extra claims with fixed values, for instance a contract number. */
  claims: Record<string, string | string[]>
}

/** Records upserted at every start, refused wherever `publicUrl` is not loopback. */
export interface Demonstration {
  apps: DemonstrationApp[]
  members: DemonstrationMember[]
}

export interface DemonstrationApp {
  clientId: string
  name: string
  kind: 'public' | 'confidential' | 'resource-server' | 'service'
  secret: string | null
  profile: 'smart' | 'fapi2'
  /** Public keys for `private_key_jwt`, inline or by address, instead of a secret. */
  jwks: { keys: Record<string, unknown>[] } | null
  jwksUri: string | null
  /** Must its tokens be bound to a key (RFC 9449)? */
  dpop: boolean
  launchUrls: string[]
  logoutUris: string[]
  developer: string
  website: string | null
  privacyPolicyUrl: string | null
  redirectUris: string[]
  /** Null: every scope that the issuer lists. */
  scopes: string[] | null
  /** What its developer answered to the plan's questions (R18); null: nothing. */
  attestation: DemonstrationAttestation | null
}

export interface DemonstrationAttestation {
  state: 'attested' | 'declined'
  /** By question; the questionnaire's own rules hold. */
  answers: Record<string, string> | null
  /** A day. */
  expiresAt: string | null
}

export interface DemonstrationMember {
  username: string
  password: string
  name: string
  email: string | null
  language: string | null
  /** `Practitioner/{id}` of a practitioner, who acts by launch only; null: a member. */
  fhirUser: string | null
  /** Own records: FHIR ids of patients. Empty: no coverage. */
  patients: DemonstrationPatient[]
  delegations: (DemonstrationPatient & {
    basis: 'parent' | 'guardian' | 'power-of-attorney' | 'member-designated'
    relatedPerson: string
    endsAt: string | null
  })[]
}

export interface DemonstrationPatient {
  fhirId: string
  name: string
  birthDate: string | null
  coverageLabel: string | null
}
