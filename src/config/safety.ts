/**
 * What is refused wherever the server's address is not this machine's, and what is allowed anywhere but unsafe.
 * A public server with published secrets would look like a working one, so it never starts.
 */
import type { Fault } from '../errors.ts'
import { parseScopes } from '../smart/scope.ts'
import { longestToken, longestTokenOf } from '../smart/token-size.ts'
import { optionOf } from './addresses.ts'
import { databaseSecrets, databaseWarnings } from './database-rules.ts'
import { REDIS_SECRETS, redisWarnings } from './redis-rules.ts'
import { selfTestSecrets } from './self-test-rules.ts'
import type { Api, Environment, Settings } from './settings.ts'
import { isLoopback } from './urls.ts'

const ELSEWHERE = 'where the server’s address is not this machine’s'

/** Published with the project, whatever the file says of them. */
const PUBLISHED_SECRETS: readonly string[] = ['latchkey-development-sealing-key-published-for-demonstrations']

/** Is every address of the server on this machine? Only then may demonstrations run. */
function isLocal(settings: Settings): boolean {
  return [settings.publicUrl, ...issuersOf(settings).map((each) => each.issuer)].every(isLoopback)
}

function issuersOf(settings: Settings): Environment[] {
  return settings.plans.flatMap((plan) => plan.environments)
}

/** Faults of a server that the world can reach. `literals`: options whose secret stands in the file. */
export function exposureFaults(settings: Settings, literals: ReadonlySet<string>): Fault[] {
  if (isLocal(settings)) return []
  const faults: Fault[] = []
  settings.sealingKeys.forEach((key, index) => {
    const path = `sealingKeys.${index}`
    if (key.development || PUBLISHED_SECRETS.includes(key.secret)) {
      const message = `is a published development key, refused ${ELSEWHERE}; make one with: openssl rand -base64 32`
      faults.push({ path, message })
    } else if (literals.has(`${path}.secret`)) {
      faults.push({ path: `${path}.secret`, message: literalMessage })
    }
  })
  for (const path of [...REDIS_SECRETS, ...databaseSecrets(settings), ...issuersOf(settings).flatMap(selfTestSecrets)])
    if (literals.has(path)) faults.push({ path, message: literalMessage })
  const { smtpUrl } = settings.mail
  if (smtpUrl === null) {
    const message = `is required ${ELSEWHERE}: without it letters are kept on a page that anyone can read; give smtps://host`
    faults.push({ path: 'mail.smtpUrl', message })
  } else if (literals.has('mail.smtpUrl') && URL.canParse(smtpUrl) && new URL(smtpUrl).password) {
    faults.push({ path: 'mail.smtpUrl', message: literalMessage })
  }
  for (const environment of issuersOf(settings)) {
    if (!environment.demonstration) continue
    const message = `demonstration apps and members have published passwords, so they are refused ${ELSEWHERE}; remove them`
    faults.push({ path: `${optionOf(environment)}.demonstration`, message })
  }
  return faults
}

const literalMessage = `must not stand in the file ${ELSEWHERE}; accepted are {file: path} and {env: NAME}`

/** Settings that are allowed and unsafe, each with what may come of it. */
export function warningsOf(settings: Settings): Fault[] {
  const local = isLocal(settings)
  return [
    ...everywhere(settings),
    ...databaseWarnings(settings),
    ...redisWarnings(settings),
    ...(local ? localWarnings(settings) : publicWarnings(settings)),
    // Demonstration records never meet a verifier that someone relies on.
    ...issuersOf(settings)
      .filter((environment) => !environment.demonstration)
      .flatMap((environment) =>
        environment.apis.flatMap((api) => apiWarnings(api, environment, `${optionOf(environment)}.apis.${api.id}`)),
      ),
  ]
}

