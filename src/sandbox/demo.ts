/**
 * The demonstration app: a SMART app in the browser, served beside a sandbox issuer and using nothing privileged of it.
 *
 * Owns: `{issuer}/demo/` (its redirect URI, exactly) and the `fhirclient` package's browser file below it.
 * Does not own: the app itself (views/sandbox/demo*.ejs, views/assets/demo*), its registration (config) or the FHIR server.
 * Hands to: the browser, where the app talks to the issuer and the FHIR base as any other app would.
 */
import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import type { Context, Middleware } from 'koa'
import type { DemonstrationMember, Environment } from '../config/settings.ts'
import { LatchkeyError } from '../errors.ts'
import type { DemoPage } from '../web/pages.ts'
import type { Views } from '../web/views.ts'
import { DEMO_WORDS } from './demo-words.ts'

/** The client id under which the demonstration app is registered at a sandbox. */
export const DEMO_CLIENT_ID = 'demo-public'

/** Where the demonstration app lives, and the redirect URI that its registration must carry. */
export function demoUrl(environment: Environment): string {
  return `${environment.issuer}/demo/`
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

/** Is the demonstration app of any use at an environment: registered there, with a FHIR server of ours to show? */
export function hasDemo(environment: Environment): boolean {
  const { apis, demonstration } = environment
  const app = demonstration?.apps.find(({ clientId }) => clientId === DEMO_CLIENT_ID)
  return apis.some(({ sandbox }) => sandbox) && app?.redirectUris.includes(demoUrl(environment)) === true
}

/**
 * GET `{issuer}/demo/`, `{issuer}/demo` and `{issuer}/demo/fhir-client.js` of one environment; hands on everything else, and
 * everything where `hasDemo` says no. `fhirClient` is the path of the library's file.
 */
export function demoRoutes({
  environment,
  views,
  fhirClient = findFhirClient(),
}: {
  environment: Environment
  views: Views
  fhirClient?: string | null
}): Middleware {
  const api = environment.apis.find((one) => one.sandbox)
  if (!api || !hasDemo(environment)) return (_ctx, next) => next()
  const place = new URL(demoUrl(environment)).pathname
  const library = fhirClient === null ? null : loadLibrary(fhirClient)

  return async (ctx, next) => {
    if (ctx.state.environment?.id !== environment.id) return next()
    if (ctx.path !== place && `${ctx.path}/` !== place && ctx.path !== `${place}fhir-client.js`) return next()
    if (ctx.method !== 'GET' && ctx.method !== 'HEAD') {
      ctx.set('Allow', 'GET, HEAD')
      throw new LatchkeyError('method_not_allowed', 405)
    }
    if (ctx.path === place) {
      const { t } = views.translator(ctx)
      const words = DEMO_WORDS.map((key) => ({ key, text: t(`demo.js.${key}`, BLANKS) }))
      const script = library ? `${place}fhir-client.js?v=${library.hash}` : null
      views.renderPage(ctx, 'sandbox/demo', demoPage({ environment, fhirBase: api.baseUrl, script, words }))
    } else if (ctx.path.endsWith('.js')) sendLibrary(ctx, library)
    else ctx.redirect(demoUrl(environment))
  }
}

/** What the script fills in later stands in the words as it does in the catalogue. */
const BLANKS = Object.fromEntries(
  ['after', 'all', 'before', 'categories', 'left', 'name', 'patient', 'shown', 'user'].map((name) => [
    name,
    `{${name}}`,
  ]),
)

/** What the app may ask for. `always` goes with every choice: who signed in, and whose record it is. */
const SCOPES = {
  always: 'openid fhirUser launch/patient',
  offline: 'offline_access',
  everything: 'patient/*.rs',
  claims: 'patient/Patient.rs patient/Coverage.rs patient/ExplanationOfBenefit.rs',
}

function demoPage({
  environment,
  ...page
}: {
  environment: Environment
  fhirBase: string
  script: string | null
  words: DemoPage['words']
}): DemoPage {
  return {
    ...page,
    issuer: environment.issuer,
    clientId: DEMO_CLIENT_ID,
    redirectUri: demoUrl(environment),
    scopes: SCOPES,
    members: (environment.demonstration?.members ?? []).map(describeMember),
  }
}

function describeMember({
  username,
  password,
  name,
  patients,
  delegations,
}: DemonstrationMember): DemoPage['members'][number] {
  return { username, password, name, own: patients.length > 0, actsFor: delegations.map((one) => one.name) }
}

function loadLibrary(path: string): { body: Buffer; hash: string } {
  const body = readFileSync(path)
  return { body, hash: createHash('sha256').update(body).digest('base64url').slice(0, 16) }
}

function sendLibrary(ctx: Context, library: { body: Buffer; hash: string } | null): void {
  if (!library)
    throw new LatchkeyError('not_found', 404, { message: 'the development dependency fhirclient is not installed' })
  ctx.set('Cache-Control', ctx.query.v === library.hash ? 'public, max-age=31536000, immutable' : 'no-cache')
  ctx.status = 200
  ctx.etag = library.hash
  ctx.type = 'text/javascript; charset=utf-8'
  if (ctx.fresh) ctx.status = 304
  else ctx.body = library.body
}
