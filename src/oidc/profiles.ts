/**
 * Client profiles: what is required of a client, and what is accepted from it, as one table.
 *
 * Where specifications conflict (the audience of an assertion, its algorithms), each client lives by one column, and no
 * column softens another. A further profile is a further column.
 * Does not own: carrying the rules out (client-assertions.ts, provider.ts), or choosing a client's profile.
 */

export type ProfileName = 'smart' | 'fapi2'

export interface ClientProfile {
  /** How a confidential client may authenticate (RFC 8414 names); public ones are a matter of `publicClients`. */
  authMethods: readonly string[]
  publicClients: boolean
  /** Where members may be sent back to: https and nothing else, or by RFC 8252 too (loopback, an app's own scheme). */
  redirects: 'https' | 'native-too'
  /** How its assertions may be signed. */
  assertionAlgorithms: readonly string[]
  /** What `aud` of an assertion may be: the issuer alone, or the token endpoint too. */
  assertionAudience: 'issuer' | 'issuer-or-token-endpoint'
  /** Must authorization requests be pushed (RFC 9126)? */
  pushedRequests: 'optional' | 'required'
  /** Must tokens be bound to a key (RFC 9449)? `optional`: as each client is registered. */
  dpop: 'optional' | 'required'
  /** How its DPoP proofs may be signed. */
  proofAlgorithms: readonly string[]
}

export const profiles: Readonly<Record<ProfileName, ClientProfile>> = {
  /** SMART App Launch 2.2. */
  smart: {
    authMethods: ['client_secret_basic', 'client_secret_post', 'private_key_jwt'],
    publicClients: true,
    redirects: 'native-too',
    assertionAlgorithms: ['RS384', 'ES384'],
    assertionAudience: 'issuer-or-token-endpoint',
    pushedRequests: 'optional',
    dpop: 'optional',
    proofAlgorithms: ['ES256', 'ES384', 'PS256', 'EdDSA', 'Ed25519'],
  },
  /** FAPI 2.0 Security Profile, sections 5.3.2.1 and 5.4. */
  fapi2: {
    authMethods: ['private_key_jwt'],
    publicClients: false,
    redirects: 'https',
    assertionAlgorithms: ['PS256', 'ES256', 'EdDSA', 'Ed25519'],
    assertionAudience: 'issuer',
    pushedRequests: 'required',
    dpop: 'required',
    proofAlgorithms: ['PS256', 'ES256', 'EdDSA', 'Ed25519'],
  },
}

/** A stored name as a profile's; a row that names none that is known is nobody's client. */
export const isProfile = (name: string): name is ProfileName => Object.hasOwn(profiles, name)

/** May a client of this profile authenticate so? `none` is a public client's. */
export const acceptsMethod = (name: ProfileName, method: string): boolean =>
  method === 'none' ? profiles[name].publicClients : profiles[name].authMethods.includes(method)

/** May a client of this profile have members sent back there? */
export const acceptsRedirect = (name: ProfileName, uri: string): boolean =>
  profiles[name].redirects === 'native-too' || URL.parse(uri)?.protocol === 'https:'