function everywhere({ log, tokens, trustedProxies, mail }: Settings): Fault[] {
  const warnings: Fault[] = []
  if (log.level === 'trace') {
    warnings.push({
      path: 'log.level',
      message: 'trace writes one line per step of every request; use info in operation',
    })
  }
  if (tokens.accessTokenMinutes > 15) {
    const message = `${tokens.accessTokenMinutes} minutes: a resource server that does not follow revocations honours a revoked token for so long`
    warnings.push({ path: 'tokens.accessTokenMinutes', message })
  }
  trustedProxies.forEach((block, index) => {
    if (!block.endsWith('/0')) return
    const message = 'believes X-Forwarded-For from everyone: any caller can choose the address that throttles count'
    warnings.push({ path: `trustedProxies.${index}`, message })
  })
  if (mail.smtpUrl !== null && URL.canParse(mail.smtpUrl)) {
    const { protocol, password, searchParams } = new URL(mail.smtpUrl)
    if (
      protocol === 'smtp:' &&
      password &&
      !isLoopback(mail.smtpUrl.replace(/^smtp/, 'http')) &&
      searchParams.get('requireTLS') !== 'true'
    ) {
      const message = 'may send the password unencrypted; use smtps://, or add ?requireTLS=true'
      warnings.push({ path: 'mail.smtpUrl', message })
    }
  }
  return warnings
}

function localWarnings(settings: Settings): Fault[] {
  const { host } = settings.listen
  const shown = issuersOf(settings).some((environment) => environment.demonstration)
  if (!shown || isLoopback(`http://${host.includes(':') ? `[${host}]` : host}`)) return []
  const message = 'lets other machines reach demonstration members, whose passwords are published; use 127.0.0.1'
  return [{ path: 'listen.host', message }]
}

function publicWarnings(settings: Settings): Fault[] {
  const warnings: Fault[] = []
  const { url } = settings.database
  if (url.includes(':memory:')) {
    const message = 'keeps everything in memory: consents, keys and the audit trail are gone at the next start'
    warnings.push({ path: 'database.url', message })
  } else if (url.startsWith('sqlite:') && settings.plans.length > 1) {
    const message = `keeps ${settings.plans.length} plans in one SQLite file: what stops it stops all of them`
    warnings.push({ path: 'database.url', message })
  }
  if (settings.recovery.endingsLog === null && !url.includes(':memory:')) {
    const message =
      'is not set: what was ended since a backup, or since a replica was in step, is alive again after a restore or a failover (R46)'
    warnings.push({ path: 'recovery.endingsLog', message })
  }
  if (settings.trustedProxies.length === 0) {
    const message =
      'is empty: behind a proxy every member seems to come from one address, and sign-in throttles count them as one'
    warnings.push({ path: 'trustedProxies', message })
  }
  for (const plan of settings.plans) {
    if (plan.contacts.educationUrl) continue
    const message = 'is not set: members are owed a page on choosing apps and protecting their data (42 CFR 422.119(g))'
    warnings.push({ path: `plans.${plan.id}.contacts.educationUrl`, message })
  }
  return warnings
}

/** What apps that read everything ask for. */
const widest = parseScopes('openid fhirUser launch/patient offline_access patient/*.rs').scopes

function apiWarnings(api: Api, { issuer, plan }: Environment, path: string): Fault[] {
  const warnings: Fault[] = []
  if (!api.audienceRequired) {
    const message =
      'false: an app that was led to a counterfeit FHIR server by mistake gets a token, and hands it over (R6)'
    warnings.push({ path: `${path}.audienceRequired`, message })
  }
  if (api.tokenProfile.typ === 'JWT') {
    const message =
      'JWT does not tell an access token from an ID token (RFC 8725 section 3.11); use at+jwt where verifiers allow it'
    warnings.push({ path: `${path}.tokenProfile.typ`, message })
  }
  const sensitivities = plan.sensitiveCategories.map(({ code }) => code)
  const size = longestTokenOf(widest, { issuer, api, clientId: 'u'.repeat(36), sensitivities })
  if (size > longestToken) {
    const message = `leaves no room for all that members may tick: an access token for patient/*.rs could need ${size} bytes of ${longestToken}, so apps that ask for it are refused; use ES256, a string, or fewer claims, aliases or resources`
    warnings.push({ path: `${path}.tokenProfile`, message })
  }
  return warnings
}
