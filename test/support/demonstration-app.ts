/** An app of the demonstration, for tests that add one of their own: public, and everything else left out. */
import type { DemonstrationApp } from '../../src/config/settings.ts'

/** `over` says what is not so; `clientId` is required. */
export const demonstrationApp = (
  over: Partial<DemonstrationApp> & Pick<DemonstrationApp, 'clientId'>,
): DemonstrationApp => ({
  name: over.clientId,
  kind: 'public',
  secret: null,
  profile: 'smart',
  jwks: null,
  jwksUri: null,
  dpop: false,
  launchUrls: [],
  logoutUris: [],
  developer: 'Tests',
  website: null,
  privacyPolicyUrl: null,
  redirectUris: [],
  scopes: null,
  attestation: null,
  ...over,
})
