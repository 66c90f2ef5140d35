/**
 * What SMART App Launch 2.2 says that a server SHALL do, and the SHOULDs that matter, as data. Sentences are ours.
 *
 * A test holds one by ending its name, or its describe's, with the id: `[SMART app-launch.post-authorize]`, or several,
 * `[SMART a.b, c.d]`. docs/conformance.md is made of this list and of a run's results (reporter.ts). A SHALL without a test
 * needs its reason in `not`.
 */

export interface Shall {
  /** `{page}.{short}` */
  id: string
  /** The section of the page, as the specification calls it. */
  section: string
  level: 'SHALL' | 'SHOULD'
  text: string
  /** Why it is not offered, where it is not. */
  not?: string
}

export const pages = {
  discovery: 'Conformance: endpoint and capabilities discovery (conformance.html)',
  'app-launch': 'App launch (app-launch.html)',
  scopes: 'Scopes and launch context (scopes-and-launch-context.html)',
  asymmetric: 'Client authentication, asymmetric (client-confidential-asymmetric.html)',
  symmetric: 'Client authentication, symmetric (client-confidential-symmetric.html)',
  backend: 'Backend services (backend-services.html)',
  introspection: 'Token introspection (token-introspection.html)',
  brands: 'User-access brands (brands.html)',
  'app-state': 'App state, experimental (app-state.html)',
  udap: 'UDAP Security, while it is off',
} as const

const noAppState =
  'Not offered: `smart-app-state` is experimental and is not advertised. A test holds that discovery does not name it.'

