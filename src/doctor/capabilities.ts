/**
 * Every capability of SMART App Launch 2.2, and which checks show that it is there.
 *
 * Owns: the table, and what is said of each after a run. A capability counts as checked where a check of it passed or failed, never
 * because it was advertised.
 */
import type { Outcome } from './check.ts'

export interface Capability {
  name: string
  /** Checks any of which shows it. */
  shownBy: readonly string[]
  /** Why it cannot be checked from outside, where no check shows it. */
  beyond?: string
}

export const standardCapabilities: readonly Capability[] = [
  { name: 'launch-ehr', shownBy: ['launch.ehr'] },
  { name: 'launch-standalone', shownBy: ['launch.standalone'] },
  { name: 'authorize-post', shownBy: ['R12.unknown-client-post', 'R12.wrong-redirect-post'] },
  { name: 'client-public', shownBy: ['R13.public'] },
  { name: 'client-confidential-symmetric', shownBy: ['R13.basic', 'R13.post'] },
  { name: 'client-confidential-asymmetric', shownBy: ['R13.assertion-reused', 'service.token'] },
  { name: 'sso-openid-connect', shownBy: ['id-token.signature', 'id-token.claims'] },
  { name: 'context-banner', shownBy: ['context.banner'] },
  { name: 'context-style', shownBy: ['context.style'] },
  { name: 'context-ehr-patient', shownBy: ['context.patient'] },
  { name: 'context-ehr-encounter', shownBy: ['context.launch-encounter'] },
  { name: 'context-standalone-patient', shownBy: ['R3.answer'] },
  { name: 'context-standalone-encounter', shownBy: ['context.encounter'] },
  { name: 'permission-offline', shownBy: ['R8.refresh-token'] },
  { name: 'permission-online', shownBy: ['scopes.online'] },
  { name: 'permission-patient', shownBy: ['fhir.read'] },
  { name: 'permission-user', shownBy: ['scopes.user'] },
  { name: 'permission-v1', shownBy: ['scopes.v1'] },
  { name: 'permission-v2', shownBy: ['scopes.v2'] },
  { name: 'smart-app-state', shownBy: [], beyond: 'it is experimental, and no check of it exists' },
]

export interface CapabilityFinding {
  name: string
  advertised: boolean
  state: 'checked' | 'failed' | 'not-checked'
  /** The checks that say so, or why none does. */
  because: string
}

/** What a run says of each capability, those that the server adds of its own included. */
export const judgeCapabilities = (
  advertised: readonly string[],
  results: readonly { id: string; outcome: Outcome; seen: string }[],
): CapabilityFinding[] => {
  const own = advertised.filter((name) => !standardCapabilities.some((known) => known.name === name))
  const all = [
    ...standardCapabilities,
    ...own.map((name): Capability => ({ name, shownBy: [], beyond: 'it is none of SMART’s' })),
  ]
  return all.map(({ name, shownBy, beyond }) => {
    const run = results.filter(({ id }) => shownBy.includes(id))
    const done = run.filter(({ outcome }) => outcome !== 'skipped')
    const broken = done.filter(({ outcome }) => outcome === 'failed')
    const ids = (list: readonly { id: string }[]): string => list.map(({ id }) => id).join(', ')
    const found = { name, advertised: advertised.includes(name) }
    if (broken.length > 0) return { ...found, state: 'failed', because: ids(broken) }
    if (done.length > 0) return { ...found, state: 'checked', because: ids(done) }
    return { ...found, state: 'not-checked', because: beyond ?? run[0]?.seen ?? `${shownBy.join(' or ')} did not run` }
  })
}
