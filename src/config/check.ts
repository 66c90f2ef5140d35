/**
 * The rules between options, each a small function from settings to faults; one visible table.
 *
 * Owns: what must hold of a whole configuration. Hands to: addresses.ts (who answers where), demonstration-rules.ts,
 * database-rules.ts, redis-rules.ts, safety.ts (what only this machine may run, and warnings).
 */
import type { Fault } from '../errors.ts'
import { knownCategories } from '../smart/sensitivity.ts'
import { addressFaults, optionOf, RESERVED_NAMES } from './addresses.ts'
import { contrast } from './contrast.ts'
import { databaseFaults } from './database-rules.ts'
import { demonstrationFaults } from './demonstration-rules.ts'
import { redisFaults } from './redis-rules.ts'
import { registrationFaults } from './registration-rules.ts'
import { exposureFaults, warningsOf } from './safety.ts'
import { selfTestFaults } from './self-test-rules.ts'
import type { Api, Environment, Plan, Settings } from './settings.ts'

/** What the rules know beside the settings. */
export interface CheckContext {
  /** Options whose secret stands in the file. */
  literals: ReadonlySet<string>
  /** Languages that have a catalogue. */
  languages: readonly string[]
}

/** Every fault between options, and warnings about what is allowed and unsafe. */
export function check(settings: Settings, context: CheckContext): { faults: Fault[]; warnings: Fault[] } {
  const environments = settings.plans.flatMap((plan) => plan.environments)
  const faults = [
    ...sealingKeyFaults(settings),
    ...mailFaults(settings),
    ...databaseFaults(settings),
    ...redisFaults(settings),
    ...timeFaults(settings),
    ...settings.plans.flatMap((plan) => planFaults(plan, context.languages)),
    ...environments.flatMap((environment) => environmentFaults(environment, settings.publicUrl)),
    ...addressFaults(settings),
    ...environments.flatMap(demonstrationFaults),
    ...environments.flatMap(registrationFaults),
    ...environments.flatMap(selfTestFaults),
    ...exposureFaults(settings, context.literals),
  ]
  return { faults, warnings: warningsOf(settings) }
}

function sealingKeyFaults({ sealingKeys }: Settings): Fault[] {
  return sealingKeys.flatMap((key, index) => {
    const path = `sealingKeys.${index}`
    const faults: Fault[] = []
    const earlier = sealingKeys.slice(0, index)
    if (key.secret.length < 32) {
      faults.push({
        path: `${path}.secret`,
        message: 'must have at least 32 characters; make one with: openssl rand -base64 32',
      })
    }
    if (earlier.some((other) => other.id === key.id))
      faults.push({ path: `${path}.id`, message: 'is another key’s id too' })
    if (earlier.some((other) => other.secret === key.secret)) {
      faults.push({ path: `${path}.secret`, message: 'is another key’s secret too' })
    }
    return faults
  })
}

function mailFaults({ mail }: Settings): Fault[] {
  if (mail.smtpUrl === null) return []
  const url = URL.parse(mail.smtpUrl)
  const good = url !== null && /^smtps?:$/.test(url.protocol) && url.hostname !== ''
  return good ? [] : [{ path: 'mail.smtpUrl', message: 'must be an address such as smtps://mail.example.org' }]
}

function timeFaults({ session, consent, tokens, signIn }: Settings): Fault[] {
  const faults: Fault[] = []
  if (session.idleMinutes > session.absoluteHours * 60) {
    faults.push({ path: 'session.idleMinutes', message: 'must not be longer than session.absoluteHours' })
  }
  if (consent.onceMinutes < tokens.accessTokenMinutes) {
    const message = 'must not be shorter than tokens.accessTokenMinutes, or a token outlives its connection'
    faults.push({ path: 'consent.onceMinutes', message })
  }
  if (signIn.failuresPerAddress < signIn.failuresPerAccountAndAddress) {
    const message = 'must not be less than signIn.failuresPerAccountAndAddress, which it would make void'
    faults.push({ path: 'signIn.failuresPerAddress', message })
  }
  return faults
}

function planFaults(plan: Plan, known: readonly string[]): Fault[] {
  const path = `plans.${plan.id}`
  const faults: Fault[] = []
  if (RESERVED_NAMES.includes(plan.id)) {
    faults.push({ path, message: `is a reserved name; a plan cannot be called ${RESERVED_NAMES.join(', ')}` })
  }
  plan.languages.forEach((language, index) => {
    const at = `${path}.languages.${index}`
    if (!known.includes(language)) {
      faults.push({ path: at, message: `has no catalogue in views/locales; accepted are ${known.join(', ')}` })
    }
    if (plan.languages.indexOf(language) < index) faults.push({ path: at, message: 'is listed twice' })
  })
  faults.push(...sharingFaults(plan, path))
  const withWhite = contrast(plan.brand.color, '#fff')
  if (withWhite < 4.5) {
    const message = `has a contrast of ${withWhite.toFixed(1)} with white; 4.5 or more is accepted (WCAG 1.4.3): choose a darker colour`
    faults.push({ path: `${path}.brand.color`, message })
  }
  return faults
}