/** `id | level | section | sentence`, one a line; what is not offered is said below. */
const lines = `
discovery.smart-configuration | SHALL | FHIR Authorization Endpoint and Capabilities Discovery | The SMART configuration is served at the FHIR base URL, path and all, with \`/.well-known/smart-configuration\` after it.
discovery.conveys-endpoints | SHALL | FHIR Authorization Endpoint and Capabilities Discovery | It tells the OAuth endpoints and the optional capabilities.
discovery.json-always | SHALL | FHIR Authorization Endpoint and Capabilities Discovery | It is \`application/json\`, whatever \`Accept\` says.
discovery.absolute-urls | SHALL | FHIR Authorization Endpoint and Capabilities Discovery | All endpoints are absolute URLs.
discovery.issuer-jwks | SHALL | Metadata | With \`sso-openid-connect\`, \`issuer\` and \`jwks_uri\` are there.
discovery.authorization-endpoint | SHALL | Metadata | With a launch capability, \`authorization_endpoint\` is there.
discovery.token-endpoint | SHALL | Metadata | \`token_endpoint\` is there.
discovery.grant-types | SHALL | Metadata | \`grant_types_supported\` names the grant types of the token endpoint.
discovery.capabilities | SHALL | Metadata | \`capabilities\` is there, as a list of strings.
discovery.pkce-methods | SHALL | Metadata | \`code_challenge_methods_supported\` has \`S256\` and not \`plain\`.
discovery.scopes-true | SHALL | Metadata | Every scope in \`scopes_supported\` is supported.
discovery.capabilities-true | SHALL | Capabilities | Every capability that is listed is really there.
discovery.additional-capabilities-uris | SHALL | Capability Sets | A capability that is not one of HL7's is a full URI.
discovery.auth-methods | SHOULD | Metadata | \`token_endpoint_auth_methods_supported\` is there.
discovery.scopes-supported | SHOULD | Metadata | \`scopes_supported\` is there.
discovery.response-types | SHOULD | Metadata | \`response_types_supported\` is there.
discovery.further-endpoints | SHOULD | Metadata | The endpoints for management, introspection, revocation and registration are there where they are offered.
discovery.associated-endpoints | SHOULD | Metadata | \`associated_endpoints\` names the other endpoints that share this authorization server.
discovery.brand-bundle | SHOULD | Metadata | \`user_access_brand_bundle\`, and the identifier where it is needed, are there.
discovery.permission-v1 | SHOULD | Capabilities | \`permission-v1\` is advertised where v1 scopes are understood.

app-launch.pkce-s256 | SHALL | Considerations for PKCE Support | PKCE with \`S256\` works.
app-launch.pkce-no-plain | SHALL | Considerations for PKCE Support | PKCE with \`plain\` is refused.
app-launch.pkce-verifier | SHALL | Obtain access token: Request | A code is exchanged only with the right \`code_verifier\`.
app-launch.cors-discovery | SHALL | Considerations for Cross-Origin Resource Sharing | Scripts of any origin may read the SMART configuration and the CapabilityStatement.
app-launch.cors-registered | SHALL | Considerations for Cross-Origin Resource Sharing | Scripts of an app's registered origins may use the token endpoint and the FHIR API.
app-launch.register-launch-urls | SHALL | Register App with EHR | An app may register any number of complete launch URLs.
app-launch.register-redirect-uris | SHALL | Register App with EHR | An app registers one or more fixed, complete redirect URIs.
app-launch.register-client-id | SHALL | Register App with EHR | Registration is confirmed, and gives a \`client_id\`.
app-launch.ehr-launch-url | SHALL | Launch App: EHR Launch | An EHR launch opens the launch URL with \`iss\`, the FHIR endpoint, and an opaque \`launch\`.
app-launch.redirect-exact | SHALL | Obtain authorization code: Request | \`redirect_uri\` must be one that is registered.
app-launch.launch-match | SHALL | Obtain authorization code: Request | \`launch\` must be the value that was issued, for this app.
app-launch.state-returned | SHALL | Obtain authorization code: Response | \`state\` comes back exactly as it was sent.
app-launch.aud | SHALL | Obtain authorization code: Request | \`aud\` is understood, and a wrong one is refused.
app-launch.get-authorize | SHALL | Obtain authorization code: Request | The authorization endpoint takes GET.
app-launch.post-authorize | SHALL | Obtain authorization code: Request | The authorization endpoint takes POST.
app-launch.code-or-error | SHALL | Obtain authorization code: Response | The app gets a code, or an error response.
app-launch.code-short-lived | SHOULD | Obtain authorization code: Response | A code lives about a minute.
app-launch.token-response | SHALL | Obtain access token: Response | The answer is JSON with \`access_token\`, \`token_type\` \`Bearer\` and \`scope\`, or an error.
app-launch.expired-refused | SHALL | Obtain access token: Response | The resource server refuses a token that has expired.
app-launch.no-store | SHALL | Obtain access token: Response | The answer has \`Cache-Control: no-store\` and \`Pragma: no-cache\`.
app-launch.token-characters | SHALL | Obtain access token: Response | The access token has no characters but those of RFC 6750.
app-launch.expires-in | SHOULD | Obtain access token: Response | \`expires_in\` is there, and at most an hour.
app-launch.rs-validates | SHALL | Access FHIR API: Response | The resource server verifies token and expiry, and that the scope covers the request.
app-launch.rs-aud | SHALL | Access FHIR API: Response | The resource server refuses a token whose \`aud\` is not its own endpoint.
app-launch.refresh-client | SHALL | Refresh access token: Request | A refresh token is good for the client that it was issued to, and for no other.
app-launch.refresh-subset | SHALL | Refresh access token: Request | What a refresh gives is what was granted, or less.
app-launch.refresh-same-scope | SHALL | Refresh access token: Request | Without \`scope\`, a refresh gives the scopes that were granted.
app-launch.refresh-scope-subset | SHALL | Refresh access token: Request | A \`scope\` of a refresh must be within what was granted.
app-launch.online-access | SHALL | Refresh access token | With \`online_access\`, new tokens are to be had as long as the person is online.
app-launch.offline-access | SHALL | Refresh access token | With \`offline_access\`, new tokens are to be had also when the person is gone.
app-launch.refresh-response | SHALL | Refresh access token: Response | The answer to a refresh has \`access_token\`, \`token_type\`, \`expires_in\` and \`scope\`.

scopes.suffix-order | SHALL | FHIR Resource Scope Syntax | Interactions of a scope are a part of \`cruds\`, in this order; anything else is never misread, and \`.read\` never means \`.rd\`.
scopes.patient-link | SHALL | Patient-specific scopes | Where \`Patient.link\` is supported, the documentation says how it is authorized.
scopes.patient-semantics | SHALL | Patient-specific scopes | \`patient/\` scopes open data of the one patient in context.
scopes.user-semantics | SHALL | User-level scopes | \`user/\` scopes open what the person who signed in may see.
scopes.system-semantics | SHALL | System-level scopes | \`system/\` scopes open data to a client without a person.
scopes.wildcard | SHALL | Wildcard scopes | A wildcard opens every type, each as that type by itself would be.
scopes.batch | SHALL | FHIR Resource Scope Syntax | Each entry of a batch or transaction must be allowed by itself.
scopes.v1-to-v2 | SHOULD | Scopes for requesting FHIR Resources | \`.read\` is \`.rs\`, \`.write\` is \`.cud\`, \`.*\` is \`.cruds\`.
scopes.v1-returned | SHOULD | Scopes for requesting FHIR Resources | Who asks in version 1 is answered in version 1.
scopes.patient-in-context | SHALL | Launch context arrives with your access_token | Where a scope is limited to a patient, a patient is in context.
scopes.context-parameters | SHALL | Launch context arrives with your access_token | The context that was asked for is in the token answer, as JSON members.
scopes.context-types | SHALL | Launch context arrives with your access_token | \`patient\`, \`encounter\`, \`intent\`, \`smart_style_url\` and \`tenant\` are strings, \`need_patient_banner\` a boolean.
scopes.fhir-context | SHALL | fhirContext | \`fhirContext\` is a list of objects, each with \`reference\`, \`canonical\` or \`identifier\`.
scopes.fhir-context-no-patient | SHALL | fhirContext | Patient and Encounter are not in \`fhirContext\` but in a role other than \`launch\`.
scopes.fhir-context-role | SHALL | fhirContext | A role of our own is an absolute URI, and no role is empty.
scopes.style-changes | SHALL | Styling | Where the style changes, \`smart_style_url\` is another one.
scopes.id-token | SHALL | Scopes for requesting identity data | With \`openid\` (and \`fhirUser\`) granted, an ID token is given, by the code flow.
scopes.id-token-keys | SHALL | Scopes for requesting identity data | The keys of ID tokens are published as bare JWKs.
scopes.fhir-user | SHALL | Scopes for requesting identity data | \`fhirUser\` in the ID token is a Patient, Practitioner, PractitionerRole, RelatedPerson or Person.
scopes.id-token-rs256 | SHALL | Scopes for requesting identity data | ID tokens are signed with RS256.
scopes.no-fhir-user | SHALL | Scopes for requesting identity data | Whoever has no FHIR resource gets no \`fhirUser\`.
scopes.uri-form | SHALL | Appendix: URI representation of scopes | Where scopes are written as URIs, they have the prefixes of the specification.

asymmetric.advertised | SHALL | Advertising server support | \`client-confidential-asymmetric\`, \`private_key_jwt\` and the algorithms are in the SMART configuration, and \`RS384\` or \`ES384\` is one of them.
asymmetric.jwks-url | SHALL | Registering a client | A client may register the URL of its keys.
asymmetric.jwks-inline | SHALL | Registering a client | A client may register its keys themselves.
asymmetric.jwks-protected | SHALL | Registering a client | Registered keys are protected from change.
asymmetric.rs384 | SHALL | Registering a client | Assertions signed with RS384 are accepted.
asymmetric.es384 | SHALL | Registering a client | Assertions signed with ES384 are accepted.
asymmetric.client-id | SHALL | Registering a client | The client gets a \`client_id\`.
asymmetric.jwk-members | SHALL | Registering a client | Each key has \`kty\`, \`kid\`, and its bare public members.
asymmetric.tls | SHALL | Authenticating to the token endpoint | Connections are TLS 1.2 or newer.
asymmetric.rfc7523 | SHALL | Signature verification | The assertion is verified by RFC 7523 section 3: signature, issuer, subject, audience, times.
asymmetric.jti-once | SHALL | Signature verification | A \`jti\` is accepted once for an issuer of assertions.
asymmetric.iss-client | SHALL | Signature verification | The client is known, and is \`iss\` and \`sub\` of the assertion.
asymmetric.exp-five-minutes | SHALL | Authenticating to the token endpoint | An assertion lives five minutes at most.
asymmetric.jku | SHALL | Signature verification | A \`jku\` must be the registered URL; any other fails.
asymmetric.one-key | SHALL | Signature verification | Exactly one key fits by \`kid\` and \`kty\`; none or several fail.
asymmetric.fetch | SHALL | Signature verification | Keys are fetched by GET, with \`Accept: application/json\`.
asymmetric.invalid-client | SHALL | Signature verification | Whatever fails is \`invalid_client\`.
asymmetric.cache-control | SHALL | Registering a client | Keys are kept no longer than their \`Cache-Control\` says.

symmetric.basic | SHALL | Client Authentication: Symmetric | A confidential client authenticates by HTTP Basic with \`client_id\` and secret.
symmetric.wrong-refused | SHALL | Client Authentication: Symmetric | A wrong secret is refused.
symmetric.not-backend | SHALL | Client Authentication: Symmetric | A secret is no way into backend services.

backend.advertised | SHALL | Advertising server support | The grant type \`client_credentials\`, \`private_key_jwt\` and the \`system/\` scopes are in the SMART configuration.
backend.tls | SHALL | Obtain access token | Connections are TLS 1.2 or newer.
backend.pre-authorized | SHALL | Register | A client is approved, with its scopes, before it gets a token.
backend.scope-restricted | SHALL | Obtain access token | The scope that was asked for limits the token.
backend.assertion | SHALL | Obtain access token | The assertion is validated as any other.
backend.scope-within | SHALL | Obtain access token | What is granted is within what was approved.
backend.errors | SHALL | Obtain access token: Response | Errors are those of RFC 6749 section 5.2.
backend.error-description | SHOULD | Obtain access token: Response | Errors have an \`error_description\`.
backend.token-response | SHALL | Obtain access token: Response | The answer has \`access_token\`, \`token_type\` \`bearer\`, \`expires_in\` and \`scope\`.
backend.short-lived | SHOULD | Obtain access token: Response | A token lives five minutes at most.
backend.no-refresh | SHOULD | Obtain access token: Response | There is no refresh token.
backend.rs-checks | SHALL | Access FHIR API | The resource server verifies token, expiry and scope.

introspection.rfc7662 | SHALL | Token introspection | Introspection is that of RFC 7662, with \`active\`.
introspection.fields | SHALL | Required fields | \`scope\`, \`client_id\` and an integer \`exp\`, the same as the token answer said.
introspection.launch-context | SHALL | Conditional fields | Every parameter of the launch context of the token answer is there.
introspection.id-token-claims | SHALL | Conditional fields | Where there was an ID token, its \`iss\` and \`sub\` are there.
introspection.fhir-user | SHOULD | Conditional fields | Where there was an ID token with \`fhirUser\`, so is that.
introspection.bearer | SHALL | Authorization to perform token introspection | A backend service's bearer token of the right scope may introspect the tokens of any client.

brands.primary-brand | SHALL | Brand bundle | The primary brand refers to each of its endpoints.
brands.timestamp | SHALL | Brand bundle | The bundle has a \`timestamp\`.
brands.cors | SHALL | Brand bundle | Scripts of any origin may read it.
brands.managed | SHALL | Brand bundle: Publisher | Those whom a brand is about can manage its elements and identifiers.
brands.absent-reasons | SHALL | Brand bundle | Elements that are absent say \`asked-declined\` or \`asked-unknown\`, and nothing else.
brands.identifier | SHALL | Metadata in .well-known/smart-configuration | Where the bundle has several brands, \`user_access_brand_identifier\` is there, with a \`value\`, and is that of exactly one organization.
brands.etag | SHOULD | Brand bundle | Answers have a weak ETag.

app-state.advertised | SHALL | App state | The capability \`smart-app-state\` is advertised.
app-state.interactions | SHALL | App state | \`Basic\` is created, updated and deleted (with \`If-Match\`), and searched by code and subject.
app-state.storage | SHALL | App state | At least one resource for each state code and subject, of up to 256 KB, is kept whole, with an ETag.
app-state.preconditions | SHALL | App state | A stale ETag, or another subject or code, is 412.
app-state.access | SHALL | App state | Access is per app and state code, by SMART access tokens.

udap.not-there | SHALL | Discovery | Where there is no UDAP, \`/.well-known/udap\` is 404.
`

/** Why something is not there, by id. */
const reasons: Record<string, string> = {
  'scopes.patient-link':
    'The sandbox has no `Patient.link`, and no token opens a linked record: one token, one patient. Where a plan has links, its FHIR server documents them.',
  'scopes.uri-form': 'Scopes are nowhere written as URIs here: neither in discovery nor in tokens nor in documents.',
  'app-state.advertised': noAppState,
  'app-state.interactions': noAppState,
  'app-state.storage': noAppState,
  'app-state.preconditions': noAppState,
  'app-state.access': noAppState,
}

export const shalls: readonly Shall[] = lines
  .split('\n')
  .filter((line) => line.trim() !== '')
  .map((line) => {
    const [id = '', level, section = '', ...text] = line.split(' | ')
    return {
      id,
      section,
      level: level === 'SHOULD' ? 'SHOULD' : 'SHALL',
      text: text.join(' | '),
      ...(reasons[id] && { not: reasons[id] }),
    }
  })
