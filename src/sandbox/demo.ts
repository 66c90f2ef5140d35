/**
 * The demonstration app: a SMART app in the browser, served beside a sandbox issuer and using nothing privileged of it.
 *
 * Owns: where it lives (`{issuer}/demo/`, its redirect URI, exactly), where it is of use, and what its page is told.
 * Does not own: the app itself (views/sandbox/demo*.ejs, views/assets/demo*), its registration (config) or the FHIR server.
 * Hands to: demo-routes.ts, and from there to the browser, where the app talks to the issuer as any other app would.
 */
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import type { Api, DemonstrationMember, Environment } from '../config/settings.ts'
import type { DemoPage } from '../web/pages.ts'
import { DEMO_WORDS } from './demo-words.ts'

/** The client id under which the demonstration app is registered at a sandbox. */
export const DEMO_CLIENT_ID = 'demo-public'

/** What the app may ask for. `always` goes with every choice: who signed in, and whose record it is. */
const SCOPES = {
  always: 'openid fhirUser launch/patient',
  offline: 'offline_access',
  everything: 'patient/*.rs',
  claims: 'patient/Patient.rs patient/Coverage.rs patient/ExplanationOfBenefit.rs',
  // For the patient of the launch, and for as long as the person is signed in.
  launched: 'launch openid fhirUser online_access patient/*.rs',
}

/** What the scripts fill in later stands in their words as it does in the catalogue. */
const BLANKS = Object.fromEntries(
  ['after', 'all', 'before', 'categories', 'left', 'name', 'patient', 'shown', 'user'].map((name) => [
    name,
    `{${name}}`,
  ]),
)

/** Where the demonstration app lives, and the redirect URI that its registration must carry. */
export function demoUrl(environment: Environment): string {
  return `${environment.issuer}/demo/`
}

/** The API that the app shows, or undefined where the app is of no use: not registered, or no FHIR server of ours. */
export function findDemoApi(environment: Environment): Api | undefined {
  const app = environment.demonstration?.apps.find(({ clientId }) => clientId === DEMO_CLIENT_ID)
  if (!app?.redirectUris.includes(demoUrl(environment))) return undefined
  return environment.apis.find(({ sandbox }) => sandbox)
}

/** The browser file of the `fhirclient` package; null in an installation without development dependencies. */
export function findFhirClient(): string | null {
  try {
    const path = createRequire(import.meta.url).resolve('fhirclient/build/fhir-client.min.js')
    return existsSync(path) ? path : null
  } catch {
    return null
  }
}

/** What the app's page is told. `script` is the address of fhirclient's file, null where there is none; `t` says the words. */
export function createDemoPage({
  environment,
  api,
  script,
  t,
}: {
  environment: Environment
  api: Api
  script: string | null
  t: (key: string, params: Record<string, string>) => string
}): DemoPage {
  return {
    fhirBase: api.baseUrl,
    issuer: environment.issuer,
    clientId: DEMO_CLIENT_ID,
    redirectUri: demoUrl(environment),
    script,
    scopes: SCOPES,
    // A practitioner does not open an app by themselves.
    members: (environment.demonstration?.members ?? []).filter(({ fhirUser }) => fhirUser === null).map(describeMember),
    words: DEMO_WORDS.map((key) => ({ key, text: t(`demo.js.${key}`, BLANKS) })),
  }
}

function describeMember(member: DemonstrationMember): DemoPage['members'][number] {
  const { username, password, name, patients, delegations } = member
  return { username, password, name, own: patients.length > 0, actsFor: delegations.map((one) => one.name) }
}
