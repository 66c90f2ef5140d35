/** What a file may say of the self-test of an issuer: how often, and as whom. */
import { z } from 'zod'
import { fhirId, secret, template, words } from './values.ts'

export const selfTest = z.strictObject({
  everyHours: z.int().min(1).max(720).default(24).describe('How often the server looks at itself from outside.'),
  clientId: words()
    .nullable()
    .default(null)
    .describe('A client of the issuer; null: only what anybody may see is tested.'),
  clientSecret: secret.nullable().default(null).describe('Its secret.'),
  clientKey: secret.nullable().default(null).describe('Its private JWK instead, as text.'),
  redirectUri: template
    .nullable()
    .default(null)
    .describe('One of its redirect URIs; null: http://127.0.0.1:8765/callback.'),
  member: z
    .strictObject({
      username: words().describe('A member made for this, who shares with the client again and again.'),
      password: secret.describe('Their password.'),
      patient: words().nullable().default(null).describe('Which patient to choose, by a part of the name.'),
    })
    .nullable()
    .default(null)
    .describe('A test member, for what comes after signing in; null: none.'),
  otherPatient: fhirId.nullable().default(null).describe('A patient whom the test member may not see.'),
  service: z
    .strictObject({
      clientId: words().describe('The service’s client id.'),
      key: secret.describe('Its private JWK, as text.'),
    })
    .nullable()
    .default(null)
    .describe('A backend service; null: none.'),
})