function sharingFaults({ sharing, timeZone, sensitiveCategories, languages }: Plan, path: string): Fault[] {
  const faults: Fault[] = []
  if (!isTimeZone(timeZone))
    faults.push({ path: `${path}.timeZone`, message: 'is no time zone; accepted are names such as America/Chicago' })
  if (!sharing.durations.some((duration) => isThreeMonths(duration))) {
    const message = 'must have one of 3 months or more, such as P3M: the law lets members share for so long'
    faults.push({ path: `${path}.sharing.durations`, message })
  }
  if (!sharing.durations.includes(sharing.preselected)) {
    const message = `must be one of sharing.durations: ${sharing.durations.join(', ')}`
    faults.push({ path: `${path}.sharing.preselected`, message })
  }
  sharing.durations.forEach((duration, index) => {
    if (sharing.durations.indexOf(duration) < index)
      faults.push({ path: `${path}.sharing.durations.${index}`, message: 'is listed twice' })
  })
  for (const [index, category] of sensitiveCategories.entries()) {
    const at = `${path}.sensitiveCategories.${category.code}`
    const twin = sensitiveCategories.slice(0, index).find(({ scope }) => scope !== null && scope === category.scope)
    if (twin) faults.push({ path: `${at}.scope`, message: `is the scope of ${twin.code} too; each is released alone` })
    if (category.labels.length === 0)
      faults.push({ path: `${at}.labels`, message: 'is required for a category of your own' })
    for (const field of ['name', 'explanation'] as const)
      for (const language of languages)
        if (!Object.hasOwn(knownCategories, category.code) && !category[field][language])
          faults.push({
            path: `${at}.${field}.${language}`,
            message: 'is required: words for every language of the plan',
          })
  }
  return faults
}

const isThreeMonths = (duration: string): boolean => {
  const [, count = '0', unit = ''] = /^P(\d+)([DMY])$/.exec(duration) ?? []
  return Number(count) >= ({ D: 92, M: 3, Y: 1 }[unit] ?? Number.POSITIVE_INFINITY)
}

const isTimeZone = (name: string): boolean => {
  try {
    return new Intl.DateTimeFormat('en', { timeZone: name }) !== undefined
  } catch {
    return false
  }
}

function environmentFaults(environment: Environment, publicUrl: string): Fault[] {
  const path = optionOf(environment)
  const faults: Fault[] = []
  if (new URL(environment.issuer).protocol !== new URL(publicUrl).protocol) {
    // Cookies are `Secure` or not for the whole server.
    faults.push({ path: `${path}.url`, message: 'must be http or https as publicUrl is' })
  }
  const seen = new Map<string, string>()
  for (const api of environment.apis) {
    const at = `${path}.apis.${api.id}`
    faults.push(...apiFaults(api, environment, at))
    api.aliases
      .concat(api.baseUrl)
      .reverse()
      .forEach((url, index, all) => {
        if (!url) return
        const option = index === 0 ? `${at}.baseUrl` : `${at}.aliases.${all.length - 1 - index}`
        const other = seen.get(url)
        if (other)
          faults.push({ path: option, message: `is the same address as ${other}; aud could not tell them apart` })
        else seen.set(url, option)
      })
  }
  return faults
}

/** Claims that are the server's to set. */
const RESERVED_CLAIMS: readonly string[] = (
  'iss sub aud client_id scope scp jti iat exp nbf azp act cnf auth_time patient patient_id fhirUser grant_id ' +
  'encounter launch sensitivities grant_revision __proto__'
).split(' ')

function apiFaults(api: Api, environment: Environment, path: string): Fault[] {
  const faults: Fault[] = []
  if (!api.baseUrl) {
    faults.push({ path: `${path}.baseUrl`, message: 'is required: the FHIR base, an https address (or sandbox: true)' })
  }
  if (api.sandbox && !environment.sandbox) {
    faults.push({ path: `${path}.sandbox`, message: 'must be false where the environment is no sandbox' })
  }
  if (api.sandbox && new URL(api.baseUrl).origin !== new URL(environment.issuer).origin) {
    faults.push({
      path: `${path}.baseUrl`,
      message: 'must be on the issuer’s host: Latchkey itself serves a sandbox API',
    })
  }
  const { patientAliases, clientIdAliases, claims } = api.tokenProfile
  const names = [
    ...patientAliases.map((name, index) => ({ name, at: `patientAliases.${index}` })),
    ...clientIdAliases.map((name, index) => ({ name, at: `clientIdAliases.${index}` })),
    ...Object.keys(claims).map((name) => ({ name, at: `claims.${name}` })),
  ]
  names.forEach(({ name, at }, index) => {
    const option = `${path}.tokenProfile.${at}`
    // `azp` says which client a token is for, and nothing else (OpenID Connect Core, section 2).
    const isClient = name === 'azp' && at.startsWith('clientIdAliases')
    if (RESERVED_CLAIMS.includes(name) && !isClient)
      faults.push({ path: option, message: 'is a claim that Latchkey itself sets' })
    if (names.findIndex((other) => other.name === name) < index)
      faults.push({ path: option, message: 'is given twice' })
  })
  return faults
}
