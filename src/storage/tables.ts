/**
 * The rows of the durable store, as Kysely sees them. Portable columns only: text ids (UUIDv7), integer milliseconds,
 * 0 or 1, JSON text. Every row that belongs to an issuer or a plan carries it: an issuer's id is `{plan}/{environment}`.
 */

/** Milliseconds since the epoch. */
type Millis = number
/** JSON as text; a payload carries its version as `v`. */
type Json = string

/** A legal person or an individual that registers apps (R15). */
export interface OrganizationRow {
  id: string
  plan: string
  kind: 'organization' | 'individual'
  name: string
  website: string | null
  created_at: Millis
}

/** An app as people know it; its credentials are one per issuer. */
export interface AppRow {
  id: string
  plan: string
  organization_id: string
  name: string
  website: string | null
  privacy_policy_url: string | null
  terms_url: string | null
  support_email: string | null
  created_at: Millis
}

/** What an app holds at one issuer: the OAuth client. */
export interface CredentialRow {
  id: string
  issuer: string
  client_id: string
  app_id: string
  /** `public` and `confidential` clients ask members; a `resource-server` only introspects. */
  kind: 'public' | 'confidential' | 'resource-server'
  /** JSON array of OAuth grant types; null: what `kind` has always had. `["client_credentials"]` is a backend service. */
  grant_types: Json | null
  /** Which table of rules holds for the client (oidc/profiles.ts); null: `smart`. */
  profile: string | null
  /** How it authenticates, by the names of RFC 8414; null: by secret, or not at all where it is public. */
  auth_method: string | null
  /** Its public keys, inline or by address; at most one of the two. */
  jwks: Json | null
  jwks_uri: string | null
  /** 1 where every token of it must be bound to a key (RFC 9449). */
  dpop: 0 | 1 | null
  /** JSON array of launch URLs (SMART "EHR launch"). */
  launch_urls: Json | null
  /** JSON array of addresses to come back to after a logout. */
  logout_uris: Json | null
  /** What was registered, as the client said it (RFC 7591); null for one that did not register itself. */
  registration: Json | null
  /** `sha256:{base64url}` of its registration access token (RFC 7592). */
  registration_token_hash: string | null
  status: 'active' | 'suspended'
  /** JSON array of redirect URIs, exact but for the port of loopback ones. */
  redirect_uris: Json
  /** JSON array of scopes that may be asked for, or null: every scope that the issuer's APIs have. */
  scopes: Json | null
  /** JSON array of API ids that this credential was approved for (R42). */
  apis: Json
  created_at: Millis
  updated_at: Millis
}

/** A client secret, hashed. Several may be valid at once, so that rotation overlaps (R15). */
export interface CredentialSecretRow {
  id: string
  credential_id: string
  /** `sha256:{base64url}`: secrets have high entropy. */
  hash: string
  created_at: Millis
  expires_at: Millis | null
}

/** A person who signs in at an issuer's directory. */
export interface MemberRow {
  id: string
  issuer: string
  /** Lower case, NFKC. */
  username: string
  /** Shown to the member only: "Maria Alvarez". */
  name: string
  email: string | null
  locale: string | null
  password_hash: string | null
  /** Public, opaque, stable per plan: the `sub` of tokens. */
  subject: string
  /** `Practitioner/{id}` of a practitioner, who has no records of their own here and acts by launch only; null for members. */
  fhir_user: string | null
  status: 'active' | 'locked'
  created_at: Millis
  updated_at: Millis
}

/** A record at a FHIR server that members may share. */
export interface PatientRow {
  id: string
  issuer: string
  /** The bare FHIR id: what tokens call `patient`. */
  fhir_id: string
  name: string
  birth_date: string | null
  /** What tells two own records of one person apart: line of business, dates (R33). */
  coverage_label: string | null
  created_at: Millis
}

/** The member's own record (R44); a person may have several. */
export interface OwnRecordRow {
  id: string
  issuer: string
  member_id: string
  patient_id: string
  created_at: Millis
}

/** A member who acts for a patient: why, from when, until when (R34). */
export interface DelegationRow {
  id: string
  issuer: string
  member_id: string
  patient_id: string
  basis: 'parent' | 'guardian' | 'power-of-attorney' | 'member-designated'
  /** The FHIR id of the RelatedPerson for (member, patient): `fhirUser` (R32). */
  related_person: string
  /** JSON array of scopes that this delegate can never share, or null. */
  mask: Json | null
  starts_at: Millis
  ends_at: Millis | null
  created_at: Millis
}

/** Member x patient x app. It groups the engine's grants, one per authorization. */
export interface ConnectionRow {
  id: string
  issuer: string
  member_id: string
  patient_id: string
  app_id: string
  created_at: Millis
  last_used_at: Millis | null
  ended_at: Millis | null
  end_reason: string | null
  /** The end of which the member was reminded by a letter. */
  reminded_for: Millis | null
}

/** What a member changed of a connection on their own pages. */
export interface ConnectionChangeRow {
  id: string
  issuer: string
  connection_id: string
  /** Who changed it. */
  member_id: string
  kind: 'narrowed' | 'extended' | 'ended'
  /** `{v, scope, sensitivities, endsAt}`: what it was after the change. */
  details: Json
  /** What the page said, where the member decided on one. */
  text_hash: string | null
  language: string | null
  text_version: string | null
  changed_at: Millis
}

/** One authorization: the engine's grant, with the context that its tokens carry. */
export interface GrantRow {
  /** The engine's grant id; public, the handle of introspection and the revocation feed. */
  id: string
  issuer: string
  client_id: string
  /** Null until the member has decided and the connection is recorded; no token is issued before. */
  connection_id: string | null
  member_id: string
  patient_id: string | null
  /** Everything that was granted, `openid fhirUser launch/patient offline_access` too. */
  scope: string
  /** What tokens say: `{v, patient, fhirUser, api, sensitivities, launch, session}`. */
  context: Json | null
  /** The engine's own payload. */
  payload: Json
  expires_at: Millis
  created_at: Millis
  ended_at: Millis | null
  /** R9's sub-code: `revoked_by_member`, `authority_ended`, `app_suspended`, `token_reused`, `code_reused`, `replaced`, `revoked_by_app`, `session_ended`, `expired`. */
  end_reason: string | null
  /** 1 where a launch vouched that this practitioner may see this patient; nothing else carries such a grant. */
  vouched: 0 | 1 | null
  /** How often it was narrowed: tokens of an earlier revision say too much. */
  revision: number
  /** Or when its end, which was earlier, came to this store from the log of endings. */
  narrowed_at: Millis | null
}

/** What a member was shown and decided (R35): the consent record behind a grant, or a refusal. */
export interface ConsentRow {
  id: string
  issuer: string
  member_id: string
  patient_id: string
  app_id: string
  grant_id: string | null
  decision: 'shared' | 'denied'
  requested_scope: string
  granted_scope: string | null
  /** SHA-256 of the text that the page showed. */
  text_hash: string
  language: string
  /** Which release and words the text was made of. */
  text_version: string | null
  /** JSON array of the sensitive categories that were released. */
  sensitivities: Json | null
  connection_id: string | null
  /** What a receipt needs, as it was at that time: names of people, plan, app and developer, the warning that was shown. */
  record: Json | null
  ends_at: Millis | null
  decided_at: Millis
}

/** What an app's developer answered to the plan's questions (R18). The newest row counts until it expires. */
export interface AttestationRow {
  id: string
  plan: string
  app_id: string
  state: 'attested' | 'declined'
  /** Of the questionnaire. */
  version: number
  /** Null where they declined. */
  answers: Json | null
  /** Who answered. */
  person: string
  /** Where it can be looked up: an address or a reference. */
  evidence: string | null
  attested_at: Millis
  expires_at: Millis | null
  created_at: Millis
}

/** A token that lets somebody register a client (RFC 7591 §3): counted, and with an end. */
export interface RegistrationTokenRow {
  id: string
  issuer: string
  /** `sha256:{base64url}`. */
  hash: string
  /** Whom it was made for. */
  label: string
  uses_left: number
  expires_at: Millis
  created_at: Millis
  last_used_at: Millis | null
}

/** What an issuer's user-access brand bundle says, and since when it has said so. */
export interface BrandRow {
  issuer: string
  /** Of the content: `sha256:{base64url}`. */
  hash: string
  changed_at: Millis
}

/** What a self-test of an issuer found (R40). */
export interface SelfTestRow {
  id: string
  issuer: string
  outcome: 'passed' | 'failed'
  /** `{v, checks: [...]}`. */
  report: Json
  started_at: Millis
  finished_at: Millis
}

/** A refresh token of a family. The family is the grant; siblings share a generation. The token itself is never stored. */
export interface RefreshTokenRow {
  /** SHA-256 of the token. */
  token_hash: string
  issuer: string
  grant_id: string
  generation: number
  /** The engine's payload, without the token. */
  payload: Json
  expires_at: Millis
  created_at: Millis
  /** First use; the grace for a lost answer runs from here. */
  used_at: Millis | null
  /** How often it was honoured. */
  uses: number
  /** Set when a sibling was used first. */
  killed_at: Millis | null
}

/** The audit trail (R35): append-only, hash-chained per writer. */
export interface AuditRow {
  writer: string
  sequence: number
  time: Millis
  plan: string | null
  issuer: string | null
  type: string
  outcome: 'success' | 'refused' | 'fault'
  /** `member:{id}`, `client:{client_id}`, `staff:{id}`, `system` or `anonymous`. */
  actor: string
  member_id: string | null
  patient_id: string | null
  app_id: string | null
  grant_id: string | null
  request_id: string | null
  details: Json
  previous_hash: string
  hash: string
}

/** A key that signs tokens, sealed at rest. */
export interface SigningKeyRow {
  kid: string
  issuer: string
  algorithm: 'ES256' | 'RS256'
  /** The private JWK, sealed. */
  sealed_jwk: string
  /** All are published: `next` before it signs, `current` signs, `retired` for as long as what it signed lives. */
  state: 'next' | 'current' | 'retired'
  created_at: Millis
  retired_at: Millis | null
}

/** Other secrets of ours, made at first start and sealed at rest: cookie keys, CSRF keys, the MAC key of refresh tokens. */
export interface SealedSecretRow {
  /** For instance `cookies`; `next cookies` while it is known and checks, and makes nothing yet. */
  purpose: string
  issuer: string
  id: string
  sealed_value: string
  /** Since when it is what `purpose` says. */
  created_at: Millis
}

/** One row, `all`: its number grows with every change of the two tables above that servers must hear of. */
export interface KeyChangeRow {
  id: string
  version: number
}

/** A leased unit of background work. */
export interface JobRow {
  id: string
  kind: string
  /** At most one waiting job has a given key; null for no such rule. */
  unique_key: string | null
  payload: Json
  run_at: Millis
  attempts: number
  leased_by: string | null
  leased_until: Millis | null
  last_error: string | null
  /** Set when it failed too often: it waits for a person. */
  parked_at: Millis | null
}

/** A letter to a member or developer. */
export interface LetterRow {
  id: string
  plan: string
  issuer: string | null
  recipient: string
  subject: string
  body: string
  language: string
  created_at: Millis
  sent_at: Millis | null
}

/** The short-lived contract's records, where no Redis is set. */
export interface ShortLivedRow {
  issuer: string
  kind: string
  key: string
  value: Json
  expires_at: Millis
  used_at: Millis | null
  /** The name of the use; without `used_at`, of one that was taken back and must not be done any more. */
  used_by: string | null
  uid: string | null
  grant_id: string | null
  member_id: string | null
}

/** The short-lived contract's counters. */
export interface CounterRow {
  issuer: string
  kind: string
  key: string
  count: number
  expires_at: Millis
}

/**
 * A life of the store: it begins when the store is made, promoted, or restored from a copy. One that may lack what an
 * earlier one had is a recovery window (R46).
 */
export interface LifeRow {
  id: string
  /** Which PostgreSQL it is, as it says of itself; null where it cannot be asked. */
  store: string | null
  /** Since when it may lack what was done; null for one that lacks nothing. */
  since: Millis | null
  /** Null in a copy on which no server has started yet. */
  opened_at: Millis | null
  /** From then on no token of an earlier life lives any more. */
  ends_at: Millis | null
}

export interface Tables {
  organizations: OrganizationRow
  apps: AppRow
  credentials: CredentialRow
  credential_secrets: CredentialSecretRow
  members: MemberRow
  patients: PatientRow
  own_records: OwnRecordRow
  delegations: DelegationRow
  connections: ConnectionRow
  connection_changes: ConnectionChangeRow
  grants: GrantRow
  consents: ConsentRow
  attestations: AttestationRow
  registration_tokens: RegistrationTokenRow
  brands: BrandRow
  self_tests: SelfTestRow
  refresh_tokens: RefreshTokenRow
  audit: AuditRow
  signing_keys: SigningKeyRow
  sealed_secrets: SealedSecretRow
  key_changes: KeyChangeRow
  jobs: JobRow
  letters: LetterRow
  short_lived: ShortLivedRow
  counters: CounterRow
  lives: LifeRow
}
